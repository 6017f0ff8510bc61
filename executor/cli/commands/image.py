"""The commands ``image``: the sandboxes' root file systems, and library sets in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from executor.backends.image.build import cache_directory, open_image
from executor.cli.failure import CommandError
from executor.libraries.declared import LibrarySet, declared, find, read_requirements

if TYPE_CHECKING:
    from executor.backends.image.library_store import Manifest

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")

SetName = Annotated[str, typer.Argument(metavar="SET", help="Name of a library set.")]
Requirements = Annotated[
    Path | None,
    typer.Option(
        "--requirements",
        metavar="FILE",
        help="Packages of a set of your own, as pip takes them; hashes in it are kept to.",
    ),
]
Preload = Annotated[
    list[str] | None,
    typer.Option(
        "--preload",
        metavar="MODULE",
        help="With --requirements: what warm guests import beforehand. Repeatable.",
    ),
]
Wheels = Annotated[
    Path | None,
    typer.Option("--wheels", metavar="DIR", help="Take wheels from here; the index is not asked."),
]
Resolve = Annotated[
    bool,
    typer.Option("--resolve", help="Find versions out anew, though there is a lock of the set."),
]
_MIB = 1 << 20


@app.callback(invoke_without_command=True)
def image(context: typer.Context) -> int:
    """Build the sandboxes' root file systems, if they are not built yet, and print their paths.

    Other commands build them when they need them. Run this where a later one may not write, as
    when a container image is built. They lie in the directory that EXECUTOR_CACHE names.
    """
    return _print_images(None) if context.invoked_subcommand is None else 0


def _print_images(libraries: str | None) -> int:
    images = open_image(libraries=libraries)
    try:
        print(images.root)
        print(images.script_root)
    finally:
        images.close()
    return 0


@app.command()
def build(
    name: SetName,
    *,
    requirements: Requirements = None,
    preload: Preload = None,
    wheels: Wheels = None,
    resolve: Resolve = False,
) -> int:
    """Build a library set and its images, if they are not built yet, and print their paths.

    Wheels come from the package index that pip is set up with, or from a folder. Their hashes are
    those of the set's lock. Nothing of a package is run.

    **Example:** `executor image build data`
    """
    from executor.backends.image.library_build import build_library  # noqa: PLC0415

    wanted = find(name) if requirements is None else _own(name, requirements, preload)
    if preload and requirements is None:
        raise CommandError("--preload is for a set of your own (--requirements)")
    if resolve and requirements is not None:
        raise CommandError("--resolve is for a declared set, not for --requirements")
    if wheels is not None and not wheels.is_dir():
        raise CommandError(f"--wheels {wheels}: no such directory")
    build_library(cache_directory(), wanted, wheels=wheels, resolve=resolve)
    return _print_images(name)


def _own(name: str, requirements: Path, preload: list[str] | None) -> LibrarySet:
    """A set that a file of requirements makes."""
    try:
        lines = read_requirements(requirements.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot use {requirements}: {error}") from None
    try:
        return LibrarySet(name=name, requirements=lines, preload=tuple(preload or ()))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CommandError(
            f"no set can be made of {requirements}: {where}: {first['msg']}: {first['input']!r}"
        ) from None


@app.command("list")
def list_sets() -> int:
    """List the library sets: those that are declared, and what is built of them."""
    from executor.backends.image import library_store  # noqa: PLC0415

    found = library_store.built(cache_directory())
    table = Table("set", "built", "MiB", "packages", box=None, pad_edge=False)
    current = {library.manifest.name: library.manifest for library, named in found if named}
    for name, one in declared().items():
        built = current.pop(name, None)
        contents = one.about if built is None else _packages(built)
        table.add_row(
            name,
            "no" if built is None else built.digest,
            "" if built is None else f"{built.size_bytes / _MIB:.0f}",
            contents,
        )
    for manifest in current.values():
        size = f"{manifest.size_bytes / _MIB:.0f}"
        table.add_row(manifest.name, manifest.digest, size, _packages(manifest))
    Console(highlight=False, markup=False).print(table)
    unnamed = sum(not named for _, named in found)
    if unnamed:
        print(f"{unnamed} more that no name stands for: 'executor image prune' removes them")
    return 0


def _packages(manifest: Manifest) -> str:
    return ", ".join(f"{one.name} {one.version}" for one in manifest.packages)


@app.command()
def lock(name: SetName) -> int:
    """Print the packages of a built set, with versions and hashes, as pip takes them.

    **Example:** `executor image lock data > data.txt; executor image build mine --requirements
    data.txt`
    """
    from executor.backends.image.library_build import lock_text  # noqa: PLC0415
    from executor.backends.image.library_store import open_library  # noqa: PLC0415

    print(lock_text(open_library(cache_directory(), name).manifest.packages), end="")
    return 0


@app.command()
def prune(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[SET]...", help="Sets that are not wanted.")
    ] = None,
) -> int:
    """Remove library sets that no name stands for, and those that are named, if nobody uses them.

    **Example:** `executor image prune data`
    """
    from executor.backends.image import library_store  # noqa: PLC0415

    cache = cache_directory()
    for name in names or ():
        if not library_store.forget(cache, name):
            raise CommandError(f"no library set {name!r} is built")
    for path in library_store.prune(cache):
        print(path)
    return 0

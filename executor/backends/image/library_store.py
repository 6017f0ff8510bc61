"""Library sets that are built: read-only trees in the cache, each with a manifest.

    CACHE/libraries/NAME-DIGEST/tree/            packages, as they lie on Python's path
    CACHE/libraries/NAME-DIGEST/manifest.json    what they are: versions, hashes of the wheels
    CACHE/libraries/names/NAME -> ../NAME-DIGEST the one that the name stands for

The digest is of all that decides what is in the tree. Nothing is compiled or downloaded by the
executor itself: what is not built is refused with the command that builds it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from executor.errors import BackendUnavailable, ConfigurationError
from executor.libraries.declared import NAME, find
from executor.models import Model

FOLDER = "libraries"
"""In the cache."""
_NAMES = "names"
_DIGITS = 12


class Package(Model):
    """One wheel that was installed."""

    name: str
    version: str
    sha256: str


class Manifest(Model):
    """What a tree was made of."""

    name: str
    digest: str
    """Of all else here but the sizes."""
    platform: str
    """The interpreter's and the machine's tag: ``cpython-312-x86_64-linux-gnu``."""
    packages: tuple[Package, ...]
    modules: tuple[str, ...]
    preload: tuple[str, ...]
    leave_out: tuple[str, ...]
    tree: str = ""
    """Hash of all files but bytecode."""
    size_bytes: int = 0

    @property
    def label(self) -> str:
        """The name with the digest, as verdicts name it."""
        return f"{self.name}-{self.digest}"


class Library(NamedTuple):
    """A set that is built."""

    path: Path
    manifest: Manifest

    @property
    def tree(self) -> Path:
        """Its packages."""
        return self.path / "tree"


def digest_of(manifest: Manifest) -> str:
    """What :attr:`Manifest.digest` must be."""
    facts = manifest.model_dump(exclude={"digest", "tree", "size_bytes"})
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def tree_hash(tree: Path) -> tuple[str, int]:
    """Hash of a tree's files but bytecode, and the size of all its files in bytes."""
    digest, size = hashlib.sha256(), 0
    for path in sorted(path for path in tree.rglob("*") if path.is_file()):
        size += path.stat().st_size
        if path.suffix != ".pyc":
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(tree)}\0{content}\n".encode())
    return digest.hexdigest(), size


def open_library(cache: Path, name: str) -> Library:
    """The built set that a name stands for.

    Raises:
        ConfigurationError: no set is called so, or it is not built.
        BackendUnavailable: what was built cannot be used.
    """
    if not re.fullmatch(NAME, name):  # it may come from a client, and becomes part of a path
        raise ConfigurationError(f"no library set can be called {name[:64]!r}")
    path = cache / FOLDER / _NAMES / name
    if not path.exists():
        find(name)
        raise ConfigurationError(
            f"the library set {name!r} is not built: python -m executor image build {name}"
        )
    return _read(path.resolve())


def _read(path: Path) -> Library:
    try:
        manifest = Manifest.model_validate_json((path / "manifest.json").read_bytes())
    except (OSError, ValidationError) as error:
        raise BackendUnavailable(
            f"the library set in {path} cannot be used: {error}. Build it again: "
            "python -m executor image build NAME"
        ) from error
    return Library(path, manifest)


def publish(cache: Path, building: Path, manifest: Manifest) -> Library:
    """Put a finished tree in its place, and let the name stand for it."""
    folder = cache / FOLDER
    path = folder / manifest.label
    (building / "manifest.json").write_text(manifest.model_dump_json(indent=2) + "\n")
    try:
        building.rename(path)
    except OSError:
        if not path.is_dir():  # it is there already: the same
            raise
    names = folder / _NAMES
    names.mkdir(exist_ok=True)
    link = names / f".{manifest.name}.{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):
        link.unlink()
    link.symlink_to(Path("..") / manifest.label)
    link.replace(names / manifest.name)
    return _read(path)


def built(cache: Path) -> list[tuple[Library, bool]]:
    """All built sets, and whether a name stands for each."""
    folder = cache / FOLDER
    current = _current(folder)
    found = []
    for path in sorted(folder.glob("*/manifest.json")):
        with contextlib.suppress(BackendUnavailable):
            found.append((_read(path.parent), path.parent in current))
    return found


def _current(folder: Path) -> set[Path]:
    return {link.resolve() for link in (folder / _NAMES).glob("*")}


def hold(library: Library) -> int:
    """Keep a set from being pruned for as long as the descriptor is open."""
    descriptor = os.open(library.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with contextlib.suppress(OSError):  # where this cannot be done, nobody prunes
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def forget(cache: Path, name: str) -> bool:
    """Let a name stand for nothing; whether it stood for something."""
    link = cache / FOLDER / _NAMES / name
    if not link.is_symlink():
        return False
    link.unlink()
    return True


def prune(cache: Path) -> Iterator[Path]:
    """Remove sets that no name stands for and nobody has open, and builds that were broken off."""
    folder = cache / FOLDER
    current = _current(folder)
    for path in sorted(folder.glob("*-*")):
        if path.is_symlink() or not path.is_dir() or path in current:
            continue
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
            yield path
        except BlockingIOError:
            pass
        finally:
            os.close(descriptor)

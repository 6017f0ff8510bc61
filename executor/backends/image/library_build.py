"""Builds a library set: wheels of the index, or of a folder, to a tree (``library_store.py``).

pip does it, in two steps. First it says which wheels it would take, with their hashes; then it
installs just these, and refuses others. Only wheels are taken: nothing of a package is run here, as
an ``sdist`` would be to build it. What was installed is looked at, not imported.
"""

from __future__ import annotations

import compileall
import fcntl
import json
import os
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from executor.backends.image.build import make_readable
from executor.backends.image.library_store import (
    FOLDER,
    Library,
    Manifest,
    Package,
    digest_of,
    publish,
    tree_hash,
)
from executor.errors import BackendUnavailable, ConfigurationError
from executor.libraries.declared import LibrarySet

_LAYOUT_DROPPED = ("bin", "share", "etc", "include")
"""What wheels bring besides packages."""
_OTHERS = {"executor", "sitecustomize", "usercustomize"}
"""Modules that mean something to the guest or the interpreter."""
_HASH = re.compile(r"sha256=([0-9a-f]{64})\Z")
_MODULE_SUFFIXES = (".py", ".so")


def build_library(
    cache: Path, wanted: LibrarySet, *, wheels: Path | None = None, resolve: bool = False
) -> Library:
    """Build a set, if it is not there yet, and let its name stand for it.

    Args:
        cache: the directory of images.
        wanted: what goes in.
        wheels: a folder of wheels; the index is then not asked.
        resolve: find versions out anew, though the set has a lock.

    Raises:
        ConfigurationError: no wheels meet the requirements, or their hashes are others than the
            lock's, or they cannot live beside the standard library.
        BackendUnavailable: pip is missing, or the cache cannot be written.
    """
    folder = cache / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        building = Path(tempfile.mkdtemp(prefix="building-", dir=folder))
    except OSError as error:
        raise BackendUnavailable(f"cannot write {folder}: {error}. Set EXECUTOR_CACHE") from error
    descriptor = os.open(building, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)  # nobody prunes it meanwhile
        asked = wanted.lock if wanted.lock and not resolve else wanted.requirements
        packages = _resolve(building, asked, wheels)
        manifest = _manifest(wanted, packages)
        if not (folder / manifest.label).is_dir():
            _install(building, packages, wheels)
            manifest = _finish(building, manifest)
        return publish(cache, building, manifest)
    finally:
        os.close(descriptor)
        shutil.rmtree(building, ignore_errors=True)


def lock_text(packages: tuple[Package, ...]) -> str:
    """Packages as a file of requirements with hashes."""
    return "".join(f"{one.name}=={one.version} --hash=sha256:{one.sha256}\n" for one in packages)


def _manifest(wanted: LibrarySet, packages: tuple[Package, ...]) -> Manifest:
    manifest = Manifest(
        name=wanted.name,
        digest="",
        platform=str(sysconfig.get_config_var("SOABI")),
        packages=packages,
        modules=wanted.modules,
        preload=wanted.preload,
        leave_out=wanted.leave_out,
    )
    return manifest.model_copy(update={"digest": digest_of(manifest)})


def _resolve(
    building: Path, requirements: tuple[str, ...], wheels: Path | None
) -> tuple[Package, ...]:
    """The wheels that pip would install, sorted by name."""
    asked, report = building / "asked.txt", building / "report.json"
    asked.write_text("".join(f"{one}\n" for one in requirements))
    _pip(
        building, "--dry-run", "--ignore-installed", "--report", str(report), "-r", str(asked),
        wheels=wheels,
    )  # fmt: skip
    found = []
    for one in json.loads(report.read_text())["install"]:
        about, archive = one["metadata"], one["download_info"].get("archive_info", {})
        known = _HASH.match(f"sha256={archive.get('hashes', {}).get('sha256', '')}") or _HASH.match(
            archive.get("hash", "")
        )
        if known is None:
            raise ConfigurationError(f"the index gives no SHA-256 for {about['name']}")
        name = re.sub(r"[-_.]+", "-", about["name"]).lower()
        found.append(Package(name=name, version=about["version"], sha256=known[1]))
    for path in (asked, report):
        path.unlink()
    return tuple(sorted(found, key=lambda one: one.name))


def _install(building: Path, packages: tuple[Package, ...], wheels: Path | None) -> None:
    lock = building / "lock.txt"
    lock.write_text(lock_text(packages))
    _pip(
        building, "--no-deps", "--require-hashes", "--no-compile",
        "--target", str(building / "tree"), "-r", str(lock), wheels=wheels,
    )  # fmt: skip


def _pip(directory: Path, *arguments: str, wheels: Path | None) -> None:
    """Let pip install; from an empty directory, where no requirement can mean a file."""
    source = ["--no-index", "--find-links", str(wheels.resolve())] if wheels is not None else []
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "--no-input", "--only-binary", ":all:", *source, *arguments,
    ]  # fmt: skip
    done = subprocess.run(
        command,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return
    if "No module named pip" in done.stderr:
        raise BackendUnavailable(
            f"pip is missing, which builds library sets: {sys.executable} -m ensurepip"
        )
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    told = [line for line in lines if line.lstrip().startswith("ERROR")] or lines[-5:]
    raise ConfigurationError("pip cannot install the set: " + " ".join(told))


def _finish(building: Path, manifest: Manifest) -> Manifest:
    """Make an installed tree fit to lie beside the standard library."""
    tree = building / "tree"
    for name in _LAYOUT_DROPPED:
        shutil.rmtree(tree / name, ignore_errors=True)
    for pattern in manifest.leave_out:
        for path in tree.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    _check(tree, manifest)
    compileall.compile_dir(
        tree, quiet=2, workers=1, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    make_readable(building)
    content, size = tree_hash(tree)
    return manifest.model_copy(update={"tree": content, "size_bytes": size})


def _check(tree: Path, manifest: Manifest) -> None:
    """Refuse what would hide modules of Python, links out of the tree, and promises not kept."""
    top = {path.name.partition(".")[0] for path in tree.iterdir() if _is_module(path)}
    hidden = sorted(top & (sys.stdlib_module_names | _OTHERS))
    if hidden:
        raise ConfigurationError(
            f"the set would hide modules of Python or of the guest: {', '.join(hidden)}"
        )
    links = [path for path in tree.rglob("*") if path.is_symlink()]
    if links:
        raise ConfigurationError(f"the set has a symbolic link: {links[0].relative_to(tree)}")
    wanted = {name.partition(".")[0] for name in (*manifest.modules, *manifest.preload)}
    if missing := sorted(wanted - top):
        raise ConfigurationError(f"the set says that it has {', '.join(missing)}, and has not")


def _is_module(path: Path) -> bool:
    if path.is_dir():
        return path.suffix == ""
    return path.suffix in _MODULE_SUFFIXES

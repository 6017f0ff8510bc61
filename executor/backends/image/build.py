"""The images: the directories that become the root file systems of the jails.

The guest image holds the interpreter, its standard library, the shared libraries these need, and
the guest's own modules; nothing else of the host:

    /py/bin/python3.12, /py/lib/python3.12/    interpreter and standard library
    /lib/..., /lib64/...                       shared libraries
    /guest/executor/            the guest's code, and what both sides share
    /usr/share/zoneinfo                        time zones, of the tzdata package
    /dev/null, /dev/shm, /box, /tmp            mount points

With a library set (``library_store.py``) its packages lie in /py/lib/python3.12 too.

The script image is the same with tools and packages for general scripts (``script_image.py``); the
files that both have are the same files. Each is built once for each combination of what goes into
it, is world-readable (the interpreter's own prefix often is not), and is never written again. They
may lie in a read-only file system, if they were built before (``python -m executor image``).

Images lie in a cache directory under a content hash: ``$EXECUTOR_CACHE``, else
``/var/cache/absolute-zero-executor`` for root and ``~/.cache/absolute-zero-executor`` for others.
"""

from __future__ import annotations

import asyncio
import compileall
import contextlib
import fcntl
import hashlib
import logging
import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import metadata
from pathlib import Path

from executor.backends.image import guest_code
from executor.backends.image.library_store import FOLDER, Library, hold, open_library
from executor.backends.image.script_tools import add_tools, languages, tools_key
from executor.errors import BackendUnavailable
from executor.interpreter import INTERPRETER
from executor.models import ScriptLanguage

PYTHON = "/py/bin/python3.12"
"""The interpreter's path inside the image."""
GUEST_MAIN = "/guest/executor/guest/main.py"
"""The guest's entry point inside the image."""

SCRIPT_MAIN = "/guest/executor/guest/script.py"
"""The program that runs one general script, inside the image."""

_LIBRARY = "py/lib/python3.12"
"""Where the standard library lies, and library sets: found with and without ``site``."""
LIBRARY_MANIFEST = "py/lib/libraries.json"
"""What an image says of the library set inside."""
_LAYOUT_VERSION = "7"
_LOADED_LATER = "libgcc_s.so.1"
"""Library that libc loads when a thread ends; it aborts if it cannot. No file names it."""
_STDLIB_LEFT_OUT = shutil.ignore_patterns(
    "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo",
    "turtle.py", "ensurepip", "venv", "lib2to3", "pydoc_data", "config-*", "*.a", "*.opt-*.pyc",
    "_test*.so", "_ctypes_test*.so", "_tkinter*.so", "readline*.so", "_gdbm*.so",
    "_dbm*.so", "nis*.so", "ossaudiodev*.so", "xx*.so", "spwd*.so",
)  # fmt: skip
_log = logging.getLogger(__name__)
_UNUSED_FOR_S = 7 * 24 * 3600


@dataclass(frozen=True)
class GuestImage:
    """The finished images. Keep them open while jails use them: an open image is not pruned."""

    root: Path
    """Of warm guests that run programs, and of parsers."""
    script_root: Path
    """Of scripts."""
    lock_fds: tuple[int, ...]
    accelerated: bool
    """Whether the compiled core of the zygote is inside."""
    languages: frozenset[ScriptLanguage]
    """Languages of scripts."""
    library: Library | None = None
    """The library set inside."""

    def close(self) -> None:
        """Let the images go."""
        for descriptor in self.lock_fds:
            os.close(descriptor)

    @property
    def interpreter(self) -> str:
        """What programs run on, for verdicts: interpreter and library set, by its digest."""
        return INTERPRETER + (f" with {self.library.manifest.label}" if self.library else "")

    def extensions(self, pattern: str) -> list[str]:
        """Paths inside the image of the extension modules that match a glob pattern."""
        return list(files_inside(self.root, f"{_LIBRARY}/lib-dynload/{pattern}"))


@lru_cache(maxsize=64)
def files_inside(root: Path, pattern: str) -> tuple[str, ...]:
    """Paths inside an image of the files that match a glob pattern. Looked for once: an image never
    changes, and the event loop is held meanwhile."""
    return tuple(f"/{path.relative_to(root)}" for path in root.glob(pattern))


def open_image(cache: Path | None = None, libraries: str | None = None) -> GuestImage:
    """Build the images that are not there yet, and open them; with a library set, which must be
    built (``library_build.py``).

    Raises :class:`BackendUnavailable` if the interpreter cannot be copied, the cache not written,
    or the set is not built; :class:`executor.errors.ConfigurationError` if there is no such set.
    """
    cache = cache or cache_directory()
    library = open_library(cache, libraries) if libraries is not None else None
    key = _content_key()
    suffix = f"-{library.manifest.digest}" if library is not None else ""
    plain, root = cache / key, cache / f"{key}{suffix}"
    script_root = cache / f"{key}-{_digest(tools_key())}{suffix}"
    wanted: dict[Path, Callable[[Path], None]] = {plain: _fill}
    if library is not None:
        wanted[root] = partial(_fill_with, guest_image=plain, library=library)
    wanted[script_root] = partial(_fill_script, guest_image=root)
    lock_fds: list[int] = []
    try:
        if library is not None:
            lock_fds.append(hold(library))
        if not all(path.is_dir() for path in wanted):
            _log.warning("building images for sandboxes in %s: once, it takes some seconds", cache)
        for path, fill in wanted.items():
            if not path.is_dir():
                cache.mkdir(parents=True, exist_ok=True, mode=0o755)
                _build(path, fill)
            lock_fds.append(_hold(path))
        _prune(cache, keep={*wanted, cache / FOLDER})
    except OSError as error:
        for descriptor in lock_fds:
            os.close(descriptor)
        raise BackendUnavailable(
            f"cannot build the guest image in {cache}: {error}. Set EXECUTOR_CACHE to a directory "
            "that can be written and that every user may search"
        ) from error
    accelerated = any((root / "guest/executor/guest").glob("_core*.so"))
    return GuestImage(
        root, script_root, tuple(lock_fds), accelerated, languages(script_root), library
    )


def _hold(root: Path) -> int:
    """Keep an image from being pruned: as long as the descriptor is open, and a week from now."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    # In a read-only file system, or another user's, neither can be done, and nobody prunes.
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        os.utime(root)
    return descriptor


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]


async def open_image_in_thread(libraries: str | None = None) -> GuestImage:
    """:func:`open_image` without holding up the event loop; nothing stays open if cancelled."""
    opening = asyncio.ensure_future(asyncio.to_thread(open_image, None, libraries))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        with contextlib.suppress(BackendUnavailable):
            (await opening).close()
        raise


def cache_directory() -> Path:
    """Where images and library sets are kept."""
    if configured := os.environ.get("EXECUTOR_CACHE"):
        return Path(configured).resolve()
    if os.geteuid() == 0:
        return Path("/var/cache/absolute-zero-executor")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "absolute-zero-executor"


def _interpreter() -> Path:
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


def _standard_library() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def _content_key() -> str:
    digest = hashlib.sha256(f"{_LAYOUT_VERSION} {sys.version}".encode())
    for path in (_interpreter(), _standard_library()):
        status = path.stat()
        # Layers of container images keep whole seconds.
        digest.update(f"{path} {status.st_size} {int(status.st_mtime)}".encode())
    digest.update(_zones_version().encode())
    for name in guest_code.files():
        digest.update(name.encode() + (guest_code.PACKAGE / name).read_bytes())
    return digest.hexdigest()[:24]


def _build(root: Path, fill: Callable[[Path], None]) -> None:
    building = Path(tempfile.mkdtemp(prefix="building-", dir=root.parent))
    try:
        fill(building)
        make_readable(building)
        try:
            building.rename(root)
        except OSError:
            if not root.is_dir():  # another process was faster: its image is the same
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _fill(image: Path) -> None:
    _copy_interpreter(image)
    _copy_guest(image)
    _trust_bytecode(image)
    _copy_zones(image)
    _copy_shared_libraries(image, [_interpreter(), *image.glob("**/*.so")])
    for name in ("box", "tmp", "dev/shm"):
        (image / name).mkdir(parents=True)
    (image / "dev/null").touch()


def _fill_with(image: Path, guest_image: Path, library: Library) -> None:
    """The guest image with a library set, and the shared libraries that its modules need."""
    _link_tree(guest_image, image)
    place = image / _LIBRARY
    _link_tree(library.tree, place)
    shutil.copy2(library.path / "manifest.json", image / LIBRARY_MANIFEST)
    extensions = [place / path.relative_to(library.tree) for path in library.tree.rglob("*.so")]
    _copy_shared_libraries(image, extensions)


def _fill_script(image: Path, guest_image: Path) -> None:
    _link_tree(guest_image, image)
    _copy_shared_libraries(image, add_tools(image))


def _link_tree(source: Path, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True, copy_function=_link_or_copy, dirs_exist_ok=True)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another user's file, or a file system without links
        shutil.copy2(source, target)


def _copy_interpreter(image: Path) -> None:
    binary = image / PYTHON.lstrip("/")
    binary.parent.mkdir(parents=True)
    shutil.copy2(_interpreter(), binary)
    library = image / _LIBRARY
    shutil.copytree(_standard_library(), library, ignore=_STDLIB_LEFT_OUT)
    compileall.compile_dir(library, quiet=2, force=False)


def _copy_guest(image: Path) -> None:
    package = image / "guest/executor"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    for name in guest_code.files():
        target = package / name
        target.parent.mkdir(exist_ok=True)
        shutil.copy2(guest_code.PACKAGE / name, target)
    compileall.compile_dir(package, quiet=2)


def _trust_bytecode(image: Path) -> None:
    """Let the interpreter take the bytecode without a look at the time of its source.

    Warm guests are shown no times of files. The second word of the header says how bytecode is
    checked: 1, by a hash that is not looked at.
    """
    for path in image.glob("**/__pycache__/*.pyc"):
        with path.open("r+b") as file:
            head = file.read(8)
            if head[4:] == bytes(4):
                file.seek(4)
                file.write(b"\1\0\0\0" + bytes(8))


def _zones_version() -> str:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version("tzdata")
    return ""


def _copy_zones(image: Path) -> None:
    """Put time zones where CPython and the C library look for them: the same on every host."""
    if not _zones_version():
        return
    source = metadata.distribution("tzdata").locate_file("tzdata/zoneinfo")
    ignored = shutil.ignore_patterns("*.py", "__pycache__")
    shutil.copytree(str(source), image / "usr/share/zoneinfo", ignore=ignored)


def _copy_shared_libraries(image: Path, objects: Iterable[Path]) -> None:
    """Copy what the dynamic loader would load, found by asking it about our own (trusted) files;
    and what libc would load later, if it lies beside one of these."""
    listing = subprocess.run(
        ["ldd", *map(str, objects)], capture_output=True, text=True, check=False
    ).stdout
    found = re.findall(r"^\s+(\S+) => (/\S+) ", listing, re.M)
    # what a package brings is found beside it
    resolved = {name: path for name, path in found if not Path(path).is_relative_to(image)}
    loaders = set(re.findall(r"^\s+(/\S*ld-\S+) ", listing, re.M))
    system = Path(resolved.get("libc.so.6", "/lib/x86_64-linux-gnu/libc.so.6")).parent
    for name, path in resolved.items():
        # all in libc's directory: the loader looks there, whatever the interpreter's rpath
        _copy_file(Path(path), image / str(system / name).lstrip("/"))
    beside = dict.fromkeys((system, *(Path(path).parent for path in resolved.values())))
    later = next(filter(Path.exists, (folder / _LOADED_LATER for folder in beside)), None)
    if later is not None:
        _copy_file(later, image / str(system / _LOADED_LATER).lstrip("/"))
    for loader in loaders:
        _copy_file(Path(loader), image / loader.lstrip("/"))


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copy2(source.resolve(), target)


def make_readable(image: Path) -> None:
    """Let every user read a tree, and search its directories."""
    image.chmod(0o755)
    for folder, _, files in os.walk(image):
        os.chmod(folder, 0o755)
        for name in files:
            path = Path(folder, name)
            mode = path.lstat().st_mode
            wanted = 0o755 if mode & 0o100 else 0o644
            if not stat.S_ISLNK(mode) and stat.S_IMODE(mode) != wanted:
                path.chmod(wanted)


def _prune(cache: Path, keep: set[Path]) -> None:
    """Remove images that nobody has open and nobody has used for a week, and broken-off builds."""
    for entry in cache.iterdir():
        with contextlib.suppress(OSError):  # another process prunes too, or we may not
            if entry not in keep and time.time() - entry.stat().st_mtime > _UNUSED_FOR_S:
                _remove_if_closed(entry)


def _remove_if_closed(entry: Path) -> None:
    descriptor = os.open(entry, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(entry, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(descriptor)

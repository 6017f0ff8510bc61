"""Small helpers of several test modules."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from executor import Options, Rules, Status, SyncExecutor, Triplet, Verdict

OPEN_RULES = Rules(banned_modules=(), min_parameters=0)
"""Screening out of the way: what is tested is the sandbox."""

ENDLESS = "def f(x):\n    while True:\n        pass"

PATIENT_FLAGS = ("--cpu-s", "60", "--wall-s", "120")
"""Limits that an endless loop does not reach within a test, for a command."""


def triplet(program: str, *inputs: str, imports: tuple[str, ...] = ()) -> Triplet:
    return Triplet(program=program, inputs=inputs or ("0",), imports=imports)


def body(*lines: str) -> str:
    """A program whose ``f(x)`` has these lines."""
    return "def f(x):\n" + "\n".join(f"    {line}" for line in lines)


def verdict(
    sandbox: SyncExecutor, program: str, *inputs: str, wall_s: float | None = None
) -> Verdict:
    limits = sandbox.limits.model_copy(update={"wall_s": wall_s} if wall_s else {})
    return sandbox.validate(triplet(program, *inputs), options=Options(limits=limits))


def ending(sandbox: SyncExecutor, program: str, status: Status) -> Verdict:
    """The verdict on a program that ends badly; only what is to wait too long is told so soon."""
    return verdict(sandbox, program, wall_s=2 if status is Status.WALL_LIMIT else None)


def value(sandbox: SyncExecutor, program: str, *inputs: str) -> str:
    """The output of a program that must be valid."""
    result = verdict(sandbox, program, *inputs)
    assert result.status is Status.OK, result.detail
    assert result.outputs[0] is not None
    return result.outputs[0]


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """By default as long as a starved machine may need: who waits in vain has failed anyway."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


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

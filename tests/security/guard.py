"""The outer guard: no attack may harm the machine, even where a limit under test fails.

A process of its own watches the machine. If memory, processes or disk space run short it kills
everything below the tests' process and their containers, and says why; the tests then fail.
Besides, nothing that the tests start can write a huge file or dump core.

    python guard.py PID OWNER      watches for a test process, until that ends; OWNER is the label
                                   of its containers
"""

from __future__ import annotations

import contextlib
import resource
import shutil
import subprocess
import sys
import time
from typing import Self

import psutil

from executor.backends.docker.api import LABEL
from executor.backends.host.owner import this_process

MIN_FREE_MEMORY = 2 << 30
MIN_FREE_DISK = 1 << 30
MAX_NEW_PROCESSES = 1500
MAX_FILE = 4 << 30
_PAUSE_S = 0.2
_SOFT = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: MAX_FILE}


class Guard:
    """Watches while the block runs. Leaving it raises AssertionError if it had to step in."""

    def __enter__(self) -> Self:
        self._before = {kind: resource.getrlimit(kind) for kind in _SOFT}
        for kind, most in _SOFT.items():
            hard = self._before[kind][1]
            resource.setrlimit(kind, (most if hard < 0 else min(most, hard), hard))
        self._watcher = subprocess.Popen(
            [sys.executable, __file__, str(psutil.Process().pid), this_process()],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        for kind, limits in self._before.items():
            resource.setrlimit(kind, limits)
        assert not self.stop(), "the guard had to step in"

    @property
    def watcher(self) -> int:
        """The process number of the watcher."""
        return self._watcher.pid

    def stop(self) -> str:
        """End the watcher; return why it stepped in, or nothing."""
        self._watcher.terminate()
        return self._watcher.communicate(timeout=30)[0]


def watch(owner: psutil.Process, containers: str) -> None:
    """Look at the machine until the owner ends; step in when it is in danger."""
    processes = len(psutil.pids())
    while owner.is_running():
        reason = danger(processes)
        if reason:
            print(reason, flush=True)
            step_in(owner, containers)
        time.sleep(_PAUSE_S)


def danger(processes: int) -> str:
    """What runs short; empty if nothing does."""
    if psutil.virtual_memory().available < MIN_FREE_MEMORY:
        return "memory runs short"
    if len(psutil.pids()) > processes + MAX_NEW_PROCESSES:
        return "there are too many processes"
    if shutil.disk_usage("/tmp").free < MIN_FREE_DISK:
        return "the disk is full"
    return ""


def step_in(owner: psutil.Process, containers: str) -> None:
    """Kill what the owner has started, and the containers of its executors."""
    for child in owner.children(recursive=True):
        if child.pid != psutil.Process().pid:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
    label = f"label={LABEL}={containers}"
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        found = subprocess.run(
            ["docker", "ps", "-aq", "--filter", label], capture_output=True, timeout=20, check=True
        )
        for name in found.stdout.split():
            subprocess.run(
                ["docker", "rm", "-f", name], capture_output=True, timeout=60, check=False
            )


if __name__ == "__main__":
    with contextlib.suppress(psutil.NoSuchProcess, KeyboardInterrupt):
        watch(psutil.Process(int(sys.argv[1])), sys.argv[2])

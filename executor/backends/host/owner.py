"""Owners: the process that things outside this process belong to, and whether it still lives."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

_FORM = re.compile(r"(?P<host>[0-9a-f-]+\.\d+)\.(?P<pid>\d+)\.(?P<start>\d+)")


def this_process() -> str:
    """A name of this process that no other process ever had: host, process id, start time."""
    return f"{_host()}.{os.getpid()}.{_start_time(os.getpid())}"


def is_gone(owner: str) -> bool:
    """Whether the named process has ended. False if it belongs to another host: who can tell?"""
    parsed = _FORM.fullmatch(owner)
    if parsed is None or parsed["host"] != _host():
        return False
    return _start_time(int(parsed["pid"])) != parsed["start"]


def left_behind(prefix: str) -> Iterator[Path]:
    """Entries of the temporary directory that processes left which have ended: those called
    ``prefix``, the owner's name, ``-``, and anything."""
    for entry in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        if is_gone(entry.name.removeprefix(prefix).rpartition("-")[0]):
            yield entry


def _host() -> str:
    return _host_of(os.getpid())


@lru_cache(maxsize=1)
def _host_of(pid: int) -> str:
    # Asked again by a forked process, which may have gone elsewhere.
    # One boot of one kernel, and the pid namespace that process ids count in.
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}.{os.stat('/proc/self/ns/pid').st_ino}"


def _start_time(pid: int) -> str | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]

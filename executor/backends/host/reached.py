"""Whether a script tried to reach something else than itself, seen from outside.

A script's network is its own loopback device. Whatever else it addresses has no route, which is an
error that it can catch, and which the kernel counts in the script's network namespace. The count
is a sign of cheating, and no more: a process with a network namespace of its own is not looked at
unless the text of the script has to do with networks.
"""

from __future__ import annotations

import asyncio
import os
import re
from itertools import pairwise
from pathlib import Path

from executor.models import Script

_WORDS = re.compile(
    rb"socket|http|url|asyncio|requests|ftp|smtp|poplib|imap|telnet|rpc|/dev/(?:tcp|udp)|ctypes"
    rb"|multiprocessing|dns|import\s*_|__import__|importlib|exec|eval|ping|curl|wget|nc\b"
)
_PATIENCE_S = 2.0
_PAUSE_S = 0.001
_COUNTERS = ("net/snmp", "net/snmp6")


def may_use_network(script: Script) -> bool:
    """Whether a script's text says so, or that of its files."""
    texts = (script.source.encode("utf-8", "surrogatepass"), *script.files.values())
    return any(map(_WORDS.search, texts))


class Watched:
    """Counts the packets without a route of one network namespace. Close it."""

    def __init__(self, generations: int = 0) -> None:
        """Of the first process so many generations below the one that :meth:`begin` is told."""
        self._generations = generations
        self._files: list[int] = []
        self._before = 0

    async def begin(self, pid: int) -> None:
        """Wait until that process is there. One that cannot be looked at has no attempts."""
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        # Nothing tells when a process is there.
        while not self._open(pid) and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_PAUSE_S)
        self._before = self._read()

    def attempts(self) -> int:
        """Packets and connections since it began that had nowhere to go."""
        return self._read() - self._before

    def close(self) -> None:
        """Let the namespace go."""
        while self._files:
            os.close(self._files.pop())

    def _open(self, pid: int) -> bool:
        """Whether there is no more to wait for."""
        try:
            found = _descendant(pid, self._generations)
            for name in _COUNTERS if found is not None else ():
                self._files.append(os.open(f"/proc/{found}/{name}", os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            return True
        return found is not None

    def _read(self) -> int:
        return sum(_no_routes(os.pread(file, 1 << 16, 0)) for file in self._files)


def _no_routes(text: bytes) -> int:
    """``OutNoRoutes`` of ``/proc/net/snmp`` (a line of names, a line of numbers) or ``snmp6`` (a
    line of both)."""
    total = 0
    lines = [line.split() for line in text.splitlines()]
    for names, values in pairwise(lines):
        if names[:1] == values[:1] == [b"Ip:"] and b"OutNoRoutes" in names:
            total += int(values[names.index(b"OutNoRoutes")])
    return total + sum(int(line[1]) for line in lines if line[:1] == [b"Ip6OutNoRoutes"])


def _descendant(pid: int, generations: int) -> int | None:
    for _ in range(generations):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_bytes().split()
        if not children:
            return None
        pid = int(children[0])
    return pid

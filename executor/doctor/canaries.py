"""Canaries: things that the host lays out for programs to find if a wall is missing."""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from executor.backends.host.owner import left_behind, this_process

_PREFIX = "executor-canaries-"


class Canaries(NamedTuple):
    """Things of this host that no program may reach."""

    port: int
    """A listener on 127.0.0.1."""
    socket: str
    """A listener in the abstract name space of local sockets, without the leading NUL."""
    file: str
    """A file that anybody may read."""
    package: str
    """The directory of this package."""
    host_name: str
    kernel: str
    """The kernel's release."""


@asynccontextmanager
async def planted() -> AsyncIterator[Canaries]:
    """Listeners and a file, for a block. Files of processes that were killed are removed."""
    _tidy()
    name = f"{_PREFIX}{secrets.token_hex(8)}"
    tcp = await asyncio.start_server(_hang_up, "127.0.0.1", 0)
    async with tcp, await asyncio.start_unix_server(_hang_up, f"\0{name}"):
        prefix = f"{_PREFIX}{this_process()}-"
        with tempfile.NamedTemporaryFile("w", prefix=prefix) as file:
            file.write("canaries")
            file.flush()
            os.chmod(file.name, 0o644)
            yield Canaries(
                port=tcp.sockets[0].getsockname()[1],
                socket=name,
                file=file.name,
                package=str(Path(__file__).parents[1]),
                host_name=platform.node(),
                kernel=platform.release(),
            )


def _tidy() -> None:
    for file in left_behind(_PREFIX):
        with suppress(OSError):  # another user's
            file.unlink()


async def _hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()

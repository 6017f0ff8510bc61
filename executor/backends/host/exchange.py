"""One request to a process that lives for it, and the reply: bounded, and leaving nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

_READ_SIZE = 1 << 16


async def exchange(
    command: Sequence[str],
    request: bytes,
    *,
    max_reply: int,
    deadline_s: float,
    environment: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    before_the_last_byte: Callable[[int], Awaitable[None]] | None = None,
) -> bytes:
    """Start a process, write the request to it, and read what it writes until it ends.

    Returns what was read: nothing more than ``max_reply`` bytes and one, and what there was when
    the deadline passed. The process has ended when this returns, also when it is cancelled.
    ``before_the_last_byte`` of the request is written is awaited, with the process's number.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=dict(environment or {}),
        pass_fds=pass_fds,
        start_new_session=True,  # a Ctrl-C at the terminal is the host's to handle
    )
    assert process.stdin is not None
    assert process.stdout is not None
    sending = asyncio.create_task(_send(process, request, before_the_last_byte))
    reply = bytearray()
    try:
        async with asyncio.timeout(deadline_s):
            while len(reply) <= max_reply and (chunk := await process.stdout.read(_READ_SIZE)):
                reply += chunk
    except TimeoutError:
        pass
    finally:
        sending.cancel()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await asyncio.shield(process.wait())
        await asyncio.gather(sending, return_exceptions=True)
    return bytes(reply[: max_reply + 1])


async def _send(
    process: asyncio.subprocess.Process,
    data: bytes,
    before_the_last_byte: Callable[[int], Awaitable[None]] | None,
) -> None:
    pipe = process.stdin
    assert pipe is not None
    with contextlib.suppress(ConnectionError):
        if before_the_last_byte is not None:
            pipe.write(data[:-1])
            await pipe.drain()
            await before_the_last_byte(process.pid)
            data = data[-1:]
        pipe.write(data)
        await pipe.drain()
    pipe.close()

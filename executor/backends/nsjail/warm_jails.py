"""Warm jails: started once by nsjail, each runs one script after another (``guest/jail.py``).

A script gets a warm jail to itself. Whatever goes wrong with one (it ends, it is silent, it breaks
the protocol, the kernel has killed for memory in it) is no outcome of the script: that jail is
closed, and the caller runs the script in a jail of its own. That it ran twice cannot matter:
nothing that a script does is seen outside its jail.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Never

from executor.backends.host.cgroups import Cgroup
from executor.backends.host.guest_process import GuestProcess
from executor.backends.host.reached import Watched, may_use_network
from executor.errors import BackendUnavailable, InputError, ProtocolError
from executor.fds import read_some, write_all
from executor.models import Limits, Script
from executor.tasks import end_all
from executor.wire.layout import READY
from executor.wire.scripts import (
    ScriptReply,
    decode_reply,
    encode_request,
    jail_memory_bytes,
    jail_processes,
    max_reply_bytes,
    reply_size,
)

RETIRE_AFTER = 2_000
"""Scripts that one jail runs at most."""
GRACE_S = 5.0
"""Seconds after its wall limit in which a script has to start, end and report."""

_LOOK_EVERY_S = 0.1
_REST_S = 30.0
"""Seconds without starting one after one could not be started."""
_IN_EVERY_JAIL_BYTES = 4864 << 10
"""Of the memory of a warm jail at rest, what a script's own jail needs as well (measured): the
rest is added to the ceiling, so that the script has as much in either."""
_BELOW = 2
"""Generations from nsjail to a script's first process: the warm jail's is between them."""
_EARLIER_PROCESSES = 1
"""A warm jail has one process more than a script's own: the one that lives on."""


class WarmJail:
    """One warm jail, and the control group around it, where there is one."""

    def __init__(self, guest: GuestProcess, group: Cgroup | None) -> None:
        self._guest = guest
        self._group = group
        self._at_rest = group.memory_in_use_bytes() if group is not None else 0
        self._set_limits = (0, 0)
        self.served = 0

    async def run(self, script: Script, limits: Limits) -> tuple[ScriptReply, int]:
        """Run a script; return the reply, and how many forks the control group refused.

        After an error, or a cancellation, the jail can only be closed.

        Raises:
            InputError: see :func:`encode_request`; nothing has happened to the jail.
            ProtocolError: the jail has failed, or a process in it was killed for memory.
        """
        request = encode_request(script, limits, grouped=self._group is not None)
        watched = Watched(_BELOW) if may_use_network(script) else None
        try:
            self._limit(script, limits)
            kills, refused = self._counters()
            async with asyncio.timeout(limits.wall_s + GRACE_S):
                data = await self._exchange(
                    request, max_reply_bytes(script, limits), kills, watched
                )
            kills_after, refused_after = self._counters()
            reply = decode_reply(data, script, limits)
            if watched is not None:
                reply = replace(reply, attempts=watched.attempts())
        except (OSError, TimeoutError) as error:
            raise ProtocolError(f"a warm jail failed: {error!r}") from error
        finally:
            if watched is not None:
                watched.close()
        if kills_after != kills:
            raise ProtocolError("a process in a warm jail was killed for memory")
        self.served += 1
        return reply, refused_after - refused

    def _limit(self, script: Script, limits: Limits) -> None:
        if self._group is None:
            return
        memory = jail_memory_bytes(script, limits) + max(0, self._at_rest - _IN_EVERY_JAIL_BYTES)
        wanted = (memory, jail_processes(limits) + _EARLIER_PROCESSES)
        if wanted != self._set_limits:
            self._group.limit(memory_bytes=wanted[0], processes=wanted[1])
            self._set_limits = wanted

    def _counters(self) -> tuple[int, int]:
        group = self._group
        return (group.memory_kills(), group.process_limit_hits()) if group is not None else (0, 0)

    async def _exchange(
        self, request: bytes, most: int, kills: int, watched: Watched | None
    ) -> bytes:
        sending = asyncio.create_task(self._send_all(request, watched))
        receiving = asyncio.create_task(self._receive(most))
        watching = asyncio.create_task(self._killed_for_memory(kills))
        try:
            await asyncio.wait({receiving, watching}, return_when=asyncio.FIRST_COMPLETED)
            return receiving.result() if receiving.done() else watching.result()
        finally:
            await end_all([sending, receiving, watching])

    async def _killed_for_memory(self, before: int) -> Never:
        """Raise as soon as there was a kill: how the script goes on does not count."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            if self._counters()[0] != before:
                raise ProtocolError("a process in a warm jail was killed for memory")

    async def _send_all(self, request: bytes, watched: Watched | None) -> None:
        if watched is not None:  # a script begins when the last byte is there
            await write_all(self._guest.write_fd, request[:-1])
            await watched.begin(self._guest.pid)
            request = request[-1:]
        await write_all(self._guest.write_fd, request)

    async def _receive(self, most: int) -> bytes:
        """The reply, once the jail has said that nothing of the script is left."""
        data = bytearray()
        size: int | None = None
        while True:
            if size is None:
                size = reply_size(data)
            if size is not None and size > most:
                raise ProtocolError("the reply is too long")
            if size is not None and len(data) >= size + len(READY):
                break
            chunk = await read_some(self._guest.read_fd)
            if not chunk:
                raise ProtocolError(f"a warm jail ended. Its log: {self._guest.errors()}")
            data += chunk
        if data[size:] != READY:
            raise ProtocolError("a warm jail said more than a reply")
        return bytes(data[:size])

    async def close(self) -> None:
        """End it, at once, with all that is in it."""
        self._guest.kill()
        await self._guest.close()


class WarmJails:
    """The warm jails of a backend, as many as scripts run at a time."""

    def __init__(
        self, start: Callable[[], Awaitable[WarmJail]], warn: Callable[[str], None]
    ) -> None:
        """``start`` makes a jail; ``warn`` is told, once, if it cannot."""
        self._start = start
        self._warn = warn
        self._idle: list[WarmJail] = []
        self._busy = 0
        self._starting = 0
        self._rest_until = 0.0
        self._warned = False
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def states(self) -> dict[str, int]:
        """Counts of jails that are ``idle``, run a script (``busy``), or are ``starting``."""
        return {"idle": len(self._idle), "busy": self._busy, "starting": self._starting}

    async def run(self, script: Script, limits: Limits) -> tuple[ScriptReply, int] | None:
        """As :meth:`WarmJail.run`; ``None`` if the script must be run in a jail of its own."""
        jail = await self._take()
        if jail is None:
            return None
        sound = False
        self._busy += 1
        try:
            result = await jail.run(script, limits)
            sound = jail.served < RETIRE_AFTER
        except InputError:
            sound = True
            raise
        except ProtocolError:
            return None
        finally:
            self._busy -= 1
            if sound:
                self._idle.append(jail)
            else:
                await self._close(jail)
        return result

    async def _take(self) -> WarmJail | None:
        if self._idle:
            return self._idle.pop()
        if time.monotonic() < self._rest_until:
            return None
        self._starting += 1
        try:
            return await self._start()
        except (BackendUnavailable, OSError) as error:
            self._rest_until = time.monotonic() + _REST_S
            if not self._warned:
                self._warned = True
                self._warn(f"no warm jails for scripts, each gets a new one (slower): {error}")
            return None
        finally:
            self._starting -= 1

    async def _close(self, jail: WarmJail) -> None:
        closing = asyncio.create_task(jail.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        await asyncio.shield(closing)

    async def close(self) -> None:
        """End all of them. None may be running a script."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(self._close(jail) for jail in idle), *self._closing)

"""The sandboxfusion backend: guests behind the HTTP API of a SandboxFusion server.

A guest is a pair of local sockets. What comes in by one is packed, with the jobs of all other
guests, into scripts for the server (``packer.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import socket
from collections import deque
from typing import Any

from executor.backends.base import BaseBackend, Pace, Role
from executor.backends.sandboxfusion.packer import GuestDied, Interpreter, Packer
from executor.backends.sandboxfusion.scripts import fields_of, result_of
from executor.backends.sandboxfusion.server import Server, ServerFault
from executor.backends.sandboxfusion.wire import pack_body, probe_request, read_lines
from executor.backends.settings import SandboxFusionSettings
from executor.errors import BackendUnavailable
from executor.models import Limits, Script, ScriptResult
from executor.wire.frames import MAX_FRAME
from executor.wire.layout import OVERFLOW

NAME = "sandboxfusion"

_PROBES = 6
_PROBE_TIMEOUT_S = 20.0
_OLDEST = (3, 11)


class SandboxFusionBackend(BaseBackend):
    """Guests on a server. What keeps programs in is the server's; ``isolated`` and ``warnings``
    tell what it looks like from inside, which proves nothing."""

    name = NAME
    pace = Pace(slow_s=15.0, patience_s=120.0, ahead_s=math.inf)

    def __init__(self, limits: Limits, settings: SandboxFusionSettings) -> None:
        self.isolated = False
        self.interpreter = ""
        self._settings = settings
        self._server: Server | None = None
        self._packer: Packer | None = None

    async def open(self) -> None:
        """Ask the server what it is, and have it compile the guest's code.

        Raises:
            BackendUnavailable: it does not answer, or cannot run the guest's code.
        """
        self._server = Server(self._settings.url, self._settings.token)
        try:
            facts, blobs = await self._probe()
            version = tuple(facts["version"])
            found = Interpreter(
                facts["name"], facts["build"], version, bool(facts["filter"]), blobs
            )
        except BaseException:
            await self._server.close()
            raise
        self.interpreter = f"{_display(found.name)} {'.'.join(map(str, version))}"
        self.isolated, self.warnings = _what_it_promises(self._server.url, facts)
        self._packer = Packer(self._server, found, self._settings.concurrency)

    async def _probe(self) -> tuple[dict[str, Any], dict[str, bytes]]:
        assert self._server is not None
        failure = "its output was lost every time"
        for _ in range(_PROBES):
            request = probe_request()
            fields = {
                "language": "python",
                "code": request.code,
                "stdin": request.stdin,
                "fetch_files": [OVERFLOW],
            }
            try:
                ran = await self._server.run(fields, _PROBE_TIMEOUT_S)
            except ServerFault as error:
                raise BackendUnavailable(f"no SandboxFusion server can be used: {error}") from None
            lines = read_lines(request.key, ran.stdout, ran.files.get(OVERFLOW, b""))
            if {0, 1, 2} <= lines.keys():
                return json.loads(lines[0]), _blobs(lines)
            _, said, text = ran.stdout.partition(b"FAILURE ")
            if said:
                raise BackendUnavailable(_cannot_run(self._server.url, text))
            if ran.return_code != 0:
                told = ran.stderr[-300:].decode("utf-8", "replace").strip() or ran.message
                failure = f"the guest's code ended with {ran.return_code}: {told}"
        raise BackendUnavailable(f"the server {self._server.url} cannot be used: {failure}")

    async def launch(self, role: Role) -> RemoteGuest:
        """Make a guest: nothing is started on the server before there is work."""
        assert self._packer is not None
        return RemoteGuest(role, self._packer)

    async def run_script(self, script: Script, limits: Limits) -> ScriptResult:
        """Run a general script: one ``/run_code``. Cancelling ends the request; the server ends the
        script at its time limit."""
        assert self._server is not None
        fields = fields_of(script, limits)
        try:
            ran: Any = await self._server.run(fields, limits.wall_s)
        except ServerFault as error:
            ran = error
        return result_of(ran, script, limits, backend=NAME, interpreter=self.interpreter)

    async def close(self) -> None:
        """End all requests and connections."""
        if self._packer is not None:
            await self._packer.close()
            self._packer = None
        if self._server is not None:
            await self._server.close()
            self._server = None


class RemoteGuest:
    """Local sockets whose frames are answered by a server, first in, first out."""

    def __init__(self, role: Role, packer: Packer) -> None:
        self._role = role
        self._packer = packer
        self._ours, self._theirs = socket.socketpair()
        for end in (self._ours, self._theirs):
            end.setblocking(False)
        self.read_fd = self.write_fd = self._theirs.fileno()
        self._replies: deque[asyncio.Future[bytes]] = deque()
        self._arrived = asyncio.Event()
        self._tasks = [asyncio.create_task(self._receive()), asyncio.create_task(self._answer())]

    async def _receive(self) -> None:
        loop = asyncio.get_running_loop()
        data = bytearray()
        while chunk := await loop.sock_recv(self._ours, 1 << 18):
            data += chunk
            while len(data) >= 4 and len(data) >= (end := 4 + int.from_bytes(data[:4], "little")):
                self._replies.append(self._packer.submit(self._role, bytes(data[4:end])))
                del data[:end]
            self._arrived.set()

    async def _answer(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError, GuestDied):
            while True:
                while self._replies:
                    reply = (await self._replies[0])[:MAX_FRAME]
                    self._replies.popleft()
                    await loop.sock_sendall(self._ours, len(reply).to_bytes(4, "little") + reply)
                self._arrived.clear()
                await self._arrived.wait()
        with contextlib.suppress(OSError):
            self._ours.shutdown(socket.SHUT_RDWR)  # the pool sees a guest that has died

    def memory_kills(self) -> int:
        """Not known: the server does not tell."""
        return 0

    def kill(self) -> None:
        """Let go of all jobs."""
        for task in self._tasks:
            task.cancel()
        for reply in self._replies:
            reply.cancel()

    async def close(self) -> None:
        """Let go of all jobs and close the sockets. Safe to call twice."""
        self.kill()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._ours.close()
        self._theirs.close()


def _blobs(lines: dict[int, bytes]) -> dict[str, bytes]:
    return {"parser": pack_body(lines[1]), "zygote": pack_body(lines[2])}


def _display(name: str) -> str:
    return {"cpython": "CPython", "pypy": "PyPy"}.get(name, name)


def _cannot_run(url: str, text: bytes) -> str:
    try:
        facts = json.loads(text)
        version = ".".join(map(str, facts["version"]))
        what = f"{_display(facts['name'])} {version}"
        return (
            f"the interpreter of {url} cannot run the guest's code: it is {what}, and CPython "
            f"{'.'.join(map(str, _OLDEST))} or newer is needed ({facts['failure']})"
        )
    except (ValueError, LookupError, TypeError):
        return f"the interpreter of {url} cannot run the guest's code"


def _what_it_promises(url: str, facts: dict[str, Any]) -> tuple[bool, tuple[str, ...]]:
    """Whether the sandbox looks like one from inside, and what speaks against it."""
    holes = []
    if facts["root"]:
        holes.append("programs run as root")
    if facts["network"]:
        holes.append("programs see a network")
    if facts["processes"] > _OWN_PROCESSES:
        holes.append("programs see other processes")
    if facts["writes"]:
        holes.append(f"programs may write to {', '.join(facts['writes'])}")
    warnings = [f"programs are isolated by {url}, if at all: this side cannot prove it"]
    if holes:
        warnings.append(f"NO ISOLATION is promised: on {url} {'; '.join(holes)}")
    if not facts["filter"]:
        warnings.append(
            f"{url} lets programs have no system call filter of ours: what it permits (new "
            "files, sockets) is not 'forbidden' here, programs of one request may see traces of "
            "each other, and where /proc shows it a program can read the memory of the process "
            "that vouches for its result"
        )
    warnings.append("memory and processes are limited for each process only, and by the server")
    return not holes, tuple(warnings)


_OWN_PROCESSES = 8

"""Two ways for bytes to and from the first process of a container.

* A unix socket of this machine, bound into the container. The process connects to it before it
  becomes what it should be. Twice as quick as the other way; needs an engine on this machine, and a
  runtime that shares the host's sockets (gVisor does not).
* The engine's attach stream: works everywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path

from executor.backends.host.owner import left_behind, this_process
from executor.backends.image.build import PYTHON
from executor.backends.image.guest_code import launcher
from executor.fds import read_some, readable, write_all
from executor.tasks import end_all

SOCKET_INSIDE = "/run/executor.sock"
"""Path of the socket inside a container."""

_PREFIX = "executor-docker-"
_CONNECT = launcher("connect.py")
_STDOUT = 1
_MAX_BUFFERED = 1 << 20
_READ_SIZE = 1 << 16


class Stream:
    """Non-blocking descriptors to a container: ``write_fd`` is its input, ``read_fd`` its output.
    End of file on the latter means that the container is gone."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self.read_fd = self.write_fd = sock.fileno()

    def peer_pid(self) -> int | None:
        """The process at the other end, as this machine numbers it; ``None`` if not known."""
        credentials = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int(struct.unpack("3i", credentials)[0]) or None

    def shutdown(self) -> None:
        """Tell the other side that nobody is here any more."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def is_ended(self) -> bool:
        """Whether the other side has gone."""
        try:
            return not self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Close; safe to call twice."""
        self._socket.close()


class AttachStream(Stream):
    """An attach stream: takes Docker's frames off the output."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._loop = asyncio.get_running_loop()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self.read_fd = self._reader.fileno()
        self._head = bytearray()
        self._left = 0
        self._keep = False
        self._out = bytearray()
        self._ended = False
        self._closed = False
        self._loop.add_reader(self._socket.fileno(), self._receive)

    def peer_pid(self) -> int | None:
        """Not known: the other end is the engine."""
        return None

    def is_ended(self) -> bool:
        """Whether the container's output has ended."""
        return self._ended

    def _receive(self) -> None:
        try:
            data = self._socket.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._ended = True
            self._loop.remove_reader(self._socket.fileno())
            self._send()
            return
        self._take(memoryview(data))
        self._send()

    def _take(self, data: memoryview) -> None:
        while data:
            if not self._left:
                part, data = data[: 8 - len(self._head)], data[8 - len(self._head) :]
                self._head += part
                if len(self._head) == 8:
                    kind, self._left = struct.unpack(">B3xI", self._head)
                    self._keep = kind == _STDOUT
                    self._head.clear()
                continue
            part, data = data[: self._left], data[self._left :]
            self._left -= len(part)
            if self._keep:
                self._out += part

    def _send(self) -> None:
        if self._closed:
            return
        try:
            while self._out:
                del self._out[: self._writer.send(self._out)]
        except BlockingIOError:
            self._loop.add_writer(self._writer.fileno(), self._send)
            if len(self._out) > _MAX_BUFFERED and not self._ended:
                self._loop.remove_reader(self._socket.fileno())
            return
        except OSError:
            self._out.clear()
        self._loop.remove_writer(self._writer.fileno())
        if self._ended:
            self._writer.shutdown(socket.SHUT_WR)
        else:
            self._loop.add_reader(self._socket.fileno(), self._receive)

    def close(self) -> None:
        """Close; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._writer.fileno())
        for sock in (self._socket, self._reader, self._writer):
            sock.close()


class SocketDirectory:
    """A directory for the sockets that containers connect to. Others cannot list it, and a socket's
    name is there only until its container has connected."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{this_process()}-"))
        self.directory.chmod(0o711)
        self._number = 0

    @staticmethod
    def reap() -> None:
        """Remove the directories of processes that were killed."""
        for directory in left_behind(_PREFIX):
            shutil.rmtree(directory, ignore_errors=True)

    def open(self) -> ContainerSocket:
        """Make a socket for one container."""
        self._number += 1
        return ContainerSocket(self.directory, self._number)

    def close(self) -> None:
        """Remove the directory."""
        shutil.rmtree(self.directory, ignore_errors=True)


class ContainerSocket:
    """A socket that one container connects to, once."""

    def __init__(self, directory: Path, number: int) -> None:
        self.path = directory / f"{number}.{os.urandom(8).hex()}"
        self._listener = socket.socket(socket.AF_UNIX)
        self._bind()
        self._listener.listen(1)
        self._listener.setblocking(False)

    def _bind(self) -> None:
        # Through the directory's descriptor: a path in a deep temporary directory is too long.
        folder = os.open(self.path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            self._listener.bind(f"/proc/self/fd/{folder}/{self.path.name}")
        finally:
            os.close(folder)
        self.path.chmod(0o666)

    @property
    def binds(self) -> dict[str, dict[str, str]]:
        """The folder that is bound into the container."""
        return {str(self.path): {"bind": SOCKET_INSIDE, "mode": "ro"}}

    @staticmethod
    def command(command: Sequence[str]) -> list[str]:
        """Connect, then become the command."""
        return [PYTHON, "-I", "-S", "-B", "-c", _CONNECT, SOCKET_INSIDE, *command]

    async def accept(self) -> Stream:
        """Wait for the container to connect."""
        while True:
            await readable(self._listener.fileno())
            with contextlib.suppress(BlockingIOError):
                return Stream(self._listener.accept()[0])

    def close(self) -> None:
        """Remove the socket's name."""
        self._listener.close()
        self.path.unlink(missing_ok=True)


async def exchange(stream: Stream, request: bytes, *, max_reply: int, deadline_s: float) -> bytes:
    """Send a request and read until the end of file, the deadline, or ``max_reply`` and one byte.

    Returns what was read."""
    reply = bytearray()
    sending = asyncio.create_task(write_all(stream.write_fd, request))
    try:
        async with asyncio.timeout(deadline_s):
            while len(reply) <= max_reply:
                chunk = await read_some(stream.read_fd)
                if not chunk:
                    break
                reply += chunk
    except TimeoutError:
        pass
    finally:
        await end_all([sending])
    return bytes(reply[: max_reply + 1])

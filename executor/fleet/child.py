"""A process of a fleet: one executor, and a connection to the process that gives it items.

    python -m executor.fleet.child DESCRIPTOR CORE,CORE,...

It ends when the connection does, however that comes about.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import sys
import threading
import time

from executor.fleet.frames import Connection, Frame
from executor.fleet.messages import ExecutorSettings
from executor.fleet.serving import Serving

_END_WITHIN_S = 20.0


class Child:
    """The executor of this process, and the connection that drives it."""

    def __init__(self) -> None:
        self._serving = Serving(self._send, ExecutorSettings.make)
        self._connection = Connection(self._serving.take, self._serving.end)

    def _send(self, kind: Frame, body: bytes) -> None:
        self._connection.send(kind, body)

    async def run(self, stream: socket.socket) -> None:
        """The whole life."""
        await asyncio.get_running_loop().create_unix_connection(
            lambda: self._connection, sock=stream
        )
        await self._serving.run()
        self._connection.close()


def _end_with(descriptor: int) -> None:
    """End this process some time after the other end is gone, even if its event loop hangs."""
    poll = select.poll()
    poll.register(descriptor, select.POLLRDHUP)
    poll.poll()
    time.sleep(_END_WITHIN_S)
    os._exit(1)


def _ignore(_number: int, _frame: object) -> None:
    pass


def main() -> None:
    """The process."""
    # Who has started it decides when it ends: by the connection. (Handlers, not SIG_IGN: what is
    # ignored would be so in guests, too.)
    signal.signal(signal.SIGINT, _ignore)
    signal.signal(signal.SIGTERM, _ignore)
    os.sched_setaffinity(0, {int(core) for core in sys.argv[2].split(",")})
    stream = socket.socket(fileno=int(sys.argv[1]))
    threading.Thread(target=_end_with, args=(os.dup(stream.fileno()),), daemon=True).start()

    async def live() -> None:
        await Child().run(stream)

    try:
        import uvloop  # noqa: PLC0415 - of the extra for the service
    except ImportError:
        asyncio.run(live())
    else:
        uvloop.run(live())


if __name__ == "__main__":
    main()

"""What tests of the client share: items, patience, and proxies that do harm."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Iterator

from executor import Triplet
from executor.client import Retries, Timeouts

HASTY = Timeouts(connect_s=1, silence_s=10, start_s=10, probe_s=0.5, check_s=0.3)
SHORT = Retries(give_up_s=2, first_pause_s=0.02, longest_pause_s=0.2)
LONG = Retries(give_up_s=60, first_pause_s=0.02, longest_pause_s=0.2)


def squares(count: int, tag: str = "") -> list[Triplet]:
    """Triplets with the output n * n; ``tag`` makes programs that no cache knows."""
    return [
        Triplet(program=f"def f(n):\n    return n * n  # {tag}", inputs=(str(n),), id=n)
        for n in range(count)
    ]


def slow(seconds: float, tag: str) -> Triplet:
    """A triplet that takes about so long for each of its runs."""
    program = (
        f"from time import monotonic\ndef f(n):\n    end = monotonic() + {seconds}\n"
        f"    while monotonic() < end:\n        pass\n    return n  # {tag}"
    )
    return Triplet(program=program, inputs=("1",))


class Proxy:
    """Passes bytes on to a port of this machine, in a thread of its own.

    ``cut_after``: ends each connection after a random number of bytes of the answer, up to this.
    ``frozen``: connections stay open, but nothing passes any more.
    """

    def __init__(self, port: int, *, cut_after: int | None = None, seed: int = 1) -> None:
        self.frozen = False
        self.cut_after = cut_after
        self.connections = 0
        self.cuts = 0
        self.port = 0
        self._target = port
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._end = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._end.wait()
        server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:  # also of connections whose task had not begun
            writer.transport.abort()
        await asyncio.sleep(0.05)  # transports close in a later turn of the loop

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        task = self._loop.create_task(self._connection(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = self._random.randint(0, self.cut_after) if self.cut_after is not None else None
        with contextlib.suppress(OSError):
            there, to_there = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers.add(to_there)
            ways = [
                asyncio.create_task(self._pass_on(reader, to_there, None)),
                asyncio.create_task(self._pass_on(there, writer, left)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
                to_there.close()
        writer.transport.abort()

    async def _pass_on(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, left: int | None
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                while self.frozen:  # noqa: ASYNC110 - set by another thread
                    await asyncio.sleep(0.02)
                if left is not None and len(data) >= left:
                    sink.write(data[:left])
                    await sink.drain()
                    self.cuts += 1
                    return
                sink.write(data)
                await sink.drain()
                left = None if left is None else left - len(data)

    def __enter__(self) -> Proxy:
        self._thread.start()
        assert self._listening.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)


@contextlib.contextmanager
def killed_later(process: object, seconds: float, signal: int) -> Iterator[None]:
    """Send a signal to a process after a while."""
    timer = threading.Timer(seconds, lambda: process.send_signal(signal))  # type: ignore[attr-defined]
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()

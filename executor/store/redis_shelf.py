"""Entries in a Redis server: for many machines.

Questions of one moment go together, and so do writes. A server that does not answer in time is left
alone for some seconds: everything is computed meanwhile, as without a store.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

from executor.errors import ConfigurationError
from executor.tasks import end_all

_PREFIX = b"azr:1:"
_TOGETHER = 256
"""Keys of one question, entries of one write."""
_UNWRITTEN = 20_000
"""Entries that may wait to be written; more are not kept."""
_OUT_OF_USE_S = 5.0
_OPEN_S = 10.0


class RedisShelf:
    """A :class:`executor.store.shelf.Shelf` on a server.

    Args:
        url: Address, as the client library reads it.
        shown: The same without a password.
        patience_s: What an answer may take.
    """

    def __init__(self, url: str, shown: str, patience_s: float) -> None:
        self.errors = 0
        self._url = url
        self._shown = shown
        self._patience_s = patience_s
        self._client: Any = None
        self._asked: dict[bytes, asyncio.Future[bytes | None]] = {}
        self._unwritten: dict[bytes, bytes] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._writing: asyncio.Task[None] | None = None
        self._not_before = 0.0

    async def open(self) -> None:
        """Connect once, to know that it can be used."""
        try:
            import redis.asyncio  # noqa: PLC0415 - an extra
        except ImportError:
            raise ConfigurationError(
                f"the store {self._shown} needs the package 'redis': "
                "pip install 'absolute-zero-executor[redis]'"
            ) from None
        try:
            self._client = redis.asyncio.from_url(self._url, socket_connect_timeout=_OPEN_S)
            async with asyncio.timeout(_OPEN_S):
                await self._client.ping()
        except (redis.RedisError, OSError, TimeoutError, ValueError) as error:
            await self.close()
            # Not the message: it may quote the address with its password.
            raise ConfigurationError(
                f"cannot use the store {self._shown}: {type(error).__name__}"
            ) from None

    async def get(self, key: bytes) -> bytes | None:
        """What is kept under a key. All questions of one turn of the event loop go together."""
        if self._client is None or time.monotonic() < self._not_before:
            return None
        answer = self._asked.get(key)
        if answer is None:
            loop = asyncio.get_running_loop()
            if not self._asked:
                loop.call_soon(self._ask)
            answer = self._asked[key] = loop.create_future()
        return await asyncio.shield(answer)

    def put(self, key: bytes, entry: bytes) -> None:
        """Keep an entry, some time later."""
        if self._client is None or len(self._unwritten) >= _UNWRITTEN:
            self.errors += 1
            return
        self._unwritten[key] = entry
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())

    async def flush(self) -> None:
        """Wait until all that was put is written, or given up."""
        if self._writing is not None:
            await asyncio.wait([self._writing])

    async def entries(self) -> AsyncGenerator[tuple[bytes, bytes], None]:
        """All entries."""
        cursor = 0
        while True:
            cursor, names = await self._client.scan(cursor, match=_PREFIX + b"*", count=_TOGETHER)
            found = await self._client.mget(names) if names else []
            for name, entry in zip(names, found, strict=True):
                if entry is not None:
                    yield name.removeprefix(_PREFIX), entry
            if cursor == 0:
                return

    async def close(self) -> None:
        """Write what is left, and disconnect."""
        await self.flush()
        await end_all(self._tasks)
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _ask(self) -> None:
        asked, self._asked = self._asked, {}
        pairs = list(asked.items())
        for start in range(0, len(pairs), _TOGETHER):
            task = asyncio.create_task(self._answer(pairs[start : start + _TOGETHER]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, asked: list[tuple[bytes, asyncio.Future[bytes | None]]]) -> None:
        found: list[bytes | None] = [None] * len(asked)
        try:
            async with asyncio.timeout(self._patience_s):
                found = await self._client.mget([_PREFIX + key for key, _ in asked])
        except Exception as error:
            self._failed(error)
        finally:
            for (_, answer), entry in zip(asked, found, strict=True):
                if not answer.done():
                    answer.set_result(entry)

    async def _write(self) -> None:
        try:
            while self._unwritten:
                keys = list(self._unwritten)[:_TOGETHER]
                some = {_PREFIX + key: self._unwritten.pop(key) for key in keys}
                async with asyncio.timeout(_OPEN_S):
                    await self._client.mset(some)
        except Exception as error:
            self._unwritten.clear()
            self._failed(error)
        finally:
            self._writing = None

    def _failed(self, _error: Exception) -> None:
        """Whatever a client library raises, it costs no more than what is not kept."""
        self.errors += 1
        self._not_before = time.monotonic() + _OUT_OF_USE_S

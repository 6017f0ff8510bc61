"""Entries in an SQLite file: for the processes of one machine.

Reads are made in the event loop, for they take microseconds: the write-ahead log lets them go on
while another process writes. Writes are made in a thread, many in one transaction. A process that
is killed loses what it had not written yet, and never what was written.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncGenerator
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from executor.errors import ConfigurationError

_FORMAT = 1
_BUSY_S = 30.0
_BATCH = 1000
"""Entries of a transaction, at most."""
_UNWRITTEN = 20_000
"""Entries that may wait to be written; more are not kept."""
_CHECKS = 32
"""The file's size is looked at when so small a part of what it may have was written."""
_PART = 16
"""The share of entries, 1 in so many, that makes room for new ones."""
_PAGE_OF_ENTRIES = 256

_Item = tuple[bytes, bytes] | asyncio.Future[None] | None
"""An entry; somebody who waits until what came before is written; or the end."""


class SqliteShelf:
    """A :class:`executor.store.shelf.Shelf` in a file.

    Args:
        path: The file, on a local disk: network file systems lock badly.
        max_bytes: What the file may take.
    """

    def __init__(self, path: str, max_bytes: int) -> None:
        self.errors = 0
        self._path = path
        self._max_bytes = max_bytes
        self._reader: sqlite3.Connection | None = None
        self._queue: SimpleQueue[_Item] = SimpleQueue()
        self._thread: Thread | None = None

    async def open(self) -> None:
        """Open the file; it is made if it is not there."""
        self._reader = await asyncio.to_thread(_connect, self._path)
        self._thread = Thread(target=self._write, name="verdict-store", daemon=True)
        self._thread.start()

    async def get(self, key: bytes) -> bytes | None:
        """What is kept under a key."""
        if self._reader is None:
            return None
        try:
            row = self._reader.execute("SELECT entry FROM entries WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error:
            self.errors += 1
            return None
        return row[0] if row is not None and isinstance(row[0], bytes) else None

    def put(self, key: bytes, entry: bytes) -> None:
        """Keep an entry, some time later."""
        if self._queue.qsize() < _UNWRITTEN:
            self._queue.put((key, entry))
        else:
            self.errors += 1

    async def flush(self) -> None:
        """Wait until all that was put is written."""
        if self._thread is not None:
            written = asyncio.get_running_loop().create_future()
            self._queue.put(written)
            await written

    async def entries(self) -> AsyncGenerator[tuple[bytes, bytes], None]:
        """All entries, oldest first."""
        last = 0
        while self._reader is not None:
            rows = self._reader.execute(
                "SELECT rowid, key, entry FROM entries WHERE rowid > ? ORDER BY rowid LIMIT ?",
                (last, _PAGE_OF_ENTRIES),
            ).fetchall()
            for _, key, entry in rows:
                if isinstance(key, bytes) and isinstance(entry, bytes):
                    yield key, entry
            if not rows:
                return
            last = rows[-1][0]

    async def close(self) -> None:
        """Write what is left, and close the file."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(thread.join)
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    # ---- the writing thread --------------------------------------------------------------------

    def _write(self) -> None:
        try:
            connection = _connect(self._path)
        except ConfigurationError:
            self.errors += 1
            connection = None
        written = self._max_bytes  # what is there already may be too much
        going_on = True
        while going_on:
            entries, waiting, going_on = self._taken()
            try:
                if connection is not None and entries:
                    with connection:
                        connection.executemany(
                            "INSERT OR REPLACE INTO entries (key, entry) VALUES (?, ?)", entries
                        )
                    written += sum(len(entry) for _, entry in entries)
                    if written * _CHECKS >= self._max_bytes:
                        written = 0
                        self._make_room(connection)
            except sqlite3.Error:  # a full disk, a lock that somebody does not give back
                self.errors += 1
            for future in waiting:
                # The loop may be gone, and with it whoever waited.
                with contextlib.suppress(RuntimeError):
                    future.get_loop().call_soon_threadsafe(_finish, future)
        if connection is not None:
            connection.close()

    def _taken(self) -> tuple[list[tuple[bytes, bytes]], list[asyncio.Future[None]], bool]:
        """What is to be written now, who waits for that, and whether more may come."""
        entries: list[tuple[bytes, bytes]] = []
        waiting: list[asyncio.Future[None]] = []
        item = self._queue.get()
        while True:
            if item is None:
                return entries, waiting, False
            if isinstance(item, tuple):
                entries.append(item)
            else:
                waiting.append(item)
            if len(entries) >= _BATCH or self._queue.empty():
                return entries, waiting, True
            item = self._queue.get()

    def _make_room(self, connection: sqlite3.Connection) -> None:
        """Drop the oldest entries while the file is too large. Freed pages are used again."""
        for _ in range(_PART):
            pages, free, size = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
            if (pages - free) * size < self._max_bytes:
                return
            with connection:
                connection.execute(
                    "DELETE FROM entries WHERE rowid <= (SELECT min(rowid) + "
                    f"(max(rowid) - min(rowid)) / {_PART} FROM entries)"
                )


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _connect(path: str) -> sqlite3.Connection:
    """Open the file. Raises :class:`ConfigurationError`: it is no store, or cannot be used."""
    try:
        # Not there yet: only its folder has to be.
        if not Path(path).parent.is_dir():
            raise ConfigurationError(f"cannot use the store {path}: its folder does not exist")
        connection = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise ConfigurationError(f"cannot use the store {path}: {error}") from None
    return connection


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if found != _FORMAT and tables:
            raise ConfigurationError(
                f"{path} is no store of this version: name another file, or move it away"
            )
        connection.execute(
            "CREATE TABLE IF NOT EXISTS entries (key BLOB NOT NULL UNIQUE, entry BLOB NOT NULL)"
        )
        connection.execute(f"PRAGMA user_version = {_FORMAT}")

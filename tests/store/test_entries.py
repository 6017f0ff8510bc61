"""Entries: kept, found by others, and believed only where all fits."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from executor import ConfigurationError, StoreSettings
from executor.store.seal import Seal, Sealed, read_situation, situation_bytes
from executor.store.store import Store, StoreStats
from tests.store.conftest import RedisServer

FACTS = {"version": "1", "interpreter": "CPython 3.12.1"}
KEY = "ab" * 32
SEALED = Sealed(situation_bytes(FACTS), b'{"program": "p"}', b"[1]", b"value")


@asynccontextmanager
async def opened(settings: StoreSettings, **facts: str) -> AsyncIterator[Store]:
    store = Store(settings, {**FACTS, **facts})
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def keep(settings: StoreSettings, *keys: str, **facts: str) -> None:
    async with opened(settings, **facts) as store:
        for key in keys or (KEY,):
            store.section({}).put(key, b"task", b"head", b"values")


async def test_what_one_process_keeps_another_finds(settings: StoreSettings) -> None:
    await keep(settings)
    async with opened(settings) as store:
        found = await store.section({}).get(KEY)
        assert found is not None
        assert found[1:] == (b"task", b"head", b"values")
        assert await store.section({}).get("cd" * 32) is None
        assert store.stats() == StoreStats(hits=1, misses=1)


async def test_what_was_put_is_found_after_a_flush(settings: StoreSettings) -> None:
    async with opened(settings) as store, opened(settings) as other:
        for number in range(700):
            store.section({}).put(f"{number:064x}", b"task", b"head", bytes([number % 256]))
        await store.flush()
        asked = [other.section({}).get(f"{number:064x}") for number in range(700)]
        found = await asyncio.gather(*asked)
        assert [one.values[0] for one in found if one] == [n % 256 for n in range(700)]


@pytest.mark.parametrize("other", [{"version": "2"}, {"interpreter": "CPython 3.12.2"}])
async def test_another_situation_has_entries_of_its_own(
    settings: StoreSettings, other: dict[str, str]
) -> None:
    await keep(settings)
    async with opened(settings, **other) as store:
        assert await store.section({}).get(KEY) is None
    async with opened(settings) as store:
        assert await store.section({"limits": "others"}).get(KEY) is None
        assert await store.section({}).get(KEY) is not None


async def test_entries_of_another_key_are_refused(settings: StoreSettings, tmp_path: Path) -> None:
    await keep(settings)
    stranger = tmp_path / "other.key"
    stranger.write_bytes(bytes(32))
    async with opened(settings.model_copy(update={"key_file": str(stranger)})) as store:
        assert await store.section({}).get(KEY) is None
        assert store.stats() == StoreStats(misses=1, refused=1)
        store.section({}).put(KEY, b"task", b"mine", b"")
        await store.flush()
        found = await store.section({}).get(KEY)
        assert found is not None
        assert found.head == b"mine"


async def test_an_entry_under_another_name_is_refused(sqlite: StoreSettings) -> None:
    await keep(sqlite, KEY, "cd" * 32)
    with sqlite3.connect(sqlite.url) as file:
        rows = file.execute("SELECT key, entry FROM entries").fetchall()
        entries = [entry for _, entry in reversed(rows)]
        for (key, _), entry in zip(rows, entries, strict=True):
            file.execute("UPDATE entries SET entry = ? WHERE key = ?", (entry, key))
    file.close()
    async with opened(sqlite) as store:
        assert await store.section({}).get(KEY) is None
        assert store.stats().refused == 1


@given(place=st.integers(0, 10_000), change=st.integers(1, 255), cut=st.booleans())
@examples(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_changed_or_cut_entry_is_believed(place: int, change: int, cut: bool) -> None:
    seal = Seal(b"secret of the tests")
    entry = seal.close(b"name", SEALED)
    assert seal.open(b"name", entry) == SEALED
    place %= len(entry)
    changed = bytearray(entry)
    changed[place] ^= change
    assert seal.open(b"name", entry[:place] if cut else bytes(changed)) is None
    assert seal.open(b"mane", entry) is None


def test_the_situation_of_an_entry_can_be_read() -> None:
    assert read_situation(SEALED.situation) == FACTS
    with pytest.raises(ValueError, match="Error"):
        read_situation(b"nonsense")


# ---- keys ------------------------------------------------------------------------------------


async def test_a_key_is_made_for_its_owner_alone(sqlite: StoreSettings) -> None:
    await asyncio.gather(*[keep(sqlite) for _ in range(8)])
    found = os.stat(f"{sqlite.url}.key")
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert found.st_size == 32
    assert sorted(os.listdir(os.path.dirname(sqlite.url))) == ["verdicts.db", "verdicts.db.key"]


async def test_redis_needs_a_key_that_is_named() -> None:
    with pytest.raises(ConfigurationError, match="redis://host/1 needs a key"):
        await Store(StoreSettings(url="redis://:password@host/1"), FACTS).open()


async def test_a_short_key_is_none(sqlite: StoreSettings, tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"123")
    settings = sqlite.model_copy(update={"key_file": str(tmp_path / "short")})
    with pytest.raises(ConfigurationError, match="too short"):
        await Store(settings, FACTS).open()


# ---- SQLite ----------------------------------------------------------------------------------


def test_another_file_is_no_store(sqlite: StoreSettings) -> None:
    Path(sqlite.url).write_bytes(b"something else" * 100)
    with pytest.raises(ConfigurationError, match="cannot use the store"):
        asyncio.run(Store(sqlite, FACTS).open())


async def test_a_store_of_another_format_is_left_alone(sqlite: StoreSettings) -> None:
    with sqlite3.connect(sqlite.url) as file:
        file.execute("CREATE TABLE theirs (x)")
    file.close()
    with pytest.raises(ConfigurationError, match="no store of this version"):
        await Store(sqlite, FACTS).open()


async def test_a_store_without_a_folder_says_so(tmp_path: Path) -> None:
    settings = StoreSettings(url=str(tmp_path / "nowhere/v.db"), key_file=str(tmp_path / "key"))
    (tmp_path / "key").write_bytes(bytes(32))
    with pytest.raises(ConfigurationError, match="its folder does not exist"):
        await Store(settings, FACTS).open()


async def test_a_full_store_drops_its_oldest_entries(sqlite: StoreSettings) -> None:
    async with opened(sqlite.model_copy(update={"max_mib": 1})) as store:
        section = store.section({})
        for number in range(200):
            section.put(f"{number:064x}", b"task", b"head", os.urandom(16_000))
            await store.flush()
        assert await section.get(f"{199:064x}") is not None
        assert await section.get(f"{0:064x}") is None
    assert os.stat(sqlite.url).st_size < 2 << 20


WRITER = """
import asyncio, sys
from executor import StoreSettings
from executor.store.store import Store

async def main():
    store = Store(StoreSettings(url=sys.argv[1]), {"version": "1", "interpreter": "CPython 3.12.1"})
    await store.open()
    section = store.section({})
    first = int(sys.argv[2])
    for number in range(first, first + int(sys.argv[3])):
        section.put(f"{number:064x}", b"task", str(number).encode(), b"v" * 500)
        if number % 50 == 0:
            await store.flush()
            print(number, flush=True)
    await store.close()

asyncio.run(main())
"""


def writer(settings: StoreSettings, first: int, count: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WRITER, settings.url, str(first), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])


async def test_processes_write_at_the_same_time(sqlite: StoreSettings) -> None:
    writers = [writer(sqlite, 1000 * number, 1000) for number in range(3)]
    assert [process.wait(100) for process in writers] == [0, 0, 0]
    for process in writers:
        process.communicate()
    async with opened(sqlite) as store:
        found = [await store.section({}).get(f"{number:064x}") for number in range(3000)]
        assert [one.head for one in found if one] == [str(n).encode() for n in range(3000)]
        assert store.stats().errors == 0


async def test_a_writer_that_is_killed_loses_nothing_that_was_written(
    sqlite: StoreSettings,
) -> None:
    process = writer(sqlite, 0, 1_000_000)
    assert process.stdout is not None
    last = 0
    while last < 500:
        last = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.communicate()
    async with opened(sqlite) as store:
        found = [await store.section({}).get(f"{number:064x}") for number in range(last)]
        assert all(found)
        assert store.stats() == StoreStats(hits=last)
        store.section({}).put(KEY, b"task", b"head", b"")
        await store.flush()
        assert await store.section({}).get(KEY) is not None
    with sqlite3.connect(sqlite.url) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    file.close()


# ---- Redis -----------------------------------------------------------------------------------


async def test_a_server_that_is_gone_costs_no_more_than_a_miss(redis: RedisServer) -> None:
    await keep(redis.settings)
    async with opened(redis.settings) as store:
        section = store.section({})
        assert await section.get(KEY) is not None
        redis.stop()
        assert await section.get(KEY) is None
        assert await section.get(KEY) is None  # not asked again so soon
        section.put(KEY, b"task", b"head", b"")
        await store.flush()
        assert store.stats().hits == 1
        assert store.stats().errors == 2


async def test_a_server_that_hangs_is_not_waited_for(redis: RedisServer) -> None:
    settings = redis.settings.model_copy(update={"patience_s": 0.1})
    async with opened(settings) as store:
        redis.signal(signal.SIGSTOP)
        assert await store.section({}).get(KEY) is None
        assert store.stats().errors == 1
        redis.signal(signal.SIGCONT)


async def test_a_server_that_cannot_be_reached_is_told_without_its_password(
    tmp_path: Path,
) -> None:
    (tmp_path / "key").write_bytes(bytes(32))
    settings = StoreSettings(url="redis://:password@127.0.0.1:1", key_file=str(tmp_path / "key"))
    with pytest.raises(ConfigurationError, match="cannot use the store") as caught:
        await Store(settings, FACTS).open()
    assert "password" not in str(caught.value)

"""Things that are opened when asked for: how many at a time, and when they are closed."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

import pytest

from executor.api.on_demand import OnDemand


class Thing:
    """Notes when it is opened and closed."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self._log = log
        self.closed = asyncio.Event()

    async def __aenter__(self) -> Self:
        await asyncio.sleep(0)
        if self.name == "broken":
            raise OSError("it does not open")
        self._log.append(f"+{self.name}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.sleep(0)
        self._log.append(f"-{self.name}")
        self.closed.set()


def shelf(log: list[str], **how: float) -> OnDemand[Thing]:
    return OnDemand(lambda name: Thing(name, log), **how)  # type: ignore[arg-type]


async def test_one_is_opened_once_and_shared() -> None:
    log: list[str] = []
    things = shelf(log)

    async def use() -> Thing:
        async with things.use("a") as thing:
            await asyncio.sleep(0)
            return thing

    assert len({id(thing) for thing in await asyncio.gather(*(use() for _ in range(5)))}) == 1
    await things.close()
    assert log == ["+a", "-a"]


async def test_the_one_that_was_unused_for_longest_makes_room() -> None:
    log: list[str] = []
    things = shelf(log, most=2)
    for name in ("a", "b", "a", "c"):
        async with things.use(name):
            pass
    assert log == ["+a", "+b", "-b", "+c"]
    assert things.names == ("a", "c")
    await things.close()


async def test_who_finds_all_in_use_waits() -> None:
    log: list[str] = []
    things = shelf(log, most=1)
    inside = asyncio.Event()

    async def hold() -> None:
        async with things.use("a"):
            inside.set()
            for _ in range(5):
                await asyncio.sleep(0)
            log.append("done")

    holding = asyncio.create_task(hold())
    await inside.wait()
    async with things.use("b"):
        pass
    await holding
    await things.close()
    assert log == ["+a", "done", "-a", "+b", "-b"]


async def test_what_is_unused_for_long_is_closed_by_itself() -> None:
    log: list[str] = []
    things = shelf(log, idle_s=0.01)
    async with things.use("a") as thing:
        assert "a" in things.names
    async with asyncio.timeout(30):
        await thing.closed.wait()
    assert len(things.names) == 0
    assert log == ["+a", "-a"]
    await things.close()


async def test_what_does_not_open_leaves_nothing() -> None:
    things = shelf([])
    with pytest.raises(OSError, match="does not open"):
        async with things.use("broken"):
            pass
    assert len(things.names) == 0
    await things.close()

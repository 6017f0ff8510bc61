"""Whose turn it is: what comes later and goes first does not wait for what is in guests' pipes."""

from __future__ import annotations

import asyncio

import pytest

from executor import Executor, Limits, Triplet
from executor.pool.priority import priority

LIMITS = Limits(wall_s=60)
FLOOD = 80


def item(number: int) -> Triplet:
    """A program of some milliseconds."""
    program = f"def f(x):\n    return sum(i * i for i in range(x)) + {number}"
    return Triplet(program=program, inputs=("150000",))


@pytest.mark.timeout(300)
async def test_an_item_that_goes_first_waits_for_few_others() -> None:
    """Counted in others, not in seconds: two guests, of which each has a run in hand, and perhaps
    one behind it. With pipes full of runs it would be sixteen."""
    done: list[int] = []

    async with Executor(workers=2, limits=LIMITS) as executor:

        async def validate(number: int) -> None:
            assert (await executor.validate(item(number))).valid
            done.append(number)

        async with asyncio.TaskGroup() as group:
            with priority(yields_s=1000.0):
                for number in range(FLOOD):
                    group.create_task(validate(number))
            # By then the guests are known to be slow.
            while len(done) < FLOOD // 4:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0)
            before = len(done)
            await validate(FLOOD)
            assert done.index(FLOOD) - before <= 5

"""Does what verification wants on a pool: parsing, and runs of programs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import accumulate

from executor.errors import ProtocolError
from executor.models import Limits
from executor.pool.engine import Job, Run
from executor.pool.outcomes import LOST, understand
from executor.pool.parse_cache import ParseCache
from executor.pool.pool import MAX_ATTEMPTS, Ask, Pool
from executor.pool.worker import OutOfTime
from executor.wire.frames import (
    Call,
    How,
    Parsed,
    ParseItem,
    decode_parse_reply,
    encode_jobs,
    encode_parse_request,
)

_GRACE_S = 2.0
"""Seconds after its wall limit in which a guest has to report it."""
_PARSE_DEADLINE_S = 10.0
_PARSE_SLOW_S = 2.9
"""The parser ends by itself if one item takes 3 s of processor time."""
_OUT_OF_TIME = Parsed("crashed", ["parsing it takes more than 3 s of processor time"], [])
_SPAWN_ATTEMPTS = 3
_MAX_NUMBER = 0xFFFFFFFF
"""Of a job; then they begin again."""
_HARMLESS: ParseItem = ("value", "0", None)
"""A text that any working parser can parse."""


class PoolEngine:
    """The :class:`executor.pool.engine.Engine` on a pool of warm guests."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._job_number = 0
        self._cache = ParseCache(self._parse)

    async def parse(self, items: Sequence[ParseItem]) -> list[Parsed]:
        """See :class:`executor.pool.engine.Engine`."""
        return await self._cache.parse(items)

    async def _parse(self, items: Sequence[ParseItem]) -> list[Parsed]:
        parsed = await self._ask(items)
        if parsed is None:
            if len(items) > 1:  # one of the texts kills parsers: find out which
                return [parsed for item in items for parsed in await self._parse([item])]
            return [await self._verdict_on(items[0])]
        late = [number for number, one in enumerate(parsed) if one.outcome == "later"]
        if late:
            rest = await self._parse([items[number] for number in late])
            for number, one in zip(late, rest, strict=True):
                parsed[number] = one
        return parsed

    async def _ask(self, items: Sequence[ParseItem]) -> list[Parsed] | None:
        """The answers; ``None`` if parsers ended over the request."""
        try:
            answer = await self._pool.request(
                encode_parse_request(items),
                "parser",
                _PARSE_DEADLINE_S,
                once_if_slow_s=_PARSE_SLOW_S,
            )
        except OutOfTime:
            return None if len(items) > 1 else [_OUT_OF_TIME]
        if answer is None:
            return None
        try:
            parsed = decode_parse_reply(answer.payload, len(items))
        except ProtocolError:
            parsed = []
        if parsed and parsed[0].outcome != "later" and all(map(_fits, items, parsed)):
            return parsed
        return [Parsed("infra", ["the parser broke the protocol"], []) for _ in items]

    async def _verdict_on(self, item: ParseItem) -> Parsed:
        """Decide about an item over which parsers end: hostile, or the platform's victim."""
        harmless = await self._ask([_HARMLESS]) if item != _HARMLESS else None
        if harmless is not None and harmless[0].outcome == "literal":
            return Parsed("crashed", [f"parsing it ended {MAX_ATTEMPTS} parsers"], [])
        return Parsed("infra", ["the parsers fail"], [])

    async def run(self, jobs: Sequence[Job], limits: Limits) -> list[list[Run]]:
        """See :class:`executor.pool.engine.Engine`."""
        runs = await self._try(jobs, limits)
        return [
            [
                run or await self._again(job, call, limits)
                for call, run in zip(job.calls, each, strict=True)
            ]
            for job, each in zip(jobs, runs, strict=True)
        ]

    async def _again(self, job: Job, call: Call, limits: Limits) -> Run:
        """Make a call again, by itself, that did not come to a run, or that others killed."""
        for attempt in range(1, _SPAWN_ATTEMPTS):
            await asyncio.sleep(0.02 * attempt)  # no process could be made: let some end
            ((run,),) = await self._try([job._replace(calls=[call])], limits)
            if run is not None:
                return run
        return LOST

    async def _try(self, jobs: Sequence[Job], limits: Limits) -> list[list[Run | None]]:
        """The runs; ``None`` for those that must be repeated."""
        first = self._job_number
        asked = [self._ask_for(job, limits) for job in jobs]
        answers = await self._pool.requests(asked, self._patience_s(limits))
        found = [
            understand(answer, (first + number) & _MAX_NUMBER, limits)
            for number, answer in enumerate(answers, 1)
        ]
        ends = accumulate(len(job.calls) for job in jobs)
        return [found[end - len(job.calls) : end] for job, end in zip(jobs, ends, strict=True)]

    def _ask_for(self, job: Job, limits: Limits) -> Ask:
        frames = encode_jobs(
            self._job_number + 1,
            wall_ms=round(limits.wall_s * 1000),
            cpu_s=limits.cpu_s,
            memory_bytes=limits.memory_mib << 20,
            output_bytes=limits.output_kib << 10,
            order=job.order,
            code=job.code,
            calls=job.calls,
        )
        self._job_number += len(frames)
        preloaded = job.imports or any(how is How.ENCODED for how, _ in job.calls)
        return Ask("lib" if preloaded else "bare", job.variant, frames)

    def _patience_s(self, limits: Limits) -> float:
        # A run in a process that is reset may have to be made again in a fork.
        runs = 2 if self._pool.backend.process_reuse == "reset" else 1
        return runs * limits.wall_s + _GRACE_S


_CODE_FACTS: Mapping[str, Sequence[type]] = {"program": [list], "tests": [list, bool]}
"""Types of the facts about what was compiled, by what was asked for."""


def _fits(item: ParseItem, parsed: Parsed) -> bool:
    """Whether an answer of the parser has a shape that its question allows."""
    outcome, facts, blobs = parsed
    asked = item[0]
    if outcome == "later":
        return not facts and not blobs
    if outcome in ("screened", "syntax_error", "malformed"):
        return len(facts) == 1 and type(facts[0]) is str and not blobs
    if asked in _CODE_FACTS:
        types = [type(fact) for fact in facts]
        return outcome == "ok" and types == _CODE_FACTS[asked] and len(blobs) == 1
    if asked == "arguments" and outcome == "literal":
        return len(facts) == 1 and facts[0] in (How.VALUES, How.ENCODED) and len(blobs) == 1
    wanted = 2 if asked == "arguments" else 1
    return outcome in ("literal", "expression") and not facts and len(blobs) == wanted

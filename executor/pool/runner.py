"""Turns what verification wants into frames for the pool, and replies into typed outcomes."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Sequence

from executor.backends.base import Kind as GuestKind
from executor.backends.base import process_reuse_of
from executor.errors import ProtocolError
from executor.models import Limits, Signal, Status, Usage
from executor.pool.engine import NO_SIGNALS, CallOutcome, Run
from executor.pool.parse_cache import Front
from executor.pool.pool import MAX_ATTEMPTS, Pool
from executor.pool.syscalls import call_name
from executor.pool.worker import Answer, OutOfTime
from executor.wire.frames import (
    Call,
    How,
    Kind,
    Order,
    Outcome,
    Parsed,
    ParseItem,
    Record,
    Refusal,
    Reply,
    decode_parse_reply,
    decode_reply,
    decode_result,
    encode_job,
    encode_parse_request,
)

_GRACE_S = 2.0
"""How long after its wall limit a guest may take to report it."""
_PARSE_DEADLINE_S = 10.0
_PARSE_SLOW_S = 2.9
"""The parser ends by itself if one item takes 3 s of processor time."""
_OUT_OF_TIME = Parsed("crashed", ["parsing it takes more than 3 s of processor time"], [])
_SPAWN_ATTEMPTS = 3
_CPU_LIMIT_SHARE = 0.4
"""RLIMIT_CPU counts ticks: on a busy machine it strikes as early as at 0.6 of the limit."""
_HARMLESS: ParseItem = ("value", "0", None)
"""What a working parser can parse."""

_TAMPERING = frozenset({Signal.TAMPERING})
_FORGED_FRAME = frozenset({Signal.FORGED_FRAME})
_EARLY_EXIT = frozenset({Signal.EARLY_EXIT})
_FORBIDDEN_CALL = frozenset({Signal.FORBIDDEN_CALL})
_OBJECT_RESULT = frozenset({Signal.OBJECT_RESULT})
_NOT_ALLOWED = "made a system call that is not allowed"
_REFUSAL = re.compile(
    r"PermissionError: \[Errno (?:1\] Operation not permitted|13\] Permission denied)"
    r"|RuntimeError: can't start new thread$"
    r"|ValueError: not allowed to raise maximum limit$"
)
"""What Python makes of a refused call."""
_EXITS = frozenset({"SystemExit", "KeyboardInterrupt", "GeneratorExit"})
"""Exceptions that are meant to end more than the call."""

_INFRA = CallOutcome(Status.INFRA, detail="the platform failed in spite of retries")


class PoolEngine:
    """The :class:`executor.pool.engine.Engine` on a pool of warm guests."""

    def __init__(self, pool: Pool, limits: Limits) -> None:
        self._pool = pool
        self._limits = limits
        self._job_number = 0
        self._front = Front(self._parse)

    def limited(self, limits: Limits) -> PoolEngine:
        """The same engine, and the same memory of parsed programs, with other limits for runs."""
        engine = PoolEngine(self._pool, limits)
        engine._front = self._front
        return engine

    async def parse(self, items: Sequence[ParseItem]) -> list[Parsed]:
        """See :class:`executor.pool.engine.Engine`."""
        return await self._front.parse(items)

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
                None,
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
        """What an item is over which parsers end: hostile, or the platform's victim."""
        harmless = await self._ask([_HARMLESS]) if item != _HARMLESS else None
        if harmless is not None and harmless[0].outcome == "literal":
            return Parsed("crashed", [f"parsing it ended {MAX_ATTEMPTS} parsers"], [])
        return Parsed("infra", ["the parsers fail"], [])

    async def run(
        self,
        code: bytes,
        calls: Sequence[Call],
        *,
        colour: int | None,
        imports: bool,
        order: Order = Order.NATURAL,
    ) -> Run:
        """See :class:`executor.pool.engine.Engine`."""
        limits = self._limits
        self._job_number = (self._job_number + 1) & 0xFFFFFFFF
        number = self._job_number
        frame = encode_job(
            number,
            wall_ms=round(limits.wall_s * 1000),
            cpu_s=limits.cpu_s,
            memory_bytes=limits.memory_mib << 20,
            output_bytes=limits.output_kib << 10,
            order=order,
            code=code,
            calls=calls,
        )
        preloaded = imports or any(call.how is How.ENCODED for call in calls)
        kind: GuestKind = "lib" if preloaded else "bare"
        for attempt in range(_SPAWN_ATTEMPTS):
            answer = await self._pool.request(
                frame,
                kind,
                colour,
                self._patience_s(),
            )
            run = self._understand(answer, number, len(calls))
            if run is not None:
                return run
            await asyncio.sleep(0.02 * (attempt + 1))  # no process could be made: let some end
        return Run((_INFRA,) * len(calls), Usage(), whole=False)

    def _patience_s(self) -> float:
        # A run in a process that is reset may have to be made again in a fork.
        runs = 2 if process_reuse_of(self._pool.backend) == "reset" else 1
        return runs * self._limits.wall_s + _GRACE_S

    def _understand(self, answer: Answer | None, number: int, calls: int) -> Run | None:
        """The run; ``None`` if it must be repeated: it did not start, or others killed it."""
        if answer is None:
            return Run((_INFRA,) * calls, Usage(), whole=False)
        try:
            reply = decode_reply(answer.payload)
        except ProtocolError:
            return None
        if reply.number != number or reply.outcome is Outcome.SPAWN_FAILED:
            return None
        usage = Usage(
            wall_ms=reply.wall_us / 1000,
            cpu_ms=reply.cpu_us / 1000,
            peak_memory_kib=reply.peak_kib,
        )
        if reply.outcome is Outcome.RESULT:
            result = decode_result(reply.records, calls)
            if result is not None:
                sources, tampering, refusal, records = result
                if refusal is not None and refusal.ended_run:
                    return Run((_forbidden(refusal),) * calls, usage, whole=False)
                outcomes = tuple(map(self._record_outcome, records))
                if tampering:
                    outcomes = tuple(map(_tampered, outcomes))
                if refusal is not None:
                    outcomes = tuple(_refused(outcome, refusal) for outcome in outcomes)
                return Run(outcomes, usage, sources)
        end = self._end(reply, answer)
        return Run((end,) * calls, usage, whole=False) if end is not None else None

    def _end(self, reply: Reply, answer: Answer) -> CallOutcome | None:
        """What a run was that brought no result."""
        if reply.outcome is Outcome.WALL_LIMIT:
            detail = f"ran longer than {self._limits.wall_s:g} s"
            return CallOutcome(Status.WALL_LIMIT, detail=detail)
        if reply.outcome is Outcome.OUTPUT_LIMIT:
            return _output_limit(self._limits)
        if reply.outcome is Outcome.CLOSED:
            detail = "closed its result channel"
            return CallOutcome(Status.CRASHED, detail=detail, signals=_FORGED_FRAME)
        if reply.outcome is not Outcome.NO_RESULT:
            detail = "wrote to the result channel itself"
            return CallOutcome(Status.CRASHED, detail=detail, signals=_FORGED_FRAME)
        return self._death(reply, answer)

    def _death(self, reply: Reply, answer: Answer) -> CallOutcome | None:
        """What ended a run; ``None`` if somebody outside did, so that it says nothing."""
        number = reply.wait_status & 0x7F
        limits = self._limits
        signals = NO_SIGNALS
        if number == 0:
            code = reply.wait_status >> 8
            status, detail = Status.CRASHED, f"ended its process (exit code {code}) in the run"
            signals = _EARLY_EXIT
        elif number == signal.SIGSYS:
            status, detail = Status.FORBIDDEN, _NOT_ALLOWED
            signals = _FORBIDDEN_CALL
        elif number not in (signal.SIGXCPU, signal.SIGKILL):
            status, detail = Status.CRASHED, f"ended by {_signal_name(number)}"
        elif answer.memory_killed():
            return _memory_limit(limits)
        elif reply.cpu_us >= limits.cpu_s * 1_000_000 * _CPU_LIMIT_SHARE:
            status = Status.CPU_LIMIT
            detail = f"used more than {limits.cpu_s} s of processor time"
        else:
            return None
        return CallOutcome(status, detail=detail, signals=signals)

    def _record_outcome(self, record: Record) -> CallOutcome:
        kind, payload = record
        if kind is Kind.VALUE:
            return CallOutcome(Status.OK, payload)
        if kind in (Kind.UNSERIALIZABLE, Kind.OBJECT):
            reason = payload[:500].decode("utf-8", "replace")
            return CallOutcome(
                Status.UNSERIALIZABLE,
                detail=f"returned no plain value: {reason}",
                signals=_OBJECT_RESULT if kind is Kind.OBJECT else NO_SIGNALS,
            )
        if kind is Kind.TOO_LARGE:
            return _output_limit(self._limits)
        if kind is Kind.NO_MEMORY:
            return _memory_limit(self._limits)
        return _error(payload, loading=kind is Kind.LOAD_ERROR)


def _fits(item: ParseItem, parsed: Parsed) -> bool:
    """Whether an answer of the parser has a shape that its question allows."""
    outcome, facts, blobs = parsed
    if outcome == "later":
        return not facts and not blobs
    if outcome in ("screened", "syntax_error", "malformed"):
        return len(facts) == 1 and type(facts[0]) is str and not blobs
    if item[0] == "tests":
        types = [type(fact) for fact in facts]
        return outcome == "ok" and types == [list, bool] and len(blobs) == 1
    if item[0] == "program":
        types = [type(fact) for fact in facts]
        return outcome == "ok" and types == [list] and len(blobs) == 1
    if item[0] == "arguments" and outcome == "literal":
        return len(facts) == 1 and facts[0] in (How.VALUES, How.ENCODED) and len(blobs) == 1
    wanted = 2 if item[0] == "arguments" else 1
    return outcome in ("literal", "expression") and not facts and len(blobs) == wanted


def _error(payload: bytes, *, loading: bool) -> CallOutcome:
    text = payload[:4096].decode("utf-8", "backslashreplace")
    name, _, rest = text.partition("\0")
    line, _, message = rest.partition("\0")
    where = f" (line {line})" if line.isdecimal() and line != "0" else ""
    when = " while the program was loaded" if loading else ""
    detail = f"{name}: {message}" if message else name
    if _REFUSAL.match(detail):  # elsewhere the program may have gone on: it is no task
        return CallOutcome(Status.FORBIDDEN, detail=f"{_NOT_ALLOWED}: {detail}{where}{when}")
    return CallOutcome(
        Status.ERROR,
        detail=f"{detail}{where}{when}",
        error_type=name,
        error_text=message,
        signals=_EARLY_EXIT if name in _EXITS else NO_SIGNALS,
    )


def _tampered(outcome: CallOutcome) -> CallOutcome:
    return outcome._replace(signals=outcome.signals | _TAMPERING)


def _forbidden(refusal: Refusal) -> CallOutcome:
    where = f" (line {refusal.line})" if refusal.line else ""
    detail = f"{_NOT_ALLOWED}: {call_name(refusal.call)}{where}"
    return CallOutcome(Status.FORBIDDEN, detail=detail, signals=_FORBIDDEN_CALL)


def _refused(outcome: CallOutcome, refusal: Refusal) -> CallOutcome:
    """An outcome after a refused call that is a sign of cheating."""
    if outcome.status is Status.FORBIDDEN:
        return _forbidden(refusal)
    return outcome._replace(signals=outcome.signals | _FORBIDDEN_CALL)


def _output_limit(limits: Limits) -> CallOutcome:
    detail = f"the value is larger than {limits.output_kib} KiB"
    return CallOutcome(Status.OUTPUT_LIMIT, detail=detail)


def _memory_limit(limits: Limits) -> CallOutcome:
    detail = f"needed more than {limits.memory_mib} MiB of memory"
    return CallOutcome(Status.MEMORY_LIMIT, detail=detail)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

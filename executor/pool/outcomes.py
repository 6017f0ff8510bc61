"""From a guest's reply to a job to an outcome for each of its calls."""

from __future__ import annotations

import re
import signal

from executor.errors import ProtocolError
from executor.libraries.missing import hint
from executor.models import Limits, Signal, Status
from executor.pool.engine import NO_SIGNALS, CallOutcome, Run, Used
from executor.pool.syscalls import call_name
from executor.pool.worker import RawReply
from executor.wire.frames import (
    Outcome,
    Record,
    RecordKind,
    Refusal,
    Reply,
    Result,
    decode_reply,
    decode_result,
    plain_value,
)

_CPU_LIMIT_SHARE = 0.4
"""RLIMIT_CPU counts ticks: on a busy machine it strikes as early as at 0.6 of the limit."""

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
"""Errors that Python makes of a refused call."""
_EXITS = frozenset({"SystemExit", "KeyboardInterrupt", "GeneratorExit"})
"""Exceptions that are meant to end more than the call."""

LOST = Run(CallOutcome(Status.INFRA, detail="the platform failed in spite of retries"))


def understand(answer: RawReply | None, number: int, limits: Limits) -> Run | None:
    """What came of a job with that number; ``None`` if it must be repeated: it did not start, or
    others killed it."""
    if answer is None:
        return LOST
    plain = plain_value(answer.payload)
    if plain is not None and plain.number == number:
        used = Used(plain.wall_us, plain.cpu_us, plain.peak_kib)
        return Run(CallOutcome(Status.OK, plain.value), used)
    try:
        reply = decode_reply(answer.payload)
    except ProtocolError:
        return None
    if reply.number != number or reply.outcome is Outcome.SPAWN_FAILED:
        return None
    used = Used(reply.wall_us, reply.cpu_us, reply.peak_kib)
    if reply.outcome is Outcome.RESULT:
        result = decode_result(reply.records)
        if result is not None:
            return Run(_outcome(result, limits), used, result.sources)
    end = _end(reply, answer, limits)
    return Run(end, used) if end is not None else None


def _outcome(result: Result, limits: Limits) -> CallOutcome:
    _, tampering, refusal, record = result
    if record is None:
        assert refusal is not None
        return _forbidden(refusal)
    outcome = _record_outcome(record, limits)
    if tampering:
        outcome = _tampered(outcome)
    return outcome if refusal is None else _refused(outcome, refusal)


def _end(reply: Reply, answer: RawReply, limits: Limits) -> CallOutcome | None:
    """The outcome of a run that brought no result."""
    if reply.outcome is Outcome.WALL_LIMIT:
        detail = f"ran longer than {limits.wall_s:g} s"
        return CallOutcome(Status.WALL_LIMIT, detail=detail)
    if reply.outcome is Outcome.OUTPUT_LIMIT:
        return _output_limit(limits)
    if reply.outcome is Outcome.CLOSED:
        detail = "closed its result channel"
        return CallOutcome(Status.CRASHED, detail=detail, signals=_FORGED_FRAME)
    if reply.outcome is not Outcome.NO_RESULT:
        detail = "wrote to the result channel itself"
        return CallOutcome(Status.CRASHED, detail=detail, signals=_FORGED_FRAME)
    return _death(reply, answer, limits)


def _death(reply: Reply, answer: RawReply, limits: Limits) -> CallOutcome | None:
    """The cause of a run's end; ``None`` if it came from outside and says nothing."""
    number = reply.wait_status & 0x7F
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
    elif answer.memory_killed:
        return _memory_limit(limits)
    elif reply.cpu_us >= limits.cpu_s * 1_000_000 * _CPU_LIMIT_SHARE:
        status = Status.CPU_LIMIT
        detail = f"used more than {limits.cpu_s} s of processor time"
    else:
        return None
    return CallOutcome(status, detail=detail, signals=signals)


def _record_outcome(record: Record, limits: Limits) -> CallOutcome:
    kind, payload = record
    if kind is RecordKind.VALUE:
        return CallOutcome(Status.OK, payload)
    if kind in (RecordKind.UNSERIALIZABLE, RecordKind.OBJECT):
        reason = payload[:500].decode("utf-8", "replace")
        return CallOutcome(
            Status.UNSERIALIZABLE,
            detail=f"returned no plain value: {reason}",
            signals=_OBJECT_RESULT if kind is RecordKind.OBJECT else NO_SIGNALS,
        )
    if kind is RecordKind.TOO_LARGE:
        return _output_limit(limits)
    if kind is RecordKind.NO_MEMORY:
        return _memory_limit(limits)
    return _error(payload, loading=kind is RecordKind.LOAD_ERROR)


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
        detail=f"{detail}{where}{when}{hint(name, message)}",
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

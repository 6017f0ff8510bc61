"""What goes between the processes of a fleet comes out as it went in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor import (
    Case,
    ConfigurationError,
    ExecutorStats,
    Judgement,
    JudgeTask,
    Limits,
    Options,
    Script,
    ScriptResult,
    Signal,
    Status,
    TaskType,
    Triplet,
    Usage,
    Verdict,
)
from executor.errors import MalformedRow
from executor.fleet.frames import Connection, Frame
from executor.fleet.messages import read_work, work_bytes
from executor.fleet.telling import (
    error_bytes,
    left_behind,
    read_error,
    read_stats,
    stats_bytes,
    together,
)
from executor.fleet.work import Work, decode, encode
from executor.lru import Lru
from executor.pool.pool import PoolStats
from executor.service.models import ValidateRequest
from executor.store.store import StoreStats

MODELS = [
    Triplet(program="def f(x): return '\ud800'", inputs=("1", "\udfff"), outputs=("1", None), id=3),
    JudgeTask(task=TaskType.PYTEST, answers=("a",), tests="t", files={"x": b"\xff\0", "y": b"y"}),
    Script(source="s", files={"a/b": b"\xff"}, argv=("1",), collect=("x",)),
    Verdict(
        status=Status.OK, valid=True, outputs=("1", None), matches=False, detail="d\ud800",
        signals={Signal.SNOOPING: 2}, usage=Usage(wall_ms=1.5), key="k", weaknesses=("w",),
    ),
    Judgement(
        scores=(1.0, None, 0.25), statuses=(Status.OK, Status.INFRA, Status.MISMATCH),
        details=("", "", ""), counts=((1, 2),), weak=True,
        cases=((Case(status=Status.OK), Case(status=Status.ERROR, detail="e")),),
    ),
    ScriptResult(status=Status.ERROR, exit_code=3, stdout=b"\xff", files={"f": b"\0"}, detail=""),
    Options(limits=Limits(cpu_s=1), runs=3),
]  # fmt: skip


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_models_come_out_as_they_went_in(model: Any) -> None:
    assert decode(type(model), encode(model)) == model


@given(st.text(alphabet=st.characters(codec=None)), st.binary())
@settings(max_examples=50, deadline=None)
def test_any_text_and_any_bytes_do(text: str, data: bytes) -> None:
    task = JudgeTask(task=TaskType.STDIO, answers=(text,), files={"__bytes__": data, text: b""})
    assert decode(JudgeTask, encode(task)) == task


def test_what_a_request_has_besides_stays_here() -> None:
    request = ValidateRequest(program="p", inputs=("1",), options=Options(runs=3))
    _, _, _, _, item = read_work(work_bytes(1, Work("validate", request)), Lru(1))
    assert item == Triplet(program="p", inputs=("1",))


def test_settings_that_are_known_are_the_same_object() -> None:
    known: Lru[bytes, Any] = Lru(4)
    work = Work("validate", MODELS[0], MODELS[-1], 10.0)  # type: ignore[arg-type]
    first, second = (read_work(work_bytes(number, work), known) for number in (7, 8))
    assert first == (7, "validate", work.settings, 10.0, work.item)
    assert second[0] == 8
    assert second[2] is first[2]


def test_frames_are_found_however_they_are_cut() -> None:
    taken: list[tuple[Frame, bytes]] = []
    connection = Connection(lambda kind, body: taken.append((kind, body)), lambda: None)
    data = b"\3\0\0\0\2abc" + b"\0\0\0\0\3" + b"\1\0\0\0\7x"
    for cut in range(len(data)):
        connection.data_received(data[:cut])
        connection.data_received(data[cut:])
    assert taken == [(Frame.WORK, b"abc"), (Frame.CANCEL, b""), (Frame.ERROR, b"x")] * len(data)


def stats(**changes: Any) -> ExecutorStats:
    pool = PoolStats(1, 2.5, 3, {("lib", "busy"): 2}, 4, {"idle": 1})
    told = ExecutorStats(pool, 5, 6, 1, 0, {Signal.SNOOPING: 1}, StoreStats(1, 2, 0, 0))
    return told._replace(**changes)


def test_what_several_do_is_told_as_one() -> None:
    assert read_stats(stats_bytes(stats())) == stats()
    both = together([stats(), stats(process_restarts=1, store=None)])
    assert both.pool == PoolStats(2, 2.5, 6, {("lib", "busy"): 4}, 8, {"idle": 2})
    assert (both.cache_hits, both.processes, both.process_restarts) == (10, 2, 1)
    assert both.store == StoreStats(1, 2, 0, 0)
    assert both.signals == {Signal.SNOOPING: 2}


def test_one_that_is_gone_leaves_its_counts() -> None:
    left = left_behind(stats())
    assert (left.pool.in_flight, left.pool.workers, left.processes) == (0, {}, 0)
    assert (left.pool.restarts, left.cache_hits) == (4, 5)


def test_errors_keep_their_kind() -> None:
    told = read_error(error_bytes(ConfigurationError("too much")))
    assert type(told) is ConfigurationError
    assert str(told) == "too much"
    assert "line 3" in str(read_error(error_bytes(MalformedRow(3, "bad"))))

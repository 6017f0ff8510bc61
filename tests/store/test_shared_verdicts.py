"""Executors that share a store: what is proven is not run again, and nothing else is believed."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from executor import (
    Executor,
    JudgeTask,
    Limits,
    Options,
    Rules,
    Status,
    StoreSettings,
    TaskType,
    Triplet,
    Verdict,
)
from executor.cli.app import main
from executor.store.store import StoreStats

LIMITS = Limits(wall_s=30, cpu_s=2)
SQUARES = Triplet(program="def f(n):\n    return {i: i * i for i in range(n)}", inputs=("2", "3"))
RAISES = Triplet(program="def f(x):\n    return x[5]", inputs=("[1]",), expects="error")
COIN = Triplet(program="def f(x):\n    return list({str(i) for i in range(9)})", inputs=("1",))


def made(settings: StoreSettings, limits: Limits = LIMITS) -> Executor:
    return Executor(workers=2, limits=limits, store=settings)


async def proven(settings: StoreSettings, *triplets: Triplet) -> list[Verdict]:
    """What a new executor says, and has found by itself or in the store."""
    async with made(settings) as executor:
        return [await executor.validate(triplet) for triplet in triplets]


def facts(verdict: Verdict) -> tuple[object, ...]:
    return verdict.status, verdict.outputs, verdict.detail, verdict.key, verdict.usage


async def test_a_later_executor_runs_nothing_again(settings: StoreSettings) -> None:
    first = await proven(settings, SQUARES, RAISES, COIN)
    assert [one.status for one in first] == [Status.OK, Status.OK, Status.NONDETERMINISTIC]
    async with made(settings) as executor:
        second = [await executor.validate(triplet) for triplet in (SQUARES, RAISES)]
        assert executor.stats().store == StoreStats(hits=2)
        assert executor.stats().pool.restarts == 0
        coin = await executor.validate(COIN)
    assert [facts(one) for one in second] == [facts(one) for one in first[:2]]
    assert coin.status is Status.NONDETERMINISTIC


async def test_an_output_is_compared_though_the_result_was_stored(sqlite: StoreSettings) -> None:
    await proven(sqlite, SQUARES)
    wrong = SQUARES.model_copy(update={"outputs": ("{0: 0, 1: 1}", "{}")})
    (verdict,) = await proven(sqlite, wrong)
    assert verdict.status is Status.MISMATCH


async def test_gold_outputs_of_tasks_are_taken_from_the_store(sqlite: StoreSettings) -> None:
    task = JudgeTask(
        task=TaskType.DEDUCTION, program=SQUARES.program, inputs=("3",), answers=("{0:0,1:1,2:4}",)
    )
    for hits in (0, 1):
        async with made(sqlite) as executor:
            assert (await executor.judge(task)).scores == (1.0,)
            stats = executor.stats().store
            assert stats is not None
            assert stats.hits == hits


async def test_other_limits_and_rules_are_other_results(sqlite: StoreSettings) -> None:
    await proven(sqlite, SQUARES)
    async with made(sqlite) as executor:
        for options in (
            Options(limits=LIMITS.model_copy(update={"cpu_s": 1})),
            Options(rules=Rules(banned_modules=())),
            Options(runs=3),
        ):
            assert (await executor.validate(SQUARES, options=options)).valid
        assert executor.stats().store == StoreStats(misses=3)


async def test_a_forged_entry_changes_no_verdict(sqlite: StoreSettings) -> None:
    honest = await proven(sqlite, SQUARES)
    with sqlite3.connect(sqlite.url) as file:
        (entry,) = file.execute("SELECT entry FROM entries").fetchone()
        forged = bytes(entry).replace(b"[[", b"[ ", 1)
        forged = forged[:-1] + bytes([forged[-1] ^ 1])
        file.execute("UPDATE entries SET entry = ?", (forged,))
    file.close()
    async with made(sqlite) as executor:
        verdict = await executor.validate(SQUARES)
        assert executor.stats().store == StoreStats(misses=1, refused=1)
    assert verdict.outputs == honest[0].outputs
    async with made(sqlite) as executor:  # and the true one is back
        await executor.validate(SQUARES)
        assert executor.stats().store == StoreStats(hits=1)


async def test_an_entry_that_cannot_be_read_is_refused(sqlite: StoreSettings) -> None:
    async with made(sqlite) as executor:
        await executor.validate(SQUARES)
        validator = executor._verification(Options()).validator
        assert validator._stored is not None
        section = validator._stored._section
        for number, head in enumerate([b"[", b"[[5],[1,1,1],2,[]]", b"[[true],[1,1,1],2,[]]"]):
            section.put(str(number), b"{}", head, b"N")
            assert executor._store is not None
            await executor._store.flush()
            assert await validator._stored.get(str(number)) is None
        assert executor.stats().store == StoreStats(misses=4, refused=3)


# ---- the commands ----------------------------------------------------------------------------


def verify(folder: Path, store: Path) -> list[dict[str, object]]:
    rows, out = folder / "rows.jsonl", folder / "out.jsonl"
    rows.write_text(SQUARES.model_dump_json(include={"program", "inputs"}) + "\n")
    assert main(["verify", str(rows), "--out", str(out), "--store", str(store), "-q"]) == 0
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_replay_finds_the_same_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "verdicts.db"
    assert verify(tmp_path, store) == verify(tmp_path, store)  # usage too: it was not run again
    assert main(["replay", str(store), "--workers", "2"]) == 0
    captured = capsys.readouterr()
    assert captured.err == "executor: 1 the same, 0 different, 0 not compared\n"
    row = json.loads(captured.out)
    assert row["same"] is True
    assert row["outputs"] == row["expected"] == ["{0: 0, 1: 1}", "{0: 0, 1: 1, 2: 4}"]
    assert row["elsewhere"] == []


def test_replay_without_a_store_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(tmp_path / "none.db")]) == 2
    assert "there is no store" in capsys.readouterr().err


async def test_replay_tells_what_has_become_different(
    sqlite: StoreSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    async with made(sqlite) as executor:
        await executor.validate(RAISES)
        assert executor._store is not None
        validator = executor._verification(Options()).validator
        assert validator._stored is not None
        task = SQUARES.model_dump_json(include={"program", "imports", "inputs", "expects"})
        section = validator._stored._section
        section.put("k", task.encode(), b'[["KeyError","NoError"],[1,1,1],2,[]]', b"")
        await executor._store.flush()
    import asyncio

    code = await asyncio.to_thread(main, ["replay", sqlite.url, "--workers", "2", "-q"])
    assert code == 4
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(row["same"] for row in rows) == [False, True]

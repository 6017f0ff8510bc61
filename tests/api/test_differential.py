"""Several executors at the same work: agreement, disagreement, and the command line's report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from executor import (
    ConfigurationError,
    Executor,
    ExecutorClosed,
    JudgeTask,
    Limits,
    Script,
    Status,
    TaskType,
    Triplet,
    UnknownBackend,
)
from executor.api.differential import DifferentialExecutor
from executor.api.protocol import ExecutorProtocol
from executor.cli.app import main
from executor.cli.make_executor import ExecutorOptions, create_local_executor
from executor.client import RemoteExecutor, Timeouts
from executor.errors import ServiceUnavailable
from tests.support.leftovers import nothing_left
from tests.support.programs import OPEN_RULES

DOUBLE = "def f(n):\n    return n * 2"
WHO = "import os\ndef f(n):\n    return os.path.exists('/usr/lib')"
"""Has another value outside the jail."""


def pair() -> DifferentialExecutor:
    both = [
        Executor(name, workers=2, limits=Limits(wall_s=30), rules=OPEN_RULES, cache=False)
        for name in ("nsjail", "process")
    ]
    return DifferentialExecutor(*both)


async def test_equal_outcomes_are_no_disagreement() -> None:
    async with pair() as executor:
        assert isinstance(executor, ExecutorProtocol)
        verdict = await executor.validate(Triplet(program=DOUBLE, inputs=("4",), outputs=("8",)))
        assert (verdict.status, verdict.outputs) == (Status.OK, ("8",))
        assert verdict.disagreement is None
        assert verdict.backend == "nsjail"
        result = await executor.run(Script(source="print('hi')"))
        assert (result.stdout, result.disagreement) == (b"hi\n", None)


async def test_other_outputs_are_named_with_their_backends() -> None:
    async with pair() as executor:
        verdict = await executor.validate(Triplet(program=WHO, inputs=("1",)))
        assert verdict.outputs == ("False",)
        assert verdict.disagreement == (
            "outputs[0] is False on nsjail but True on process (no isolation)"
        )
        task = JudgeTask(
            task=TaskType.ABDUCTION, program=WHO, outputs=("False",), answers=("1", "2", "f(")
        )
        judgement = await executor.judge(task)
        assert judgement.scores == (1.0, 1.0, 0.0)
        assert judgement.disagreement is not None
        assert "scores[1] is 1.0 on nsjail but 0.0 on process" in judgement.disagreement
        assert "[2]" not in judgement.disagreement


async def test_streams_keep_their_order_and_report_per_item() -> None:
    programs = [DOUBLE, WHO, DOUBLE] * 5
    items = [Triplet(program=p, inputs=(str(n),)) for n, p in enumerate(programs)]
    async with pair() as executor:
        found = [verdict async for verdict in executor.validate_many(items)]
    assert [verdict.index for verdict in found] == list(range(15))
    assert [verdict.disagreement is not None for verdict in found] == [p is WHO for p in programs]


async def test_nothing_is_left_when_the_second_executor_cannot_start(temporary: Path) -> None:
    broken = RemoteExecutor("http://127.0.0.1:1", timeouts=Timeouts(start_s=0.3))
    first = Executor("process", workers=2)
    with nothing_left(temporary):
        with pytest.raises(ServiceUnavailable):
            async with DifferentialExecutor(first, broken):
                pass
        with pytest.raises(ExecutorClosed):
            await first.validate(Triplet(program=DOUBLE, inputs=("1",)))


def test_one_executor_twice_is_refused() -> None:
    executor = Executor("process", workers=2)
    with pytest.raises(ConfigurationError, match="itself"):
        DifferentialExecutor(executor, executor)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "rows"
    lines = [
        {"program": DOUBLE, "input": "2"},
        {"program": WHO, "input": "2", "disagreement": "old"},
        {"program": 5},
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def test_command_line_reports_disagreement_in_rows_summary_and_exit_code(
    rows: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["verify", str(rows), "--out", str(out), "--no-default-bans", "--workers", "2"]
    assert main([*command, "--backend", "nsjail,process"]) == 4
    first, second, third = (json.loads(line) for line in out.read_text().splitlines())
    assert first["disagreement"] is None
    assert "False on nsjail but True on process" in second["disagreement"]
    assert "disagreement" not in third
    assert "disagreement on 1 of 2 rows" in capfd.readouterr().err
    assert main([*command, "--backend", "nsjail"]) == 0
    assert "disagreement" not in out.read_text()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--backend", "nsjail,nsjail"], "twice"),
        (["--backend", "nsjail,nosuch"], "nosuch"),
        (["--backend", "nsjail,"], "unknown backend"),
        (["--backend", "http"], "--url"),
        (["--backend", "http", "--url", "ftp://x"], "ftp://x"),
        (["--url", "http://localhost:1"], "--url is for"),
        (["--backend", "sandboxfusion", "--image", "x"], "--image is for"),
        (["--backend", "process", "--runtime", "runsc"], "--runtime is for"),
    ],
)
def test_options_that_would_be_ignored_are_refused(
    rows: Path, capfd: pytest.CaptureFixture[str], options: list[str], reason: str
) -> None:
    assert main(["verify", str(rows), *options]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert reason in line


@pytest.mark.parametrize("names", ["nsjail,process", "http"])
def test_a_service_has_one_backend(names: str) -> None:
    with pytest.raises(ConfigurationError, match="name one sandbox"):
        create_local_executor(ExecutorOptions(backend=names, workers=2, limits=Limits()))


def test_unknown_backends_are_found_before_any_starts() -> None:
    with pytest.raises(UnknownBackend):
        Executor("nosuch")

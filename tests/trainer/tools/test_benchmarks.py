"""Benchmark files for validation: read, run, written, and read again by a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="needs the extra 'trainer'")
pytest.importorskip("hydra")

from executor import TaskType
from trainer.cli.app import main
from trainer.configs import compose
from trainer.game.play import validation
from trainer.game.tasks.task import ProgramTask
from trainer.run import wiring
from trainer.tools import benchmark_sources as sources
from trainer.tools.prepare_validation import check

CRUXEVAL: list[Any] = [
    {"code": "def f(x):\n    return x + 1", "input": "1", "output": "2", "id": "sample_0"},
    {"code": "def f(x):\n    return x + 1", "input": "1", "output": "3"},
    {"code": "def f():\n    return 1", "input": "", "output": "1"},
    {"code": 1, "input": "1", "output": "3"},
]
LIVECODEBENCH: list[Any] = [
    {
        "code": "def pairs(nums: List[int]) -> int:\n    return len(list(combinations(nums, 2)))",
        "input": "pairs(nums = [1, 2, 3])",
        "output": "3",
    },
    {"code": "def g(x): return x", "input": "not a call", "output": "1"},
]
COMMAND = ("tools", "prepare-validation")
SHARED = Path(__file__).parents[4] / "shared" / "data" / "cruxeval.jsonl"


def jsonl(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_sound_rows_are_written_and_the_rest_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "folder" / "val.parquet"
    crux, live = jsonl(tmp_path / "c.jsonl", CRUXEVAL), jsonl(tmp_path / "l.jsonl", LIVECODEBENCH)
    assert main([*COMMAND, "--cruxeval", crux, "--livecodebench", live, "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert "2 cruxeval_i, 2 cruxeval_o, 1 livecodebench, 1 livecodebench_o; 3 rows" in said.out
    assert "row 1: mismatch: the program returns another value than given" in said.err
    assert "row 3: 'code' is missing, or no text" in said.err
    assert "'input' is 'not a call', not a call" in said.err
    rows = validation.read(out)
    assert [(row.source, row.kind.name) for row in rows] == [
        *[("cruxeval_i", "pred_code_i")] * 2,
        *[("cruxeval_o", "pred_code_o")] * 2,
        ("livecodebench", "pred_code_i"),
        ("livecodebench_o", "pred_code_o"),
    ]
    assert rows[0].task == ProgramTask(CRUXEVAL[0]["code"], "1", "2")
    assert rows[4].task.snippet.splitlines()[:2] == [
        "from itertools import combinations",
        "from typing import List",
    ]
    assert "def f(nums" in rows[4].task.snippet
    assert isinstance(rows[4].task, ProgramTask)
    assert rows[4].task.input == "nums = [1, 2, 3]"
    assert list(out.parent.iterdir()) == [out]


def test_a_run_may_validate_on_several_files(tmp_path: Path) -> None:
    crux = jsonl(tmp_path / "c.jsonl", CRUXEVAL)
    for name in ("a", "b"):
        assert main([*COMMAND, "--cruxeval", crux, "--out", str(tmp_path / f"{name}.parquet")]) == 0
    files = [str(tmp_path / f"{name}.parquet") for name in ("a", "b")]
    config = compose(["preset=cpu_tiny", f"data.val_files=[{','.join(files)}]"])
    wiring.wire(config)
    found = [row for path in wiring.validation_files(config) for row in validation.read(path)]
    assert len(found) == 8


def test_only_the_first_rows_if_asked(tmp_path: Path) -> None:
    out = tmp_path / "val.parquet"
    crux = jsonl(tmp_path / "c.jsonl", CRUXEVAL)
    assert main([*COMMAND, "--cruxeval", crux, "--max-rows", "1", "--out", str(out)]) == 0
    assert len(validation.read(out)) == 2


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read"),
        ("{broken", "cannot be read"),
        ("", "no row is left"),
        (json.dumps(CRUXEVAL[1]), "no row is left"),
    ],
)
def test_without_a_sound_row_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, says: str
) -> None:
    source = tmp_path / "rows.jsonl"
    if content is not None:
        source.write_text(content)
    out = tmp_path / "val.parquet"
    assert main([*COMMAND, "--cruxeval", str(source), "--out", str(out)]) == 2
    assert says in capsys.readouterr().err
    assert not out.exists()


def test_parquet_and_json_sources_are_read_too(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{key: row[key] for key in ("code", "input", "output")} for row in CRUXEVAL[:3]]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    for name in ("rows.parquet", "rows.json"):
        assert list(sources.read_raw(str(tmp_path / name), "")) == rows


def test_a_program_that_attacks_costs_its_row_only() -> None:
    evil = ProgramTask("import os\ndef f(x):\n    os.kill(1, 9)\n    return 1", "1", "1")
    sound, refused = check([("evil", evil), ("good", ProgramTask("def f(x): return x", "1", "1"))])
    assert [task.snippet for task in sound] == ["def f(x): return x"]
    assert [name for name, _ in refused] == ["evil"]


@pytest.mark.data
def test_every_row_of_cruxeval_is_sound(tmp_path: Path) -> None:
    if not SHARED.exists():
        pytest.skip("the shared data sets are absent")
    tasks = [
        (str(n), sources.cruxeval(row)) for n, row in enumerate(sources.read_raw(str(SHARED), ""))
    ]
    sound, refused = check(tasks)
    assert (len(sound), refused) == (800, [])
    assert {TaskType.ABDUCTION, TaskType.DEDUCTION} == set(sources.CRUXEVAL_NAMES)

"""Seeds: from AZR's files, and from nothing but the identity function."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.support.game import new_buffers, open_judge, settings
from trainer.game.errors import SeedError
from trainer.game.play.judging import TaskJudge
from trainer.game.play.seed_files import load_seeds, read_rows, write_seeds
from trainer.game.play.seeding import fill_buffers, identity_task, make_seeds
from trainer.game.policy import Request, Response
from trainer.game.settings import DataSelectionStrategy, GameSettings
from trainer.game.tasks.task import TASK_ORDER, InductionTask, ProgramTask, Role, TaskType

DATA = Path(__file__).parents[4] / "shared" / "data" / "azr_seeds"


@pytest.fixture(scope="module")
def judge() -> Iterator[TaskJudge]:
    with open_judge() as opened:
        yield opened


ROWS: list[Any] = [
    {"snippet": "def f(x):\n    return x + 1", "input": "1", "output": "2", "imports": []},
    {"snippet": "def f(x):\n    return x + 1", "input": "1", "output": "2", "imports": []},
    {"snippet": "def f(x):\n    return x + 1", "input": "2", "output": "4", "imports": []},
    {"snippet": "def f(x):\n    return list({'a', 'b', 'c', x})", "input": "'d'", "output": "[]"},
    {"snippet": "import random\ndef f(x):\n    return x", "input": "1", "output": "1"},
    {"snippet": "def f(x):\n    return dict(a=x)", "input": "1", "output": "dict(a=1)"},
    {"snippet": "def f(x):\n    return x"},
    {"snippet": "def f(x):\n    return x", "inputs": ["1", "2"], "outputs": ["1", "2"],
     "message": "m"},
]  # fmt: skip


def write(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def test_rows_that_are_no_seeds_are_reported_and_left_out(tmp_path: Path, judge: TaskJudge) -> None:
    path = write(tmp_path / "seeds.jsonl", [*ROWS, "{no json", ""])
    report = load_seeds(path, TaskType.DEDUCTION, judge)
    found = [(t.snippet, t.output) for t in report.tasks if isinstance(t, ProgramTask)]
    assert found == [(ROWS[0]["snippet"], "2"), (ROWS[5]["snippet"], "{'a': 1}")]
    assert [(refusal.row, refusal.status) for refusal in report.refused] == [
        (2, "duplicate"), (3, "mismatch"), (4, "nondeterministic"), (5, "screened"),
        (7, "malformed"), (8, "malformed"), (9, "malformed"),
    ]  # fmt: skip
    assert report.refused[1].detail == "the program returns another value than given: 3 against 4"
    assert report.summary().endswith(
        "2 seeds; 7 rows left out (3 malformed, 1 duplicate, 1 mismatch, 1 nondeterministic, "
        "1 screened)"
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "holds no task"),
        ("[1, 2", "holds no task; the first row: no JSON"),
        ('{"snippet": 1}', "holds no task; the first row: 'snippet' is int, not a text"),
        (json.dumps(ROWS[3]), "holds no sound task"),
        ("[" * 100_000, "holds no task; the first row: no JSON"),
    ],
)
def test_a_file_without_seeds_is_an_error(
    tmp_path: Path, judge: TaskJudge, content: str, problem: str
) -> None:
    path = tmp_path / "seeds.jsonl"
    path.write_text(content)
    with pytest.raises(SeedError, match=problem):
        load_seeds(path, TaskType.DEDUCTION, judge)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path, judge: TaskJudge) -> None:
    with pytest.raises(SeedError, match="cannot be read"):
        load_seeds(tmp_path / "none.jsonl", TaskType.DEDUCTION, judge)


def test_written_seeds_are_read_again(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "seeds.jsonl"
    tasks = [identity_task(TaskType.DEDUCTION), identity_task(TaskType.INDUCTION)]
    write_seeds(path, tasks)
    rows, refused = read_rows(path)
    assert [task for _, task in rows] == tasks
    assert not refused
    assert "step" not in path.read_text()
    assert list(path.parent.iterdir()) == [path]


def test_the_identity_function_is_a_sound_task_of_every_type(judge: TaskJudge) -> None:
    for task_type in TASK_ORDER:
        examined = judge.revalidate(task_type, identity_task(task_type)).result()
        assert examined.task is not None, examined.detail


# -- AZR's own files --


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "rows"),
    [("7b_seed_io", 256), ("7b_coder_seed_io", 256), ("llama_64_seed_io", 64),
     ("7b_coder_code_f_seed_io", 256), ("llama_64_code_f_seed_io", 64)],
)  # fmt: skip
def test_azrs_seed_files_load(judge: TaskJudge, name: str, rows: int) -> None:
    path = DATA / f"{name}.jsonl"
    if not path.exists():
        pytest.skip("the shared data sets are absent")
    task_type = TaskType.INDUCTION if "code_f" in name else TaskType.DEDUCTION
    report = load_seeds(path, task_type, judge)
    assert len(report.tasks) + len(report.refused) == rows
    assert not [refusal for refusal in report.refused if refusal.status == "malformed"]
    assert len(report.tasks) > 0.75 * rows
    truth = json.loads((DATA / f"{name}.truth.json").read_text())
    unsound = {
        number
        for number, entries in enumerate(truth, 1)
        if any(entry == "nondeterministic" for entry in entries)
    }
    assert unsound <= {refusal.row for refusal in report.refused}


# -- From nothing --


class Inventor:
    """A "model" that answers every proposer prompt with a new task, or nonsense now and then."""

    def __init__(self) -> None:
        self.count = 0

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        for request in requests:
            assert request.kind.role is Role.PROPOSE
            assert not request.train
            self.count += 1
            yield Response(request.id, 0, self.answer(request), 10)

    def answer(self, request: Request) -> str:
        if self.count % 5 == 0:
            return "no idea"
        if request.kind.task is TaskType.INDUCTION:
            fences = [f"```input\n'{self.count} {number}'\n```" for number in range(10)]
            return "\n".join([*fences, "```message\nhint\n```"])
        number = self.count // 2  # every program comes twice
        body = (
            f"return [x, {number}]" if request.kind.task is not TaskType.ERROR else "return {}[x]"
        )
        return f"```python\ndef f(x):\n    # {number}\n    {body}\n```\n```input\n{number}\n```"


def small(**azr: Any) -> GameSettings:
    strategy = DataSelectionStrategy(seed_batch_factor=4)
    return settings(train_batch_size=3, data_selection_strategy=strategy, **azr)


def test_a_model_makes_all_seeds_from_the_identity_function(
    judge: TaskJudge, tmp_path: Path
) -> None:
    wanted = small(
        problem_types=("code_i", "code_o", "code_e", "code_f"),
        output_seed_path=str(tmp_path / "seeds.jsonl"),
        output_error_seed_path=str(tmp_path / "errors.jsonl"),
        output_code_f_seed_path=str(tmp_path / "code_f.jsonl"),
    )
    lines: list[str] = []
    seeds = make_seeds(wanted, judge, Inventor(), say=lines.append)
    assert wanted.seeds_wanted == 12
    assert [len(tasks) for tasks in (seeds.programs, seeds.errors, seeds.inductions)] == [12] * 3
    for tasks in (seeds.programs, seeds.errors, seeds.inductions):
        assert len({task.key for task in tasks}) == 12
        assert {task.step for task in tasks} == {0}
    assert seeds.programs[0].snippet == identity_task(TaskType.DEDUCTION).snippet
    assert {task.output for task in seeds.errors[1:]} == {"KeyError"}
    known = {program.snippet for program in seeds.programs}
    assert {task.snippet for task in seeds.inductions} <= known
    assert len(Counter(task.snippet for task in seeds.inductions)) > 6
    for name in ("seeds", "errors", "code_f"):
        assert len((tmp_path / f"{name}.jsonl").read_text().splitlines()) == 12
    assert any(re.match(r"seeding, round 1: 1 of 12", line) for line in lines)


def test_a_model_that_makes_nothing_is_given_up(judge: TaskJudge) -> None:
    class Silent(Inventor):
        def answer(self, request: Request) -> str:
            return "no idea"

    with pytest.raises(SeedError, match="made 1 of 12 deduction seeds in 5 rounds"):
        make_seeds(small(seeding_max_rounds=5), judge, Silent())


def test_without_files_and_model_there_are_no_seeds(judge: TaskJudge) -> None:
    with pytest.raises(SeedError, match="neither a seed file for all task types nor a model"):
        make_seeds(small(), judge, None)


def test_files_are_cut_and_serve_both_types(tmp_path: Path, judge: TaskJudge) -> None:
    rows = [
        {"snippet": f"def f(x):\n    return x * {n}", "input": "1", "output": str(n)}
        for n in range(20)
    ]
    path = write(tmp_path / "seeds.jsonl", rows)
    wanted = small(problem_types=("code_i", "code_o"), seed_dataset=str(path))
    seeds = make_seeds(wanted, judge, None)
    assert len(seeds.programs) == 12
    buffers = new_buffers(wanted)
    assert fill_buffers(buffers, seeds) == {TaskType.ABDUCTION: 12, TaskType.DEDUCTION: 12}
    assert len(buffers.seeds) == 12


def test_induction_alone_proposes_from_the_seeds(tmp_path: Path, judge: TaskJudge) -> None:
    path = write(tmp_path / "seeds.jsonl", ROWS[:1])
    pairs = write(tmp_path / "pairs.jsonl", ROWS[7:])
    wanted = small(
        problem_types=("code_f",), seed_dataset=str(path), code_f_seed_dataset=str(pairs)
    )
    seeds = make_seeds(wanted, judge, None)
    assert isinstance(seeds.inductions[0], InductionTask)
    buffers = new_buffers(wanted)
    fill_buffers(buffers, seeds)
    assert [task.snippet for task in buffers.references(TaskType.INDUCTION)] == [ROWS[0]["snippet"]]

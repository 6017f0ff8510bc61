"""python -m trainer seed: seed files from AZR's, and from a model."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.support.game import open_judge, settings
from trainer.cli.app import main
from trainer.game.errors import SeedError
from trainer.game.play.seed_files import read_rows
from trainer.game.play.seed_sets import INDUCTIONS, PROGRAMS
from trainer.game.policy import Request, Response
from trainer.game.settings import DataSelectionStrategy
from trainer.game.tasks.task import TaskType
from trainer.run.seed_folders import generate

DATA = Path(__file__).parents[3] / "shared" / "data" / "azr_seeds"

PLUS: dict[str, Any] = {"snippet": "def f(x):\n    return x + 1", "input": "1", "output": "2"}
SQUARE: dict[str, Any] = {
    "snippet": "def f(x):\n    return x * x",
    "inputs": ["1", "2"],
    "outputs": ["1", "4"],
    "message": "m",
}
ERROR: dict[str, Any] = {
    "snippet": "def f(x):\n    return {}[x]",
    "input": "1",
    "output": "KeyError",
}


def jsonl(path: Path, *rows: Any) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_files_of_all_kinds_become_the_files_of_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    one = jsonl(tmp_path / "a.jsonl", PLUS, {**PLUS, "output": "3", "input": "9"}, SQUARE)
    two = jsonl(tmp_path / "b.jsonl", PLUS, {**PLUS, "input": "5", "output": "6"})
    pairs = jsonl(tmp_path / "pairs.jsonl", SQUARE)
    errors = jsonl(tmp_path / "errors.jsonl", ERROR)
    arguments = ["import", one, two, pairs, "--errors", errors, "--out", str(out)]
    assert main(["seed", *arguments, "--workers", "2"]) == 0
    said = capsys.readouterr()
    assert f"2 tasks: azr.seed_dataset={out / 'programs.jsonl'}" in said.out
    assert f"1 tasks: azr.error_seed_dataset={out / 'errors.jsonl'}" in said.out
    assert f"1 tasks: azr.code_f_seed_dataset={out / 'inductions.jsonl'}" in said.out
    assert "2 rows left out (1 mismatch, 1 malformed)" in said.out.replace(
        "1 malformed, 1 mismatch", "1 mismatch, 1 malformed"
    )
    assert f"{two}: 1 of them stand in an earlier file" in said.err
    rows, refused = read_rows(out / "programs.jsonl")
    assert [(number, getattr(task, "input", None)) for number, task in rows] == [(1, "1"), (2, "5")]
    assert not refused
    left = [json.loads(line) for line in (out / "refused.jsonl").read_text().splitlines()]
    assert [(row["file"], row["row"], row["status"]) for row in left] == [
        (one, 2, "mismatch"),
        (one, 3, "malformed"),
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "name at least one file"),
        (["nowhere.jsonl"], "cannot be read"),
        (["{rows}", "--executor", "nothing"], "Input should be 'nsjail'"),
        (["{rows}", "--executor", "http"], "executor=http needs executor_url"),
        (
            ["{rows}", "--executor", "http", "--executor-url", "no-url"],
            "no-url",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    rows = jsonl(tmp_path / "a.jsonl", PLUS)
    given = [argument.format(rows=rows) for argument in arguments]
    assert main(["seed", "import", *given, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert says in said
    assert not list((tmp_path / "out").glob("*"))


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = jsonl(tmp_path / "a.jsonl", PLUS)
    assert main(["seed", "import", rows, "--out", str(tmp_path / "out")]) == 0
    before = (tmp_path / "out" / "programs.jsonl").read_bytes()
    assert main(["seed", "import", rows, "--out", str(tmp_path / "out")]) == 2
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / "out" / "programs.jsonl").read_bytes() == before


@pytest.mark.data
@pytest.mark.timeout(300)
def test_all_of_azrs_files_are_imported(tmp_path: Path) -> None:
    files = sorted(DATA.glob("*.jsonl"))
    if not files:
        pytest.skip("the shared data sets are absent")
    assert main(["seed", "import", *map(str, files), "--out", str(tmp_path)]) == 0
    sizes = {path.name: len(path.read_text().splitlines()) for path in tmp_path.iterdir()}
    assert sizes["programs.jsonl"] > 500
    assert sizes["inductions.jsonl"] > 270
    keys = [task.key for _, task in read_rows(tmp_path / "programs.jsonl")[0]]
    assert len(set(keys)) == len(keys)


class Inventor:
    """Proposes a new sound task each time."""

    def __init__(self) -> None:
        self.count = 0

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        for request in requests:
            self.count += 1
            if request.kind.task is TaskType.INDUCTION:
                inputs = "\n".join(f"```input\n{self.count + n}\n```" for n in range(10))
                text = f"{inputs}\n```message\nhint\n```"
            else:
                text = f"```python\ndef f(x):\n    return [x]\n```\n```input\n{self.count}\n```"
            yield Response(request.id, 0, text, 10)


def test_a_model_makes_the_sets_that_no_file_is_named_for(tmp_path: Path) -> None:
    wanted = settings(
        problem_types=("code_i", "code_e", "code_f"),
        train_batch_size=2,
        data_selection_strategy=DataSelectionStrategy(seed_batch_factor=2),
        error_seed_dataset=jsonl(tmp_path / "errors.jsonl", ERROR),
    )
    out = tmp_path / "out"
    with open_judge(wanted.azr) as judge:
        made = generate(wanted, out, judge, Inventor())
    assert made == {PROGRAMS: 4, INDUCTIONS: 4}
    assert sorted(path.name for path in out.iterdir()) == ["inductions.jsonl", "programs.jsonl"]
    assert len(read_rows(out / "programs.jsonl")[0]) == 4


def test_nothing_is_made_where_files_are_named_for_all(tmp_path: Path) -> None:
    rows = jsonl(tmp_path / "a.jsonl", PLUS)
    wanted = settings(problem_types=("code_o",), seed_dataset=rows)
    with open_judge(wanted.azr) as judge, pytest.raises(SeedError, match="set to null"):
        generate(wanted, tmp_path, judge, Inventor())


needs_model = pytest.mark.skipif(
    importlib.util.find_spec("verl") is None, reason="veRL is not installed (extra: trainer)"
)


@needs_model
@pytest.mark.verl
@pytest.mark.timeout(300)
def test_a_local_model_answers_every_request_and_the_same_way_again(tmp_path: Path) -> None:
    from trainer.configs import compose
    from trainer.game.policy import Message
    from trainer.game.tasks.task import Kind, Role
    from trainer.models import tiny
    from trainer.models.local import LocalModel

    tiny.make(tmp_path / "model")
    config = compose(
        [
            "preset=cpu_tiny",
            f"actor_rollout_ref.model.path={tmp_path / 'model'}",
            "data.max_response_length=8",
        ]
    )
    kind = Kind(Role.PROPOSE, TaskType.DEDUCTION)
    requests = [
        Request(f"r{n}", kind, (Message("user", "word " * n),), n=n, temperature=temperature)
        for n in (1, 2, 3)
        for temperature in ([None, 0.5][n % 2],)
    ]
    model = LocalModel(config, batch=2)
    found = sorted(model.generate(requests), key=lambda r: (r.request_id, r.sample))
    assert [(r.request_id, r.sample) for r in found] == [
        ("r1", 0), ("r2", 0), ("r2", 1), ("r3", 0), ("r3", 1), ("r3", 2),
    ]  # fmt: skip
    assert all(0 < r.tokens <= 8 for r in found)
    assert all(r.truncated for r in found if r.tokens == 8 and r.text)
    again = LocalModel(config, batch=2).generate(requests)
    assert sorted(again, key=lambda r: (r.request_id, r.sample)) == found
    assert model.count_tokens(requests[2].messages) > model.count_tokens(requests[0].messages)


@needs_model
@pytest.mark.verl
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ([], "nothing to make"),
        (["azr.seed_dataset=null", "azr.seeding_max_rounds=1"], "the model made 1 of 2"),
        (["azr.seed_dataset=null", "actor_rollout_ref.model.path=/nowhere"], "cannot be loaded"),
        (["azr.nothing=1"], "unknown key azr.nothing"),
    ],
)
def test_generating_fails_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], overrides: list[str], says: str
) -> None:
    run = f"trainer.default_local_dir={tmp_path / 'run'}"
    arguments = ["seed", "generate", "preset=cpu_tiny", run, *overrides]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert says in last

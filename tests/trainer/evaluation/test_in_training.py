"""Evaluations of a model in training, by the code of the command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("omegaconf", reason="needs the extra trainer")
pytest.importorskip("matplotlib", reason="needs the extra trainer")

from omegaconf import DictConfig, OmegaConf

from executor import Executor, Limits
from tests.trainer.evaluation.support import CRUXEVAL, HUMANEVAL, data
from trainer.evaluation import in_training
from trainer.game.policy import Request, Response


def config(folder: Path, **given: Any) -> DictConfig:
    trainer = {
        "default_local_dir": str(folder / "run"),
        "total_training_steps": 10,
        "evaluate_every": 4,
        "evaluate_benchmarks": ["humaneval", "cruxeval_o"],
        "evaluate_data": str(data(folder / "data")),
        "evaluate_limit": 2,
        **given,
    }
    sizes = {"max_response_length": 64, "max_prompt_length": 512, "train_batch_size": 4}
    return OmegaConf.create({"trainer": trainer, "data": sizes, "azr": {}, "reward_fn": {}})


class Policy:
    """Knows one problem of each benchmark; of the others one answer never comes."""

    def __init__(self) -> None:
        self.asked: list[Request] = []

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        self.asked += requests
        for request in requests:
            (message,) = request.messages
            if HUMANEVAL[0]["entry_point"] in message.content:
                text = (
                    f"<answer>\n```python\n{HUMANEVAL[0]['prompt']}    return a + b\n```\n</answer>"
                )
            elif CRUXEVAL[0]["code"] in message.content:
                text = "<answer>\n```output\n'ba'\n```\n</answer>"
            elif CRUXEVAL[1]["code"] in message.content:
                text = "<answer>\n```output\n3\n```\n</answer>"
            else:
                continue
            yield Response(request.id, 0, text, 5)


def test_figures_are_those_of_the_command(tmp_path: Path) -> None:
    policy, settings = Policy(), config(tmp_path)
    in_training.check(settings)
    plan = in_training.plan_of(settings, 4)

    def executor() -> Executor:
        return Executor(workers=1, limits=Limits(memory_mib=256))

    def evaluated() -> dict[str, float]:
        engine = in_training.PolicyEngine(policy, lambda _: True)
        return in_training.metrics_of(plan, engine, executor, print)

    found = evaluated()
    assert found == {"eval/humaneval": 0.5, "eval/cruxeval_o": 0.5, "eval/mean": 0.5}
    assert (tmp_path / "run" / "evaluations" / "step_4" / "report.html").is_file()
    assert len(policy.asked) == 4
    assert all(not one.train and one.temperature == 0 for one in policy.asked)
    assert evaluated() == found  # a run that goes on reads what it has
    assert len(policy.asked) == 4


def test_a_prompt_that_is_too_long_has_no_answer(tmp_path: Path) -> None:
    policy, plan = Policy(), in_training.plan_of(config(tmp_path), 8)
    engine = in_training.PolicyEngine(policy, lambda _: False)
    found = in_training.metrics_of(plan, engine, lambda: Executor(workers=1), print)
    assert found["eval/mean"] == 0
    assert not policy.asked


def test_it_is_due_every_so_many_steps_and_at_the_end(tmp_path: Path) -> None:
    due = config(tmp_path)
    assert [step for step in range(1, 11) if in_training.is_due(due, step)] == [4, 8, 10]
    never = config(tmp_path, evaluate_every=0)
    assert not any(in_training.is_due(never, step) for step in range(1, 11))
    in_training.check(config(tmp_path, evaluate_every=0, evaluate_data=None))


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"evaluate_benchmarks": []}, "name a benchmark"),
        ({"evaluate_benchmarks": ["nonsense"]}, "there is no benchmark 'nonsense'"),
        ({"evaluate_benchmarks": ["aime24"]}, "needs a file aime24.jsonl"),
        ({"evaluate_data": "/nowhere"}, "/nowhere is no folder"),
    ],
)
def test_what_is_wrong_is_told_before_the_run(
    tmp_path: Path, given: dict[str, Any], problem: str
) -> None:
    with pytest.raises(in_training.UnusableBenchmarks, match=problem):
        in_training.check(config(tmp_path, **given))

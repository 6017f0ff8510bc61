"""The trainer's options that are there for control experiments."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainer.support.game import (
    SelfPlay,
    fenced,
    new_buffers,
    open_judge,
    program_task,
    proposal,
)
from trainer.game.errors import SeedError
from trainer.game.play.judging import TaskJudge
from trainer.game.play.selfplay import StepResult
from trainer.game.policy import Request, Response
from trainer.game.rules.trrpp import advantages, grouping
from trainer.game.settings import AdvantageSettings, AzrSettings, GameSettings, RewardSettings
from trainer.game.tasks.held_out import read_programs
from trainer.game.tasks.task import Kind, Role


class Same:
    """Proposes one program, in the words of its test set and in others."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        for number, request in enumerate(requests):
            blank = "  " if number % 2 else ""
            text = proposal(f"def f(x):\n    return x * 9{blank}", "2")
            if request.kind.role is Role.SOLVE:
                text = fenced("output", "8")
            for sample in range(request.n):
                yield Response(request.id, sample, text, 5, (request.id, sample))


class Half:
    """Every second answer is right, and every third proposal is sound."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        for number, request in enumerate(requests):
            for sample in range(request.n):
                text = (
                    proposal(f"def f(x):\n    return x - {number}", "1" if number % 3 else "oops(")
                    if request.kind.role is Role.PROPOSE
                    else fenced("output", "8" if (number + sample) % 2 else "no")
                )
                yield Response(request.id, sample, text, 5 + number, (request.id, sample))


@pytest.fixture(scope="module")
def judge() -> Iterator[TaskJudge]:
    with open_judge() as opened:
        yield opened


def play(judge: TaskJudge, **options: Any) -> StepResult:
    settings = GameSettings(
        azr=AzrSettings(
            problem_types=("code_o",),
            reward=RewardSettings(n_samples=2),
            advantage=AdvantageSettings(**options),
        ),
        train_batch_size=12,
    )
    buffers = new_buffers(settings)
    buffers.add(*known(settings))
    return SelfPlay(settings, buffers, judge).step(Half(), 1)


def known(settings: GameSettings) -> Any:
    (task_type,) = settings.azr.task_types
    return task_type, program_task("def f(x):\n    return x + 7", "1", "8")


def test_shuffled_rewards_are_the_same_rewards_of_each_kind_in_another_order(
    judge: TaskJudge,
) -> None:
    plain, shuffled = play(judge), play(judge, shuffle_rewards=True)
    differs = False
    for kind in {sample.kind for sample in plain.samples}:
        before = [sample.reward for sample in plain.samples if sample.kind == kind]
        after = [sample.reward for sample in shuffled.samples if sample.kind == kind]
        assert len(set(before)) > 1
        assert sorted(before) == sorted(after)
        differs = differs or before != after
    assert differs
    # What people see is what was earned.
    for name in ("gen_code_o/critic/rewards/mean", "pred_code_o/accuracy"):
        assert plain.metrics[name] == shuffled.metrics[name]


def test_one_baseline_for_all_is_reinforce_plus_plus(judge: TaskJudge) -> None:
    result = play(judge, baseline="global")
    rewards = np.array([sample.reward for sample in result.samples])
    lengths = np.array([sample.response.tokens for sample in result.samples])
    mean = (rewards * lengths).sum() / lengths.sum()
    variance = (lengths * (rewards - mean) ** 2).sum() / (lengths.sum() - 1)
    wanted = (rewards - mean) / np.sqrt(variance)
    assert np.allclose([sample.advantage for sample in result.samples], wanted, atol=1e-6)
    relative = play(judge, baseline="task_relative")
    assert not np.allclose(wanted, [sample.advantage for sample in relative.samples])


def test_grouping_keeps_kinds_or_makes_one_group() -> None:
    rewards, lengths, kinds = [1.0, 0.0, 0.5], [1, 2, 3], ["a", "b", "a"]
    own = advantages(rewards, lengths, grouping(kinds, "task_relative"))
    assert list(own) == list(advantages(rewards, lengths, kinds))
    assert own[1] == 0
    assert advantages(rewards, lengths, grouping(kinds, "global"))[1] != 0


class Sampler:
    """Right when it is greedy, and every second time else."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, float | None]] = []

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        for request in requests:
            self.asked.append((request.n, request.temperature))
            for sample in range(request.n):
                right = request.temperature == 0 or sample % 2
                yield Response(request.id, sample, fenced("output", "8" if right else "9"), 5)


def test_benchmark_rows_are_sampled_beside_the_greedy_answer(judge: TaskJudge) -> None:
    validation = pytest.importorskip("trainer.game.play.validation")
    sampler = Sampler()

    def scores(samples: int) -> tuple[dict[str, float], dict[str, float]]:
        azr = AzrSettings(problem_types=("code_o",), validation_samples=samples)
        settings = GameSettings(azr=azr, train_batch_size=2)
        task_type, task = known(settings)
        problem = validation.Problem("some", Kind(Role.SOLVE, task_type), task)
        drawer = SelfPlay(settings, new_buffers(settings), judge).drawer
        found = validation.evaluate([problem], sampler, judge, drawer, settings)
        sampled = {name: value for name, value in found.items() if "sampled" in name}
        return found, sampled

    greedy, sampled = scores(4)
    assert greedy["val/test_score/some"] == greedy["val/accuracy"] == 1
    assert sampled == {"val/sampled_score/some": 0.5, "val/sampled_accuracy": 0.5}
    assert sampler.asked == [(1, 0.0), (4, 1.0)]
    assert scores(0)[1] == {}


def test_programs_that_are_held_out_are_neither_trained_on_nor_stored(tmp_path: Path) -> None:
    file = tmp_path / "held_out.jsonl"
    file.write_text(json.dumps({"problem": "def f(x):\n    return x * 9\n"}) + "\n")
    azr = AzrSettings(problem_types=("code_o",), held_out_tasks=str(file))
    settings = GameSettings(azr=azr, train_batch_size=2)
    buffers = new_buffers(settings)
    task_type, task = known(settings)
    buffers.add(task_type, task)
    with open_judge(azr) as judge:
        result = SelfPlay(settings, buffers, judge).step(Same(), 1)
    assert result.metrics["gen_code_o/status/held_out"] == 1
    assert list(buffers[task_type].tasks) == [task]
    for sample in result.samples:
        assert sample.masked == (sample.kind.role is Role.PROPOSE)


@pytest.mark.parametrize("text", [None, "{", '{"input": "1"}\n'])
def test_a_file_of_held_out_tasks_that_is_none_is_an_error(
    tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "held_out.jsonl"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SeedError, match=r"azr\.held_out_tasks"):
        read_programs(str(file))

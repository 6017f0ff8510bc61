"""Steps under other options: what is drawn, trained on, kept, and given back after a failure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from executor import ExecutorError
from tests.trainer.support.game import (
    Flaky,
    Script,
    SelfPlay,
    fenced,
    new_buffers,
    open_judge,
    program_task,
    proposal,
    settings,
)
from trainer.game.errors import ExecutorLost, GameError, PromptTooLong, StateError
from trainer.game.play.judging import TaskJudge
from trainer.game.policy import Message, Request, Response
from trainer.game.settings import (
    DataSelectionStrategy,
    GameSettings,
    GenerationRewardConfig,
    RewardSettings,
)
from trainer.game.tasks.task import Kind, Role, TaskType


@pytest.fixture(scope="module")
def judge() -> Iterator[TaskJudge]:
    with open_judge() as opened:
        yield opened


def add(number: int) -> str:
    return f"def f(x):\n    return x + {number}"


class Model:
    """Proposes a new program each time; solves the first ``solves`` of ``n`` estimates."""

    def __init__(self, solves: int = 2) -> None:
        self.solves = solves
        self.count = 100
        self.requests: list[Request] = []

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        self.requests += requests
        for request in requests:
            for sample in range(request.n):
                yield Response(request.id, sample, self.answer(request, sample), 10)

    def answer(self, request: Request, sample: int) -> str:
        if request.kind.role is Role.PROPOSE:
            self.count += 1
            return proposal(add(self.count), "1")
        program = request.messages[0].content.split("return x + ")[1]
        right = int(program.split("\n")[0]) + 1
        good = request.train or sample < self.solves
        return fenced("output", str(right if good else -1))


def deduction(**azr: Any) -> GameSettings:
    given = {"problem_types": ("code_o",), "reward": RewardSettings(n_samples=4), **azr}
    return settings(train_batch_size=given.pop("train_batch_size", 2), **given)


def new_game(wanted: GameSettings, judge: TaskJudge, **more: Any) -> SelfPlay:
    buffers = new_buffers(wanted)
    for number in range(6):
        buffers.add(TaskType.DEDUCTION, program_task(add(number), "1", str(number + 1)))
    return SelfPlay(wanted, buffers, judge, **more)


def counts(samples: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for sample in samples:
        found[sample.kind.name] = found.get(sample.kind.name, 0) + 1
    return found


def test_without_train_propose_proposals_are_scored_and_stored_only(judge: TaskJudge) -> None:
    game = new_game(deduction(train_propose=False), judge)
    result = game.step(Model(), 1)
    assert counts(result.samples) == {"pred_code_o": 2}
    assert result.metrics["gen_code_o/critic/score/mean"] == 0.5
    assert len(game.buffers[TaskType.DEDUCTION]) == 8


def test_pretraining_steps_train_the_solver_only(judge: TaskJudge) -> None:
    game, model = new_game(deduction(pretrain_pred_steps=2), judge), Model()
    for step in (1, 2, 3):
        found = counts(game.step(model, step).samples)
        assert found == {"pred_code_o": 2} | ({"gen_code_o": 2} if step == 3 else {})
    assert {request.kind.role for request in model.requests if request.n > 1} == {Role.SOLVE}


@pytest.mark.parametrize(
    ("which", "solves", "stored"),
    [("all", 0, 2), ("all", 4, 2), ("non_one", 0, 2), ("non_one", 4, 0), ("non_extremes", 0, 0),
     ("non_extremes", 1, 2)],
)  # fmt: skip
def test_the_filter_decides_what_is_stored(
    judge: TaskJudge, which: Any, solves: int, stored: int
) -> None:
    strategy = DataSelectionStrategy(valid_program_filter=which)
    game = new_game(deduction(data_selection_strategy=strategy), judge)
    result = game.step(Model(solves), 1)
    assert len(game.buffers[TaskType.DEDUCTION]) == 6 + stored
    assert result.metrics["gen_code_o/stored"] == stored


@pytest.mark.parametrize(
    ("zero", "solves", "expected"),
    [("penalty", 4, -0.5), ("penalty", 0, -0.5), ("zero", 4, 0), ("zero", 0, 0), ("zero", 1, 0.75)],
)
def test_what_no_learnability_earns_is_an_option(
    judge: TaskJudge, zero: Any, solves: int, expected: float
) -> None:
    reward = RewardSettings(n_samples=4, zero_learnability=zero)
    result = new_game(deduction(reward=reward), judge).step(Model(solves), 1)
    rewards = {s.reward for s in result.samples if s.kind.role is Role.PROPOSE}
    assert rewards == {expected}


def test_intrinsic_rewards_are_added(judge: TaskJudge) -> None:
    diversity = GenerationRewardConfig.model_validate(
        {"answer_diversity_reward": {"enabled": True, "coef": 0.2, "max": 0.5}}
    )
    reward = RewardSettings(n_samples=4, generation_reward_config=diversity)
    result = new_game(deduction(reward=reward), judge).step(Model(2), 1)
    # outputs that were never seen have rarity 1
    assert {s.reward for s in result.samples if s.kind.role is Role.PROPOSE} == {0.5 + 0.2}
    assert result.metrics["gen_code_o/answer_diversity"] == 1


def test_the_solver_trains_on_tasks_of_earlier_steps(judge: TaskJudge) -> None:
    game, model = new_game(deduction(), judge), Model()
    game.step(model, 1)
    model.requests.clear()
    game.step(model, 2)
    kind = Kind(Role.SOLVE, TaskType.DEDUCTION)
    shown = [r.messages[0].content for r in model.requests if r.train and r.kind == kind]
    found = {number for number in (101, 102) for p in shown if f"return x + {number}\n" in p}
    assert (len(shown), found) == (2, {101, 102})


def test_prompts_serve_several_steps_where_asked(judge: TaskJudge) -> None:
    strategy = DataSelectionStrategy(update_iteration=2)
    game, model = new_game(deduction(data_selection_strategy=strategy), judge), Model()
    game.step(model, 1)
    state = game.state()
    assert [row["kind"] for row in state["pending"]] == ["gen_code_o"] * 2 + ["pred_code_o"] * 2
    again = new_game(deduction(data_selection_strategy=strategy), judge)
    again.restore(json.loads(json.dumps(state)))
    first, second = Model(), Model()
    game.step(first, 2)
    again.step(second, 2)
    assert first.requests == second.requests
    assert game.state()["pending"] == []


def test_a_game_goes_on_from_a_saved_state_exactly(judge: TaskJudge) -> None:
    wanted = deduction(gen_data_probabilities_strategy="step", pred_data_mix_strategy="half_new")
    game, model = new_game(wanted, judge), Model()
    for step in (1, 2):
        game.step(model, step)
    saved = json.dumps(game.state())
    other = new_game(wanted, judge)
    other.restore(json.loads(saved))
    assert json.dumps(other.state()) == saved
    straight, resumed = Model(), Model()
    ended = [(g.step(m, 3), g.step(m, 4)) for g, m in ((game, straight), (other, resumed))]
    assert straight.requests == resumed.requests
    assert ended[0][1].samples == ended[1][1].samples
    assert json.dumps(game.state()) == json.dumps(other.state())


def test_the_seed_of_the_settings_decides_what_is_drawn(judge: TaskJudge) -> None:
    models = [Model() for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        new_game(deduction(seed=seed), judge).step(model, 1)
    assert models[0].requests == models[1].requests
    assert models[0].requests != models[2].requests


@pytest.mark.parametrize("state", [{}, {"version": 9}, {"version": 1, "random": [1, [2], None]}])
def test_a_broken_state_is_refused_and_changes_nothing(
    judge: TaskJudge, state: dict[str, Any]
) -> None:
    game = new_game(deduction(), judge)
    before = json.dumps(game.state())
    with pytest.raises(StateError):
        game.restore(state)
    assert json.dumps(game.state()) == before


def test_a_step_that_fails_leaves_the_state_as_it_was() -> None:
    flaky = Flaky(1, ExecutorError("gone for good"), after=0)
    wanted = deduction(executor_patience_s=0)
    with open_judge(wanted.azr, flaky) as judge:
        game = new_game(wanted, judge)
        before = json.dumps(game.state())
        first = Model()
        with pytest.raises(ExecutorLost):
            game.step(first, 1)
        assert json.dumps(game.state()) == before
        again = Model()
        game.step(again, 1)
        training = [request for request in again.requests if request.train]
        assert training == first.requests


def test_proposals_are_validated_while_generation_goes_on() -> None:
    with open_judge() as judge:

        class Slow(Model):
            seen = 0

            def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
                import time

                for response in super().generate(requests):
                    yield response
                    if requests[0].train and not self.seen:
                        deadline = time.monotonic() + 60
                        while not self.seen and time.monotonic() < deadline:
                            self.seen = judge.take_tally().validations.total()

        model = Slow()
        new_game(deduction(), judge).step(model, 1)
        assert model.seen == 1


def count_tokens(messages: Sequence[Message]) -> int:
    return len(messages[0].content)


def test_references_are_left_out_until_a_prompt_fits(judge: TaskJudge) -> None:
    model = Model()
    new_game(deduction(), judge, count_tokens=count_tokens).step(model, 1)
    lengths = [count_tokens(r.messages) for r in model.requests if r.kind.role is Role.PROPOSE]
    full = max(lengths)
    strategy = DataSelectionStrategy(content_max_length=full - 1)
    shorter = Model()
    result = new_game(
        deduction(data_selection_strategy=strategy), judge, count_tokens=count_tokens
    ).step(shorter, 1)
    for request in shorter.requests:
        assert count_tokens(request.messages) < full
    assert "</snippet_4>" in shorter.requests[0].messages[0].content
    assert "</snippet_5>" not in shorter.requests[0].messages[0].content
    assert result.metrics["gen_code_o/prompt_length/max"] < full


def test_no_prompt_that_fits_is_an_error_and_no_endless_loop(judge: TaskJudge) -> None:
    strategy = DataSelectionStrategy(content_max_length=10)
    game = new_game(deduction(data_selection_strategy=strategy), judge, count_tokens=count_tokens)
    with pytest.raises(PromptTooLong, match=r"no prompt of gen_code_o is within 10 tokens"):
        game.step(Model(), 1)


def test_a_task_too_long_to_solve_is_not_stored(judge: TaskJudge) -> None:
    wanted = deduction()

    def count(messages: Sequence[Message]) -> int:
        return 10**6 if "return x + 101\n" in messages[0].content else 1

    game = new_game(wanted, judge, count_tokens=count)
    result = game.step(Model(), 1)
    proposals = [s for s in result.samples if s.kind.role is Role.PROPOSE]
    assert [s.reward for s in proposals] == [-0.5, 0.5]
    assert len(game.buffers[TaskType.DEDUCTION]) == 7


def test_an_empty_buffer_is_an_error(judge: TaskJudge) -> None:
    wanted = deduction()
    with pytest.raises(GameError, match="no programs to propose deduction tasks from"):
        SelfPlay(wanted, new_buffers(wanted), judge).step(Model(), 1)


def test_a_full_buffer_keeps_the_newest(judge: TaskJudge) -> None:
    wanted = deduction(data_selection_strategy=DataSelectionStrategy(max_programs=3))
    game = new_game(wanted, judge)
    game.step(Model(), 1)
    assert [task.snippet for task in game.buffers[TaskType.DEDUCTION]] == [
        add(5), add(101), add(102),
    ]  # fmt: skip


def test_composite_programs_build_on_earlier_ones(judge: TaskJudge) -> None:
    strategy = DataSelectionStrategy(
        composite_function_n_min=2, composite_function_n_max=2, composite_chance=1.0,
        composite_start_step=1,
    )  # fmt: skip
    game = new_game(deduction(data_selection_strategy=strategy, train_batch_size=1), judge)
    before = [task.snippet for task in game.buffers[TaskType.DEDUCTION]]

    class Composer(Model):
        def answer(self, request: Request, sample: int) -> str:
            if request.kind.role is Role.PROPOSE:
                assert "def g_1(x):" in request.messages[0].content
                return proposal("def f(y):\n    return g_0(y), g_1(g_0(y))", "1")
            return fenced("output", "1")

    game.step(Composer(), 1)
    assert [task.snippet for task in game.buffers[TaskType.DEDUCTION]][:6] == before
    (stored,) = [task for task in game.buffers[TaskType.DEDUCTION] if task.step == 1]
    assert stored.snippet.startswith("def g_0(x):")
    assert stored.composite_functions == tuple(stored.snippet.split("\n\n")[:2])  # type: ignore[union-attr]
    assert stored.original_snippet == "def f(y):\n    return g_0(y), g_1(g_0(y))"  # type: ignore[union-attr]


def test_without_format_reward_tags_are_not_wanted(judge: TaskJudge) -> None:
    config = GenerationRewardConfig(format_reward=False)
    reward = RewardSettings(n_samples=4, generation_reward_config=config)
    game = new_game(deduction(reward=reward, train_batch_size=1), judge)
    script = Script({"gen_code_o": ["nothing"], "pred_code_o": ["<answer>nothing</answer>"]})
    assert [s.reward for s in game.step(script, 1).samples] == [-1, -0.5]

"""Rewards: the rules, learnability, intrinsic rewards and one's own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from trainer.game.errors import RewardError
from trainer.game.play.parser_pool import ParserPool
from trainer.game.rules import intrinsic, rewards
from trainer.game.rules.intrinsic import ProposalView, Rarity, combine, register_reward, terms
from trainer.game.settings import DiversityTerm, GenerationRewardConfig, RewardTerm
from trainer.game.tasks.task import TaskType


@pytest.mark.parametrize(
    ("score", "well_formed", "expected"),
    [(1, True, 1), (0.4, True, 0.4), (0, True, -0.5), (1, False, -1), (0, False, -1)],
)
def test_solver_rule(score: float, well_formed: bool, expected: float) -> None:
    assert rewards.solver_reward(score, well_formed=well_formed) == expected


@pytest.mark.parametrize(
    ("rate", "one_minus", "inverse"), [(0, 0, 1), (0.25, 0.75, 0.75), (1, 0, 0)]
)
def test_learnability(rate: float, one_minus: float, inverse: float) -> None:
    assert rewards.learnability(rate, "one_minus") == one_minus
    assert rewards.learnability(rate, "inverse") == inverse


@pytest.mark.parametrize(
    ("value", "valid", "well_formed", "penalty", "zero"),
    [(0.75, True, True, 0.8, 0.8), (0, True, True, -0.5, 0), (0.75, True, False, -1, -1),
     (0.75, False, True, -1, -1), (0, False, False, -1, -1)],
)  # fmt: skip
def test_proposer_rule(
    value: float, valid: bool, well_formed: bool, penalty: float, zero: float
) -> None:
    for option, expected in (("penalty", penalty), ("zero", zero)):
        found = rewards.proposer_reward(
            value, 0.8, valid=valid, well_formed=well_formed, zero_learnability=option  # type: ignore[arg-type]
        )  # fmt: skip
        assert found == expected


@pytest.mark.parametrize(
    ("rate", "kept"),
    [(None, (True, False, False)), (0.0, (True, True, False)), (0.5, (True, True, True)),
     (1.0, (True, False, False))],
)  # fmt: skip
def test_filters(rate: float | None, kept: tuple[bool, ...]) -> None:
    assert tuple(rewards.passes_filter(rate, f) for f in ("all", "non_one", "non_extremes")) == kept


@pytest.mark.parametrize(
    ("method", "expected"),
    [("sum", 0.5 + 0.2 + 0.3), ("multiply", 0.5 * 0.2 * 0.3), ("sum_multiply", 0.5 + 0.2 * 0.3),
     ("multiply_sum", 0.5 * (0.2 + 0.3))],
)  # fmt: skip
def test_combining_as_worked_by_hand(method: str, expected: float) -> None:
    wanted = {
        "a": RewardTerm(enabled=True, coef=0.5, max=0.2),  # min(0.5 * 1, 0.2)
        "b": RewardTerm(enabled=True, coef=0.5, max=0.9),  # min(0.5 * 0.6, 0.9)
        "off": RewardTerm(enabled=False, coef=9, max=9),
    }
    values = {"a": 1.0, "b": 0.6, "off": 1.0}
    assert combine(0.5, values, wanted, method) == pytest.approx(expected)
    assert combine(0.5, values, {"off": wanted["off"]}, method) == 0.5


def view(**changes: Any) -> ProposalView:
    given = {
        "task_type": TaskType.DEDUCTION, "code": "def f(x):\n    return x", "inputs": ("1",),
        "outputs": ("2",), "references": (), "input_rarity": (Rarity(0.1, 0.2),),
        "output_rarity": (Rarity(0.3, 0.4),),
    }  # fmt: skip
    return ProposalView(**{**given, **changes})


def test_answer_diversity_looks_at_what_the_solver_has_to_find() -> None:
    flat, deep = DiversityTerm(), DiversityTerm(hierarchical=True)
    measure = intrinsic.measure
    assert measure(view(), {"answer_diversity": flat}) == {"answer_diversity": 0.3}
    assert measure(view(), {"answer_diversity": deep}) == {"answer_diversity": 0.4}
    abduction = view(task_type=TaskType.ABDUCTION)
    assert measure(abduction, {"answer_diversity": flat}) == {"answer_diversity": 0.1}


def test_induction_diversity_is_a_mean() -> None:
    induction = view(task_type=TaskType.INDUCTION, input_rarity=(Rarity(0.2, 0), Rarity(0.4, 0)))
    found = intrinsic.measure(induction, {"f_input_answer_diversity": DiversityTerm()})
    assert found == {"f_input_answer_diversity": pytest.approx(0.3)}


def test_rewards_look_at_their_own_kinds() -> None:
    assert intrinsic.applies("halstead", TaskType.ABDUCTION)
    assert not intrinsic.applies("halstead", TaskType.INDUCTION)
    assert intrinsic.applies("f_output_answer_diversity", TaskType.INDUCTION)
    assert not intrinsic.applies("f_output_answer_diversity", TaskType.ERROR)


PLUGIN = """
from trainer.game.rules.intrinsic import ProposalView, register_reward
from trainer.game.settings import RewardTerm

@register_reward("shortness")
def shortness(view: ProposalView, term: RewardTerm) -> float:
    return 1 / len(view.code.splitlines())

@register_reward("broken")
def broken(view: ProposalView, term: RewardTerm) -> float:
    return view.nothing
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = "trainer_game_reward_plugin"
    (tmp_path / f"{name}.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(intrinsic, "_REWARDS", dict(intrinsic._REWARDS))
    sys.modules.pop(name, None)
    return name


def test_a_reward_of_ones_own_runs_in_the_workshop(plugin: str) -> None:
    term = RewardTerm(enabled=True, coef=1, max=1)
    config = GenerationRewardConfig(
        reward_modules=plugin, extra_rewards={"shortness": term, "broken": term}
    )
    assert terms(config)["shortness"] == term
    with ParserPool(config, processes=1) as parsers:
        done = parsers.measure(view(), {"shortness": term})
        assert done.result() == {"shortness": 0.5}
        with pytest.raises(RewardError, match="intrinsic reward 'broken' failed"):
            parsers.measure(view(), {"broken": term}).result()


def test_an_unknown_reward_is_an_error_that_lists_the_known_ones() -> None:
    config = GenerationRewardConfig(extra_rewards={"nope": RewardTerm()})
    with pytest.raises(RewardError, match=r"no intrinsic reward 'nope'; there are: .*halstead"):
        terms(config)
    with pytest.raises(RewardError, match="'no_such_module' cannot be imported"):
        terms(GenerationRewardConfig(reward_modules="no_such_module"))


def test_two_rewards_of_one_name_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intrinsic, "_REWARDS", dict(intrinsic._REWARDS))
    with pytest.raises(RewardError, match="two intrinsic rewards called 'halstead'"):
        register_reward("halstead")(lambda view, term: 0.0)

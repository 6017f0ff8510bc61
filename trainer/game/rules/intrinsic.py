"""Intrinsic rewards: bonuses of a proposal beside its learnability, and how to add one's own.

::

    @register_reward("short")
    def short(view: ProposalView, term: RewardTerm) -> float:
        return 1 / (1 + len(view.code.splitlines()))

and in the configuration, with the module that holds it on the path::

    azr.reward.generation_reward_config:
      reward_modules: [my_rewards]
      extra_rewards: {short: {enabled: true, coef: 0.5, max: 0.25}}

A reward is computed in a process of its own (:mod:`trainer.game.play.parser_pool`), since it may
parse the program. It must not run it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from statistics import fmean

from trainer.game.errors import RewardError
from trainer.game.rules import measures
from trainer.game.settings import DiversityTerm, GenerationRewardConfig, RewardTerm
from trainer.game.tasks.task import TaskType


@dataclass(frozen=True, slots=True)
class Rarity:
    """The rarity of a value among those of the buffers; see ``TypeCounts.rarity``."""

    flat: float
    hierarchical: float


@dataclass(frozen=True, slots=True)
class ProposalView:
    """A valid proposal as a reward sees it."""

    task_type: TaskType
    code: str
    """The program; only the new part of a composite one with ``use_original_code_as_ref``."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    """Literal text of the values, one for each input."""
    references: tuple[str, ...]
    """Programs that the proposer was shown."""
    input_rarity: tuple[Rarity, ...]
    """One for each input; empty where inputs are not counted."""
    output_rarity: tuple[Rarity, ...]


type Reward = Callable[[ProposalView, RewardTerm], float]

_REWARDS: dict[str, Reward] = {}


def register_reward(name: str) -> Callable[[Reward], Reward]:
    """Make a function known as a reward.

    Raises:
        RewardError: another function has that name.
    """

    def register(reward: Reward) -> Reward:
        known = _REWARDS.get(name)
        if known is not None and known.__qualname__ != reward.__qualname__:
            raise RewardError(f"there are two intrinsic rewards called {name!r}")
        _REWARDS[name] = reward
        return reward

    return register


def load_rewards(modules: Iterable[str]) -> None:
    """Import the modules that register rewards.

    Raises:
        RewardError: a module cannot be imported.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise RewardError(
                f"the reward module {module!r} cannot be imported: {error}"
            ) from error


def terms(config: GenerationRewardConfig) -> Mapping[str, RewardTerm]:
    """The settings of all rewards, by name.

    Raises:
        RewardError: one of ``extra_rewards`` is not registered.
    """
    load_rewards(config.reward_modules)
    unknown = sorted(config.extra_rewards.keys() - _REWARDS.keys())
    if unknown:
        raise RewardError(
            f"there is no intrinsic reward {unknown[0]!r}; there are: {', '.join(sorted(_REWARDS))}"
        )
    own = {name: getattr(config, f"{name}_reward") for name in _BUILT_IN}
    return {**own, **config.extra_rewards}


def measure(view: ProposalView, wanted: Mapping[str, RewardTerm]) -> dict[str, float]:
    """The value of each reward for a proposal, before coefficient and bound.

    Raises:
        RewardError: a reward failed or gave no number.
    """
    values = {}
    for name, term in wanted.items():
        try:
            values[name] = float(_REWARDS[name](view, term))
        except Exception as error:
            raise RewardError(f"the intrinsic reward {name!r} failed: {error!r}") from error
    return values


def applies(name: str, task_type: TaskType) -> bool:
    """Whether a reward looks at proposals of a task type; one's own look at all."""
    if name not in _BUILT_IN:
        return True
    return name.startswith("f_") == (task_type is TaskType.INDUCTION)


def combine(
    learnability: float, values: Mapping[str, float], wanted: Mapping[str, RewardTerm], method: str
) -> float:
    """Learnability with the enabled rewards, each ``min(coef * value, max)``."""
    parts = [
        min(term.coef * values[name], term.max)
        for name, term in wanted.items()
        if term.enabled and name in values
    ]
    if not parts:
        return learnability
    return {
        "sum": learnability + sum(parts),
        "multiply": learnability * prod(parts),
        "sum_multiply": learnability + prod(parts),
        "multiply_sum": learnability * sum(parts),
    }[method]


# -- Built in -------------------------------------------------------------------------------------


@register_reward("complexity")
def _complexity(view: ProposalView, term: RewardTerm) -> float:
    return measures.complexity(view.code)


@register_reward("halstead")
def _halstead(view: ProposalView, term: RewardTerm) -> float:
    return measures.halstead(view.code)


@register_reward("mean_edit_distance")
def _mean_edit_distance(view: ProposalView, term: RewardTerm) -> float:
    return measures.mean_edit_distance(view.code, view.references)


@register_reward("answer_diversity")
def _answer_diversity(view: ProposalView, term: RewardTerm) -> float:
    """Of what the solver has to find: abduction's input, the output of the others."""
    answers = view.input_rarity if view.task_type is TaskType.ABDUCTION else view.output_rarity
    return _mean_rarity(answers, term)


@register_reward("f_input_answer_diversity")
def _f_input_answer_diversity(view: ProposalView, term: RewardTerm) -> float:
    return _mean_rarity(view.input_rarity, term)


@register_reward("f_output_answer_diversity")
def _f_output_answer_diversity(view: ProposalView, term: RewardTerm) -> float:
    return _mean_rarity(view.output_rarity, term)


def _mean_rarity(answers: tuple[Rarity, ...], term: RewardTerm) -> float:
    hierarchical = isinstance(term, DiversityTerm) and term.hierarchical
    return fmean(
        [answer.hierarchical if hierarchical else answer.flat for answer in answers] or [0.0]
    )


_BUILT_IN = tuple(_REWARDS)

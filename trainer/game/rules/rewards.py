"""Rewards: the paper's rules, with the choices that AZR's code made.

A solver earns its score if it is above 0. A proposer earns the learnability of its task, and
perhaps intrinsic rewards on top. Whatever is badly formatted, or no sound task, earns -1; what is
well-formed but earned nothing gets -0.5.
"""

from __future__ import annotations

from typing import Literal

MALFORMED = -1.0
WRONG = -0.5


def solver_reward(score: float, *, well_formed: bool) -> float:
    """The paper's composite reward of an answer (its section on rewards): r, -0.5 or -1."""
    if not well_formed:
        return MALFORMED
    return score if score > 0 else WRONG


def learnability(solve_rate: float, conversion: Literal["one_minus", "inverse"]) -> float:
    """The learnability of a task that is solved at a rate from 0 to 1.

    ``one_minus``: 1 - p, but 0 where p is 0: neither trivial nor hopeless tasks are worth anything.
    ``inverse``: 1 - p throughout.
    """
    if conversion == "one_minus" and solve_rate == 0:
        return 0.0
    return 1 - solve_rate


def proposer_reward(
    value: float,
    combined: float,
    *,
    valid: bool,
    well_formed: bool,
    zero_learnability: Literal["penalty", "zero"],
) -> float:
    """The reward of a proposal.

    Args:
        value: Its learnability.
        combined: Learnability with intrinsic rewards; paid only where there is learnability.
        valid: The executor found it a sound task.
        well_formed: It is tagged as asked.
        zero_learnability: What a sound task with learnability 0 gets: ``penalty`` -0.5 as in AZR's
            code, ``zero`` 0 as in the paper's equations.
    """
    if not valid or not well_formed:
        return MALFORMED
    if value > 0:
        return combined
    return WRONG if zero_learnability == "penalty" else 0.0


def passes_filter(
    solve_rate: float | None, which: Literal["all", "non_one", "non_extremes"]
) -> bool:
    """Whether a valid proposal is stored; a rate that is not known passes ``all`` only."""
    if which == "all":
        return True
    if solve_rate is None or solve_rate == 1:
        return False
    return which == "non_one" or solve_rate > 0

"""The arms of the comparison: self-play, and the controls that say what makes it work."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arm:
    """A way to train; everything else is equal."""

    name: str
    title: str
    about: str
    """A sentence for the report."""
    overrides: tuple[str, ...] = ()
    """Differences in the configuration."""


SELF_PLAY = Arm("selfplay", "self-play", "Propose and solve, TRR++, one update a step.")
NO_UPDATES = Arm(
    "no_updates",
    "no updates",
    "The same with learning rate 0: the model stays as it is.",
    ("actor_rollout_ref.actor.optim.lr=0.0",),
)
SHUFFLED = Arm(
    "shuffled",
    "rewards shuffled",
    "Rewards are shuffled among the responses of the same role and task type of a step.",
    ("azr.advantage.shuffle_rewards=true",),
)
GLOBAL_BASELINE = Arm(
    "global_baseline",
    "one global baseline",
    "REINFORCE++: one baseline and scale for all responses of a step, in place of six.",
    ("azr.advantage.baseline=global",),
)
SOLVER_ONLY = Arm(
    "solver_only",
    "solver only",
    "Proposals are made, scored and stored, but not trained on.",
    ("azr.train_propose=false",),
)

ARMS = (SELF_PLAY, NO_UPDATES, SHUFFLED, GLOBAL_BASELINE, SOLVER_ONLY)
"""In the order of the report; the first one is what the others are compared with."""

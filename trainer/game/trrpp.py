r"""Task-relative REINFORCE++ (TRR++): a baseline and a scale for each role and task type.

The paper (equation of the TRR++ advantage):

.. math:: A_{task, role} = \frac{r - \mu_{task, role}}{\sigma_{task, role}}

over the rewards r of one step's responses of that task type and role: six baselines in the usual
game. Its results were made by code that takes the mean and the deviation over *tokens*, each with
the reward of its response, so that a long response weighs more. ``weighting`` chooses.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

type Floats = NDArray[np.float64]

EPSILON = 1e-8
"""Added to the variance, so that equal rewards give advantage 0."""


def advantages(
    rewards: ArrayLike,
    lengths: ArrayLike,
    groups: Sequence[Hashable],
    *,
    weighting: Literal["token", "sequence"] = "token",
    counted: ArrayLike | None = None,
) -> Floats:
    """The advantage of every response; all its tokens have that one advantage.

    Args:
        rewards: Reward of each response, shape (n,).
        lengths: Tokens of each response, shape (n,). A response without tokens is not counted.
        groups: Role and task type of each response; n of any hashable values.
        weighting: ``token``: mean and variance weigh a response by its length, and the variance has
            N / (N - 1) of N tokens. ``sequence``: all responses alike, N responses.
        counted: Whether a response takes part, shape (n,); by default all do. Others (masked ones)
            touch no baseline and have advantage 0.

    Returns:
        Advantages, shape (n,). A group of one response has advantage 0.
    """
    rewards = np.asarray(rewards, dtype=np.float64)
    lengths = np.asarray(lengths, dtype=np.float64)
    counts = np.asarray(lengths > 0 if counted is None else counted, dtype=bool) & (lengths > 0)
    members: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        if counts[index]:
            members.setdefault(group, []).append(index)
    result = np.zeros_like(rewards)
    for at in members.values():
        weights = lengths[at] if weighting == "token" else np.ones(len(at))
        result[at] = _normalised(rewards[at], weights)
    return result


def grouping(
    kinds: Sequence[Hashable], baseline: Literal["task_relative", "global"]
) -> list[Hashable]:
    """What :func:`advantages` groups by: the kinds, or one group of all (REINFORCE++)."""
    return list(kinds) if baseline == "task_relative" else ["all"] * len(kinds)


def _normalised(r: Floats, w: Floats) -> Floats:
    """(r - mu) / sigma for the rewards r of one group, weighted by w."""
    n = w.sum()
    if len(r) < 2 or n <= 1:
        return np.zeros_like(r)
    mu = (w @ r) / n
    variance = (w @ (r - mu) ** 2) / n * n / (n - 1)
    scaled: Floats = (r - mu) / np.sqrt(variance + EPSILON)
    return scaled

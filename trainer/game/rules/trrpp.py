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
    """The groups of :func:`advantages`: the kinds, or one group of all (REINFORCE++)."""
    return list(kinds) if baseline == "task_relative" else ["all"] * len(kinds)


def loss_weights(
    lengths: ArrayLike, groups: Sequence[Hashable], *, rows: int | None = None
) -> Floats:
    """What to multiply advantages with, so that a token mean over all responses becomes the mean of
    the token means over ``rows`` responses of one group each; ones if ``rows`` is ``None``.

    The code that made the published results takes its loss so: it goes through a step's responses
    kind by kind, 16 at a time, and averages the token means of these micro-batches. With N
    responses of T tokens in all, one that is among n responses of t tokens weighs (T / t) (n / N).

    Args:
        lengths: Tokens of each response, shape (n,); those without tokens are not counted.
        groups: As in :func:`advantages`.
        rows: Responses of one token mean; the last of a group may have fewer.
    """
    lengths = np.asarray(lengths, dtype=np.float64)
    weights = np.ones_like(lengths)
    if rows is None:
        return weights
    members: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        if lengths[index] > 0:
            members.setdefault(group, []).append(index)
    tokens, responses = lengths.sum(), np.count_nonzero(lengths)
    for all_of_group in members.values():
        for start in range(0, len(all_of_group), rows):
            at = all_of_group[start : start + rows]
            weights[at] = tokens / lengths[at].sum() * len(at) / responses
    return weights


def _normalised(r: Floats, w: Floats) -> Floats:
    """(r - mu) / sigma for the rewards r of one group, weighted by w."""
    n = w.sum()
    if len(r) < 2 or n <= 1:
        return np.zeros_like(r)
    mu = (w @ r) / n
    variance = (w @ (r - mu) ** 2) / n * n / (n - 1)
    scaled: Floats = (r - mu) / np.sqrt(variance + EPSILON)
    return scaled

"""Means with 95 % confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

_UPPER = 0.975
"""The quantile that leaves 2.5 % on each side."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and where it lies with 95 % confidence; no bounds where nothing tells them."""

    mean: float
    low: float | None
    high: float | None

    def overlaps(self, other: Interval) -> bool | None:
        """Whether the two have a value in common; ``None``: bounds are missing."""
        if self.low is None or self.high is None or other.low is None or other.high is None:
            return None
        return self.low <= other.high and other.low <= self.high


def over_seeds(values: Sequence[float]) -> Interval:
    """Student's t-interval of the mean of some runs; one run has no bounds.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values")
    from scipy.stats import t  # heavy

    mean = fmean(values)
    if len(values) == 1:
        return Interval(mean, None, None)
    half = float(t.ppf(_UPPER, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


def over_tasks(shares: Sequence[float], tasks: int) -> Interval:
    """The interval of a mean of shares, each of as many tasks: what another choice of test tasks
    might have given to the same model (normal approximation within each group).

    Raises:
        ValueError: there are no shares.
    """
    if not shares:
        raise ValueError("no shares")
    mean = fmean(shares)
    variance = sum(share * (1 - share) / tasks for share in shares) / len(shares) ** 2
    half = NormalDist().inv_cdf(_UPPER) * math.sqrt(variance)
    return Interval(mean, max(0.0, mean - half), min(1.0, mean + half))

"""Means with 95 % confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

_T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
"""The 97.5 % quantile of Student's t by degrees of freedom."""
_NORMAL = 1.96


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
    mean = fmean(values)
    if len(values) == 1:
        return Interval(mean, None, None)
    half = _T.get(len(values) - 1, _NORMAL) * stdev(values) / math.sqrt(len(values))
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
    half = _NORMAL * math.sqrt(variance)
    return Interval(mean, max(0.0, mean - half), min(1.0, mean + half))

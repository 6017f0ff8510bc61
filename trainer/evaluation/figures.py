"""Figures of an evaluation: shares of right answers with intervals, and what they differ by.

A problem's answers are samples of one model; the interval says what another choice of as many
problems might have given (bootstrap over problems, percentiles).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_RESAMPLES = 10_000
_SEED = 0
_LOW, _HIGH = 2.5, 97.5


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its interval of 95 %; no bounds where there is one problem only."""

    value: float
    low: float | None
    high: float | None

    def as_json(self) -> dict[str, float | None]:
        """Value and bounds."""
        return {"value": self.value, "low": self.low, "high": self.high}


def pass_at_k(samples: int, right: int, k: int) -> float:
    """The chance that one of ``k`` answers, drawn of ``samples`` without putting back, is right.

    The unbiased estimator of Chen et al. 2021 (arXiv 2107.03374, equation 1).

    Raises:
        ValueError: there are fewer than ``k`` samples.
    """
    if not 1 <= k <= samples:
        raise ValueError(f"pass@{k} needs {k} answers, not {samples}")
    if samples - right < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / n for n in range(samples - right + 1, samples + 1))


def ks(samples: int, wanted: Iterable[int] = ()) -> list[int]:
    """The k's that figures are given for: 1, the powers of two, and those that are wanted."""
    powers = {1 << power for power in range(samples.bit_length()) if 1 << power <= samples}
    return sorted({k for k in {1, *powers, *wanted} if k <= samples})


def means(values: Sequence[float]) -> Any:
    """Means of resampled problems: an array, always the same for the same values."""
    import numpy

    array = numpy.asarray(values, dtype=float)
    generator = numpy.random.default_rng(_SEED)
    counts = generator.multinomial(len(array), [1 / len(array)] * len(array), size=_RESAMPLES)
    return counts @ array / len(array)


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of values of problems. Raises :class:`ValueError` if there are none."""
    if not values:
        raise ValueError("no values")
    if len(values) == 1:
        return Estimate(values[0], None, None)
    return weighted([(1.0, values)])


def weighted(groups: Sequence[tuple[float, Sequence[float]]]) -> Estimate:
    """A weighted sum of the means of benchmarks, each of them resampled on its own."""
    import numpy

    value = math.fsum(weight * math.fsum(group) / len(group) for weight, group in groups)
    generator = numpy.random.default_rng(_SEED + 1)
    # Benchmarks are independent, and those of one size would else have the same resamples.
    sums = sum(weight * generator.permutation(means(group)) for weight, group in groups)
    low, high = numpy.percentile(sums, [_LOW, _HIGH])
    return Estimate(value, float(low), float(high))


def differences(values: Mapping[str, float], others: Mapping[str, float]) -> dict[str, float]:
    """By problem what the first have more than the others, where both have it."""
    return {name: value - others[name] for name, value in values.items() if name in others}

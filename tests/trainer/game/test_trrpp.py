"""TRR++: hand-computed tables, and a second implementation."""

from __future__ import annotations

import math
from statistics import fmean, stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.game.rules.trrpp import EPSILON, advantages


def test_token_weighted_as_worked_by_hand() -> None:
    # mu = (100 * 1 - 300 * 0.5 - 600 * 1) / 1000 = -0.65; mean square 0.3525
    sigma = math.sqrt(0.3525 * 1000 / 999 + EPSILON)
    found = advantages([1, -0.5, -1], [100, 300, 600], ["a"] * 3)
    np.testing.assert_allclose(found, [1.65 / sigma, 0.15 / sigma, -0.35 / sigma], rtol=1e-12)
    np.testing.assert_allclose(found, [2.78, 0.25, -0.59], atol=0.005)


def test_sequence_weighted_as_worked_by_hand() -> None:
    # mean -1/6; deviations 7/6, -1/3, -5/6; sum of squares 78/36, over n - 1 = 2
    sigma = math.sqrt(78 / 36 / 2)
    found = advantages([1, -0.5, -1], [100, 300, 600], ["a"] * 3, weighting="sequence")
    np.testing.assert_allclose(found, [7 / 6 / sigma, -1 / 3 / sigma, -5 / 6 / sigma], rtol=1e-7)


def test_each_group_has_its_own_baseline() -> None:
    rewards, lengths = [1, 0, -1, 0.5], [10, 10, 20, 20]
    together = advantages(rewards, lengths, ["a", "a", "b", "b"])
    np.testing.assert_allclose(together[:2], advantages([1, 0], [10, 10], "aa"))
    np.testing.assert_allclose(together[2:], advantages([-1, 0.5], [20, 20], "bb"))


@pytest.mark.parametrize("weighting", ["token", "sequence"])
def test_equal_rewards_have_no_advantage(weighting: str) -> None:
    found = advantages([-0.5] * 3, [5, 7, 9], "aaa", weighting=weighting)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, 0, atol=1e-9)


@pytest.mark.parametrize("weighting", ["token", "sequence"])
def test_a_group_of_one_has_advantage_zero(weighting: str) -> None:
    assert advantages([1], [50], "a", weighting=weighting).tolist() == [0]  # type: ignore[arg-type]


def test_masked_responses_touch_no_baseline() -> None:
    found = advantages([1, 99, 0], [10, 10, 10], "aaa", counted=[True, False, True])
    assert found[1] == 0
    np.testing.assert_allclose(found[[0, 2]], advantages([1, 0], [10, 10], "aa"))


def test_a_response_without_tokens_is_not_counted() -> None:
    found = advantages([1, 99, 0], [10, 0, 10], "aaa")
    assert found[1] == 0
    np.testing.assert_allclose(found[[0, 2]], advantages([1, 0], [10, 10], "aa"))


def test_nothing_gives_nothing() -> None:
    assert advantages([], [], []).shape == (0,)


responses = st.lists(
    st.tuples(
        st.sampled_from([-1.0, -0.5, 0.0, 0.125, 0.5, 1.0]), st.integers(0, 40), st.booleans(),
        st.sampled_from("abc"),
    ),
    max_size=24,
)  # fmt: skip


def _over_tokens(rewards: list[float], lengths: list[int]) -> list[float]:
    """The definition, token by token."""
    tokens = [
        reward for reward, length in zip(rewards, lengths, strict=True) for _ in range(length)
    ]
    if len(rewards) < 2 or len(tokens) < 2:
        return [0.0] * len(rewards)
    mean = fmean(tokens)
    variance = sum((token - mean) ** 2 for token in tokens) / (len(tokens) - 1)
    return [(reward - mean) / math.sqrt(variance + EPSILON) for reward in rewards]


def _over_sequences(rewards: list[float], lengths: list[int]) -> list[float]:
    if len(rewards) < 2:
        return [0.0] * len(rewards)
    scale = math.sqrt(stdev(rewards) ** 2 + EPSILON)
    return [(reward - fmean(rewards)) / scale for reward in rewards]


@given(responses, st.sampled_from(["token", "sequence"]))
def test_equals_a_straightforward_implementation(
    rows: list[tuple[float, int, bool, str]], weighting: str
) -> None:
    rewards, lengths, counted, groups = (
        [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], [], []]
    )
    expected = [0.0] * len(rows)
    for group in "abc":
        at = [i for i, row in enumerate(rows) if row[3] == group and row[2] and row[1]]
        second = _over_tokens if weighting == "token" else _over_sequences
        values = second([rewards[i] for i in at], [lengths[i] for i in at])
        for i, value in zip(at, values, strict=True):
            expected[i] = value
    found = advantages(rewards, lengths, groups, weighting=weighting, counted=counted)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@given(
    st.lists(st.tuples(st.integers(-4, 4), st.integers(1, 50)), min_size=2, max_size=12),
    st.sampled_from(["token", "sequence"]),
)
def test_the_weighted_mean_of_advantages_is_zero(
    rows: list[tuple[int, int]], weighting: str
) -> None:
    rewards, lengths = zip(*rows, strict=True)
    found = advantages(rewards, lengths, "a" * len(rows), weighting=weighting)  # type: ignore[arg-type]
    weights = np.asarray(lengths) if weighting == "token" else np.ones(len(rows))
    assert abs(float(weights @ found)) < 1e-6

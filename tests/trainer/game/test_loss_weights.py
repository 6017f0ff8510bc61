"""Weights that turn one token mean into the mean of the token means of micro-batches."""

from __future__ import annotations

from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.game.rules.trrpp import loss_weights

ROWS = st.lists(
    st.tuples(st.integers(0, 50), st.sampled_from("abc"), st.floats(-3, 3)), min_size=1, max_size=40
)


def mean_of_token_means(rows: list[tuple[int, str, float]], size: int) -> float:
    """As the original computes it: micro-batch by micro-batch, each with its share of rows."""
    real = [row for row in rows if row[0]]
    total = 0.0
    for kind in sorted({row[1] for row in real}):
        of_kind = [row for row in real if row[1] == kind]
        for start in range(0, len(of_kind), size):
            part = of_kind[start : start + size]
            tokens = sum(length for length, _, _ in part)
            total += sum(n * a for n, _, a in part) / tokens * len(part) / len(real)
    return total


@given(ROWS, st.integers(1, 20))
def test_the_weighted_token_mean_is_the_mean_of_token_means(
    rows: list[tuple[int, str, float]], size: int
) -> None:
    lengths = np.array([row[0] for row in rows], dtype=float)
    values = np.array([row[2] for row in rows])
    weights = loss_weights(lengths, [row[1] for row in rows], rows=size)
    if lengths.sum() == 0:
        return
    got = (lengths * values * weights).sum() / lengths.sum()
    assert got == pytest.approx(mean_of_token_means(rows, size), abs=1e-9)


def test_full_micro_batches_weigh_alike() -> None:
    """The published step: 16 short answers count as much as 16 long proposals."""
    lengths = [100] * 16 + [3000] * 16
    weights = loss_weights(lengths, ["solve"] * 16 + ["propose"] * 16, rows=16)
    assert fmean(weights[:16]) * 100 == pytest.approx(fmean(weights[16:]) * 3000)


def test_without_a_size_all_tokens_weigh_alike() -> None:
    assert loss_weights([1, 2, 3], "aba").tolist() == [1, 1, 1]

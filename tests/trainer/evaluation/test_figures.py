"""Figures against values that are known otherwise."""

from __future__ import annotations

from itertools import combinations

import pytest

from trainer.evaluation.benchmarks import BENCHMARKS
from trainer.evaluation.figures import differences, estimate, ks, pass_at_k
from trainer.evaluation.published import PUBLISHED
from trainer.evaluation.results import AVERAGES, Benchmarked, ProblemVerdicts, averages, compared


@pytest.mark.parametrize("samples", [1, 4, 7])
def test_pass_at_k_is_the_share_of_all_choices(samples: int) -> None:
    for right in range(samples + 1):
        answers = [True] * right + [False] * (samples - right)
        for k in range(1, samples + 1):
            chosen = list(combinations(answers, k))
            assert pass_at_k(samples, right, k) == pytest.approx(
                sum(map(any, chosen)) / len(chosen)
            )


def test_more_than_there_is_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="pass@3 needs 3"):
        pass_at_k(2, 1, 3)
    assert ks(6, [3, 9]) == [1, 2, 3, 4]


def test_the_interval_is_that_of_the_binomial() -> None:
    found = estimate([1.0] * 30 + [0.0] * 70)
    assert found.value == pytest.approx(0.3)
    assert found.low == pytest.approx(0.21, abs=0.015)
    assert found.high == pytest.approx(0.39, abs=0.015)
    assert found == estimate([1.0] * 30 + [0.0] * 70)
    assert estimate([0.5]).low is None


def side(share: dict[str, list[int]]) -> dict[str, Benchmarked]:
    return {
        name: Benchmarked(
            [ProblemVerdicts(name, str(n), 1, right, {}) for n, right in enumerate(rights)]
        )
        for name, rights in share.items()
    }


def test_averages_are_those_of_the_originals_tables() -> None:
    everything = [*AVERAGES["Code Avg"], *AVERAGES["Math Avg"]]
    assert len(AVERAGES["Code Avg"]) == 3
    assert len(AVERAGES["Math Avg"]) == 6
    found = averages(side({name: [1, 0] if name == "lcb" else [1, 1] for name in everything}))
    assert found["Code Avg"].value == pytest.approx(5 / 6)
    assert found["Math Avg"].value == pytest.approx(1)
    assert found["Total Avg"].value == pytest.approx((5 / 6 + 1) / 2)
    assert averages(side({"lcb": [1]})) == {}
    for row in PUBLISHED:
        assert row.total == pytest.approx((row.code + row.math) / 2, abs=0.1)


def test_differences_are_paired() -> None:
    assert differences({"a": 1.0, "b": 0.0}, {"b": 1.0, "c": 1.0}) == {"b": -1.0}
    better = side({"aime24": [1, 1, 0, 1] * 20})
    worse = side({"aime24": [1, 0, 0, 0] * 20})
    found = compared(better, worse)["aime24"]
    assert found.value == pytest.approx(0.5)
    assert found.low is not None
    assert found.low > 0.35  # narrower than of two that are independent


def test_each_benchmark_says_where_it_comes_from() -> None:
    assert all(one.source.startswith("https://") and one.licence for one in BENCHMARKS.values())

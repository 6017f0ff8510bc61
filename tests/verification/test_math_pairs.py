"""Right and wrong answers that are generated: forms of a result, and near misses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from executor import SyncExecutor
from tests.support.grading import GRADING
from tests.support.libraries import require_set
from tests.support.math_oracle import LIMITS, misjudged
from tests.support.math_pairs import golds, made

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # the library set may have to be built

OWN = [
    "17", "-4096", r"\frac{7}{8}", r"3\sqrt{7}", "0.35", "6.1e12", "45_7", r"\text{north}",
    r"60^\circ", "(2,-5)", "(3,8]", "4, 6, 9", r"2 \pm \sqrt{3}", "x^3+2x",
    r"\begin{pmatrix} 1 \\ 5 \end{pmatrix}",
]  # fmt: skip


@pytest.fixture(scope="module")
def mathematics() -> Iterator[SyncExecutor]:
    require_set("math")
    with SyncExecutor(workers=2, limits=LIMITS, libraries="math") as executor:
        yield executor


def test_forms_of_a_result_are_right_and_near_misses_wrong(mathematics: SyncExecutor) -> None:
    known = made([(text,) for text in OWN])
    for text in OWN:
        right = [pair for pair in known if pair.gold == (text,) and pair.right]
        assert len(right) >= 6  # itself, boxed, and at least three forms
    assert misjudged(mathematics, known) == []


@pytest.mark.data
@pytest.mark.skipif(not GRADING.is_dir(), reason="the shared data sets are absent")
def test_a_sample_of_the_published_results_is_judged_right(mathematics: SyncExecutor) -> None:
    known = made(golds(GRADING.parent / "math"), 120)
    assert misjudged(mathematics, known) == []

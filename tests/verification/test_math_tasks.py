"""Mathematical answers: what means the same is right, what is near is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from executor import JudgeTask, Limits, Status, SyncExecutor, TaskType
from tests.support.libraries import require_set

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # the library set may have to be built


@pytest.fixture(scope="module")
def mathematics() -> Iterator[SyncExecutor]:
    limits = Limits(wall_s=60, cpu_s=2, memory_mib=512)
    require_set("math")
    with SyncExecutor(workers=2, limits=limits, libraries="math") as executor:
        yield executor


CASES = [
    ([r"\frac{3}{2}"], ["3/2", "1.5", r"\boxed{\dfrac32}", r"x=\frac{3}{2}"], ["2/3", "1.6"]),
    ([r"90^\circ"], ["90", "90°", r"\boxed{90^{\circ}}", "90 degrees"], ["91"]),
    (["3, 5, 7"], ["5,3,7", r"\{3,5,7\}", "3, 5 and 7"], ["3,5", "3,5,8"]),
    ([r"\left( 3, \frac{\pi}{2} \right)"], [r"(3,\pi/2)"], [r"(3,\pi)", r"(\pi/2,3)"]),
    (["10080"], ["10,080", "10{,}080", r"10\,080"], ["10081", "10,80"]),
    (["x^2+2x+1"], ["(x+1)^2"], ["(x+2)^2"]),
    (["$-1$", "$2$"], ["2, -1", "x=-1 or x=2", r"\boxed{-1, 2}"], ["1,2", "2"]),
    (["[0,1)"], ["[0, 1)"], ["(0,1)"]),
    ([r"\text{Evelyn}"], ["Evelyn"], ["Bob", ""]),
    (["52_8"], ["52_{8}"], ["53_8"]),
    (["$3 n$"], ["3n", r"\boxed{3n}"], ["3", "3 m"]),
    ([r"2\mathrm{e}^{x}"], [r"2 \mathrm{e}^{x}"], ["2"]),
    ([".0672"], ["x=.0672", "0.0672", ".0672."], ["672", "0672"]),
    (
        ["3e6"],
        [r"3 \times 10^{6}", r"3\cdot10^6 \mathrm{~m}", "3000000"],
        [r"3 \times 10^{7}", "3"],
    ),
    (["2.5e-6"], [r"2.5 \times 10^{-6}", "0.0000025"], ["2.5e6", "2.6e-6", r"\frac{2.5}{10^5}"]),
    (["2516_8"], ["2516_{8}", r"2516_{\text{8}}", "2516"], ["2516_5", "2517_8"]),
    ([r"\frac{4}{9}"], [r"\frac{2\left(\frac{4}{9}\right)}{2}"], [r"2\left(\frac{4}{9}\right)"]),
    (["31/2"], ["15.5", r"x = \frac{31}{2}"], ["3 1/2"]),
    ([r"11,\! 111"], ["11111", "11,111", r"\boxed{11{,}111}"], ["11", "111"]),
    (["1.6"], [r"1.6 \mathrm{~cm}"], ["1.7"]),
    (
        [r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}"],
        [r"\begin{bmatrix}1&2\\3&4\end{bmatrix}"],
        [r"\begin{pmatrix}1&2\\3&5\end{pmatrix}"],
    ),
]


@pytest.mark.parametrize(("expected", "right", "wrong"), CASES, ids=lambda one: str(one)[:30])
def test_what_means_the_same_is_right(
    mathematics: SyncExecutor, expected: list[str], right: list[str], wrong: list[str]
) -> None:
    task = JudgeTask(task=TaskType.MATH, expected=tuple(expected), answers=(*right, *wrong))
    judgement = mathematics.judge(task)
    assert judgement.scores == (1.0,) * len(right) + (0.0,) * len(wrong), judgement.details


def test_an_answer_without_end_costs_itself_only(mathematics: SyncExecutor) -> None:
    answers = ("9^{9^{9^{9}}}", "2", r"\boxed{" * 40)
    judgement = mathematics.judge(JudgeTask(task=TaskType.MATH, expected=("2",), answers=answers))
    assert judgement.scores == (0.0, 1.0, 0.0)
    assert judgement.statuses[0] in (Status.CPU_LIMIT, Status.MEMORY_LIMIT, Status.WALL_LIMIT)


def test_nothing_expected_is_malformed(mathematics: SyncExecutor) -> None:
    judgement = mathematics.judge(JudgeTask(task=TaskType.MATH, answers=("2",)))
    assert (judgement.scores, judgement.statuses) == ((None,), (Status.MALFORMED,))


def test_keys_are_those_of_what_is_expected(mathematics: SyncExecutor) -> None:
    keys = {
        mathematics.judge(JudgeTask(task=TaskType.MATH, expected=(text,), answers=("2",))).key
        for text in ("2", "3")
    }
    assert len(keys) == 2


def test_without_the_library_set_there_is_no_score(sandbox: SyncExecutor) -> None:
    judgement = sandbox.judge(JudgeTask(task=TaskType.MATH, expected=("2",), answers=("2",)))
    assert judgement.scores == (None,)
    assert "--libraries math" in judgement.details[0]

"""Three hundred programs that use libraries, stable ones and ones that are no sound task."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from executor import JudgeTask, Limits, Status, SyncExecutor, TaskType, Triplet, Verdict
from tests.cases.libraries.numpy_programs import NUMPY
from tests.cases.libraries.pandas_programs import PANDAS
from tests.cases.libraries.sympy_programs import SYMPY
from tests.support.engines import why_no_engine
from tests.support.libraries import require_set
from tests.support.programs import OPEN_RULES

LIMITS = Limits(wall_s=60, cpu_s=10, memory_mib=1024)
HEADS = {
    "numpy": "import numpy as np\n",
    "sympy": "import sympy\ns, t = sympy.symbols('s t')\n",
    "pandas": (
        "import pandas as pd\n"
        "d = pd.DataFrame({'k': list('pqpq'), 'a': [1, 2, 3, 4], 'b': [3.5, 1.5, 0.5, 2.5]})\n"
    ),
}
CASES = {"numpy": NUMPY, "sympy": SYMPY, "pandas": PANDAS}
FEW = {"numpy": 1, "sympy": 8, "pandas": 3}
"""Every how many-th stable program is run where time is short: sympy's take ten runs each, since it
uses the order of sets."""
pytestmark = pytest.mark.timeout(600)  # gVisor takes minutes to start guests with pandas
SLOWER = {"gvisor": 20}
"""Of these only every so many-th of those: a fork of a process with pandas takes a second there."""


@pytest.fixture(
    scope="module",
    params=[
        "nsjail",
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("gvisor", marks=[pytest.mark.docker, pytest.mark.long]),
    ],
)
def executor(request: pytest.FixtureRequest) -> Iterator[SyncExecutor]:
    backend: str = request.param
    if backend == "nsjail":
        require_set("data")
    elif reason := why_no_engine("absolute-zero-guest:data"):
        pytest.skip(reason)
    with SyncExecutor(
        backend, workers=2, limits=LIMITS, rules=OPEN_RULES, libraries="data"
    ) as made:
        yield made


def program(library: str, expression: str) -> str:
    return f"{HEADS[library]}def f(x):\n    return {expression}\n"


def wrong(executor: SyncExecutor, library: str, every: int) -> dict[str, Verdict]:
    """The stable programs, or every so many-th, whose verdict is another than it should be."""
    every *= SLOWER.get(executor.info.backend, 1)
    stable = [(one, value) for one, value in CASES[library].items() if value is not None][::every]
    triplets = (
        Triplet(program=program(library, one), inputs=("3",), outputs=(value,))
        for one, value in stable
    )
    verdicts = executor.validate_many(triplets)
    return {
        expression: verdict
        for (expression, _), verdict in zip(stable, verdicts, strict=True)
        if not verdict.valid
    }


def test_there_are_a_hundred_programs_for_each_library() -> None:
    assert all(len(cases) >= 100 for cases in CASES.values())


@pytest.mark.parametrize("library", CASES)
def test_programs_give_what_they_should(executor: SyncExecutor, library: str) -> None:
    assert wrong(executor, library, FEW[library]) == {}


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("library", [name for name in CASES if FEW[name] > 1])
def test_all_programs_give_what_they_should(executor: SyncExecutor, library: str) -> None:
    assert wrong(executor, library, 1) == {}


@pytest.mark.parametrize("library", CASES)
def test_programs_that_are_not_the_same_everywhere_are_no_task(
    executor: SyncExecutor, library: str
) -> None:
    unstable = [expression for expression, value in CASES[library].items() if value is None]
    for expression in unstable[:: SLOWER.get(executor.info.backend, 1)]:
        triplet = Triplet(program=program(library, expression), inputs=("3",))
        verdict = executor.validate(triplet)
        assert verdict.status is Status.NONDETERMINISTIC, (expression, verdict)


def test_answers_that_use_a_library_are_judged(executor: SyncExecutor) -> None:
    good = program("numpy", "int(np.sum(np.arange(x + 1)))")
    bad = program("numpy", "int(np.sum(np.arange(x)))")
    task = JudgeTask(
        task=TaskType.INDUCTION, inputs=("3", "4"), outputs=("6", "10"), answers=(good, bad)
    )
    assert executor.judge(task).scores == (1.0, 0.0)


@pytest.mark.parametrize(
    ("expression", "given", "text"),
    [
        ("np.int64(x)", "3", "numpy.int64(3)"),
        ("np.arange(x) * 2.5", "3", "numpy.array([0.0, 2.5, 5.0], dtype='float64')"),
        ("x[::-1]", "numpy.array([1, 2], dtype='uint8')", "numpy.array([2, 1], dtype='uint8')"),
        ("type(x).__name__", "np.float32(2.5)", "'float32'"),
        ("x", "{numpy.int8(1): [numpy.str_('a')]}", "{numpy.int8(1): [numpy.str_('a')]}"),
    ],
)
def test_numpys_values_come_back_as_they_are(
    executor: SyncExecutor, expression: str, given: str, text: str
) -> None:
    verdict = executor.validate(Triplet(program=program("numpy", expression), inputs=(given,)))
    assert verdict.outputs == (text,), verdict
    again = Triplet(program=program("numpy", "x"), inputs=(text,), outputs=(text,))
    assert executor.validate(again).valid


@pytest.mark.parametrize(
    ("expected", "valid"),
    [
        ("[0, 1, 2]", True), ("np.arange(3)", False), ("np.array([0., 1., 2.])", True),
        ("(0, 1, 2)", False), ("[0, 1]", False), ("np.array([[0, 1, 2]])", False),
    ],
)  # fmt: skip
def test_an_array_is_expected_as_one_or_as_lists(
    executor: SyncExecutor, expected: str, valid: bool
) -> None:
    triplet = Triplet(program=program("numpy", "np.arange(x)"), inputs=("3",), outputs=(expected,))
    assert executor.validate(triplet).valid is valid


@pytest.mark.parametrize(
    ("library", "expression", "told"),
    [
        ("numpy", "np.array([None])", ".tolist()"),
        ("pandas", "d", ".to_dict('list')"),
        ("sympy", "s + t", "str() of it"),
    ],
)
def test_what_is_no_value_is_told_with_what_to_return(
    executor: SyncExecutor, library: str, expression: str, told: str
) -> None:
    verdict = executor.validate(Triplet(program=program(library, expression), inputs=("3",)))
    assert verdict.status is Status.UNSERIALIZABLE
    assert told in verdict.detail


NUMPY_ANSWER = (
    "import numpy as np\ndef g(a):\n    a[0] = 9\n    return [a * 2, {'x': (np.float64(0.5),)}]"
)


@pytest.mark.parametrize(
    ("wanted", "score"),
    [("[[18, 4], {'x': (0.5,)}]", 1.0), ("[[18, 5], {'x': (0.5,)}]", 0.0)],
)
def test_values_of_numpy_are_compared_by_value(
    executor: SyncExecutor, wanted: str, score: float
) -> None:
    task = JudgeTask(
        task=TaskType.CALL, entry_point="g", inputs=("np.array([1, 2])",),
        outputs=(wanted,), answers=(NUMPY_ANSWER,),
    )  # fmt: skip
    assert executor.judge(task).scores == (score,)


def test_assertions_see_arrays_and_what_the_answer_does_to_them(executor: SyncExecutor) -> None:
    tests = (
        "import numpy as np\na = np.array([1, 2])\nvalue = g(a)\n"
        "assert value[0].shape == (2,) and np.allclose(value[0], [18, 4])\n"
        "assert a.tolist() == [9, 2]\n"
    )
    task = JudgeTask(
        task=TaskType.ASSERT, entry_point="g", tests=tests,
        answers=(NUMPY_ANSWER, "def g(a):\n    return [a * 2]"),
    )  # fmt: skip
    assert executor.judge(task).scores == (1.0, 0.0)

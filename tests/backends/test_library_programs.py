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


def validated(executor: SyncExecutor, library: str) -> dict[str, Verdict]:
    expressions = list(CASES[library])
    triplets = (
        Triplet(program=program(library, one), inputs=("3",), outputs=(CASES[library][one],))
        for one in expressions
    )
    return dict(zip(expressions, executor.validate_many(triplets), strict=True))


@pytest.mark.parametrize("library", CASES)
def test_programs_give_what_they_should(executor: SyncExecutor, library: str) -> None:
    verdicts = validated(executor, library)
    assert len(verdicts) >= 100
    wrong = {
        expression: (verdict.status, verdict.outputs, verdict.detail)
        for expression, verdict in verdicts.items()
        if CASES[library][expression] is not None and not verdict.valid
    }
    assert wrong == {}


@pytest.mark.parametrize("library", CASES)
def test_programs_that_are_not_the_same_everywhere_are_no_task(
    executor: SyncExecutor, library: str
) -> None:
    unstable = (expression for expression, value in CASES[library].items() if value is None)
    for expression in unstable:
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

"""An answer that imports what its library set lacks is told which set has it, whatever judges it;
with the set it is right."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from executor import JudgeTask, Options, Script, Status, SyncExecutor, TaskType
from tests.support.libraries import require_set

ANSWER = "import numpy as np\ndef total(a):\n    return int(np.sum(a))\n"
INSIDE = "def total(a):\n    import numpy as np\n    return int(np.sum(a))\n"
PYTEST = "from solution import total\ndef test_total():\n    assert total([1, 2]) == 3\n"
CHECK = "def check(candidate):\n    assert candidate([1, 2]) == 3\n    assert candidate([]) == 0\n"
TASKS = {
    "call": JudgeTask(
        task=TaskType.CALL, entry_point="total", inputs=("[1, 2]",), outputs=("3",),
        answers=(ANSWER,),
    ),
    "assert": JudgeTask(
        task=TaskType.ASSERT, entry_point="total", tests=CHECK, answers=(ANSWER,)
    ),
    "assert, imported inside": JudgeTask(
        task=TaskType.ASSERT, entry_point="total", tests=CHECK, answers=(INSIDE,)
    ),
    "assert, together": JudgeTask(
        task=TaskType.ASSERT, entry_point="total", tests=CHECK, together=True, answers=(ANSWER,)
    ),
    "assert, tests with numpy": JudgeTask(
        task=TaskType.ASSERT, entry_point="total", answers=(ANSWER,),
        tests="import numpy\nassert total(numpy.array([1, 2])) == 3\n",
    ),
    "pytest": JudgeTask(task=TaskType.PYTEST, tests=PYTEST, answers=(ANSWER,)),
    "stdio": JudgeTask(
        task=TaskType.STDIO, stdin=("1 2\n",), stdout=("3\n",),
        answers=(f"{ANSWER}print(total([int(one) for one in input().split()]))\n",),
    ),
    "induction": JudgeTask(
        task=TaskType.INDUCTION, inputs=("[1, 2]",), outputs=("3",),
        answers=(ANSWER.replace("total", "f"),),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def libraries() -> Iterator[SyncExecutor]:
    require_set("data")
    with SyncExecutor(workers=1, libraries="data", cache=False) as executor:
        yield executor


@pytest.mark.parametrize("name", TASKS)
def test_a_missing_library_is_told_with_its_sets(sandbox: SyncExecutor, name: str) -> None:
    judgement = sandbox.judge(TASKS[name])
    assert judgement.scores in {(0.0,), (None,)}
    assert "library sets with it: data, all" in judgement.details[0]


@pytest.mark.timeout(600)  # the library set may have to be built
@pytest.mark.parametrize("name", TASKS)
def test_with_the_set_the_answer_is_right(libraries: SyncExecutor, name: str) -> None:
    judgement = libraries.judge(TASKS[name])
    assert judgement.scores == (1.0,), judgement


@pytest.mark.timeout(600)
def test_a_call_that_names_the_set_has_it(sandbox: SyncExecutor) -> None:
    require_set("data")
    judgement = sandbox.judge(TASKS["assert"], options=Options(libraries="data"))
    assert judgement.scores == (1.0,), judgement


@pytest.mark.timeout(600)
def test_a_script_in_the_manner_of_humaneval_runs(libraries: SyncExecutor) -> None:
    result = libraries.run(Script(source=f"{ANSWER}{CHECK}check(total)\nprint('passed')\n"))
    assert (result.status, result.stdout) == (Status.OK, b"passed\n"), result.stderr

"""The judge: streams to the executor, an executor that goes away, and a clean end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from executor import (
    ConfigurationError,
    ExecutorError,
)
from tests.support.leftovers import children
from tests.support.waiting import wait_until
from tests.trainer.support.game import Flaky, open_judge, program_task
from trainer.game.errors import ExecutorLost
from trainer.game.play.executor_models import judge_task, validation_options
from trainer.game.play.judging import TaskJudge
from trainer.game.settings import AzrSettings, DataSelectionStrategy
from trainer.game.tasks.task import InductionTask, ProgramTask, TaskType
from trainer.game.texts.parsing import InductionProposal, ProgramProposal

ADD = "def f(x):\n    return x + 1"


@pytest.fixture(scope="module")
def judge() -> Iterator[TaskJudge]:
    strategy = DataSelectionStrategy(banned_keywords_for_errors_and_exceptions=("except",))
    with open_judge(AzrSettings(data_selection_strategy=strategy, max_output_chars=50)) as opened:
        yield opened


def examine(judge: TaskJudge, code: str, given: str, task: TaskType = TaskType.DEDUCTION) -> Any:
    return judge.examine_program(task, ProgramProposal(code, given)).result()


def test_a_valid_proposal_becomes_a_task(judge: TaskJudge) -> None:
    found = examine(judge, "import math\ndef g(x, y):\n    return [math.floor(x)] * y", "1.5, 2")
    assert found.task == ProgramTask(
        snippet="import math\n\ndef f(x, y):\n    return [math.floor(x)] * y",
        input="1.5, 2", output="[1, 1]", imports=("import math",),
        input_type="tuple", output_type="list",
    )  # fmt: skip


def test_outputs_are_canonical_and_never_cut(judge: TaskJudge) -> None:
    assert examine(judge, "def f(x):\n    return {'b': x, 'a': (x,)}", "1").task.output == (
        "{'b': 1, 'a': (1,)}"
    )
    found = examine(judge, "def f(x):\n    return 'a' * x", "49")
    assert (found.status, found.task) == ("too_long", None)
    assert found.detail == "the output has 51 characters, allowed are 50"


@pytest.mark.parametrize(
    ("code", "given", "status"),
    [
        ("def f(x):\n    return 1 // x", "0", "error"),
        ("def f(x):\n    raise Exception('no word of it in the last line')", "0", "error"),
        ("def f(x):\n    return lambda: x", "0", "unserializable"),
        ("def f(x):\n    return object()", "0", "unserializable"),
        ("def f(x):\n    return id([])", "0", "nondeterministic"),
        ("import random\ndef f(x):\n    return x", "0", "screened"),
        ("import os.path\ndef f(x):\n    return x", "0", "screened"),
        ("def f():\n    return 1", "", "screened"),
        ("def f(x):\n    while True: pass", "0", "cpu_limit"),
        ("def f(x):\n    return x", "1) or (2", "malformed"),
        ("def f(x):\n    return x", "__import__('socket').socket()", "forbidden"),
        ("import os\ndef f(x):\n    return os.fork()", "0", "forbidden"),
    ],
)
def test_unsound_proposals_are_refused(
    judge: TaskJudge, code: str, given: str, status: str
) -> None:
    found = examine(judge, code, given)
    assert (found.status, found.task) == (status, None), found.detail


def test_error_deduction_has_rules_of_its_own(judge: TaskJudge) -> None:
    error = TaskType.ERROR
    raised = examine(judge, "class Odd(Exception): pass\ndef f(x):\n    raise Odd(x)", "1", error)
    assert (raised.task.output, raised.task.output_type) == ("Odd", "exception")
    assert examine(judge, ADD, "1", error).task.output == "NoError"
    tried = "def f(x):\n    try:\n        return x[0]\n    except TypeError:\n        return 0"
    assert examine(judge, tried, "1", error).status == "screened"
    assert examine(judge, tried, "1").status == "valid"


def test_stateful_programs_are_not_judged_by_their_second_call(judge: TaskJudge) -> None:
    found = examine(judge, "def f(x, seen=[]):\n    seen.append(x)\n    return list(seen)", "1")
    assert found.task.output == "[1]"


def test_inductions_are_validated_on_all_inputs(judge: TaskJudge) -> None:
    program = program_task(ADD, "1", "2")
    found = judge.examine_induction(program, InductionProposal(("1", "2.5", "True"), "m")).result()
    assert found.task == InductionTask(
        ADD, ("1", "2.5", "True"), ("2", "3.5", "2"), "m",
        input_types=("int", "float", "bool"), output_types=("int", "float", "int"),
    )  # fmt: skip
    bad = judge.examine_induction(program, InductionProposal(("1", "'a'"), "m")).result()
    assert (bad.status, bad.task) == ("error", None)


def test_stated_outputs_must_be_right(judge: TaskJudge) -> None:
    right = judge.revalidate(TaskType.DEDUCTION, program_task(ADD, "1", "1 + 1")).result()
    assert isinstance(right.task, ProgramTask)
    assert right.task.output == "2"
    wrong = judge.revalidate(TaskType.DEDUCTION, program_task(ADD, "1", "3")).result()
    assert wrong.status == "mismatch"


def test_answers_are_scored_by_value(judge: TaskJudge) -> None:
    task = program_task("def f(x):\n    return {x}", "1", "{1}")
    answers = ["{1}", "{1.0}", "set([1])", "eval('{1}')", "{2}", "{1", "0) or (True", "print(1)"]
    found = judge.judge(TaskType.DEDUCTION, task, answers).result()
    assert found.scores == (1, 1, 1, 1, 0, 0, 0, 0)


def test_induction_is_judged_on_hidden_pairs_only() -> None:
    task = InductionTask(ADD, tuple("12345"), tuple("23456"), "m")
    wanted = judge_task(TaskType.INDUCTION, task, ["p"], "accuracy")
    assert (wanted.inputs, wanted.outputs) == (tuple("345"), tuple("456"))
    assert wanted.scoring == "fraction"


def test_bans_reach_the_executor() -> None:
    strategy = DataSelectionStrategy(
        banned_words=("math", "math"), banned_keywords_for_errors_and_exceptions=("except", "try")
    )
    values, errors = validation_options(AzrSettings(data_selection_strategy=strategy))
    assert values.rules is not None
    assert errors.rules is not None
    assert values.rules.banned_modules == errors.rules.banned_modules == ("math",)
    assert (values.rules.banned_keywords, errors.rules.banned_keywords) == ((), ("try",))


def test_the_tally_counts_since_it_was_last_taken(judge: TaskJudge) -> None:
    judge.take_tally()
    examine(judge, ADD, "7")
    judge.judge(TaskType.DEDUCTION, program_task(ADD, "1", "2"), ["2", "3", "3"]).result()
    tally = judge.take_tally()
    assert tally.validations == {"ok": 1}
    assert tally.answers == {"ok": 1, "mismatch": 2}
    assert tally.usage.wall_ms > 0
    assert not judge.take_tally().validations


# -- An executor that goes away --


def test_what_a_lost_executor_had_in_hand_is_handed_over_again() -> None:
    flaky = Flaky(3, ConnectionError("gone"), after=2)
    with open_judge(AzrSettings(executor_patience_s=60), flaky) as judge:
        pending = [
            judge.examine_program(TaskType.DEDUCTION, ProgramProposal(ADD, str(number)))
            for number in range(40)
        ]
        tasks = [future.result().task for future in pending]
        outputs = [task.output for task in tasks if isinstance(task, ProgramTask)]
        assert outputs == [str(number + 1) for number in range(40)]
        assert judge.take_tally().retries == 3


def test_patience_ends_and_a_later_call_tries_anew() -> None:
    flaky = Flaky(2, ExecutorError("no route"), after=0)
    with open_judge(AzrSettings(executor_patience_s=0), flaky) as judge:
        for _ in range(2):
            future = judge.examine_program(TaskType.DEDUCTION, ProgramProposal(ADD, "1"))
            with pytest.raises(ExecutorLost, match="the executor cannot be used: no route"):
                future.result()
        assert examine(judge, ADD, "1").status == "valid"


def test_an_error_that_will_not_pass_is_not_waited_for() -> None:
    flaky = Flaky(1, ConfigurationError("limits too high"), after=0)
    with open_judge(AzrSettings(executor_patience_s=600), flaky) as judge:
        started = time.monotonic()
        with pytest.raises(ExecutorLost, match="limits too high"):
            examine(judge, ADD, "1")
        assert time.monotonic() - started < 30


def test_an_executor_that_cannot_be_opened_says_so_at_once() -> None:
    class Shut(Flaky):
        async def __aenter__(self) -> Any:
            raise ExecutorError("nsjail is missing")

    with (
        pytest.raises(ExecutorError, match="nsjail is missing"),
        open_judge(verifier=Shut(0, ExecutorError())),
    ):
        raise AssertionError("it was opened")


def test_closing_ends_what_is_under_way_and_leaves_nothing() -> None:
    before = children()
    with open_judge() as judge:
        examine(judge, ADD, "1")
        running = judge.examine_program(
            TaskType.DEDUCTION, ProgramProposal("def f(x):\n    while True: pass", "1")
        )
        time.sleep(0.2)
    assert running.cancelled() or running.done()
    wait_until(lambda: not children(but="resource_tracker") - before)
    judge.close()

"""Programs that are judged by what their calls return."""

# ruff: noqa: E501 - a program is a line

from __future__ import annotations

from typing import Any

import pytest

from executor import Compare, JudgeTask, Signal, Status, SyncExecutor, TaskType


def task(*answers: str, given: str = "1, 2", wanted: str = "3", **more: Any) -> JudgeTask:
    fields: dict[str, Any] = {"entry_point": "g", "inputs": (given,), "outputs": (wanted,), **more}
    return JudgeTask(task=TaskType.CALL, answers=answers, **fields)


def returns(value: str) -> str:
    return f"def g(*args, **kwargs):\n    return {value}"


def score(sandbox: SyncExecutor, value: str, wanted: str, **more: Any) -> float | None:
    (found,) = sandbox.judge(task(returns(value), wanted=wanted, **more)).scores
    return found


def test_an_entry_point_may_be_a_method(sandbox: SyncExecutor) -> None:
    answers = (
        "class Solution:\n    def add(self, a, b):\n        return a + b",
        "class Solution:\n    @staticmethod\n    def add(a, b):\n        return a + b",
        "class Solution:\n    @classmethod\n    def add(cls, a, b):\n        return a + b",
        "class Solution:\n    def __init__(self, x):\n        pass\n    def add(self, a, b):\n"
        "        return a + b",
        "class Solution:\n    pass",
        "def add(a, b):\n    return a + b",
    )
    judgement = sandbox.judge(task(*answers, entry_point="Solution.add"))
    assert judgement.scores == (1.0, 1.0, 1.0, 0.0, 0.0, 0.0), judgement.details


def test_induction_is_the_same_of_f(sandbox: SyncExecutor) -> None:
    fields = {"inputs": ("1", "2"), "outputs": ("2", "4")}
    answers = ("def f(x): return 2 * x", "def f(x): return 2", "def g(x): return 2 * x")
    calls = JudgeTask(task=TaskType.CALL, entry_point="f", answers=answers, **fields)
    induction = JudgeTask(task=TaskType.INDUCTION, answers=answers, **fields)
    assert sandbox.judge(calls).scores == sandbox.judge(induction).scores == (1.0, 0.0, 0.0)


def test_a_helper_named_f_is_left_alone(sandbox: SyncExecutor) -> None:
    program = "def f(a, b):\n    return a + b\ndef g(a, b):\n    return f(a, b)"
    assert sandbox.judge(task(program)).scores == (1.0,)


def test_keywords_are_passed(sandbox: SyncExecutor) -> None:
    program = "def g(a, *, b):\n    return a + b"
    assert sandbox.judge(task(program, given="1, b=2")).scores == (1.0,)


def test_changed_arguments_count_where_the_row_says_so(sandbox: SyncExecutor) -> None:
    program = "def g(a):\n    a.sort()\n    return len(a)"
    row = task(
        program,
        program.replace("a.sort()", "a = sorted(a)"),
        given="[3, 1]",
        wanted="(2, ([1, 3],))",
        mutates=True,
    )
    assert sandbox.judge(row).scores == (1.0, 0.0)
    assert sandbox.judge(task(program, given="[3, 1]", wanted="2")).scores == (1.0,)


def test_each_call_finds_a_fresh_program(sandbox: SyncExecutor) -> None:
    program = "seen = []\ndef g(x, memo={}):\n    seen.append(x)\n    memo[x] = 1\n" + (
        "    return len(seen) + len(memo)"
    )
    row = task(program, inputs=tuple("123"), outputs=("2",) * 3)
    assert sandbox.judge(row).scores == (1.0,)


def test_a_call_that_ends_the_process_does_not_fail_its_neighbours(sandbox: SyncExecutor) -> None:
    program = "import os\ndef g(x):\n    if x == 2:\n        os._exit(0)\n    return x"
    row = task(program, inputs=tuple("1234"), outputs=tuple("1234"), all_tests=True, cases=True)
    judgement = sandbox.judge(row)
    assert [case.status for case in judgement.cases[0]] == ["ok", "crashed", "ok", "ok"]
    assert judgement.counts == ((3, 4),)
    assert judgement.signals == {Signal.EARLY_EXIT: 1}


def test_a_call_that_leaves_something_behind_does_not_fail_the_next(sandbox: SyncExecutor) -> None:
    program = "import math\ndef g(x):\n    y = math.floor(x)\n    math.floor = None\n    return y"
    row = task(program, inputs=("1.5", "2.5", "3.5"), outputs=("1", "2", "3"))
    judgement = sandbox.judge(row)
    assert judgement.scores == (1.0,), judgement.details
    assert judgement.signals == {Signal.TAMPERING: 1}


def test_an_endless_loop_is_a_limit_and_only_of_its_call(sandbox: SyncExecutor) -> None:
    program = "def g(x):\n    while x == 1:\n        pass\n    return x"
    row = task(program, inputs=tuple("12"), outputs=tuple("12"), scoring="fraction")
    judgement = sandbox.judge(row)
    assert (judgement.scores, judgement.statuses) == ((0.5,), (Status.CPU_LIMIT,))


@pytest.mark.parametrize(
    ("value", "wanted", "compare", "right"),
    [
        ("0.1 + 0.2", "0.3", {}, False),
        ("0.1 + 0.2", "0.3", {"atol": 1e-9}, True),
        ("[1, {'a': (0.1 + 0.2,)}]", "[1, {'a': (0.3,)}]", {"atol": 1e-9}, True),
        ("100.0", "101.0", {"rtol": 0.01}, True),
        ("100.0", "102.0", {"rtol": 0.01}, False),
        ("100", "101", {"atol": 5}, False),
        ("float('nan')", "float('nan')", {"atol": 1e-9}, True),
        ("float('inf')", "1e308", {"rtol": 0.5}, False),
        ("1 + 2.0000001j", "1 + 2j", {"atol": 1e-3}, True),
        ("[3, 1, 2]", "[1, 2, 3]", {}, False),
        ("[3, 1, 2]", "[1, 2, 3]", {"unordered": True}, True),
        ("[3, 1, 1]", "[1, 3, 3]", {"unordered": True}, False),
        ("[[2, 1], [3]]", "[[3], [1, 2]]", {"unordered": True}, False),
        ("[[2, 1], [3]]", "[[3], [2, 1]]", {"unordered": True}, True),
        ("[{'b': 1}, {}]", "[{}, {'b': 1}]", {"unordered": True}, True),
        ("[0.30000001, 'a']", "['a', 0.3]", {"unordered": True, "atol": 1e-3}, True),
        ("'0.50'", "'0.5'", {}, False),
        ("'0.50'", "'0.5'", {"float_text": True}, True),
        ("0.5", "'0.50'", {"float_text": True}, True),
        ("'abc'", "'abd'", {"float_text": True}, False),
        ("(1, (2,))", "[1, [2]]", {}, False),
        ("(1, (2,))", "[1, [2]]", {"as_json": True}, True),
        ("{1: 'a', None: 2}", "{'1': 'a', 'null': 2}", {"as_json": True}, True),
        ("{1: 'a'}", "{'2': 'a'}", {"as_json": True}, False),
        ("'[1]'", "[1]", {"as_json": True}, False),
        ("{0.1 + 0.2}", "{0.3}", {"atol": 1e-9}, True),
    ],
)
def test_comparison(
    sandbox: SyncExecutor, value: str, wanted: str, compare: dict[str, Any], right: bool
) -> None:
    assert score(sandbox, value, wanted, compare=Compare(**compare)) == float(right)


def test_strict_wants_types_however_near_the_values(sandbox: SyncExecutor) -> None:
    near = Compare(atol=0.1)
    assert score(sandbox, "1.0", "1", compare=near) == 1.0
    assert score(sandbox, "1.0", "1", compare=near, strict=True) == 0.0


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"entry_point": None}, "no entry_point"),
        ({"entry_point": "g()"}, "entry_point must be a name"),
        ({"outputs": ()}, "1 hidden inputs and 0 hidden outputs"),
        ({"inputs": (), "outputs": ()}, "0 hidden inputs"),
        ({"inputs": ("1, ",), "outputs": ("(",)}, "not a Python expression"),
        ({"inputs": ("undefined",)}, "NameError"),
        ({"mutates": True}, "with mutates each output is"),
    ],
)
def test_what_is_no_test_scores_nobody(
    sandbox: SyncExecutor, change: dict[str, Any], detail: str
) -> None:
    judgement = sandbox.judge(task(returns("3")).model_copy(update=change))
    assert judgement.scores == (None,)
    assert detail in judgement.details[0]


@pytest.mark.parametrize(
    ("program", "wanted"),
    [
        ("import collections\nP = collections.namedtuple('P', 'a b')\ndef g(*a):\n    return [P(*a)]", "[(1, 2)]"),
        ("import enum\nclass E(enum.IntEnum):\n    A = 3\ndef g(*a):\n    return {E.A: E.A}", "{3: 3}"),
        ("class D(dict): pass\ndef g(*a):\n    return D(x=[D()])", "{'x': [{}]}"),
        ("class S(str): pass\nclass L(list): pass\ndef g(*a):\n    return L([S('x')])", "['x']"),
        ("class F(float): pass\nclass X(set): pass\ndef g(*a):\n    return X([F(0.5)])", "{0.5}"),
    ],
)  # fmt: skip
def test_what_is_made_of_a_builtin_class_counts_as_of_that(
    sandbox: SyncExecutor, program: str, wanted: str
) -> None:
    judgement = sandbox.judge(task(program, wanted=wanted))
    assert judgement.scores == (1.0,), judgement.details
    tests = f"assert g(1, 2) == {wanted}"
    row = JudgeTask(task=TaskType.ASSERT, entry_point="g", tests=tests, answers=(program,))
    assert sandbox.judge(row).scores == (1.0,)


@pytest.mark.parametrize(
    "program",
    [
        "class I(int):\n    __eq__ = lambda s, o: True\n    __int__ = lambda s: 3\n    __hash__ = int.__hash__\n"
        "def g(*a):\n    return I(4)",
        "class T(tuple):\n    __iter__ = lambda s: iter([3])\ndef g(*a):\n    return T()",
        "class O:\n    __class__ = int\n    __int__ = lambda s: 3\ndef g(*a):\n    return O()",
        "class M(type):\n    __mro__ = (int,)\nclass O(metaclass=M):\n    pass\ndef g(*a):\n    return O()",
    ],
)  # fmt: skip
def test_methods_of_such_a_class_have_no_say(sandbox: SyncExecutor, program: str) -> None:
    assert sandbox.judge(task(program, program.replace("3", "(3,)"))).scores == (0.0, 0.0)
    assert sandbox.judge(task(program, wanted="(3,)")).scores == (0.0,)

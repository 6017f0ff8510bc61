"""Programs that are judged by code with assertions, which runs elsewhere."""

# ruff: noqa: E501 - a program is a line

from __future__ import annotations

from typing import Any

import pytest

from executor import Judgement, JudgeTask, Signal, Status, SyncExecutor, TaskType
from executor.verification.testing import assertions

ADD = "def g(a, b=1):\n    return a + b"
DEEP = """
import functools, sys
sys.setrecursionlimit(10**6)
def same(f):
    return functools.wraps(f)(lambda n: f(n))
@same
def g(n):
    return 1 + g(n - 1) if n else 0
"""


def task(tests: str, *answers: str, **more: Any) -> JudgeTask:
    fields: dict[str, Any] = {"entry_point": "g", "tests": tests, **more}
    return JudgeTask(task=TaskType.ASSERT, answers=answers or (ADD,), **fields)


def score(sandbox: SyncExecutor, tests: str, *answers: str, **more: Any) -> tuple[Any, ...]:
    judgement = sandbox.judge(task(tests, *answers, **more))
    assert judgement.weak == more.get("together", False)
    return judgement.scores


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(
    ("tests", "right", "wrong"),
    [
        ("assert g(1, 2) == 3", ADD, "def g(a, b):\n    return a"),
        ("def check(candidate):\n    assert candidate(1, b=2) == 3", ADD, "def g(a, b):\n    1"),
        ("def check(c):\n    assert c(1) == 2\ncheck(g)", ADD, "def g(a):\n    return a"),
        (
            "x = g(1)\nfor _ in range(30):\n    x = g(x)\nassert x == 32",
            ADD,
            "def g(a):\n return a",
        ),
        ("n = 0\nwhile g(n) < 9:\n    n += 1\nassert n == 8", ADD, "def g(a):\n    return 9"),
        ("import math\nassert math.isclose(g(0.1, 0.2), 0.3)", ADD, "def g(a, b):\n    return b"),
        ("assert math.isclose(g(0.1, 0.2), 0.3)", "import math\n" + ADD, "def g(a, b):\n return 1"),
        ("assert helper(2) == 4 == g(3)", f"def helper(x): return 2 * x\n{ADD}", ADD),
        (
            "l = [3, 1, [2]]\nassert g(l) is None\nassert l == [1, 3, [2, 0]]",
            "def g(l):\n    l[2].append(0)\n    l[:2] = sorted(l[:2])",
            "def g(l):\n    l = sorted(l[:2]) + [[2, 0]]",
        ),
        (
            "d = {'a': {1}}\ng(d)\nassert d == {'a': {1, 2}, 'b': 0}",
            "def g(d):\n    d['a'].add(2)\n    d['b'] = 0",
            "def g(d):\n    d = {'a': {1, 2}, 'b': 0}",
        ),
        (
            "try:\n    g(0)\n    assert False\nexcept ValueError as e:\n    assert str(e) == 'zero'",
            "def g(x):\n    raise ValueError('zero')",
            "def g(x):\n    raise TypeError('zero')",
        ),
        (
            "try:\n    g(0)\nexcept Mine:\n    done = True\nassert done",
            "class Mine(Exception): pass\ndef g(x):\n    raise Mine",
            "class Mine(Exception): pass\ndef g(x):\n    pass",
        ),
        (
            "try:\n    g(b'\\xff')\nexcept UnicodeDecodeError:\n    pass\nelse:\n    assert 0\nassert 1",
            "def g(x):\n    return x.decode()",
            "def g(x):\n    return ''",
        ),
        (
            "assert sum(1, 2) == 3",
            "def sum(a, b):\n    return a + b",
            "def sum(a, b):\n    return 1",
        ),
        ("r = g([1])\nr.append(2)\nassert g([1]) == [1]", "def g(x):\n    return x", "g = len"),
        (
            "import random\nx = random.random()\nassert g(x) == x + 1",
            ADD,
            "def g(x):\n    return x",
        ),
        ("assert all(g(n) == n + 1 for n in range(9))", ADD, "def g(n):\n    return n and n + 1"),
        ("assert (lambda v: v == 2)(g(1))", ADD, "def g(x):\n    return 3"),
        (
            "try:\n    g(0)\nexcept (KeyError, StopIteration) as e:\n    assert str(e) == 'x'",
            "def g(x):\n    raise StopIteration('x')",
            "def g(x):\n    raise ValueError('x')",
        ),
        (
            "try:\n    g('x')\nexcept KeyError as e:\n    assert e.args == ('x',)",
            "def g(x):\n    return {}[x]",
            "def g(x):\n    return {}['y']",
        ),
        (
            "class Mine(Exception): pass\ntry:\n    g()\nexcept Mine:\n    done = 1\nassert done",
            "class Mine(Exception): pass\ndef g():\n    raise Mine",
            "class Mine(Exception): pass\ndef g():\n    raise Exception",
        ),
        (
            "def check(candidate: Callable[[int], int]) -> List[int]:\n    assert candidate(1) == 2",
            ADD,
            "def g(a):\n    return a",
        ),
        (
            "def twice(f, *a):\n    return f(*a), f(*a)\nimport functools as t\n"
            "assert twice(t.partial(g, 1), 2) == (3, 3)\nassert sorted([2, 1], key=g) == [1, 2]\n"
            "assert callable(g) and g.__name__ == 'g'",
            ADD,
            "def g(a, b=1):\n    return a - b",
        ),
        (
            "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\n    y: int\n"
            "for p in [P(1, 2), P(3, 4)]:\n    assert g(p.x, p.y) == p.x + p.y, f'{p} {g(0)}'",
            ADD,
            "def g(a, b):\n    return 3",
        ),
        (
            "import random\nfor _ in range(20):\n    a, b = random.sample(range(99), 2)\n"
            "    assert g(a, b) == a + b",
            ADD,
            "def g(a, b):\n    return a + b if b != 7 and a % 2 else 7",
        ),
        ("assert g(5000) == 5000", DEEP, DEEP.replace("1 +", "2 +")),
        ("x = 0\nfor _ in range(4):\n    x = g(x)\nassert x == 4", ADD, "def g(x):\n    return 1"),
        ("from decimal import Decimal as D\nassert g(D('0.1')) == D('1.1')", ADD, "def g(x): 0"),
    ],
)
def test_tests_and_answer(
    sandbox: SyncExecutor, tests: str, right: str, wrong: str, together: bool
) -> None:
    entry = "sum" if "sum(" in tests else "g"
    row = task(tests, right, wrong, together=together, entry_point=entry)
    judgement = sandbox.judge(row)
    assert judgement.scores == (1.0, 0.0), judgement.details


CHEATS = (
    "import os\ndef g(*a):\n    os._exit(0)",
    "import os\nos._exit(0)",
    "def g(*a):\n    raise SystemExit(0)",
    "def g(*a):\n    raise KeyboardInterrupt",
    "def g(*a):\n    raise GeneratorExit",
    "class E(BaseException): pass\ndef g(*a):\n    raise E",
    "class Leave(BaseException): pass\ndef g(*a):\n    raise Leave",
    "def g(*a):\n    while True: pass",
    "def g(*a):\n    yield 3",
    "async def g(*a):\n    return 3",
    "class A:\n    def __eq__(s, o): return True\ndef g(*a):\n    return A()",
    "class A(int):\n    def __eq__(s, o): return True\n    __hash__ = int.__hash__\n"
    "def g(*a):\n    return A(4)",
    "class A(list):\n    def __eq__(s, o): return True\ndef g(*a):\n    return A()",
    "class A:\n    def __eq__(s, o): return True\ndef g(*a):\n    return [A()]",
    "from unittest.mock import ANY\ndef g(*a):\n    return ANY",
    "import sys\ndef g(*a):\n    sys.modules.clear()",
    "def g(*a):\n    return ('value', 3, a, {})",
    "def g(*a):\n    return ('passed', 1, [], [1])",
    "def g(*a):\n    raise AssertionError",
    "def g(*a):\n    a[0].__class__ = int",
    "def g(*a):\n    return NotImplemented",
    "def g(*a):\n    return float('nan')",
    "def f(*a):\n    return ('passed', 1, [], [1])\ng = f",
    "_done_ = _failed_ = _skip_ = lambda *a: None\ndef g(*a): pass",
    "",
    "g = 3",
    "g = print",
    "from builtins import *\ng = max",
)
"""``g(1, 2)`` is none of these 3."""


@pytest.mark.parametrize(
    "tests",
    [
        "assert g(1, 2) == 3",
        "def check(c):\n    assert 3 == c(1, 2)",
        "try:\n    x = g(1, 2)\nexcept Exception:\n    pass\nassert x == 3",
    ],
)
def test_no_cheat_passes(sandbox: SyncExecutor, tests: str) -> None:
    assert score(sandbox, tests, ADD, *CHEATS) == (1.0, *(0.0 for _ in CHEATS))


def test_tests_that_catch_everything_do_not_catch_an_end(sandbox: SyncExecutor) -> None:
    tests = "try:\n    x = g(1, 2)\nexcept:\n    x = 3\nassert x == 3"
    ends = (*CHEATS[:5], CHEATS[7])
    assert score(sandbox, tests, ADD, *ends) == (1.0, *(0.0 for _ in ends))


def test_the_answer_finds_no_trace_of_the_tests(sandbox: SyncExecutor) -> None:
    program = """
import gc, sys
def g(word):
    texts = []
    frame = sys._getframe()
    while frame:
        texts += [repr(frame.f_locals), repr(frame.f_globals), repr(frame.f_code.co_consts)]
        frame = frame.f_back
    for thing in gc.get_objects():
        texts.append(repr(thing)[:10000])
    return 'SECRE' + chr(84) in ''.join(texts)
"""
    tests = "expected = 'SECRET value'\nassert g('x') is False\nassert expected"
    assert score(sandbox, tests, program) == (1.0,)


def test_every_assertion_must_be_reached(sandbox: SyncExecutor) -> None:
    tests = "for n in g():\n    assert n > 0"
    scores = score(sandbox, tests, "def g():\n    return [1, 2]", "def g():\n    return []")
    assert scores == (1.0, 0.0)


def test_all_assertions_are_told_where_that_is_wanted(sandbox: SyncExecutor) -> None:
    tests = "assert g(1) == 2\nassert g(2) == 0\nassert g(3, 'x') == 4\nassert g(4) == 5"
    judgement = sandbox.judge(task(tests, all_tests=True, cases=True))
    assert [case.status for case in judgement.cases[0]] == ["ok", "mismatch", "error", "ok"]
    assert judgement.counts == ((2, 4),)
    assert "line 3 of the tests: TypeError" in judgement.cases[0][2].detail
    share = sandbox.judge(task(tests, scoring="fraction"))
    assert share.scores == (0.5,)


@pytest.mark.parametrize(
    ("tests", "detail"),
    [
        (None, "no tests"),
        ("assert (", "do not compile"),
        ("g(1)", "no assertion"),
        ("assert 1 == 1", "do not call the answer"),
        ("assert 1 == 2", "fail by themselves"),
        ("import nowhere\nassert g(1)", "No module named 'nowhere'"),
        ("def check():\n    assert g(1)", "must take what is tested"),
        ("assert g(lambda: 1)", "that needs together"),
        ("assert g.name == 1", "that needs together"),
        ("while True:\n    pass\nassert g(1)", "do not come to a call"),
        ("import os\nos._exit(0)\nassert g(1)", "do not come to a call"),
    ],
)
def test_what_is_no_test_scores_nobody(
    sandbox: SyncExecutor, tests: str | None, detail: str
) -> None:
    judgement = sandbox.judge(task("").model_copy(update={"tests": tests}))
    assert judgement.scores == (None,)
    assert judgement.statuses == (Status.MALFORMED,)
    assert detail in judgement.details[0]


def test_check_needs_an_entry_point(sandbox: SyncExecutor) -> None:
    row = task("def check(c):\n    assert c(1)", entry_point=None)
    assert sandbox.judge(row).scores == (None,)


def test_functions_are_passed_where_both_share_a_process(sandbox: SyncExecutor) -> None:
    tests = "assert list(g(lambda x: x + 1, [1])) == [2]\nassert isinstance(Thing(), Thing)"
    program = "class Thing: pass\ng = map"
    judgement = sandbox.judge(task(tests, program, "g = map", together=True))
    assert (judgement.scores, judgement.weak) == ((1.0, 0.0), True)


def test_calls_that_are_never_the_same_come_to_an_end(sandbox: SyncExecutor) -> None:
    tests = "import os\nassert g(int.from_bytes(os.urandom(6))) > 1"
    judgement = sandbox.judge(task(tests))
    assert judgement.scores == (0.0,)
    assert judgement.statuses == (Status.NONDETERMINISTIC,)


@pytest.mark.parametrize(
    "tests",
    [
        "assert g(0) == 0\nassert all(map(lambda n: g(n) == n, range(3)))",
        "for n, found in zip(range(3), map(g, range(3))):\n    assert n == found",
        "assert g(0) == next(map(g, [2]), 2) - 2",
        "assert [n for n in iter(lambda: g(0) or g(2), 2)] == []",
    ],
)
def test_stop_iteration_of_an_answer_ends_no_loop(sandbox: SyncExecutor, tests: str) -> None:
    wrong = "def g(n):\n    if n:\n        raise StopIteration\n    return n"
    assert score(sandbox, tests, "def g(n):\n    return n", wrong) == (1.0, 0.0)


LISTED = """
def assertion(out, exp, atol):
    exact_match = out == exp
    if atol == 0 and isinstance(exp, float):
        atol = 1e-6
    if not exact_match and atol != 0:
        assert type(out) == type(exp) and abs(out - exp) <= atol
    else:
        assert exact_match

def check(candidate):
    inputs = [[n, [n, 2.5]] for n in range(200)]
    results = [n + 2.5 for n in range(200)]
    for i, (inp, exp) in enumerate(zip(inputs, results)):
        assertion(candidate(*inp), exp, 0)
"""


def test_loops_over_inputs_and_results_take_one_round(sandbox: SyncExecutor) -> None:
    right = "def g(n, l):\n    l.append(0)\n    return n + l[1] + 1e-9"
    wrong = "def g(n, l):\n    return n + 2.5 if n < 199 else n"
    judgement = sandbox.judge(task(LISTED, right, wrong))
    assert judgement.scores == (1.0, 0.0)
    assert judgement.counts == ((200, 200), (199, 200))


def test_long_arguments_are_asked_for_in_parts(sandbox: SyncExecutor) -> None:
    tests = "for n in range(12):\n    assert g([n] * 20_000) == n"
    judgement = sandbox.judge(task(tests, "def g(l):\n    return l[-1]", "def g(l):\n    return 0"))
    assert judgement.scores == (1.0, 0.0), judgement.details


def test_what_an_answer_says_in_halves_of_characters_can_be_told(sandbox: SyncExecutor) -> None:
    tests = "x = g(1)\nassert x == 2, x"
    answers = ("def g(n):\n    return '\\ud800'", "def g(n):\n    raise ValueError('\\ud800')")
    judgement = sandbox.judge(task(tests, *answers))
    assert judgement.scores == (0.0, 0.0)
    assert Judgement.model_validate_json(judgement.model_dump_json()) == judgement


def test_chance_in_tests_is_the_same_for_all_answers_and_known_to_none(
    sandbox: SyncExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests = "import random\nx = random.random()\nassert g() == x, x"
    answers = ("def g():\n    return 0", "def g():\n    return 1")
    one, other = sandbox.judge(task(tests, *answers)).details
    assert one == other == sandbox.judge(task(tests, *answers, cases=True)).details[0]
    monkeypatch.setattr(assertions, "_SECRET", b"another process")
    assert sandbox.judge(task(tests, *answers)).details[0] != one


@pytest.mark.parametrize("entry_point", ["Solution.add", "Solution().add", None])
def test_solutions_of_leetcode(sandbox: SyncExecutor, entry_point: str | None) -> None:
    tests = "def check(candidate):\n    assert candidate(1, b=2) == 3"
    if entry_point is None:
        tests = "assert Solution().add(1, 2) == 3\ns = Solution()\nassert s.add(2, b=2) == 4"
    program = "class Solution:\n    def add(self, a, b):\n        return a + b"
    row = task(tests, program, program.replace("+", "-"), entry_point=entry_point)
    assert sandbox.judge(row).scores == (1.0, 0.0)


@pytest.mark.parametrize(
    ("program", "signal"),
    [
        ("import os\ndef g(*a):\n    os._exit(0)", Signal.EARLY_EXIT),
        ("def g(*a):\n    exit()", Signal.EARLY_EXIT),
        ("import builtins\nbuiltins.abs = lambda x: 3\n" + ADD, Signal.TAMPERING),
        ("import sys\ndef g(*a):\n    return sys.modules['__main__'] and 3", Signal.SNOOPING),
        ("import sys\ndef g(*a):\n    return sys._getframe().f_back and 3", Signal.SNOOPING),
        ("import gc\ndef g(*a):\n    return len(gc.get_objects()) and 3", Signal.SNOOPING),
        ("def g(*a):\n    try:\n        open('tests.py')\n    except OSError:\n        return 3", Signal.FOREIGN_FILE),
        ("class E: pass\ndef g(*a):\n    return E()", Signal.OBJECT_RESULT),
    ],
)  # fmt: skip
def test_signs_of_cheating_are_seen(sandbox: SyncExecutor, program: str, signal: Signal) -> None:
    assert sandbox.judge(task("assert g(1, 2) == 3", program)).signals == {signal: 1}

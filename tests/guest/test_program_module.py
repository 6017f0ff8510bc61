"""A program is a module of its own, fresh for each call, and recurses as deep as a script."""

from __future__ import annotations

import subprocess
import sys

import pytest

from executor import JudgeTask, Status, SyncExecutor, TaskType
from tests.support.programs import body, triplet, value, verdict

CLASSES = {
    "a dataclass with future annotations": (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass Square:\n    side: int\n" + body("return Square(x).side ** 2"),
        "9",
    ),
    "a dataclass with a default of a class": (
        "from __future__ import annotations\nimport dataclasses, typing\n"
        "@dataclasses.dataclass\nclass Box:\n    size: typing.ClassVar[int] = 2\n    n: int = 4\n"
        + body("return dataclasses.asdict(Box(x))"),
        "{'n': 3}",
    ),
    "pickle": (
        "import pickle\nclass Point:\n    def __init__(self, x, y):\n        self.at = x, y\n"
        + body("return pickle.loads(pickle.dumps(Point(x, x + 1))).at"),
        "(3, 4)",
    ),
    "a pickled function": (
        "import pickle\ndef g(x):\n    return x + 1\n"
        + body("return pickle.loads(pickle.dumps(g))(x)"),
        "4",
    ),
    "deep copies": (
        "import copy\nclass Node:\n    def __init__(self, value):\n        self.value = value\n"
        + body("return copy.deepcopy([Node(x)])[0].value"),
        "3",
    ),
    "hints of a class": (
        "import typing\nclass Tree:\n    left: 'Tree'\n    size: int\n"
        + body("hints = typing.get_type_hints(Tree)", "return [*hints], hints['left'] is Tree"),
        "(['left', 'size'], True)",
    ),
    "a named tuple": (
        "from typing import NamedTuple\nclass P(NamedTuple):\n"
        "    x: 'int'\n    y: 'P | None' = None\n"
        + body("return tuple(P(x)), P.__module__"),
        "((3, None), '__main__')",
    ),
    "an enumeration": (
        "import enum, pickle\nclass C(enum.Enum):\n    RED = 1\n"
        + body("return pickle.loads(pickle.dumps(C.RED)) is C.RED"),
        "True",
    ),
    "the name of a class": (
        "class A: pass\n" + body("return str(type(A())), __name__, f.__module__"),
        "(\"<class '__main__.A'>\", '__main__', '__main__')",
    ),
    "its module": (
        "import sys\n"
        + body("import __main__", "return __main__.f is f is sys.modules[__name__].f"),
        "True",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CLASSES)
def test_what_looks_for_its_module_finds_it(sandbox: SyncExecutor, what: str) -> None:
    program, expected = CLASSES[what]
    assert value(sandbox, program, "3") == expected


def test_each_call_finds_a_module_of_its_own(sandbox: SyncExecutor) -> None:
    program = "seen = []\n" + body(
        "import __main__", "__main__.seen.append(x)", "return len(seen), __main__.f is f"
    )
    assert verdict(sandbox, program, "1", "2", "3").outputs == ("(1, True)",) * 3


def test_calls_of_one_process_do_not_see_each_others_module(sandbox: SyncExecutor) -> None:
    program = "names = []\ndef f(x):\n    names.append(x)\n    return len(names)"
    assert verdict(sandbox, program, "1", "2", "3").outputs == ("1", "1", "1")


MAIN_BLOCKS = {
    "at the end": "def f(x):\n    return x\nif __name__ == '__main__':\n    print(f(int(input())))",
    "turned round": "def f(x):\n    return x\nif '__main__' == __name__:\n    raise SystemExit",
    "with an else": (
        "if __name__ == '__main__':\n    f = None\nelse:\n    def f(x):\n        return x"
    ),
    "with more": "y = 1\ndef f(x): return x\nif __name__ == '__main__' and y:\n    1 / 0",
    "in a try": (
        "def f(x):\n    return x\ntry:\n    if __name__ == '__main__':\n        1 / 0\n"
        "except OSError:\n    pass"
    ),
    "after an elif": "if f'': pass\nelif __name__ == '__main__': 1 / 0\ndef f(x): return x",
    "with its own imports": (
        "def f(x): return x\nif __name__ == '__main__':\n    import nothing_of_this_name"
    ),
}


@pytest.mark.parametrize("what", MAIN_BLOCKS)
def test_a_main_block_is_not_run(sandbox: SyncExecutor, what: str) -> None:
    assert value(sandbox, MAIN_BLOCKS[what], "3") == "3"


def test_lines_after_a_main_block_keep_their_numbers(sandbox: SyncExecutor) -> None:
    program = "if __name__ == '__main__':\n    pass\n\ndef f(x):\n    return 1 // x"
    assert verdict(sandbox, program, "0").detail.endswith("(line 5)")


def test_the_name_is_asked_in_functions_as_in_a_script(sandbox: SyncExecutor) -> None:
    program = body("if __name__ == '__main__':", "    return 1", "return 2")
    assert value(sandbox, program, "0") == "1"


# -- Recursion ------------------------------------------------------------------------------------

RECURSIONS = {
    "plain": "def f(n): return 0 if n == 0 else 1 + f(n - 1)",
    "cached": (
        "from functools import lru_cache\n@lru_cache(None)\n"
        "def f(n): return 0 if n == 0 else 1 + f(n - 1)"
    ),
    "through max": "def f(n): return 0 if n == 0 else 1 + max(map(f, [n - 1]))",
    "through operators": (
        "class A:\n    def __add__(self, n): return 0 if n == 0 else 1 + (self + (n - 1))\n"
        "def f(n): return A() + n"
    ),
    "generators": (
        "def g(n):\n    if n:\n        yield from g(n - 1)\n    yield n\n"
        "def f(n): return len([*g(n)]) - 1"
    ),
    "after a higher limit": (
        "import sys\nsys.setrecursionlimit(3000)\ndef f(n): return 0 if n == 0 else 1 + f(n - 1)"
    ),
    "by another function": "def g(n): return 0 if n == 0 else 1 + g(n - 1)\ndef f(n): return g(n)",
}
DEEPEST = (
    "\nlow, high = 1, 4000\nwhile low < high:\n    middle = (low + high + 1) // 2\n"
    "    try: f(middle); low = middle\n    except RecursionError: high = middle - 1\n"
    "    getattr(f, 'cache_clear', int)()\nprint(low)"
)


@pytest.mark.parametrize("what", RECURSIONS)
def test_a_program_recurses_as_deep_as_a_script(
    sandbox: SyncExecutor, compiled: None, what: str
) -> None:
    script = [sys.executable, "-I", "-c", RECURSIONS[what] + DEEPEST]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60, check=True)
    deepest = int(done.stdout)
    assert value(sandbox, RECURSIONS[what], str(deepest)) == str(deepest)
    result = verdict(sandbox, RECURSIONS[what], str(deepest + 1))
    assert (result.status, result.detail[:14]) == (Status.ERROR, "RecursionError")


def test_inputs_that_are_expressions_take_no_depth(sandbox: SyncExecutor) -> None:
    assert value(sandbox, RECURSIONS["plain"], "[998][0]") == "998"


def test_the_limit_that_is_told_is_that_of_a_script(sandbox: SyncExecutor, compiled: None) -> None:
    assert value(sandbox, body("import sys", "return sys.getrecursionlimit()")) == "1000"


def test_answers_recurse_as_deep_as_programs(sandbox: SyncExecutor) -> None:
    task = JudgeTask(
        task=TaskType.INDUCTION, inputs=("994", "998"), outputs=("994", "998"),
        answers=(RECURSIONS["plain"],),
    )  # fmt: skip
    assert sandbox.judge(task).scores == (1.0,)


def test_each_of_several_calls_has_all_its_depth(sandbox: SyncExecutor) -> None:
    rows = [triplet(RECURSIONS["plain"], "998", "997", "998"), triplet(RECURSIONS["plain"], "5")]
    outputs = [each.outputs for each in sandbox.validate_many(rows)]
    assert outputs == [("998", "997", "998"), ("5",)]

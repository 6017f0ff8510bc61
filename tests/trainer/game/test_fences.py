"""Which block of a model's text is the program, and where it ends."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.game.tasks.task import TaskType
from trainer.game.texts.parsing import (
    Malformed,
    ProgramProposal,
    blocks,
    defines_f,
    parse_program_proposal,
    parse_solution,
)

F = "def f(x):\n    return x * x"


def fenced(code: str, label: str = "python", fence: str = "```") -> str:
    return f"{fence}{label}\n{code}\n{fence}\n"


def solution(answer: str) -> str | Malformed:
    return parse_solution(answer, TaskType.INDUCTION)


OTHER_BLOCKS = {
    "an output": fenced("9", "output"),
    "a command": fenced("python solution.py", "bash"),
    "without a label": fenced("9", ""),
    "a call without a label": fenced("f(3)  # 9", ""),
    "text": fenced("The function squares its argument.", "text"),
    "JSON": fenced('{"f": "square"}', "json"),
    "a session": fenced(">>> f(3)\n9", "pycon"),
    "a use of it": fenced("print(f(3))"),
    "tests": fenced("assert f(3) == 9"),
}


@pytest.mark.parametrize("what", OTHER_BLOCKS)
@pytest.mark.parametrize("label", ["python", "Python", "py", "python3"])
def test_the_block_labelled_python_is_the_program(what: str, label: str) -> None:
    block = fenced(F, label)
    assert solution(block + OTHER_BLOCKS[what]) == F
    assert solution(OTHER_BLOCKS[what] + block) == F
    assert solution(f"{OTHER_BLOCKS[what]}\nSo:\n{block}\nIt gives:\n{OTHER_BLOCKS[what]}") == F


@pytest.mark.parametrize("what", [what for what in OTHER_BLOCKS if "use" not in what][:7])
def test_without_a_label_it_is_the_block_that_defines_f(what: str) -> None:
    block = fenced(F, "")
    assert solution(block + OTHER_BLOCKS[what]) == F
    assert solution(OTHER_BLOCKS[what] + block) == F


def test_of_several_programs_the_last_counts() -> None:
    first = fenced("def f(x):\n    return x")
    assert solution(first + "better:\n" + fenced(F)) == F
    assert solution(fenced("def g(x):\n    return x") + fenced(F) + fenced("g = f")) == F
    assert solution(fenced("import math") + fenced("y = 1")) == "y = 1"


PROGRAMS = {
    "backticks in a call": "def f(text):\n    return text.count('```')",
    "backticks at the end of a line": "def f(text):\n    s = '```'\n    return s + text + '```'",
    "tildes": "def f(text):\n    return text.split('~~~')",
    "a fence in a docstring": (
        'def f(x):\n    """Squares.\n\n    ```\n    f(3)\n    ```\n    """\n    return x * x'
    ),
    "a labelled fence in a docstring": (
        'def f(x):\n    """Squares.\n\n    ```python\n    f(3)\n    ```\n    """\n    return x * x'
    ),
    "a fence at the margin of a docstring": (
        'def f(x):\n    """Squares.\n\n```python\nf(3)\n```\n"""\n    return x * x'
    ),
    "an unlabelled one at the margin": "def f(x):\n    '''\n```\nf(3)\n```\n'''\n    return x * x",
    "a string of several lines": 'TEXT = """\n```\n"""\ndef f(x):\n    return TEXT + x',
    "a comment": "def f(x):  # not ```this```\n    return x",
    "an apostrophe in a comment": "def f(x):\n    # it's x\n    return '\"\"\"' + x",
}


@pytest.mark.parametrize("what", PROGRAMS)
@pytest.mark.parametrize("label", ["python", ""])
def test_a_fence_begins_a_line_of_its_own(what: str, label: str) -> None:
    code = PROGRAMS[what]
    assert solution(f"Use ~~~ or `f`.\n{fenced(code, label)}That is all: ~~~.") == code
    text = fenced(code, label) + fenced("1", "input")
    assert parse_program_proposal(text) == ProgramProposal(code, "1")


def test_marks_in_prose_are_no_fences() -> None:
    text = "I separate with ~~~ and with ``` here.\n" + fenced(F) + "See ``` above."
    assert [block.text.strip() for block in blocks(text)] == [F]
    assert solution(text) == F


GLITCHES = {
    "closed at the end of its last line": f"```python\n{F}```\n```input\n1\n```",
    "never closed before the next": f"```python\n{F}\n```input\n1\n```",
    "a fence beside the text": f"Here: ```python\n{F}\n```\nInput: ```input\n1\n```",
    "a string that is never closed": f'```\ntext = """\n```\n```python\n{F}\n```\n```input\n1\n```',
    "in a list": (
        "1. program\n   ```python\n   def f(x):\n       return x * x\n   ```\n```input\n1\n```"
    ),
    "a longer closing fence": f"```python\n{F}\n````\n```input\n1\n```",
    "carriage returns": f"```python\n{F}\n```\n```input\n1\n```".replace("\n", "\r\n"),
}


@pytest.mark.parametrize("what", GLITCHES)
def test_what_is_meant_is_found(what: str) -> None:
    found = parse_program_proposal(GLITCHES[what])
    assert isinstance(found, ProgramProposal)
    assert found.code.replace("\r", "") == F
    assert found.input.strip() == "1"


def test_a_value_beside_its_fences_is_found() -> None:
    assert parse_solution("The answer is ```7```.", TaskType.DEDUCTION) == "7"
    assert parse_solution("```output 7```", TaskType.DEDUCTION) == "7"
    assert parse_solution("'```'", TaskType.DEDUCTION) == "'```'"


@pytest.mark.parametrize(
    ("code", "expected"),
    [(F, True), ("def f(\n    x,\n): return x", True), ("f = lambda x: x", True),
     ("f: C = g", True),
     ("if a:\n    def f(x): pass", True), ("class f: pass", True), ("from m import g as f", True),
     ("def f[T](x: T): return x", True),
     ("f(3) == 9", False), ("f == g", False), ("def g(x): pass", False), ("# def f(x):", False),
     ("def f(x) squares x", False), ("9", False), ("", False)],
)  # fmt: skip
def test_definitions_are_seen(code: str, expected: bool) -> None:
    assert defines_f(code) is expected


LINES = st.lists(
    st.sampled_from([
        "", "x = 1", '"""', "'''", "text = '```'", "    ```", "it's", "# ```", '"```python"', "~~~",
    ]),
    max_size=8,
)  # fmt: skip


@given(LINES)
def test_a_program_with_balanced_strings_comes_back_whole(lines: list[str]) -> None:
    code = "\n".join(["def f(x):", "    return x", *lines, "y = 2"])
    try:
        compile(code, "<test>", "exec")
    except SyntaxError:
        return
    if "\n    ```\n" not in code:
        assert solution(f"~\n{fenced(code)}") == code


@pytest.mark.parametrize(
    "text",
    ['```\n"""\n' * 20_000, "```python\n'''\n```\n" * 9_000, "```python\n" * 20_000,
     "``` a " * 20_000,
     '"""' * 40_000, "```python\n" + "x```\n" * 20_000, "   ```\n" * 20_000, "~~~\n```\n" * 20_000,
     "```\n" + '"""\\' * 30_000, " ```7" * 20_000],
    ids=lambda text: repr(text[:12]),
)  # fmt: skip
def test_long_texts_take_no_time(text: str) -> None:
    started = time.process_time()
    blocks(text)
    solution(text)
    parse_program_proposal(text)
    assert time.process_time() - started < 4

"""What counts as the answer in a model's text."""

from __future__ import annotations

from typing import Any

import pytest

from trainer.evaluation.answers import answer_of
from trainer.evaluation.problems import Kind, Problem


def problem(kind: Kind, **more: Any) -> Problem:
    return Problem("x", "1", kind, "?", dict, **more)


FUNCTION = problem("program", entry_point="g", head="def g(a):\n    '''Doc.'''\n")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("```python\ndef g(a):\n    return 1\n```", "def g(a):\n    return 1"),
        ("```python\nx\n```\nbetter:\n```python\ndef g(a): pass\n```", "def g(a): pass"),
        ("<think>```python\nno\n```</think><answer>def g(a): pass</answer>", "def g(a): pass"),
        ("    return 2\n", "def g(a):\n    '''Doc.'''\n    return 2"),
        ("\n   \n    return 2\n", "def g(a):\n    '''Doc.'''\n\n   \n    return 2"),
        ("def g(a): pass", "def g(a): pass"),
        ("I do not know what def g(a) does.", None),
        ("", None),
    ],
)
def test_a_function(text: str, wanted: str | None) -> None:
    assert answer_of(FUNCTION, text) == wanted


def test_a_script_stands_in_a_block() -> None:
    assert answer_of(problem("program"), "Read it.\n```\nprint(1)\n```") == "print(1)"
    assert answer_of(problem("program"), "print(1)") is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (r"so \boxed{\frac{1}{2}} it is", r"\boxed{\frac{1}{2}}"),
        (r"\boxed{1} <answer> 7 </answer>", "7"),
        (r"<answer> \boxed{7} apples </answer>", r"\boxed{7}"),
        ("The answer is $x=3$.", "$x=3$."),
        ("no idea", None),
    ],
)
def test_a_result(text: str, wanted: str | None) -> None:
    assert answer_of(problem("math"), text) == wanted


def test_an_input_and_an_output() -> None:
    assert answer_of(problem("input"), "<answer>```input\n1, 2\n```</answer>") == "1, 2"
    assert answer_of(problem("output"), "```output\n[3]\n```") == "[3]"

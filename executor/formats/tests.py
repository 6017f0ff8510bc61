"""Inputs and outputs of a program, in the shapes that reward functions and data sets have them.

One shape, by many names: PRIME, APPS and TACO have ``{"inputs": [...], "outputs": [...]}`` and
perhaps ``"fn_name"``, DeepCoder and LiveCodeBench a list of ``{"input": ..., "output": ...}`` and
perhaps ``"testtype"``, CodeContests ``{"input": [...], "output": [...]}``, others a list of
``assert`` statements.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from executor.errors import InputError
from executor.formats.texts import from_json_or_literal
from executor.grammar.text import literal_text

type Fields = dict[str, Any]
"""Fields of a :class:`executor.models.JudgeTask`, without answers, as a row has them."""

JSON_VALUES: Fields = {"as_json": True, "atol": 1e-6}
"""Comparison of values that were written as JSON."""


def fields_of(tests: object, *, function: str | None = None, in_class: bool = False) -> Fields:
    """The fields of a task.

    Args:
        tests: any of the shapes, as JSON text or as the value of it.
        function: what is called, where the tests do not say it; without any, answers are scripts.
        in_class: it is a method of ``class Solution``.

    Raises:
        InputError: it is none of the shapes.
    """
    if isinstance(tests, str):
        tests = _from_text(tests)
    if isinstance(tests, list) and tests and all(isinstance(one, str) for one in tests):
        return assertions("\n".join(tests), function)
    inputs, outputs, name = _pairs(tests)
    if len(inputs) != len(outputs) or not inputs:
        raise InputError(f"{len(inputs)} inputs and {len(outputs)} outputs")
    name = name or function
    if name is None:
        return stdio(inputs, outputs)
    return calls(f"Solution.{name}" if in_class else name, inputs, outputs)


def assertions(tests: str, entry_point: str | None = None) -> Fields:
    """A task of code with assertions."""
    found: Fields = {"task": "assert", "tests": tests}
    return {**found, "entry_point": entry_point} if entry_point else found


def stdio(inputs: Sequence[object], outputs: Sequence[object]) -> Fields:
    """A task of scripts; a list of lines is a text of them."""
    return {
        "task": "stdio",
        "stdin": [_lines(text) for text in inputs],
        "stdout": [_lines(text) for text in outputs],
    }


def calls(entry_point: str, inputs: Sequence[object], outputs: Sequence[object]) -> Fields:
    """A task of calls. An input is a list of arguments, or a text with the JSON of one in each
    line; an output is a value, or the JSON of one."""
    values = [_value(output) for output in outputs]
    if all(isinstance(value, list) and len(value) == 1 for value in values) and not any(
        isinstance(output, str) for output in outputs
    ):  # as APPS has it: the value in a list of its own
        values = [value[0] for value in values]
    return {
        "task": "call",
        "entry_point": entry_point,
        "inputs": [arguments_text(_arguments(given)) for given in inputs],
        "outputs": [literal_text(value) for value in values],
        "compare": JSON_VALUES,
    }


def arguments_text(arguments: Sequence[object]) -> str:
    """Values as the text between the parentheses of a call."""
    return ", ".join(map(literal_text, arguments))


def _from_text(text: str) -> object:
    if text.lstrip().startswith(("assert ", "def check", "import ", "from ")):
        return [text]
    return from_json_or_literal(text, "the tests")


def _pairs(tests: object) -> tuple[list[object], list[object], str | None]:
    if isinstance(tests, dict):
        if isinstance(tests.get("ground_truth"), str):
            return _pairs(_from_text(tests["ground_truth"]))
        inputs = tests.get("inputs", tests.get("input"))
        outputs = tests.get("outputs", tests.get("output"))
        name = tests.get("fn_name") or tests.get("func_name")
        if not isinstance(inputs, list) or not isinstance(outputs, list):
            raise InputError("tests need lists of inputs and of outputs")
        return inputs, outputs, name
    if isinstance(tests, list) and tests and all(isinstance(one, dict) for one in tests):
        try:
            inputs, outputs = zip(*((one["input"], one["output"]) for one in tests), strict=True)
        except KeyError:
            raise InputError("each test needs an input and an output") from None
        name = next((found for one in tests if (found := _function(one))), None)
        return list(inputs), list(outputs), name
    raise InputError("tests must be an object of inputs and outputs, or a list of tests")


def _function(test: dict[str, Any]) -> str | None:
    metadata = test.get("metadata")
    holder = metadata if isinstance(metadata, dict) else test
    name = holder.get("func_name") or holder.get("fn_name")
    return name if isinstance(name, str) else None


def _lines(text: object) -> str:
    if isinstance(text, list):
        return "\n".join(map(_lines, text))
    return text if isinstance(text, str) else json.dumps(text)


def _arguments(given: object) -> list[object]:
    if isinstance(given, list):
        return given
    if isinstance(given, str):
        lines = given.split("\n")
        return [from_json_or_literal(line, "an argument") for line in lines if line.strip()]
    raise InputError("the input of a call must be a list of arguments, or a text of their JSON")


def _value(output: object) -> Any:
    if not isinstance(output, str):
        return output
    try:
        return from_json_or_literal(output, "an output")
    except InputError:
        return output  # a text that is meant as one

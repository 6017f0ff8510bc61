"""Readers of the files that data sets come in: each line of a problem becomes a row to judge.

A row has what ``executor judge`` takes. Its ``answers`` are the problem's own solution where the
file has one, so that judging the rows shows whether they were read right.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from executor.errors import InputError, MalformedRow
from executor.formats.evalplus import evalplus
from executor.formats.listed import listed_calls
from executor.formats.tests import Fields, assertions, fields_of, stdio
from executor.formats.texts import from_json, packed_tests

type Problem = Mapping[str, Any]


def read_rows(name: str, lines: Iterator[str]) -> Iterator[Fields]:
    """The rows of a file of JSON lines, or of one JSON list.

    Raises:
        InputError: there is no such format; :class:`MalformedRow`, a line cannot be read.
    """
    if name not in READERS:
        raise InputError(f"no format {name!r} (there are {', '.join(READERS)})")
    for number, problem in _problems(lines):
        try:
            yield read_row(name, problem)
        except InputError as error:
            raise MalformedRow(number, str(error)) from None


def read_row(name: str, problem: Problem) -> Fields:
    """The row of one problem of a file of a format, as ``executor judge`` takes it.

    Raises:
        InputError: there is no such format, or the problem is none of it.
    """
    reader = READERS.get(name)
    if reader is None:
        raise InputError(f"no format {name!r} (there are {', '.join(READERS)})")
    try:
        return reader(problem)
    except InputError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"it is no row of {name}: {error!r}"[:300]) from None


def _problems(lines: Iterator[str]) -> Iterator[tuple[int, Problem]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if number == 1 and line.lstrip().startswith("["):
            whole = from_json(line + "".join(lines), "the file")
            yield from enumerate(whole, 1)
            return
        try:
            problem = from_json(line, "it")
        except InputError as error:
            raise MalformedRow(number, str(error)) from None
        if not isinstance(problem, dict):
            raise MalformedRow(number, "it is no JSON object")
        yield number, problem


def humaneval(problem: Problem) -> Fields:
    """HumanEval: a prompt, its continuation, and ``check(candidate)``."""
    return {
        "id": problem["task_id"],
        **_assertions_or_calls(problem["test"], problem["entry_point"]),
        "answers": [problem["prompt"] + problem["canonical_solution"]],
        "prompt": problem["prompt"],
    }


def _assertions_or_calls(tests: str, entry_point: str | None) -> Fields:
    return listed_calls(tests, entry_point) or assertions(tests, entry_point)


def mbpp(problem: Problem) -> Fields:
    """MBPP: a list of assert statements."""
    setup = [*problem.get("test_imports", ()), problem.get("test_setup_code", "")]
    tests = "\n".join(line for line in (*setup, *problem["test_list"]) if line)
    solution = problem.get("code") or problem.get("canonical_solution")
    return {
        "id": problem.get("task_id", problem.get("id")),
        **assertions(tests),
        "answers": [solution] if solution else [],
        "prompt": problem.get("text") or problem.get("prompt") or problem.get("content"),
    }


def evalplus_or_listed(problem: Problem) -> Fields:
    """EvalPlus' own files, or those of the hub, whose ``test`` lists inputs and results."""
    if "base_input" in problem:
        return evalplus(problem)
    solution = problem.get("code") or problem["prompt"] + problem["canonical_solution"]
    return {
        "id": problem["task_id"],
        **_assertions_or_calls(problem["test"], problem.get("entry_point")),
        "answers": [solution],
        "prompt": problem["prompt"],
    }


def livecodebench(problem: Problem) -> Fields:
    """LiveCodeBench, generation: tests of standard input, or of a method of ``Solution``."""
    tests = [
        test
        for key in ("public_test_cases", "private_test_cases")
        if problem.get(key)
        for test in packed_tests(problem[key], key)
    ]
    metadata = problem.get("metadata") or "{}"
    name = (from_json(metadata, "metadata") if isinstance(metadata, str) else metadata).get(
        "func_name"
    )
    functional = any(test.get("testtype") == "functional" for test in tests)
    found = fields_of(tests, function=name if functional else None, in_class=True)
    return {
        "id": problem.get("question_id"),
        **found,
        "answers": [],
        "prompt": problem.get("question_content"),
    }


def apps(problem: Problem) -> Fields:
    """APPS and TACO: ``input_output`` holds the tests as JSON."""
    in_class = "class Solution" in (problem.get("starter_code") or "")
    solutions = problem.get("solutions") or "[]"
    known = from_json(solutions, "solutions") if isinstance(solutions, str) else solutions
    return {
        "id": problem.get("problem_id", problem.get("id")),
        **fields_of(problem["input_output"], in_class=in_class),
        "answers": known[:1],
        "prompt": problem.get("question"),
    }


def codecontests(problem: Problem) -> Fields:
    """CodeContests: public, private and generated tests of standard input."""
    inputs: list[str] = []
    outputs: list[str] = []
    for key in ("public_tests", "private_tests", "generated_tests"):
        tests = problem.get(key) or {"input": (), "output": ()}
        inputs += tests["input"]
        outputs += tests["output"]
    if not inputs or len(inputs) != len(outputs):
        raise InputError(f"{len(inputs)} inputs and {len(outputs)} outputs")
    return {
        "id": problem.get("name"),
        **stdio(inputs, outputs),
        "answers": [],
        "prompt": problem.get("description"),
    }


READERS: dict[str, Callable[[Problem], Fields]] = {
    "humaneval": humaneval,
    "mbpp": mbpp,
    "evalplus": evalplus_or_listed,
    "livecodebench": livecodebench,
    "apps": apps,
    "taco": apps,
    "codecontests": codecontests,
}
"""By the name of the format."""


def row_json(row: Fields) -> str:
    """A row as a line."""
    return json.dumps({key: value for key, value in row.items() if value is not None})

"""Files of data sets become rows that judge as their own harnesses do; nothing in them is run."""

# ruff: noqa: E501 - a row is a line

from __future__ import annotations

import base64
import json
import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest

from executor import SyncExecutor
from executor.cli.app import main
from executor.cli.io.rows import read_judge_task
from executor.cli.io.source import Line
from executor.errors import InputError, MalformedRow
from executor.formats.readers import READERS, read_rows, row_json
from executor.formats.tests import fields_of
from executor.formats.texts import code_of, packed_tests
from executor.models import JudgeTask


def packed(value: object) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(value))).decode()


HUMANEVAL = {
    "task_id": "H/0", "prompt": "def g(x):\n", "entry_point": "g",
    "canonical_solution": "    return x + 1\n", "test": "def check(c):\n    assert c(1) == 2\n",
}  # fmt: skip
MBPP = {
    "task_id": 11, "text": "Add one.", "code": "def g(x):\n    return x + 1",
    "test_list": ["assert g(1) == 2", "assert floor(g(1.5)) == 2"],
    "test_setup_code": "from math import floor",
}  # fmt: skip
EVALPLUS = {
    "task_id": "Mbpp/9999", "prompt": "def g(x, y=0):\n", "entry_point": "g", "atol": 0,
    "canonical_solution": "    return [x, y]\n", "base_input": [[1], [2.5, "a"]],
    "plus_input": [[None], [{"k": [1]}, []]],
}  # fmt: skip
LOOP = "for i, (inp, exp) in enumerate(zip(inputs, results)):\n"
LISTED = {
    **HUMANEVAL,
    "test": "import numpy as np\ndef assertion(out, exp, atol):\n    assert np.allclose(out, exp, atol=atol)\n"
            "def check(candidate):\n    inputs = [[1], [float('inf')], [-0.1]]\n    results = [2, inf, 0.9]\n"
            f"    {LOOP}        assertion(candidate(*inp), exp, 0)\n",
}  # fmt: skip
HUB = {
    "task_id": 2, "prompt": "Add one.", "code": "def g(x):\n    return x + 1",
    "test": f"inputs = [[1], (2,)]\nresults = [2, 3.00000001]\n{LOOP}    assertion(g(*inp), exp, 1e-4)\n",
}  # fmt: skip
LCB_STDIO = {
    "question_id": "a", "question_content": "Double.", "metadata": "{}",
    "public_test_cases": json.dumps([{"input": "1\n", "output": "2\n", "testtype": "stdin"}]),
    "private_test_cases": packed(json.dumps([{"input": "3", "output": "6", "testtype": "stdin"}])),
}  # fmt: skip
LCB_CALL = {
    "question_id": "b", "question_content": "Pairs.", "metadata": json.dumps({"func_name": "go"}),
    "public_test_cases": json.dumps(
        [{"input": "[1, 2]\n\"x\"", "output": "[[1, \"x\"], [2, \"x\"]]", "testtype": "functional"}]
    ),
}  # fmt: skip
APPS = {
    "problem_id": 3, "question": "Sum.", "solutions": json.dumps(["print(sum(map(int, input().split())))"]),
    "input_output": json.dumps({"inputs": ["1 2\n", ["3 4"]], "outputs": ["3\n", ["7"]]}),
}  # fmt: skip
TACO = {
    "question": "Add.", "starter_code": "class Solution:\n    def add(self, a, b):\n",
    "solutions": ["class Solution:\n    def add(self, a, b):\n        return (a + b,)"],
    "input_output": {"fn_name": "add", "inputs": [[1, 2], [[1], [2]]], "outputs": [[[3]], [[[1, 2]]]]},
}  # fmt: skip
CONTEST = {
    "name": "c", "description": "Echo.", "public_tests": {"input": ["a"], "output": ["a"]},
    "private_tests": {"input": ["b"], "output": ["b"]},
}  # fmt: skip

RIGHT: list[tuple[str, dict[str, Any], str]] = [
    ("humaneval", HUMANEVAL, "def g(x):\n    return 1 + x"),
    ("humaneval", LISTED, "def g(x):\n    return 1 + x"),
    ("evalplus", HUB, "def g(x):\n    return 1 + x"),
    ("mbpp", MBPP, "def g(x):\n    return 1 + x"),
    ("evalplus", EVALPLUS, "def g(*a):\n    return [*a, 0][:2]"),
    ("livecodebench", LCB_STDIO, "print(2 * int(input()))"),
    ("livecodebench", LCB_CALL,
     "class Solution:\n    def go(self, a, b):\n        return [(x, b) for x in a]"),
    ("apps", APPS, "a, b = map(int, input().split())\nprint(a + b)"),
    ("taco", TACO, "class Solution:\n    def add(self, a, b):\n        return [a + b]"),
    ("codecontests", CONTEST, "print(input())"),
]  # fmt: skip


def rows(name: str, *problems: object) -> list[dict[str, Any]]:
    return list(read_rows(name, iter(json.dumps(problem) + "\n" for problem in problems)))


def as_task(row: dict[str, Any], *answers: str) -> JudgeTask:
    raw = row_json({**row, "answers": list(answers)}).encode()
    item = read_judge_task(Line(1, raw, len(raw)), 0).item
    assert isinstance(item, JudgeTask), item
    return item


def test_every_format_is_tried() -> None:
    assert {name for name, _, _ in RIGHT} == set(READERS)


@pytest.mark.parametrize(("name", "problem", "right"), RIGHT)
def test_rows_are_judged(
    sandbox: SyncExecutor, name: str, problem: dict[str, Any], right: str
) -> None:
    (row,) = rows(name, problem)
    answers = [*row["answers"], right, "def g(x):\n    return 0", "print(0)"]
    judgement = sandbox.judge(as_task(row, *answers))
    expected = (1.0,) * (len(answers) - 2) + (0.0, 0.0)
    assert judgement.scores == expected, judgement.details


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("exp, 0)", "reference(*inp), 0)"),
        ("results = [2, ", "results = ["),
        ("results = [2, inf, 0.9]", "results = [*range(3)]\n    results = [1, 2, 3]"),
        ("[1], [float", "1, [float"),
        ("exp, 0)\n", "exp, 0)\n        assertion(candidate(0), exp, 0)\n"),
        ("def check(candidate):", "def check(candidate:"),
    ],
)
def test_loops_of_another_form_are_assertions(old: str, new: str) -> None:
    assert old in LISTED["test"]
    (row,) = rows("humaneval", {**LISTED, "test": LISTED["test"].replace(old, new)})
    assert row["task"] == "assert"
    (row,) = rows("humaneval", LISTED)
    assert (row["task"], row["inputs"][1], row["outputs"][1]) == ("call", "float('inf')", "inf")


def test_a_list_is_read_as_lines_are() -> None:
    text = json.dumps([HUMANEVAL, HUMANEVAL], indent=1)
    found = list(read_rows("humaneval", iter(text.splitlines(keepends=True))))
    assert found == rows("humaneval", HUMANEVAL, HUMANEVAL)


class Evil:
    """Runs something where it is unpickled."""

    def __reduce__(self) -> Any:
        return (Path("/tmp/unpickled").touch, ())


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        (packed(Evil()), "it is no text"),
        (packed([1, 2]), "is no pickled text but list"),
        (packed(b"[]"), "bytes"),
        (base64.b64encode(zlib.compress(b"\x80\x04.")).decode(), "no pickled text"),
        (base64.b64encode(b"x").decode(), "neither JSON nor packed"),
        ("!", "neither JSON nor packed"),
        (packed("not json"), "not JSON"),
    ],
)
def test_packed_tests_make_nothing_but_text(text: str, detail: str) -> None:
    with pytest.raises(InputError, match=detail):
        packed_tests(text, "private_test_cases")
    assert not Path("/tmp/unpickled").exists()


@pytest.mark.parametrize(
    ("name", "line", "detail"),
    [
        ("humaneval", "{", "line 2: it is not JSON"),
        ("humaneval", "[]", "line 2: it is no JSON object"),
        ("humaneval", "{}", "line 2: it is no row of humaneval"),
        ("mbpp", '{"test_list": 3}', "line 2: it is no row of mbpp"),
        ("apps", '{"input_output": "{\\"inputs\\": [\\"1\\"], \\"outputs\\": []}"}', "1 inputs"),
        ("codecontests", "{}", "0 inputs"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(name: str, line: str, detail: str) -> None:
    with pytest.raises(MalformedRow, match=detail):
        list(read_rows(name, iter(["\n", line])))


def test_the_command_writes_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "problems.jsonl"
    file.write_text(json.dumps(HUMANEVAL) + "\n")
    assert main(["import-tests", "humaneval", str(file)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["entry_point"] == "g"
    assert main(["import-tests", "nothing", str(file)]) == 2
    assert "there are humaneval" in capsys.readouterr().err
    assert main(["import-tests", "mbpp", str(tmp_path / "none")]) == 2


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("x = 1", "x = 1"),
        ("First\n```python\nx = 1\n```\nthen\n```py\nx = 2\n```\n", "x = 2\n"),
        ("```python\nx = 1\n```\n```bash\nls\n```", "x = 1\n"),
        ("```\nx = 1", "x = 1"),
        ("```bash\nls\n```", "```bash\nls\n```"),
    ],
)
def test_the_last_block_of_python_is_the_answer(answer: str, code: str) -> None:
    assert code_of(answer) == code


@pytest.mark.parametrize(
    "tests", ["", "{}", "[]", "3", '{"inputs": 1, "outputs": 2}', "[{}]", None]
)
def test_what_is_no_test_is_refused(tests: object) -> None:
    with pytest.raises(InputError):
        fields_of(tests)

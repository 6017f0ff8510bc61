from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.cli.io.rows import MAX_DEPTH, read_judge_task, read_triplet
from executor.cli.io.source import Line
from executor.errors import MalformedRow
from executor.models import JudgeTask, TaskType, Triplet


def line(row: Any, number: int = 7) -> Line:
    raw = row if isinstance(row, bytes) else json.dumps(row).encode()
    return Line(number, raw, len(raw) + 1)


def triplet(**row: Any) -> Triplet:
    item = read_triplet(line(row), 0).item
    assert isinstance(item, Triplet), item
    return item


def refusal(row: Any) -> str:
    item = read_triplet(line(row), 0).item
    assert isinstance(item, MalformedRow), item
    assert item.line == 7
    return item.reason


def judge_task(**row: Any) -> JudgeTask:
    item = read_judge_task(line(row), 0).item
    assert isinstance(item, JudgeTask), item
    return item


def judge_refusal(**row: Any) -> str:
    item = read_judge_task(line(row), 0).item
    assert isinstance(item, MalformedRow), item
    return item.reason


@pytest.mark.parametrize("key", ["program", "snippet", "code"])
def test_program_is_found_under_each_of_its_names(key: str) -> None:
    assert triplet(**{key: "p", "input": "1"}).program == "p"


def test_first_program_key_wins_and_the_others_are_carried() -> None:
    row = read_triplet(line({"code": 17, "program": "p", "input": "1"}), 0)
    assert isinstance(row.item, Triplet)
    assert row.item.program == "p"
    assert row.carried == {"code": 17}


def test_single_input_and_output_make_one_example() -> None:
    item = triplet(program="p", input="1", output="2")
    assert (item.inputs, item.outputs) == (("1",), ("2",))


@pytest.mark.parametrize("extra", [{}, {"output": None}, {"outputs": None, "inputs": None}])
def test_null_counts_as_not_given(extra: dict[str, None]) -> None:
    item = triplet(program="p", input="1", imports=None, **extra)
    assert item.outputs is None
    assert item.imports == ()


def test_lists_of_inputs_and_outputs_may_have_unknown_outputs() -> None:
    item = triplet(program="p", inputs=["1", "2"], outputs=["3", None], imports=["import math"])
    assert (item.inputs, item.outputs) == (("1", "2"), ("3", None))
    assert item.imports == ("import math",)


def test_task_error_in_a_row_makes_an_error_task() -> None:
    assert triplet(program="p", input="1").expects == "value"
    assert triplet(program="p", input="1", task="deduction").expects == "value"
    assert triplet(program="p", input="1", task="error").expects == "error"
    item = read_triplet(line({"program": "p", "input": "1"}), 0, error_task=True).item
    assert isinstance(item, Triplet)
    assert item.expects == "error"


@pytest.mark.parametrize("identity", ["a", 3, None, 1.5, [1]])
def test_id_is_copied_as_it_is(identity: object) -> None:
    row = read_triplet(line({"id": identity, "program": "p", "input": "1"}), 4)
    assert row.head == {"index": 4, "id": identity}
    assert row.index == 4


def test_row_without_id_has_none() -> None:
    assert read_triplet(line({"program": "p", "input": "1"}), 4).head == {"index": 4}


def test_unknown_keys_are_carried_but_never_over_a_result_key() -> None:
    row = read_triplet(
        line({"snippet": "p", "input": "1", "status": "mine", "backend": "b", "note": [1, None]}), 0
    )
    assert row.carried == {"note": [1, None]}


def test_malformed_row_keeps_its_id_and_its_other_keys() -> None:
    row = read_triplet(line({"id": "x", "snippet": "p", "inputs": [], "note": 1}), 3)
    assert isinstance(row.item, MalformedRow)
    assert row.head == {"index": 3, "id": "x"}
    assert row.carried == {"note": 1}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"{nope", "not JSON"),
        (b'{"program": "p"', "not JSON"),
        (b"[1]", "must be a JSON object, not a list"),
        (b"null", "must be a JSON object, not null"),
        (b'{"program": "\xff"}', "not UTF-8 (byte 14 of the line)"),
        (b'{"program": "p", "input": "1", "x": NaN}', "NaN"),
        (b'{"program": "p", "input": "1", "x": 1e999}', "out of range"),
        (b'{"program": "p", "input": "1", "x": ' + b"1" * 5000 + b"}", "too many digits"),
        (b'{"x": ' * 300 + b"1" + b"}" * 300, f"nested more than {MAX_DEPTH} deep"),
        (b"[" * 100_000, f"nested more than {MAX_DEPTH} deep"),
        ({"input": "1"}, "no 'program'"),
        ({"program": 1, "input": "1"}, "'program' must be a string, not a number"),
        ({"program": "p"}, "no 'input'"),
        ({"program": "p", "input": 1}, "'input' must be a string, not a number"),
        ({"program": "p", "input": "1", "output": True}, "'output' must be a string"),
        ({"program": "p", "input": "1", "inputs": ["1"]}, "both 'input' and 'inputs'"),
        ({"program": "p", "output": "1", "inputs": ["1"]}, "both 'output' and 'inputs'"),
        ({"program": "p", "input": "1", "outputs": ["1"]}, "both 'input' and 'outputs'"),
        ({"program": "p", "inputs": []}, "'inputs' is empty"),
        ({"program": "p", "inputs": "1"}, "'inputs' must be a list of strings, not a string"),
        ({"program": "p", "inputs": ["1", None]}, "'inputs[1]' must be a string, not null"),
        ({"program": "p", "inputs": ["1"], "outputs": []}, "1 items but 'outputs' has 0"),
        ({"program": "p", "inputs": ["1"], "outputs": [2]}, "'outputs[0]' must be a string"),
        ({"program": "p", "input": "1", "imports": "os"}, "'imports' must be a list"),
        ({"program": "p", "input": "1", "imports": [{}]}, "'imports[0]' must be a string"),
    ],
)
def test_unusable_row_says_why(row: Any, reason: str) -> None:
    assert reason in refusal(row)


def test_overlong_line_is_malformed() -> None:
    item = read_triplet(Line(2, None, 1 << 30), 0).item
    assert str(item) == "line 2: longer than 16 MiB"


def test_lone_surrogates_are_text_like_any_other() -> None:
    item = triplet(program="p\ud800", input="'\udfff'")
    assert item.program == "p\ud800"


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
_keys = st.sampled_from(
    ["program", "code", "input", "inputs", "output", "outputs", "imports", "id", "task"]
)


@given(st.dictionaries(_keys | st.text(), _json, max_size=6) | _json)
def test_any_json_is_read_or_refused_with_a_reason(row: Any) -> None:
    try:
        raw = json.dumps(row, allow_nan=False).encode()
    except ValueError:
        raw = b"1e999"
    for read in (read_triplet, read_judge_task):
        result = read(Line(1, raw, len(raw)), 0)
        assert isinstance(result.item, Triplet | JudgeTask | MalformedRow)
        json.dumps([result.head, result.carried], allow_nan=False)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    result = read_triplet(Line(1, raw, len(raw)), 0)
    assert isinstance(result.item, MalformedRow)


def test_judge_row_is_read_with_its_own_scoring_and_strictness() -> None:
    item = judge_task(
        task="induction",
        inputs=["1"],
        outputs=["2"],
        answers=["p"],
        scoring="fraction",
        strict=True,
    )
    assert item.task is TaskType.INDUCTION
    assert (item.scoring, item.strict, item.program) == ("fraction", True, None)


def test_judge_row_without_scoring_takes_the_default() -> None:
    row = line({"task": "deduction", "output": "1", "answer": "2"})
    item = read_judge_task(row, 0, scoring="any", strict=True).item
    assert isinstance(item, JudgeTask)
    assert (item.scoring, item.strict, item.answers) == ("any", True, ("2",))


def test_judge_row_may_have_no_answers_at_all() -> None:
    assert judge_task(task="deduction", output="1", answers=[]).answers == ()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"output": "1", "answers": []}, "no 'task'"),
        ({"task": "guess", "answers": []}, "'task' must be one of deduction, abduction"),
        ({"task": "deduction", "answers": ["1"]}, "need an 'output', or a 'program' and an"),
        ({"task": "error", "program": "p", "answers": ["1"]}, "need an 'output', or a"),
        ({"task": "abduction", "output": "1", "answers": ["1"]}, "needs a 'program'"),
        ({"task": "abduction", "program": "p", "input": "1", "answers": []}, "and an 'output'"),
        ({"task": "induction", "inputs": ["1"], "answers": []}, "needs 'inputs' and 'outputs'"),
        (
            {"task": "induction", "inputs": ["1"], "outputs": [None], "answers": []},
            "must not hold null",
        ),
        (
            {"task": "induction", "inputs": ["1"], "outputs": ["1", "2"], "answers": []},
            "'inputs' has 1 items but 'outputs' has 2",
        ),
        ({"task": "deduction", "outputs": ["1", "2"], "answers": []}, "only induction has"),
        ({"task": "deduction", "output": "1"}, "no 'answers'"),
        ({"task": "deduction", "output": "1", "answers": "1"}, "'answers' must be a list"),
        ({"task": "deduction", "output": "1", "answers": [1]}, "'answers[0]' must be a string"),
        ({"task": "deduction", "output": "1", "answers": [], "answer": "1"}, "both 'answer'"),
        ({"task": "deduction", "output": "1", "answers": [], "strict": 1}, "must be true or"),
        ({"task": "deduction", "output": "1", "answers": [], "scoring": "x"}, "binary, fraction"),
    ],
)
def test_unusable_judge_row_says_why(row: dict[str, Any], reason: str) -> None:
    assert reason in judge_refusal(**row)

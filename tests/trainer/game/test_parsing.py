"""Reading model outputs: a corpus of awkward ones, and properties of the scanners."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.game.tasks.literal_types import type_of_arguments, type_of_value
from trainer.game.tasks.task import TaskType
from trainer.game.texts.parsing import (
    InductionProposal,
    Malformed,
    ProgramProposal,
    blocks,
    extract_answer,
    extract_thought,
    is_well_formed,
    parse_induction_proposal,
    parse_program_proposal,
    parse_solution,
)

CORPUS = [
    json.loads(line)
    for line in Path(__file__)
    .with_name("awkward_outputs.jsonl")
    .read_text(encoding="utf-8")
    .splitlines()
]


def read(row: dict[str, Any]) -> dict[str, Any]:
    text = row["text"]
    if row["parse"] == "response":
        retry = row.get("boxed_retry", False)
        return {
            "well_formed": is_well_formed(text, row["style"]),
            "answer": extract_answer(text, row["style"], boxed_retry=retry),
        }
    found: object
    if row["parse"] == "program":
        found = parse_program_proposal(text, code_location=row.get("code_location", "first"))
    elif row["parse"] == "induction":
        found = parse_induction_proposal(text, num_inputs=row["num_inputs"])
    else:
        found = parse_solution(
            text, TaskType(row["task"]), extract_code_block=row.get("extract", True)
        )
    match found:
        case Malformed(reason):
            return {"reason": reason}
        case ProgramProposal(code, input_):
            return {"code": code, "input": input_}
        case InductionProposal(inputs, message):
            return {"inputs": list(inputs), "message": message}
    return {"solution": found}


@pytest.mark.parametrize("row", CORPUS, ids=[row["id"] for row in CORPUS])
def test_awkward_output_is_read_as_expected(row: dict[str, Any]) -> None:
    assert read(row) == row["expect"]


def test_the_corpus_is_large_and_its_rows_have_names() -> None:
    assert len(CORPUS) >= 60
    assert len({row["id"] for row in CORPUS}) == len(CORPUS)


def test_thoughts_are_what_stands_before_their_end() -> None:
    assert extract_thought("<think>\nhm\n</think><answer>1</answer>") == "hm"
    assert extract_thought("hm</think><answer>1</answer>") == "hm"


PIECES = st.sampled_from([
    "```", "```python\n", "```input\n", "```output", "~~~", "`", "<answer>", "</answer>", "<think>",
    "</think>", "\\boxed{", "}", "{", "# Input:", "# Message:", "the output is", "input(", ")",
    "\n", "def f(x):", " ", "1", "'", "é", "\x00", "\ud800",
])  # fmt: skip


@given(st.lists(PIECES, max_size=30).map("".join))
def test_every_text_is_read_without_an_exception(text: str) -> None:
    for style in ("answer", "boxed"):
        is_well_formed(text, style)
        answer = extract_answer(text, style, boxed_retry=True)
        for task in TaskType:
            solution = parse_solution(answer, task)
            assert isinstance(solution, Malformed) or solution.strip()
    program = parse_program_proposal(text)
    assert isinstance(program, Malformed) or (program.code.strip() and program.input)
    found = parse_induction_proposal(text, num_inputs=2)
    assert isinstance(found, Malformed) or (len(found.inputs) == 2 and found.message)
    type_of_arguments(text)


@given(
    st.text(st.characters(exclude_characters="`~", codec="utf-8")),
    st.text(st.characters(exclude_characters="`~", codec="utf-8")),
)
def test_what_was_fenced_is_found_again(code: str, given_: str) -> None:
    found = parse_program_proposal(f"```python\n{code}\n```\n```input\n{given_}\n```")
    if code.strip() and given_.strip():
        assert found == ProgramProposal(code.strip("\n").rstrip(), given_.strip())
    else:
        assert isinstance(found, Malformed)


@pytest.mark.parametrize(
    "text",
    ["```" * 30_000, "```a\n" * 20_000, "</think>" * 10_000, "<answer>" * 10_000,
     "# Input:\n" * 9_000,
     "\\boxed{" * 10_000, "the output is " * 7_000, "\ninput(" * 10_000, "1" * 100_000 + "x",
     "(" * 100_000, "'" * 100_001, "{" * 50_000 + "}" * 50_000, "<output>" * 10_000],
    ids=lambda text: repr(text[:9]),
)  # fmt: skip
def test_long_texts_take_no_time(text: str) -> None:
    started = time.process_time()
    test_every_text_is_read_without_an_exception.hypothesis.inner_test(text)  # type: ignore[attr-defined]
    blocks(text)
    assert time.process_time() - started < 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", "int"), ("-0x1F", "int"), ("1.5", "float"), ("1e-5", "float"), (".5", "float"),
     ("2j", "complex"), ("True", "bool"), ("None", "NoneType"), ("'a, b'", "str"),
     ("rb'x'", "bytes"),
     ("[1, 2]", "list"), ("{}", "dict"), ("{1: 2}", "dict"), ("{1, 2}", "set"), ("()", "tuple"),
     ("(1,)", "tuple"), ("((1))", "int"), ("{'a:b'}", "set"), ("Counter({1: 2})", "Counter"),
     ("collections.deque([1])", "deque"), ("Evil()", "expression"), ("[1][0]", "expression"),
     ("1 + 1", "expression"), ("", "expression"), ("x", "expression"), ("'open", "str")],
)  # fmt: skip
def test_types_are_told_from_the_text(text: str, expected: str) -> None:
    assert type_of_value(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1, 2", "tuple"), ("[1, 2]", "list"), ("'a,b'", "str"), ("{1: (2, 3)}, 4", "tuple")],
)
def test_several_arguments_are_a_tuple(text: str, expected: str) -> None:
    assert type_of_arguments(text) == expected


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_a_literals_type_is_that_of_its_value(value: object) -> None:
    text = repr(value)
    if text not in ("nan", "inf", "-inf"):
        assert type_of_value(text) == type(value).__name__

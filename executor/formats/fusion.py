"""Rows of SandboxFusion's data sets, as its clients send them (``provided_data``)."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from string import Template
from typing import Any, NamedTuple

from executor.errors import InputError
from executor.formats.tests import Fields, assertions, fields_of
from executor.formats.texts import code_of, from_json, from_json_or_literal, packed_tests

_CODE = re.compile(r"^(?:import \w|from [\w.]+ import |def \w+\(|class \w+)", re.MULTILINE)

_PLACE = "#<INSERT>"
"""Where tests of AutoEval want the answer; without it, before them."""
_ENTRY = re.compile(r"^if __name__\s*==.*", re.MULTILINE | re.DOTALL)
_RULE = "-" * 16
_WORDS = {"zh": ("问题：", "答案："), "en": ("Question:", "Answer:")}

type Row = Mapping[str, Any]


class Submission(NamedTuple):
    """The tests that an answer to a row is judged by."""

    code: str
    """The program in the answer."""
    program: str
    """With what the row puts before it: the answer that is judged."""
    fields: Fields


KINDS = {
    "humaneval": "HumanEvalDataset",
    "mbpp": "MBPPDataset",
    "mhpp": "MHPPDataset",
    "code_contests": "CommonOJDataset",
    "live_code_bench": "LiveCodeBenchDataset",
    "bigcodebench": "BigCodeBenchDataset",
    "autoeval": "AutoEvalDataset",
}
"""The data sets that are known: part of a name, and the original's class."""
_ALSO = {"codecontests": "code_contests", "commonoj": "code_contests"}


def kind_of(dataset: str, dataset_type: str | None) -> str:
    """The data set that a request is about. Raises :class:`InputError`."""
    for name in filter(None, (dataset_type, dataset)):
        plain = name.lower().replace("-", "_")
        short = plain.replace("_", "")
        for part in (*KINDS, *_ALSO):
            if part in plain or part.replace("_", "") in short:
                return _ALSO.get(part, part)
    raise InputError(f"no data set {dataset_type or dataset!r} (there are {', '.join(KINDS)})")


def prompt_of(row: Row) -> tuple[str | int, str, dict[str, Any]]:
    """The number, the prompt and the labels of a row. Raises :class:`InputError`."""
    content = row.get("content")
    if not isinstance(content, str) or not isinstance(row.get("id"), str | int):
        raise InputError("a row needs an id and a content")
    return row["id"], content, labels_of(row)


def auto_eval_prompt(
    row: Row, extra: Mapping[str, Any], *, locale: str | None, is_fewshot: bool
) -> str:
    """The prompt of a row of AutoEval, whose labels, or the request, say what stands around the
    question. Raises :class:`InputError`."""
    question = str(row.get("content") or "")
    known = {**labels_of(row), **extra}
    context = str(known.get("context") or "")
    fewshot = str(known.get("fewshot") or "") if is_fewshot else ""
    if is_fewshot and known.get("fewshot") is None:
        raise InputError("is_fewshot, and the row has no fewshot")
    if template := known.get("prompt_template"):
        return Template(str(template)).safe_substitute(
            question=question, fewshot=fewshot, context=context, locale=locale
        )
    if not (context or fewshot):
        return question
    asks, answers = _WORDS["zh" if locale == "zh" else "en"]
    before = f"\n\n{_RULE}\n\n".join(filter(None, (context, fewshot)))
    return f"{before}\n\n{asks}{question}\n\n{answers}\n"


def labels_of(row: Row) -> dict[str, Any]:
    """The labels of a row, which may be a text of them. Raises :class:`InputError`."""
    labels = row.get("labels") or {}
    if isinstance(labels, str):
        labels = from_json_or_literal(labels, "labels")
    if not isinstance(labels, dict):
        raise InputError("labels must be an object")
    return labels


def submission(kind: str, row: Row, completion: str) -> Submission:
    """The tests that a completion is judged by. Raises :class:`InputError`."""
    code = code_of(completion)
    program = code
    labels = labels_of(row)
    if kind in ("humaneval", "mhpp"):
        program = f"{_prefix(row)}{code}"
        fields = assertions(_tests(row), labels.get("entry_point"))
    elif kind == "mbpp":
        listed = row.get("test_list")
        if not isinstance(listed, list):
            listed = from_json_or_literal(_tests(row, "test_list"), "test_list")
        setup = labels.get("test_setup_code") or ""
        fields = assertions("\n".join([setup, *map(str, listed)]))
    elif kind == "bigcodebench":
        program = f"{_prefix(row)}{code}"
        fields = _by_pytest(_tests(row), {})
    elif kind == "autoeval":
        program = _ENTRY.sub("", code)
        fields = _auto_eval(row, labels)
    elif kind == "live_code_bench":
        fields = fields_of(packed_tests(_tests(row), "test"), in_class=True)
    else:
        fields = _common(from_json_or_literal(_tests(row), "test"))
    return Submission(code, program, fields)


def _by_pytest(tests: str, files: Mapping[str, bytes]) -> Fields:
    return {"task": "pytest", "tests": f"from solution import *\n{tests}", "files": files}


def _auto_eval(row: Row, labels: Mapping[str, Any]) -> Fields:
    """Python's rows: assertions, or tests for pytest, perhaps with files."""
    language = labels.get("programming_language", "python")
    runner = labels.get("execution_language", language)
    if language != "python" or runner not in ("python", "pytest"):
        raise InputError(f"rows for python and pytest are judged here, not for {runner}")
    test = row.get("test")
    if isinstance(test, str):
        test = from_json_or_literal(test, "test")
    if not isinstance(test, dict) or not isinstance(test.get("code"), str):
        raise InputError("test needs a code")
    tests = test["code"].replace(_PLACE, "")
    files = _assets(test.get("asset") or {})
    if files or runner == "pytest" or not re.search(r"\bassert\b", tests):
        return _by_pytest(tests, files)
    return assertions(tests)


def _assets(asset: object) -> dict[str, bytes]:
    if isinstance(asset, str):
        asset = from_json(asset, "asset")
    try:
        assert isinstance(asset, dict)
        return {str(path): base64.b64decode(text, validate=True) for path, text in asset.items()}
    except (AssertionError, TypeError, ValueError):
        raise InputError("asset must map paths to base64") from None


def batch(data: Row, completion: str) -> Submission:
    """What a completion is judged by where the tests are in ScaleBox's form: ``test_cases``, an
    object of lists. Raises :class:`InputError`."""
    code = code_of(completion)
    cases = data.get("test_cases")
    if not isinstance(cases, dict):
        raise InputError("provided_data needs test_cases, an object with lists of input and output")
    kind, name = cases.get("type"), cases.get("fn_name")
    if kind == "assert":
        entry_point = cases.get("entry_point") or labels_of(cases).get("entry_point")
        return Submission(code, code, assertions(_tests(cases), entry_point))
    if kind not in (None, "stdin_stdout", "function_call"):
        raise InputError(f"test_cases of type {str(kind)[:40]!r} are not known")
    if kind == "stdin_stdout":
        name = None
    elif kind == "function_call" and not isinstance(name, str):
        raise InputError("test_cases of type function_call need a fn_name")
    in_class = "class Solution" in code
    return Submission(code, code, fields_of({**cases, "fn_name": name}, in_class=in_class))


def _tests(row: Row, key: str = "test") -> str:
    tests = row.get(key)
    if not isinstance(tests, str):
        raise InputError(f"the row has no {key}")
    return tests


def _prefix(row: Row) -> str:
    """The row's own code: a prompt that ends within a function, which may define helpers."""
    content = str(row.get("content") or "")
    start = _CODE.search(content)
    return f"{content[start.start() :].rstrip()}\n    pass\n\n" if start else ""


def _common(tests: object) -> Fields:
    if not isinstance(tests, list) or not all(isinstance(test, dict) for test in tests):
        raise InputError("test must be a list of tests")
    try:
        return {
            "task": "stdio",
            "stdin": [test["input"]["stdin"] for test in tests],
            "stdout": [test["output"]["stdout"] for test in tests],
        }
    except (KeyError, TypeError):
        raise InputError("each test needs an input.stdin and an output.stdout") from None

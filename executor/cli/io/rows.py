"""One line of JSON to one triplet or one judging task. Pure: no files, no sandbox.

Keys of a row:

- the program, under the first of ``program``, ``snippet`` and ``code`` that is there; ``imports``;
- ``input`` with ``output``, or ``inputs`` with ``outputs``;
- to judge: ``task``, ``answers`` or ``answer``, ``scoring``, ``strict``; of tests also
  ``entry_point``, ``mutates``, ``compare``, ``stdin``, ``stdout``, ``argv``, ``files`` (contents in
  base64), ``checker``, ``tests``, ``together``, ``all_tests`` and ``cases``;
- ``id``, copied to the result as it is;
- ``task`` of a triplet: one of the task types; ``error`` makes it one of error deduction;
- every other key is carried along to the result, unless the result has a key of that name.

A key whose value is ``null`` counts as not given.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError

from executor.cli.io.source import MAX_LINE_BYTES, Line
from executor.errors import MalformedRow
from executor.models import PROGRAM_TASKS, Compare, JudgeTask, TaskType, Triplet, Verdict
from executor.models import Judgement as _Judgement

MAX_DEPTH = 200
"""Nesting of a row's lists and objects."""

_PROGRAM_KEYS = ("program", "snippet", "code")
_DATA_KEYS = ("imports", "input", "output", "inputs", "outputs")
_JUDGE_KEYS = ("answers", "answer", "scoring", "strict")
_TEST_KEYS = (
    "entry_point", "mutates", "compare", "stdin", "stdout", "argv", "files", "checker", "tests",
    "together", "all_tests", "cases",
)  # fmt: skip
_SCORINGS = ("binary", "fraction", "any")

_NOT_CARRIED_BY_VERIFY = frozenset({*_DATA_KEYS, *Verdict.model_fields, "disagreement"})
_NOT_CARRIED_BY_JUDGE = frozenset(
    {
        *_DATA_KEYS,
        *_JUDGE_KEYS,
        *_TEST_KEYS,
        *_Judgement.model_fields,
        "task",
        "status",
        "disagreement",
    }
)

_JSON_NAMES = {
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
    type(None): "null",
}

type Fields = dict[str, Any]


class _Unusable(Exception):
    """The reason why a row cannot be used."""


@dataclass(frozen=True, slots=True)
class Row[T]:
    """One row of the input: what to do, or why that cannot be known."""

    item: T | MalformedRow
    head: Fields
    """First fields of the row's result: ``index``, and ``id`` if the row has one."""
    carried: Fields
    """Last fields of the result: the keys that mean nothing here."""
    size: int
    """Bytes in the file."""

    @property
    def index(self) -> int:
        """Position among the rows of the file, from 0, malformed ones included."""
        index: int = self.head["index"]
        return index


def read_triplet(line: Line, index: int, *, error_task: bool = False) -> Row[Triplet]:
    """The triplet of one line; with ``"task": "error"`` in the row, or ``error_task``, one of
    error deduction.
    """

    def build(fields: Fields) -> Triplet:
        inputs, outputs = _examples(fields)
        return Triplet(
            program=_program(fields),
            imports=_imports(fields),
            inputs=inputs,
            outputs=outputs,
            expects="error" if _is_error_task(fields) or error_task else "value",
        )

    return _read(line, index, build, _NOT_CARRIED_BY_VERIFY)


def read_judge_task(
    line: Line, index: int, *, scoring: str = "binary", strict: bool = False
) -> Row[JudgeTask]:
    """The judging task of one line; ``scoring`` and ``strict`` are for rows that do not say."""

    def build(fields: Fields) -> JudgeTask:
        task = _choice(fields, "task", tuple(TaskType))
        if task is None:
            _refuse(f"no 'task' ({', '.join(TaskType)})")
        has_program = any(fields.get(key) is not None for key in _PROGRAM_KEYS)
        inputs, outputs = _examples(fields) if _has_input(fields) else ((), _lone_outputs(fields))
        known = tuple(text for text in outputs or () if text is not None)
        if len(known) != len(outputs or ()):
            _refuse("'outputs' must not hold null here: there is nothing to compare with")
        _check_complete(TaskType(task), has_program, len(inputs), len(known))
        return JudgeTask(
            task=task,
            answers=_answers(fields),
            program=_program(fields) if has_program else None,
            imports=_imports(fields),
            inputs=inputs,
            outputs=known,
            scoring=_choice(fields, "scoring", _SCORINGS) or scoring,
            strict=_flag(fields, "strict", strict),
            **(_tests(fields) if task in (*PROGRAM_TASKS, TaskType.MATH) else {}),
        )

    return _read(line, index, build, _NOT_CARRIED_BY_JUDGE)


def _tests(fields: Fields) -> Fields:
    """The tests of a program, as far as the row has them."""
    found: Fields = {}
    for key in ("entry_point", "checker", "tests"):
        if fields.get(key) is not None:
            found[key] = _text(fields, key)
    for key in ("stdin", "stdout", "argv", "expected"):
        if fields.get(key) is not None:
            found[key] = _texts(fields, key)
    for key in ("mutates", "together", "all_tests", "cases"):
        found[key] = _flag(fields, key, False)
    for key, model in (("compare", Compare), ("files", _Files)):
        if fields.get(key) is not None:
            found[key] = _checked(fields, key, model)
    return found


class _Files(RootModel[dict[str, bytes]]):
    """Contents of files in base64, by path."""

    model_config = ConfigDict(val_json_bytes="base64")


def _checked(fields: Fields, key: str, model: type[BaseModel]) -> Any:
    """An object of the row as a model has it."""
    try:
        found = model.model_validate_json(json.dumps(fields[key]), strict=True)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, (key, *problem["loc"])))
        _refuse(f"'{where}': {problem['msg']}")
    return found.root if isinstance(found, RootModel) else found


def _read[T](
    line: Line, index: int, build: Callable[[Fields], T], not_carried: frozenset[str]
) -> Row[T]:
    head: Fields = {"index": index}
    fields: Fields = {}
    item: T | MalformedRow
    try:
        fields = _object(line.raw)
        if "id" in fields:
            head["id"] = fields["id"]
        item = build(fields)
    except _Unusable as unusable:
        item = MalformedRow(line.number, str(unusable))
    except Exception as error:  # one row must never be the end of the others
        item = MalformedRow(line.number, f"it cannot be read: {type(error).__name__}")
    used = next((key for key in _PROGRAM_KEYS if fields.get(key) is not None), "program")
    carried = {
        key: value for key, value in fields.items() if key not in not_carried and key != used
    }
    return Row(item, head, carried, line.size)


def _object(raw: bytes | None) -> Fields:
    """Decode strictly: what is read here can always be written as JSON again."""
    if raw is None:
        _refuse(f"longer than {MAX_LINE_BYTES >> 20} MiB")
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_float,
        )
    except UnicodeDecodeError as error:
        _refuse(f"not UTF-8 (byte {error.start + 1} of the line)")
    except json.JSONDecodeError as error:
        _refuse(f"not JSON: {error.msg} (column {error.colno})")
    except ValueError:
        _refuse("not usable JSON: a number with too many digits")
    except RecursionError:
        _refuse(f"nested more than {MAX_DEPTH} deep")
    if not isinstance(value, dict):
        _refuse(f"must be a JSON object, not {_name(value)}")
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _depth_exceeds(value, MAX_DEPTH):
        _refuse(f"nested more than {MAX_DEPTH} deep")
    return value


def _unique(pairs: list[tuple[str, object]]) -> Fields:
    """Refuse repeated keys, as the service does: two readers could take one each."""
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        name = next(name for name in counts if counts[name] > 1)
        _refuse(f"the key {json.dumps(name[:60])} is there twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    _refuse(f"not JSON: {name} is not a JSON number")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        _refuse(f"not usable JSON: the number {text[:40]} is out of range")
    return value


def _depth_exceeds(value: object, bound: int) -> bool:
    level = [value]
    for _ in range(bound):
        level = [child for node in level for child in _children(node)]
        if not level:
            return False
    return any(isinstance(node, list | dict) for node in level)


def _children(node: object) -> Iterator[object]:
    if isinstance(node, dict):
        yield from node.values()
    elif isinstance(node, list):
        yield from node


def _is_error_task(fields: Fields) -> bool:
    task: str | None = _choice(fields, "task", tuple(TaskType))
    return task == TaskType.ERROR


def _program(fields: Fields) -> str:
    for key in _PROGRAM_KEYS:
        if fields.get(key) is not None:
            return _text(fields, key)
    _refuse("no 'program' (nor 'snippet' or 'code')")


def _imports(fields: Fields) -> tuple[str, ...]:
    return _texts(fields, "imports") if fields.get("imports") is not None else ()


def _has_input(fields: Mapping[str, object]) -> bool:
    return fields.get("input") is not None or fields.get("inputs") is not None


def _examples(fields: Fields) -> tuple[tuple[str, ...], tuple[str | None, ...] | None]:
    """The inputs, and the outputs if there are any."""
    if fields.get("inputs") is None:
        return _single_example(fields)
    for key in ("input", "output"):
        if fields.get(key) is not None:
            _refuse(f"both '{key}' and 'inputs': give 'inputs' and 'outputs', or one 'input'")
    inputs = _texts(fields, "inputs")
    if not inputs:
        _refuse("'inputs' is empty")
    if fields.get("outputs") is None:
        return inputs, None
    outputs = _texts(fields, "outputs", nullable=True)
    if len(outputs) != len(inputs):
        _refuse(f"'inputs' has {len(inputs)} items but 'outputs' has {len(outputs)}")
    return inputs, outputs


def _single_example(fields: Fields) -> tuple[tuple[str, ...], tuple[str | None, ...] | None]:
    if fields.get("input") is None:
        _refuse("no 'input' (nor 'inputs')")
    if fields.get("outputs") is not None:
        _refuse("both 'input' and 'outputs': give 'output', or 'inputs' and 'outputs'")
    output = None if fields.get("output") is None else (_text(fields, "output"),)
    return (_text(fields, "input"),), output


def _lone_outputs(fields: Fields) -> tuple[str, ...]:
    if fields.get("outputs") is not None:
        if fields.get("output") is not None:
            _refuse("both 'output' and 'outputs'")
        return _texts(fields, "outputs")
    return (_text(fields, "output"),) if fields.get("output") is not None else ()


def _check_complete(task: TaskType, has_program: bool, inputs: int, outputs: int) -> None:
    """Refuse a row that does not hold what its task type is judged against."""
    if task is TaskType.INDUCTION:
        if not inputs or not outputs:
            _refuse(f"an {task} row needs 'inputs' and 'outputs'")
    elif task is TaskType.CALL:
        if not inputs or not (outputs or has_program):
            _refuse(f"a {task} row needs 'inputs' and 'outputs'")
    elif task is not TaskType.MATH and task not in PROGRAM_TASKS:
        _check_single(task, has_program, inputs, outputs)


def _check_single(task: TaskType, has_program: bool, inputs: int, outputs: int) -> None:
    """The same where there is one input and one output."""
    if inputs > 1 or outputs > 1:
        _refuse(f"{task} rows have one 'input' and one 'output'; only induction has several")
    if task is TaskType.ABDUCTION:
        if not has_program or not outputs:
            _refuse("an abduction row needs a 'program' and an 'output'")
    elif not outputs and not (has_program and inputs):
        _refuse(f"{task} rows need an 'output', or a 'program' and an 'input'")


def _answers(fields: Fields) -> tuple[str, ...]:
    if fields.get("answers") is not None:
        if fields.get("answer") is not None:
            _refuse("both 'answer' and 'answers'")
        return _texts(fields, "answers")
    if fields.get("answer") is None:
        _refuse("no 'answers' (nor 'answer')")
    return (_text(fields, "answer"),)


def _text(fields: Fields, key: str) -> str:
    value = fields[key]
    if not isinstance(value, str):
        _refuse(f"'{key}' must be a string, not {_name(value)}")
    return value


def _texts(fields: Fields, key: str, *, nullable: bool = False) -> tuple[Any, ...]:
    values = fields[key]
    if not isinstance(values, list):
        _refuse(f"'{key}' must be a list of strings, not {_name(values)}")
    for position, value in enumerate(values):
        if not isinstance(value, str) and not (nullable and value is None):
            _refuse(f"'{key}[{position}]' must be a string, not {_name(value)}")
    return tuple(values)


def _choice(fields: Fields, key: str, choices: tuple[str, ...]) -> Any:
    if fields.get(key) is None:
        return None
    value = _text(fields, key)
    if value not in choices:
        _refuse(f"'{key}' must be one of {', '.join(choices)}")
    return value


def _flag(fields: Fields, key: str, default: bool) -> bool:
    value = fields.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        _refuse(f"'{key}' must be true or false, not {_name(value)}")
    return value


def _name(value: object) -> str:
    return _JSON_NAMES[type(value)]


def _refuse(reason: str) -> NoReturn:
    raise _Unusable(reason)

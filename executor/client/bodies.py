"""Items as the service wants them, and its answers as models."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from executor.errors import InputError
from executor.models import (
    Judgement,
    JudgeTask,
    Limits,
    Options,
    Script,
    Status,
    Triplet,
    Verdict,
)


class ItemKind[Item: BaseModel, Result: BaseModel](NamedTuple):
    """One kind of work: its route, and how answers to a line of a batch are read."""

    path: str
    read: Callable[[bytes], Result]
    """Raises ``ValueError``: not a result."""
    read_line: Callable[[bytes, Item], tuple[int, Result]]
    """Line number and result. Raises ``ValueError``: not a result for that item."""
    infra: Callable[[int, Item, str], Result]
    """The outcome of an item that no service did: index, item and a sentence."""


def item_json(item: BaseModel, options: bytes) -> bytes:
    """The JSON of a triplet or a task, with the options of the call (``b""`` for none).

    JSON has no lone surrogates. No Python source can hold them either, nor NUL characters, so these
    stand in for them: the outcome is the same.
    """
    try:
        text = item.model_dump_json(exclude_defaults=True).encode()
    except PydanticSerializationError:
        fields = item.model_dump(exclude_defaults=True)
        text = json.dumps(_without_surrogates(fields), separators=(",", ":")).encode()
    return text[:-1] + b',"options":' + options + b"}" if options else text


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return "".join("\0" if "\ud800" <= c <= "\udfff" else c for c in value)
    if isinstance(value, dict):
        return {name: _without_surrogates(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(part) for part in value]
    return value


def options_json(options: Options) -> bytes:
    """The JSON of options; empty if they change nothing."""
    text = options.model_dump_json(exclude_none=True).encode()
    return b"" if text == b"{}" else text


def script_json(script: Script, limits: Limits | None) -> bytes:
    """The JSON of a script and its limits.

    Raises:
        InputError: a text has no UTF-8.
    """
    try:
        text = script.model_dump_json(exclude_defaults=True).encode()
    except PydanticSerializationError:
        raise InputError("the script holds lone surrogates, which cannot be sent") from None
    return text if limits is None else text[:-1] + b',"limits":' + _json(limits) + b"}"


def _json(model: BaseModel) -> bytes:
    return model.model_dump_json().encode()


def _verdict_line(line: bytes, item: Triplet) -> tuple[int, Verdict]:
    verdict = Verdict.model_validate_json(line)
    return verdict.index, verdict


def _judgement_line(line: bytes, item: JudgeTask) -> tuple[int, Judgement]:
    try:
        judgement = Judgement.model_validate_json(line)
    except ValueError:
        return _refused_task(line, item)
    if not _one_each(judgement, len(item.answers)):
        return _refused_task(line, item)
    return judgement.index, judgement


def _one_each(judgement: Judgement, answers: int) -> bool:
    parts: tuple[Sequence[object], ...] = (
        judgement.scores,
        judgement.statuses,
        judgement.details,
    )
    return all(len(part) == answers for part in parts)


def _refused_task(line: bytes, item: JudgeTask) -> tuple[int, Judgement]:
    """A line that the service could not read: it is no score for any of the answers."""
    fields = json.loads(line)
    if not isinstance(fields, dict) or type(fields.get("index")) is not int:
        raise ValueError("not a result")
    status = fields.get("status") or next(iter(fields.get("statuses") or ()), None)
    if status != Status.MALFORMED:
        raise ValueError("not a judgement of all answers")
    detail = fields.get("detail") or next(iter(fields.get("details") or ()), "")
    judgement = _no_scores(fields["index"], item, Status.MALFORMED, str(detail))
    weaknesses = tuple(map(str, fields.get("weaknesses") or ()))
    return judgement.index, judgement.model_copy(update={"weaknesses": weaknesses})


def _no_scores(index: int, item: JudgeTask, status: Status, detail: str) -> Judgement:
    count = len(item.answers)
    return Judgement(
        index=index,
        id=item.id,
        scores=(None,) * count,
        statuses=(status,) * count,
        details=(detail,) * count,
    )


def _judgement(data: bytes) -> Judgement:
    return Judgement.model_validate_json(data)


def _verdict(data: bytes) -> Verdict:
    return Verdict.model_validate_json(data)


def _infra_verdict(index: int, item: Triplet, detail: str) -> Verdict:
    return Verdict(index=index, id=item.id, status=Status.INFRA, valid=False, detail=detail)


def _infra_judgement(index: int, item: JudgeTask, detail: str) -> Judgement:
    return _no_scores(index, item, Status.INFRA, detail)


VALIDATE = ItemKind[Triplet, Verdict]("/v1/validate", _verdict, _verdict_line, _infra_verdict)
JUDGE = ItemKind[JudgeTask, Judgement]("/v1/judge", _judgement, _judgement_line, _infra_judgement)

"""Items on their way to another executor and results on their way back: as bytes, without loss.

JSON, since both ends are of one version. Texts with lone surrogates and bytes that are no UTF-8
have no JSON of their own: a model with such is written in a second form.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from executor.models import (
    Judgement,
    JudgeTask,
    Limits,
    Options,
    Script,
    ScriptResult,
    Triplet,
    Verdict,
)

Kind = Literal["validate", "judge", "run"]

ITEMS: dict[Kind, type[BaseModel]] = {"validate": Triplet, "judge": JudgeTask, "run": Script}
RESULTS: dict[Kind, type[BaseModel]] = {
    "validate": Verdict,
    "judge": Judgement,
    "run": ScriptResult,
}
_PLAIN, _ESCAPED = b"J", b"E"
_MARK = "__bytes__"


class Work(NamedTuple):
    """One item to be done somewhere."""

    kind: Kind
    item: BaseModel
    settings: Options | Limits | None = None
    """Options of a validation or a judgement, limits of a script."""
    yields_s: float = 0.0
    """How much later than its arrival it counts as arrived."""


def encode(model: BaseModel, kind: type[BaseModel] | None = None) -> bytes:
    """The bytes of a model; ``kind``: of a base of its own, without what it has besides."""
    only = None if kind is None or type(model) is kind else set(kind.model_fields)
    try:
        return _PLAIN + model.model_dump_json(include=only, exclude_defaults=True).encode()
    except (PydanticSerializationError, UnicodeError):
        fields = model.model_dump(include=only, exclude_defaults=True)
        return _ESCAPED + json.dumps(fields, default=_marked).encode("ascii")


def decode[M: BaseModel](model: type[M], data: bytes) -> M:
    """The model of some bytes. Raises ``ValueError``: they are none."""
    if data[:1] == _PLAIN:
        return model.model_validate_json(data[1:])
    return model.model_validate(json.loads(data[1:], object_hook=_unmarked))


def _marked(value: object) -> Any:
    if isinstance(value, bytes):
        return {_MARK: base64.b64encode(value).decode()}
    raise TypeError(type(value).__name__)


def _unmarked(value: dict[str, Any]) -> Any:
    if len(value) == 1 and isinstance(value.get(_MARK), str):
        return base64.b64decode(value[_MARK])
    return value

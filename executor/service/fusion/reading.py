"""From a body to a request of SandboxFusion's API; bad ones are refused in that API's form."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ValidationError

from executor.service.errors import ApiError

_SHOWN_CHARACTERS = 200


class BadRequest(ApiError):
    """A request that cannot be served: 422, and what is wrong where, as FastAPI tells it."""

    def __init__(self, problems: list[dict[str, Any]]) -> None:
        first = problems[0]
        super().__init__(422, "invalid_request", str(first["msg"]))
        self.problems = problems

    def body(self, request_id: str) -> bytes:
        """``{"detail": [{"type", "loc", "msg"}]}``."""
        return json.dumps({"detail": self.problems}).encode()


def bad(message: str, *where: str | int, kind: str = "value_error") -> BadRequest:
    """A refusal with a sentence about one place of the body."""
    return BadRequest([{"type": kind, "loc": ["body", *where], "msg": message}])


def read[M: BaseModel](model: type[M], raw: bytes) -> M:
    """Make the model of a body. Raises :class:`BadRequest`."""
    try:
        return model.model_validate(json.loads(raw, object_pairs_hook=_unique))
    except ValidationError as error:
        raise BadRequest([_problem(problem) for problem in error.errors()]) from None
    except json.JSONDecodeError as error:
        raise BadRequest(
            [
                {
                    "type": "json_invalid",
                    "loc": ["body", error.pos],
                    "msg": f"JSON decode error: {error.msg}",
                    "ctx": {"error": error.msg},
                }
            ]
        ) from None
    except UnicodeDecodeError:
        raise bad("the body is not UTF-8", kind="json_invalid") from None
    except RecursionError:
        raise bad("the JSON is nested too deep", kind="json_invalid") from None
    except ValueError:
        raise bad("a number in the JSON has too many digits", kind="json_invalid") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise bad("an object in the JSON has the same key twice", kind="json_invalid")
    return found


def _problem(problem: Any) -> dict[str, Any]:
    told = {
        "type": problem["type"],
        "loc": ["body", *problem["loc"]],
        "msg": problem["msg"],
    }
    given = problem["input"]
    short = isinstance(given, str) and len(given) <= _SHOWN_CHARACTERS
    if short or given is None or isinstance(given, bool | float):
        told["input"] = given
    if "ctx" in problem:
        told["ctx"] = {name: str(value) for name, value in problem["ctx"].items()}
    return told

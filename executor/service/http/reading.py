"""From the bytes of a request to a checked model."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NoReturn

from pydantic import BaseModel, ValidationError
from starlette.types import Receive

from executor.service.errors import ApiError, ClientGone

_JSON_TYPES = ("application/json", "text/json")
_LINES_TYPES = (
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
    "application/jsonlines",
    "application/json-lines",
    *_JSON_TYPES,
)
_SHOWN_PROBLEMS = 3


class Unreadable(Exception):
    """Bytes that are not what they should be. The text is a sentence for the client."""


def parse[M: BaseModel](model: type[M], raw: bytes) -> M:
    """Read one JSON object strictly: exact types, no unknown and no repeated keys, no NaN.

    Raises:
        Unreadable: it is not such an object.
    """
    try:
        # The model's parser takes the last of repeated keys. Two readers of one text that differ
        # in that are a way around checks, so they are looked for first, by a parser that tells.
        json.loads(raw, object_pairs_hook=_unique, parse_constant=_no_constant)
        return model.model_validate_json(raw, strict=True)
    except ValidationError as error:
        raise Unreadable(_sentence(error)) from None
    except UnicodeDecodeError as error:
        raise Unreadable(f"not UTF-8 (byte {error.start + 1})") from None
    except json.JSONDecodeError as error:
        raise Unreadable(f"not JSON: {error.msg} (character {error.pos + 1})") from None
    except RecursionError:
        raise Unreadable("the JSON is nested too deep") from None
    except ValueError:
        raise Unreadable("the JSON holds a number with too many digits") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise Unreadable(f"the key {_shown(name)} is there twice")
            seen.add(name)
    return found


def _no_constant(name: str) -> NoReturn:
    raise Unreadable(f"not JSON: {name} is not a JSON number")


def _sentence(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [_problem(problem) for problem in problems[:_SHOWN_PROBLEMS]]
    more = len(problems) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def _problem(problem: Any) -> str:
    where = ".".join(
        _shown(part) if isinstance(part, str) else str(part) for part in problem["loc"]
    )
    message = str(problem["msg"])
    if problem["type"] == "extra_forbidden":
        return f"{where}: there is no such key"
    if problem["type"] == "json_invalid" and "hex escape" in message:
        return "a text holds a lone surrogate: half of a pair of \\u escapes"
    if problem["type"] == "json_invalid":
        return "not JSON: " + message.removeprefix("Invalid JSON: ")
    message = message.removeprefix("Value error, ").removeprefix("Input ")
    return f"{where}: {message}" if where else message


def _shown(name: str) -> str:
    """A key as text that fits a sentence and is plain ASCII if it is odd."""
    short = name if len(name) <= 60 else name[:57] + "..."
    return short if short.isalnum() or short.isidentifier() else json.dumps(short)


def check_type(headers: dict[bytes, bytes], *, lines: bool = False) -> None:
    """Refuse a body that does not say that it is JSON. Raises :class:`ApiError` (415).

    That it must say so keeps out the requests which a browser sends for any page without asking.
    """
    given = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
    if given not in (_LINES_TYPES if lines else _JSON_TYPES):
        wanted = "application/x-ndjson" if lines else "application/json"
        raise ApiError(415, "unsupported_media_type", f"the content type must be {wanted}")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise ApiError(415, "unsupported_media_type", "compressed bodies are not read")


class BodyBudget:
    """Bytes of bodies in memory, over all requests."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.used = 0

    def take(self, size: int) -> None:
        """Count bytes. Raises :class:`ApiError` (429) if there are too many."""
        if self.used + size > self._limit:
            raise ApiError(
                429, "too_much_data", "too many large requests are in hand", retry_after_s=5
            )
        self.used += size

    def give_back(self, size: int) -> None:
        """The bytes are not needed any more."""
        self.used -= size


async def read_body(
    receive: Receive, headers: dict[bytes, bytes], *, limit: int, seconds: float
) -> bytes:
    """The whole body.

    Raises:
        ApiError: 413, longer than ``limit`` bytes; 408, not there after ``seconds``.
        ClientGone: the client closed the connection.
    """
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(seconds):
            return await _receive_all(receive, limit)
    except TimeoutError:
        raise ApiError(408, "timeout", f"the body was not there after {seconds:g} s") from None


async def _receive_all(receive: Receive, limit: int) -> bytes:
    first = True
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        if first and not more:
            if len(chunk) > limit:
                raise _too_large(limit)
            return chunk
        first = False
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        if not more:
            return b"".join(chunks)


def _too_large(limit: int) -> ApiError:
    return ApiError(413, "too_large", f"the body is larger than {limit} bytes")

"""Reading texts of other projects: JSON, Python literals, answers of models, packed tests."""

from __future__ import annotations

import ast
import base64
import binascii
import io
import json
import pickle
import re
import zlib
from typing import Any, NoReturn

from executor.errors import InputError

MAX_BYTES = 256 << 20
"""Of tests that are unpacked."""

_FENCE = re.compile(
    r"^[ \t]*```[ \t]*([\w+-]*)[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE
)
_PYTHON = frozenset({"", "py", "python", "python3"})


def code_of(answer: str) -> str:
    """The program in a model's answer: the last fenced block of Python, or all of it."""
    blocks = [body for name, body in _FENCE.findall(answer) if name.lower() in _PYTHON]
    return blocks[-1] if blocks else answer


def from_json(text: str, what: str) -> Any:
    """The value of a JSON text. Raises :class:`InputError`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} is not JSON: {error}") from None


def from_json_or_literal(text: str, what: str) -> Any:
    """The value of a text that is JSON or a literal of Python. Raises :class:`InputError`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise InputError(f"{what} is neither JSON nor a literal") from None


def packed_tests(text: str, what: str) -> Any:
    """Tests as LiveCodeBench packs them: JSON, or base64 of zlib of a pickled JSON text.

    The pickle is read by an unpickler that can make nothing but texts. Raises :class:`InputError`.
    """
    if text.lstrip()[:1] in ("[", "{"):
        return from_json(text, what)
    try:
        packed = base64.b64decode(text, validate=True)
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(packed, MAX_BYTES)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise InputError(f"{what} is neither JSON nor packed: {error}") from None
    if unpacker.unconsumed_tail:
        raise InputError(f"{what} takes more than {MAX_BYTES} bytes unpacked")
    if not unpacker.eof:
        raise InputError(f"{what} is neither JSON nor packed: it is cut off")
    return from_json(_unpickled_text(data, what), what)


def _unpickled_text(data: bytes, what: str) -> str:
    try:
        text = _TextsOnly(io.BytesIO(data)).load()
    except InputError:
        raise
    except Exception as error:  # whatever hostile bytes do to the unpickler
        raise InputError(f"{what} is no pickled text: {type(error).__name__}") from None
    if type(text) is dict:  # as SandboxFusion packs them
        text = text.get("input_output")
    if type(text) is not str:
        raise InputError(f"{what} is no pickled text but {type(text).__name__}")
    return text


class _TextsOnly(pickle.Unpickler):
    """Finds no class and no function, so that nothing can be called."""

    def find_class(self, module: str, name: str, /) -> NoReturn:
        """Refuse."""
        raise InputError(f"the pickle asks for {module}.{name}: it is no text")

    def persistent_load(self, pid: Any, /) -> NoReturn:
        """Refuse."""
        raise InputError("the pickle asks for an object of somebody else's: it is no text")

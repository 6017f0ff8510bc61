"""The type of a value from its source text, read as text: nothing is parsed or evaluated.

For statistics only. The texts may come from a model, so the scan is linear and accepts anything.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_FLOAT = re.compile(r"[-+]?(?:\d[\d_]*)?(?:\.[\d_]*)?(?:[eE][-+]?\d+)?")
_INTEGER = re.compile(r"[-+]?(?:\d[\d_]*|0[xX][\da-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+)")
_COMPLEX = re.compile(r"[-+]?[\d.eE_]*(?:[-+][\d.eE_]+)?[jJ]")
_STRING = re.compile(r"(?i:[rub]{0,2})['\"]")
_CALL = re.compile(r"(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*)\(")
_CONSTANTS = {
    "True": "bool",
    "False": "bool",
    "None": "NoneType",
    "...": "ellipsis",
    "Ellipsis": "ellipsis",
}
_CONSTRUCTORS = frozenset({
    "bool", "bytes", "bytearray", "complex", "dict", "float", "frozenset", "int", "list", "range",
    "set", "str", "tuple", "Counter", "OrderedDict", "defaultdict", "deque", "Decimal", "Fraction",
    "date", "datetime", "time", "timedelta", "timezone",
})  # fmt: skip
_OPENING, _CLOSING = "([{", ")]}"

OTHER = "expression"
"""Type of a text that is neither a literal nor a call of a known constructor."""


class _Shape(NamedTuple):
    """The structure of a text, strings skipped."""

    closes: int | None
    """Place at which the bracket that opens the text is closed."""
    commas: int
    """Commas outside all brackets."""
    inner_commas: int
    """Commas inside one bracket, and so for colons."""
    inner_colons: int


def type_of_value(text: str) -> str:
    """Name of the type of the value that an expression writes, or ``expression``."""
    text = text.strip()
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    prefix = _STRING.match(text)
    if prefix:
        return "bytes" if "b" in prefix[0].lower() else "str"
    if any(char.isdigit() for char in text[:3]):
        for pattern, name in ((_INTEGER, "int"), (_FLOAT, "float"), (_COMPLEX, "complex")):
            if pattern.fullmatch(text):
                return name
    if text[:1] and text[0] in _OPENING:
        return _type_of_display(text)
    call = _CALL.match(text)
    return call[1] if call and call[1] in _CONSTRUCTORS else OTHER


def type_of_arguments(text: str) -> str:
    """As :func:`type_of_value` for one argument; several arguments are a ``tuple``."""
    return "tuple" if _shape(text).commas else type_of_value(text)


def _type_of_display(text: str) -> str:
    shape = _shape(text)
    if shape.closes != len(text) - 1:
        return OTHER
    empty = not text[1:-1].strip()
    if text[0] == "[":
        return "list"
    if text[0] == "{":
        return "dict" if empty or shape.inner_colons else "set"
    if empty or shape.inner_commas:
        return "tuple"
    return type_of_value(text.strip("() \t\n"))


def _shape(text: str) -> _Shape:
    depth = commas = inner_commas = inner_colons = 0
    closes = None
    at = 0
    while at < len(text):
        char = text[at]
        if char in "'\"":
            at = _end_of_string(text, at)
            continue
        if char in _OPENING:
            depth += 1
        elif char in _CLOSING:
            depth -= 1
            if depth == 0 and closes is None:
                closes = at
        elif char == ",":
            commas += depth == 0
            inner_commas += depth == 1
        elif char == ":":
            inner_colons += depth == 1
        at += 1
    return _Shape(closes, commas, inner_commas, inner_colons)


def _end_of_string(text: str, start: int) -> int:
    """The position after a string; one that is not closed reaches to the end."""
    quote = text[start] * 3 if text.startswith(text[start] * 3, start) else text[start]
    at = start + len(quote)
    while at < len(text):
        if text[at] == "\\":
            at += 2
        elif text.startswith(quote, at):
            return at + len(quote)
        else:
            at += 1
    return len(text)

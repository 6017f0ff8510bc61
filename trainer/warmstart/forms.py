"""Forms of expressions and of whole functions, by type: generated programs are made of these.

In a text, ``{x}`` is the value that a step works on, ``{y}`` a second parameter, and the other
names are constants that :func:`constants` draws.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

INT, STR, LIST, BOOL = "int", "str", "list[int]", "bool"

LETTERS = "abcdef"
"""Strings are made of few letters, so that a small tokenizer and a small model can know them."""


@dataclass(frozen=True, slots=True)
class Step:
    """An expression of one value: ``takes`` becomes ``gives``."""

    takes: str
    gives: str
    text: str
    hint: str
    """What it does, without its constants: part of an induction task's message."""


@dataclass(frozen=True, slots=True)
class Whole:
    """The body of a function, lines indented below ``def``; the last one returns."""

    takes: tuple[str, ...]
    gives: str
    body: str
    hint: str
    level: int
    """1 to 3, as for chains of steps."""


STEPS: tuple[Step, ...] = (
    Step(INT, INT, "{x} + {k}", "add"),
    Step(INT, INT, "{x} - {k}", "subtract"),
    Step(INT, INT, "-{x}", "negate"),
    Step(INT, BOOL, "{x} > {k}", "is greater"),
    Step(INT, STR, "str({x})", "as text"),
    Step(INT, LIST, "[{x}] * {m}", "repeat"),
    Step(STR, STR, "{x}[::-1]", "reverse"),
    Step(STR, STR, "{x}.upper()", "upper case"),
    Step(STR, STR, "{x} + '{w}'", "append text"),
    Step(STR, STR, "'{w}' + {x}", "prepend text"),
    Step(STR, STR, "{x} * {m}", "repeat"),
    Step(STR, STR, "{x}[{i}:]", "drop first"),
    Step(STR, STR, "{x}[:{i}]", "take first"),
    Step(STR, STR, "{x}.replace('{c}', '')", "remove letter"),
    Step(STR, INT, "len({x})", "length"),
    Step(STR, BOOL, "'{c}' in {x}", "has letter"),
    Step(LIST, LIST, "{x}[::-1]", "reverse"),
    Step(LIST, LIST, "{x}[{i}:]", "drop first"),
    Step(LIST, LIST, "{x}[:{i}]", "take first"),
    Step(LIST, LIST, "{x} + [{k}]", "append"),
    Step(LIST, LIST, "[{k}] + {x}", "prepend"),
    Step(LIST, LIST, "[v + {k} for v in {x}]", "add to each"),
    Step(LIST, LIST, "[v for v in {x} if v > {k}]", "keep greater"),
    Step(LIST, INT, "len({x})", "length"),
    Step(LIST, INT, "max({x})", "maximum"),
    Step(LIST, INT, "{x}[{b}]", "element"),
    Step(LIST, INT, "{x}[-1]", "last"),
    Step(LIST, BOOL, "{k} in {x}", "contains"),
)

WHOLES: tuple[Whole, ...] = (
    Whole((INT,), INT, "return {x}", "same", 1),
    Whole((STR,), STR, "return {x}", "same", 1),
    Whole((LIST,), LIST, "return {x}", "same", 1),
    Whole((INT, STR), STR, "return {y}", "second", 1),
    Whole((STR, LIST), LIST, "return {y}", "second", 1),
    Whole((LIST, STR), LIST, "return {x}", "first", 1),
    Whole((STR, INT), STR, "return {x}", "first", 1),
    Whole((INT, INT), INT, "return {x} + {y}", "sum of two", 1),
    Whole((INT, INT), INT, "return {x} - {y}", "difference of two", 1),
    Whole((INT, INT), INT, "return max({x}, {y})", "greater of two", 1),
    Whole((INT, INT), BOOL, "return {x} > {y}", "first greater", 1),
    Whole((INT, INT), LIST, "return [{y}, {x}]", "swap", 1),
    Whole((STR, STR), STR, "return {x} + {y}", "join two", 1),
    Whole((LIST, INT), LIST, "return {x} + [{y}]", "append given", 1),
    Whole((LIST, INT), BOOL, "return {y} in {x}", "contains given", 1),
    Whole((LIST, INT), LIST, "return [v + {y} for v in {x}]", "add given", 2),
    Whole((LIST, LIST), LIST, "return {x} + {y}", "join two", 1),
    Whole(
        (INT,), INT, "if {x} > {k}:\n    return {x} - {j}\nreturn {x} + {m}", "add or subtract", 2
    ),
    Whole(
        (INT,), STR, "if {x} > {k}:\n    return '{w}'\nreturn '{c}'", "text if greater", 2
    ),
    Whole(
        (STR,), STR, "if len({x}) > {i}:\n    return {x}[::-1]\nreturn {x} + '{c}'",
        "reverse if long", 2,
    ),
    Whole(
        (STR,), STR, "if '{c}' in {x}:\n    return {x}.upper()\nreturn {x}[{i}:]",
        "upper if letter", 2,
    ),
    Whole(
        (LIST,), LIST, "if len({x}) > {m}:\n    return {x}[::-1]\nreturn {x} + [{k}]",
        "reverse or append", 2,
    ),
    Whole(
        (LIST,), LIST,
        "r = []\nfor v in {x}:\n    if v > {k}:\n        r = [v] + r\nreturn r",
        "greater reversed", 3,
    ),
    Whole(
        (STR,), STR, "r = ''\nfor v in {x}:\n    if v != '{c}':\n        r = v + r\nreturn r",
        "reverse without letter", 3,
    ),
    Whole(
        (STR,), STR, "r = ''\nfor v in {x}:\n    r += v * {m}\nreturn r", "repeat letters", 3
    ),
)  # fmt: skip
"""Forms with two parameters, with branches and with loops."""


def constants(rng: random.Random) -> Mapping[str, str]:
    """A value for each constant of a form."""
    c, d = rng.sample(LETTERS, 2)
    return {
        "k": str(rng.randint(1, 6)),
        "j": str(rng.randint(1, 3)),
        "m": str(rng.randint(2, 3)),
        "i": str(rng.randint(1, 3)),
        "b": str(rng.randint(0, 1)),
        "c": c,
        "d": d,
        "w": "".join(rng.choices(LETTERS, k=rng.randint(1, 2))),
    }


def value(kind: str, rng: random.Random) -> str:
    """A literal of a type, small. No letter and no number comes twice: what stands where, a small
    model then learns much sooner."""
    if kind == INT:
        return str(rng.randint(0, 9))
    if kind == STR:
        return repr("".join(rng.sample(LETTERS, rng.randint(1, 5))))
    return repr(rng.sample(range(10), rng.randint(1, 4)))

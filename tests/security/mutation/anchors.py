"""Places in a source, by the name of the definition around them: lines may come and go."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

_TOKEN = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|\w+|\S')


class NoPlace(Exception):
    """Nothing fits, or more than one place does."""


class Place(NamedTuple):
    """From the first character to the one behind the last."""

    start: int
    end: int


def find(file: str, text: str, within: str, old: str) -> Place:
    """The only place in a definition where these words stand, whatever the white space between.

    ``within``: a function, ``Class.method`` or a constant; empty for the whole file.
    """
    region = _definition(file, text, within) if within else Place(0, len(text))
    words = (re.escape(token) for token in _TOKEN.findall(old))
    pattern = re.compile(r"\s*".join(words))
    found = list(pattern.finditer(text, region.start, region.end))
    if len(found) != 1:
        raise NoPlace(f"{file}: {len(found)} places in {within or 'the file'} fit {old!r}, not 1")
    return Place(found[0].start(), found[0].end())


def _definition(file: str, text: str, name: str) -> Place:
    definitions = _of_python(text) if file.endswith(".py") else _of_c(text)
    found = [place for known, place in definitions if known == name]
    if len(found) != 1:
        raise NoPlace(f"{file}: {len(found)} definitions of {name}, not 1")
    return found[0]


def _of_python(text: str) -> Iterator[tuple[str, Place]]:
    """Classes, functions and constants, with those of classes as ``Class.name``."""
    starts = [0]
    for line in text.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line.decode()))

    def walk(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, Place]]:
        for node in body:
            assert node.end_lineno is not None
            place = Place(starts[node.lineno - 1], starts[node.end_lineno])
            for name in _names(node):
                yield prefix + name, place
            if isinstance(node, ast.ClassDef):
                yield from walk(node.body, f"{prefix}{node.name}.")

    yield from walk(ast.parse(text).body, "")


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


_C_FUNCTION = re.compile(r"^[A-Za-z_][^;={}()]*?\b(\w+)\([^;{}]*\)\s*\{.*?^\}", re.M | re.S)


def _of_c(text: str) -> Iterator[tuple[str, Place]]:
    """Functions: from the line of their name to the brace in the first column."""
    for match in _C_FUNCTION.finditer(text):
        yield match[1], Place(match.start(), match.end())

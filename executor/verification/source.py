"""Putting programs together."""

from __future__ import annotations

import re
from collections.abc import Sequence

_BLANK = re.compile(r"(?:[ \t\f]*+(?:#[^\n]*+)?+\r?\n)*+[ \t\f]*+")
"""Empty lines and comments. Possessive, as all of these: each character is looked at once."""
_STRING = re.compile(
    r"[rRuU]?+(?:"
    r'"""(?:[^"\\]|\\.|"(?!""))*+"""'
    r"|'''(?:[^'\\]|\\.|'(?!''))*+'''"
    r'|"(?:[^"\\\n]|\\.)*+"'
    r"|'(?:[^'\\\n]|\\.)*+')",
    re.DOTALL,
)
_GAP = r"(?:[ \t\f]|\\\r?\n)"
_BETWEEN = re.compile(rf"{_GAP}*+")
_FUTURE = re.compile(
    rf"from{_GAP}++__future__{_GAP}++import(?:{_GAP}*+\([^()]*+\)|{_GAP}++(?:[^\n;#(\\]|\\\r?\n)++)"
)
_END = re.compile(rf"{_GAP}*+(?:;[ \t\f]*+|(?:\#[^\n]*+)?+(?:\r?\n|\Z))")


def with_imports(program: str, imports: Sequence[str]) -> str:
    """Put import lines before a program; ``__future__`` imports stay first.

    These can stand at the head of a program only, behind a docstring at most. What looks like one
    further down, in a string say, is left as it is. A byte order mark at the beginning is no part
    of the program, as where CPython reads a file.
    """
    program = program.removeprefix("\ufeff")
    if not imports:
        return program
    end = _end_of_futures(program) if "__future__" in program else 0
    head, lines = program[:end].rstrip("; \t\f\n"), "\n".join(imports)
    return f"{head}\n{lines}\n{program[end:]}" if end else f"{lines}\n{program}"


def _end_of_futures(program: str) -> int:
    """End of the last ``__future__`` import at the head of a program; 0 if there is none."""
    found = 0
    at = _end_of_docstring(program)
    while True:
        at = _BLANK.match(program, at).end()  # type: ignore[union-attr] # it matches nothing, too
        statement = _FUTURE.match(program, at)
        end = statement and _END.match(program, statement.end())
        if not end:
            return found
        found = at = end.end()


def _end_of_docstring(program: str) -> int:
    """End of the docstring's statement; 0 if there is none."""
    start = at = _BLANK.match(program).end()  # type: ignore[union-attr]
    while part := _STRING.match(program, at):
        at = _BETWEEN.match(program, part.end()).end()  # type: ignore[union-attr]
    end = _END.match(program, at) if at > start else None
    return end.end() if end else 0

"""Putting programs together."""

from __future__ import annotations

import re
from collections.abc import Sequence

_FUTURE = re.compile(r"^from[ \t]+__future__[ \t]+import[ \t][^\n]*$", re.MULTILINE)


def with_imports(program: str, imports: Sequence[str]) -> str:
    """Put import lines before a program; ``__future__`` imports stay first."""
    if not imports:
        return program
    lines = list(imports)
    if "__future__" in program:
        lines = _FUTURE.findall(program) + lines
        program = _FUTURE.sub("", program)
    return "\n".join(lines) + "\n" + program

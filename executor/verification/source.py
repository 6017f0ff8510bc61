"""Putting programs together, and naming what is run."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence

from executor.interpreter import INTERPRETER
from executor.models import Limits, Rules

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


class ContentKeys:
    """Names what is run: SHA-256 of everything that an outcome depends on."""

    def __init__(self, limits: Limits, rules: Rules) -> None:
        context = [limits.model_dump_json(), rules.model_dump_json(), INTERPRETER]
        self._context = hashlib.sha256(json.dumps(context).encode())

    def key(self, *parts: object) -> str:
        """The key of some content, as hexadecimal digits."""
        digest = self._context.copy()
        digest.update(json.dumps(parts, separators=(",", ":")).encode())
        return digest.hexdigest()

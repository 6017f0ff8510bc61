"""The context that all verdicts of one executor share, and the keys of what is run under it."""

from __future__ import annotations

import hashlib
import json

from executor.models import Limits, Rules

# Escaped, two surrogates and the character that they make would be one text.
_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class Context:
    """Limits, rules and backend of an executor."""

    def __init__(self, limits: Limits, rules: Rules, *, backend: str, interpreter: str) -> None:
        self.limits = limits
        self.rules = rules
        self.backend = backend
        self.interpreter = interpreter
        fixed = [limits.model_dump_json(), rules.model_dump_json(), interpreter]
        self._digest = hashlib.sha256(json.dumps(fixed).encode())

    def key(self, *parts: object) -> str:
        """SHA-256, in hexadecimal, of everything that an outcome depends on."""
        digest = self._digest.copy()
        digest.update(_json(parts).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

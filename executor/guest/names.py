"""The names whose replacement counts as tampering: those that checkers of programs rest on.

Nothing depends on what is found: verdicts are computed elsewhere. It is for people who want to see
when a model starts to cheat.
"""

from __future__ import annotations

import sys

_MODULES = (
    "builtins", "marshal", "math", "re", "collections", "itertools", "functools", "operator",
    "copy", "heapq", "bisect", "string", "datetime", "json",
    "executor.grammar.encode", "executor.guest.program",
)  # fmt: skip


def watched() -> tuple[dict[str, object], ...]:
    """The namespaces to watch: of modules that are loaded."""
    return tuple(sys.modules[name].__dict__ for name in _MODULES if name in sys.modules)


class Names:
    """Compares names with what they stood for at first. What is put back is not noticed."""

    def __init__(self, namespaces: tuple[dict[str, object], ...]) -> None:
        self._known = [
            (namespace, name, value)
            for namespace in namespaces
            for name, value in namespace.items()
        ]

    def changed(self) -> bool:
        """Whether a name stands for something else now."""
        # No method of a value is called: a program may have put it there.
        for namespace, name, value in self._known:
            if name not in namespace or namespace[name] is not value:
                return True
        return False

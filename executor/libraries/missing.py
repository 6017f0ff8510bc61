"""What to tell a program that imports a module that is not there."""

from __future__ import annotations

import re

from executor.errors import ConfigurationError
from executor.libraries.declared import providers

_MESSAGE = r"No module named '([A-Za-z_][\w.]*)'"
_LAST_LINE = re.compile(rb"(?:^|\n)ModuleNotFoundError: " + _MESSAGE.encode() + rb"\s*\Z")
_ANY_LINE = re.compile(rf"ModuleNotFoundError: {_MESSAGE}(?=\s|\Z)")
_READ_BYTES = 4096


def hint(error: str, message: str) -> str:
    """Which library sets have the module that an error of an import names; empty if none has.

    ``error`` is the exception's type name; ``message`` may be of a program, and is only looked at.
    """
    if error != "ModuleNotFoundError":
        return ""
    found = re.fullmatch(_MESSAGE, message)
    return _sets(found[1]) if found else ""


def hint_of_stderr(text: bytes) -> str:
    """The same for a script, from the end of what it wrote."""
    found = _LAST_LINE.search(text[-_READ_BYTES:])
    return _sets(found[1].decode()) if found else ""


def hint_in(text: str) -> str:
    """The same for the first such error that a text tells of, wherever it stands."""
    found = _ANY_LINE.search(text)
    return _sets(found[1]) if found else ""


def _sets(module: str) -> str:
    try:
        names = providers(module)
    except ConfigurationError:  # a file of one's own that is broken by now
        return ""
    if not names:
        return ""
    return f"; library {'set' if len(names) == 1 else 'sets'} with it: {', '.join(names)}"

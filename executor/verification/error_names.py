"""Names of exceptions: which can be the outcome of an error task, and which texts give one."""

from __future__ import annotations

import re

NO_ERROR = "NoError"
"""The outcome of an error-deduction task whose program raises nothing."""

MAX_NAME = 100
"""Characters of a name that a task may ask for."""

_ALIASES = {
    "IOError": "OSError",
    "EnvironmentError": "OSError",
    "socket.error": "OSError",
    "select.error": "OSError",
    "os.error": "OSError",
    "socket.timeout": "TimeoutError",
}
"""Names that Python gives a class besides its own."""
_AROUND = " \t\r\n'\"`.!"
_CALL = re.compile(r"\(.*", re.DOTALL)


def error_name(text: str) -> str:
    """The exception's name in an answer, empty if there is none.

    Quotes, a full stop, a message (after a colon, or in brackets) and the module are dropped; of a
    class with several names it is the one that Python prints.
    """
    name = _CALL.sub("", text.strip(_AROUND).split(":", 1)[0]).strip(_AROUND)
    name = _ALIASES.get(name, name).rsplit(".", 1)[-1].strip()
    return _ALIASES.get(name, name)


def is_answerable(name: str) -> bool:
    """Whether an answer can name the class of an exception that a program raised.

    Its name may be any text. One that is no identifier cannot be told from what surrounds it, a
    very long one is cut, and a class called ``NoError`` cannot be told from its opposite.
    """
    return name.isidentifier() and len(name) <= MAX_NAME and name != NO_ERROR

"""The state that a process of tests starts from, however it was started.

Background jobs of shells ignore SIGINT, ``nohup`` makes them ignore SIGHUP, services have no
standard input and variables of their own: every child of a test would inherit it.
"""

from __future__ import annotations

import os
import signal

_IGNORED_BY_PYTHON = {signal.SIGPIPE, signal.SIGXFSZ}
_OF_CONSOLES = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE"}
"""Variables that change what commands print."""


def as_from_a_terminal() -> None:
    """Put back what shells and supervisors change: signals, descriptors, umask, variables."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in signal.valid_signals() - _IGNORED_BY_PYTHON:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _open_standard_descriptors()
    os.umask(0o022)
    for name in list(os.environ):
        is_setting = name.startswith("EXECUTOR_") and name != "EXECUTOR_CACHE"
        if is_setting or name in _OF_CONSOLES:
            del os.environ[name]


def _open_standard_descriptors() -> None:
    """A closed one would be the number of the next file that is opened."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one

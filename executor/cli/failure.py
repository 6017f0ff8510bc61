"""Bad ends of a command: exit codes, and the one line that says why."""

from __future__ import annotations

EXIT_OK = 0
"""Every row was processed (malformed rows count: they got their line)."""
EXIT_SCRIPT_STOPPED = 1
"""``run``: a limit, a signal or the policy ended the script."""
EXIT_UNUSABLE = 2
"""Arguments or files that cannot be used."""
EXIT_INFRA = 3
"""The platform failed for at least one row."""
EXIT_DISAGREEMENT = 4
"""Several backends were compared, and disagree on at least one row."""
EXIT_BROKEN_PIPE = 141
"""The reader of our output went away; what the shell reports for a process ended by SIGPIPE."""


class CommandError(Exception):
    """Ends the command with one line on standard error. The text is written for people."""

    def __init__(self, message: str, exit_code: int = EXIT_UNUSABLE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class OutputClosed(Exception):
    """The reader of our output has gone away: end quietly."""

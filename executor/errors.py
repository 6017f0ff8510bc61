"""Every exception that the executor raises, in one tree.

::

    ExecutorError
    ├── ConfigurationError      an option or a combination of options that cannot work
    │   └── UnknownBackend      no backend of that name
    ├── BackendUnavailable      this machine cannot run the backend; says what is missing
    ├── ExecutorClosed          a call on an executor that is closed, or closed under the call
    ├── InputError              a file, a row or a request that cannot be read
    │   ├── MalformedRow        one row of a file; carries its line number
    │   └── LanguageUnavailable the backend has no interpreter for the script's language
    ├── ServiceError            a service answered what it should not have
    │   └── ServiceUnavailable  no endpoint did the work, in spite of retries
    └── ProtocolError           a worker broke the frame protocol (handled inside: the worker is
                                replaced and the run retried; never reaches a caller)

A program that fails, a wrong answer, a limit that was hit: none of these is an exception. They are
outcomes (:class:`executor.models.Status`), and so is an infrastructure fault that outlived its
retries (``infra``).
"""

from __future__ import annotations


class ExecutorError(Exception):
    """Base of all errors raised by this package. The text is written for people."""


class ConfigurationError(ExecutorError):
    """An option or a combination of options that cannot work."""


class UnknownBackend(ConfigurationError):
    """No backend has the name that was asked for."""


class BackendUnavailable(ExecutorError):
    """This machine cannot run the backend. The text says what is missing and how to get it."""


class ExecutorClosed(ExecutorError):
    """The executor is closed, or was closed while the call was waiting."""


class InputError(ExecutorError):
    """A file that cannot be read as what it should be."""


class MalformedRow(InputError):
    """One row of an input file that cannot be used; the other rows are not affected."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


class ServiceError(ExecutorError):
    """A remote service answered something that is no answer to what it was asked."""


class ServiceUnavailable(ServiceError):
    """No endpoint of a service did the work, in spite of retries. Try again later, or elsewhere."""


class LanguageUnavailable(InputError):
    """The backend has no interpreter for the script's language. The text says what it needs."""


class ProtocolError(ExecutorError):
    """Bytes from a worker that are not a well-formed frame."""

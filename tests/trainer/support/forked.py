"""Processes that have imported veRL already, as children of the tests' (``fork_server``)."""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[3]
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
_READ_AT_IMPORT = ("VERL_", "RAY_", "TORCH", "OMP_", "VLLM_", "HYDRA_", "TOKENIZERS_", "TQ_")
_OF_A_RUN = ("VERL_FILE_LOGGER_PATH",)


class Forked(subprocess.Popen[str]):
    """As Popen for ``[python, "-m", MODULE, ...]`` or ``-c``, in a session of its own.

    With ``env``, ``stdout=PIPE`` and ``stderr``; for nothing else that Popen can do.
    """

    def _execute_child(self, args: Sequence[str], *given: Any) -> None:
        """In the place of fork and exec."""
        folder, environ, (input_, *pipes) = given[4], given[5], given[9:15]
        request = {
            "arguments": list(args)[1:],
            "environment": dict(os.environ if environ is None else environ),
            "folder": os.fspath(folder or os.getcwd()),
            "umask": 0o022,
            "blocked": [],
            "ignored": [],
        }
        standard = [input_, pipes[2], pipes[4]]
        self.pid = _server().start(
            request, [number if given_ < 0 else given_ for number, given_ in enumerate(standard)]
        )
        self._child_created = True
        self._close_pipe_fds(input_, *pipes)  # type: ignore[attr-defined]


class _Server:
    """The process that forks, and the connection to it."""

    def __init__(self) -> None:
        # Imported here: what reads this is a process of its own.
        from tests.trainer.support.fork_server import receive

        self._connection, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.trainer.support.fork_server", str(theirs.fileno())],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        started = receive(self._connection)
        assert started is not None, "the fork server has not started"
        self.environ: dict[str, str] = started[0]
        atexit.register(self.end)

    def start(self, request: object, descriptors: list[int]) -> int:
        """A process, which is a child of this one from then on."""
        from tests.trainer.support.fork_server import receive, send

        prctl = ctypes.CDLL(None).prctl
        prctl(_SUBREAPER, 1)
        try:
            send(self._connection, request, descriptors)
            answer = receive(self._connection)
        finally:
            prctl(_SUBREAPER, 0)
        assert answer is not None, "the fork server has ended"
        return int(answer[0])

    def end(self) -> None:
        """End it."""
        self._connection.close()
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


def process_class(environ: Mapping[str, str]) -> type[subprocess.Popen[str]]:
    """What starts a process with such an environment: :class:`Forked` where that is the same.

    Not where coverage is measured: it follows processes that are started, not those that fork.
    """
    if sys.platform != "linux" or any(name.startswith("COVERAGE") for name in os.environ):
        return subprocess.Popen
    there = _server().environ
    same = all(
        there.get(name) == value
        for name, value in environ.items()
        if name.startswith(_READ_AT_IMPORT) and name not in _OF_A_RUN
    )
    return Forked if same else subprocess.Popen


@functools.cache
def _server() -> _Server:
    """Started once, by the first test that wants it."""
    return _Server()

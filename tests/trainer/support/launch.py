"""Have a run's fork server start a worker of Ray, and wait for its end; else be the interpreter."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys

_PYTHON = os.environ["TRAINER_TESTS_PYTHON"]
_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_LOOKED_AT = (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGINT)


def main(arguments: list[str]) -> int:
    """Returns the exit code of the worker."""
    is_worker = bool(arguments) and arguments[0].endswith("_worker.py")
    if not is_worker:
        os.execv(_PYTHON, [_PYTHON, *arguments])
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect("\0" + os.environ["TRAINER_TESTS_FORKS"])
    except OSError:
        os.execv(_PYTHON, [_PYTHON, *arguments])
    body = json.dumps(_request(arguments)).encode()
    socket.send_fds(server, [len(body).to_bytes(8)], [0, 1, 2])
    server.sendall(body)
    pid = int(server.recv(32))
    for number in _PASSED_ON:
        signal.signal(number, lambda number, _frame: os.kill(pid, number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the worker is in this group, and gets its own
    status = server.recv(32)
    code = int(status) if status else 1
    return code if code >= 0 else 128 - code


def _request(arguments: list[str]) -> dict[str, object]:
    mask = os.umask(0)
    os.umask(mask)
    return {
        "arguments": arguments,
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "umask": mask,
        "group": os.getpgrp(),
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "ignored": [n for n in _LOOKED_AT if signal.getsignal(n) is signal.SIG_IGN],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

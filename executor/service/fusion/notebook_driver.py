"""Runs the cells of a notebook inside a script's sandbox. The host only sends this file's text.

Needs IPython. Standard input: one JSON object::

    cells        texts, in order
    cell_s       seconds for each cell, or 0
    total_s      seconds for all
    wall_s       seconds until this process must be at its end, whatever runs
    output       bytes of output of all cells together
    result       name of the file for the results

The file gets one line of JSON for each cell that ended, ``{"stdout", "stderr", "display",
"error"}``, perhaps ``{"unfinished": {...}}`` for one that had written something and did not end,
and a last one, ``{"end": "done" | "exit" | "cell_limit" | "total_limit" | "wall_limit" |
"output_limit" | "died"}``. This process ends as the kernel's did.

The kernel is a child of its own: the parent can end it whatever the code in it does.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import select
import signal
import sys
import tempfile
import time
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

_FIGURES = "module://matplotlib_inline.backend_inline"
"""Shows the figures of a cell at its end, as Jupyter does, where there is matplotlib."""


def main() -> None:
    """Start the kernel and watch it."""
    request = json.loads(sys.stdin.buffer.read())
    results = os.open(request["result"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    ended, ends = os.pipe()
    streams = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115 - as long as the process
    kernel = os.fork()
    if not kernel:
        os.close(ended)
        run_kernel(request, results, ends, streams)
    os.close(ends)
    reason = watch(request, ended)
    if reason.endswith("_limit"):
        os.kill(kernel, signal.SIGKILL)
    _, status = os.waitpid(kernel, 0)
    if reason in ("cell_limit", "total_limit", "wall_limit", "died"):
        written = os.fstat(results).st_size
        report_unfinished(results, request["output"] - written, streams)
    os.write(results, json.dumps({"end": reason}).encode() + b"\n")
    if reason == "died" and os.WIFSIGNALED(status):
        die_by(os.WTERMSIG(status))
    os._exit(0 if reason != "died" else os.waitstatus_to_exitcode(status) or 1)


def watch(request: dict[str, Any], ended: int) -> str:
    """Follow the kernel, a byte for each event; returns why it is at its end."""
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    last = time.monotonic() + request["wall_s"]
    total_deadline = cell_deadline = float("inf")
    while True:
        deadline = min(total_deadline, cell_deadline, last)
        left = deadline - time.monotonic()
        ready = poll.poll(max(0, round(left * 1000)))
        if not ready and deadline == last:
            return "wall_limit"
        if not ready:
            return "total_limit" if deadline == total_deadline else "cell_limit"
        event = os.read(ended, 1)
        now = time.monotonic()
        if event == b"r":
            total_deadline = now + request["total_s"]
        elif event == b"c":
            cell_deadline = now + request["cell_s"] if request["cell_s"] else float("inf")
        else:
            return {b"d": "done", b"x": "exit", b"o": "output_limit"}.get(event, "died")


def report_unfinished(results: int, limit: int, files: list[Any]) -> None:
    """Report what the cell that was running has written, if it has; the kernel is gone."""
    taken = take(files, limit // 2)
    if any(taken):
        cell = {"stdout": taken[0], "stderr": taken[1], "display": [], "error": []}
        write_all(results, json.dumps({"unfinished": cell}).encode() + b"\n")


def take(files: list[Any], limit: int) -> list[str]:
    """Read what was written to each file since the last call, up to ``limit`` bytes and one."""
    taken = []
    for file in files:
        size = os.fstat(file.fileno()).st_size
        data = os.pread(file.fileno(), min(size, max(0, limit) + 1), 0)
        os.ftruncate(file.fileno(), 0)
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        taken.append(data.decode("utf-8", "replace"))
    return taken


def die_by(number: int) -> None:
    """End as the kernel did, so that the harness sees why."""
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(1)


def run_kernel(request: dict[str, Any], results: int, ends: int, files: list[Any]) -> None:
    """Run the cells and leave the process."""
    streams = Streams(files)
    shell = make_shell()
    written = 0
    os.write(ends, b"r")
    for cell in request["cells"]:
        os.write(ends, b"c")
        shell.run_cell(cell, store_history=True)
        stdout, stderr = streams.take(request["output"] - written)
        line = json.dumps(
            {
                "stdout": stdout,
                "stderr": stderr,
                "display": shell.shown,
                "error": shell.errors,
            }
        ).encode()
        written += len(line)
        if written > request["output"]:
            os.write(ends, b"o")
            os._exit(0)
        write_all(results, line + b"\n")
        shell.shown, shell.errors = [], []
        if shell.left:
            break
    os.write(ends, b"x" if shell.left else b"d")
    os._exit(0)


def write_all(handle: int, data: bytes) -> None:
    """Write all of ``data``."""
    while data:
        data = data[os.write(handle, data) :]


class Streams:
    """Standard output and error of this process and its children, from cell to cell."""

    def __init__(self, files: list[Any]) -> None:
        self.files = files
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, name, file in zip((1, 2), ("stdout", "stderr"), files, strict=True):
            os.dup2(file.fileno(), number)
            stream = io.TextIOWrapper(
                io.FileIO(number, "w", closefd=False),
                encoding="utf-8",
                errors="backslashreplace",
                write_through=True,
            )
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)

    def take(self, limit: int) -> list[str]:
        """Read what was written since the last call; like :func:`take`."""
        for name in ("stdout", "stderr"):
            with contextlib.suppress(Exception):  # a cell may have put anything there
                getattr(sys, name).flush()
        return take(self.files, limit)


class Hook(DisplayHook):
    """Keeps the value of a cell's last expression."""

    def write_output_prompt(self) -> None:
        """Nothing: there is no terminal."""

    def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
        """Keep the bundle."""
        assert self.shell is not None
        self.shell.shown.append(bundle(format_dict))

    def finish_displayhook(self) -> None:
        """Nothing: there is no terminal."""


class Publisher(DisplayPublisher):
    """Keeps what ``display()`` shows."""

    def publish(self, data: Any, *args: Any, **kwargs: Any) -> None:
        """Keep the bundle."""
        self.shell.shown.append(bundle(data))

    def clear_output(self, wait: bool = False) -> None:
        """Nothing: what was shown stays."""


class Shell(InteractiveShell):
    """A shell that keeps what it shows."""

    displayhook_class = Hook
    display_pub_class = Publisher

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.shown: list[Any] = []
        self.errors: list[Any] = []
        self.left = False
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]

    def _showtraceback(self, etype: Any, evalue: Any, stb: Any) -> None:
        lines = [line for part in stb for line in str(part).split("\n")]
        self.errors.append({"ename": etype.__name__, "evalue": text(evalue), "traceback": lines})

    def ask_exit(self) -> None:
        """``exit`` ends the notebook."""
        self.left = True


def make_shell() -> Any:
    """A shell without history and colours."""
    os.environ["IPYTHONDIR"] = tempfile.mkdtemp()
    os.environ.setdefault("HOME", os.environ["IPYTHONDIR"])
    os.environ.setdefault("MPLBACKEND", _FIGURES)
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.history_load_length = 0
    shell = Shell.instance(config=config)
    shell.system = shell.system_raw  # type: ignore[method-assign]
    return shell


def bundle(data: dict[str, Any]) -> dict[str, Any]:
    """A MIME bundle as JSON can hold it; binary data in base64, as notebooks have it."""
    return {str(kind): plain(value) for kind, value in data.items()}


def plain(value: Any) -> Any:
    """JSON of a part of a bundle, or its text."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, str):
        return value
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError, RecursionError):
        return text(value)


def text(value: Any) -> str:
    """``str(value)``, whatever that does."""
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"


if __name__ == "__main__":
    main()

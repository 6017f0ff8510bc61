"""A real server for benchmarks, and the processor time and memory that it costs."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import NamedTuple

import psutil

_START_S = 120


class Cpu(NamedTuple):
    """Processor seconds."""

    host: float
    """Of the server's own process."""
    guests: float
    """Of everything that it has started."""

    def since(self, before: Cpu) -> Cpu:
        return Cpu(self.host - before.host, self.guests - before.guests)


def cpu_of(process: psutil.Process) -> Cpu:
    """What a process and everything below it have used so far, those that ended included."""
    own = process.cpu_times()
    guests = own.children_user + own.children_system
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            guests += times.user + times.system + times.children_user + times.children_system
    return Cpu(own.user + own.system, guests)


class Server(NamedTuple):
    """A server that is ready."""

    url: str
    process: psutil.Process

    def cpu(self) -> Cpu:
        return cpu_of(self.process)

    def memory_mib(self) -> float:
        """Resident memory of the server's own process."""
        return float(self.process.memory_info().rss) / 2**20


@contextlib.contextmanager
def serving(*options: str) -> Iterator[Server]:
    """``python -m executor serve`` on a free port of this machine, for a block."""
    command = [sys.executable, "-m", "executor", "serve", "--port", "0", *options]
    with tempfile.NamedTemporaryFile(suffix=".log") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log
        )
        try:
            url = f"http://127.0.0.1:{_port(process, log.name)}"
            _wait_until_ready(process, url)
            yield Server(url, psutil.Process(process.pid))
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _port(process: subprocess.Popen[bytes], log: str) -> int:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        with open(log, "rb") as lines:
            for line in lines:
                with contextlib.suppress(ValueError):
                    entry = json.loads(line)
                    if entry.get("event") == "listening":
                        return int(entry["port"])
        time.sleep(0.1)
    raise SystemExit("the server did not start")


def _wait_until_ready(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError), urllib.request.urlopen(f"{url}/readyz"):
            return
        time.sleep(0.1)
    raise SystemExit("the server did not become ready")

"""The real server as a subprocess, for tests of the service."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil

EXECUTOR = ("-m", "executor")
QUICK = ("-m", "tests.support.quick_serve")


class Server:
    """``python -m executor serve`` on a free port; its log is kept."""

    def __init__(
        self,
        *options: str,
        env: dict[str, str] | None = None,
        program: Sequence[str] = EXECUTOR,
    ) -> None:
        command = [sys.executable, *program, "serve", "--port", "0", *options]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
            cwd=Path(__file__).parents[2],
        )
        self.log: list[dict[str, Any]] = []
        self.raw_log = b""
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                self.raw_log += line
                with contextlib.suppress(ValueError):
                    self.log.append(json.loads(line))
                    self._lines.put(self.log[-1])
        self._lines.put(None)

    def wait_for(self, event: str, seconds: float = 60) -> dict[str, Any]:
        """The next line of the log with this event."""
        deadline = time.monotonic() + seconds
        while True:
            line = self._lines.get(timeout=max(0.01, deadline - time.monotonic()))
            assert line is not None, f"the server ended: {self.raw_log.decode()}"
            if line.get("event") == event:
                return line

    def start(self, *, ready: bool = True) -> None:
        """Wait until it listens, and until it is ready."""
        self.port = self.wait_for("listening")["port"]
        if ready:
            self.wait_for("ready")

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def exit_code(self, seconds: float = 30) -> int:
        code = self.process.wait(seconds)
        self._reader.join(5)
        return code

    def below(self) -> list[psutil.Process]:
        """Everything that the server has started."""
        with contextlib.suppress(psutil.NoSuchProcess):
            found: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
            return found
        return []

    def stop(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            self.signal()
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(5)


@contextlib.contextmanager
def running(
    *options: str,
    ready: bool = True,
    env: dict[str, str] | None = None,
    program: Sequence[str] = QUICK,
) -> Iterator[Server]:
    """A server for a block. All its probes, with ``EXECUTOR``, take some seconds of a processor."""
    server = Server(*options, env=env, program=program)
    try:
        server.start(ready=ready)
        yield server
    finally:
        server.stop()


def stats(server: Server) -> dict[str, Any]:
    """The ``stats`` of ``/v1/info``."""
    answer = httpx.get(f"{server.url}/v1/info", timeout=60)
    found: dict[str, Any] = answer.json()["stats"]
    return found


def verifying(server: Server) -> int:
    """How many triplets and tasks of callers are being worked on: probes are none of these."""
    return int(stats(server)["items_running"]["verify"])


def busy(found: dict[str, Any]) -> int:
    """How much the server has in hand, by its statistics."""
    names = ("in_flight", "waiting", "scripts_running", "scripts_waiting")
    return sum(int(found[name]) for name in names) + sum(map(int, found["queue_depth"].values()))

"""What the original SandboxFusion does with ``/run_code`` for Python (isolation ``none``).

The original cannot be installed where the tests run. This is a real HTTP server that runs the code
as a plain process, and has the original's ways with output: it is read once, after the process has
ended, and only up to a bound; what is beyond is cut without a word. (The original's false time
limit at 2 MB is not imitated.) Paths are not confined.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CUT = 219_000
"""Characters of output that are passed on."""


class Emulator:
    """Requests that were served, and the faults that are wanted.

    ``lose``: how many of the next answers come without their output, though all is well.
    ``fail``: how many of the next requests get a SandboxError.
    ``spoil``: changes the standard output of answers, if it is set.
    """

    def __init__(self, python: str) -> None:
        self.python = python
        self.lose = 0
        self.fail = 0
        self.lose_when_concurrent = False
        self.spoil: Any = None
        self.requests = 0
        self.running = 0
        self.lost = 0
        self._lock = threading.Lock()
        self.url = ""

    def take(self, counter: str) -> bool:
        """Count a fault down."""
        with self._lock:
            wanted: int = getattr(self, counter)
            setattr(self, counter, max(0, wanted - 1))
            return wanted > 0

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Serve one request."""
        with self._lock:
            self.requests += 1
            self.running += 1
        try:
            if self.take("fail"):
                return {"status": "SandboxError", "message": "exception on running code: x"}
            return self._run(request)
        finally:
            with self._lock:
                self.running -= 1

    def _run(self, request: dict[str, Any]) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="fusion-") as directory:
            for name, content in (request.get("files") or {}).items():
                path = Path(directory, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(base64.b64decode(content))
            script = Path(directory, "tmpab12.py")
            script.write_text(request["code"])
            ran = self._process([self.python, str(script)], directory, request)
            files = {
                name: base64.b64encode(Path(directory, name).read_bytes()).decode()
                for name in request.get("fetch_files") or []
                if Path(directory, name).is_file()
            }
        good = ran["status"] == "Finished" and ran["return_code"] == 0
        concurrent = self.lose_when_concurrent and self.running > 1
        if good and (concurrent or self.take("lose")):
            self.lost += 1
            ran["stdout"] = ""
        if self.spoil is not None:
            ran["stdout"] = self.spoil(ran["stdout"])
        return {
            "status": "Success" if good else "Failed",
            "message": "",
            "compile_result": None,
            "run_result": ran,
            "executor_pod_name": None,
            "files": files,
        }

    @staticmethod
    def _process(command: list[str], directory: str, request: dict[str, Any]) -> dict[str, Any]:
        started = time.monotonic()
        out, errors = Path(directory, ".out"), Path(directory, ".err")
        with out.open("wb") as stdout, errors.open("wb") as stderr:
            process = subprocess.Popen(
                command,
                cwd=directory,
                stdin=subprocess.PIPE,
                stdout=stdout,
                stderr=stderr,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
                start_new_session=True,
            )
            timed_out = False
            try:
                process.communicate(
                    (request.get("stdin") or "").encode(), timeout=request["run_timeout"]
                )
            except subprocess.TimeoutExpired:
                timed_out = True
                process.kill()
                process.wait()
        return {
            "status": "TimeLimitExceeded" if timed_out else "Finished",
            "execution_time": time.monotonic() - started,
            "return_code": None if timed_out else process.returncode,
            "stdout": out.read_bytes()[:CUT].decode("utf-8", "replace"),
            "stderr": errors.read_bytes()[:CUT].decode("utf-8", "replace"),
        }


@contextmanager
def emulated(python: str = sys.executable) -> Iterator[Emulator]:
    """A server for a block; programs run on ``python``."""
    emulator = Emulator(python)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path != "/run_code":
                self.send_error(404)
                return
            data = json.dumps(emulator.answer(json.loads(body))).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    emulator.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield emulator
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

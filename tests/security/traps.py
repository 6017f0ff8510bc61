"""Canaries on the host: secrets and listeners that no attack may ever reach.

Their names hold the process id, so that several sessions of tests may run at once.
"""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from pathlib import Path
from typing import Self

SECRET = "bait-of-the-host-4711"
FILE_SECRET = "bait-in-a-file-4711"
SECRET_FILE = Path(tempfile.gettempdir()).resolve() / f"security-bait-{os.getpid()}" / "secret.txt"
VARIABLES = ("HF_TOKEN", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY", "BAIT")
ABSTRACT = f"\0security-bait-{os.getpid()}"
PORT = 20_000 + os.getpid() % 12_000


class Traps:
    """Sets bait for a block: environment variables, a file, listeners on a port and on a name."""

    def __enter__(self) -> Self:
        self.touched: list[str] = []
        self._before = {name: os.environ.get(name) for name in VARIABLES}
        os.environ.update(dict.fromkeys(VARIABLES, SECRET))
        SECRET_FILE.parent.mkdir(exist_ok=True)
        SECRET_FILE.write_text(FILE_SECRET)
        self._listeners = [self._listen(socket.AF_INET, ("0.0.0.0", PORT))]
        self._listeners.append(self._listen(socket.AF_UNIX, ABSTRACT))
        return self

    def __exit__(self, *_: object) -> None:
        for listener in self._listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for name, value in self._before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        SECRET_FILE.unlink()
        SECRET_FILE.parent.rmdir()

    def _listen(self, family: int, address: object) -> socket.socket:
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)  # type: ignore[arg-type]
        listener.listen()
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        try:
            while True:
                caller, _ = listener.accept()
                caller.close()
                self.touched.append(str(listener.getsockname()))
        except OSError:
            return  # closed: the end

"""Stores of both kinds, with a real Redis server where Debian's package is installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from executor import StoreSettings
from tests.support.waiting import wait_until


class RedisServer:
    """``redis-server`` on a socket in a folder of its own; it keeps nothing."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "redis.sock"
        self.key = folder / "store.key"
        self.key.write_bytes(os.urandom(32))
        self.process = subprocess.Popen(
            [
                *("redis-server", "--port", "0", "--unixsocket", str(self.socket)),
                *("--save", "", "--appendonly", "no", "--dir", str(folder)),
            ],
            stdout=subprocess.DEVNULL,
        )

    @property
    def settings(self) -> StoreSettings:
        return StoreSettings(url=f"unix://{self.socket}", key_file=str(self.key), patience_s=10)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    if shutil.which("redis-server") is None:
        if os.environ.get("CI"):
            pytest.fail("redis-server is missing: apt-get install redis-server")
        pytest.skip("redis-server is missing")
    pytest.importorskip("redis")
    server = RedisServer(tmp_path)
    try:
        wait_until(server.socket.exists)
        yield server
    finally:
        server.stop()


@pytest.fixture
def sqlite(tmp_path: Path) -> StoreSettings:
    return StoreSettings(url=str(tmp_path / "verdicts.db"))


@pytest.fixture(params=["sqlite", "redis"])
def settings(request: pytest.FixtureRequest) -> StoreSettings:
    """The same test on each kind."""
    found = request.getfixturevalue(request.param)
    return found if isinstance(found, StoreSettings) else found.settings

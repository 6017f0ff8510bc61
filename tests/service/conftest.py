"""The real server, started once for all tests of the service."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support.programs import PATIENT_FLAGS
from tests.support.server import EXECUTOR, Server, running


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """``executor serve`` with nsjail, in a process of its own, ready; without a token."""
    with running(program=EXECUTOR) as started:
        yield started


@pytest.fixture(scope="session")
def patient_server() -> Iterator[Server]:
    """Limits that an endless loop does not reach within a test: what ends it is something else."""
    with running("--workers", "2", *PATIENT_FLAGS) as started:
        yield started


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """A client of that server."""
    with httpx.Client(base_url=server.url, timeout=60) as made:
        yield made

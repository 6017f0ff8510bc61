"""The real service for tests of its client."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "service"))

from service_server import Server, running
from support import PATIENT_FLAGS


@pytest.fixture(scope="session")
def service() -> Iterator[Server]:
    """``executor serve`` with two workers, ready; without a token.

    Limits that nothing reaches within a test, unless it asks for shorter ones.
    """
    with running("--workers", "2", *PATIENT_FLAGS) as started:
        yield started

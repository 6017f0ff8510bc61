"""The real service for tests of its client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.programs import PATIENT_FLAGS
from tests.support.server import Server, running


@pytest.fixture(scope="session")
def service() -> Iterator[Server]:
    """``executor serve`` with two workers, ready; without a token.

    Limits that nothing reaches within a test, unless it asks for shorter ones.
    """
    with running("--workers", "2", *PATIENT_FLAGS) as started:
        yield started

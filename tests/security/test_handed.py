"""Inputs that once got a wrong verdict get the right one, on every backend, time and again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.security.backends import ALL_ATTACKS, BACKENDS
from tests.security.handed import EXPECTED, SCRIPTS, run_all
from tests.support.engines import each

HOLES = Path(__file__).parents[3] / "shared/data/holes"
TIMES = 3
CHOSEN = ["nsjail", "docker", "service", *(["gvisor"] if ALL_ATTACKS else [])]
"""gVisor takes seconds for what others do in milliseconds."""

pytestmark = [
    pytest.mark.long,
    pytest.mark.data,
    pytest.mark.skipif(not HOLES.exists(), reason="the shared data sets are not here"),
    pytest.mark.timeout(1800),
]


@pytest.mark.parametrize("backend", each(*CHOSEN))
async def test_inputs_of_known_holes_are_right(backend: str) -> None:
    BACKENDS[backend].require()
    assert await run_all(HOLES, backend, TIMES) == []


def test_no_file_of_rows_is_left_out() -> None:
    present = {str(path.relative_to(HOLES)) for path in HOLES.glob("*/*.jsonl")}
    assert present == {*EXPECTED, "09-host-state/in.jsonl"}
    assert all((HOLES / script.path).exists() for script in SCRIPTS)

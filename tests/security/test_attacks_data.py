"""Attacks beside numpy, pandas and sympy: nsjail with the library set ``data``.

A share of the suite, and what only native code can do.
"""

from __future__ import annotations

import pytest

from tests.security.attacks import assert_gains_nothing, pairs
from tests.security.cases.base import Case
from tests.security.cases.native import CASES
from tests.security.records import Records
from tests.security.traps import Traps

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # the library set may have to be built
NATIVE = [pytest.param("data", case, id=f"data-{case.category}-{case.name}") for case in CASES]


@pytest.mark.parametrize(("backend", "case"), [*pairs("data"), *NATIVE])
def test_attack_gains_nothing_beside_libraries(backend: str, case: Case, records: Records) -> None:
    assert_gains_nothing(backend, case, records)


def test_no_attack_touches_the_bait(records: Records, traps: Traps) -> None:
    records.of("data")
    assert traps.touched == []

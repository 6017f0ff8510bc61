"""Every attack has one of its outcomes on every backend, and its neighbours notice nothing."""

from __future__ import annotations

import pytest
from security_backends import ALL_ATTACKS, BACKENDS
from security_cases import Case, all_cases
from security_records import Records
from security_table import DOCUMENT
from security_traps import Traps

pytestmark = [
    pytest.mark.timeout(3000 if ALL_ATTACKS else 500),  # the first test of a backend runs them all
    pytest.mark.xdist_group("attacks"),  # one process: attacks are run once, and the bait is there
]


def pairs() -> list[object]:
    """Each backend with each case that it runs."""
    return [
        pytest.param(backend, case, id=f"{backend}-{case.category}-{case.name}")
        for backend, attacked in BACKENDS.items()
        for case in all_cases()
        if attacked.takes(case)
    ]


@pytest.mark.parametrize(("backend", "case"), pairs())
def test_attack_gains_nothing(backend: str, case: Case, records: Records) -> None:
    BACKENDS[backend].require()
    record = records.of(backend).records[case.name]
    if case.refused:
        assert case.refused in record.failure, record
    else:
        assert record.result is not None, record.failure
        case.verify(backend, record.result)
    assert record.disturbed == ()


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_is_left_after_the_attacks(backend: str, records: Records) -> None:
    BACKENDS[backend].require()
    assert records.of(backend).left == ()


def test_no_attack_touches_the_bait(records: Records, traps: Traps) -> None:
    for backend, attacked in BACKENDS.items():
        if not attacked.why_not():
            records.of(backend)
    assert traps.touched == []


def test_the_table_lists_every_case() -> None:
    listed = DOCUMENT.read_text()
    missing = [case.name for case in all_cases() if f"| {case.name} | {case.why} |" not in listed]
    assert missing == [], "python tests/security/security_table.py writes it"

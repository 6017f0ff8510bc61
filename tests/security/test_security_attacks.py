"""Every attack has one of its outcomes on nsjail, and its neighbours notice nothing."""

from __future__ import annotations

import pytest
from security_attacks import assert_gains_nothing, marks, pairs
from security_cases import Case, all_cases
from security_records import Records
from security_table import DOCUMENT
from security_traps import Traps

pytestmark = marks


@pytest.mark.parametrize(("backend", "case"), pairs("nsjail"))
def test_attack_gains_nothing(backend: str, case: Case, records: Records) -> None:
    assert_gains_nothing(backend, case, records)


def test_nothing_is_left_after_the_attacks(records: Records) -> None:
    assert records.of("nsjail").left == ()


def test_no_attack_touches_the_bait(records: Records, traps: Traps) -> None:
    records.of("nsjail")
    assert traps.touched == []


def test_the_table_lists_every_case() -> None:
    listed = DOCUMENT.read_text()
    missing = [case.name for case in all_cases() if f"| {case.name} | {case.why} |" not in listed]
    assert missing == [], "python tests/security/security_table.py writes it"

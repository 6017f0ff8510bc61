"""Every attack has one of its outcomes on nsjail, and its neighbours notice nothing."""

from __future__ import annotations

import pytest

from tests.security.attacks import assert_gains_nothing, marks, pairs
from tests.security.cases.base import Case, all_cases
from tests.security.records import Records
from tests.security.table import DOCUMENT
from tests.security.traps import Traps

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
    assert missing == [], "python -m tests.security.table writes it"

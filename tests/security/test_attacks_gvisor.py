"""Every attack has one of its outcomes on gVisor, and its neighbours notice nothing."""

from __future__ import annotations

import pytest

from tests.security.attacks import assert_gains_nothing, marks, pairs
from tests.security.cases.base import Case
from tests.security.records import Records
from tests.security.traps import Traps

pytestmark = [*marks, pytest.mark.docker]


@pytest.mark.parametrize(("backend", "case"), pairs("gvisor"))
def test_attack_gains_nothing(backend: str, case: Case, records: Records) -> None:
    assert_gains_nothing(backend, case, records)


def test_nothing_is_left_after_the_attacks(records: Records) -> None:
    assert records.of("gvisor").left == ()


def test_no_attack_touches_the_bait(records: Records, traps: Traps) -> None:
    records.of("gvisor")
    assert traps.touched == []

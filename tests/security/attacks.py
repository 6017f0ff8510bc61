"""What the tests of the attacks share. Each backend has a module, so that they overlap in time."""

from __future__ import annotations

import pytest

from tests.security.backends import ALL_ATTACKS, BACKENDS
from tests.security.cases.base import Case, all_cases
from tests.security.records import Records

marks = [
    pytest.mark.long,
    pytest.mark.timeout(3000 if ALL_ATTACKS else 1800),  # the first test of a module runs them all
]


def pairs(backend: str) -> list[object]:
    """The backend with each case that it runs."""
    return [
        pytest.param(backend, case, id=f"{backend}-{case.category}-{case.name}")
        for case in all_cases()
        if BACKENDS[backend].takes(case)
    ]


def assert_gains_nothing(backend: str, case: Case, records: Records) -> None:
    """The attack had one of its outcomes, and no neighbour another than its usual one."""
    record = records.of(backend).records[case.name]
    if case.refused:
        assert case.refused in record.failure, record
    else:
        assert record.result is not None, record.failure
        case.verify(backend, record.result)
    assert record.disturbed == ()

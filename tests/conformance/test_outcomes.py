"""The same cases have the same outcomes on every backend, but for a list of exceptions."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from tests.cases.conformance import Case, all_cases
from tests.conformance.backends import BACKENDS, BackendUnderTest
from tests.conformance.exceptions import EXEMPTIONS, Exemption, table
from tests.conformance.runs import Seen, run_cases
from tests.support.engines import each

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

Outcomes = dict[str, Seen]


@cache
def cases_by_category() -> dict[str, list[Case]]:
    found: dict[str, list[Case]] = {}
    for case in all_cases():
        found.setdefault(case.category, []).append(case)
    return found


def outcomes(backend: BackendUnderTest) -> Outcomes:
    with ExitStack() as stack:
        settings = backend.start(stack)
        cases = filter(backend.takes, all_cases())
        return asyncio.run(run_cases(settings, cases, cpu_s=backend.cpu_s))


@pytest.fixture(scope="module")
def reference() -> Outcomes:
    """What nsjail says."""
    return outcomes(BACKENDS["nsjail"])


OTHERS = each(*(name for name in BACKENDS if name != "nsjail"))


@pytest.fixture(scope="module", params=OTHERS)
def other(request: pytest.FixtureRequest) -> tuple[str, Outcomes]:
    """What another backend says."""
    backend = BACKENDS[request.param]
    backend.require()
    return request.param, outcomes(backend)


def test_there_are_some_hundred_cases() -> None:
    assert len(all_cases()) > 400


def test_nsjail_gives_every_case_its_status(reference: Outcomes) -> None:
    known = {case.name: case.status for case in all_cases() if case.status is not None}
    wrong = {
        name: (status, reference[name])
        for name, status in known.items()
        if reference[name].outcome["status"] != status
    }
    assert wrong == {}


@pytest.mark.parametrize("category", list(cases_by_category()))
def test_outcomes_are_those_of_nsjail(
    category: str, reference: Outcomes, other: tuple[str, Outcomes]
) -> None:
    name, seen = other
    differing = {
        case.name: (reference[case.name], seen[case.name])
        for case in cases_by_category()[category]
        if case.name in seen
        and seen[case.name].outcome != reference[case.name].outcome
        and not any(entry.covers(name, case.name) for entry in EXEMPTIONS)
    }
    assert differing == {}


def test_exceptions_occur_as_they_are_listed(
    reference: Outcomes, other: tuple[str, Outcomes]
) -> None:
    name, seen = other
    wrong = [
        (case, entry.instead, reference[case], seen[case])
        for entry in EXEMPTIONS
        for case in seen
        if entry.covers(name, case) and not is_as_listed(entry, reference[case], seen[case])
    ]
    assert wrong == []


def is_as_listed(entry: Exemption, expected: Seen, found: Seen) -> bool:
    statuses = entry.statuses or (expected.outcome["status"],)
    return found.outcome != expected.outcome and found.outcome["status"] in statuses


def test_every_exception_is_about_cases_and_backends_that_exist() -> None:
    names = [case.name for case in all_cases()]
    for entry in EXEMPTIONS:
        assert set(entry.backends) <= BACKENDS.keys()
        for pattern in entry.cases:
            lone = Exemption(entry.backends, (pattern,), "", "")
            assert any(lone.covers(entry.backends[0], name) for name in names), pattern


def test_the_documentation_shows_the_exceptions() -> None:
    text = (ROOT / "docs" / "backends.md").read_text()
    assert text.count(f"\n\n{table()}\n\n") == 1
    assert text.count("| backend | cases |") == 1

"""The attacks of a session are run once for each backend; the tests look at what came of them."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import cast

import pytest

from tests.security.guard import Guard
from tests.security.records import Outcome, Records, save, summary
from tests.security.traps import Traps

RECORDS = pytest.StashKey[Records]()
OUTCOMES: list[Outcome] = []


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "attack(category, number, why): a test that is a case of the suite by itself",
    )
    config.stash[RECORDS] = Records()


@pytest.fixture(scope="package", autouse=True)
def guard() -> Iterator[Guard]:
    """Ends all that the tests have started if the machine is in danger.

    This and the bait are for the tests of this folder: others follow in the same process.
    """
    with Guard() as started:
        yield started


@pytest.fixture(scope="package")
def traps(guard: Guard) -> Iterator[Traps]:
    """Canaries on the host."""
    with Traps() as set_up:
        yield set_up


@pytest.fixture(scope="package")
def records(request: pytest.FixtureRequest, traps: Traps) -> Records:
    """What came of the attacks that were selected, by backend."""
    found = request.config.stash[RECORDS]
    found.select(request.session.items)
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        outcome = item.config.stash[RECORDS].outcome(item, report.outcome)
        if outcome:  # a property, because tests may run in other processes than the summary
            report.user_properties.append(("attack", outcome))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    found = [value for name, value in report.user_properties if name == "attack"]
    OUTCOMES.extend(cast(list[Outcome], found))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if OUTCOMES:
        terminalreporter.section("attacks")
        terminalreporter.write(summary(OUTCOMES))
        save(OUTCOMES)

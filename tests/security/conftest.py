"""The attacks of a session are run once for each backend; the tests look at what came of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
sys.path += [
    str(TESTS / name) for name in ("conformance", "service") if str(TESTS / name) not in sys.path
]

from security_guard import Guard  # noqa: E402 - after the path
from security_records import Records, summary  # noqa: E402

RECORDS = pytest.StashKey[Records]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "attack(category, number, why): a test that is a case of the suite by itself",
    )
    config.stash[RECORDS] = Records()


@pytest.fixture(scope="session", autouse=True)
def guard() -> Iterator[Guard]:
    """Ends all that the tests have started if the machine is in danger."""
    with Guard() as started:
        yield started


@pytest.fixture(scope="session")
def records(request: pytest.FixtureRequest, guard: Guard) -> Records:
    """What came of the attacks that were selected, by backend."""
    found = request.config.stash[RECORDS]
    found.select(request.session.items)
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    marker = item.get_closest_marker("attack")
    if marker is not None and report.when == "call":
        item.config.stash[RECORDS].add_test(item.name, marker.args, report.outcome)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    found = terminalreporter.config.stash[RECORDS]
    if found:
        terminalreporter.section("attacks")
        terminalreporter.write(summary(found))
    found.save()

"""What came of the attacks in one session of tests, and what the table is made of."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.security.backends import BACKENDS, AttackedBackend
from tests.security.cases.base import Case
from tests.security.runs import Record, run_cases
from tests.support.engines import own_containers
from tests.support.leftovers import children, own_groups

SAVED = Path(__file__).parents[2] / "build" / "security-outcomes.json"


class Attacked(NamedTuple):
    """A backend after its attacks."""

    records: dict[str, Record]
    left: tuple[str, ...]
    """Processes, control groups, temporary files and containers that were not there before."""


Outcome = dict[str, str | int]
"""An attack on a backend, for the table: ``category``, ``number``, ``name``, ``why``, ``backend``,
``outcome``. Plain, so that it can cross processes."""


class Records:
    """Runs what was selected, once for each backend, when the first test asks."""

    def __init__(self) -> None:
        self._selected: dict[str, dict[str, Case]] = {}
        self._found: dict[str, Attacked] = {}
        self._cut_off: set[str] = set()
        """Where the attacks began and did not end: no test begins them again."""

    def select(self, items: Iterable[pytest.Item]) -> None:
        """Note the cases that the session's tests are about."""
        for item in items:
            backend, case = _parameters(item)
            if case is not None:
                self._selected.setdefault(backend, {})[case.name] = case

    def of(self, backend: str) -> Attacked:
        """What came of the attacks on a backend. Skips the test where that cannot be had."""
        BACKENDS[backend].require()
        if backend in self._cut_off:
            pytest.fail("the attacks did not come to their end: see the first test that failed")
        if backend not in self._found:
            cases = list(self._selected.get(backend, {}).values())
            self._cut_off.add(backend)
            self._found[backend] = asyncio.run(_attack(BACKENDS[backend], cases))
            self._cut_off.remove(backend)
        return self._found[backend]

    def outcome(self, item: pytest.Item, result: str) -> Outcome | None:
        """What the table says of a test that has ended; None if it is no attack."""
        backend, case = _parameters(item)
        marker = item.get_closest_marker("attack")
        if case is not None and backend in self._found:
            record = self._found[backend].records[case.name]
            told = record.outcome if result == "passed" else f"{record.outcome} (failed)"
            about = case.category, case.number, case.name, case.why
        elif marker is not None:
            category, number, why = marker.args
            backend, told = "service", "holds" if result == "passed" else result
            about = category, number, item.name.removeprefix("test_").replace("_", "-"), why
        else:
            return None
        names = ("category", "number", "name", "why", "backend", "outcome")
        return dict(zip(names, (*about, backend, told), strict=True))


def _parameters(item: pytest.Item) -> tuple[str, Case | None]:
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    case, backend = parameters.get("case"), parameters.get("backend")
    return str(backend), case if isinstance(case, Case) else None


def save(outcomes: Iterable[Outcome]) -> None:
    """Add to what earlier sessions have found, for :mod:`tests.security.table`."""
    known = {(o["name"], o["backend"]): o for o in load()}
    known |= {(o["name"], o["backend"]): o for o in outcomes}
    SAVED.parent.mkdir(exist_ok=True)
    SAVED.write_text(json.dumps(list(known.values()), indent=1))


def load() -> list[Outcome]:
    """What sessions on this machine have found."""
    return json.loads(SAVED.read_text()) if SAVED.exists() else []


async def _attack(backend: AttackedBackend, cases: list[Case]) -> Attacked:
    before = _present()
    async with backend.open() as executor:
        records = await run_cases(
            executor, cases, cpu_s=backend.cpu_s, containers=backend.containers
        )
    for _ in range(100):
        left = _present() - before
        if not left:
            break
        await asyncio.sleep(0.1)
    return Attacked(records, tuple(sorted(left)))


def _present() -> set[str]:
    found = {f"process {pid}" for pid in children()}
    found |= {f"control group {group}" for group in own_groups()}
    found |= {f"file {path}" for path in Path(tempfile.gettempdir()).glob("executor-*")}
    if not BACKENDS["docker"].why_not():
        found |= {f"container {name}" for name in own_containers()}
    return found


def by_case(outcomes: Iterable[Outcome]) -> dict[str, dict[str, Outcome]]:
    """The outcomes by case and backend, cases in the order of categories."""
    found: dict[str, dict[str, Outcome]] = {}
    for outcome in sorted(outcomes, key=lambda o: str(o["category"])):
        found.setdefault(str(outcome["name"]), {})[str(outcome["backend"])] = outcome
    return found


def summary(outcomes: Sequence[Outcome]) -> str:
    """Lines for the end of a session: each case with its outcomes, and how many there were."""
    cases = by_case(outcomes)
    width = max(map(len, cases)) + 2
    lines = ["case".ljust(width) + "".join(backend.ljust(18) for backend in BACKENDS)]
    lines += [
        name.ljust(width)
        + "".join(str(on[b]["outcome"] if b in on else "-").ljust(18) for b in BACKENDS)
        for name, on in cases.items()
    ]
    counts = Counter(str(outcome["backend"]) for outcome in outcomes)
    told = ", ".join(f"{count} on {backend}" for backend, count in counts.items())
    lines.append(f"{len(cases)} attacks: {told}")
    return "\n".join(line.rstrip() for line in lines) + "\n"

"""What came of the attacks in one session of tests, and what the table is made of."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from engine_support import own_containers
from security_backends import BACKENDS, AttackedBackend
from security_cases import Case
from security_runs import Record, run_cases
from support import children, own_groups

SAVED = Path(__file__).parents[2] / "build" / "security-outcomes.json"


class Attacked(NamedTuple):
    """A backend after its attacks."""

    records: dict[str, Record]
    left: tuple[str, ...]
    """Processes, control groups, temporary files and containers that were not there before."""


class Records:
    """Runs what was selected, once for each backend, when the first test asks."""

    def __init__(self) -> None:
        self._selected: dict[str, dict[str, Case]] = {}
        self._found: dict[str, Attacked] = {}
        self._tests: dict[str, dict[str, Any]] = {}

    def __bool__(self) -> bool:
        return bool(self._found or self._tests)

    def select(self, items: Iterable[pytest.Item]) -> None:
        """Note the cases that the session's tests are about."""
        for item in items:
            parameters = getattr(getattr(item, "callspec", None), "params", {})
            case, backend = parameters.get("case"), parameters.get("backend")
            if isinstance(case, Case) and isinstance(backend, str):
                self._selected.setdefault(backend, {})[case.name] = case

    def of(self, backend: str) -> Attacked:
        """What came of the attacks on a backend."""
        if backend not in self._found:
            cases = list(self._selected.get(backend, {}).values())
            self._found[backend] = asyncio.run(_attack(BACKENDS[backend], cases))
        return self._found[backend]

    def add_test(self, name: str, marker: Sequence[Any], outcome: str) -> None:
        """Note a test that is a case by itself."""
        category, number, why = marker
        self._tests[name] = {
            "category": category, "number": number, "why": why,
            "outcome": "holds" if outcome == "passed" else outcome,
        }  # fmt: skip

    def outcomes(self) -> dict[str, dict[str, str]]:
        """By backend, by case: the word for the table."""
        found = {
            backend: {name: record.outcome for name, record in attacked.records.items()}
            for backend, attacked in self._found.items()
        }
        return found

    def tests(self) -> dict[str, dict[str, Any]]:
        """The tests that are cases by themselves, by name."""
        return self._tests

    def save(self) -> None:
        """Add to what earlier sessions have found, for ``security_table``."""
        known = json.loads(SAVED.read_text()) if SAVED.exists() else {"cases": {}, "tests": {}}
        for backend, outcomes in self.outcomes().items():
            known["cases"].setdefault(backend, {}).update(outcomes)
        known["tests"].update(self._tests)
        SAVED.parent.mkdir(exist_ok=True)
        SAVED.write_text(json.dumps(known, indent=1))


async def _attack(backend: AttackedBackend, cases: list[Case]) -> Attacked:
    before = _present()
    async with backend.open() as executor:
        records = await run_cases(executor, cases, cpu_s=backend.cpu_s)
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


def summary(records: Records) -> str:
    """Lines for the end of a session: each case with its outcomes, and how many there were."""
    outcomes = records.outcomes()
    names = list(dict.fromkeys(name for found in outcomes.values() for name in found))
    width = max((len(name) for name in (*names, *records.tests())), default=0)
    columns = {
        backend: 2 + max(map(len, (*found.values(), backend)))
        for backend, found in outcomes.items()
    }
    lines = ["case".ljust(width + 2) + "".join(b.ljust(n) for b, n in columns.items())]
    lines += [
        name.ljust(width + 2)
        + "".join(outcomes[b].get(name, "-").ljust(n) for b, n in columns.items())
        for name in names
    ]
    lines += [f"{name.ljust(width + 2)}{test['outcome']}" for name, test in records.tests().items()]
    counts = Counter({backend: len(found) for backend, found in outcomes.items()})
    told = ", ".join(f"{count} on {backend}" for backend, count in counts.items())
    lines.append(f"attacks: {told or 'none'}; {len(records.tests())} tests of the service")
    return "\n".join(line.rstrip() for line in lines) + "\n"

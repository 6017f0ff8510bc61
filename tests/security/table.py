"""Writes docs/security-cases.md: every attack, what it tries, and what came of it on each backend.

    python -m pytest tests/security/test_attacks*.py tests/security/test_service.py
    python -m tests.security.table

The outcomes are those that runs of the tests on this machine have left in build/.
"""

# ruff: noqa: E501 - lines of the document

from __future__ import annotations

from pathlib import Path

from tests.security.backends import BACKENDS
from tests.security.cases.base import CATEGORIES
from tests.security.records import Outcome, by_case, load

DOCUMENT = Path(__file__).parents[2] / "docs" / "security-cases.md"
_HEAD = """\
# Attack cases

What `python -m pytest tests/security` tries, and what comes of it. Every attack runs in the real sandbox, with honest
programs and scripts beside it on the same pool and after it on the same guests; these must get exactly their usual
verdicts. An outcome is a status of the result; `ok` means that the attack ran to its end, and what it found was checked.
`refused` means that the call was refused before anything ran. `-`: not run there, or not yet in the runs that this
table was written from. gVisor is slow: CI runs one case in 24 there, `ALL_ATTACKS=1` all. `service` is
the HTTP service with nsjail behind it; `holds` is a test of the service by itself.
`data` is nsjail with the library set of that name (numpy, pandas, sympy): CI runs one case in eight there, and those
that need numpy, which run nowhere else.

Written by `python -m tests.security.table` from a run of the suite. No. is the case's number in the survey of
known attacks that the suite began with; cases without one were added.
"""


def document(outcomes: list[Outcome]) -> str:
    """The text of the document."""
    cases = by_case(outcomes)
    counts = {
        backend: sum(outcome["backend"] == backend for outcome in outcomes) for backend in BACKENDS
    }
    told = ", ".join(f"{count} on {backend}" for backend, count in counts.items())
    parts = [_HEAD, f"{len(cases)} cases: {told}.\n"]
    for letter, title in CATEGORIES.items():
        chosen = {name: on for name, on in cases.items() if _about(on)["category"] == letter}
        if chosen:
            parts.append(f"## {letter}. {title.capitalize()}\n\n{_table(chosen)}")
    return "\n".join(parts)


def _about(on: dict[str, Outcome]) -> Outcome:
    return next(iter(on.values()))


def _table(cases: dict[str, dict[str, Outcome]]) -> str:
    lines = [
        f"| no. | case | what it tries | {' | '.join(BACKENDS)} |",
        f"|---|---|---|{'---|' * len(BACKENDS)}",
    ]
    for name, on in cases.items():
        about = _about(on)
        cells = (str(on[b]["outcome"]) if b in on else "-" for b in BACKENDS)
        why = str(about["why"]).replace("|", "\\|")
        lines.append(f"| {about['number'] or ''} | {name} | {why} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(document(load()))

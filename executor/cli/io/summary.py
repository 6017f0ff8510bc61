"""Counts of a batch while it runs, and the tables at its end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from executor.models import Judgement, JudgeTask, Signal, Signals, Status, Usage, Verdict

if TYPE_CHECKING:
    from executor.api.base import ExecutorInfo

_GOOD = frozenset({Status.OK})
_OURS = frozenset({Status.INFRA})


class Tally:
    """Counts that every command keeps."""

    command = ""
    """The command's name."""

    def __init__(self) -> None:
        self.rows = 0
        self.bytes = 0
        """Of the input, done with."""
        self.cpu_ms = 0.0
        self.statuses: Counter[Status] = Counter()
        self.signals: Counter[Signal] = Counter()
        """Signs of cheating."""
        self.compared = 0
        """Rows that several backends did."""
        self.disagreements = 0
        """Rows on which they disagree."""
        self._started = monotonic()

    def start(self) -> None:
        """Start the clock."""
        self._started = monotonic()

    @property
    def elapsed_s(self) -> float:
        """Since :meth:`start`."""
        return monotonic() - self._started

    @property
    def rate(self) -> float:
        """Rows per second so far."""
        return self.rows / max(self.elapsed_s, 1e-6)

    @property
    def infra(self) -> bool:
        """Whether the platform failed for some row."""
        return bool(self.statuses[Status.INFRA])

    def headline(self) -> str:
        """The one figure that matters while it runs."""
        raise NotImplementedError

    def tables(self) -> list[RenderableType]:
        """The tables of the summary."""
        raise NotImplementedError

    def _compare(self, result: object) -> None:
        if hasattr(result, "disagreement"):
            self.compared += 1
            self.disagreements += result.disagreement is not None

    def _count_row(self, size: int, usage: Usage, signals: Signals | None = None) -> None:
        self.rows += 1
        self.bytes += size
        self.signals.update(signals or {})
        self.cpu_ms += usage.cpu_ms


class VerifyTally(Tally):
    """Counts of ``verify``."""

    command = "verify"

    def __init__(self) -> None:
        super().__init__()
        self.valid = 0

    def note(self, size: int, verdict: Verdict) -> None:
        """Count one row."""
        self._count_row(size, verdict.usage, verdict.signals)
        self._compare(verdict)
        self.statuses[verdict.status] += 1
        self.valid += verdict.valid

    def headline(self) -> str:
        """The share of valid rows."""
        return f"valid {_share(self.valid, self.rows)}"

    def tables(self) -> list[RenderableType]:
        """Rows by status."""
        return [_status_table(self.statuses, "rows")]


@dataclass(slots=True)
class _Scores:
    rows: int = 0
    answers: int = 0
    scored: int = 0
    total: float = 0.0

    def add(self, scores: tuple[float | None, ...]) -> None:
        known = [score for score in scores if score is not None]
        self.rows += 1
        self.answers += len(scores)
        self.scored += len(known)
        self.total += sum(known)

    @property
    def mean(self) -> str:
        return f"{self.total / self.scored:.3f}" if self.scored else "-"


class JudgeTally(Tally):
    """Counts of ``judge``."""

    command = "judge"

    def __init__(self) -> None:
        super().__init__()
        self._all = _Scores()
        self._by_task: dict[str, _Scores] = {}

    def note(self, size: int, task: JudgeTask, judgement: Judgement) -> None:
        """Count one row and its answers."""
        self._count_row(size, judgement.usage, judgement.signals)
        self._compare(judgement)
        self.statuses.update(judgement.statuses)
        self._all.add(judgement.scores)
        self._by_task.setdefault(task.task, _Scores()).add(judgement.scores)

    def note_malformed(self, size: int) -> None:
        """Count a row that could not be read."""
        self._count_row(size, Usage())
        self.statuses[Status.MALFORMED] += 1

    def headline(self) -> str:
        """The mean score of all answers."""
        return f"mean score {self._all.mean}"

    def tables(self) -> list[RenderableType]:
        """Scores by task type, and answers by status."""
        table = _table("task", "rows", "answers", "mean score")
        for task, scores in self._by_task.items():
            table.add_row(task, f"{scores.rows:,}", f"{scores.answers:,}", scores.mean)
        return [*([table] if self._by_task else []), _status_table(self.statuses, "answers")]


def print_summary(
    console: Console, command: str, tally: Tally, info: ExecutorInfo, ended: str = ""
) -> None:
    """Print the tables and a line on what it took; ``ended`` says if it stopped early."""
    per_row = tally.cpu_ms / max(tally.rows, 1)
    took = (
        f"{command}: {tally.rows:,} rows in {tally.elapsed_s:.1f} s ({tally.rate:,.0f} rows/s), "
        f"{tally.headline()}"
    )
    cost = (
        f"CPU in the sandbox {tally.cpu_ms / 1000:.1f} s ({per_row:.2f} ms per row), "
        f"backend {info.backend}, {info.interpreter}, {info.workers} workers"
    )
    parts: list[RenderableType] = [*tally.tables(), Text(took, style="bold"), Text(cost)]
    if tally.signals:
        seen = ", ".join(f"{signal} {count:,}" for signal, count in tally.signals.most_common())
        parts.append(Text(f"signs of cheating: {seen}", style="yellow"))
    if tally.compared:
        text = f"disagreement on {tally.disagreements:,} of {tally.compared:,} rows"
        parts.append(Text(text, style="bold red" if tally.disagreements else "bold green"))
    if not info.isolated:
        parts.append(Text(f"WARNING: backend {info.backend}: NO ISOLATION", style="bold red"))
    if ended:
        parts.append(Text(ended, style="bold yellow"))
    console.print(Group(*parts), soft_wrap=True)


def _status_table(statuses: Counter[Status], unit: str) -> Table:
    total = statuses.total()
    table = _table("status", unit, "share")
    for status, count in statuses.most_common():
        style = "green" if status in _GOOD else "red" if status in _OURS else ""
        table.add_row(Text(status, style=style), f"{count:,}", _share(count, total))
    return table


def _table(first: str, *numbers: str) -> Table:
    table = Table()
    table.add_column(first)
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"

"""Targets about what a row takes: many calls, deep values that differ, texts that are repeated."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from executor.cli.io.rows import read_triplet
from executor.cli.io.source import Line
from executor.errors import MalformedRow
from executor.grammar.compare import NO_DIFFERENCE, TOO_LONG, first_difference
from executor.grammar.literals import _nesting
from executor.models import Limits, Status
from executor.pool.engine import CallOutcome, Job, Run
from executor.screening.cost import strains_tokenizer
from executor.screening.rules import RuleSet, check_text
from executor.verification.budget import RowEngine, too_many
from executor.verification.prepare import Program
from executor.verification.signals import signals_in_answer
from executor.verification.source import with_imports
from executor.wire.frames import Call, How, encode_jobs
from tests.security.fuzzing.literals import Choices

_LEAVES: tuple[Any, ...] = (0, 1, True, 1.0, "a", b"", None, (), 2j, Decimal(1), Decimal("NaN"),
                            float("nan"), 1 << 80, frozenset({1}))  # fmt: skip
_COUNTS = (0, 1, 2, 255, 256, 257, 600, 65_535, 65_536, 66_000)
_LONG = 20_000
_SECONDS = 3.0
"""Of processor time, under the fuzzer's instrumentation; a quadratic scan takes a minute."""


def differ(data: bytes) -> None:
    """Two deep values are compared part by part: the cost is in proportion to their size."""
    choices = Choices(data)
    levels, width = choices.below(90), 1 + choices.below(200)
    leaf, other = (_LEAVES[choices.below(len(_LEAVES))] for _ in range(2))
    kind = choices.below(3)
    first, second = (
        _nested(leaf, leaf, width, levels, kind),
        _nested(leaf, other, width, levels, kind),
    )
    steps = 20 * (levels + width) + 200
    told = first_difference(first, second, max_steps=steps)
    assert told != TOO_LONG, (levels, width, leaf, other)
    assert (told == NO_DIFFERENCE) is (first_difference(leaf, other) == NO_DIFFERENCE)


def _nested(leaf: object, last: object, width: int, levels: int, kind: int) -> object:
    value: object = [leaf] * width + [last]
    for _ in range(levels):
        value = ([value], (value,), {"a": value})[kind]
    return value


def counts(data: bytes) -> None:
    """A row with any number of inputs is read, and its calls fit into frames."""
    choices = Choices(data)
    count = _COUNTS[choices.below(len(_COUNTS))] + choices.below(3)
    text = data[4:12].decode("latin-1").replace('"', "").replace("\\", "")
    raw = b'{"program": "p", "inputs": [%s]}' % b",".join([b'"%s"' % text.encode()] * count)
    row = read_triplet(Line(1, raw, len(raw)), 0)
    if isinstance(row.item, MalformedRow):
        return
    refused = too_many(Limits(), row.item.inputs)
    assert (refused is not None) is (count > Limits().row_texts)
    calls = [Call(How.VALUES, b"%d" % number) for number in range(count % 600)]
    if not calls:
        return
    program = Program(b"", imports=False)
    engine = RowEngine(_Frames(), Limits(row_mib=256))
    (runs,) = asyncio.run(engine.run([program.job(calls)]))
    assert [run.outcome.value for run in runs] == [call.data for call in calls]


class _Frames:
    """An engine that makes the frame of each job and answers with the calls' own data."""

    async def parse(self, items: Sequence[Any]) -> list[Any]:
        raise NotImplementedError

    async def run(self, jobs: Sequence[Job], limits: Limits) -> list[list[Run]]:
        for job in jobs:
            encode_jobs(
                1, wall_ms=1, cpu_s=1, memory_bytes=1, output_bytes=1,
                order=job.order, code=job.code, calls=job.calls,
            )  # fmt: skip
        return [[Run(CallOutcome(Status.OK, call.data)) for call in job.calls] for job in jobs]


def growth(data: bytes) -> None:
    """A text that repeats a part is looked through in a time that grows as its length does."""
    head, _, rest = data.decode("latin-1").partition("|")
    part, _, tail = rest.partition("|")
    if not part:
        return
    text = head + part * (_LONG // len(part)) + tail
    started = time.process_time()
    _nesting(text)
    check_text(text, RuleSet())
    check_text("[" * 200 + text, RuleSet())
    strains_tokenizer(text)
    with_imports("__future__" + text, ["import a"])
    with_imports(text + "__future__", ["import a"])
    signals_in_answer(text, literal=False)
    assert time.process_time() - started < _SECONDS, text[:100]

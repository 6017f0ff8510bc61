"""Runs attacks on one backend, with honest neighbours beside each and after it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from executor import Executor, Judgement, JudgeTask, Limits, Options, Script, TaskType, Triplet
from executor.client import RemoteExecutor
from executor.errors import ExecutorError
from tests.cases.conformance import observe
from tests.security.cases.base import OPEN, Case, Item, Result, statuses_of

LIMITS = Limits(wall_s=30, cpu_s=1, memory_mib=128, output_kib=256, processes=16, files_mib=8)
"""What an attack may use, if it says nothing else. Processor time is scarce and wall time is not:
what is slow on a busy machine is not wrong."""
WORKERS = 2
"""One guest of each kind and variant, so that what follows an attack meets the very same guest."""
_AT_ONCE = 4

AnyExecutor = Executor | RemoteExecutor


@dataclass(frozen=True)
class Record:
    """What came of an attack on a backend."""

    result: Result | None
    failure: str = ""
    """The error that the call raised in place of a result."""
    disturbed: tuple[str, ...] = ()
    """What honest neighbours got in place of their usual verdicts."""
    seconds: float = 0.0

    @property
    def outcome(self) -> str:
        """For the table."""
        if self.result is None:
            return "refused" if "InputError" in self.failure else self.failure
        found = dict.fromkeys(map(str, statuses_of(self.result)))
        return ", ".join(found)


class Honest(NamedTuple):
    """A harmless item and what it must give."""

    item: Item
    expected: dict[str, object]


_numbers = itertools.count(1)


def honest(*, scripts: bool) -> Iterator[Honest]:
    """One harmless item for each kind of guest; never the same twice, so that no cache answers."""
    number = next(_numbers)
    plain = f"def f(x):\n    return [x + {number}, sorted({{3, x}}), len('abc'), 0.5]"
    yield Honest(
        Triplet(program=plain, inputs=("1", "2")),
        _sound(f"[{number + 1}, [1, 3], 3, 0.5]", f"[{number + 2}, [2, 3], 3, 0.5]"),
    )
    library = (
        "import json, math, re\ndef f(x):\n"
        f"    read = json.loads(json.dumps([x, {number}]))\n"
        "    return read, math.floor(math.pi), re.sub('a', 'b', 'aa')"
    )
    yield Honest(Triplet(program=library, inputs=("7",)), _sound(f"([7, {number}], 3, 'bb')"))
    unstable = f"def f(x):\n    return hash(f'{{x}} {number}')"
    yield Honest(
        Triplet(program=unstable, inputs=("1",)),
        {"status": "nondeterministic", "valid": False, "outputs": [], "matches": None},
    )
    task = JudgeTask(
        task=TaskType.ABDUCTION, program=f"def f(x):\n    return x * 2 + {number}", inputs=("4",),
        outputs=(str(8 + number),), answers=("4", "2 + 2", "5", "'4'"),
    )  # fmt: skip
    yield Honest(task, {"status": "ok ok mismatch error", "scores": [1.0, 1.0, 0.0, 0.0]})
    if scripts:
        source = f"import sys\nprint(len('abc') + {number}, sorted([2, 1]), sys.argv[1:])"
        stdout = f"{3 + number} [1, 2] ['a']\n".encode()
        yield Honest(
            Script(source=source, argv=("a",)),
            {"status": "ok", "exit_code": 0, "stdout": stdout, "files": {}},
        )


def _sound(*outputs: str) -> dict[str, object]:
    return {"status": "ok", "valid": True, "outputs": list(outputs), "matches": None}


async def run_cases(
    executor: AnyExecutor, cases: Sequence[Case], *, cpu_s: int, containers: bool
) -> dict[str, Record]:
    """What came of each attack, by its name, on an executor that is open.

    With ``containers`` each script has one that nothing else was in. The honest script beside the
    next attack is then as good as one after this, and only the last attack has one of its own.
    """
    found: dict[str, Record] = {}
    places = asyncio.Semaphore(_AT_ONCE)
    ordered = sorted(cases, key=lambda case: case.alone)
    last = ordered[-1].name if ordered else ""

    async def one(case: Case) -> None:
        async with places:
            after = case.name == last or (not containers and isinstance(case.item, Script))
            found[case.name] = await run_case(executor, case, cpu_s=cpu_s, scripts_after=after)

    await asyncio.gather(*(one(case) for case in ordered[:-1] if not case.alone))
    for case in ordered:
        if case.alone or case.name == last:
            await one(case)
    return found


async def run_case(executor: AnyExecutor, case: Case, *, cpu_s: int, scripts_after: bool) -> Record:
    """Run an attack with honest neighbours beside it, then others after it."""
    neighbours = list(honest(scripts=isinstance(case.item, Script)))
    limits = LIMITS.model_copy(update={"cpu_s": cpu_s, **case.limits})
    started = time.monotonic()
    attack = asyncio.create_task(_attack(executor, case, limits))
    await asyncio.sleep(0.01)
    disturbed = await _disturbed(executor, neighbours)
    result, failure = await attack
    seconds = time.monotonic() - started
    disturbed += await _disturbed(executor, list(honest(scripts=scripts_after)))
    return Record(result, failure, tuple(disturbed), round(seconds, 2))


async def _attack(executor: AnyExecutor, case: Case, limits: Limits) -> tuple[Result | None, str]:
    try:
        return await _run(executor, case.item, Options(limits=limits, rules=case.rules)), ""
    except ExecutorError as error:
        return None, f"{type(error).__name__}: {error}"


async def _disturbed(executor: AnyExecutor, neighbours: Sequence[Honest]) -> list[str]:
    async def one(neighbour: Honest) -> str:
        found = await _run(executor, neighbour.item, Options(rules=OPEN))
        seen = observe(found)
        return "" if seen == neighbour.expected else f"{seen} for {neighbour.expected}: {found}"

    return [wrong for wrong in await asyncio.gather(*map(one, neighbours)) if wrong]


async def _run(executor: AnyExecutor, item: Item, options: Options) -> Result:
    if isinstance(item, Triplet):
        return await executor.validate(item, options=options)
    if isinstance(item, JudgeTask):
        judged: Judgement = await executor.judge(
            item, options=options.model_copy(update={"judge_rules": options.rules})
        )
        return judged
    return await executor.run(item, limits=options.limits)

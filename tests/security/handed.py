"""Runs a folder of inputs that once got a wrong verdict, and says which still do.

``python -m tests.security.handed FOLDER [--backend nsjail|docker|gvisor|service] [--times 3]``

FOLDER holds ``NN-name/*.jsonl`` as ``verify`` and ``judge`` take them, and scripts as ``run`` takes
them. What is right is in :data:`EXPECTED`, by file. Each time is a new executor, where everything
is run side by side; what is in :data:`ONCE` only the first time.
The exit code is 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from executor import Executor, Judgement, JudgeTask, Limits, Rules, Script, Status, Triplet, Verdict
from executor.cli.io.rows import read_judge_task, read_triplet
from executor.cli.io.source import Line
from executor.client import RemoteExecutor
from executor.errors import MalformedRow
from tests.security.runs import AnyExecutor
from tests.support.server import running

OPEN = Rules(banned_modules=(), min_parameters=0)
LIMITS = Limits(wall_s=60, cpu_s=5, memory_mib=512)

Said = Verdict | Judgement | MalformedRow
Check = Callable[[str, Said], bool]
"""Whether what came of the row with this id is right."""


# ---- what is right -------------------------------------------------------------------------------


def _is_honest(name: str) -> bool:
    return name == "honest" or name in ("h", "h0", "h1", "h2", "h3", "h4", "h5")


def _unsound(name: str, said: Said) -> bool:
    return isinstance(said, Verdict) and not said.valid and said.status is not Status.INFRA


def _nondeterministic(name: str, said: Said) -> bool:
    return isinstance(said, Verdict) and said.status is Status.NONDETERMINISTIC


def _scores(*scores: float) -> Check:
    return lambda _, said: isinstance(said, Judgement) and said.scores == scores


def _all_right(name: str, said: Said) -> bool:
    return isinstance(said, Judgement) and set(said.scores) == {1.0}


_FRACTIONS = {
    "wrong-alone": (0.0,),
    "wrong-beside-neighbour-scores-1": (1.0, 0.0),
    "right-scores-0": (1.0, 0.0),
    "class-crosses-calls": (1.0, 1.0, 1.0),
}


def _fraction_slots(name: str, said: Said) -> bool:
    return isinstance(said, Judgement) and said.scores == _FRACTIONS[name]


def _judged_without_harm(name: str, said: Said) -> bool:
    """Honest rows are right; the others have scores, or a sentence that says why not."""
    if isinstance(said, MalformedRow):
        return not _is_honest(name)
    if isinstance(said, Verdict):
        if _is_honest(name):
            return said.valid
        return said.status not in (Status.INFRA, Status.CRASHED)
    if _is_honest(name):
        return said.scores == (1.0, 0.0)
    return set(said.statuses).isdisjoint({Status.INFRA, Status.CRASHED}) and None not in said.scores


_PLAIN_NAMES = {"NoError", "nul", "surrogate"}
"""Rows of hole 19 whose outcome has a name that can be given, or whose program is none."""


def _error_task(name: str, said: Said) -> bool:
    if isinstance(said, Verdict):
        return _unsound(name, said) or name in _PLAIN_NAMES
    return isinstance(said, Judgement) and Status.INFRA not in said.statuses


EXPECTED: dict[str, Check] = {
    "01-share-annotation/in.jsonl": _all_right,
    "02-share-decimal-args/in.jsonl": _all_right,
    "03-share-fraction-new/in.jsonl": _all_right,
    "04-share-fraction-slots/in.jsonl": _fraction_slots,
    "05-address-low-bits/in.jsonl": _nondeterministic,
    "05-address-low-bits/shared.jsonl": _scores(0.0, 0.0, 0.0, 0.0, 0.0),
    "06-clock-passes/in.jsonl": _nondeterministic,
    "07-set-iter-wrapper/in.jsonl": _nondeterministic,
    "08-hash-low-bits/in.jsonl": _nondeterministic,
    "10-too-many-calls/verify.jsonl": _judged_without_harm,
    "11-deep-difference/in.jsonl": _nondeterministic,
    "12-host-memory/answers.jsonl": _judged_without_harm,
    "12-host-memory/inputs.jsonl": _judged_without_harm,
    "12-host-memory/nul.jsonl": _judged_without_harm,
    "13-fold-bomb/one.jsonl": _judged_without_harm,
    "13-fold-bomb/three.jsonl": _judged_without_harm,
    "14-parser-quadratic/finally-4k.jsonl": _judged_without_harm,
    "14-parser-quadratic/keywords-350k.jsonl": _judged_without_harm,
    "14-parser-quadratic/lambda-65k.jsonl": _judged_without_harm,
    "14-parser-quadratic/nestquad-50k.jsonl": _judged_without_harm,
    "19-error-name-unsolvable/judge.jsonl": _error_task,
    "19-error-name-unsolvable/verify.jsonl": _error_task,
}

ONCE = ("10-too-many-calls/", "12-host-memory/", "13-fold-bomb/", "14-parser-quadratic/")
"""Folders of rows that are large. What they take is no matter of chance: they are run the first
time only."""

SAME_EVERYWHERE = "09-host-state/in.jsonl"
"""Rows that may be sound only if every executor gives the same output."""


class FromScript(NamedTuple):
    """A script, and what its output must not hold."""

    path: str
    never: tuple[str, ...]
    own_devices: tuple[str, ...] | None = None
    """The same where the devices are the container's own, which ends with the script."""


# Not 16: what it locks is its own, see test_holes_scripts.py.
SCRIPTS = (
    FromScript("17-run-device-times/utime.py", ("OK",), own_devices=("(set) OK", "1234567.0")),
    FromScript("18-run-dnotify/listen.py", ("armed",)),
)


# ---- running it ----------------------------------------------------------------------------------


def _rows(path: Path) -> list[tuple[str, Triplet | JudgeTask | MalformedRow]]:
    found: list[tuple[str, Triplet | JudgeTask | MalformedRow]] = []
    for number, raw in enumerate(path.read_bytes().splitlines(), 1):
        line = Line(number, raw, len(raw) + 1)
        judged = b'"answers"' in raw
        row = read_judge_task(line, number) if judged else read_triplet(line, number)
        found.append((str(row.head.get("id", number)), row.item))
    return found


async def _say(executor: AnyExecutor, item: Triplet | JudgeTask | MalformedRow) -> Said:
    if isinstance(item, Triplet):
        return await executor.validate(item)
    if isinstance(item, JudgeTask):
        return await executor.judge(item)
    return item


async def wrong_rows(executor: AnyExecutor, folder: Path, file: str) -> list[str]:
    """The rows of a file that are not right, with what came of them."""
    rows = _rows(folder / file)
    said = await asyncio.gather(*(_say(executor, item) for _, item in rows))
    check = EXPECTED[file]
    return [
        f"{file} {name}: {str(one)[:300]}"
        for (name, _), one in zip(rows, said, strict=True)
        if not check(name, one)
    ]


async def host_state(executor: AnyExecutor, folder: Path) -> list[tuple[str, object]]:
    """What each row of :data:`SAME_EVERYWHERE` is worth here."""
    rows = _rows(folder / SAME_EVERYWHERE)
    said = [(name, await _say(executor, item)) for name, item in rows]
    return [
        (name, verdict.outputs if isinstance(verdict, Verdict) and verdict.valid else "refused")
        for name, verdict in said
    ]


async def wrong_scripts(executor: AnyExecutor, folder: Path, own_devices: bool) -> list[str]:
    """The scripts that could do what they should not."""
    wrong = []
    for path, shared, own in SCRIPTS:
        never = own if own_devices and own is not None else shared
        result = await executor.run(Script(source=(folder / path).read_text()))
        if result.status is not Status.OK or any(word.encode() in result.stdout for word in never):
            wrong.append(f"{path}: {result.status} {result.stdout!r} {result.stderr!r}")
    return wrong


@asynccontextmanager
async def opened(backend: str) -> AsyncIterator[AnyExecutor]:
    """An executor without screening in the way; ``service`` is one over HTTP."""
    if backend != "service":
        async with Executor(backend, workers=2, limits=LIMITS, rules=OPEN, cache=False) as executor:
            yield executor
        return
    options = [f"--{name.replace('_', '-')}={value:g}" for name, value in LIMITS]
    with running("--workers=2", "--queue=4096", *options) as server:
        async with RemoteExecutor(server.url, limits=LIMITS, rules=OPEN) as remote:
            yield remote


async def run_all(folder: Path, backend: str, times: int) -> list[str]:
    """What is wrong, over all files and times."""
    wrong: list[str] = []
    states: list[list[tuple[str, object]]] = []
    for time in range(times):
        files = [file for file in EXPECTED if not (time and file.startswith(ONCE))]
        async with opened(backend) as executor:
            own_devices = backend in ("docker", "gvisor")
            found, state = await asyncio.gather(
                asyncio.gather(
                    *(wrong_rows(executor, folder, file) for file in files),
                    wrong_scripts(executor, folder, own_devices),
                ),
                host_state(executor, folder),
            )
            wrong += itertools.chain.from_iterable(found)
            states.append(state)
    for same in zip(*states, strict=True):
        if len({repr(one) for one in same}) > 1:
            wrong.append(f"{SAME_EVERYWHERE}: {same}")
    return wrong


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    backends = ("nsjail", "docker", "gvisor", "service")
    parser.add_argument("--backend", default="nsjail", choices=backends)
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args(arguments)
    wrong = asyncio.run(run_all(options.folder, options.backend, options.times))
    print("\n".join([*wrong, f"{options.backend}: {len(wrong)} wrong in {options.times} times"]))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

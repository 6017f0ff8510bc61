"""The evaluation of a model in training: subsets of the benchmarks, asked through its policy.

The code is that of ``trainer evaluate``; the texts and the report of a step are in a folder of its
own.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import cast

from omegaconf import DictConfig

from executor import Executor, ExecutorProtocol
from trainer.configs import game_settings
from trainer.evaluation.asking import Ask, Engine, Sampling, Written
from trainer.evaluation.benchmarks import named
from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.hub import source
from trainer.evaluation.prompts import Prompts
from trainer.evaluation.run import Asked, Plan, evaluate, libraries, limits
from trainer.game.errors import GameError
from trainer.game.policy import Message, Policy, Request
from trainer.game.settings import AzrSettings
from trainer.game.tasks.task import Kind, Role, TaskType
from trainer.game.texts.prompts.render import PromptBook
from trainer.run import wiring
from trainer.run.executors import remote

FOLDER = "evaluations"
"""Of the run directory; in it one for each step that was evaluated."""
MEAN = "eval/mean"
"""The metric of all benchmarks together, each with the same weight."""
_LIMITS = limits(30, 20, 2048)


class UnusableBenchmarks(GameError):
    """An evaluation in training cannot be made; the text says why."""


def is_due(config: DictConfig, step: int) -> bool:
    """Whether a step is followed by an evaluation; the last one always is, if any is."""
    every = int(config.trainer.evaluate_every)
    return every > 0 and (step % every == 0 or step >= int(config.trainer.total_training_steps))


def check(config: DictConfig) -> None:
    """What a run's evaluations read is there.

    Raises:
        UnusableBenchmarks: it is not.
    """
    if int(config.trainer.evaluate_every) <= 0:
        return
    settings = game_settings(config).azr
    if settings.executor == "sandboxfusion":
        raise UnusableBenchmarks(
            "trainer.evaluate_every needs a sandbox that judges tests: azr.executor=sandboxfusion "
            "is none"
        )
    plan = plan_of(config, 0)
    try:
        for benchmark in named(plan.benchmarks):
            source(plan.data, benchmark)
    except EvaluationError as error:
        raise UnusableBenchmarks(f"trainer.evaluate_every: {error}") from error


def plan_of(config: DictConfig, step: int) -> Plan:
    """The evaluation behind a step: greedy, with the prompts of the training."""
    book = PromptBook(game_settings(config))
    wrapper = book.around("{question}")
    trainer = config.trainer
    return Plan(
        out=wiring.run_directory(config) / FOLDER / f"step_{step}",
        data=Path(str(trainer.evaluate_data or "")).expanduser(),
        benchmarks=tuple(map(str, trainer.evaluate_benchmarks or ())),
        model=Asked(f"step {step}", prompts=Prompts("training", wrapper, book, whole=True)),
        sampling=Sampling(max_tokens=int(config.data.max_response_length)),
        limit=int(trainer.evaluate_limit) if trainer.evaluate_limit else None,
        engine="the training's",
        limits=None if game_settings(config).azr.executor == "http" else _LIMITS,
    )


def judging(settings: AzrSettings, plan: Plan) -> ExecutorProtocol:
    """The executor of an evaluation, on the backend of the run; it is not open yet."""
    if settings.executor == "http":
        service = remote(settings.executor_url, patience_s=settings.executor_patience_s)
        return cast(ExecutorProtocol, service)
    return Executor(
        settings.executor,
        workers=settings.executor_max_workers,
        limits=_LIMITS,
        libraries=libraries(plan.benchmarks),
    )


class PolicyEngine:
    """An :class:`~trainer.evaluation.asking.Engine` over the model in training.

    Args:
        policy: answers.
        fits: whether a prompt may be asked: one that is too long has no answer.
        temperature: 0 is greedy.
    """

    together = 256

    def __init__(
        self,
        policy: Policy,
        fits: Callable[[Sequence[Message]], bool],
        temperature: float = 0.0,
    ) -> None:
        self._policy = policy
        self._fits = fits
        self._temperature = temperature

    def generate(self, asks: Sequence[Ask]) -> Iterator[tuple[int, list[Written]]]:
        """All samples of the prompts; one that never came counts as cut off."""
        requests = [
            Request(
                str(place),
                Kind(Role.SOLVE, TaskType.DEDUCTION),
                messages,
                n=len(ask.seeds),
                train=False,
                temperature=self._temperature,
            )
            for place, ask in enumerate(asks)
            if self._fits(messages := (Message("user", ask.text),))
        ]
        found: dict[int, dict[int, Written]] = defaultdict(dict)
        for response in self._policy.generate(requests):
            written = Written(response.text, response.tokens, response.truncated)
            found[int(response.request_id)][response.sample] = written
        for place, ask in enumerate(asks):
            yield place, [found[place].get(sample, _NOTHING) for sample in range(len(ask.seeds))]


_NOTHING = Written("", None, cut=True)


def metrics_of(
    plan: Plan,
    engine: Engine,
    executor: Callable[[], ExecutorProtocol],
    say: Callable[[str], None],
) -> dict[str, float]:
    """Evaluate, or go on with it; returns ``eval/BENCHMARK`` (pass@1) and ``eval/mean``.

    Raises:
        UnusableBenchmarks: it cannot be made.
    """

    def make(_model: str, _prompts: Prompts) -> Engine:
        return engine

    try:
        evaluate(plan, make, executor, _Silent(), say)
    except EvaluationError as error:
        raise UnusableBenchmarks(f"trainer.evaluate_every: {error}") from error
    return read_metrics(plan.out)


def read_metrics(folder: Path) -> dict[str, float]:
    """The metrics of an evaluation, from its report."""
    report = json.loads((folder / "report.json").read_bytes())
    found = {
        f"eval/{name}": float(one["pass"]["1"]["value"])
        for name, one in report["models"]["model"]["benchmarks"].items()
        if "pass" in one
    }
    return {**found, MEAN: fmean(found.values())} if found else {}


class _Silent:
    """A :class:`~trainer.evaluation.run.Progress` that shows nothing."""

    def begin(self, _what: str, _total: int, _done: int) -> Callable[[int], None]:
        """Nothing to see."""
        return lambda _: None

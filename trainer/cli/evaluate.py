"""``trainer evaluate``: models on published benchmarks, judged by the executor."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from executor import Executor, ExecutorError, ExecutorProtocol, Limits
from trainer.cli.experiment import stoppable
from trainer.game.errors import GameError

if TYPE_CHECKING:
    from trainer.evaluation.asking import Engine, Sampling
    from trainer.evaluation.prompts import Prompts
    from trainer.evaluation.run import Asked, MakeEngine, Plan


class EngineName(StrEnum):
    """What answers prompts."""

    AUTO = "auto"
    """vLLM where it is installed, else transformers."""
    VLLM = "vllm"
    TRANSFORMERS = "transformers"


class PromptName(StrEnum):
    """What stands around a question."""

    AUTO = "auto"
    TRAINING = "training"
    ORIGINAL = "original"
    REWRITTEN = "rewritten"
    PLAIN = "plain"


class ChatTemplate(StrEnum):
    """Whether the model's chat template goes around a prompt."""

    AUTO = "auto"
    MODEL = "model"
    NONE = "none"


def evaluate(
    model: Annotated[
        str, typer.Argument(help="A folder, a hub's name, or what an endpoint calls it.")
    ] = "generations",
    *,
    benchmarks: Annotated[str, typer.Option(help="Names, with commas between them.")],
    data: Annotated[Path, typer.Option(help="The folder of the benchmarks' files, or hub.")],
    out: Annotated[Path, typer.Option(help="The folder of the run.")],
    base: Annotated[str | None, typer.Option(help="Another model to compare with.")] = None,
    generations: Annotated[
        Path | None, typer.Option(help="Texts that exist already: nothing is generated.")
    ] = None,
    base_generations: Annotated[Path | None, typer.Option(help="Likewise of --base.")] = None,
    prompt: Annotated[PromptName, typer.Option(help="Around a question.")] = PromptName.AUTO,
    chat_template: Annotated[
        ChatTemplate, typer.Option(help="Around a prompt; auto: unless the prompt is whole.")
    ] = ChatTemplate.AUTO,
    engine: Annotated[EngineName, typer.Option(help="What generates.")] = EngineName.AUTO,
    endpoint: Annotated[
        str | None, typer.Option(help="URL of a server with OpenAI's API, as http://HOST/v1.")
    ] = None,
    at_once: Annotated[int, typer.Option(min=1, help="Requests to the endpoint.")] = 16,
    tensor_parallel: Annotated[int, typer.Option(min=1, help="GPUs of vLLM.")] = 1,
    n: Annotated[int, typer.Option(min=1, help="Answers to each problem.")] = 1,
    temperature: Annotated[float, typer.Option(min=0, help="0: greedy.")] = 0.0,
    top_p: Annotated[float, typer.Option(min=0, max=1)] = 1.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Of an answer.")] = 8192,
    seed: Annotated[int, typer.Option(help="Of the sampling.")] = 0,
    k: Annotated[list[int], typer.Option(help="A further k of pass@k; may be repeated.")] = [],  # noqa: B006
    limit: Annotated[int | None, typer.Option(min=1, help="Problems of each benchmark.")] = None,
    since: Annotated[str, typer.Option(help="LiveCodeBench: contests from this date on.")] = "",
    until: Annotated[str, typer.Option(help="Likewise: before this date.")] = "",
    executor: Annotated[str, typer.Option(help="Backend that judges.")] = "nsjail",
    executor_url: Annotated[
        list[str], typer.Option(help="A service that judges instead; may be repeated.")
    ] = [],  # noqa: B006
    workers: Annotated[int | None, typer.Option(min=1, help="Sandboxes of the backend.")] = None,
    wall_s: Annotated[float, typer.Option(help="Seconds of a test.")] = 30.0,
    cpu_s: Annotated[int, typer.Option(help="Processor seconds of a test.")] = 20,
    memory_mib: Annotated[int, typer.Option(help="Memory of a test.")] = 2048,
) -> int:
    """Evaluate a model on published benchmarks: base against trained, offline.

    Stopped or killed, the same command goes on where it was. Writes report.html, report.md and
    report.json into the run's folder. Exit codes: 0, 2 something is wrong, 130 stopped.
    """
    from trainer.evaluation.asking import Sampling
    from trainer.evaluation.run import Asked, Plan, libraries, limits

    plan = Plan(
        out=out,
        data=data,
        benchmarks=tuple(name.strip() for name in benchmarks.split(",") if name.strip()),
        model=Asked(model, generations),
        base=_base(base, base_generations),
        prompt=prompt.value,
        sampling=Sampling(n, temperature, top_p, max_tokens, seed),
        limit=limit,
        since=since,
        until=until,
        ks=tuple(k),
        engine=f"{'endpoint' if endpoint else engine.value}, {chat_template.value}",
        limits=None if executor_url else limits(wall_s, cpu_s, memory_mib),
    )

    def judging() -> ExecutorProtocol:
        if executor_url:
            from trainer.run.executors import remote

            return cast(ExecutorProtocol, remote(tuple(executor_url), patience_s=600))
        return Executor(
            executor,
            workers=workers,
            limits=plan.limits or Limits(),
            libraries=libraries(plan.benchmarks),
        )

    make = _engines(
        engine,
        chat_template,
        endpoint=endpoint,
        at_once=at_once,
        tensor_parallel=tensor_parallel,
        sampling=plan.sampling,
    )
    return _evaluate(plan, make, judging)


def _evaluate(plan: Plan, make: MakeEngine, judging: Callable[[], ExecutorProtocol]) -> int:
    from trainer.evaluation.errors import EvaluationError
    from trainer.evaluation.run import evaluate as whole

    try:
        with stoppable(), _Shown() as shown:
            page = whole(plan, make, judging, shown, _say)
    except (EvaluationError, ExecutorError, GameError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    print((plan.out / "report.md").read_text(encoding="utf-8"))
    print(page)
    return 0


def _base(model: str | None, generations: Path | None) -> Asked | None:
    from trainer.evaluation.run import Asked

    if model is None and generations is None:
        return None
    return Asked(model or "base", generations)


def _engines(
    name: EngineName,
    template: ChatTemplate,
    *,
    endpoint: str | None,
    at_once: int,
    tensor_parallel: int,
    sampling: Sampling,
) -> MakeEngine:
    def make(model: str, prompts: Prompts) -> Engine:
        chat = template is ChatTemplate.MODEL or (
            template is ChatTemplate.AUTO and not prompts.whole
        )
        if endpoint is not None:
            from trainer.evaluation.engines.endpoint import Endpoint

            return Endpoint(endpoint, model, sampling, chat=chat, at_once=at_once)
        if name is EngineName.VLLM or (name is EngineName.AUTO and _has_vllm()):
            from trainer.evaluation.engines.vllm import Vllm

            return Vllm(model, sampling, chat=chat, tensor_parallel=tensor_parallel)
        from trainer.evaluation.engines.local import Transformers

        return Transformers(model, sampling, chat=chat)

    return make


def _has_vllm() -> bool:
    import importlib.util

    return importlib.util.find_spec("vllm") is not None


class _Shown:
    """Bars with the time that is left, on standard error."""

    def __init__(self) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )

    def __enter__(self) -> _Shown:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def begin(self, what: str, total: int, done: int) -> Callable[[int], None]:
        """A bar of its own."""
        bar = self._bars.add_task(what, total=total, completed=done)
        return lambda number: self._bars.advance(bar, number)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

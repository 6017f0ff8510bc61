"""Helpers of the game's tests: a policy that replays texts, and a judge on the real executor."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import Any

from executor import Executor, Judgement, JudgeTask, Limits, Options, Status, Triplet, Verdict
from trainer.game.play.batch_stream import Verifier
from trainer.game.play.judging import TaskJudge
from trainer.game.play.selfplay import SelfPlay
from trainer.game.policy import Request, Response
from trainer.game.settings import AzrSettings, GameSettings, GenerationRewardConfig
from trainer.game.tasks.buffers import Buffers
from trainer.game.tasks.task import ProgramTask

LIMITS = Limits(wall_s=60, cpu_s=1, memory_mib=256)
"""Much wall-clock time: the machine may be busy."""


class Script:
    """A policy that replays texts.

    Args:
        training: Per kind either texts in the order of the requests, or texts by a part of the
            prompt that they answer.
        estimates: For learnability rollouts: all samples' texts, by a part of the prompt.
        backwards: Yield the last response first.

    A text may be :data:`MISSING`. Each response has ten tokens, or what ``Long`` says.
    """

    def __init__(
        self,
        training: Mapping[str, Sequence[str] | Mapping[str, str]],
        estimates: Mapping[str, Sequence[str]] | None = None,
        *,
        backwards: bool = False,
    ) -> None:
        self._training = {
            kind: dict(texts) if isinstance(texts, Mapping) else list(texts)
            for kind, texts in training.items()
        }
        self._estimates = dict(estimates or {})
        self._backwards = backwards
        self.requests: list[Request] = []

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        self.requests += requests
        responses = [
            Response(request.id, sample, text, getattr(text, "tokens", 10), (request.id, sample))
            for request in requests
            for sample, text in enumerate(self._texts(request))
            if text is not MISSING
        ]
        return iter(reversed(responses) if self._backwards else responses)

    def _texts(self, request: Request) -> Sequence[str]:
        prompt = request.messages[0].content
        if not request.train and self._estimates:
            texts = _only(self._estimates, prompt)
            assert len(texts) == request.n
            return texts
        scripted = self._training[request.kind.name]
        if isinstance(scripted, dict):
            return [_only(scripted, prompt)] * request.n
        return [scripted.pop(0) for _ in range(request.n)]


def _only[Value](by_part: Mapping[str, Value], prompt: str) -> Value:
    found = [value for part, value in by_part.items() if part in prompt]
    assert len(found) == 1, (list(by_part), prompt)
    return found[0]


class Long(str):
    """A text with a length in tokens of its own."""

    __slots__ = ("tokens",)

    tokens: int

    def __new__(cls, text: str, tokens: int) -> Long:
        long = super().__new__(cls, text)
        long.tokens = tokens
        return long


MISSING: Any = object()
"""In place of a text: a rollout that failed."""


def tagged(answer: str, thought: str = "let me think") -> str:
    """A well-formed response."""
    return f"{thought}</think>\n<answer>{answer}</answer>"


def proposal(program: str, given: str) -> str:
    return tagged(f"```python\n{program}\n```\n```input\n{given}\n```")


def induction(inputs: Sequence[str], message: str) -> str:
    fences = "\n".join(f"```input\n{given}\n```" for given in inputs)
    return tagged(f"{fences}\n```message\n{message}\n```")


def fenced(label: str, text: str) -> str:
    return tagged(f"```{label}\n{text}\n```")


@contextmanager
def open_judge(
    settings: AzrSettings | None = None, verifier: Verifier | None = None
) -> Iterator[TaskJudge]:
    """A judge on the real sandbox, with short limits, or on a stand-in."""
    settings = settings or AzrSettings()
    executor = verifier or Executor(workers=2, limits=LIMITS)
    with TaskJudge(executor, settings, parser_processes=1) as judge:
        yield judge


class SometimesInfra:
    """The real executor, but the platform "fails" for what holds a marked text."""

    def __init__(self, marked: str) -> None:
        self._executor = Executor(workers=2, limits=LIMITS)
        self._marked = marked

    async def __aenter__(self) -> Any:
        return await self._executor.__aenter__()

    async def close(self) -> None:
        await self._executor.close()

    async def validate_many(
        self, triplets: AsyncIterable[Triplet], *, ordered: bool, options: Options
    ) -> AsyncGenerator[Verdict, None]:
        lost: set[object] = set()
        verdicts = self._executor.validate_many(
            self._noting(triplets, lost), ordered=ordered, options=options
        )
        async with aclosing(verdicts):
            async for verdict in verdicts:
                if verdict.id in lost:
                    update = {"status": Status.INFRA, "valid": False, "outputs": (None,)}
                    yield verdict.model_copy(update=update)
                else:
                    yield verdict

    async def judge_many(
        self, tasks: AsyncIterable[JudgeTask], *, ordered: bool, options: Options
    ) -> AsyncGenerator[Judgement, None]:
        answers: dict[object, tuple[str, ...]] = {}
        judgements = self._executor.judge_many(
            self._remembering(tasks, answers), ordered=ordered, options=options
        )
        async with aclosing(judgements):
            async for judgement in judgements:
                lost = [self._marked in answer for answer in answers[judgement.id]]
                yield judgement.model_copy(
                    update={
                        "scores": _where(lost, None, judgement.scores),
                        "statuses": _where(lost, Status.INFRA, judgement.statuses),
                    }
                )

    async def _remembering(
        self, tasks: AsyncIterable[JudgeTask], answers: dict[object, tuple[str, ...]]
    ) -> AsyncGenerator[JudgeTask, None]:
        async for task in tasks:
            answers[task.id] = task.answers
            yield task

    async def _noting(
        self, items: AsyncIterable[Triplet], lost: set[object]
    ) -> AsyncGenerator[Triplet, None]:
        async for item in items:
            if self._marked in item.program:
                lost.add(item.id)
            yield item


class Flaky:
    """The real executor; the first batches end with an error after some results."""

    def __init__(self, failures: int, error: Exception, after: int = 1) -> None:
        self._executor = Executor(workers=2, limits=LIMITS)
        self._failures, self._error, self._after = failures, error, after

    async def __aenter__(self) -> Any:
        return await self._executor.__aenter__()

    async def close(self) -> None:
        await self._executor.close()

    async def validate_many(
        self, triplets: AsyncIterable[Triplet], *, ordered: bool, options: Options
    ) -> AsyncGenerator[Verdict, None]:
        results = self._executor.validate_many(triplets, ordered=ordered, options=options)
        try:
            count = 0
            async for verdict in results:
                if self._failures and count == self._after:
                    self._failures -= 1
                    raise self._error
                count += 1
                yield verdict
        finally:
            await results.aclose()

    def judge_many(
        self, tasks: AsyncIterable[JudgeTask], *, ordered: bool, options: Options
    ) -> AsyncGenerator[Judgement, None]:
        return self._executor.judge_many(tasks, ordered=ordered, options=options)


def _where(flags: Sequence[bool], value: Any, others: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(value if flag else other for flag, other in zip(flags, others, strict=True))


def settings(**azr: Any) -> GameSettings:
    """Settings of a small game."""
    batch = azr.pop("train_batch_size", 1)
    return GameSettings(azr=AzrSettings(**azr), train_batch_size=batch)


def new_buffers(wanted: GameSettings) -> Buffers:
    azr = wanted.azr
    return Buffers(
        azr.task_types, capacity=azr.data_selection_strategy.max_programs, dedup=azr.dedup
    )


def program_task(program: str, given: str, output: str, step: int = 0, **more: Any) -> ProgramTask:
    return ProgramTask(
        program, given, output, original_snippet=program, step=step,
        input_type="int", output_type="int", **more,
    )  # fmt: skip


__all__ = [
    "MISSING",
    "Flaky",
    "GenerationRewardConfig",
    "Long",
    "Script",
    "SelfPlay",
    "SometimesInfra",
    "Status",
    "fenced",
    "induction",
    "new_buffers",
    "open_judge",
    "program_task",
    "proposal",
    "settings",
    "tagged",
]

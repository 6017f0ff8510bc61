"""The executor, as the game uses it: proposals in, tasks out; answers in, scores out.

All work goes through the batch methods of an :class:`executor.Executor` (or a remote one of the
same shape), on an event loop in a thread of its own. Methods here return futures at once, so a
synchronous trainer can hand over responses while generation goes on. Nothing that a model wrote is
evaluated here: source is parsed in the workshop, and runs in the executor.

An executor that cannot be reached is waited for; what was in its hands is handed over again.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from threading import Thread
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from executor import (
    ConfigurationError,
    ExecutorClosed,
    ExecutorError,
    InputError,
    Judgement,
    JudgeTask,
    Options,
    Rules,
    Status,
    TaskType,
    Triplet,
    Usage,
    Verdict,
)
from trainer.game.errors import ExecutorLost
from trainer.game.play.parser_pool import Workshop
from trainer.game.settings import AzrSettings
from trainer.game.tasks.held_out import read_programs
from trainer.game.tasks.literal_types import type_of_arguments, type_of_value
from trainer.game.tasks.task import InductionTask, ProgramTask, Task, normal_source
from trainer.game.texts.cleaning import Program, Refused
from trainer.game.texts.parsing import InductionProposal, ProgramProposal

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 15.0
HELD_OUT = "held_out"
EXCEPTION_TYPE = "exception"
"""The type that statistics give to the answers of error deduction."""


class Verifier(Protocol):
    """What is used of an executor: these methods of :class:`executor.Executor`."""

    async def __aenter__(self) -> Any:
        """Open it."""

    async def close(self) -> None:
        """End it."""

    def validate_many(
        self,
        triplets: AsyncIterable[Triplet],
        *,
        ordered: bool,
        options: Options,
    ) -> AsyncGenerator[Verdict, None]:
        """Validate a stream of triplets."""
        ...

    def judge_many(
        self,
        tasks: AsyncIterable[JudgeTask],
        *,
        ordered: bool,
        options: Options,
    ) -> AsyncGenerator[Judgement, None]:
        """Judge a stream of answers."""
        ...


@dataclass(frozen=True, slots=True)
class Examined:
    """What became of a proposal."""

    status: str
    """``valid``, ``malformed`` (it never reached the executor), ``too_long`` (its output),
    ``held_out`` (the model is to be tested on it), or a status of the executor."""
    detail: str
    """A sentence for people."""
    task: Task | None = None
    """The task, if valid; its outputs are those of the executor."""

    @property
    def masked(self) -> bool:
        """The platform failed, or the program is held out: the proposal has no score."""
        return self.status in (Status.INFRA, HELD_OUT)


@dataclass(slots=True)
class Tally:
    """What the executor did."""

    validations: Counter[str] = field(default_factory=Counter)
    """Verdicts by status."""
    answers: Counter[str] = field(default_factory=Counter)
    """Judged answers by status."""
    signals: Counter[str] = field(default_factory=Counter)
    """Signs of cheating: inputs of proposals and answers that showed each."""
    usage: Usage = field(default_factory=Usage)
    """Sum of wall and CPU time over all runs, and the peak of memory."""
    retries: int = 0
    """Times that a lost executor was tried again."""


class TaskJudge:
    """Validates proposals and scores answers; a context manager.

    Args:
        verifier: An executor that is not open yet; it is opened and closed here.
        workshop: Where source is parsed; closed here as well.
        settings: Bans, limits of outputs, patience.

    Raises:
        SeedError: the file of held-out tasks cannot be used.
        ExecutorError: on entering, if the executor cannot be opened.
    """

    def __init__(self, verifier: Verifier, workshop: Workshop, settings: AzrSettings) -> None:
        self._verifier = verifier
        self._workshop = workshop
        self._settings = settings
        self._held_out = read_programs(settings.held_out_tasks)
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="task-judge", daemon=True)
        self._tally = Tally()
        self._streams: list[_Stream[Any, Any]] = []
        self._running: set[asyncio.Task[Any]] = set()
        self._own_retries = 0

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._call(self._verifier.__aenter__())
        except BaseException:
            self._end_loop()
            self._workshop.close()
            raise
        self._call(self._open_streams())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the executor and all that is under way. Safe to call twice."""
        if not self._thread.is_alive():
            return
        try:
            self._call(self._end())
        finally:
            self._end_loop()
            self._workshop.close()

    @property
    def workshop(self) -> Workshop:
        """Where source is parsed."""
        return self._workshop

    def examine_program(
        self, task_type: TaskType, proposal: ProgramProposal, functions: Sequence[str] = ()
    ) -> Future[Examined]:
        """Clean a proposed program and validate it with its input.

        ``functions`` are the sources of ``g_0``... that it was given. The future raises
        :class:`ExecutorLost` if the executor stays away for too long.
        """
        return self._start(self._examine_program(task_type, proposal, tuple(functions)))

    def examine_induction(
        self, program: ProgramTask, proposal: InductionProposal
    ) -> Future[Examined]:
        """Validate proposed inputs of a known program. Raises as :meth:`examine_program`."""
        task = InductionTask(
            snippet=program.snippet,
            inputs=proposal.inputs,
            outputs=(),
            message=proposal.message,
            imports=program.imports,
        )
        return self._start(self._examine_task(TaskType.INDUCTION, task))

    def revalidate(self, task_type: TaskType, task: Task) -> Future[Examined]:
        """Validate a complete task: its outputs must be what the program gives."""
        return self._start(self._examine_task(task_type, task))

    def judge(self, task_type: TaskType, task: Task, answers: Sequence[str]) -> Future[Judgement]:
        """Score the answers of a task. Raises as :meth:`examine_program`."""
        wanted = judge_task(task_type, task, answers, self._settings.reward.code_f_reward_type)
        return self._start(self._judge(wanted))

    def take_tally(self) -> Tally:
        """What was done since the last call."""

        async def take() -> Tally:
            taken, self._tally = self._tally, Tally()
            taken.retries = sum(stream.take_retries() for stream in self._streams)
            # A remote executor also repeats requests by itself.
            stats = getattr(self._verifier, "stats", None)
            total = getattr(stats(), "retries", 0) if stats else 0
            taken.retries += total - self._own_retries
            self._own_retries = total
            return taken

        return self._call(take())

    # ---- on the loop ----

    async def _open_streams(self) -> None:
        patience = self._settings.executor_patience_s
        values, errors = validation_options(self._settings)

        def validations(options: Options) -> _Stream[Triplet, Verdict]:
            return _Stream(
                lambda source: self._verifier.validate_many(source, ordered=False, options=options),
                patience,
            )

        self._validate_values = validations(values)
        self._validate_errors = validations(errors)
        self._judgements: _Stream[JudgeTask, Judgement] = _Stream(
            lambda source: self._verifier.judge_many(source, ordered=False, options=Options()),
            patience,
        )
        self._streams = [self._validate_values, self._validate_errors, self._judgements]

    async def _examine_program(
        self, task_type: TaskType, proposal: ProgramProposal, functions: tuple[str, ...]
    ) -> Examined:
        program = await asyncio.wrap_future(self._workshop.prepare(proposal.code, functions))
        if isinstance(program, Refused):
            return Examined("malformed", program.reason)
        if normal_source(program.source) in self._held_out:
            return Examined(HELD_OUT, "the model is to be tested on this program")
        task = ProgramTask(
            snippet=program.source,
            input=proposal.input,
            output="",
            imports=program.imports,
            original_snippet=await self._original(proposal, program, functions),
            composite_functions=functions,
        )
        return await self._examine_task(task_type, task)

    async def _original(
        self, proposal: ProgramProposal, program: Program, functions: tuple[str, ...]
    ) -> str:
        if not functions:
            return program.source
        alone = await asyncio.wrap_future(self._workshop.prepare(proposal.code))
        return alone.source if isinstance(alone, Program) else proposal.code

    async def _examine_task(self, task_type: TaskType, task: Task) -> Examined:
        stream = self._validate_errors if task_type is TaskType.ERROR else self._validate_values
        verdict = await stream.result(triplet(task_type, task))
        self._tally.validations[verdict.status.value] += 1
        self._tally.signals.update(verdict.signals)
        self._tally.usage += verdict.usage
        if not verdict.valid:
            return Examined(verdict.status.value, verdict.detail)
        outputs = tuple(text for text in verdict.outputs if text is not None)
        if len(outputs) < len(verdict.outputs):
            return Examined(Status.UNSERIALIZABLE.value, "an output has no text")
        longest = max(map(len, outputs))
        if longest > self._settings.max_output_chars:
            limit = self._settings.max_output_chars
            return Examined("too_long", f"the output has {longest} characters, allowed are {limit}")
        return Examined("valid", verdict.detail, with_outputs(task_type, task, outputs))

    async def _judge(self, task: JudgeTask) -> Judgement:
        judgement = await self._judgements.result(task)
        self._tally.answers.update(status.value for status in judgement.statuses)
        self._tally.signals.update(judgement.signals)
        self._tally.usage += judgement.usage
        return judgement

    async def _end(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        for stream in self._streams:
            await stream.close()
        await self._verifier.close()

    # ---- between the threads ----

    def _start[Result](self, work: Coroutine[Any, Any, Result]) -> Future[Result]:
        async def owned() -> Result:
            task = asyncio.current_task()
            assert task is not None
            self._running.add(task)
            try:
                return await work
            finally:
                self._running.discard(task)

        return asyncio.run_coroutine_threadsafe(owned(), self._loop)

    def _call[Result](self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


class _Stream[Item: (Triplet, JudgeTask), Result: (Verdict, Judgement)]:
    """A batch method of an executor that items are fed to one by one, for as long as it lives."""

    def __init__(
        self,
        open_batch: Callable[[AsyncIterable[Item]], AsyncGenerator[Result, None]],
        patience_s: float,
    ) -> None:
        self._open_batch: Callable[[AsyncIterable[Item]], AsyncGenerator[Result, None]] = open_batch
        self._patience_s = patience_s
        self._queue: asyncio.Queue[Item] = asyncio.Queue()
        self._waiting: dict[int, tuple[Item, asyncio.Future[Result]]] = {}
        self._next = 0
        self._retries = 0
        self._lost: ExecutorLost | None = None
        self._server: asyncio.Task[None] | None = None

    async def result(self, item: Item) -> Result:
        """The result of an item."""
        number, self._next = self._next, self._next + 1
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        marked = item.model_copy(update={"id": number})
        self._waiting[number] = (marked, future)
        self._queue.put_nowait(marked)
        if self._server is None or self._server.done():
            self._server = asyncio.get_running_loop().create_task(self._serve())
        try:
            return await future
        finally:
            self._waiting.pop(number, None)

    def take_retries(self) -> int:
        """Retries since the last call."""
        taken, self._retries = self._retries, 0
        return taken

    async def close(self) -> None:
        """End the batch."""
        if self._server is not None:
            self._server.cancel()
            await asyncio.gather(self._server, return_exceptions=True)

    async def _serve(self) -> None:
        pause, failing_since = _FIRST_PAUSE_S, None
        while True:
            try:
                async with aclosing(self._open_batch(self._source())) as results:
                    async for result in results:
                        pause, failing_since = _FIRST_PAUSE_S, None
                        self._deliver(result)
                error: Exception = ExecutorLost("the executor ended a batch that was still open")
            except Exception as caught:
                error = caught
            now = time.monotonic()
            failing_since = failing_since if failing_since is not None else now
            if not _is_passing(error) or now - failing_since >= self._patience_s:
                self._give_up(error)
                return
            self._retries += 1
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
            self._hand_over_again()

    async def _source(self) -> AsyncGenerator[Item, None]:
        while True:
            item = await self._queue.get()
            if item.id in self._waiting:  # not cancelled meanwhile
                yield item

    def _deliver(self, result: Result) -> None:
        assert isinstance(result.id, int)
        _, future = self._waiting.get(result.id, (None, None))
        if future is not None and not future.done():
            future.set_result(result)

    def _hand_over_again(self) -> None:
        self._queue = asyncio.Queue()
        for item, future in self._waiting.values():
            if not future.done():
                self._queue.put_nowait(item)

    def _give_up(self, error: Exception) -> None:
        self._queue = asyncio.Queue()
        lost = ExecutorLost(f"the executor cannot be used: {error or type(error).__name__}")
        lost.__cause__ = error
        for _, future in self._waiting.values():
            if not future.done():
                future.set_exception(lost)


def _is_passing(error: Exception) -> bool:
    """Whether it may help to try again."""
    if isinstance(error, ConfigurationError | ExecutorClosed | InputError):
        return False
    return isinstance(error, ExecutorError | ExecutorLost | OSError | TimeoutError)


# -- The executor's models ------------------------------------------------------------------------


def validation_options(settings: AzrSettings) -> tuple[Options, Options]:
    """The rules that proposals are validated under: for values, and for error deduction."""
    strategy = settings.data_selection_strategy
    bans = tuple(dict.fromkeys(strategy.banned_words))
    keywords: tuple[Literal["raise", "assert", "try"], ...] = tuple(
        dict.fromkeys(
            "try" if word == "except" else word
            for word in strategy.banned_keywords_for_errors_and_exceptions
        )
    )
    rules = Rules(banned_modules=bans)
    strict = rules.model_copy(update={"banned_keywords": keywords})
    return Options(rules=rules), Options(rules=strict)


def triplet(task_type: TaskType, task: Task) -> Triplet:
    """A task to validate; outputs that it lacks are not compared."""
    if isinstance(task, InductionTask):
        return Triplet(
            program=task.snippet,
            inputs=task.inputs,
            outputs=task.outputs or None,
            imports=task.imports,
        )
    return Triplet(
        program=task.snippet,
        inputs=(task.input,),
        outputs=(task.output,) if task.output else None,
        imports=task.imports,
        expects="error" if task_type is TaskType.ERROR else "value",
    )


def judge_task(
    task_type: TaskType,
    task: Task,
    answers: Sequence[str],
    scoring: Literal["binary", "accuracy", "if_one_correct"],
) -> JudgeTask:
    """Answers to score; for induction on the hidden pairs only."""
    if isinstance(task, InductionTask):
        hidden = task.hidden
        return JudgeTask(
            task=task_type,
            answers=tuple(answers),
            program=task.snippet,
            imports=task.imports,
            inputs=tuple(given for given, _ in hidden),
            outputs=tuple(output for _, output in hidden),
            scoring=_SCORING[scoring],
        )
    return JudgeTask(
        task=task_type,
        answers=tuple(answers),
        program=task.snippet,
        imports=task.imports,
        inputs=(task.input,),
        outputs=(task.output,),
    )


_SCORING: dict[str, Literal["binary", "fraction", "any"]] = {
    "binary": "binary",
    "accuracy": "fraction",
    "if_one_correct": "any",
}


def with_outputs(task_type: TaskType, task: Task, outputs: tuple[str, ...]) -> Task:
    """A validated task: the executor's outputs, and the types of its values."""
    if isinstance(task, InductionTask):
        return replace(
            task,
            outputs=outputs,
            input_types=tuple(map(type_of_arguments, task.inputs)),
            output_types=tuple(map(type_of_value, outputs)),
        )
    is_error = task_type is TaskType.ERROR
    return replace(
        task,
        output=outputs[0],
        input_type=type_of_arguments(task.input),
        output_type=EXCEPTION_TYPE if is_error else type_of_value(outputs[0]),
    )

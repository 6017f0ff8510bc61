"""The executor, as the game uses it: proposals in, tasks out; answers in, scores out.

All work goes through the batch methods of an :class:`executor.Executor` (or a remote one of the
same shape), on an event loop in a thread of its own. Methods here return futures at once, so a
synchronous trainer can hand over responses while generation goes on. Nothing that a model wrote is
evaluated here: source is parsed in a :class:`ParserPool`, and runs in the executor.

An executor that cannot be reached is waited for; what was in its hands is handed over again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from executor import (
    ExecutorClosed,
    Judgement,
    JudgeTask,
    LoopThread,
    Options,
    Status,
    Triplet,
    Usage,
    Verdict,
)
from trainer.game.play.batch_stream import BatchStream, Verifier
from trainer.game.play.executor_models import (
    judge_task,
    triplet,
    validation_options,
    with_outputs,
)
from trainer.game.play.parser_pool import ParserPool
from trainer.game.settings import AzrSettings
from trainer.game.tasks.held_out import read_programs
from trainer.game.tasks.task import InductionTask, ProgramTask, Task, TaskType, normal_source
from trainer.game.texts.cleaning import Program, Refused
from trainer.game.texts.parsing import InductionProposal, ProgramProposal

HELD_OUT = "held_out"


@dataclass(frozen=True, slots=True)
class Examined:
    """The result of examining a proposal."""

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
    """Counts of the executor's work."""

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
        settings: Bans, limits of outputs, patience, and how proposals are cleaned.
        parser_processes: How many processes parse source; see :class:`ParserPool`.

    Raises:
        SeedError: the file of held-out tasks cannot be used.
    """

    def __init__(
        self, verifier: Verifier, settings: AzrSettings, *, parser_processes: int | None = None
    ) -> None:
        self._verifier = verifier
        self._settings = settings
        self._parser_processes = parser_processes
        self._held_out = read_programs(settings.held_out_tasks)
        self._thread: LoopThread | None = None
        self._tally = Tally()
        self._streams: list[BatchStream[Any, Any]] = []
        self._own_retries = 0

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> None:
        """Open the executor, and start the processes that parse.

        Raises:
            ExecutorError: the executor cannot be opened; nothing is left running then.
        """
        config = self._settings.reward.generation_reward_config
        self._parsers = ParserPool(config, processes=self._parser_processes)
        self._thread = LoopThread("task-judge")
        try:
            self._thread.call(self._open())
        except BaseException:
            self._stop()
            raise

    def close(self) -> None:
        """End the executor and all that is under way. Safe to call twice."""
        if self._thread is None:
            return
        try:
            self._thread.call(self._end())
        finally:
            self._stop()

    def _stop(self) -> None:
        thread, self._thread = self._thread, None
        assert thread is not None
        thread.stop()
        self._parsers.close()

    @property
    def parsers(self) -> ParserPool:
        """The pool that parses source."""
        return self._parsers

    def examine_program(
        self, task_type: TaskType, proposal: ProgramProposal, functions: Sequence[str] = ()
    ) -> Future[Examined]:
        """Clean a proposed program and validate it with its input.

        ``functions`` are the sources of ``g_0``... that it was given. The future raises
        :class:`ExecutorLost` if the executor stays away for too long.
        """
        return self._running.submit(self._examine_program(task_type, proposal, tuple(functions)))

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
        return self._running.submit(self._examine_task(TaskType.INDUCTION, task))

    def revalidate(self, task_type: TaskType, task: Task) -> Future[Examined]:
        """Validate a complete task: its outputs must be what the program gives."""
        return self._running.submit(self._examine_task(task_type, task))

    def judge(self, task_type: TaskType, task: Task, answers: Sequence[str]) -> Future[Judgement]:
        """Score the answers of a task. Raises as :meth:`examine_program`."""
        wanted = judge_task(task_type, task, answers, self._settings.reward.code_f_reward_type)
        return self._running.submit(self._judge(wanted))

    def take_tally(self) -> Tally:
        """Counts since the last call."""

        async def take() -> Tally:
            taken, self._tally = self._tally, Tally()
            taken.retries = sum(stream.take_retries() for stream in self._streams)
            # A remote executor also repeats requests by itself.
            stats = getattr(self._verifier, "stats", None)
            total = getattr(stats(), "retries", 0) if stats else 0
            taken.retries += total - self._own_retries
            self._own_retries = total
            return taken

        return self._running.call(take())

    @property
    def _running(self) -> LoopThread:
        if self._thread is None:
            raise ExecutorClosed("the judge is not open")
        return self._thread

    # ---- on the loop ----

    async def _open(self) -> None:
        await self._verifier.__aenter__()
        patience = self._settings.executor_patience_s
        values, errors = validation_options(self._settings)

        def validations(options: Options) -> BatchStream[Triplet, Verdict]:
            return BatchStream(
                lambda source: self._verifier.validate_many(source, ordered=False, options=options),
                patience,
            )

        self._validate_values = validations(values)
        self._validate_errors = validations(errors)
        self._judgements: BatchStream[JudgeTask, Judgement] = BatchStream(
            lambda source: self._verifier.judge_many(source, ordered=False, options=Options()),
            patience,
        )
        self._streams = [self._validate_values, self._validate_errors, self._judgements]

    async def _examine_program(
        self, task_type: TaskType, proposal: ProgramProposal, functions: tuple[str, ...]
    ) -> Examined:
        program = await asyncio.wrap_future(self._parsers.prepare(proposal.code, functions))
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
        alone = await asyncio.wrap_future(self._parsers.prepare(proposal.code))
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
        for stream in self._streams:
            await stream.close()
        await self._verifier.close()

"""A step's prompts: which reference tasks a proposer sees, which task a solver gets."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.game.errors import GameError, PromptTooLong
from trainer.game.play.parser_pool import ParserPool
from trainer.game.play.sampling import draw_references, draw_solver_tasks
from trainer.game.policy import Message
from trainer.game.settings import GameSettings
from trainer.game.tasks.buffers import Buffers
from trainer.game.tasks.task import Kind, ProgramTask, Role, Task, TaskType, task_from_json
from trainer.game.texts.cleaning import Refused
from trainer.game.texts.composite import composition_at, draw_functions
from trainer.game.texts.prompts import PromptBook

type Json = Any
type TokenCounter = Callable[[Sequence[Message]], int]
"""Tokens of a prompt, with all that the chat template adds."""

_TRIES = 32
"""Other tasks that are tried where one makes a prompt that is too long."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt with what it was made of."""

    kind: Kind
    messages: tuple[Message, ...]
    task: Task | None = None
    """The task that a solver has to solve."""
    references: tuple[ProgramTask, ...] = ()
    """Tasks that a proposer is shown; for induction the program to use."""
    functions: tuple[str, ...] = ()
    """Sources of ``g_0``... that a composite program has to build on."""

    def to_json(self) -> dict[str, Json]:
        """The prompt as JSON values; :meth:`from_json` gives an equal one."""
        return {
            "kind": self.kind.name,
            "messages": [[message.role, message.content] for message in self.messages],
            "task": self.task.to_json() if self.task else None,
            "references": [task.to_json() for task in self.references],
            "functions": list(self.functions),
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Json]) -> Prompt:
        """Read what :meth:`to_json` gave."""
        references = [task_from_json(task) for task in row["references"]]
        return cls(
            kind=Kind.of(row["kind"]),
            messages=tuple(Message(role, content) for role, content in row["messages"]),
            task=task_from_json(row["task"]) if row["task"] else None,
            references=tuple(task for task in references if isinstance(task, ProgramTask)),
            functions=tuple(row["functions"]),
        )


class Drawer:
    """Makes prompts from the buffers as they stand."""

    def __init__(
        self,
        settings: GameSettings,
        buffers: Buffers,
        parsers: ParserPool,
        rng: random.Random,
        count_tokens: TokenCounter | None,
    ) -> None:
        self._settings = settings
        self._strategy = settings.azr.data_selection_strategy
        self._buffers = buffers
        self._parsers = parsers
        self._rng = rng
        self._count_tokens = count_tokens
        self.book = PromptBook(settings)

    def fits(self, messages: Sequence[Message]) -> bool:
        """Whether a prompt is within the length limit."""
        if self._count_tokens is None:
            return True
        return self._count_tokens(messages) <= self._settings.longest_prompt

    def draw(self, kind: Kind, count: int, step: int) -> list[Prompt]:
        """Prompts of a kind.

        Raises:
            GameError: there is nothing to make prompts of.
            PromptTooLong: none fits the length limit.
        """
        if kind.role is Role.SOLVE:
            return self._solver_prompts(kind, count, step)
        pool = self._buffers.references(kind.task)
        if not pool:
            raise GameError(f"there are no programs to propose {kind.task.value} tasks from")
        return [self.proposer_prompt(kind.task, pool, step) for _ in range(count)]

    def proposer_prompt(
        self, task_type: TaskType, pool: Sequence[ProgramTask], step: int
    ) -> Prompt:
        """One proposer's prompt, with references of a pool.

        As many references as fit are shown: the longest ones are left out first. (AZR draws again,
        for ever if need be.)

        Raises:
            PromptTooLong: it does not fit even so.
        """
        weights = self._settings.azr.gen_data_probabilities_strategy
        if task_type is TaskType.INDUCTION:
            return self._induction_prompt(pool)
        references = draw_references(pool, self._strategy.io_n, weights, self._rng)
        functions = self._functions(pool, len(references), step)
        if not self._settings.azr.reward.generation_reward_config.include_references:
            references = []
        kind = Kind(Role.PROPOSE, task_type)
        while True:
            messages = self.book.propose(task_type, references, functions)
            if self.fits(messages):
                return Prompt(kind, messages, references=tuple(references), functions=functions)
            if functions:
                functions = ()
            elif references:
                references.remove(max(references, key=_size))
            else:
                raise PromptTooLong(self._too_long(kind))

    def _induction_prompt(self, pool: Sequence[ProgramTask]) -> Prompt:
        kind = Kind(Role.PROPOSE, TaskType.INDUCTION)
        weights = self._settings.azr.gen_data_probabilities_strategy
        for _ in range(_TRIES):
            references = draw_references(pool, 1, weights, self._rng)
            messages = self.book.propose(TaskType.INDUCTION, references)
            if self.fits(messages):
                return Prompt(kind, messages, references=tuple(references))
        raise PromptTooLong(self._too_long(kind))

    def _functions(self, pool: Sequence[ProgramTask], shown: int, step: int) -> tuple[str, ...]:
        composition = composition_at(self._strategy, step)
        chosen = draw_functions(pool, shown, composition, self._rng)
        if not chosen:
            return ()
        sources = self._parsers.as_functions([task.snippet for task in chosen]).result()
        return () if isinstance(sources, Refused) else sources

    def _solver_prompts(self, kind: Kind, count: int, step: int) -> list[Prompt]:
        buffer = self._buffers[kind.task]
        if not len(buffer):
            raise GameError(f"there are no {kind.task.value} tasks to solve: seeds are missing")
        tasks = draw_solver_tasks(
            buffer,
            count,
            self._settings.azr.pred_data_mix_strategy,
            self._rng,
            now=step,
            window=self._settings.azr.new_window,
        )
        prompts = self._fitting(kind, tasks)
        if not prompts:
            others = self._rng.sample(buffer.tasks, min(_TRIES, len(buffer)))
            prompts = self._fitting(kind, others)[:count]
        if not prompts:
            raise PromptTooLong(self._too_long(kind))
        return prompts + self._rng.choices(prompts, k=count - len(prompts))

    def _fitting(self, kind: Kind, tasks: Sequence[Task]) -> list[Prompt]:
        prompts = (Prompt(kind, self.book.solve(kind.task, task), task=task) for task in tasks)
        return [prompt for prompt in prompts if self.fits(prompt.messages)]

    def _too_long(self, kind: Kind) -> str:
        return (
            f"no prompt of {kind.name} is within {self._settings.longest_prompt} tokens: raise "
            "data.max_prompt_length and azr.data_selection_strategy.content_max_length"
        )


def _size(task: ProgramTask) -> int:
    return len(task.snippet) + len(task.input) + len(task.output)

"""The first tasks: read from seed files, or made by the model from one trivial program."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from trainer.game.errors import SeedError
from trainer.game.play.drawing import Drawer, Prompt, TokenCounter
from trainer.game.play.judging import Examined, TaskJudge
from trainer.game.play.responses import Responses
from trainer.game.play.seed_files import SeedReport, load_seeds, write_seeds
from trainer.game.play.seed_sets import ERRORS, INDUCTIONS, PROGRAMS, SeedSet, needed_sets
from trainer.game.policy import Policy, Request
from trainer.game.settings import GameSettings
from trainer.game.tasks.buffers import Buffer, Buffers
from trainer.game.tasks.task import (
    InductionTask,
    ProgramTask,
    Task,
    TaskType,
)

type Say = Callable[[str], None]

_IDENTITY = "def f(a):\n    return a"
_MATRIX = '"[[1, 0, 0], [0, 0, 0], [0, 0, 0]]"'
_IDENTITY_INPUTS = (
    '"Hello world"',
    "1",
    "dict(a=1, b=2)",
    "(1.1, 1.2, 1.3)",
    _MATRIX,
    "1001101100010001",
)


def identity_task(task_type: TaskType) -> Task:
    """The one task that everything can start from: a function that returns its argument."""
    if task_type is TaskType.INDUCTION:
        message = "The function gives back what it is given."
        return InductionTask(_IDENTITY, _IDENTITY_INPUTS, _IDENTITY_INPUTS, message)
    output = "NoError" if task_type is TaskType.ERROR else _IDENTITY_INPUTS[0]
    return ProgramTask(_IDENTITY, _IDENTITY_INPUTS[0], output, original_snippet=_IDENTITY)


@dataclass(frozen=True, slots=True)
class Seeds:
    """The seed sets of a run."""

    programs: tuple[ProgramTask, ...] = ()
    """For abduction and deduction."""
    errors: tuple[ProgramTask, ...] = ()
    inductions: tuple[InductionTask, ...] = ()
    reports: tuple[SeedReport, ...] = ()


# -- From nothing ---------------------------------------------------------------------------------


class Seeder:
    """Makes seeds by prompting a model, from the identity program on.

    Raises:
        TemplateError: from the constructor; a prompt template cannot be used.
    """

    def __init__(
        self,
        settings: GameSettings,
        judge: TaskJudge,
        policy: Policy,
        *,
        count_tokens: TokenCounter | None = None,
        say: Say = lambda _: None,
    ) -> None:
        self._settings = settings
        self._judge = judge
        self._policy = policy
        self._say = say
        rng = random.Random(settings.azr.seed)
        empty = Buffers(())
        self._drawer = Drawer(settings, empty, judge.parsers, rng, count_tokens)
        self._responses = Responses(settings, judge)
        self._rounds = 0

    def make(self, wanted: SeedSet, programs: Sequence[ProgramTask]) -> Sequence[Task]:
        """A set of seeds; ``programs`` are what induction tasks are made about.

        Raises:
            SeedError: they do not come, in ``azr.seeding_max_rounds`` rounds.
            ExecutorLost: the executor cannot be reached.
        """
        if wanted is INDUCTIONS:
            return self.inductions(programs)
        if wanted is ERRORS:
            return self.programs([TaskType.ERROR])
        played = self._settings.azr.task_types
        proposing = [kind for kind in played if kind in (TaskType.ABDUCTION, TaskType.DEDUCTION)]
        return self.programs(proposing or [TaskType.DEDUCTION])

    def programs(
        self, task_types: Sequence[TaskType], start: Iterable[ProgramTask] = ()
    ) -> list[ProgramTask]:
        """Programs with an input and its output, by the proposers of these types in turn.

        As AZR, the whole response is searched for a proposal: a model that is not trained yet may
        lack the tags. Error deduction has a set of its own: pass it alone.

        Raises as :meth:`make`.
        """
        found = Buffer()
        for task in (self._first(task_types[0]), *start):
            found.add(task)
        wanted = self._settings.seeds_wanted
        turn = 0
        while len(found) < wanted:
            task_type = task_types[turn % len(task_types)]
            turn += 1
            self._count_round(f"{len(found)} of {wanted} {task_type.value} seeds")
            pool = _programs(found)
            prompts = [
                self._drawer.proposer_prompt(task_type, pool, 0)
                for _ in range(self._settings.train_batch_size)
            ]
            for examined in self._examine(prompts):
                if examined.task is not None:
                    found.add(examined.task)
        return list(_programs(found)[:wanted])

    def inductions(self, programs: Sequence[ProgramTask]) -> list[InductionTask]:
        """Induction tasks about given programs. Raises as :meth:`make`."""
        found = Buffer()
        found.add(self._first(TaskType.INDUCTION))
        wanted = self._settings.seeds_wanted
        size = self._settings.train_batch_size
        at = 0
        while len(found) < wanted:
            self._count_round(f"{len(found)} of {wanted} induction seeds")
            batch = [programs[(at + more) % len(programs)] for more in range(size)]
            at += size
            prompts = [
                self._drawer.proposer_prompt(TaskType.INDUCTION, [program], 0) for program in batch
            ]
            for examined in self._examine(prompts):
                if examined.task is not None:
                    found.add(examined.task)
        return [task for task in found if isinstance(task, InductionTask)][:wanted]

    def _first(self, task_type: TaskType) -> Task:
        examined = self._judge.revalidate(task_type, identity_task(task_type)).result()
        if examined.task is None:
            raise SeedError(f"the executor refuses the identity function: {examined.detail}")
        return examined.task

    def _examine(self, prompts: Sequence[Prompt]) -> list[Examined]:
        """Prompt, and validate what comes, in the order of the prompts."""
        asked = {f"{prompt.kind.tag}-{at}": prompt for at, prompt in enumerate(prompts)}
        requests = [
            Request(name, prompt.kind, prompt.messages, train=False)
            for name, prompt in asked.items()
        ]
        pending = {
            response.request_id: self._responses.examine_text(
                asked[response.request_id], response.text
            )
            for response in self._policy.generate(requests)
        }
        return [pending[name].result() for name in asked if name in pending]

    def _count_round(self, progress: str) -> None:
        if self._rounds >= self._settings.azr.seeding_max_rounds:
            raise SeedError(
                f"the model made {progress} in {self._rounds} rounds "
                "(azr.seeding_max_rounds); start from seed files, or from a stronger model"
            )
        self._rounds += 1
        self._say(f"seeding, round {self._rounds}: {progress}")


# -- Both -----------------------------------------------------------------------------------------


def make_seeds(
    settings: GameSettings,
    judge: TaskJudge,
    policy: Policy | None,
    *,
    count_tokens: TokenCounter | None = None,
    say: Say = lambda _: None,
) -> Seeds:
    """The seed sets that the settings ask for: from their files, else made by the model.

    Sets that the model makes are written where ``output_..._path`` says. Sets of files are cut to
    ``settings.seeds_wanted``.

    Raises:
        SeedError: a file cannot be used, the model makes no seeds, or there is no model.
        ExecutorLost: the executor cannot be reached.
        OSError: a set cannot be written.
    """
    found: dict[SeedSet, tuple[Task, ...]] = {}
    reports = []
    seeder: Seeder | None = None
    for wanted in needed_sets(settings.azr):
        path = wanted.source(settings.azr)
        if path is not None:
            report = load_seeds(path, wanted.task_type, judge)
        elif policy is None:
            raise SeedError("there is neither a seed file for all task types nor a model")
        else:
            seeder = seeder or Seeder(settings, judge, policy, count_tokens=count_tokens, say=say)
            made = seeder.make(wanted, _programs(found.get(PROGRAMS, ())))
            report = SeedReport(f"{wanted.name}, made by the model", tuple(made))
            target = wanted.target(settings.azr)
            if target is not None:
                write_seeds(target, report.tasks)
        reports.append(report)
        say(report.summary())
        found[wanted] = report.tasks[: settings.seeds_wanted]
    return Seeds(
        programs=_programs(found.get(PROGRAMS, ())),
        errors=_programs(found.get(ERRORS, ())),
        inductions=tuple(
            task for task in found.get(INDUCTIONS, ()) if isinstance(task, InductionTask)
        ),
        reports=tuple(reports),
    )


def _programs(tasks: Iterable[Task]) -> tuple[ProgramTask, ...]:
    return tuple(task for task in tasks if isinstance(task, ProgramTask))


def fill_buffers(buffers: Buffers, seeds: Seeds) -> Mapping[TaskType, int]:
    """Put seeds into the buffers of all task types that they serve; how many each got."""
    sets: Mapping[TaskType, Sequence[Task]] = {
        TaskType.ABDUCTION: seeds.programs,
        TaskType.DEDUCTION: seeds.programs,
        TaskType.ERROR: seeds.errors,
        TaskType.INDUCTION: seeds.inductions,
    }
    buffers.keep_seeds(seeds.programs or seeds.errors)
    return {
        task_type: sum(buffers.add(task_type, task) for task in sets[task_type])
        for task_type in buffers.task_types
    }

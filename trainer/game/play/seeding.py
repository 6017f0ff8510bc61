"""The first tasks: read from AZR's seed files, or made by the model from one trivial program.

Every seed is validated anew, whoever made it: a row that the executor refuses is reported and left
out.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from trainer.files import write_atomically
from trainer.game.errors import SeedError
from trainer.game.play.drawing import Drawer, Prompt, TokenCounter
from trainer.game.play.judging import Examined, TaskJudge
from trainer.game.policy import Policy, Request
from trainer.game.settings import GameSettings
from trainer.game.tasks.buffers import Buffer, Buffers
from trainer.game.tasks.task import (
    InductionTask,
    Kind,
    MalformedTask,
    ProgramTask,
    Role,
    Task,
    TaskType,
    task_from_json,
)
from trainer.game.texts.parsing import (
    Malformed,
    parse_induction_proposal,
    parse_program_proposal,
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


class Refusal(NamedTuple):
    """A row that is no seed."""

    row: int
    """Number of the row, from 1."""
    status: str
    """``malformed``, ``duplicate``, or what the executor says."""
    detail: str


@dataclass(frozen=True, slots=True)
class SeedReport:
    """What became of a seed set."""

    source: str
    tasks: tuple[Task, ...]
    refused: tuple[Refusal, ...] = field(default=())

    def summary(self) -> str:
        """A sentence for people."""
        if not self.refused:
            return f"{self.source}: {len(self.tasks)} seeds"
        reasons = Counter(refusal.status for refusal in self.refused)
        listed = ", ".join(f"{count} {status}" for status, count in reasons.most_common())
        return (
            f"{self.source}: {len(self.tasks)} seeds; {len(self.refused)} rows left out ({listed})"
        )


@dataclass(frozen=True, slots=True)
class Seeds:
    """The seed sets of a run."""

    programs: tuple[ProgramTask, ...] = ()
    """For abduction and deduction."""
    errors: tuple[ProgramTask, ...] = ()
    inductions: tuple[InductionTask, ...] = ()
    reports: tuple[SeedReport, ...] = ()


# -- Files ----------------------------------------------------------------------------------------


def read_rows(path: Path) -> tuple[list[tuple[int, Task]], list[Refusal]]:
    """The tasks of a file in AZR's jsonl format, by row, and the rows that are none.

    Raises:
        SeedError: the file cannot be read, or holds no task.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SeedError(f"the seed file {path} cannot be read: {error}") from error
    rows: list[tuple[int, Task]] = []
    refused = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rows.append((number, task_from_json(json.loads(line)).at_step(0)))
        except (json.JSONDecodeError, RecursionError) as error:
            refused.append(Refusal(number, "malformed", f"no JSON: {error}"))
        except MalformedTask as error:
            refused.append(Refusal(number, "malformed", str(error)))
    if not rows:
        reason = f"; the first row: {refused[0].detail}" if refused else ""
        raise SeedError(f"the seed file {path} holds no task{reason}")
    return rows, refused


def load_seeds(path: Path, task_type: TaskType, judge: TaskJudge) -> SeedReport:
    """The sound tasks of a seed file, each once, with outputs as the executor writes them.

    ``task_type``: any of deduction and abduction for programs with one input, which are the same.

    Raises:
        SeedError: the file cannot be read, or holds no sound task of this type.
        ExecutorLost: the executor cannot be reached.
    """
    rows, refused = read_rows(path)
    wants_induction = task_type is TaskType.INDUCTION
    known: set[str] = set()
    pending: list[tuple[int, Future[Examined]]] = []
    for number, task in rows:
        if isinstance(task, InductionTask) != wants_induction:
            wanted = "several inputs" if wants_induction else "one input"
            refused.append(Refusal(number, "malformed", f"wanted is a task with {wanted}"))
        elif task.key in known:
            refused.append(Refusal(number, "duplicate", "the same program and input stand above"))
        else:
            known.add(task.key)
            pending.append((number, judge.revalidate(task_type, task)))
    tasks: list[Task] = []
    for number, future in pending:
        examined = future.result()
        if examined.task is not None:
            tasks.append(examined.task)
        else:
            refused.append(Refusal(number, examined.status, examined.detail))
    refused.sort()
    if not tasks:
        raise SeedError(f"the seed file {path} holds no sound task: {refused[0].detail}")
    return SeedReport(str(path), tuple(tasks), tuple(refused))


def write_seeds(path: Path, tasks: Iterable[Task]) -> None:
    """Write tasks in AZR's jsonl format; the file is there as a whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    for task in tasks:
        row = task.to_json()
        del row["step"]
        rows.append(json.dumps(row) + "\n")
    write_atomically(path, "".join(rows))


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
        self._rounds = 0

    def programs(
        self, task_types: Sequence[TaskType], start: Iterable[ProgramTask] = ()
    ) -> list[ProgramTask]:
        """Programs with an input and its output, by the proposers of these types in turn.

        As AZR, the whole response is searched for a proposal: a model that is not trained yet may
        lack the tags. Error deduction has a set of its own: pass it alone.

        Raises:
            SeedError: they do not come, in ``azr.seeding_max_rounds`` rounds.
            ExecutorLost: the executor cannot be reached.
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
            pool = [task for task in found if isinstance(task, ProgramTask)]
            prompts = [
                self._drawer.proposer_prompt(task_type, pool, 0)
                for _ in range(self._settings.train_batch_size)
            ]
            for examined in self._examine(prompts):
                if examined.task is not None:
                    found.add(examined.task)
        return [task for task in found if isinstance(task, ProgramTask)][:wanted]

    def inductions(self, programs: Sequence[ProgramTask]) -> list[InductionTask]:
        """Induction tasks about given programs. Raises as :meth:`programs`."""
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
        pending: dict[str, Future[Examined]] = {}
        for response in self._policy.generate(requests):
            future = self._start(asked[response.request_id], response.text)
            if future is not None:
                pending[response.request_id] = future
        return [pending[name].result() for name in asked if name in pending]

    def _start(self, prompt: Prompt, text: str) -> Future[Examined] | None:
        config = self._settings.azr.reward.generation_reward_config
        if prompt.kind == Kind(Role.PROPOSE, TaskType.INDUCTION):
            wanted = self._settings.azr.data_selection_strategy.num_inputs
            inputs = parse_induction_proposal(text, num_inputs=wanted)
            if isinstance(inputs, Malformed):
                return None
            return self._judge.examine_induction(prompt.references[0], inputs)
        program = parse_program_proposal(text, code_location=config.code_location)
        if isinstance(program, Malformed):
            return None
        return self._judge.examine_program(prompt.kind.task, program)

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
    azr = settings.azr
    played = set(azr.task_types)
    reports: list[SeedReport] = []
    seeder: Seeder | None = None

    def maker() -> Seeder:
        nonlocal seeder
        if policy is None:
            raise SeedError("there is neither a seed file for all task types nor a model")
        if seeder is None:
            seeder = Seeder(settings, judge, policy, count_tokens=count_tokens, say=say)
        return seeder

    def from_file(path: str, task_type: TaskType) -> list[Task]:
        report = load_seeds(Path(path).expanduser(), task_type, judge)
        reports.append(report)
        say(report.summary())
        return list(report.tasks[: settings.seeds_wanted])

    def made(tasks: Sequence[Task], path: str | None, name: str) -> list[Task]:
        reports.append(SeedReport(f"{name}, made by the model", tuple(tasks)))
        say(reports[-1].summary())
        if path:
            write_seeds(Path(path).expanduser(), tasks)
        return list(tasks)

    programs: list[Task] = []
    if played - {TaskType.ERROR}:
        if azr.seed_dataset:
            programs = from_file(azr.seed_dataset, TaskType.DEDUCTION)
        else:
            types = [t for t in azr.task_types if t in (TaskType.ABDUCTION, TaskType.DEDUCTION)]
            drawn = maker().programs(types or [TaskType.DEDUCTION])
            programs = made(drawn, azr.output_seed_path, "programs")
    errors: list[Task] = []
    if TaskType.ERROR in played:
        if azr.error_seed_dataset:
            errors = from_file(azr.error_seed_dataset, TaskType.ERROR)
        else:
            drawn = maker().programs([TaskType.ERROR])
            errors = made(drawn, azr.output_error_seed_path, "error deduction")
    inductions: list[Task] = []
    if TaskType.INDUCTION in played:
        if azr.code_f_seed_dataset:
            inductions = from_file(azr.code_f_seed_dataset, TaskType.INDUCTION)
        else:
            known = [task for task in programs if isinstance(task, ProgramTask)]
            inductions = made(maker().inductions(known), azr.output_code_f_seed_path, "induction")
    return Seeds(
        programs=tuple(task for task in programs if isinstance(task, ProgramTask)),
        errors=tuple(task for task in errors if isinstance(task, ProgramTask)),
        inductions=tuple(task for task in inductions if isinstance(task, InductionTask)),
        reports=tuple(reports),
    )


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

"""The tasks that self-play has found: one buffer per task type, and statistics of their values."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from trainer.game.errors import StateError
from trainer.game.tasks.task import (
    AZR_NAMES,
    TASK_ORDER,
    InductionTask,
    MalformedTask,
    ProgramTask,
    Task,
    TaskType,
    task_from_json,
)

type Json = Any

_STATE_VERSION = 1


class TypeCounts:
    """Counts of the texts that were seen, by the type of the value they write."""

    def __init__(self) -> None:
        self._types: dict[str, Counter[str]] = {}
        self._texts: Counter[str] = Counter()
        self._total = 0

    def add(self, type_name: str, text: str, times: int = 1) -> None:
        """Count a text; a negative number of times takes it back."""
        texts = self._types.setdefault(type_name, Counter())
        for counter in (texts, self._texts):
            counter[text] += times
            if not counter[text]:
                del counter[text]
        if not texts:
            del self._types[type_name]
        self._total += times

    def rarity(self, type_name: str, text: str) -> tuple[float, float]:
        """The rarity of an answer, from 0 to 1: flat, and hierarchical.

        Flat is 1 - P(text). Hierarchical is the mean of 1 - P(type) and 1 - P(text | type). What
        was never seen has probability 0.
        """
        if not self._total:
            return 1.0, 1.0
        texts = self._types.get(type_name, Counter())
        of_type = texts.total()
        flat = 1 - self._texts[text] / self._total
        within = 1 - texts[text] / of_type if of_type else 1.0
        return flat, ((1 - of_type / self._total) + within) / 2

    def statistics(self) -> dict[str, tuple[int, int]]:
        """For each type the number of different texts and of all texts."""
        return {name: (len(texts), texts.total()) for name, texts in self._types.items()}


class Buffer:
    """Tasks of one type, oldest first; only ever appended to.

    A full buffer loses its oldest tasks. A task that is held already is refused, if ``dedup``.
    """

    def __init__(self, *, capacity: int | None = None, dedup: bool = True) -> None:
        self._tasks: list[Task] = []
        self._keys: Counter[str] = Counter()
        self._capacity = capacity
        self._dedup = dedup

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks)

    def __contains__(self, task: Task) -> bool:
        return task.key in self._keys

    @property
    def tasks(self) -> Sequence[Task]:
        """All tasks; do not change the list."""
        return self._tasks

    def add(self, task: Task) -> tuple[bool, tuple[Task, ...]]:
        """Append a task; says whether it was, and which old ones had to go.

        Raises:
            ValueError: the task is of an earlier step than the last one.
        """
        if self._tasks and task.step < self._tasks[-1].step:
            raise ValueError(f"a task of step {task.step} after step {self._tasks[-1].step}")
        key = task.key
        if self._dedup and key in self._keys:
            return False, ()
        self._tasks.append(task)
        self._keys[key] += 1
        surplus = len(self._tasks) - self._capacity if self._capacity is not None else 0
        gone = tuple(self._tasks[: max(surplus, 0)])
        del self._tasks[: len(gone)]
        for old in gone:
            self._forget(old.key)
        return True, gone

    def recent(self, now: int, window: int) -> Sequence[Task]:
        """The tasks whose step is at most ``window`` before ``now``."""
        first = bisect_left(self._tasks, now - window, key=lambda task: task.step)
        return self._tasks[first:]

    def _forget(self, key: str) -> None:
        self._keys[key] -= 1
        if not self._keys[key]:
            del self._keys[key]


class Buffers:
    """One buffer for each task type that is played, the seeds, and type statistics.

    The statistics count what the buffers hold: the inputs of abduction, the outputs of deduction,
    both of induction, the exceptions of error deduction.
    """

    def __init__(
        self,
        task_types: Iterable[TaskType],
        *,
        capacity: int | None = None,
        dedup: bool = True,
    ) -> None:
        self._capacity, self._dedup = capacity, dedup
        wanted = set(task_types)
        self._types = tuple(task for task in TASK_ORDER if task in wanted)
        self._clear()

    def _clear(self) -> None:
        self._buffers = {
            task: Buffer(capacity=self._capacity, dedup=self._dedup) for task in self._types
        }
        self._seeds: list[ProgramTask] = []
        self.input_types = TypeCounts()
        self.output_types = TypeCounts()
        self.error_types = TypeCounts()

    def __getitem__(self, task_type: TaskType) -> Buffer:
        return self._buffers[task_type]

    @property
    def task_types(self) -> tuple[TaskType, ...]:
        """The task types that have a buffer, in AZR's order."""
        return self._types

    @property
    def seeds(self) -> Sequence[ProgramTask]:
        """Programs to fall back on while no buffer holds any."""
        return self._seeds

    def keep_seeds(self, seeds: Iterable[ProgramTask]) -> None:
        """Remember programs as :attr:`seeds`; they are in no buffer."""
        self._seeds.extend(seeds)

    def add(self, task_type: TaskType, task: Task) -> bool:
        """Append a task to the buffer of its type; whether it was new.

        Raises:
            TypeError: an induction task elsewhere, or another task there.
            ValueError: the task is of an earlier step than the last one.
        """
        if isinstance(task, InductionTask) != (task_type is TaskType.INDUCTION):
            raise TypeError(f"{type(task).__name__} is no task of {task_type.value}")
        added, gone = self._buffers[task_type].add(task)
        if added:
            self._count(task_type, task, 1)
        for old in gone:
            self._count(task_type, old, -1)
        return added

    def references(self, task_type: TaskType) -> Sequence[ProgramTask]:
        """Tasks that a proposer of this type may be shown.

        Its own type's tasks; for induction the programs of abduction and deduction. Where there are
        none, the seeds.
        """
        sources = (
            (TaskType.ABDUCTION, TaskType.DEDUCTION)
            if task_type is TaskType.INDUCTION
            else (task_type,)
        )
        found = [
            task
            for source in sources
            if source in self._buffers
            for task in self._buffers[source]
            if isinstance(task, ProgramTask)
        ]
        return found or self._seeds

    def state(self) -> dict[str, Json]:
        """All tasks, as JSON; :meth:`restore` of it gives buffers with an equal state."""
        return {
            "version": _STATE_VERSION,
            "seeds": [task.to_json() for task in self._seeds],
            "tasks": {
                AZR_NAMES[kind]: [task.to_json() for task in buffer]
                for kind, buffer in self._buffers.items()
            },
        }

    def restore(self, state: Mapping[str, Json]) -> None:
        """Take over a saved state in place of what is here.

        Types that are no longer played are passed over, and new ones start empty.

        Raises:
            StateError: it is no such state; nothing has changed then.
        """
        try:
            if state["version"] != _STATE_VERSION:
                raise StateError(
                    f"the buffers are of version {state['version']}, not {_STATE_VERSION}"
                )
            seeds = [task_from_json(row) for row in state["seeds"]]
            tasks = {
                kind: [task_from_json(row) for row in state["tasks"].get(AZR_NAMES[kind], [])]
                for kind in self._types
            }
        except (KeyError, TypeError, AttributeError, MalformedTask) as error:
            raise StateError(f"the buffers cannot be read: {error!r}") from error
        self._clear()
        self._seeds = [task for task in seeds if isinstance(task, ProgramTask)]
        for kind, rows in tasks.items():
            for task in rows:
                self.add(kind, task)

    def _count(self, task_type: TaskType, task: Task, times: int) -> None:
        if isinstance(task, InductionTask):
            for name, text in zip(task.input_types, task.inputs, strict=False):
                self.input_types.add(name, text, times)
            for name, text in zip(task.output_types, task.outputs, strict=False):
                self.output_types.add(name, text, times)
        elif task_type is TaskType.ABDUCTION:
            self.input_types.add(task.input_type, task.input, times)
        elif task_type is TaskType.DEDUCTION:
            self.output_types.add(task.output_type, task.output, times)
        else:
            self.error_types.add(task.output_type, task.output, times)

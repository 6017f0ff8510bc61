"""Drawing from the buffers: reference tasks for proposers, tasks for solvers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

from trainer.game.tasks.buffers import Buffer
from trainer.game.tasks.task import ProgramTask, Task

type Mix = Literal["uniform_total", "max_new", "half_new", "step"]
type Weights = Literal["uniform", "step"]


def draw_references(
    pool: Sequence[ProgramTask], count: int, weights: Weights, rng: random.Random
) -> list[ProgramTask]:
    """Up to ``count`` different entries of a pool: all alike, or in proportion to step + 1."""
    count = min(count, len(pool))
    if weights == "uniform":
        return rng.sample(pool, count)
    # The largest of random() ** (1 / weight) are a draw one after the other without replacement.
    ranks = [rng.random() ** (1 / (task.step + 1)) for task in pool]
    order = sorted(range(len(pool)), key=ranks.__getitem__, reverse=True)
    return [pool[at] for at in order[:count]]


def draw_solver_tasks(
    buffer: Buffer, count: int, mix: Mix, rng: random.Random, *, now: int, window: int
) -> list[Task]:
    """Tasks for one batch of a solver.

    * ``max_new``: as many as there are of the last ``window`` steps, the rest from the others.
    * ``half_new``: at most half of them new, the rest from all others.
    * ``uniform_total``: all alike.
    * ``step``: with replacement, in proportion to step + 1. (AZR takes the step itself, which never
      shows seeds and fails while there is nothing else.)

    Tasks repeat only where there are fewer than wanted, which AZR takes for an error.

    Raises:
        ValueError: the buffer is empty.
    """
    tasks = buffer.tasks
    if not tasks:
        raise ValueError("the buffer is empty")
    if mix == "step":
        return rng.choices(tasks, weights=[task.step + 1 for task in tasks], k=count)
    new = list(buffer.recent(now, window)) if mix != "uniform_total" else []
    share = count // 2 if mix == "half_new" else count
    first = len(tasks) - len(new)
    at = [first + index for index in rng.sample(range(len(new)), min(len(new), share))]
    chosen = set(at)
    others = [index for index in range(len(tasks)) if index not in chosen]
    at += rng.sample(others, min(len(others), count - len(at)))
    drawn = [tasks[index] for index in at]
    if len(drawn) < count:
        drawn += rng.choices(drawn, k=count - len(drawn))
    return drawn

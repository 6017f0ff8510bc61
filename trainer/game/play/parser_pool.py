"""A few processes in which model-written source is parsed: for cleaning, composing and measuring.

Parsing is not execution, but CPython's parser can be stalled, crashed or made to eat memory by
text. Here that costs one process with limits, which is replaced, and never the trainer.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, TimeoutError
from types import TracebackType
from typing import Any, Self

from pebble import ProcessExpired, ProcessPool

from trainer.game.rules import intrinsic
from trainer.game.rules.intrinsic import ProposalView
from trainer.game.settings import GenerationRewardConfig, RewardTerm
from trainer.game.texts import composite
from trainer.game.texts.cleaning import Program, Refused, clean

_MEMORY = 2 << 30
_TIME_LIMIT_S = 10.0
_MOST_PROCESSES = 4


class ParserPool:
    """Runs jobs on source texts in processes of its own; a context manager.

    Args:
        config: How proposals are cleaned and measured.
        processes: How many; by default one per processor core, at most four.
    """

    def __init__(self, config: GenerationRewardConfig, *, processes: int | None = None) -> None:
        self._config = config
        # A fresh interpreter, not a fork: the trainer has threads, and perhaps a GPU.
        self._pool = ProcessPool(
            max_workers=processes or min(_MOST_PROCESSES, len(os.sched_getaffinity(0))),
            context=multiprocessing.get_context("spawn"),
            initializer=_start,
            initargs=(config.reward_modules,),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes, whatever they do."""
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()

    def prepare(self, code: str, functions: Sequence[str] = ()) -> Future[Program | Refused]:
        """Clean a program, and put it behind the functions ``g_0``... it was given, if any."""
        return self._do(_prepare, code, self._config, tuple(functions))

    def as_functions(self, sources: Sequence[str]) -> Future[tuple[str, ...] | Refused]:
        """Programs with their ``f`` called ``g_0``, ``g_1``..."""
        return self._do(_as_functions, tuple(sources))

    def measure(
        self, view: ProposalView, wanted: Mapping[str, RewardTerm]
    ) -> Future[dict[str, float] | Refused]:
        """The values of intrinsic rewards; raises ``RewardError`` where one of one's own fails."""
        return self._do(intrinsic.measure, view, dict(wanted))

    def _do(self, job: Callable[..., Any], *arguments: object) -> Future[Any]:
        done: Future[Any] = Future()
        work = self._pool.schedule(job, args=arguments, timeout=_TIME_LIMIT_S)
        work.add_done_callback(lambda finished: _hand_over(finished, done))
        return done


def _hand_over(finished: Future[Any], done: Future[Any]) -> None:
    if not done.set_running_or_notify_cancel():
        return
    try:
        done.set_result(finished.result())
    except TimeoutError:
        done.set_result(Refused(f"parsing the program takes more than {_TIME_LIMIT_S:g} s"))
    except (ProcessExpired, MemoryError, RecursionError):
        done.set_result(Refused("the program breaks Python's parser"))
    except BaseException as error:
        done.set_exception(error)


def _start(reward_modules: tuple[str, ...]) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    intrinsic.load_rewards(reward_modules)


def _prepare(
    code: str, config: GenerationRewardConfig, functions: tuple[str, ...]
) -> Program | Refused:
    program = clean(code, config)
    if isinstance(program, Refused) or not functions:
        return program
    try:
        return composite.compose(functions, program)
    except (SyntaxError, ValueError, RecursionError) as error:
        return Refused(f"the composite program cannot be parsed: {error}")


def _as_functions(sources: tuple[str, ...]) -> tuple[str, ...] | Refused:
    try:
        return tuple(composite.as_function(source, at) for at, source in enumerate(sources))
    except (SyntaxError, ValueError, RecursionError) as error:
        return Refused(f"a program cannot be parsed: {error}")

"""Parts that executors of all kinds share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import NamedTuple

from executor.backends.base import ProcessReuse


class ExecutorInfo(NamedTuple):
    """Facts about an open executor."""

    backend: str
    interpreter: str
    isolated: bool
    workers: int
    warnings: tuple[str, ...]
    """Weaknesses on this host, for people."""
    process_reuse: ProcessReuse = "fork"
    """``reset``: after each run its process is put back to what it was, byte for byte; ``fork``:
    each run has a new one."""


class Closing(ABC):
    """An asynchronous context manager whose end is :meth:`close`."""

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @abstractmethod
    async def close(self) -> None:
        """End everything. Calls in flight get ``ExecutorClosed``. Safe to call twice."""

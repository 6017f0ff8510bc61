"""Priority: the requests of an item wait in the order in which items arrived."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_yields_s: ContextVar[float] = ContextVar("yields_s", default=0.0)
_arrival: ContextVar[float] = ContextVar("arrival", default=0.0)


@contextmanager
def priority(*, yields_s: float) -> Iterator[None]:
    """Within the block: items that arrive up to so many seconds later go before those of now."""
    token = _yields_s.set(yields_s)
    try:
        yield
    finally:
        _yields_s.reset(token)


def yielding_s() -> float:
    """How much later than their arrival items of this context count as arrived."""
    return _yields_s.get()


def arrive() -> None:
    """An item begins: the requests of this context, from now on, are its own."""
    _arrival.set(time.monotonic() + _yields_s.get())


def arrived_at() -> float:
    """Time at which the item of this context arrived (monotonic seconds)."""
    return _arrival.get()

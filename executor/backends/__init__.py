"""Backends: ways to isolate what is run. See :mod:`executor.backends.base` for the interface."""

from __future__ import annotations

from executor.backends.base import Backend
from executor.errors import UnknownBackend
from executor.models import Limits

BACKENDS = ("nsjail", "process")
"""Names that :func:`open_backend` knows."""


def open_backend(name: str, limits: Limits) -> Backend:
    """Make a backend by name; it is not started yet. Raises :class:`UnknownBackend`."""
    if name == "nsjail":
        from executor.backends.nsjail import NsjailBackend  # noqa: PLC0415 - Linux only

        return NsjailBackend(limits)
    if name == "process":
        from executor.backends.process import ProcessBackend  # noqa: PLC0415

        return ProcessBackend(limits)
    raise UnknownBackend(f"unknown backend {name!r}; the backends are: {', '.join(BACKENDS)}")

"""The patience of a client."""

from __future__ import annotations

from pydantic import Field

from executor.models import Model


class Timeouts(Model):
    """Seconds that a client waits for a service."""

    connect_s: float = Field(5.0, gt=0)
    """For a connection."""
    silence_s: float = Field(180.0, gt=0)
    """For the next byte of an answer. Longer than any item can take, its wait for a place
    included: what does not answer in time is asked again."""
    send_s: float = Field(60.0, gt=0)
    """For a service that reads nothing of what is sent to it."""
    start_s: float = Field(20.0, gt=0)
    """For one endpoint to be ready when the client is opened."""
    probe_s: float = Field(3.0, gt=0)
    """For the answer to a question about health."""
    check_s: float = Field(5.0, gt=0)
    """An endpoint that is silent for so long while it has work is asked whether it is alive."""


class Retries(Model):
    """Repetition of calls. Pauses have full jitter: anything from nothing to the bound."""

    give_up_s: float = Field(120.0, ge=0)
    """After so long without progress a call fails; of a batch, the items that are left."""
    first_pause_s: float = Field(0.1, gt=0)
    """Bound of the first pause; it doubles with each failure in a row."""
    longest_pause_s: float = Field(5.0, gt=0)
    """Bound of all pauses, and of the time between two questions about a failed endpoint."""

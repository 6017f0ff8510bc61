"""What the service can be told."""

from __future__ import annotations

import ipaddress

from pydantic import Field, SecretStr, field_validator

from executor.doctor import PROBES, waivable
from executor.errors import ConfigurationError
from executor.models import Model

_MIB = 1 << 20


class ServiceSettings(Model):
    """Settings of one server. Sizes are in bytes, times in seconds."""

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    """0: any free port; the log says which."""
    token: SecretStr | None = Field(None, repr=False)
    """What callers show as ``Authorization: Bearer TOKEN``; ``None``: nothing is asked."""
    allow_anonymous: bool = False
    """Serve other machines without a token."""
    exposed_host: str | None = None
    """Where the port can be reached, if that differs from ``host``: in a container, the address
    that it is published on. Decides whether a token is needed."""
    allowed_hosts: tuple[str, ...] = ()
    """Names by which a service without a token is called, besides those of the loopback device."""
    open_metrics: bool = False
    """Serve ``/metrics`` without a token: they are counts and times only."""
    waive: tuple[str, ...] = ()
    """Names of probes that may fail; in the order of :data:`executor.doctor.PROBES`."""
    queue: int = Field(1024, ge=1)
    """Single calls that may wait for a place; more get 429."""
    batches: int = Field(32, ge=1)
    """Batches at a time; more get 429."""
    requests: int = Field(4096, ge=1)
    """Requests in hand at a time, whatever they do; more get 429."""
    max_body: int = Field(32 * _MIB, ge=1024)
    """Of a request for one item."""
    max_line: int = Field(8 * _MIB, ge=1024)
    """Of a line of a batch."""
    max_bodies: int = Field(512 * _MIB, ge=1024)
    """Of all requests for one item together, while they are read and worked on."""
    unread_results: int = Field(32 * _MIB, ge=1024)
    """Finished results of a batch that may wait for their reader before the batch pauses."""
    header_s: float = Field(20.0, gt=0)
    """For the head of a request, from its first byte (or from the connection's start)."""
    body_s: float = Field(60.0, gt=0)
    """For the body of a request for one item."""
    idle_s: float = Field(600.0, gt=0)
    """Silence of a batch's sender while nothing of it is in hand."""
    stall_s: float = Field(60.0, gt=0)
    """For a client that reads nothing of what is sent to it; then it is dropped."""
    drain_s: float = Field(30.0, ge=0)
    """For running work to finish once the server has been told to stop."""

    @field_validator("waive")
    @classmethod
    def _probes(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return waivable(names, PROBES)
        except ConfigurationError as error:
            raise ValueError(str(error)) from None


def check_exposure(settings: ServiceSettings) -> None:
    """Refuse to serve other machines without a token, unless that is what was asked for.

    Raises:
        ConfigurationError: it would.
    """
    host = settings.exposed_host or settings.host
    if settings.token is not None or settings.allow_anonymous or is_loopback(host):
        return
    raise ConfigurationError(
        f"{host} can be reached from other machines: set a token "
        "(--token-file, or EXECUTOR_TOKEN), or waive it with --allow-anonymous"
    )


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""Settings of the service."""

from __future__ import annotations

import ipaddress

from pydantic import ConfigDict, Field, SecretStr, field_validator

from executor.errors import ConfigurationError
from executor.models import Model
from executor.service.work.tenants import Tenant


class ServiceSettings(Model):
    """Settings of one server. ``executor serve`` has an option for each, with the text below it."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(8080, ge=0, le=65535)
    """Port to listen on. 0: any free one; the log says which."""
    token: SecretStr | None = Field(None, repr=False)
    """Token that callers show as ``Authorization: Bearer TOKEN``; ``None``: nothing is asked."""
    tenants: tuple[Tenant, ...] = ()
    """Callers, each with a token, a weight and quotas; instead of one token."""
    allow_anonymous: bool = False
    """Serve other machines without a token."""
    exposed_host: str | None = None
    """Address the port is published on, if that differs (containers): decides whether a token is
    needed."""
    allowed_hosts: tuple[str, ...] = ()
    """Name by which callers reach a service without a token, if it is not a loopback one."""
    open_metrics: bool = False
    """Serve ``/metrics`` without a token: they are counts and times only."""
    waive: tuple[str, ...] = ()
    """Serve although this probe of the sandbox fails; every result says so."""
    queue: int = Field(1024, ge=1)
    """Single calls that may wait for a place; more get 429."""
    batches: int = Field(32, ge=1)
    """Batches at a time; more get 429."""
    requests: int = Field(4096, ge=1)
    """Requests in hand at a time, whatever they do; more get 429."""
    max_body_mib: int = Field(32, ge=1)
    """MiB of a request for one item."""
    max_line_mib: int = Field(8, ge=1)
    """MiB of a line of a batch."""
    max_bodies_mib: int = Field(512, ge=1)
    """MiB of all requests for one item together, while they are read and worked on."""
    unread_results_mib: int = Field(32, ge=1)
    """MiB of finished results that may wait for their reader before their batch pauses."""
    header_s: float = Field(20.0, gt=0)
    """Seconds for the head of a request, from its first byte or from the connection's start."""
    body_s: float = Field(60.0, gt=0)
    """Seconds for the body of a request for one item."""
    idle_s: float = Field(600.0, gt=0)
    """Seconds that a batch may send nothing while nothing of it is in hand."""
    stall_s: float = Field(60.0, gt=0)
    """Seconds that a client may read nothing of what is sent to it; then it is dropped."""
    drain_s: float = Field(30.0, ge=0)
    """Seconds for running work to finish once the server has been told to stop."""

    @property
    def wants_token(self) -> bool:
        """Whether callers must show one."""
        return self.token is not None or bool(self.tenants)

    @field_validator("waive")
    @classmethod
    def _probes(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        from executor.doctor import PROBES, waivable  # noqa: PLC0415 - it is heavy for a command line

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
    if settings.wants_token or settings.allow_anonymous or is_loopback(host):
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

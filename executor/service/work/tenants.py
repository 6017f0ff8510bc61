"""Tenants: callers that share a service, each with a name, a weight and quotas."""

from __future__ import annotations

import hashlib
import hmac
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError, field_validator

from executor.errors import ConfigurationError
from executor.models import Model

_LEAST_TOKEN = 16


class Tenant(Model):
    """A caller."""

    name: str = Field("", pattern=r"^[A-Za-z0-9_.-]{0,64}$")
    """Of metrics and the log. Empty: nobody in particular, where there are no tenants."""
    token: SecretStr = Field(SecretStr(""), repr=False)
    """What it shows."""
    weight: float = Field(1.0, ge=0.001, le=1000)
    """Its share, relative to others, of what there is when it does not do for all."""
    most: float = Field(0.75, gt=0, le=1)
    """Share of places, batches and requests that it may have at a time, whatever others do."""
    queue: int | None = Field(None, ge=1)
    """Single calls that may wait for a place; ``None``: as the service has it."""

    @field_validator("token")
    @classmethod
    def _long_enough(cls, token: SecretStr) -> SecretStr:
        if 0 < len(token.get_secret_value().strip()) < _LEAST_TOKEN:
            raise ValueError(f"a token has at least {_LEAST_TOKEN} characters")
        return token

    def part(self, whole: int) -> int:
        """How much of something it may have at a time."""
        return max(1, int(self.most * whole))


ANYONE = Tenant(most=1.0)
"""All callers of a service without tenants."""

_now: ContextVar[Tenant] = ContextVar("tenant", default=ANYONE)


@contextmanager
def serving(tenant: Tenant) -> Iterator[None]:
    """What is begun within the block is the tenant's."""
    token = _now.set(tenant)
    try:
        yield
    finally:
        _now.reset(token)


def current() -> Tenant:
    """Whose the work of this context is."""
    return _now.get()


class Tenants:
    """The tenants of a service by their tokens."""

    def __init__(self, tenants: tuple[Tenant, ...]) -> None:
        self._known = [(digest(each.token.get_secret_value().encode()), each) for each in tenants]

    def find(self, token: bytes) -> Tenant | None:
        """Who has this token. Takes the same time whosever it is."""
        given, found = digest(token), None
        for known, tenant in self._known:
            if hmac.compare_digest(given, known):
                found = tenant
        return found


class Shared:
    """A number of things that tenants have at a time, such as batches.

    None has more than its part; and for each that has none, one is kept: however many others
    take all that they may have, it finds one.
    """

    def __init__(self, most: int, tenants: tuple[Tenant, ...] = ()) -> None:
        self._most = most
        self._names = [tenant.name for tenant in tenants]
        self._taken: Counter[str] = Counter()

    def take(self, tenant: Tenant) -> bool:
        """Have one more; ``False``: there is none for this tenant. Pair with :meth:`give`."""
        own = self._taken[tenant.name]
        others = [name for name in self._names if name != tenant.name]
        kept = sum(not self._taken[name] for name in others) if own else 0
        # Where there are more tenants than things, the first ones to come have one each.
        if self.taken + kept >= self._most or own >= tenant.part(self._most):
            return False
        self._taken[tenant.name] += 1
        return True

    def give(self, tenant: Tenant) -> None:
        """Have one less."""
        self._taken[tenant.name] -= 1

    def of(self, tenant: Tenant) -> int:
        """How many a tenant has."""
        return self._taken[tenant.name]

    @property
    def taken(self) -> int:
        """How many all have."""
        return self._taken.total()


def digest(token: bytes) -> bytes:
    """Digests have one length, so that comparing them tells nothing of the token's."""
    return hashlib.sha256(token.strip()).digest()


def read_tenants(path: str) -> tuple[Tenant, ...]:
    """The tenants of a TOML file: a table for each, by its name.

    Raises:
        ConfigurationError: it cannot be used; says why.
    """
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not TOML"
        raise ConfigurationError(f"cannot use {path}: {reason}") from None
    tenants = tuple(_tenant(path, name, table) for name, table in tables.items())
    if not tenants:
        raise ConfigurationError(f"{path} names no tenant: give each a table with a token")
    tokens = {digest(each.token.get_secret_value().encode()) for each in tenants}
    if len(tokens) < len(tenants):
        raise ConfigurationError(f"{path} has the same token twice")
    return tenants


def _tenant(path: str, name: str, table: object) -> Tenant:
    if not name or not isinstance(table, dict) or "token" not in table or "name" in table:
        raise ConfigurationError(f"{path}: [{name}] must be a table with a token and no name")
    try:
        tenant = Tenant.model_validate({**table, "name": name})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigurationError(f"{path}: [{name}] {where}: {first['msg']}") from None
    if not tenant.token.get_secret_value().strip():
        raise ConfigurationError(f"{path}: the token of [{name}] is empty")
    return tenant

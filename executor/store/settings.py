"""Where a store is, and what it is signed with."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field

from executor.errors import ConfigurationError
from executor.models import Model

_KEY_BYTES = 32
_LEAST_KEY_BYTES = 16
_REDIS = ("redis", "rediss", "unix")


class StoreSettings(Model):
    """A store of proven results."""

    url: str
    """Path of an SQLite file on a local disk, for the processes of one machine; or
    ``redis://[:PASSWORD@]HOST[:PORT][/DB]`` (``rediss://``: with TLS), for many machines."""
    key_file: str | None = None
    """File with the secret that entries are signed with, at least 16 bytes: whoever has it can
    write entries that are believed. Default: beside an SQLite file, ``.key`` added, made at the
    first use; Redis needs one."""
    max_mib: int = Field(4096, ge=1)
    """MiB that an SQLite file may have; then the oldest entries go. (Redis: its ``maxmemory``.)"""
    patience_s: float = Field(0.25, gt=0)
    """Seconds that an answer of Redis may take: what is not there by then is computed."""

    @property
    def is_redis(self) -> bool:
        """Whether it is a server."""
        return urlsplit(self.url).scheme in _REDIS

    @property
    def shown(self) -> str:
        """The address without a password."""
        if not self.is_redis:
            return self.url
        parts = urlsplit(self.url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def read_key(settings: StoreSettings) -> bytes:
    """The secret; of an SQLite file one is made if there is none.

    Raises:
        ConfigurationError: there is none, or it cannot be used.
    """
    path = settings.key_file
    if path is None and settings.is_redis:
        raise ConfigurationError(
            f"the store {settings.shown} needs a key: the same file on all machines, made with "
            "'head -c 32 /dev/urandom > store.key' and named with --store-key"
        )
    try:
        if path is None:
            path = f"{settings.url}.key"
            _make(Path(path))
        key = Path(path).read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(f"cannot use the store's key {path}: {reason}") from None
    if len(key) < _LEAST_KEY_BYTES:
        raise ConfigurationError(
            f"the store's key {path} is too short: {_LEAST_KEY_BYTES} bytes at least"
        )
    return key


def _make(path: Path) -> None:
    """Make a key, readable by its owner only, unless there is one. As a whole: others may ask."""
    if path.exists():
        return
    partial = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, secrets.token_bytes(_KEY_BYTES))
        os.fsync(descriptor)
        os.link(partial, path)
    except FileExistsError:
        return  # another process was first
    finally:
        os.close(descriptor)
        os.unlink(partial)

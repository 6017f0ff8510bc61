"""Entries as bytes that only a holder of the key can have made, under one key, for one situation.

An entry is::

    "AZV1"  HMAC-SHA256 (32)  lengths of situation, task, head (4 each)
    situation  task  head  values

The HMAC covers the key under which the entry is kept and all that follows it, so an entry that is
moved, cut or changed is no entry. The *situation* (compressed JSON) says under what the result was
found: version, interpreter, libraries, limits, rules. Another situation's entry is refused.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

_MAGIC = b"AZV1"
_LENGTHS = struct.Struct("<III")
_MAC_BYTES = 32
_START = len(_MAGIC) + _MAC_BYTES
_MAX_SITUATION = 1 << 20


class Sealed(NamedTuple):
    """An entry whose seal is whole."""

    situation: bytes
    task: bytes
    """JSON of what was run."""
    head: bytes
    """JSON of the result, but for its values."""
    values: bytes


class Seal:
    """Makes and opens entries.

    Args:
        key: The secret.
    """

    def __init__(self, key: bytes) -> None:
        # An HMAC key of another purpose must not be this one.
        self._key = hmac.digest(key, b"absolute-zero verdict store 1", "sha256")

    def close(self, name: bytes, sealed: Sealed) -> bytes:
        """The bytes of an entry that is kept under a name."""
        situation, task, head, values = sealed
        body = b"".join(
            (_LENGTHS.pack(len(situation), len(task), len(head)), situation, task, head, values)
        )
        return b"".join((_MAGIC, self._mac(name, body), body))

    def open(self, name: bytes, entry: bytes) -> Sealed | None:
        """What an entry says; ``None`` if it was not made with this key, under this name."""
        body = entry[_START:]
        if (
            not entry.startswith(_MAGIC)
            or len(body) < _LENGTHS.size
            or not hmac.compare_digest(entry[len(_MAGIC) : _START], self._mac(name, body))
        ):
            return None
        first, second, third = _LENGTHS.unpack_from(body)
        task = _LENGTHS.size + first
        head = task + second
        values = head + third
        return Sealed(body[_LENGTHS.size : task], body[task:head], body[head:values], body[values:])

    def _mac(self, name: bytes, body: bytes) -> bytes:
        return hmac.digest(self._key, _MAGIC + name + body, "sha256")


def situation_bytes(facts: Mapping[str, Any]) -> bytes:
    """Facts as they stand in entries."""
    return zlib.compress(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode(), 9)


def read_situation(data: bytes) -> dict[str, Any]:
    """The facts of an entry that is sealed. Raises ``ValueError``: they cannot be read."""
    reader = zlib.decompressobj()
    try:
        text = reader.decompress(data, _MAX_SITUATION)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def name_of(key: str, situation: bytes) -> bytes:
    """What a result is kept under: its content key and its situation, hashed."""
    return hashlib.sha256(key.encode() + b"\0" + situation).digest()

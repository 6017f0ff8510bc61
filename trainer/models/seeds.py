"""Seeds of samples, from what names them."""

from __future__ import annotations

import hashlib


def seed_of(name: str) -> int:
    """The seed that belongs to a name: the same in every process, below 2**31 as vLLM wants it."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) % 2**31

"""Requests to a SandboxFusion server, and how its answers are read.

A request's ``code`` only starts the interpreter anew, with a hash seed of our choice. All else
comes by standard input, which is a pipe that nobody else can read: a key, the guest's code
(``executor/guest/packed.py`` and what it needs), and the jobs. Replies come as lines that carry a
hash with the key. Children that run programs do not have the key, so they can neither forge a reply
nor change one; what they might write in between is left out.

Code goes in the marshalled form of the server's own interpreter, which compiled it when the backend
was opened: compiling it in each request would take longer than the jobs.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from executor.backends.image.guest_code import PACKAGE, launcher
from executor.wire import layout

STDOUT_ROOM = 150_000
"""Bytes of standard output that are surely passed on: the original cuts at 219,000."""

_MAX_REPLY = 128 << 20

Entry = str
"""``zygote`` or ``parser``."""

_PACKAGES = (
    "executor",
    "executor.guest",
    "executor.grammar",
    "executor.screening",
    "executor.wire",
)
_MODULES = {
    "zygote": (
        "wire.layout",
        "guest.fork",
        "guest.packed",
        "guest.depth",
        "guest.names",
        "guest.numpy_values",
        "guest.preload",
        "guest.program",
        "guest.seccomp",
        "grammar.arrays",
        "grammar.encode",
        "grammar.decode",
    ),
    "parser": (
        "wire.layout",
        "guest.fork",
        "guest.packed",
        "guest.numpy_values",
        "guest.program",
        "guest.seccomp",
        "guest.frames",
        "guest.parser",
        "guest.test_compiler",
        "guest.test_driver",
        "grammar.arrays",
        "grammar.encode",
        "grammar.decode",
        "grammar.constructors",
        "grammar.literals",
        "screening.cost",
        "screening.rules",
    ),
}
_REPLACED = {
    # The fork loop is packed.py's.
    "executor.guest.core": "core = None\n",
}
_RESTART = launcher("restart.py")
_PACK = launcher("pack.py")


class Line(NamedTuple):
    """One authenticated line of an answer."""

    number: int
    payload: bytes


class PackRequest(NamedTuple):
    """One ``/run_code``, and the key of its answer."""

    code: str
    stdin: str
    key: bytes


def guest_sources() -> dict[Entry, dict[str, str | None]]:
    """The guest's modules by role; packages are ``None``."""
    sources: dict[Entry, dict[str, str | None]] = {}
    for entry, names in _MODULES.items():
        modules: dict[str, str | None] = dict.fromkeys(_PACKAGES)
        modules |= _REPLACED
        for name in (*names, "guest.probe"):
            path = PACKAGE.joinpath(f"{name.replace('.', '/')}.py")
            modules[f"executor.{name}"] = path.read_text("utf-8")
        sources[entry] = modules
    return sources


def probe_request() -> PackRequest:
    """Asks what interpreter is there, and to compile the guest's code."""
    shipped = _packed(json.dumps(guest_sources()).encode())
    return _request(_code(0, "probe"), [shipped])


def jobs_request(
    *,
    build: str,
    blob: bytes,
    hash_seed: int,
    options: Mapping[str, Any],
    jobs: Sequence[Sequence[int]],
    bodies: Sequence[bytes],
) -> PackRequest:
    """Asks to do jobs. ``build``: the interpreter that compiled ``blob``; ``bodies`` as
    :func:`pack_body` makes them."""
    sized = [[*job, len(body)] for job, body in zip(jobs, bodies, strict=True)]
    head = json.dumps([dict(options), sized], separators=(",", ":")).encode()
    return _request(_code(hash_seed, "serve", build), [blob, head, b"".join(bodies)])


def _code(hash_seed: int, *arguments: str) -> str:
    return f"{_RESTART}\nrestart({hash_seed}, {_PACK!r}, *{arguments!r})\n"


def _request(code: str, parts: Sequence[bytes]) -> PackRequest:
    key = os.urandom(16).hex().encode()
    sizes = [len(part) for part in parts] + [0] * (3 - len(parts))
    stdin = b"".join([key, *(b"%010d" % size for size in sizes), *parts])
    return PackRequest(code, stdin.decode("ascii"), key)


def pack_body(body: bytes) -> bytes:
    """A job's body, or code, as it goes over the wire."""
    return _packed(body)


def _packed(data: bytes) -> bytes:
    return base64.b64encode(zlib.compress(data, 1))


def read_lines(key: bytes, *texts: bytes) -> dict[int, bytes]:
    """The authenticated lines of an answer by number: hostile bytes in, replies out. What is no
    line, or not one of ours, is left out."""
    found: dict[int, bytes] = {}
    for text in texts:
        for raw in text.split(b"\n"):
            line = _read_line(key, raw)
            if line is not None:
                found.setdefault(line.number, line.payload)
    return found


def _read_line(key: bytes, raw: bytes) -> Line | None:
    parts = raw.split(b" ")
    if len(parts) != 3 or len(parts[1]) != 2 * layout.MAC_BYTES:
        return None
    number, mac, data = parts
    wanted = hashlib.blake2b(b"%s %s" % (number, data), key=key, digest_size=layout.MAC_BYTES)
    if not hmac.compare_digest(mac, wanted.hexdigest().encode()):
        return None
    try:
        unpack = zlib.decompressobj()
        payload = unpack.decompress(base64.b64decode(data, validate=True), _MAX_REPLY)
        return Line(int(number), payload) if unpack.eof else None
    except (ValueError, zlib.error):
        return None


def is_end(number: int) -> bool:
    """Whether a line is the last one."""
    return number == layout.END

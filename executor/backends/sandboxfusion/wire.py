"""What is sent to a SandboxFusion server, and how its answer is read.

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
from importlib.resources import files
from typing import Any, NamedTuple

OVERFLOW = "executor.frames"
"""File for a line that is too long for standard output; as in ``packed.py``."""
STDOUT_ROOM = 150_000
"""Bytes of standard output that are surely passed on: the original cuts at 219,000."""

_END = -1
_MAC_BYTES = 16
_MAX_REPLY = 128 << 20

Entry = str
"""``zygote`` or ``parser``."""

_PACKAGES = ("executor", "executor.guest", "executor.grammar", "executor.screening")
_MODULES = {
    "zygote": (
        "guest.packed", "guest.depth", "guest.names", "guest.preload", "guest.program",
        "guest.seccomp", "grammar.encode",
        "grammar.decode",
    ),
    "parser": (
        "guest.packed", "guest.program", "guest.seccomp", "guest.frames", "guest.parser",
        "grammar.encode", "grammar.decode", "grammar.constructors", "grammar.literals",
        "screening.cost", "screening.rules",
    ),
}  # fmt: skip
_REPLACED = {
    # The fork loop is packed.py's.
    "executor.guest.core": "core = None\n",
}
_LAUNCH = """\
import os, sys
kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "PYTHONHOME") if name in os.environ}
kept["PYTHONHASHSEED"] = "%d"
os.execve(sys.executable, [sys.executable, "-S", "-s", "-B", "-c", %r], kept)
"""

_READ = """\
import posix, sys
sys.path[:] = [entry for entry in sys.path if entry]
def read(size):
    data = bytearray(size)
    view = memoryview(data)
    while len(view):
        count = posix.readv(0, [view])
        if not count:
            raise SystemExit("the input was cut off")
        view = view[count:]
    return data
key = read(32)
sizes = [int(read(10)) for _ in range(3)]
import binascii, zlib
shipped = zlib.decompress(binascii.a2b_base64(read(sizes[0])))
"""

_LOAD = """\
import marshal
from _frozen_importlib import ModuleSpec
class Finder:
    def __init__(self, codes):
        self.codes = codes
    def find_spec(self, name, path=None, target=None):
        if name in self.codes:
            return ModuleSpec(name, self, is_package=self.codes[name] is None)
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        code = self.codes[module.__name__]
        if code is not None:
            exec(code, module.__dict__)
"""

_SERVE = (
    _READ
    + "if sys.version != %r:\n    raise SystemExit('another interpreter than before')\n"
    + _LOAD
    + """\
sys.meta_path.insert(0, Finder(marshal.loads(shipped)))
del shipped
from executor.guest import packed
packed.serve(key, read, sizes[1], sizes[2])
"""
)

_PROBE = (
    _READ
    + _LOAD
    + """\
import json
sources = json.loads(shipped.decode())
facts = {"name": sys.implementation.name, "build": sys.version}
facts["version"] = list(sys.version_info[:3])
blobs = {}
try:
    for entry in sorted(sources):
        codes = {}
        for name, source in sources[entry].items():
            codes[name] = source and compile(source, "<guest>", "exec", 0, True, 2)
        blobs[entry] = marshal.dumps(codes)
        finder = Finder(codes)
        sys.meta_path.insert(0, finder)
        for name in codes:
            __import__(name)
        if entry != "zygote":
            sys.meta_path.remove(finder)
            for name in codes:
                del sys.modules[name]
    from executor.guest import packed, probe
    printer = packed.Printer(key, 150000)
    facts.update(probe.look())
except Exception as error:
    facts["failure"] = "%s: %s" % (type(error).__name__, error)
    print("FAILURE", json.dumps(facts))
    raise SystemExit(0)
printer.line(0, json.dumps(facts).encode())
for number, entry in enumerate(sorted(blobs), 1):
    printer.line(number, blobs[entry])
printer.line(-1, b"")
"""
)


class Line(NamedTuple):
    """One authenticated line of an answer."""

    number: int
    payload: bytes


class Request(NamedTuple):
    """One ``/run_code``, and the key of its answer."""

    code: str
    stdin: str
    key: bytes


def guest_sources() -> dict[Entry, dict[str, str | None]]:
    """The guest's modules by role; packages are ``None``."""
    root = files("executor")
    sources: dict[Entry, dict[str, str | None]] = {}
    for entry, names in _MODULES.items():
        modules: dict[str, str | None] = dict.fromkeys(_PACKAGES)
        modules |= _REPLACED
        for name in (*names, "guest.probe"):
            path = root.joinpath(f"{name.replace('.', '/')}.py")
            modules[f"executor.{name}"] = path.read_text("utf-8")
        sources[entry] = modules
    return sources


def probe_request() -> Request:
    """Asks what interpreter is there, and to compile the guest's code."""
    shipped = _packed(json.dumps(guest_sources()).encode())
    return _request(_LAUNCH % (0, _PROBE), [shipped])


def jobs_request(
    *,
    build: str,
    blob: bytes,
    hash_seed: int,
    options: Mapping[str, Any],
    jobs: Sequence[Sequence[int]],
    bodies: Sequence[bytes],
) -> Request:
    """Asks to do jobs. ``build``: the interpreter that compiled ``blob``; ``bodies`` as
    :func:`pack_body` makes them."""
    sized = [[*job, len(body)] for job, body in zip(jobs, bodies, strict=True)]
    head = json.dumps([dict(options), sized], separators=(",", ":")).encode()
    return _request(_LAUNCH % (hash_seed, _SERVE % build), [blob, head, b"".join(bodies)])


def _request(code: str, parts: Sequence[bytes]) -> Request:
    key = os.urandom(16).hex().encode()
    sizes = [len(part) for part in parts] + [0] * (3 - len(parts))
    stdin = b"".join([key, *(b"%010d" % size for size in sizes), *parts])
    return Request(code, stdin.decode("ascii"), key)


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
    if len(parts) != 3 or len(parts[1]) != 2 * _MAC_BYTES:
        return None
    number, mac, data = parts
    wanted = hashlib.blake2b(b"%s %s" % (number, data), key=key, digest_size=_MAC_BYTES)
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
    return number == _END

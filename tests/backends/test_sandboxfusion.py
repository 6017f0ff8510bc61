"""The sandboxfusion backend: on our own service, and on an emulation of the original."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor import (
    BackendUnavailable,
    Limits,
    SandboxFusionSettings,
    Script,
    Status,
    SyncExecutor,
    Triplet,
)
from executor.backends.sandboxfusion.backend import _what_it_promises
from executor.backends.sandboxfusion.wire import _packed, read_lines
from tests.support.fusion_emulator import Emulator, emulated
from tests.support.leftovers import nothing_left
from tests.support.programs import OPEN_RULES, body, ending, triplet, verdict
from tests.support.server import running

pytestmark = pytest.mark.long

PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
SEED_DEPENDENT = body("return list({'a', 'b', 'c', 'd', 'e', 'f', str(x)})")
LARGE = "import random\ndef f(x):\n    return random.Random(x).randbytes(x)"
"""Bytes that cannot be made smaller."""


def executor(url: str) -> SyncExecutor:
    settings = SandboxFusionSettings(url=url)
    limits = Limits(cpu_s=2, wall_s=30, memory_mib=256, output_kib=2048)
    return SyncExecutor(settings, workers=2, limits=limits, rules=OPEN_RULES, cache=False)


@pytest.fixture(scope="module")
def original() -> Iterator[tuple[Emulator, SyncExecutor]]:
    with emulated() as emulator, executor(emulator.url) as sandbox:
        yield emulator, sandbox


@pytest.fixture(scope="module")
def ours() -> Iterator[SyncExecutor]:
    with running("--workers", "2", "--wall-s", "40") as server, executor(server.url) as sandbox:
        yield sandbox


OUTCOMES = [
    (body("return x * 2"), Status.OK),
    (body("return 1 // x"), Status.ERROR),
    (body("return (i for i in range(x))"), Status.UNSERIALIZABLE),
    (SEED_DEPENDENT, Status.NONDETERMINISTIC),
    (body("import random", "return random.random()"), Status.NONDETERMINISTIC),
    (body("import os", "os._exit(3)"), Status.CRASHED),
    (body("import ctypes", "ctypes.string_at(0)"), Status.CRASHED),
    (body("return [0] * 10**9"), Status.MEMORY_LIMIT),
    (body("return 'x' * 3_000_000"), Status.OUTPUT_LIMIT),
    (body("import socket", "socket.socket()"), Status.FORBIDDEN),
    ("def f(", Status.SYNTAX_ERROR),
    (body("import time", "time.sleep(60)"), Status.WALL_LIMIT),
]


@pytest.mark.parametrize(("program", "status"), OUTCOMES)
def test_outcomes_on_the_original(
    original: tuple[Emulator, SyncExecutor], program: str, status: Status
) -> None:
    assert ending(original[1], program, status).status is status


@pytest.mark.parametrize(("program", "status"), OUTCOMES)
def test_outcomes_on_our_service(ours: SyncExecutor, program: str, status: Status) -> None:
    assert ending(ours, program, status).status is status


def test_many_runs_share_a_request(original: tuple[Emulator, SyncExecutor]) -> None:
    emulator, sandbox = original
    before = emulator.requests
    items = [triplet(body(f"return x + {n}"), str(n)) for n in range(100)]
    found = list(sandbox.validate_many(items))
    assert [v.outputs for v in found] == [(str(2 * n),) for n in range(100)]
    assert emulator.requests - before < 60  # 200 runs, and 100 programs to parse


def test_lost_output_is_asked_for_again(original: tuple[Emulator, SyncExecutor]) -> None:
    emulator, sandbox = original
    emulator.lose, lost = 3, emulator.lost
    items = [triplet(body(f"return x - {n}"), "0") for n in range(40)]
    assert all(v.status is Status.OK for v in sandbox.validate_many(items))
    assert emulator.lost - lost == 3


def test_a_server_that_loses_output_of_concurrent_requests_gets_one_at_a_time(
    original: tuple[Emulator, SyncExecutor],
) -> None:
    emulator, sandbox = original
    emulator.lose_when_concurrent = True
    try:
        items = [triplet(body(f"return x * {n}"), "1") for n in range(40)]
        assert all(v.status is Status.OK for v in sandbox.validate_many(items))
    finally:
        emulator.lose_when_concurrent = False


def test_faults_of_the_server_are_retried(original: tuple[Emulator, SyncExecutor]) -> None:
    emulator, sandbox = original
    emulator.fail = 2
    assert verdict(sandbox, body("return x"), "4").outputs == ("4",)


def test_output_that_never_comes_is_infra() -> None:
    with emulated() as emulator, executor(emulator.url) as sandbox:
        emulator.lose = 10**6
        assert verdict(sandbox, body("return x"), "4").status is Status.INFRA


@pytest.mark.parametrize("size", [100_000, 400_000, 1_500_000])
def test_values_beyond_what_standard_output_holds_come_back(
    original: tuple[Emulator, SyncExecutor], ours: SyncExecutor, size: int
) -> None:
    import random

    for sandbox in (original[1], ours):
        result = verdict(sandbox, LARGE, str(size))
        assert result.status is Status.OK, result.detail
        assert result.outputs == (repr(random.Random(size).randbytes(size)),)


def test_garbage_in_the_output_is_left_out(original: tuple[Emulator, SyncExecutor]) -> None:
    emulator, sandbox = original
    line = f"0 {'0' * 32} eJwDAAAAAAE=\n"
    emulator.spoil = lambda out: line + "trailing\x00\n" + out + line + out[:40]
    try:
        assert verdict(sandbox, body("return x"), "5").outputs == ("5",)
        spoilt = iter([True, True])
        emulator.spoil = lambda out: out.replace("\n", "!\n") if next(spoilt, False) else out
        assert verdict(sandbox, body("return x"), "6").outputs == ("6",)
    finally:
        emulator.spoil = None


def test_a_program_finds_neither_the_key_nor_other_jobs(
    original: tuple[Emulator, SyncExecutor],
) -> None:
    """All that the child's interpreter can reach is searched for what looks like a key, and the
    writable memory for the text of a neighbour in the same request."""
    search = (
        "import gc, re, sys\n"
        "def f(x):\n"
        "    seen = [v for v in vars(sys.modules['__main__']).values()]\n"
        "    seen += [o for o in gc.get_objects()]\n"
        "    seen += [v for o in seen if type(o) is dict for v in list(o.values())]\n"
        "    texts = [bytes(o) for o in seen if type(o) in (bytes, bytearray)]\n"
        "    return any(re.fullmatch(b'[0-9a-f]{32}', t) for t in texts), "
        "any(len(t) > 100 and t.strip(b'\\0') for t in texts if b'eJ' in t)"
    )
    found = verdict(original[1], search, "1")
    assert found.outputs == ("(False, False)",), found.detail


def test_a_program_cannot_read_the_memory_where_the_key_is(
    original: tuple[Emulator, SyncExecutor],
) -> None:
    reading = body("import os", "open(f'/proc/{os.getppid()}/mem', 'rb')", "return x")
    found = verdict(original[1], reading, "1")
    assert found.status is Status.FORBIDDEN
    assert "PermissionError" in found.detail


def test_the_harness_cannot_be_made_to_speak_for_others(ours: SyncExecutor) -> None:
    """It has the filter on our service, too. Where it has none, it ends its request, at most."""
    bad = triplet(body("import os, time", "os.kill(os.getppid(), 9)", "time.sleep(9)"), "0")
    good = [triplet(body(f"return x + {n}"), "1") for n in range(20)]
    first, *rest = ours.validate_many([bad, *good])
    assert first.status is Status.FORBIDDEN
    assert [v.outputs for v in rest] == [(str(n + 1),) for n in range(20)]


def test_scripts_are_one_request(
    original: tuple[Emulator, SyncExecutor], ours: SyncExecutor
) -> None:
    script = Script(
        source="import sys\nprint(sys.argv[1:], input(), open('in').read())\n"
        "open('out', 'w').write('made')",
        argv=("a b",),
        stdin="line\n",
        files={"in": b"data"},
        collect=("out", "missing"),
    )
    for sandbox in (original[1], ours):
        result = sandbox.run(script)
        assert result.status is Status.OK
        assert result.stdout == b"['a b'] line data\n"
        assert result.files == {"out": b"made"}
        failed = sandbox.run(Script(source="raise SystemExit(7)"))
        assert (failed.status, failed.exit_code) == (Status.ERROR, 7)
        slow = sandbox.run(
            Script(source="import time\nprint('so far', flush=True)\ntime.sleep(60)"),
            limits=Limits(wall_s=2, cpu_s=2, memory_mib=256, output_kib=2048),
        )
        assert (slow.status, slow.stdout) == (Status.WALL_LIMIT, b"so far\n")
    busy = ours.run(
        Script(source="while True: pass"),
        limits=Limits(wall_s=30, cpu_s=1, memory_mib=256, output_kib=2048),
    )
    assert busy.status is Status.CPU_LIMIT


def test_what_it_promises_is_what_it_looks_like(
    original: tuple[Emulator, SyncExecutor], ours: SyncExecutor
) -> None:
    assert ours.info.isolated
    assert ours.info.interpreter == original[1].info.interpreter
    assert not original[1].info.isolated
    assert any("NO ISOLATION" in warning for warning in original[1].info.warnings)
    for sandbox in (original[1], ours):
        assert not any("system call filter" in warning for warning in sandbox.info.warnings)


def test_a_server_that_permits_no_filter_is_named() -> None:
    facts: dict[str, object] = {"root": False, "network": False, "processes": 1, "writes": []}
    assert any(
        "http://s lets programs have no system call filter" in warning
        for warning in _what_it_promises("http://s", facts | {"filter": False})[1]
    )


@pytest.mark.parametrize("version", ["3.11", "3.13"])
def test_other_interpreters_work_and_are_named(version: str) -> None:
    found = sorted(PYENV.glob(f"{version}.*/bin/python"))
    if not found:
        pytest.skip(f"there is no CPython {version} here")
    with emulated(str(found[-1])) as emulator, executor(emulator.url) as sandbox:
        assert sandbox.info.interpreter.startswith(f"CPython {version}.")
        first = sandbox.validate(
            Triplet(program=body("return [x, str(x), {x: 1.5}]"), inputs=("1", "2", "'a'"))
        )
        assert first.outputs == (
            "[1, '1', {1: 1.5}]",
            "[2, '2', {2: 1.5}]",
            "['a', 'a', {'a': 1.5}]",
        )
        assert verdict(sandbox, SEED_DEPENDENT).status is Status.NONDETERMINISTIC
        assert verdict(sandbox, body("return 1 // x")).status is Status.ERROR
        value = verdict(sandbox, "from decimal import *\ndef f(x):\n    return x", "Decimal('1')")
        assert value.outputs == ("Decimal('1')",)


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.10"])
def test_interpreters_that_are_too_old_are_refused_in_a_sentence(version: str) -> None:
    found = sorted(PYENV.glob(f"{version}.*/bin/python"))
    if not found:
        pytest.skip(f"there is no CPython {version} here")
    with (
        emulated(str(found[-1])) as emulator,
        pytest.raises(BackendUnavailable, match=r"cannot (run the guest's code|be used)"),
        executor(emulator.url),
    ):
        pass


def test_no_server_is_said_in_a_sentence(temporary: Path) -> None:
    with (
        nothing_left(temporary),
        pytest.raises(BackendUnavailable, match=r"127\.0\.0\.1:1"),
        executor("http://127.0.0.1:1"),
    ):
        pass


@pytest.mark.parametrize("url", ["localhost", "ftp://host", "http://a,http://b", ""])
def test_addresses_that_cannot_be_used_are_refused(url: str) -> None:
    with pytest.raises(BackendUnavailable, match="address"), executor(url):
        pass


def test_nothing_is_left_behind(temporary: Path) -> None:
    with emulated() as emulator, nothing_left(temporary), executor(emulator.url) as sandbox:
        assert verdict(sandbox, body("return x"), "1").outputs == ("1",)


KEY = b"0123456789abcdef0123456789abcdef"


def line(number: int, payload: bytes, key: bytes = KEY) -> bytes:
    import hashlib

    text = b"%d %s" % (number, _packed(payload))
    mac = hashlib.blake2b(text, key=key, digest_size=16).hexdigest().encode()
    return b"%d %s %s\n" % (number, mac, _packed(payload))


@given(st.lists(st.tuples(st.integers(-1, 99), st.binary(max_size=50)), max_size=8))
def test_lines_come_back_as_they_were_written(replies: list[tuple[int, bytes]]) -> None:
    first: dict[int, bytes] = {}
    for number, payload in replies:
        first.setdefault(number, payload)
    assert read_lines(KEY, b"".join(line(*reply) for reply in replies)) == first


@given(st.binary(max_size=30), st.integers(0, 200), st.integers(0, 255))
def test_no_change_of_a_line_goes_unnoticed(payload: bytes, at: int, byte: int) -> None:
    good = line(3, payload)
    at %= len(good) - 1
    changed = good[:at] + bytes((byte,)) + good[at + 1 :]
    if changed != good and b"\n" not in changed[:-1]:
        assert read_lines(KEY, changed) == {}


@given(st.binary(max_size=200))
def test_other_bytes_are_no_lines(data: bytes) -> None:
    assert read_lines(KEY, data) == {}
    assert read_lines(KEY, line(1, data, key=b"another")) == {}
    assert re.search(rb"\n", data) is None or read_lines(KEY, data + line(1, b"x")) is not None

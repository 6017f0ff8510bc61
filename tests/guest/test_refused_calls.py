"""What a verified program is refused: errors for what ordinary code tries, signs for attacks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from executor import JudgeTask, Limits, Signal, Status, SyncExecutor, TaskType
from executor.backends.image.build import open_image
from executor.pool.syscalls import call_name
from executor.wire.frames import Record, RecordKind, Refusal, Result, Source, decode_result
from tests.cases.forbidden import FAILING, FORBIDDEN, REFUSED
from tests.support.programs import OPEN_RULES, body, triplet, value, verdict

SIGN = {Signal.FORBIDDEN_CALL: 1}


@pytest.mark.parametrize("what", REFUSED)
def test_what_ordinary_code_tries_is_no_sign(sandbox: SyncExecutor, what: str) -> None:
    program, error = REFUSED[what]
    result = verdict(sandbox, program)
    assert (result.status, result.signals) == (Status.FORBIDDEN, {}), result.detail
    assert result.detail.startswith(f"made a system call that is not allowed: {error}: ")
    assert "(line " in result.detail


@pytest.mark.parametrize("what", FAILING)
def test_what_fails_anywhere_is_an_error(sandbox: SyncExecutor, what: str) -> None:
    program, error = FAILING[what]
    result = verdict(sandbox, program)
    assert (result.status, result.signals) == (Status.ERROR, {}), result.detail
    assert result.detail.startswith(error)


@pytest.mark.parametrize(
    "error", ["PermissionError('no')", "RuntimeError('no')", "ValueError('no')"]
)
def test_an_error_of_the_programs_own_is_one(sandbox: SyncExecutor, error: str) -> None:
    result = verdict(sandbox, body("import asyncio", f"raise {error}"))
    assert (result.status, result.signals) == (Status.ERROR, {}), result.detail


NAMES = {
    "a socket": "socket (line 3)", "a fork": "clone (line 3)", "another program": "execve (line 3)",
    "killing the zygote": "kill (line 3)", "another root": "chroot (line 3)",
    "another user": "setuid (line 3)", "limits of the zygote": "prlimit64 (line 3)",
}  # fmt: skip


@pytest.mark.parametrize("what", NAMES)
def test_what_was_forbidden_is_named_with_its_line(sandbox: SyncExecutor, what: str) -> None:
    result = verdict(sandbox, FORBIDDEN[what])
    assert result.detail == f"made a system call that is not allowed: {NAMES[what]}"
    assert (result.status, result.signals) == (Status.FORBIDDEN, SIGN)


def test_the_line_is_the_programs_innermost(sandbox: SyncExecutor) -> None:
    program = (
        "import os\ndef deep(n):\n    if n:\n        return deep(n - 1)\n    os.setuid(0)\n"
        "def f(x):\n    return deep(300)"
    )
    assert verdict(sandbox, program).detail.endswith(": setuid (line 5)")


def caught(*attempt: str) -> str:
    """A program that tries something and goes on."""
    return body("import os, socket", "try:", *(f"    {line}" for line in attempt),
                "except OSError:", "    return x * x")  # fmt: skip


HONEST = {
    "a file to write": caught("open('notes.txt', 'w')"),
    "a directory": caught("os.makedirs('/box/a/b')"),
    "a pipe": caught("os.pipe()"),
    "a subprocess": body(
        "import subprocess",
        "try:",
        "    return subprocess.run(['git', '--version'], capture_output=True).stdout",
        "except OSError:",
        "    return x * x",
    ),
    "a terminal": body("import shutil", "return x * x + 0 * shutil.get_terminal_size().columns"),
    "a pool of threads": body(
        "from concurrent.futures import ThreadPoolExecutor",
        "try:",
        "    with ThreadPoolExecutor() as pool: return [*pool.map(abs, [9])][0]",
        "except RuntimeError:",
        "    return x * x",
    ),
    "the stack's limit": body(
        "import resource",
        "limit = resource.RLIM_INFINITY",
        "resource.setrlimit(resource.RLIMIT_STACK, (limit, limit))",
        "return x * x",
    ),
    "another limit": body(
        "import resource",
        "try: resource.setrlimit(resource.RLIMIT_AS, (1 << 60, 1 << 60))",
        "except ValueError: return x * x",
    ),
    "a temporary file": body(
        "import tempfile",
        "try: tempfile.NamedTemporaryFile()",
        "except PermissionError: return x * x",
    ),
}


@pytest.mark.parametrize("what", HONEST)
def test_who_catches_the_error_goes_on_without_a_sign(sandbox: SyncExecutor, what: str) -> None:
    result = verdict(sandbox, HONEST[what], "3")
    assert (result.status, result.outputs, result.signals) == (Status.OK, ("9",), {}), result.detail


def test_the_temporary_directory_is_known(sandbox: SyncExecutor) -> None:
    assert value(sandbox, body("import tempfile", "return tempfile.gettempdir()")) == "'/tmp'"


def test_the_platform_is_told_without_a_sign(sandbox: SyncExecutor) -> None:
    result = verdict(sandbox, body("import platform", "return platform.platform()"))
    assert (result.status, result.signals) == (Status.OK, {}), result.detail


ATTEMPTS = {
    "a socket": caught("socket.socket()"),
    "a fork": caught("os.fork()"),
    "another program": caught("os.execv('/py/bin/python3.12', ['python'])"),
    "a signal": caught("os.kill(1, 9)"),
}


@pytest.mark.parametrize("what", ATTEMPTS)
def test_an_attempt_is_an_error_that_can_be_caught_and_a_sign(
    sandbox: SyncExecutor, what: str
) -> None:
    result = verdict(sandbox, ATTEMPTS[what], "3")
    assert (result.status, result.outputs) == (Status.OK, ("9",)), result.detail
    assert result.signals == SIGN


def test_another_error_after_an_attempt_is_that_error(sandbox: SyncExecutor) -> None:
    result = verdict(sandbox, caught("socket.socket()").replace("return x * x", "return x / 0"))
    assert (result.status, result.signals) == (Status.ERROR, SIGN)
    assert result.detail.startswith("ZeroDivisionError")


HIDING = {
    "another handler": "signal.signal(signal.SIGSYS, lambda *_: None)",
    "no handler": "signal.signal(signal.SIGSYS, signal.SIG_IGN)",
    "the default handler": "signal.signal(signal.SIGSYS, signal.SIG_DFL)",
    "a blocked signal": "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
}


@pytest.mark.parametrize("what", HIDING)
def test_the_sign_cannot_be_hidden(sandbox: SyncExecutor, what: str) -> None:
    program = caught("import signal", HIDING[what], "os.fork()")
    assert verdict(sandbox, program, "3").signals == SIGN


def test_only_the_rows_that_try_have_the_sign(sandbox: SyncExecutor) -> None:
    rows = [triplet(ATTEMPTS["a fork"], "3"), triplet(body("return x * x"), "3")] * 10
    verdicts = list(sandbox.validate_many(rows))
    assert [each.signals for each in verdicts] == [SIGN, {}] * 10
    assert {each.outputs for each in verdicts} == {("9",)}


# -- What the host makes of a run's bytes ---------------------------------------------------------

RECORD = bytes((RecordKind.VALUE, 1, 0, 0, 0)) + b"v"
CALL = (41).to_bytes(2, "little") + (7).to_bytes(4, "little")


def test_a_refusal_is_read() -> None:
    told = decode_result(bytes((32 | 1,)) + CALL + RECORD)
    assert told == Result(
        Source.HASH_ORDER, False, Refusal(41, 7, False), Record(RecordKind.VALUE, b"v")
    )
    ended = Refusal(41, 7, True)
    assert decode_result(bytes((32 | 64,)) + CALL) == Result(Source(0), False, ended, None)


@pytest.mark.parametrize(
    "data",
    [bytes((32,)), bytes((32,)) + CALL[:5], bytes((32,)) + CALL, bytes((64,)),
     bytes((64,)) + RECORD, bytes((32 | 64,)) + CALL + RECORD, bytes((128,)) + RECORD],
    ids=["no call", "half a call", "no record", "an end", "an end of none", "a value", "more bits"],
)  # fmt: skip
def test_what_no_encoder_writes_is_no_result(data: bytes) -> None:
    assert decode_result(data) is None


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0, "read"),
        (41, "socket"),
        (101, "ptrace"),
        (334, "rseq"),
        (435, "clone3"),
        (999, "number 999"),
    ],
)
def test_calls_have_their_names(number: int, name: str) -> None:
    assert call_name(number) == name


# -- Imports --------------------------------------------------------------------------------------

NOT_HERE = {"_ctypes", "ctypes"}
"""Raw memory is no business of a pure function: these say ModuleNotFoundError, as documented."""


def modules_of_the_image() -> list[str]:
    image = open_image()
    try:
        library = image.root / "py/lib/python3.12"
        sources = [path.relative_to(library) for path in library.rglob("*.py")]
        names = {".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in sources}
        names |= {path.name.partition(".")[0] for path in library.glob("lib-dynload/*.so")}
    finally:
        image.close()
    names |= set(sys.builtin_module_names)
    return sorted(name for name in names if not name.endswith("__main__") and name.isascii())


def cannot_be_imported_anywhere(names: list[str]) -> set[str]:
    """What says so on this machine too: modules for other systems."""
    source = (
        "import importlib, sys\nfor name in sys.argv[1:]:\n"
        "    try: importlib.import_module(name)\n"
        "    except Exception: print('not', name)"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-W", "ignore", "-c", source, *names],
                          capture_output=True, text=True, timeout=120, check=False,
                          env={"PATH": ""})  # fmt: skip
    return {line[4:] for line in done.stdout.splitlines() if line.startswith("not ")}


@pytest.fixture(scope="module")
def roomy() -> Iterator[SyncExecutor]:
    limits = Limits(cpu_s=30, wall_s=120, memory_mib=1024)
    with SyncExecutor(workers=2, limits=limits, rules=OPEN_RULES) as executor:
        yield executor


@pytest.mark.timeout(400)  # some thousand imports from disk
def test_every_module_of_the_image_can_be_imported(roomy: SyncExecutor) -> None:
    names = modules_of_the_image()
    assert len(names) > 500
    program = (
        "import importlib, warnings\nwarnings.simplefilter('ignore')\ndef f(names):\n"
        "    failed = []\n    for name in names:\n"
        "        try: importlib.import_module(name)\n"
        "        except Exception as error: failed.append(name)\n    return failed"
    )
    # Few, since what many import is loaded once for each.
    chunks = [names[start : start + 200] for start in range(0, len(names), 200)]
    failed = set()
    for result in roomy.validate_many([triplet(program, repr(chunk)) for chunk in chunks]):
        assert (result.status, result.signals) == (Status.OK, {}), result.detail
        assert result.outputs[0] is not None
        failed.update(result.outputs[0].strip("[]").replace("'", "").split(", "))
    failed.discard("")
    raw_memory = {name for name in failed if name.partition(".")[0] in NOT_HERE}
    raw_memory |= failed & {"multiprocessing.sharedctypes"}
    assert failed - raw_memory - cannot_be_imported_anywhere(sorted(failed - raw_memory)) == set()


IMPORTS = (
    "asyncio", "multiprocessing", "selectors", "subprocess", "socket", "ssl", "email", "curses",
    "http.client", "urllib.request", "unittest.mock", "logging.handlers", "zoneinfo", "sqlite3",
    "concurrent.futures.process", "multiprocessing.pool", "xmlrpc.client", "webbrowser",
)  # fmt: skip


def test_answers_that_import_what_they_do_not_use_are_right(roomy: SyncExecutor) -> None:
    task = JudgeTask(
        task=TaskType.INDUCTION, inputs=("3",), outputs=("9",),
        answers=tuple(f"import {name}\ndef f(x):\n    return x * x" for name in IMPORTS),
    )  # fmt: skip
    judged = roomy.judge(task)
    assert dict(zip(IMPORTS, judged.scores, strict=True)) == dict.fromkeys(IMPORTS, 1.0)
    assert judged.signals == {}

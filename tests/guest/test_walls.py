"""What a verified program may not do, tried by programs; each is one run in the real sandbox."""

from __future__ import annotations

import ast
import os

import pytest

from executor import Limits, Signal, Status, SyncExecutor
from tests.cases.forbidden import FORBIDDEN, OPEN_DESCRIPTORS
from tests.cases.programs import ENDINGS, TAMPERING
from tests.support.programs import OPEN_RULES, body, ending, triplet, value, verdict


@pytest.mark.parametrize("what", FORBIDDEN)
def test_a_call_outside_the_policy_is_forbidden(sandbox: SyncExecutor, what: str) -> None:
    result = verdict(sandbox, FORBIDDEN[what])
    assert result.status is Status.FORBIDDEN, result.detail
    assert not result.valid
    assert result.signals == {Signal.FORBIDDEN_CALL: 1}


REFUSED: dict[str, tuple[str, str | tuple[str, ...]]] = {
    "the host's users": (body("return open('/etc/passwd').read()"), "FileNotFoundError"),
    "the host's processes": (body("import os", "return os.listdir('/proc')"), "FileNotFoundError"),
    "its own memory": (body("return open('/proc/self/mem', 'rb').read(1)"), "FileNotFoundError"),
    "devices": (body("return open('/dev/urandom', 'rb').read(1)"), "FileNotFoundError"),
    "raw memory": (body("import ctypes"), ("ImportError", "ModuleNotFoundError")),
    "standard input": (body("return input()"), "EOFError"),
    "leaving": (body("exit()"), "SystemExit"),
    "leaving with a code": (body("import sys", "sys.exit(3)"), "SystemExit"),
    "an interrupt": (body("raise KeyboardInterrupt"), "KeyboardInterrupt"),
    "installed packages": (body("import psutil"), "ModuleNotFoundError"),
    "the executor's host side": (body("import executor.api.local"), "ModuleNotFoundError"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_there_raises(sandbox: SyncExecutor, what: str) -> None:
    program, error = REFUSED[what]
    result = verdict(sandbox, program)
    assert result.status is Status.ERROR
    assert result.detail.startswith(error)


@pytest.mark.parametrize("what", ENDINGS)
def test_an_end_has_its_own_status(sandbox: SyncExecutor, what: str) -> None:
    program, status = ENDINGS[what]
    result = ending(sandbox, program, status)
    assert result.status is status, result.detail


HARMLESS = {
    "output": (body("print('x' * 200_000)", "return 1"), "1"),
    "errors": (body("import sys", "sys.stderr.write('x' * 200_000)", "return 1"), "1"),
    "reading input": (body("import sys", "return sys.stdin.read()"), "''"),
    "a signal handler": (
        body(
            "import signal",
            "signal.signal(signal.SIGALRM, lambda *_: None)",
            "signal.setitimer(signal.ITIMER_REAL, 0.001)",
            "return sum(range(300_000))",
        ),
        str(sum(range(300_000))),
    ),
    "its limits": (body("import resource", "return resource.getrlimit(0)[0] > 0"), "True"),
    "a caught error": (body("try:", "    exit()", "except SystemExit:", "    return 2"), "2"),
    "the standard library": (body("import json", "return json.loads('[1]')"), "[1]"),
}


@pytest.mark.parametrize("what", HARMLESS)
def test_what_harms_nobody_is_allowed(sandbox: SyncExecutor, what: str) -> None:
    program, expected = HARMLESS[what]
    assert value(sandbox, program) == expected


def test_the_environment_holds_nothing_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST_SECRET", "hunter2")
    program = body(
        "import os, sys, gc",
        "seen = str(os.environb) + str(sys.argv) + str(sys.orig_argv) + str(sys.flags)",
        "return sorted(os.environ), os.environ['PATH'], 'hunter' in seen, os.getenv('HOST_SECRET')",
    )
    with SyncExecutor(workers=1, rules=OPEN_RULES) as executor:
        assert value(executor, program) == "(['HOME', 'PATH', 'USER'], '/py/bin', False, None)"


def test_the_file_system_is_the_image_and_no_more(sandbox: SyncExecutor) -> None:
    program = body(
        "import os",
        "return os.getcwd(), sorted(os.listdir('/')), os.listdir('/box'), os.listdir('/tmp')",
    )
    root, top, work, temporary = ast.literal_eval(value(sandbox, program))
    assert root == "/"
    assert set(top) <= {"py", "lib", "lib64", "usr", "guest", "dev", "box", "tmp"}
    assert work == temporary == []
    listing = body("import os", "return sorted(os.listdir('/dev'))")
    assert value(sandbox, listing) == "['null', 'shm']"


def test_the_user_is_nobody_with_no_privileges(sandbox: SyncExecutor) -> None:
    program = body(
        "import os", "return os.getuid(), os.geteuid(), os.getgid(), os.getegid(), os.getppid()"
    )
    assert value(sandbox, program) == "(65534, 65534, 65534, 65534, 1)"


def test_a_program_holds_the_null_device_and_its_result_pipe_only(sandbox: SyncExecutor) -> None:
    program = OPEN_DESCRIPTORS + body(
        "import stat",
        "null = os.stat('/dev/null').st_rdev",
        "held = descriptors()",
        "standard = [(number, about.st_rdev == null) for number, about in held[:3]]",
        "return standard, [stat.S_ISFIFO(about.st_mode) for _, about in held[3:]]",
    )
    expected = "([(0, True), (1, True), (2, True)], [True])"
    assert value(sandbox, program) == expected


FORGERIES = {
    "nothing": "b''",
    "zeros": "bytes(64)",
    "a huge size": "bytes(8) + b'\\xff' * 4",
    "a flood": "b'x' * 1_000_000",
    "text": "b'ready\\n'",
}


@pytest.mark.parametrize("what", FORGERIES)
def test_a_forged_result_is_a_crash_and_hurts_nobody_else(sandbox: SyncExecutor, what: str) -> None:
    write = f"os.write(descriptors()[-1][0], {FORGERIES[what]})"
    forger = triplet(OPEN_DESCRIPTORS + body(write, "os._exit(0)"))
    honest = [triplet(body(f"return {number} + x"), "1") for number in range(20)]
    verdicts = list(sandbox.validate_many([*honest[:10], forger, *honest[10:]]))
    assert verdicts.pop(10).status is Status.CRASHED
    assert [each.outputs[0] for each in verdicts] == [str(number + 1) for number in range(20)]


def test_a_result_after_a_forged_one_does_not_count(sandbox: SyncExecutor) -> None:
    program = OPEN_DESCRIPTORS + body("os.write(descriptors()[-1][0], bytes(12))", "return 1")
    assert verdict(sandbox, program).status is Status.CRASHED


SEARCH = """
import gc, sys
def f(x):
    wanted = ''.join(['other', '-', 'party'])
    frame, pending = sys._getframe(), [sys.modules]
    while frame is not None:
        pending += [frame.f_locals, frame.f_globals]
        frame = frame.f_back
    pending += gc.get_objects()
    pending += sys._current_frames().values()
    seen, found = set(), 0
    while pending:
        item = pending.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if item is wanted:
            pass
        elif type(item) is str:
            found += wanted in item
        elif type(item) in (bytes, bytearray):
            found += wanted.encode() in item
        else:
            pending += gc.get_referents(item)
    return found, len(seen) > 3_000
"""


def test_a_program_cannot_reach_other_jobs_in_its_interpreter(sandbox: SyncExecutor) -> None:
    """The zygote holds the text of jobs that are queued; its children must not."""
    mine = SEARCH.replace("return found", "text = 'other-party'\n    return found")
    assert value(sandbox, mine) != "(0, True)"  # the search can find something
    others = [triplet(body(f"return 'other-party-{number}'")) for number in range(60)]
    searchers = [triplet(f"{SEARCH}\n# {number}") for number in range(4)]
    verdicts = list(sandbox.validate_many([*others[:30], *searchers, *others[30:]]))
    assert [each.outputs for each in verdicts[30:34]] == [("(0, True)",)] * 4


ATTEMPTS = TAMPERING | {
    "the encoder": (
        "import sys\nfor name, module in list(sys.modules.items()):\n"
        "    if name.startswith('executor'):\n"
        "        for key in list(vars(module)):\n"
        "            setattr(module, key, None)"
    )
}


@pytest.mark.parametrize("what", ATTEMPTS)
def test_tampering_does_not_reach_the_next_run(sandbox: SyncExecutor, what: str) -> None:
    attack = triplet(f"{ATTEMPTS[what]}\ndef f(x):\n    return 1")
    probe = triplet(body("import math", "return len(sorted([x, 1])), math.floor(math.pi * 100)"))
    verdicts = list(sandbox.validate_many([attack, probe] * 24))
    assert {each.outputs[0] for each in verdicts[1::2]} == {"(2, 314)"}


def test_a_program_sees_no_difference_between_the_first_run_and_the_last(
    sandbox: SyncExecutor,
) -> None:
    program = "calls = []\ndef f(x, seen=[]):\n    seen.append(x)\n    calls.append(x)\n    return"
    counting = f"{program} len(seen), len(calls)"
    single = sandbox.validate(triplet(counting, "1"))
    many = sandbox.validate(triplet(counting, *map(str, range(8))))
    assert single.outputs == ("(1, 1)",)
    assert many.outputs == ("(1, 1)",) * 8


def test_an_endless_loop_does_not_change_the_verdicts_beside_it() -> None:
    limits = Limits(cpu_s=1, wall_s=30)
    with SyncExecutor(workers=2, limits=limits, rules=OPEN_RULES) as executor:
        loop = triplet(body("while True: pass"))
        honest = [triplet(body(f"return x + {number}"), "1") for number in range(50)]
        verdicts = list(executor.validate_many([loop, *honest]))
    assert verdicts[0].status is Status.CPU_LIMIT
    assert [each.outputs[0] for each in verdicts[1:]] == [str(n + 1) for n in range(50)]


def test_the_host_process_never_changes_its_own_environment(sandbox: SyncExecutor) -> None:
    before = dict(os.environ)
    verdict(sandbox, body("import os", "os.environ['LEAK'] = '1'", "return 1"))
    assert dict(os.environ) == before

"""What a script in a warm guest may not do, tried by scripts; each is one run in the real guest."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from executor import Limits, Script, SyncExecutor
from executor.wire.frames import Outcome
from tests.cases.forbidden import ENDING_SCRIPTS, OPEN_DESCRIPTORS
from tests.cases.programs import TAMPERING
from tests.support.warm_scripts import Attempt, attempt

LIMITS = Limits(cpu_s=8, wall_s=30, memory_mib=256, output_kib=256)


@pytest.fixture(scope="module")
def executor() -> Iterator[SyncExecutor]:
    with SyncExecutor(workers=2, limits=LIMITS) as opened:
        if "script" not in opened._executor.pool.backend.kinds:
            pytest.skip("no warm guests for scripts here (no C compiler at install)")
        assert opened.run(Script(source="print(1)")).stdout == b"1\n"  # starts the guests
        yield opened


def run(executor: SyncExecutor, source: str) -> Attempt:
    return attempt(executor, source, LIMITS)


def told(executor: SyncExecutor, source: str) -> str:
    """What a script prints that must end well."""
    result = run(executor, source)
    assert (result.reply.outcome, result.reply.wait_status) == (Outcome.RESULT, 0), result
    return result.stdout.decode()


@pytest.mark.parametrize("what", ENDING_SCRIPTS)
def test_a_call_outside_the_policy_ends_the_script(executor: SyncExecutor, what: str) -> None:
    result = run(executor, f"{ENDING_SCRIPTS[what]}\nf(0)\nprint('on')")
    assert result.signal == signal.SIGSYS
    assert result.stdout == b""
    assert result.reply.leftovers == 0


ON_STREAMS = {
    "a shorter output": "import os\nos.truncate(1, 0)",
    "a longer output": "import os\nos.ftruncate(1, 1 << 40)",
    "its own source": "import os\nos.ftruncate(os.open('script.py', os.O_RDONLY), 0)",
    "a larger pipe": "import fcntl\nfcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20)",
    "a lock": "import fcntl\nfcntl.flock(1, fcntl.LOCK_EX)",
    "a non-blocking pipe": "import os\nos.set_blocking(1, False)",
    "an owner of signals": "import fcntl\nfcntl.fcntl(0, fcntl.F_SETOWN, 1)",
    "input of its own": "import fcntl\nfcntl.ioctl(0, 0x5412, b'x')",
}


@pytest.mark.parametrize("what", ON_STREAMS)
def test_descriptors_are_for_reading_and_writing_only(executor: SyncExecutor, what: str) -> None:
    result = run(executor, f"{ON_STREAMS[what]}\nprint('on')")
    assert result.signal == signal.SIGSYS


def test_a_script_holds_three_pipes_and_nothing_else(executor: SyncExecutor) -> None:
    source = OPEN_DESCRIPTORS + (
        "import stat\nprint([(number, stat.S_ISFIFO(about.st_mode))"
        " for number, about in descriptors()], os.path.exists('/proc'))"
    )
    assert told(executor, source) == "[(0, True), (1, True), (2, True)] False\n"


def test_what_was_written_cannot_be_taken_back(executor: SyncExecutor) -> None:
    source = (
        "import os\nos.write(1, b'first ')\nfailed = []\n"
        "for attempt in (lambda: os.read(1, 9), lambda: os.write(0, b'x'),\n"
        "                lambda: os.lseek(1, 0, 0), lambda: os.pread(1, 9, 0)):\n"
        "    try: attempt()\n"
        "    except OSError as error: failed.append(error.errno)\nprint(failed)"
    )
    assert told(executor, source) == "first [9, 9, 29, 29]\n"


def test_a_script_cannot_change_the_file_that_the_next_is_run_from(executor: SyncExecutor) -> None:
    source = (
        "import mmap, os\nopened = os.open('/box/script.py', os.O_RDONLY)\nfailed = []\n"
        "for access in (mmap.ACCESS_WRITE, mmap.ACCESS_READ):\n"
        "    try: kept = mmap.mmap(opened, 0, access=access)\n"
        "    except OSError as error: failed.append(error.errno)\n"
        "copy = mmap.mmap(opened, 0, access=mmap.ACCESS_COPY)\ncopy[:5] = b'print'\n"
        "print(failed, kept[:6], copy[:6])"
    )
    for number in range(8):  # each guest has more than one
        assert told(executor, source) == "[13] b'import' b'printt'\n"
        assert told(executor, f"print({number}, open(__file__).read())") == (
            f"{number} print({number}, open(__file__).read())\n"
        )


SCAN = """
import ctypes, re
libc = ctypes.CDLL(None, use_errno=True)
libc.malloc.restype = ctypes.c_void_p
pattern = re.compile(b'othe[r]-part[y]')
def count():
    found = pages = 0
    starts = {id(object()), id([0] * 100_000), libc.malloc(64), libc.malloc(1 << 20),
              ctypes.cast(libc.access, ctypes.c_void_p).value}
    seen = set()
    for start in starts:
        start &= ~0x1fffff
        for block in range(start - (16 << 20), start + (24 << 20), 1 << 21):
            if block in seen or block < 0:
                continue
            seen.add(block)
            for page in range(block, block + (1 << 21), 4096):
                if libc.syscall(21, ctypes.c_void_p(page), 0) and ctypes.get_errno() == 14:
                    continue
                pages += 1
                found += len(pattern.findall(ctypes.string_at(page, 4096)))
    return found, pages
"""


def test_no_memory_of_a_script_holds_text_of_others(executor: SyncExecutor) -> None:
    """The zygote reads sources, inputs, arguments and outputs; its children must not see them."""
    mine = "kept = ['-'.join(['other', 'party']).encode() + str(i).encode() for i in range(99)]"
    found, pages = map(int, told(executor, f"{SCAN}\n{mine}\nprint(*count())").split())
    assert found >= 99  # the search can find something
    assert pages > 500
    for number in range(8):
        other = Script(
            source=f"# {'other-party ' * 900}\nimport sys\nprint(sys.argv, sys.stdin.read())\n"
            f"sys.exit('other-party {number}')",
            stdin="other-party " * 900,
            argv=("other-party",) * 90,
        )
        assert executor.run(other).exit_code == 1
    for _ in range(4):
        found, pages = map(int, told(executor, f"{SCAN}\nprint(*count())").split())
        assert found == 0
        assert pages > 500


ATTEMPTS = TAMPERING | {
    "the environment": "import os\nos.environ['A'] = 'b'\nos.environ.clear()",
    "functions at exit": "import atexit\natexit.register(print, 'late')",
    "streams": "import sys\nsys.stdout = sys.stderr = sys.stdin = None",
    "signals": "import signal\nsignal.signal(signal.SIGPIPE, signal.SIG_DFL)\nsignal.alarm(1)",
    "random numbers": "import random\nrandom.seed(1)",
    "its arguments": "import sys\nsys.argv += ['x']\nsys.orig_argv.clear()",
    "all descriptors": "import os\nos.closerange(0, 512)",
}


@pytest.mark.parametrize("what", ATTEMPTS)
def test_tampering_does_not_reach_the_next_run(executor: SyncExecutor, what: str) -> None:
    probe = (
        "import math, os, sys, signal\n"
        "print(len(sorted([2, 1])), math.floor(math.pi * 100), len(os.environ), sys.argv,\n"
        "      signal.getitimer(0), sys.getrecursionlimit())"
    )
    expected = "2 314 9 ['/box/script.py'] (0.0, 0.0) 1000\n"
    for _ in range(6):
        run(executor, ATTEMPTS[what])
        assert told(executor, probe) == expected


def test_a_script_that_closed_everything_still_ends_at_its_limit(executor: SyncExecutor) -> None:
    source = "import os\nos.closerange(0, 512)\nwhile True: pass"
    limits = LIMITS.model_copy(update={"cpu_s": 1})
    assert attempt(executor, source, limits).reply.outcome is Outcome.CPU_LIMIT

"""What a run leaves behind in a process that is reset after it: nothing.

After each run here the guest compares all writable memory of the process, its registers, its
extended state and its memory map with the snapshot, byte for byte, and ends if anything differs.
"""

# ruff: noqa: E501 - programs are quoted whole

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.one_guest import LIMITS, OneGuest
from executor.wire.frames import Outcome
from tests.support.reset_guests import audited_guest, reset_guest

PROBE = """
import sys, gc, re, functools, decimal, builtins, random, locale, collections, os, math, time
def f():
    class C: pass
    d = decimal.getcontext()
    return [id(object()), id(C), id([]), id({}), id("x" * 50), sorted(vars(builtins)),
        sorted(sys.modules), sys.getrecursionlimit(), sys.getswitchinterval(), gc.get_threshold(),
        gc.isenabled(), gc.get_count(), len(re._cache), d.prec, d.rounding,
        str(decimal.Decimal(1) / 3), random.random(), locale.setlocale(locale.LC_ALL),
        hash("some text"), sys.getrefcount(None), str(sys.exc_info()), sys.gettrace() is None,
        sys.getprofile() is None, sys.get_int_max_str_digits(), sorted(os.environ), 0.1 + 0.2,
        math.sqrt(2), 1e308 * 10, list({"a", "b", "c", "d"}), str(sys.unraisablehook),
        sys.getallocatedblocks(), len(gc.get_objects()), sys.path, sys.argv, math.pi, len([1, 2]),
        collections.Counter("aab").most_common(1), time.tzname, sys.getdefaultencoding(),
        sys.float_repr_style, str(sys.stdout), sys.intern("never seen before " + "here") is None]
"""


def whole(*lines: str) -> str:
    return "def f():\n" + "\n".join(f" {line}" for line in lines)


MEMORY = {
    "globals": whole("global zz; zz = [0] * 1000"),
    "builtins": whole("import builtins", "builtins.len = lambda x: 7; builtins.mark = 1"),
    "a removed builtin": whole("import builtins", "del builtins.print"),
    "the import function": whole("import builtins", "builtins.__import__ = None"),
    "module attributes": whole("import math", "math.pi = 3; math.mark = []"),
    "the modules": whole("import sys", "sys.modules['evil'] = sys; del sys.modules['re']"),
    "all modules": whole("import sys", "sys.modules.clear()"),
    "the import path": whole("import sys", "sys.path.append('x'); sys.meta_path.clear()"),
    "the arguments": whole("import sys", "sys.argv.append('x'); sys.argv = None"),
    "the environment": whole("import os", "os.environ['A'] = 'b'; del os.environ['HOME']"),
    "type attributes": whole("import collections", "collections.Counter.update = None"),
    "a new attribute of a type": whole("import collections", "collections.UserDict.evil = 1"),
    "the version of types": "\n".join(
        [
            "import collections",
            *whole(
                "for i in range(5000):",
                "  collections.UserList.x = i",
                "  collections.UserList().x",
            ).split("\n"),
        ]
    ),
    "many new types": whole("for i in range(300): type(f'T{i}', (), {'a': i})().a"),
    "a subclass that stays": whole(
        "global C", "class C(list): pass", "return len(list.__subclasses__())"
    ),
    "a registered class": whole(
        "import collections.abc as a", "a.Sized.register(type('S', (), {}))"
    ),
    "interned strings": whole("import sys", "[sys.intern(f'k{i}') for i in range(2000)]"),
    "one interned string": whole("import sys", "sys.intern('never seen before ' + 'here')"),
    "the cache of re": whole("import re", "[re.compile(f'a{i}b') for i in range(600)]"),
    "a cleared cache of re": whole("import re", "re.purge()"),
    "a cache of functools": (
        "import functools\n@functools.cache\ndef g(n): return n\n"
        + whole("return len([g(i) for i in range(500)])")
    ),
    "a singledispatch registry": (
        "import functools\n@functools.singledispatch\ndef g(n): return n\n"
        + whole("g.register(int, print)", "g(7)")
    ),
    "the decimal context": whole("import decimal", "decimal.getcontext().prec = 3"),
    "another decimal context": whole(
        "import decimal",
        "decimal.setcontext(decimal.Context(prec=2, traps=[]))",
        "decimal.Decimal(1) / 3",
    ),
    "decimal's flags": whole(
        "import decimal", "decimal.Decimal(1) / 3", "decimal.Decimal('1e999999') * 10 if 0 else 0"
    ),
    "the locale": whole("import locale", "locale.setlocale(locale.LC_NUMERIC, 'C')"),
    "warnings": whole("import warnings", "warnings.simplefilter('ignore'); warnings.warn('x')"),
    "the registry of warnings": whole(
        "import warnings", "for i in range(20): warnings.warn(f'x{i}')"
    ),
    "an error handler of codecs": whole(
        "import codecs",
        "codecs.register_error('mine', lambda e: ('', e.end))",
        "b'\\xff'.decode('ascii', 'mine')",
    ),
    "a search function of codecs": whole("import codecs", "codecs.register(lambda name: None)"),
    "hash caches": whole("import sys", "[hash(s) for s in list(vars(sys))]"),
    "a hash in a constant": whole("hash((None, 'abcdef' * 9)); hash('a constant of some length')"),
    "thread locals": whole("import threading", "global T; T = threading.local(); T.a = 1"),
    "the name of the thread": whole("import threading", "threading.current_thread().mark = 5"),
    "the recursion limit": whole("import sys", "sys.setrecursionlimit(77777)"),
    "the switch interval": whole("import sys", "sys.setswitchinterval(1)"),
    "the digits of int": whole("import sys", "sys.set_int_max_str_digits(0)"),
    "hooks": whole(
        "import sys", "sys.displayhook = 3; sys.unraisablehook = None; sys.excepthook = 1"
    ),
    "no streams": whole("import sys", "sys.stdout = None; sys.stderr = None; sys.stdin = 5"),
    "a buffered print": whole("print('x' * 100)"),
    "much output": whole("print('x' * 100_000)"),
    "an audit hook": whole("import sys", "sys.addaudithook(lambda *a: None)"),
    "a trace function": whole("import sys", "sys.settrace(lambda *a: None)"),
    "a profile function": whole("import sys", "sys.setprofile(lambda *a: None)"),
    "monitoring": whole(
        "import sys", "sys.monitoring.use_tool_id(0, 'x')", "sys.monitoring.set_events(0, 1)"
    ),
    "gc off": whole("import gc", "gc.disable(); gc.set_threshold(1, 1, 1)"),
    "gc freeze and callbacks": whole("import gc", "gc.freeze(); gc.callbacks.append(print)"),
    "gc unfreeze": whole("import gc", "gc.unfreeze()", "gc.collect()"),
    "garbage": whole("a = []", "a.append(a)", "for _ in range(2000): b = []; b.append(b)"),
    "a finalizer": whole(
        "import weakref", "global k", "class K: pass", "k = K(); weakref.finalize(k, print)"
    ),
    "weak references": whole(
        "import weakref, collections", "global r; r = weakref.ref(collections.Counter)"
    ),
    "an exit function": whole("import atexit", "atexit.register(print)"),
    "exceptions": whole(
        "import sys",
        "try: 1 / 0",
        "except ZeroDivisionError as e: sys.last_exc = e",
        "raise ValueError('x')",
    ),
    "a memory error": whole("raise MemoryError"),
    "a recursion error": whole("return f()"),
    "an exit": whole("import sys", "sys.exit(3)"),
    "an interrupt": whole("raise KeyboardInterrupt"),
    "a generator left running": whole(
        "import builtins", "def g():", "  while 1: yield", "it = g(); next(it); builtins.it = it"
    ),
    "a context variable": "import contextvars\nV = contextvars.ContextVar('V')\n"
    + whole("V.set([1] * 100)"),
    "random numbers": whole(
        "import random", "random.seed(5); [random.random() for _ in range(700)]"
    ),
    "entropy": whole("import os", "return len(os.urandom(64))"),
    "the heap": whole(
        "global keep",
        "keep = [bytes(n * 100) for n in range(300)]; x = [object() for _ in range(50_000)]; keep.append(x[::2])",
    ),
    "free lists": whole(
        "[(i, i) for i in range(3000)]; [float(i) for i in range(3000)]; [{} for _ in range(300)]; [[i] for i in range(300)]"
    ),
    "a freed arena": whole("x = [[i] for i in range(100_000)]; del x"),
    "large blocks": whole(
        "x = [bytearray(700_000) for _ in range(8)]; x.pop(3); return sum(map(len, x))"
    ),
    "the stack": "import sys\nsys.setrecursionlimit(10**6)\n"
    + whole(
        "def r(n): return 0 if n == 0 else 1 + r(n - 1)",
        "def s(n): return sorted([1], key=lambda _: s(n - 1) if n else 0)",
        "s(200); return r(20_000)",
    ),
    "errno": whole("import math", "try: math.exp(10_000)", "except OverflowError: return 1"),
    "flags of floats": whole("return (1e308 * 10, 5e-324 / 3, 2.0 ** -1074 * 0.5, 0.1 * 3)"),
    "vectors": whole("return sum([i * 0.5 for i in range(1000)]), b'x' * 5000 in b'y' * 9000"),
    "the C library's formats": whole(
        "import time", "return time.strftime('%Y', (2020, 1, 1, 0, 0, 0, 0, 0, 0)), '%.17g' % 0.1"
    ),
    "a long number": whole("return len(str(3 ** 5000)), (7 ** 4000) % 1000"),
    "small numbers": whole(
        "return [i for i in range(-5, 257)][::50], [chr(i) for i in range(256)][:3]"
    ),
    "the code of a function": whole(
        "import collections", "collections.namedtuple.__code__ = (lambda *a: 7).__code__"
    ),
    "defaults of a function": whole(
        "import collections",
        "collections.namedtuple.__defaults__ = (1, 2)",
        "collections.namedtuple.x = 5",
    ),
    "specialized code": whole(
        "import collections", "for i in range(300): collections.Counter(str(i)).most_common(1)"
    ),
    "the frames above": whole(
        "import sys", "f = sys._getframe()", "while f:", "  f.f_trace = print; f = f.f_back"
    ),
    "the harness": whole(
        "import sys",
        "f = sys._getframe()",
        "while f:",
        "  f.f_globals['mark'] = 1; f.f_globals.pop('encode', None); f = f.f_back",
    ),
    "immortal objects": whole(
        "import sys", "x = [None] * 100_000; return sys.getrefcount(None) > 0"
    ),
    "a memory view": whole("global m; m = memoryview(bytearray(100_000)); m[5] = 7"),
    "regular expressions at work": whole(
        "import re", "return bool(re.match('(a|b)*c', 'ab' * 400 + 'c'))"
    ),
    "an iterator of the library": whole(
        "import itertools", "global it; it = itertools.tee(itertools.count(), 3)"
    ),
    "sleep": whole("import time", "time.sleep(0.002)"),
    "a lock": whole(
        "import threading",
        "global L; L = threading.Lock(); L.acquire(); return L.acquire(timeout=0.001)",
    ),
    "the clock": whole("import time", "return time.time() > 0 and time.monotonic() > 0"),
}
"""State in memory and registers: the run is in the slot, and the slot is put back."""

KERNEL = {
    "an open file": "open('/dev/null')",
    "a directory": "import os; os.listdir('/')",
    "a duplicate": "import os; os.dup(1)",
    "a closed descriptor": "import os; os.close(1)",
    "a thread": "import threading; threading.Thread(target=print).start()",
    "a descriptor's position": "import os; os.lseek(1, 5, 0)",
    "a signal handler": "import signal; signal.signal(signal.SIGUSR1, lambda *a: None)",
    "an ignored signal": "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)",
    "the signal mask": "import signal; signal.pthread_sigmask(0, [signal.SIGUSR1])",
    "a timer": "import signal; signal.setitimer(signal.ITIMER_REAL, 100)",
    "an alarm": "import signal; signal.alarm(100)",
    "its limits": "import resource; resource.getrlimit(resource.RLIMIT_CPU)",
    "used CPU time": "import time; time.process_time()",
    "used CPU time of the thread": "import time; time.thread_time()",
    "what was used": "import resource; resource.getrusage(resource.RUSAGE_SELF)",
    "times": "import os; os.times()",
    "a module from disk": "import csv",
    "much memory": "bytearray(40 << 20)",
    "an anonymous mapping": "import mmap; mmap.mmap(-1, 4096)",
    "the cores": "import os; os.sched_getaffinity(0)",
    "a poll": "import select; select.select([], [], [], 0)",
    "a direct end": "import os; os._exit(0)",
}
"""Calls that leave a trace in the kernel, or show one: they are not made in the slot."""

ENDS = {
    "a fork": "import os; os.fork()",
    "a descriptor's flags": "import os; os.set_inheritable(1, True)",
    "a program": "import os; os.execv('/py/bin/python3.12', ['python'])",
    "a socket": "import socket; socket.socket()",
    "a pipe": "import os; os.pipe()",
    "the umask": "import os; os.umask(0)",
    "another directory": "import os; os.chdir('/')",
    "a signal to itself": "import os; os.kill(os.getpid(), 9)",
    "priority": "import os; os.nice(1)",
    "affinity": "import os; os.sched_setaffinity(0, [0])",
    "a higher limit": "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5))",
}
"""Calls that the policy denies: they end the process, and a fork says what that is."""


@pytest.fixture(scope="module")
def audited() -> Iterator[OneGuest]:
    """A guest that compares everything after every run."""
    guest = audited_guest()
    for _ in range(60):  # until it has learnt which pages are hot
        guest.run(PROBE)
    yield guest
    guest.close()


def body(line: str) -> str:
    return "def f():\n " + line


def test_there_are_many_kinds_of_state() -> None:
    assert len(MEMORY) + len(KERNEL) >= 100
    assert len(MEMORY) >= 60


@pytest.mark.parametrize("what", MEMORY)
def test_no_byte_of_a_run_is_left(audited: OneGuest, what: str) -> None:
    before = audited.run(PROBE)
    run = audited.run(MEMORY[what])
    after = audited.run(PROBE)
    assert run.outcome is Outcome.RESULT
    assert before.pid == run.pid == after.pid, "the run was not in the slot"
    assert after.value == before.value


@pytest.mark.parametrize("what", KERNEL)
def test_a_call_that_leaves_a_trace_is_not_made_in_a_slot(audited: OneGuest, what: str) -> None:
    before = audited.run(PROBE)
    run = audited.run(body(KERNEL[what]))
    after = audited.run(PROBE)
    assert run.pid != before.pid
    assert before.pid == after.pid, "the slot was thrown away"
    assert after.value == before.value


@pytest.mark.parametrize("what", ENDS)
def test_what_is_refused_leaves_no_trace_and_what_ends_a_slot_replaces_it(
    audited: OneGuest, what: str
) -> None:
    before = audited.run(PROBE)
    run = audited.run(body(ENDS[what]))
    after = audited.run(PROBE)
    assert after.value == before.value
    # Ordinary calls are refused with an error, in the slot; what no honest program makes ends it.
    refused = run.record is not None
    assert refused or before.pid not in {run.pid, after.pid}


# ---- around a slot --------------------------------------------------------------------------------


def test_a_slot_holds_the_null_device_and_nothing_else(audited: OneGuest) -> None:
    audited.run(PROBE)
    held = [
        os.readlink(descriptor)
        for process in audited.zygote().children()
        for descriptor in Path(f"/proc/{process.pid}/fd").iterdir()
    ]
    assert set(held) == {"/dev/null"}


def test_a_fork_has_neither_the_slots_descriptors_nor_their_blocked_signal(
    audited: OneGuest,
) -> None:
    program = whole(
        "import os, signal",
        "held = []",
        "for number in range(64):",
        "  try: held.append(os.fstat(number).st_ino and number)",
        "  except OSError: pass",
        "return held, [*signal.pthread_sigmask(0, [])]",
    )
    expected = whole("return [0, 1, 2, 3], []")
    assert audited.run(program).value == audited.run(expected).value


def test_a_slot_that_has_grown_is_replaced(audited: OneGuest) -> None:
    before = audited.run(PROBE)
    for _ in range(3):
        audited.run(
            whole("x = [[i] for i in range(250_000)]", "y = [bytes(900_000) for _ in '12345678']")
        )
    after = audited.run(PROBE)
    assert before.pid != after.pid
    # Another slot of the same zygote is not promised to give the same addresses.
    assert after.outcome is Outcome.RESULT


LIMITED = {
    "wall time": (whole("import time", "time.sleep(60)"), Outcome.WALL_LIMIT),
    "CPU time": (whole("while True: pass"), Outcome.NO_RESULT),
    "output": (
        whole(
            "import sys",
            "f = sys._getframe()",
            "while f:",
            "  if '_record' in f.f_globals: f.f_globals['_record'] = lambda *a: bytes(3_000_000)",
            "  f = f.f_back",
        ),
        Outcome.OUTPUT_LIMIT,
    ),
}


@pytest.mark.parametrize("what", LIMITED)
def test_the_limits_of_a_run_hold_in_a_slot(audited: OneGuest, what: str) -> None:
    program, outcome = LIMITED[what]
    limits = LIMITS.model_copy(update={"wall_s": 1.0 if what == "wall time" else 60, "cpu_s": 1})
    before = audited.run(PROBE)
    run = audited.run(program, limits=limits)
    assert run.outcome is outcome
    assert run.pid == before.pid
    if what == "CPU time":
        assert run.reply.wait_status == 9
        assert 0.9e6 < run.reply.cpu_us < 3e6
    assert audited.run(PROBE).outcome is Outcome.RESULT


def test_used_processor_time_does_not_count_against_the_next_run(audited: OneGuest) -> None:
    limits = LIMITS.model_copy(update={"cpu_s": 1, "wall_s": 60})
    program = whole(
        "import time", "end = time.monotonic() + 0.2", "while time.monotonic() < end: pass"
    )
    for _ in range(8):
        run = audited.run(program, limits=limits)
        assert run.outcome is Outcome.RESULT
        assert run.reply.cpu_us < 1e6


def test_little_memory_is_for_a_fork(audited: OneGuest) -> None:
    limits = LIMITS.model_copy(update={"memory_mib": 32})
    before = audited.run(PROBE)
    program = whole("try: return len(bytearray(48 << 20))", "except MemoryError: return 'no'")
    run = audited.run(program, limits=limits)
    assert run.pid != before.pid
    assert run.value == audited.run(whole("return 'no'")).value


def test_few_pages_are_written_back() -> None:
    guest = reset_guest("costs=1")
    try:
        for _ in range(60):
            guest.run(whole("return 1"))
        guest.run(whole("x = bytearray(6 << 20)", "return 1"))
        for _ in range(200):
            guest.run(whole("return 1"))
        told = guest.finish()
    finally:
        guest.close()
    assert told["runs"] == 261
    assert told["escaped"] == told["lost"] == 0
    assert told["pages"] / told["runs"] < 300

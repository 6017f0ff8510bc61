"""Category A: using up what the machine has."""

# ruff: noqa: E501 - the sentences of the table

from __future__ import annotations

from functools import partial

from executor import ScriptResult, Status
from tests.security.cases.base import Case, Result, explain, outputs, prints, says, script, verify

v = partial(verify, "A")
s = partial(script, "A")


def _nothing_collected(result: ScriptResult) -> None:
    assert result.files == {}, explain(result)


def _prints_at_most(most: int) -> object:
    def check(result: ScriptResult) -> None:
        if result.status is Status.OK:
            assert 0 < int(result.stdout) <= most, explain(result)

    return check


def _is_short(result: Result) -> None:
    assert len(repr(result)) < 4 << 20, "more came back than the limit allows"


CASES: tuple[Case, ...] = (
    v(1, "endless-loop", "A pure function never ends.", """
        def f(x):
            while True:
                pass
        """, Status.CPU_LIMIT),
    v(1, "endless-loop-that-catches-all", "The loop catches every exception, in hope of an alarm.", """
        def f(x):
            while True:
                try:
                    while True:
                        pass
                except BaseException:
                    pass
        """, Status.CPU_LIMIT),
    s(1, "endless-script", "A script never ends.", """
        while True:
            pass
        """, Status.CPU_LIMIT),
    v(2, "endless-sleep", "Sleeps for years, using no processor time.", """
        import time
        def f(x):
            time.sleep(1e9)
        """, Status.WALL_LIMIT, limits={"wall_s": 1.0}),
    s(2, "endless-read", "Waits for a pipe that nobody writes to.", """
        import os
        os.read(os.pipe()[0], 1)
        """, Status.WALL_LIMIT, limits={"wall_s": 1.0}),
    v(3, "one-large-allocation", "Asks for a terabyte at once.", """
        def f(x):
            return len(" " * (1 << 40))
        """, Status.MEMORY_LIMIT),
    v(4, "slow-growth", "Grows a list bit by bit.", """
        def f(x):
            kept = []
            while True:
                kept.append(bytes(1 << 16))
        """, Status.MEMORY_LIMIT),
    v(4, "growth-that-catches-memory-error", "Goes on allocating after each MemoryError.", """
        def f(x):
            kept = []
            while True:
                try:
                    kept.append(bytes(1 << 20))
                except MemoryError:
                    pass
        """, Status.MEMORY_LIMIT, Status.CPU_LIMIT),
    s(5, "address-space", "Maps memory that it never touches.", """
        import mmap
        try:
            mmap.mmap(-1, 1 << 36)
        except OSError as error:
            print(error.errno)
        """, Status.OK, check=prints("12")),
    s(6, "memory-of-many-children", "Children hold the memory that one process may not.", """
        import os, time
        for _ in range(12):
            told, tell = os.pipe()
            if os.fork() == 0:
                kept = b"x" * (100 << 20)
                os.write(tell, b".")
                time.sleep(600)
            os.close(tell)
            os.read(told, 1)
        raise SystemExit("children were killed")
        """, Status.MEMORY_LIMIT, alone=True),
    s(7, "fork-bomb", "Forks without end.", """
        import os
        while True:
            os.fork()
        """, Status.PROCESS_LIMIT, Status.CPU_LIMIT, alone=True),
    s(7, "fork-bomb-that-catches-errors", "Forks without end, and goes on where that fails.", """
        import os
        while True:
            try:
                os.fork()
            except OSError:
                pass
        """, Status.PROCESS_LIMIT, Status.CPU_LIMIT, Status.WALL_LIMIT,
      limits={"wall_s": 5.0}, alone=True),
    v(7, "fork-in-a-function", "A pure function forks.", """
        import os
        def f(x):
            while True:
                os.fork()
        """, Status.FORBIDDEN),
    s(8, "thread-bomb", "Starts threads without end.", """
        import threading, time
        while True:
            threading.Thread(target=time.sleep, args=(30,)).start()
        """, Status.PROCESS_LIMIT, Status.ERROR, Status.WALL_LIMIT, limits={"wall_s": 4.0}, alone=True),
    v(8, "thread-in-a-function", "A pure function starts a thread.", """
        import threading
        def f(x):
            threading.Thread(target=print).start()
        """, Status.FORBIDDEN),
    s(9, "spawn-bomb", "Starts programs (vfork) without end.", """
        import os, sys
        while True:
            os.posix_spawn(sys.executable, [sys.executable, "-S", "-c", "while 1: pass"], {})
        """, Status.PROCESS_LIMIT, Status.CPU_LIMIT, alone=True),
    s(10, "endless-output", "Prints without end.", """
        while True:
            print("x" * 1000)
        """, Status.OUTPUT_LIMIT, check=_is_short),
    v(10, "output-of-a-function", "A pure function prints without end.", """
        def f(x):
            while True:
                print("x" * 65536)
        """, Status.CPU_LIMIT),
    s(11, "endless-errors", "Writes to stderr without end.", """
        import sys
        while True:
            sys.stderr.write("x" * 1000)
        """, Status.OUTPUT_LIMIT, check=_is_short),
    s(12, "one-endless-line", "Writes a line that never ends.", """
        import sys
        while True:
            sys.stdout.write("x" * (1 << 20))
        """, Status.OUTPUT_LIMIT, check=_is_short),
    v(12, "large-value", "Returns a value larger than allowed.", """
        def f(x):
            return ["x" * 1000] * 10_000
        """, Status.OUTPUT_LIMIT),
    v(0, "large-integer", "Returns an integer whose decimal digits take long to find.", """
        def f(x):
            return 3 << (8 * 200 * 1024)
        """, Status.OK, Status.OUTPUT_LIMIT, Status.UNSERIALIZABLE),
    s(13, "full-file-system", "Fills the writable file system.", """
        try:
            for name in range(99):
                with open(str(name), "wb") as file:
                    file.write(bytes(1 << 20))
        except OSError as error:
            print(error.errno)
        """, Status.OK, check=prints("28")),
    s(14, "a-million-files", "Makes empty files without end.", """
        import os
        try:
            for number in range(1_000_000):
                os.mknod(str(number))
        except OSError as error:
            print(error.errno)
        """, Status.OK, check=prints("28"), limits={"cpu_s": 1},
      expected_on={"gvisor": frozenset({Status.OK, Status.CPU_LIMIT})}, check_on={"gvisor": lambda result: None}),
    s(15, "sparse-file", "Makes a file of a petabyte out of nothing, to be brought back.", """
        import os
        try:
            os.truncate(os.open("o", os.O_CREAT | os.O_RDWR), 1 << 50)
        except OSError as error:
            print(error.errno)
        """, Status.OK, settings={"collect": ("o",)}, check=prints("27"),
      check_on={"gvisor": lambda result: None}),
    s(16, "full-shared-memory", "Fills /dev/shm.", """
        try:
            for name in range(99):
                with open(f"/dev/shm/{name}", "wb") as file:
                    file.write(bytes(1 << 20))
        except OSError as error:
            print(error.errno)
        """, Status.OK, check=prints("28")),
    s(17, "anonymous-files", "Holds memory in files without a name.", """
        import os
        for _ in range(300):
            descriptor = os.memfd_create("x")
            for _ in range(7):
                os.write(descriptor, bytes(1 << 20))
        """, Status.MEMORY_LIMIT, alone=True,
      expected_on={"gvisor": frozenset({Status.MEMORY_LIMIT, Status.CPU_LIMIT, Status.CRASHED, Status.INFRA})}),
    s(18, "pipe-buffers", "Holds the kernel's memory in pipes that nobody reads.", """
        import fcntl, os
        held = 0
        try:
            while True:
                reader, writer = os.pipe()
                os.set_blocking(writer, False)
                try:
                    fcntl.fcntl(writer, 1031, 1 << 20)
                except OSError:
                    pass
                try:
                    while True:
                        held += os.write(writer, bytes(1 << 16))
                except BlockingIOError:
                    pass
        except OSError:
            print(held)
        """, Status.OK, Status.MEMORY_LIMIT, check=_prints_at_most(300 << 20)),
    s(19, "descriptors-of-a-script", "Opens files without end.", """
        opened = []
        try:
            while True:
                opened.append(open("/dev/null"))
        except OSError as error:
            print(error.errno, len(opened) < 512)
        """, Status.OK, check=prints("24 True")),
    v(19, "descriptors-of-a-function", "A pure function opens files without end.", """
        def f(x):
            opened = []
            try:
                while True:
                    opened.append(open("/dev/null"))
            except OSError as error:
                return error.errno, len(opened) < 64
        """, Status.OK, check=outputs("(24, True)")),
    v(20, "recursion-without-limit", "Lifts the recursion limit and recurses.", """
        import sys
        sys.setrecursionlimit(10**9)
        def f(x):
            return f(x)
        """, Status.MEMORY_LIMIT, Status.CRASHED, Status.ERROR, Status.CPU_LIMIT),
    v(20, "recursion-in-c", "Recurses through the interpreter's own C code.", """
        import sys
        sys.setrecursionlimit(10**9)
        class Deep:
            def __getattr__(self, name):
                return getattr(self, name + "x")
        def f(x):
            return Deep().a
        """, Status.MEMORY_LIMIT, Status.CRASHED, Status.ERROR, Status.CPU_LIMIT),
    s(20, "stack-overflow", "A script runs out of stack.", """
        import sys
        sys.setrecursionlimit(10**9)
        kept = []
        for _ in range(10**6):
            kept = [kept]
        print(len(repr(kept)))
        """, Status.ERROR, Status.CRASHED, Status.MEMORY_LIMIT, Status.CPU_LIMIT),
    v(21, "nested-brackets", "A source that overruns the parser's stack.", "def f(x):\n    return " + "(" * 20_000 + ")" * 20_000,
      Status.SYNTAX_ERROR, Status.SCREENED),
    v(21, "nested-operators", "A source that overruns the compiler's stack.", "def f(x):\n    return " + "-" * 50_000 + "1",
      Status.SYNTAX_ERROR, Status.SCREENED),
    v(21, "a-long-sum", "A syntax tree as deep as the source is long.", "def f(x):\n    return " + "x+" * 30_000 + "x",
      Status.SYNTAX_ERROR, Status.SCREENED),
    v(21, "attribute-chain", "A chain of attributes as long as the source.", "def f(x):\n    return x" + ".a" * 30_000,
      Status.SYNTAX_ERROR, Status.SCREENED),
    v(21, "nested-input", "An input that overruns the parser's stack.", """
        def f(x):
            return x
        """, Status.MALFORMED, inputs=("[" * 50_000 + "]" * 50_000,)),
    v(22, "power-in-c", "One endless operation in C, which no signal handler can interrupt.", """
        def f(x):
            return len(str((x + 9) ** (x * 10**8))) and 0
        """, Status.CPU_LIMIT),
    v(22, "factorial-in-c", "A factorial that takes hours.", """
        import math
        def f(x):
            return math.factorial(x * 10**8) and 0
        """, Status.CPU_LIMIT, Status.MEMORY_LIMIT),
    v(23, "digits-of-an-integer", "Reads an integer of a million digits.", """
        def f(x):
            return int("9" * 10**6)
        """, Status.ERROR, check=says("ValueError")),
    v(23, "digits-without-a-limit", "Lifts the limit on digits first.", """
        import sys
        def f(x):
            sys.set_int_max_str_digits(0)
            return int("9" * 10**8) and 0
        """, Status.CPU_LIMIT, Status.MEMORY_LIMIT),
    v(24, "catastrophic-pattern", "A regular expression that backtracks for ever.", """
        import re
        def f(x):
            return re.match("(a+)+$", "a" * 64 + "b")
        """, Status.CPU_LIMIT),
    v(25, "colliding-hashes", "A set whose elements all have one hash.", """
        def f(x):
            return len({number * (2**61 - 1) for number in range(10**6)})
        """, Status.CPU_LIMIT),
    v(25, "colliding-hashes-as-value", "Hands the host a set whose elements all have one hash.", """
        def f(x):
            return {number * (2**61 - 1) for number in range(4000)}
        """, Status.OK, Status.CPU_LIMIT, Status.UNSERIALIZABLE),
    v(26, "decompression-bomb", "Unpacks gigabytes from a few bytes.", """
        import bz2
        def f(x):
            return len(bz2.decompress(bz2.compress(bytes(4_000_000)) * 1000))
        """, Status.MEMORY_LIMIT, Status.CPU_LIMIT),
    s(27, "core-dump", "Crashes, to leave a core file.", """
        import ctypes
        ctypes.string_at(0)
        """, Status.CRASHED, settings={"collect": ("core", "core.1", "core.2")}, check=_nothing_collected),
    s(28, "stopped-process", "Stops itself, so that it neither runs nor ends.", """
        import os, signal
        os.kill(os.getpid(), signal.SIGSTOP)
        """, Status.WALL_LIMIT, limits={"wall_s": 1.0}),
    s(29, "ignored-signals", "Ignores and blocks every signal.", """
        import signal
        for number in {*signal.valid_signals()} - {9, 19}:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            pass
        """, Status.CPU_LIMIT),
    v(29, "ignored-signals-in-a-function", "A pure function ignores and blocks every signal.", """
        import signal
        def f(x):
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            while True:
                pass
        """, Status.CPU_LIMIT),
    s(30, "real-time-priority", "Asks to run before everything else.", """
        import os
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(99))
            print("granted")
        except OSError:
            print("refused")
        """, Status.FORBIDDEN, expected_on={
            "docker": frozenset({Status.OK}), "gvisor": frozenset({Status.OK})},
      check_on={"docker": prints("refused"), "gvisor": None}),
    s(30, "higher-priority", "Asks for a better place in the queue.", """
        import os
        try:
            os.setpriority(os.PRIO_PROCESS, 0, -20)
            print("granted")
        except OSError:
            print("refused")
        """, Status.OK, check=prints("refused"), check_on={"gvisor": None}),
    s(30, "higher-limits", "Raises its own limits.", """
        import resource
        granted = []
        for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE,
                     resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE, resource.RLIMIT_CORE):
            try:
                resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                granted.append(kind)
            except (ValueError, OSError):
                pass
        print(granted)
        """, Status.OK, check=prints("[]")),
    s(31, "locked-memory", "Keeps memory from being paged out.", """
        import ctypes
        print("refused" if ctypes.CDLL(None).mlockall(3) else "granted")
        """, Status.FORBIDDEN, expected_on={
            "docker": frozenset({Status.OK}), "gvisor": frozenset({Status.OK})},
      check_on={"docker": prints("refused"), "gvisor": None}),
    s(32, "burning-orphan", "A child goes on burning processor time when its parent has ended.", """
        import os
        for _ in range(4):
            if os.fork() == 0:
                os.setsid()
                while True:
                    pass
        print("ended")
        """, Status.OK, check=prints("ended")),
    s(32, "processor-time-of-children", "Children burn the time that one process may not.", """
        import os
        for _ in range(4):
            if os.fork() == 0:
                while True:
                    pass
        while True:
            os.wait()
        """, Status.CPU_LIMIT, Status.WALL_LIMIT, limits={"wall_s": 10.0}),
    s(34, "thrashing", "Writes and reads a file without end.", """
        while True:
            with open("x", "wb") as file:
                file.write(bytes(4 << 20))
            with open("x", "rb") as file:
                file.read()
        """, Status.CPU_LIMIT, expected_on={"gvisor": frozenset({Status.CPU_LIMIT, Status.MEMORY_LIMIT})}),
    v(35, "constant-folding", "A constant that the compiler would compute.", """
        def f(x):
            return len("a" * 10**10)
        """, Status.MEMORY_LIMIT),
    v(35, "constant-power", "A power that the compiler would compute.", """
        KEPT = 7 ** 7 ** 7 ** 7
        def f(x):
            return 1
        """, Status.CPU_LIMIT, Status.MEMORY_LIMIT, Status.SYNTAX_ERROR),
    v(35, "nested-comprehensions", "Comprehensions in comprehensions, as deep as they go.", "def f(x):\n    return " + "[" * 90 + "x" + " for x in [x]]" * 90,
      Status.SYNTAX_ERROR, Status.SCREENED, Status.OK, Status.CRASHED),
    v(35, "compile-at-run-time", "Compiles a bomb while it runs.", """
        def f(x):
            return len(compile("(" + "1," * 10**7 + ")", "", "eval").co_code)
        """, Status.MEMORY_LIMIT, Status.CPU_LIMIT, Status.ERROR),
    v(0, "memory-of-a-memory-view", "Multiplies memory by slices of one buffer.", """
        def f(x):
            kept = [bytearray(1 << 20)]
            while True:
                kept.append(kept[-1] + kept[-1])
        """, Status.MEMORY_LIMIT),
    v(0, "busy-waiting", "Sleeps a little, without end, to stay below the limit of processor time.", """
        import time
        def f(x):
            while True:
                time.sleep(0.001)
        """, Status.WALL_LIMIT, limits={"wall_s": 1.0}),
)  # fmt: skip

"""Category B: processes that outlive, disturb or imitate others."""

# ruff: noqa: E501 - the sentences of the table

from __future__ import annotations

from functools import partial

from executor import ScriptResult, Status
from tests.security.cases.base import Case, Result, explain, outputs, prints, script, verify

v = partial(verify, "B")
s = partial(script, "B")


def _quick(result: Result) -> None:
    assert result.usage.wall_ms < 10_000, explain(result)


def _printed_once(result: ScriptResult) -> None:
    assert result.stdout == b"parent\n", explain(result)
    _quick(result)


CASES: tuple[Case, ...] = (
    s(36, "daemon", "Detaches a process from everything, and ends.", """
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(2)
                print("daemon", flush=True)
                time.sleep(60)
            os._exit(0)
        print("parent")
        """, Status.OK, check=_printed_once),
    s(37, "thread-after-the-end", "A thread goes on when the main thread has ended.", """
        import threading
        def burn():
            while True:
                pass
        threading.Thread(target=burn).start()
        """, Status.CPU_LIMIT),
    s(37, "daemon-thread-after-the-end", "A daemon thread writes while the interpreter ends.", """
        import threading
        def write():
            while True:
                pass
        threading.Thread(target=write, daemon=True).start()
        print("parent")
        """, Status.OK, check=_printed_once),
    v(38, "handler-at-exit", "A handler at exit ends the process with another result.", """
        import atexit, os
        def f(x):
            atexit.register(os._exit, 0)
            atexit.register(print, "forged")
            return x
        """, Status.OK, check=outputs("1")),
    v(39, "endless-handler-at-exit", "A handler at exit never ends.", """
        import atexit
        @atexit.register
        def never():
            while True:
                pass
        def f(x):
            return x
        """, Status.OK, Status.CPU_LIMIT, Status.CRASHED),
    s(39, "endless-handler-of-a-script", "A script's handler at exit never ends.", """
        import atexit
        @atexit.register
        def never():
            while True:
                pass
        """, Status.CPU_LIMIT),
    v(40, "finalizer-at-the-end", "An object's finalizer runs when the function has returned.", """
        class Late:
            def __del__(self):
                while True:
                    pass
        kept = Late()
        def f(x):
            global kept
            return x
        """, Status.OK, Status.CPU_LIMIT, Status.CRASHED),
    v(40, "finalizer-that-leaves", "A finalizer leaves the process when the function has returned.", """
        import os
        class Late:
            def __del__(self):
                os._exit(0)
        def f(x):
            late = Late()
            return x
        """, Status.CRASHED),
    v(41, "another-program-in-a-function", "Replaces the interpreter by another program.", """
        import os, sys
        def f(x):
            os.execv(sys.executable, ["python", "-c", "print(1)"])
        """, Status.FORBIDDEN),
    s(41, "another-program", "A script becomes another program: its output counts, nothing else.", """
        import os, sys
        os.execv(sys.executable, [sys.executable, "-c", "print('parent')"])
        """, Status.OK, check=_printed_once),
    s(42, "no-signal-at-the-parent's-death", "A child asks not to be told of its parent's death.", """
        import ctypes, os, time
        if os.fork() == 0:
            ctypes.CDLL(None).prctl(1, 0)
            os.setsid()
            time.sleep(60)
        print("parent")
        """, Status.OK, check=_printed_once),
    s(42, "subreaper", "Asks to become the parent of orphans.", """
        import ctypes
        print("refused" if ctypes.CDLL(None).prctl(36, 1) else "granted")
        """, Status.FORBIDDEN, expected_on={
            "docker": frozenset({Status.OK}), "gvisor": frozenset({Status.OK})},
      check_on={"docker": prints("refused"), "gvisor": None}),
    s(43, "kill-all", "Kills every process that it may.", """
        import os, signal
        for target in (-1, 1, os.getppid()):
            try:
                os.kill(target, signal.SIGKILL)
            except OSError:
                pass
        print("parent")
        """, Status.OK, check=_printed_once, check_on={"gvisor": None},
      expected_on={"gvisor": frozenset({Status.OK, Status.CRASHED, Status.INFRA})}),
    s(43, "stop-the-supervisor", "Stops and interrupts the first process of its jail.", """
        import os, signal
        for number in (signal.SIGSTOP, signal.SIGTSTP, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            try:
                os.kill(1, number)
            except OSError:
                pass
        print("parent")
        """, Status.OK, check=_printed_once),
    v(43, "kill-all-in-a-function", "A pure function kills every process that it may.", """
        import os
        def f(x):
            os.kill(-1, 9)
        """, Status.FORBIDDEN),
    v(43, "kill-the-zygote", "A pure function kills the process that it was forked from.", """
        import os
        def f(x):
            os.kill(os.getppid(), 9)
        """, Status.FORBIDDEN),
    s(43, "signal-storm", "Sends the first process of its jail signals without end.", """
        import os, signal, time
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            os.kill(1, signal.SIGCHLD)
        print("parent")
        """, Status.OK, check=_printed_once),
    s(45, "held-output", "A child holds stdout open when its parent has ended.", """
        import subprocess, sys
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print("parent")
        """, Status.OK, check=_printed_once),
    s(45, "closed-output", "Closes its output and goes on.", """
        import os
        print("parent", flush=True)
        os.closerange(0, 512)
        while True:
            pass
        """, Status.CPU_LIMIT),
    s(46, "zombies", "Leaves ended children that nobody waits for.", """
        import os
        for _ in range(500):
            if os.fork() == 0:
                os._exit(0)
        print("parent")
        """, Status.PROCESS_LIMIT, Status.OK, Status.CPU_LIMIT),
    s(46, "orphans", "Makes orphans faster than they can be collected.", """
        import os
        for _ in range(60):
            pid = os.fork()
            if pid == 0:
                if os.fork() == 0:
                    os._exit(0)
                os._exit(0)
            os.waitpid(pid, 0)
        print("parent")
        """, Status.OK, Status.PROCESS_LIMIT, check_on={}),
    s(0, "exit-code-of-a-signal", "Ends with the exit code that a shell gives a killed process.", """
        import os
        os._exit(137)
        """, Status.ERROR),
    s(0, "suspended-group", "Stops its whole process group.", """
        import os, signal
        os.killpg(0, signal.SIGSTOP)
        """, Status.WALL_LIMIT, limits={"wall_s": 1.0}),
    v(0, "alarm-after-the-end", "A timer that fires when the function has returned.", """
        import signal
        def f(x):
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
            return x
        """, Status.OK, Status.CRASHED, Status.NONDETERMINISTIC),
)  # fmt: skip

"""Category F: finding out what is not for the program to know."""

# ruff: noqa: E501 - the sentences of the table

from __future__ import annotations

import socket
from functools import partial
from pathlib import Path

from executor import Judgement, JudgeTask, Status, TaskType, Verdict
from tests.security.cases.base import (
    Case,
    both,
    explain,
    hides,
    judge,
    outputs,
    prints,
    scores,
    script,
    verify,
)
from tests.security.traps import SECRET, VARIABLES

v = partial(verify, "F")
s = partial(script, "F")
j = partial(judge, "F")

ROOT = str(Path(__file__).parents[3])
HOST = socket.gethostname()
MARKER = "expected-value-4711"

_SEARCH = """
import gc, os, sys
def everything():
    frame, pending = sys._getframe(), [sys.modules, sys.argv, sys.orig_argv, dict(os.environ)]
    while frame is not None:
        pending += [frame.f_locals, frame.f_globals, frame.f_code]
        frame = frame.f_back
    pending += gc.get_objects()
    seen = set()
    while pending:
        item = pending.pop()
        if id(item) not in seen:
            seen.add(id(item))
            yield item
            pending += gc.get_referents(item)
def holds(first, second):
    wanted = first + "-value-" + second
    for item in everything():
        if type(item) is str and wanted in item and item is not wanted:
            return True
        if type(item) in (bytes, bytearray) and wanted.encode() in item:
            return True
    return False
"""
_FINDS = """
kept = "expected" + "-value-" + str(4711)
def f(x):
    return holds("expected", "4711")
"""


def _induction(program: str) -> JudgeTask:
    return JudgeTask(
        task=TaskType.INDUCTION, inputs=("1", "2"), outputs=(f"'{MARKER} 1'", f"'{MARKER} 2'"),
        answers=(program,),
    )  # fmt: skip


def _no_host(result: Verdict | Judgement) -> None:
    text = repr(result)
    assert ROOT not in text, explain(result)
    assert HOST not in text or len(HOST) < 4, explain(result)


def _one_or_nothing(result: Verdict) -> None:
    assert result.outputs in (("1",), (None,)), explain(result)


_LEAKY = f"repr([name for name in {VARIABLES} if name in os.environ] + [value for value in os.environ.values() if {SECRET[:-1]!r} in value])"

CASES: tuple[Case, ...] = (
    v(105, "secrets-in-the-environment", "Reads the environment's secrets.", f"""
        import os
        def f(x):
            return {_LEAKY}
        """, Status.OK, check=both(outputs('"[]"'.replace('"', "'")), hides(SECRET))),
    s(105, "secrets-in-a-script's-environment", "A script reads the environment's secrets.", f"""
        import os, subprocess, sys
        print({_LEAKY})
        """, Status.OK, check=both(prints("[]"), hides(SECRET))),
    s(106, "environment-of-others", "Reads the environment and command line of all processes.", f"""
        import glob
        found = []
        for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline"):
            try:
                found += [path] * ({SECRET[:-1]!r} in open(path, errors="replace").read())
            except OSError:
                pass
        print(found)
        """, Status.OK, check=prints("[]")),
    s(106, "processes-of-others", "Counts the processes that it can see.", """
        import os
        print(sum(name.isdigit() for name in os.listdir("/proc")) <= 4 if os.path.isdir("/proc") else True)
        """, Status.OK, check=prints("True")),
    s(107, "name-of-the-host", "Asks for the machine's name.", f"""
        import os, socket
        print(os.uname().nodename != {HOST!r}, socket.gethostname() != {HOST!r})
        """, Status.OK, check=prints("True True")),
    s(107, "facts-of-the-host", "Reads what the kernel tells about the machine.", """
        import os
        told = []
        for name in ("cpuinfo", "meminfo", "version", "cmdline", "mounts", "loadavg", "uptime", "net/dev", "partitions", "modules", "kallsyms", "keys", "locks", "sched_debug", "timer_list", "diskstats"):
            try:
                told += [name] * bool(open("/proc/" + name).read().strip())
            except OSError:
                pass
        print(told)
        """, Status.OK, check_on={"nsjail": prints("[]"), "gvisor": prints("[]")}),
    s(107, "mounts-of-the-host", "Looks for the host's paths in the list of mounts.", f"""
        try:
            text = open("/proc/self/mountinfo").read()
        except OSError:
            text = ""
        print([word for word in text.split() if {ROOT.rpartition("/")[0]!r} in word and "overlay2" not in word])
        """, Status.OK, check=prints("[]"), check_on={"docker": None}),
    s(107, "hardware", "Reads the machine's hardware identity.", """
        import glob
        print([path for path in glob.glob("/sys/class/dmi/id/*") + glob.glob("/sys/class/net/*/address")])
        """, Status.OK, check=prints("[]")),
    j(108, "expected-value-in-the-process", "An answer looks for the expected value in its process.", JudgeTask(
        task=TaskType.DEDUCTION, program="def f(x):\n    return x", inputs=(f"'{MARKER}'",), outputs=(f"'{MARKER}'",),
        answers=(f"(exec({_SEARCH!r}, globals()), holds('expected', '4711'))[1]",)),
      Status.MISMATCH, check=scores(0.0)),
    j(109, "hidden-outputs-in-the-process", "A solver's program looks for the hidden outputs in its process.",
      _induction(_SEARCH + "def f(x):\n    return 'expected' + f'-value-4711 {x}' if holds('expected', '4711') else None"),
      Status.MISMATCH, check=scores(0.0)),
    v(109, "given-output-in-the-process", "A proposer's program looks for the output it was given with.", """
        def f(x):
            return holds("expected", "4711")
        """, Status.MISMATCH, prelude=_SEARCH, outputs=(f"'{MARKER}'",), check=outputs("False")),
    v(109, "the-search-finds-what-is-there", "The same search finds a value of the program's own.", _FINDS, Status.OK,
      prelude=_SEARCH, check=outputs("True")),
    v(110, "frames-up-the-stack", "Reads the variables of whoever called it.", """
        import sys
        def f(x):
            frame, names = sys._getframe(), []
            while frame is not None:
                names += [name for name in frame.f_locals if name in ("expected", "expected_output", "answer", "gold", "secret", "nonce", "capability")]
                frame = frame.f_back
            return names
        """, Status.OK, check=outputs("[]")),
    v(110, "frames-of-a-traceback", "Raises, and reads the frames of the traceback.", """
        def f(x):
            try:
                raise ValueError
            except ValueError as error:
                trace, names = error.__traceback__, []
                while trace is not None:
                    names += [*trace.tb_frame.f_globals]
                    trace = trace.tb_next
                return [name for name in names if name in ("expected", "answer", "nonce", "capability")]
        """, Status.OK, check=outputs("[]")),
    v(110, "climb-from-a-generator", "Climbs from a generator to the frames above.", """
        def f(x):
            found = []
            def climb():
                frame = generator.gi_frame.f_back
                while frame is not None:
                    found.append(frame.f_globals.get("__name__"))
                    frame = frame.f_back
                yield
            generator = climb()
            next(generator)
            return len(found) > 0
        """, Status.OK, check=outputs("True")),
    v(111, "own-memory-as-a-file", "Reads its own memory, to find other parties' values.", """
        def f(x):
            return len(open("/proc/self/mem", "rb").read(1))
        """, Status.ERROR, Status.FORBIDDEN),
    s(111, "memory-of-a-script", "A script's memory holds no environment and no path of the host.", f"""
        import os
        try:
            text = open("/proc/self/environ").read() + open("/proc/self/auxv", "rb").read().decode("latin-1")
        except OSError:
            text = ""
        print({SECRET[:-1]!r} in text, {ROOT!r} in text)
        """, Status.OK, check=prints("False False")),
    v(112, "modules-of-the-host", "Looks for the executor's host side among the modules.", """
        import sys
        def f(x):
            return sorted(name for name in sys.modules if name.startswith("executor") and not name.startswith(("executor.guest", "executor.grammar")) and name != "executor")
        """, Status.OK, check=outputs("[]")),
    v(112, "import-the-host", "Imports the executor's host side.", """
        def f(x):
            found = []
            for name in ("executor.api.local", "executor.verification.judging", "executor.client", "trainer", "pydantic"):
                try:
                    __import__(name)
                    found.append(name)
                except ImportError:
                    pass
            return found
        """, Status.OK, check=outputs("[]")),
    v(113, "trace-function", "Traces what runs after it, to change the result.", """
        import sys
        def trace(frame, event, argument):
            for name in list(frame.f_locals):
                frame.f_locals[name] = 7
            return trace
        def f(x):
            sys.settrace(trace)
            frame = sys._getframe()
            while frame is not None:
                frame.f_trace = trace
                frame = frame.f_back
            return x
        """, Status.OK, Status.CRASHED, Status.MISMATCH, check=_one_or_nothing),
    v(113, "audit-hook", "Listens to everything that the interpreter does.", """
        import sys
        heard = []
        sys.addaudithook(lambda event, arguments: heard.append((event, arguments)))
        def f(x):
            exec("1")
            return any("expected" in str(entry) for entry in heard)
        """, Status.OK, check=outputs("False")),
    v(113, "monitoring", "Counts calls by the interpreter's monitoring.", """
        import sys
        def f(x):
            sys.monitoring.use_tool_id(0, "spy")
            sys.monitoring.set_events(0, sys.monitoring.events.PY_START | sys.monitoring.events.PY_RETURN)
            sys.monitoring.register_callback(0, sys.monitoring.events.PY_RETURN, lambda *_: 7)
            return x
        """, Status.OK, check=outputs("1")),
    v(114, "paths-in-errors", "Raises, to see paths of the host in the message.", """
        import traceback
        def f(x):
            try:
                raise ValueError
            except ValueError:
                raise RuntimeError(traceback.format_exc() + __file__) from None
        """, Status.ERROR, check=_no_host),
    v(114, "paths-in-code", "Reads the paths that compiled code carries.", """
        import sys
        def f(x):
            frame, paths = sys._getframe(), []
            while frame is not None:
                paths.append(frame.f_code.co_filename)
                frame = frame.f_back
            raise RuntimeError(str(paths))
        """, Status.ERROR, check=_no_host),
    s(114, "paths-in-tracebacks", "A script's traceback shows no path of the host.", """
        import os, sys
        print(sys.executable, sys.path, sys.prefix, os.getcwd(), sys.flags, file=sys.stderr)
        raise ValueError
        """, Status.ERROR, check=_no_host),
    # ---- what people try to break out of a restricted interpreter: it may work, and gains nothing
    v(0, "all-subclasses", "Walks from a tuple to a class that starts programs.", """
        def f(x):
            for each in ().__class__.__bases__[0].__subclasses__():
                if each.__name__ == "_wrap_close":
                    return each.__init__.__globals__["system"]("id")
            import os
            return os.system("id")
        """, Status.FORBIDDEN),
    v(0, "format-string", "Reads globals by the attributes of a format string.", """
        class Spy:
            def method(self):
                pass
        def f(x):
            text = "{0.method.__globals__}".format(Spy())
            return "expected-value" in text
        """, Status.OK, check=outputs("False")),
    v(0, "leaving-in-an-exception-group", "Hides in an exception group.", """
        def f(x):
            try:
                raise ExceptionGroup("a", [SystemExit(0)]) if False else BaseExceptionGroup("a", [SystemExit(0)])
            except* SystemExit:
                pass
            return x
        """, Status.OK, check=outputs("1")),
    v(0, "loaders", "Imports by the loader's own classes.", """
        import importlib.machinery
        def f(x):
            module = importlib.machinery.BuiltinImporter.load_module("posix")
            return module.fork()
        """, Status.FORBIDDEN),
    v(0, "replaced-code", "Replaces its own code while it runs.", """
        def g():
            return 1
        def f(x):
            g.__code__ = g.__code__.replace(co_consts=(None, 2))
            return g()
        """, Status.OK, check=outputs("2")),
    v(0, "made-up-bytecode", "Runs bytecode that no compiler makes.", """
        def g():
            return 1
        def f(x):
            g.__code__ = g.__code__.replace(co_code=bytes([100, 255, 83, 0]) * 4, co_stacksize=1)
            return g()
        """, Status.CRASHED, Status.ERROR, Status.OK, Status.UNSERIALIZABLE, Status.NONDETERMINISTIC),
    v(0, "debugger", "Starts the debugger.", """
        def f(x):
            breakpoint()
            return x
        """, Status.OK, Status.ERROR, Status.FORBIDDEN),
    v(0, "pager", "Starts the interactive help.", """
        def f(x):
            help(len)
            return x
        """, Status.OK, Status.ERROR, Status.FORBIDDEN),
    v(0, "restored-builtins", "Finds the builtins again after they were taken away.", """
        def f(x):
            names = {"__builtins__": {}}
            exec("b = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == 'catch_warnings'] or 1", names)
            return len(names) > 1
        """, Status.OK, check=outputs("True")),
    v(0, "code-from-bytes", "Unmarshals code, which no other check has seen.", """
        import marshal
        def f(x):
            code = compile("__import__('os').fork()", "", "eval")
            return eval(marshal.loads(marshal.dumps(code)))
        """, Status.FORBIDDEN),
    v(0, "pickled-code", "Runs code by unpickling.", """
        import pickle
        class Bomb:
            def __reduce__(self):
                return __import__("os").system, ("id",)
        def f(x):
            return pickle.loads(pickle.dumps(Bomb()))
        """, Status.FORBIDDEN),
)  # fmt: skip

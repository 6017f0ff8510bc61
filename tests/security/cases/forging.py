"""Category G: a verdict, a score or a value that was not earned."""

# ruff: noqa: E501 - the sentences of the table

from __future__ import annotations

from functools import partial
from textwrap import dedent

from executor import JudgeTask, Signal, Status, TaskType
from tests.security.cases.base import (
    Case,
    Check,
    Result,
    both,
    explain,
    judge,
    outputs,
    prints,
    says,
    scores,
    script,
    statuses,
    verify,
)

OK, ERROR, CRASHED, FORBIDDEN = Status.OK, Status.ERROR, Status.CRASHED, Status.FORBIDDEN
PLAIN, MISMATCH, MALFORMED = Status.UNSERIALIZABLE, Status.MISMATCH, Status.MALFORMED
NONDETERMINISTIC, OUTPUT_LIMIT = Status.NONDETERMINISTIC, Status.OUTPUT_LIMIT

v = partial(verify, "G")
j = partial(judge, "G")
s = partial(script, "G")


def seen(*expected: Signal) -> Check:
    """A check: exactly these signs of cheating are reported."""

    def check(result: Result) -> None:
        assert set(result.signals) == set(expected), f"{result.signals} {explain(result)}"

    return check


def honest_value(*texts: str) -> Check:
    """A check: the value is what the program really returned, whatever it did besides."""
    return outputs(*texts)


def solver(number: int, name: str, why: str, program: str, *expected: Status, check: Check) -> Case:
    """A solver's program that has to guess two values it cannot know."""
    task = JudgeTask(
        task=TaskType.INDUCTION, inputs=("3", "4"), outputs=("'gold-1a'", "'gold-2b'"),
        answers=(dedent(program).strip("\n"),),
    )  # fmt: skip
    return j(number, name, why, task, *expected, check=both(scores(0.0), check))


def deduction(output: str, *answers: str, program: str | None = None) -> JudgeTask:
    """Answers that should be a value."""
    return JudgeTask(task=TaskType.DEDUCTION, program=program, outputs=(output,), answers=answers)


def abduction(*answers: str) -> JudgeTask:
    """Answers that should be an input that gives 8."""
    return JudgeTask(
        task=TaskType.ABDUCTION, program="def f(x):\n    return x * 2", inputs=("4",),
        outputs=("8",), answers=answers,
    )  # fmt: skip


EXITS = (
    solver(116, "exit-before-the-check", "Leaves by sys.exit(0), exit() and quit() before there is a value.",
        """
        import sys
        def f(x):
            try: sys.exit(0)
            except SystemExit: pass
            try: exit(0)
            except SystemExit: quit(0)
        """, ERROR, check=seen(Signal.EARLY_EXIT)),
    solver(117, "process-exit-inside-f", "Ends its process with code 0 inside f.",
        """
        import os
        def f(x):
            os._exit(0)
        """, CRASHED, check=seen(Signal.EARLY_EXIT)),
    solver(117, "process-exit-while-loading", "Ends its process with code 0 while the program is loaded.",
        """
        import os
        os._exit(0)
        def f(x):
            return 1
        """, CRASHED, check=seen(Signal.EARLY_EXIT)),
    solver(118, "exit-in-a-constructor", "Raises SystemExit in the constructor of the value.",
        """
        class Value:
            def __init__(self): raise SystemExit(0)
        def f(x):
            return Value()
        """, ERROR, check=seen(Signal.EARLY_EXIT)),
    solver(118, "exit-in-a-generator", "Returns a generator that would raise SystemExit when it is read.",
        """
        def f(x):
            def g():
                raise SystemExit(0)
                yield
            return g()
        """, PLAIN, check=seen()),
    solver(119, "interrupt-and-generator-exit", "Raises what `except Exception` does not catch.",
        """
        def f(x):
            raise KeyboardInterrupt if x == 3 else GeneratorExit
        """, ERROR, check=seen(Signal.EARLY_EXIT)),
    solver(119, "exception-that-fights-back", "Raises an exception whose text, class and traceback raise too.",
        """
        class Meta(type):
            def __getattribute__(cls, name): raise SystemExit(0)
        class Fight(BaseException, metaclass=Meta):
            def __str__(self): raise SystemExit(0)
            __repr__ = __str__
            def __getattribute__(self, name): raise SystemExit(0)
        def f(x):
            raise Fight()
        """, ERROR, check=says("Fight")),
    solver(119, "exception-with-a-forged-name", "Raises an exception class that is named like an outcome.",
        """
        def f(x):
            raise type("NoError", (BaseException,), {})("ok: the answer is right")
        """, ERROR, check=seen()),
)  # fmt: skip

LIARS = (
    solver(120, "equal-to-everything", "Returns an object whose == says yes to all.",
        """
        class Equal:
            def __eq__(self, other): return True
            def __ne__(self, other): return False
            __hash__ = None
        def f(x):
            return Equal()
        """, PLAIN, check=seen(Signal.OBJECT_RESULT)),
    j(120, "answer-that-equals-everything", "An answer's text makes an object whose == says yes to all.",
        deduction("8", "type('E', (), {'__eq__': lambda s, o: True})()",
                  "type('E', (int,), {'__eq__': lambda s, o: True, '__hash__': lambda s: 8})(1)"),
        PLAIN, check=both(scores(0.0, 0.0), seen(Signal.OBJECT_RESULT, Signal.INJECTION, Signal.COMPUTED_ANSWER))),
    solver(121, "liar-in-every-slot", "Returns an object that lies in every comparison, conversion and about its class.",
        """
        def yes(self, *rest): return True
        class Liar:
            __class__ = str
            __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __contains__ = yes
            __hash__ = __int__ = __index__ = __len__ = lambda self: 1
            __float__ = lambda self: 1.0
            __iter__ = lambda self: iter('gold-1a')
            __reduce__ = lambda self: (str, ('gold-1a',))
            __instancecheck__ = __subclasscheck__ = yes
        def f(x):
            return [Liar()]
        """, PLAIN, check=seen(Signal.OBJECT_RESULT)),
    solver(121, "class-swapped-after-birth", "Assigns another class to an object, and makes a metaclass lie about it.",
        """
        class Meta(type):
            __instancecheck__ = __subclasscheck__ = __eq__ = lambda *a: True
            __hash__ = type.__hash__
            __name__ = property(lambda cls: 'str')
        class A(metaclass=Meta): pass
        class B(metaclass=Meta):
            def __eq__(self, other): return True
        def f(x):
            value = A()
            value.__class__ = B
            return value
        """, PLAIN, check=seen(Signal.OBJECT_RESULT)),
    solver(121, "class-that-hides-its-home", "Returns an instance of a class that says it is a builtin; hiding works, cheating does not.",
        """
        class Text(str):
            __module__ = 'builtins'
            def __eq__(self, other): return True
            __hash__ = str.__hash__
        Text.__name__ = Text.__qualname__ = 'str'
        def f(x):
            return Text('gold')
        """, PLAIN, check=seen()),
    *(
        v(122, f"subclass-of-{base}", f"Returns a subclass of {base} with its own ==, repr, len and iterator.",
            f"""
            class Liar({base}):
                def __eq__(self, other): return True
                def __ne__(self, other): return False
                def __repr__(self): return '1'
                def __len__(self): return 1
                def __iter__(self): return iter([1])
                __hash__ = lambda self: 1
            def f(x):
                return [[Liar()]]
            """, PLAIN, outputs=("1",), check=seen(Signal.OBJECT_RESULT))
        for base in ("int", "float", "str", "bytes", "list", "tuple", "dict", "set", "frozenset")
    ),
    v(122, "lying-keys-of-a-plain-dict", "Puts liars into the keys of a plain dict and the members of a plain set.",
        """
        class Key(str):
            def __eq__(self, other): return True
            def __hash__(self): return hash('a')
        def f(x):
            return {Key('a'): 1}, {Key('b')}
        """, PLAIN, outputs=("({'a': 1}, {'b'})",), check=seen(Signal.OBJECT_RESULT)),
    solver(123, "repr-of-the-answer", "Returns an object whose repr and str are any text one likes.",
        """
        class Value:
            def __repr__(self): return "'gold-1a'"
            __str__ = __format__ = lambda self, *a: 'gold-1a'
        def f(x):
            return Value()
        """, PLAIN, check=seen(Signal.OBJECT_RESULT)),
    v(137, "reduce-in-the-result", "Returns an object that would run a command when it is unpickled.",
        """
        import os
        class Bomb:
            def __reduce__(self): return os.system, ('touch /tmp/pwned',)
            __reduce_ex__ = lambda self, protocol: self.__reduce__()
        def f(x):
            return Bomb()
        """, PLAIN, check=seen(Signal.OBJECT_RESULT)),
)  # fmt: skip

TAMPERING = (
    solver(124, "patched-builtins", "Replaces the builtins that a checker would use.",
        """
        import builtins
        def yes(*a, **k): return True
        class Always(type):
            __instancecheck__ = __subclasscheck__ = yes
        for name in ('repr', 'str', 'len', 'isinstance', 'type', 'print', 'open', 'all', 'any', 'sorted', 'bytes',
                     'hash', 'id', 'eval', 'exec', 'compile', 'getattr', '__import__', 'range', 'zip', 'map'):
            setattr(builtins, name, yes)
        builtins.AssertionError = builtins.BaseException = builtins.Exception = None
        def f(x):
            return 'mine'
        """, MISMATCH, check=seen(Signal.TAMPERING)),
    v(124, "builtins-replaced-as-a-whole", "Empties the namespace of builtins while the program is loaded.",
        """
        def f(x):
            return [x, 'mine']
        __builtins__.clear()
        """, OK, check=both(honest_value("[1, 'mine']"), seen(Signal.TAMPERING))),
    v(124, "builtins-put-back-in-time", "Replaces a builtin, and puts it back before the value is returned.",
        """
        import builtins
        def f(x):
            kept = builtins.len
            builtins.len = lambda _: 7
            builtins.len = kept
            return len([x])
        """, OK, check=both(honest_value("1"), seen(Signal.TAMPERING))),
    solver(125, "patched-serializers", "Replaces marshal, json, pickle, struct, hashlib, time and signal.",
        """
        import hashlib, json, marshal, pickle, signal, struct, sys, time
        forged = marshal.dumps('gold-1a', 2)
        for module in (marshal, json, pickle, struct):
            for name in ('dumps', 'dump', 'loads', 'pack', 'unpack'):
                setattr(module, name, lambda *a: forged)
        hashlib.sha256 = time.time = time.monotonic = signal.alarm = lambda *a: 0
        for name in ('marshal', 'json', 'pickle', 'struct'):
            sys.modules[name] = None
        def f(x):
            return 'mine'
        """, MISMATCH, check=seen(Signal.TAMPERING)),
    v(126, "patched-mathematics", "Replaces functions and constants of modules that checkers use.",
        """
        import math, operator, collections
        math.pi, math.isclose, operator.eq = 3, (lambda *a, **k: True), (lambda *a: True)
        collections.Counter = dict
        def f(x):
            return [math.pi, math.isclose(1, 2)]
        """, MISMATCH, outputs=("[3.141592653589793, False]",), check=seen(Signal.TAMPERING)),
    v(144, "collector-that-edits-the-result", "Has the garbage collector change the value while it is written.",
        """
        import gc
        def f(x):
            result = [[i] for i in range(2000)]
            def edit(phase, info):
                result.clear()
                result.append('edited')
            gc.callbacks.append(edit)
            gc.set_threshold(1)
            return result
        """, OK, NONDETERMINISTIC, PLAIN, ERROR, CRASHED),
    solver(144, "finalizers-during-the-check", "Has finalizers and weak references run when the result is let go.",
        """
        import weakref
        class Last:
            def __del__(self):
                raise SystemExit('gold-1a')
        def f(x):
            global kept
            kept = weakref.finalize(Last(), print, 'gold-1a')
            return Last()
        """, PLAIN, check=seen(Signal.OBJECT_RESULT)),
    solver(145, "trace-in-the-harness", "Traces and profiles the frames below, and edits their variables.",
        """
        import sys
        def tracer(frame, event, arg):
            frame.f_trace_opcodes = True
            for name in list(frame.f_locals):
                try: frame.f_locals[name] = 'gold-1a'
                except BaseException: pass
            return tracer
        def f(x):
            frame = sys._getframe()
            while frame:
                frame.f_trace = tracer
                frame = frame.f_back
            sys.settrace(tracer)
            sys.setprofile(lambda *a: None)
            return 'mine'
        """, MISMATCH, ERROR, CRASHED, PLAIN, check=scores(0.0)),
    solver(145, "globals-of-the-harness", "Edits the globals of every frame below it and of every module that the collector knows.",
        """
        import gc, sys
        def f(x):
            frame = sys._getframe().f_back
            while frame:
                if frame.f_globals.get('__name__', '').startswith('executor'):
                    for name in list(frame.f_globals):
                        frame.f_globals[name] = lambda *a: b'gold-1a'
                frame = frame.f_back
            for item in gc.get_objects():
                if type(item) is dict and str(item.get('__name__', '')).startswith('executor'):
                    item['encode'] = item['_record'] = lambda *a: b'gold-1a'
            return 'mine'
        """, MISMATCH, ERROR, CRASHED, PLAIN, check=scores(0.0)),
    solver(146, "import-hook-with-fake-modules", "Has the import system give fake modules to the harness.",
        """
        import sys, types
        class Finder:
            def find_spec(self, name, path=None, target=None): raise SystemExit(0)
        sys.meta_path[:] = [Finder()]
        fake = types.ModuleType('fake')
        fake.encode = fake.dumps = fake.loads = lambda *a: b'gold-1a'
        for name in list(sys.modules):
            if name not in ('sys', 'builtins'):
                sys.modules[name] = fake
        def f(x):
            return 'mine'
        """, MISMATCH, check=seen()),
    v(133, "f-that-replaces-itself", "Replaces f when it is called, after it is defined, and with a callable object.",
        """
        def f(x):
            global f
            f = lambda x: 'second'
            return 'first'
        """, OK, inputs=("1", "2", "3"), check=honest_value("'first'", "'first'", "'first'")),
    v(133, "f-that-is-no-function", "Gives f as an object that is called, and that counts its calls.",
        """
        class Callable:
            calls = 0
            def __call__(self, x):
                Callable.calls += 1
                return Callable.calls
        def f(x): pass
        f = Callable()
        """, OK, inputs=("1", "2", "3"), check=honest_value("1", "1", "1")),
)  # fmt: skip

_DESCRIPTORS = """
import os
def held():
    for number in range(3, 1024):
        try: os.fstat(number)
        except OSError: continue
        yield number
"""

CHANNEL = (
    solver(127, "forged-lines-on-stdout", "Prints what other harnesses take for a result.",
        """
        import sys
        def f(x):
            for stream in (sys.stdout, sys.stderr, sys.__stdout__):
                print('ready\\n1.0\\n{"score": 1.0, "passed": true}\\n###RESULT### gold-1a', file=stream, flush=True)
            return 'mine'
        """, MISMATCH, check=seen()),
    solver(128, "frame-in-place-of-the-result", "Writes a frame of its own on the channel of results and ends.",
        _DESCRIPTORS + """
def f(x):
    import marshal
    value = marshal.dumps('gold-1a', 2)
    record = bytes([0, 0]) + len(value).to_bytes(4, 'little') + value
    for number in held():
        os.write(number, bytes(8) + len(record).to_bytes(4, 'little') + record)
    os._exit(0)
""", CRASHED, check=seen(Signal.FORGED_FRAME)),
    solver(128, "frame-before-the-result", "Writes a part of a frame, and lets the true result follow.",
        _DESCRIPTORS + """
def f(x):
    for number in held(): os.write(number, b'x')
    return 'mine'
""", CRASHED, check=seen(Signal.FORGED_FRAME)),
    solver(128, "frame-after-the-result", "Leaves a finalizer and an exit handler that write once more.",
        _DESCRIPTORS + """
import atexit
def again(*a):
    for number in held(): os.write(number, b'gold-1a')
atexit.register(again)
class Late:
    __del__ = again
late = Late()
def f(x):
    return 'mine'
""", MISMATCH, check=seen()),
    solver(128, "closed-channel", "Closes the channel of results and goes on.",
        _DESCRIPTORS + """
def f(x):
    for number in held(): os.close(number)
    while True: pass
""", CRASHED, check=seen(Signal.FORGED_FRAME)),
    solver(128, "channel-under-another-number", "Copies the channel over standard output and prints to it.",
        _DESCRIPTORS + """
def f(x):
    for number in held(): os.dup2(number, 1)
    os.write(1, b'gold-1a')
    return 'mine'
""", CRASHED, check=seen(Signal.FORGED_FRAME)),
    solver(129, "raw-standard-output", "Writes to descriptors 0 to 2 by system calls.",
        """
        import os
        def f(x):
            for number in (0, 1, 2):
                os.write(number, b'gold-1a')
            return 'mine'
        """, MISMATCH, check=seen()),
    solver(129, "descriptor-by-its-path", "Opens the channel anew through /proc and /dev.",
        """
        def f(x):
            for number in range(9):
                for path in (f'/proc/self/fd/{number}', f'/dev/fd/{number}', '/dev/stdout'):
                    try: open(path, 'rb', buffering=0).read(0)
                    except OSError: continue
            return 'mine'
        """, MISMATCH, check=seen()),
    solver(130, "daemon-that-writes-the-reward", "Starts a thread that goes on after the value is returned.",
        """
        import threading
        def f(x):
            threading.Thread(target=print, daemon=True).start()
            return 'mine'
        """, FORBIDDEN, check=seen()),
    solver(130, "reward-file", "Writes a file with its reward.",
        """
        def f(x):
            open('/tmp/reward.txt', 'w').write('1.0')
            return 'mine'
        """, FORBIDDEN, check=seen()),
    solver(131, "score-out-of-range", "Returns infinity, NaN and numbers above one, as if they were scores.",
        """
        def f(x):
            return [float('inf'), float('nan'), 1.5, -0.5, True][x]
        """, MISMATCH, check=seen()),
)  # fmt: skip

FILES = (
    s(132, "start-up-files-planted", "Plants files that Python reads when it starts, in the directory and at home.",
        """
        import os, site, subprocess, sys
        bad = "import builtins\\nbuiltins.len = lambda _: 7\\n"
        for folder in ('.', os.path.expanduser('~'), site.getusersitepackages()):
            try:
                os.makedirs(folder, exist_ok=True)
                for name in ('sitecustomize.py', 'usercustomize.py', 'conftest.py', 'x.pth', '.pythonrc.py'):
                    open(os.path.join(folder, name), 'w').write(bad)
            except OSError:
                pass
        print('planted')
        """, OK, check=prints("planted")),
    s(132, "plugin-in-the-submission", "Brings a conftest.py that makes every test pass: it can only pass its own.",
        "def test_it():\n    assert False\n", OK, ERROR,
        settings={"language": "pytest", "files": {"conftest.py": (
            b"import pytest\n@pytest.hookimpl(hookwrapper=True)\ndef pytest_runtest_makereport(item, call):\n"
            b"    (yield).get_result().outcome = 'passed'\n")}}),
    s(134, "shadow-of-the-standard-library", "Shadows a module by a file in the working directory.",
        """
        open('random.py', 'w').write("choice = lambda items: 'mine'")
        import os, subprocess, sys
        print(subprocess.run([sys.executable, '-c', 'import random; print(random.choice([1]))'], capture_output=True, text=True).stdout.strip())
        """, OK, check=prints("mine")),
)  # fmt: skip

_SIGNS = (Signal.INJECTION, Signal.COMPUTED_ANSWER)

ANSWERS = (
    j(135, "input-that-closes-the-call", "Closes the call and adds an expression that is always true.",
        abduction("1) or True or (1", "1) == 8 or (True", "4)#", "4);f(4", "4) if True else (4"),
        MALFORMED, check=both(scores(0, 0, 0, 0, 0), seen(*_SIGNS))),
    j(135, "input-with-lines-and-comments", "Breaks out by new lines, comments, continuation and null characters.",
        abduction("4\n)\nimport os\nprint(4", "5 # )", "4\\\n)", "4)\r(4", "4\0) or (8"),
        MALFORMED, MISMATCH, check=scores(0, 0, 0, 0, 0)),
    j(135, "input-with-assignments-and-stars", "Assigns, unpacks and passes keywords to change what is called.",
        abduction("(f := lambda x: 8)", "*[f := (lambda x: 8), 1][:1]", "**{'x': 5, '__class__': 8}", "x=(x := 5)"),
        PLAIN, MISMATCH, ERROR, MALFORMED, check=scores(0, 0, 0, 0)),
    j(135, "input-that-redefines-f", "Replaces f, the operators and the builtins while the input is evaluated.",
        abduction("globals().update(f=lambda x: 8) or 5",
                  "exec('import builtins; builtins.int = lambda *a: 4') or 5",
                  "__import__('sys').modules.clear() or 5"),
        MISMATCH, check=both(scores(0, 0, 0), seen(*_SIGNS, Signal.TAMPERING))),
    j(135, "input-that-reaches-for-the-output", "Searches the frames, the collector and the program for the output.",
        abduction("[o for o in __import__('gc').get_objects() if type(o) is int and o == 8][0] // 2 + 1",
                  "__import__('sys')._getframe(1).f_locals['expected']",
                  "__import__('__main__').expected"),
        MISMATCH, ERROR, check=scores(0, 0, 0)),
    j(136, "answer-with-code", "Gives calls of the system, of files and of exits in place of a value.",
        deduction("8", "__import__('os').system('true') or 8", "__import__('os')._exit(0)", "exit()",
                  "open('/tmp/x', 'w') and 8", "eval('8', {}) + 1"),
        FORBIDDEN, CRASHED, ERROR, MISMATCH,
        check=both(scores(0, 0, 0, 0, 0), seen(*_SIGNS, Signal.FORBIDDEN_CALL, Signal.EARLY_EXIT))),
    v(136, "given-output-with-code", "States an output that is code: it is evaluated alone, and is no plain value.",
        """
        def f(x):
            return 8
        """, MISMATCH, outputs=("__import__('os').system('true') or 8",), check=seen()),
    j(136, "answer-that-looks-like-a-value", "Hides code in formatted strings, comprehensions and default arguments.",
        deduction("8", "f\"{__import__('os').fork()}\"", "[8 for _ in iter(lambda: __import__('os').fork(), 1)][0]",
                  "(lambda x=__import__('os').fork(): 8)()"),
        FORBIDDEN, check=both(scores(0, 0, 0), seen(Signal.FORBIDDEN_CALL, *_SIGNS))),
    j(138, "long-values-with-one-beginning", "Agrees with the expected value in the first 100,000 characters only.",
        deduction("'a' * 100_000 + 'b'", "'a' * 100_000 + 'c'", "'a' * 100_000", "'a' * 100_000 + 'b'"),
        MISMATCH, OK, check=scores(0, 0, 1)),
    j(139, "numbers-that-are-equal", "Uses each way in which Python's numbers are equal: this is allowed by default.",
        deduction("1", "True", "1.0", "(1+0j)", "1.000000000000001", "0.1 + 0.2 + 0.69", "'1'", "[1]"),
        OK, MISMATCH, check=statuses(OK, OK, OK, MISMATCH, MISMATCH, MISMATCH, MISMATCH)),
    j(139, "numbers-that-are-not-the-same", "Uses the same where equal types are asked for.",
        JudgeTask(task=TaskType.DEDUCTION, outputs=("[1, 0.0]",), strict=True,
                  answers=("[True, 0.0]", "[1.0, 0.0]", "[1, 0]", "(1, 0.0)", "[1, 0.0]", "[1, -0.0]")),
        OK, MISMATCH, check=scores(0, 0, 0, 0, 1, 1)),
    j(139, "text-that-looks-like-a-value", "Gives the text of the value, its bytes, and signs that look alike.",
        deduction("'1'", "b'1'", "1", "'\\u0661'", "'1 '", "'\\uff11'", "'1\\u200b'"),
        MISMATCH, check=scores(0, 0, 0, 0, 0, 0)),
    j(139, "not-a-number", "Uses that NaN is not equal to itself, inside and outside of containers.",
        deduction("[float('nan')]", "[float('nan')]", "[float('inf')]", "[None]", "[]"),
        OK, MISMATCH, check=scores(1, 0, 0, 0)),
    j(131, "answer-that-is-a-score", "Answers with scores, verdicts and words of the judge.",
        deduction("'a'", "1.0", "ok", "{'score': 1.0}", "True", "Status.OK", "the answer is right", ""),
        MISMATCH, ERROR, MALFORMED, check=scores(0, 0, 0, 0, 0, 0, 0)),
    j(0, "error-name-with-tricks", "Names every exception at once, and hides names behind dots and colons.",
        JudgeTask(task=TaskType.ERROR, program="def f(x):\n    return 1 / x", inputs=("0",),
                  answers=("KeyError or ZeroDivisionError", "ZeroDivisionError|KeyError", "*", "KeyError: ZeroDivisionError",
                           "ZeroDivisionError, KeyError", "zerodivisionerror", "Exception")),
        MISMATCH, check=scores(0, 0, 0, 0, 0, 0, 0)),
)  # fmt: skip

BOMBS = (
    v(140, "cyclic-values", "Returns a list, a dict and a default dict that hold themselves.",
        """
        import collections
        def f(x):
            a = []; a.append(a)
            b = {}; b['b'] = b
            c = collections.defaultdict(list); c['c'] = c
            return [a, b, c][x]
        """, PLAIN, inputs=("0", "1", "2"), check=seen()),
    v(140, "value-ten-thousand-deep", "Returns values nested ten thousand and a million times.",
        """
        def f(x):
            a = ()
            for _ in range(x): a = (a,)
            return a
        """, PLAIN, inputs=("10_000", "1_000_000"), check=seen()),
    j(140, "answer-ten-thousand-deep", "Answers with a text nested ten thousand times.",
        deduction("8", "[" * 10_000 + "]" * 10_000, "(" * 5_000 + "8" + ")" * 5_000, "-" * 20_000 + "8", "8" + "+8" * 20_000),
        MALFORMED, MISMATCH, CRASHED, check=scores(0, 0, 0, 0)),
    v(0, "value-that-is-shared-to-death", "Returns a value that is small in memory and has 2**60 parts.",
        """
        def f(x):
            a = [1]
            for _ in range(60): a = [a, a]
            return a
        """, OUTPUT_LIMIT, PLAIN, check=seen()),
    v(0, "sets-inside-sets", "Returns frozen sets that take exponential time to order.",
        """
        def f(x):
            a = frozenset([1])
            for n in range(40): a = frozenset([a, n])
            return a
        """, OK, check=seen()),
    v(0, "digits-bomb", "Returns an int of 200,000 digits, over the limit of Python's conversion to text.",
        """
        def f(x):
            return 10 ** 200_000
        """, OK, check=seen()),
    j(0, "digits-that-differ-at-the-end", "Agrees with a huge int in all digits but the last.",
        deduction("10 ** 50_000", "10 ** 50_000 + 1", "10 ** 50_000", "1e50000", "'1' + '0' * 50_000"),
        OK, MISMATCH, check=scores(0, 1, 0, 0)),
    v(0, "decimal-bombs", "Returns Decimals and Fractions whose comparison would take for ever.",
        """
        from decimal import Decimal
        from fractions import Fraction
        def f(x):
            return [Decimal('1e999999999'), Fraction(1, 1 << 1_000_000), [Decimal('1e9000'), 1 << 1_000_000]][x]
        """, PLAIN, inputs=("0", "1", "2"), check=seen()),
    v(0, "lone-surrogates", "Returns text that is no valid Unicode, alone and as keys.",
        r"""
        def f(x):
            return ['\ud800', {'\udfff': '\udc00'}, ('a' * 1000 + '\ud8ff')[-1]]
        """, OK, outputs=(r"['\ud800', {'\udfff': '\udc00'}, '\ud8ff']",), check=seen()),
    v(0, "surrogates-in-an-exception", "Raises an exception with lone surrogates, null characters and new lines in its text.",
        r"""
        def f(x):
            raise ValueError('\ud800\0{"score": 1.0}\n\udfff' * 1000)
        """, ERROR, check=says("ValueError")),
)  # fmt: skip

FAKED = (
    v(141, "argument-changed-between-calls", "Changes its argument, so that a second call would see another one.",
        """
        def f(x):
            x.append(len(x))
            return x
        """, OK, inputs=("[]", "[]", "[1]"), check=honest_value("[0]", "[0]", "[1, 1]")),
    v(141, "state-that-hides-chance", "Remembers its first random value, so that a second call gives the same.",
        """
        import random
        kept = []
        def f(x, memory={}):
            if not kept: kept.append(random.random())
            return memory.setdefault('value', kept[0])
        """, NONDETERMINISTIC),
    v(142, "first-call-differs", "Behaves differently when it is called for the second time: each call is the first.",
        """
        calls = []
        def f(x):
            calls.append(x)
            return 'honest' if len(calls) == 1 else 'second'
        """, OK, inputs=("1", "1"), check=honest_value("'honest'", "'honest'")),
    *(
        v(142, f"value-by-{name}", f"Returns a value that depends on {what}.",
            f"""
            import os, sys, time
            def f(x):
                return {expression}
            """, NONDETERMINISTIC)
        for name, what, expression in (
            ("process-number", "the process number", "os.getpid() > 500_000"),
            ("date", "the date", "time.gmtime()[:5]"),
            ("hash-of-text", "the hash of a text", "hash('cheat')"),
            ("address", "the address of an object", "id([]) or id(f)"),
            ("environment", "the environment", "sorted(os.environ.items())"),
            ("host-name", "the name of the host", "os.uname().nodename"),
            ("order-of-a-set", "the order of a set", "list({'gold', 'silver', 'iron'})"),
            ("representation", "an address in a text", "repr(object()) + str(f)"),
        )
    ),
)  # fmt: skip

JAILS = (
    solver(143, "raw-memory", "Writes to the cache of small ints by ctypes.",
        """
        def f(x):
            import ctypes
            ctypes.memmove(id(5) + 24, id(6) + 24, 4)
            return 'mine'
        """, ERROR, MISMATCH, CRASHED, check=scores(0.0)),
    solver(143, "bytecode-that-reads-memory", "Runs bytecode that reads constants that are not there.",
        """
        def f(x):
            def g(): return 1
            code = g.__code__.replace(co_consts=(), co_code=bytes([151, 0, 100, 200, 83, 0]))
            return (lambda: None).__class__(code, {})()
        """, CRASHED, ERROR, PLAIN, MISMATCH, check=scores(0.0)),
    solver(0, "subclasses-of-object", "Walks to every class of the interpreter and starts a command.",
        """
        def f(x):
            for cls in ().__class__.__bases__[0].__subclasses__():
                if cls.__name__ == '_wrap_close':
                    return cls.__init__.__globals__['system']('true')
            return __builtins__['__import__']('os').system('true')
        """, FORBIDDEN, check=seen(Signal.FORBIDDEN_CALL)),
    solver(0, "frame-of-a-generator", "Climbs from a generator's frame to those below it.",
        """
        def f(x):
            def g():
                yield generator.gi_frame.f_back.f_back
            generator = g()
            frame = next(generator)
            names = []
            while frame:
                names += [*frame.f_locals.values(), *frame.f_globals.values()]
                frame = frame.f_back
            return [n for n in names if type(n) is str and 'gold' in n]
        """, MISMATCH, check=seen()),
    solver(0, "format-string-walk", "Walks from a format string to the globals of a module.",
        """
        import string
        def f(x):
            found = '{0.__init__.__globals__}'.format(string.Formatter) + '{0.__globals__}'.format(f)
            return 'gold' in found.replace("'gold'", '')
        """, MISMATCH, ERROR, check=seen()),
    solver(0, "exception-groups", "Climbs from the traceback of an exception group.",
        """
        def f(x):
            try:
                raise ExceptionGroup('g', [SystemExit() if False else ValueError()])
            except* ValueError as group:
                frame = group.__traceback__.tb_frame.f_back
            return sorted(k for k in frame.f_locals if 'expected' in k or 'gold' in k)
        """, MISMATCH, check=seen()),
    solver(0, "loaders-of-modules", "Loads a fresh posix through the import system's own loaders.",
        """
        def f(x):
            import sys
            spec = sys.modules['builtins'].__spec__
            posix = type(spec.loader) and spec.loader.load_module('posix')
            return posix.fork()
        """, FORBIDDEN, check=seen(Signal.FORBIDDEN_CALL)),
    solver(0, "debugger-and-help", "Asks for the debugger, for help and for input.",
        """
        def f(x):
            for ask in (breakpoint, input, lambda: __import__('code').interact()):
                try: ask()
                except BaseException as error: kept = error
            return 'mine'
        """, MISMATCH, ERROR, check=seen()),
    solver(0, "audit-hooks", "Installs an audit hook to see what the harness does.",
        """
        import sys
        log = []
        sys.addaudithook(lambda event, args: log.append(str(args)))
        sys.monitoring.use_tool_id(3, 'spy')
        def f(x):
            return [line for line in log if 'gold' in line]
        """, MISMATCH, check=seen()),
)  # fmt: skip

CASES: tuple[Case, ...] = (
    *EXITS, *LIARS, *TAMPERING, *CHANNEL, *FILES, *ANSWERS, *BOMBS, *FAKED, *JAILS,
)  # fmt: skip

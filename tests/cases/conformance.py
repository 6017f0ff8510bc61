"""The cases that every backend must treat alike: what is run, and the status it must get.

The example files with their expected results are part of it; the cases here add, category by
category, what those show only once.
"""

# ruff: noqa: E501 - a case is a line

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import executor
from executor import Compare, Judgement, JudgeTask, Script, ScriptResult, TaskType, Triplet, Verdict
from executor.cli.io.rows import read_judge_task, read_triplet
from executor.cli.io.source import Line
from tests.cases.programs import ENDINGS

EXAMPLES = Path(executor.__file__).parent / "examples"

Outcome = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One item, and the status that nsjail must give it (``None``: the examples' tests say)."""

    name: str
    category: str
    item: Triplet | JudgeTask | Script
    status: str | None


def observe(result: Verdict | Judgement | ScriptResult) -> Outcome:
    """The part of a result that may not depend on the backend."""
    if isinstance(result, Verdict):
        outputs = list(result.outputs) if result.valid else []
        return {
            "status": str(result.status), "valid": result.valid, "outputs": outputs,
            "matches": result.matches,
        }  # fmt: skip
    if isinstance(result, Judgement):
        statuses = list(map(str, result.statuses))
        return {"status": " ".join(statuses), "scores": list(result.scores)}
    return {
        "status": str(result.status), "exit_code": result.exit_code, "stdout": result.stdout,
        "files": result.files,
    }  # fmt: skip


def all_cases() -> list[Case]:
    """Every case, with unique names."""
    cases = [*_examples(), *_triplets(), *_judge_tasks(), *_scripts()]
    names = [case.name for case in cases]
    assert len(set(names)) == len(names), [name for name in names if names.count(name) > 1]
    return cases


def _examples() -> Iterator[Case]:
    for file, error_task in (("triplets", False), ("errors", True), ("answers", False)):
        lines = (EXAMPLES / f"{file}.jsonl").read_bytes().splitlines()
        for number, text in enumerate(lines, 1):
            line = Line(number, text, len(text) + 1)
            read = (
                read_judge_task(line, 0)
                if file == "answers"
                else read_triplet(line, 0, error_task=error_task)
            )
            item = read.item
            assert isinstance(item, Triplet | JudgeTask)
            yield Case(f"examples/{file}/{json.loads(text)['id']}", f"examples/{file}", item, None)


# ---- triplets --------------------------------------------------------------------------------------

VALUES = {
    "none": "None", "true": "True", "int": "-7", "big-int": "10**400", "float": "0.1+0.2",
    "nan": "float('nan')", "inf": "-float('inf')", "negative-zero": "-0.0", "complex": "1-2j",
    "str": "'h\\u00e9llo \\U0001f600'", "surrogate": "'\\ud800'", "nul": "'a\\0b'",
    "bytes": "bytes(range(256))", "list": "[1, [2, [3]]]", "tuple": "(1,)", "empty-tuple": "()",
    "dict": "{'b': 1, 'a': [2]}", "set": "{3, 1, 2}", "set-of-str": "set('hello')",
    "frozenset": "frozenset('ab')", "range": "range(1, 10, 3)", "ellipsis": "...",
    "nested": "{'k': [({1}, b'x')]}", "bool-key": "{True: 1, 2.5: 'x', None: ()}",
    "long-str": "'x' * 100000", "long-list": "list(range(20000))", "deep": "[[[[[[[[]]]]]]]]",
    "counter": "__import__('collections').Counter('abca')",
    "ordered-dict": "__import__('collections').OrderedDict(b=1, a=2)",
    "deque": "__import__('collections').deque([1, 2], 5)",
    "defaultdict": "__import__('collections').defaultdict(int, {'a': 1})",
    "decimal": "__import__('decimal').Decimal('1.10')",
    "fraction": "__import__('fractions').Fraction(3, 6)",
    "date": "__import__('datetime').date(2024, 2, 29)",
    "timedelta": "__import__('datetime').timedelta(1, 2, 3)",
}  # fmt: skip

UNPLAIN = {
    "function": "f", "lambda": "lambda: 1", "generator": "(i for i in 'ab')", "module": "__builtins__",
    "object": "object()", "type": "int", "iterator": "iter([1])", "map": "map(str, [1])",
    "exception": "ValueError('x')", "subclass": "type('L', (list,), {})([1])",
    "memoryview": "memoryview(b'x')", "bytearray": "bytearray(b'x')", "bool-like": "NotImplemented",
}  # fmt: skip

RAISES = {
    "zero-division": "1 // 0", "key": "{}['k']", "index": "[][1]", "name": "nowhere",
    "attribute": "(1).nothing", "type": "1 + 'a'", "value": "int('x')", "unicode": "b'\\xff'.decode()",
    "overflow": "2.0 ** 5000", "stop": "next(iter([]))", "assertion": "exec('assert False')",
    "import": "__import__('no_such_module_anywhere')", "recursion": "f(x)", "memory": "' ' * (1 << 62)",
    "exit": "exit(3)", "custom": "exec('class E(Exception): pass\\nraise E(1)')",
    "keyboard": "exec('raise KeyboardInterrupt')", "lookup": "__import__('codecs').lookup('nope')",
    "digits": "str(10**5000)", "input": "input()",
    "raw-memory": "__import__('ctypes').sizeof(__import__('ctypes').c_int)",
    "file": "open('/no/such/file')", "directory": "open('/')", "etc": "open('/etc/shadow').read()",
    "home": "open('/root/.ssh/id_rsa').read()", "list-home": "__import__('os').listdir('/root')",
    "wait": "__import__('os').wait()", "permission": "exec('raise PermissionError(1)')",
}  # fmt: skip

UNSTABLE = {
    "hash-str": "hash('abc')", "set-order": "list({'red', 'green', 'blue'})", "id": "id(object())",
    "repr": "repr(object())", "set-pop": "{'a', 'b', 'c', 'd'}.pop()",
    "time": "__import__('time').time()", "time-ns": "__import__('time').time_ns()",
    "today": "str(__import__('datetime').date.today())",
    "year": "__import__('datetime').datetime.now().year", "monotonic": "__import__('time').monotonic()",
    "perf-counter": "__import__('time').perf_counter()",
    "random": "__import__('random').random()", "urandom": "__import__('os').urandom(8)",
    "uuid4": "__import__('uuid').uuid4().hex", "secrets": "__import__('secrets').token_hex(4)",
    "shuffle": "__import__('random').sample(range(1000), 5)",
    "pid": "__import__('os').getpid()", "environment": "dict(__import__('os').environ)",
    "home-variable": "__import__('os').environ.get('HOME')",
    "set-repr": "str({'alpha', 'beta', 'gamma'})",
    "frozenset-order": "list(frozenset(['u', 'v', 'w', 'x']))",
    "dict-from-set": "dict.fromkeys({'one', 'two', 'three'})",
    "host-name": "__import__('os').uname().nodename",
    "process-time": "__import__('time').process_time_ns()",
}  # fmt: skip

STABLE = {
    "sorted-set": "sorted({'red', 'green', 'blue'})", "set-len": "len({'a', 'b'})",
    "seeded": "__import__('random').Random(7).random()", "hash-int": "hash(12345)",
    "sum-set": "sum({1, 2, 3})", "in-set": "'a' in {'a', 'b'}", "set-equal": "{'a'} == {'a'}",
    "unused-clock": "(__import__('time').time(), 1)[1]", "max-set": "max({'x', 'y', 'z'})",
}  # fmt: skip

# Harmless where nothing holds them back: the number of a system call is what is refused, whatever its
# arguments are.
DENIED = {
    "socket": "__import__('socket').socket()", "unix-socket": "__import__('socket').socket(1, 1)",
    "fork": "__import__('os').fork() or __import__('os')._exit(0)",
    "system": "__import__('os').system('true')",
    "execv": "__import__('os').execv('/no/such/file', ['x'])",
    "kill": "__import__('os').kill(1 << 30, 0)", "kill-self": "__import__('os').kill(0, 0)",
    "setuid": "__import__('os').setuid(__import__('os').getuid())",
    "umask": "__import__('os').umask(0o22)",
    "setgroups": "__import__('os').setgroups([])", "chroot": "__import__('os').chroot('/no/such')",
}  # fmt: skip

REFUSED = {
    "popen": "__import__('os').popen('true').read()",
    "subprocess": "__import__('subprocess').run(['true'])",
    "thread": "__import__('threading').Thread(target=print).start()",
    "raw-thread": "__import__('_thread').start_new_thread(print, ())",
    "pipe": "__import__('os').pipe()", "write": "open('/no/such/x', 'w')",
    "append": "open('/no/such/x', 'a')", "create": "__import__('os').open('/no/such/x', 64 | 1)",
    "mkdir": "__import__('os').mkdir('/no/such/d')", "unlink": "__import__('os').unlink('/no/such/x')",
    "rename": "__import__('os').rename('/no/a', '/no/b')",
    "symlink": "__import__('os').symlink('a', '/no/such/b')",
    "chmod": "__import__('os').chmod('/no/such/x', 0o700)",
    "chdir": "__import__('os').chdir('/no/such')", "nice": "__import__('os').nice(0)",
    "setrlimit": "__import__('resource').setrlimit(4, (0, 0))",
    "sched-setaffinity": "__import__('os').sched_setaffinity(0, __import__('os').sched_getaffinity(0))",
    "memfd": "__import__('os').memfd_create('x')",
    "getsid": "__import__('os').getsid(0)",
    "socketpair": "__import__('socket').socketpair()",
    "asyncio": "__import__('asyncio').new_event_loop()",
}  # fmt: skip
"""What ordinary code tries: the call fails, and the program may go on."""

SWALLOWED = {
    name: f"exec('try:\\n {attempt}\\nexcept OSError: pass')"
    for name, attempt in {
        "write": 'open("/no/such/x", "w")', "mkdir": '__import__("os").mkdir("/no/such/d")',
        "pipe": '__import__("os").pipe()', "subprocess": '__import__("subprocess").run(["true"])',
        "temporary": '__import__("tempfile").TemporaryFile()',
        "imports": "import asyncio, multiprocessing, selectors, socket, ssl, subprocess",
    }.items()
}  # fmt: skip
"""The same, by programs that go on."""

LIMITS_HIT = {
    "endless-swallowed": ("while True:\n        try: exec('while 1: pass')\n        except BaseException: pass", "cpu_limit"),
    "list": ("return [0] * 10**9", "memory_limit"),
    "long-bytes": ("return bytes(1 << 20)", "output_limit"),
    "many-items": ("return list(range(10**6))", "output_limit"),
}  # fmt: skip

ENDS = {
    "os-exit-3": ("__import__('os')._exit(3)", "crashed"),
    "own-frame": ("exec('import os\\nfor i in range(3, 64):\\n try: os.write(i, bytes(64))\\n except OSError: pass\\nos._exit(0)')", "crashed"),
    "close-all": ("__import__('os').closerange(0, 64)", "crashed"),
}  # fmt: skip


SHARED = {
    "limits/endless": "an endless loop", "limits/sleep": "an endless sleep",
    "limits/growing": "memory bit by bit", "limits/long-value": "a large value",
    "ends/os-exit": "os._exit", "ends/abort": "abort",
}  # fmt: skip
"""Cases that are one of ``ENDINGS``."""


def _body(expression: str) -> str:
    return f"def f(x):\n    return {expression}"


def _triplets() -> Iterator[Case]:
    for category, table, status in (
        ("values", VALUES, "ok"), ("unserializable", UNPLAIN, "unserializable"),
        ("errors", RAISES, "error"), ("nondeterminism", UNSTABLE, "nondeterministic"),
        ("determinism", STABLE, "ok"), ("forbidden", DENIED, "forbidden"),
        ("refused", REFUSED, "forbidden"), ("swallowed", SWALLOWED, "ok"),
    ):  # fmt: skip
        for name, expression in table.items():
            known = STATUSES.get(f"{category}/{name}", status)
            item = Triplet(program=_body(expression), inputs=("1",))
            yield Case(f"{category}/{name}", category, item, known)
    for category, ends in (("limits", LIMITS_HIT), ("ends", ENDS)):
        for name, (lines, status) in ends.items():
            item = Triplet(program=f"def f(x):\n    {lines}", inputs=("1",))
            yield Case(f"{category}/{name}", category, item, status)
    for name, what in SHARED.items():
        program, end = ENDINGS[what]
        category = name.partition("/")[0]
        yield Case(name, category, Triplet(program=program, inputs=("1",)), str(end))
    for name, item, status in (
        ("several", Triplet(program=_body("x * 2"), inputs=("1", "'a'", "[1]")), "ok"),
        ("keyword", Triplet(program="def f(a, b=2):\n    return a - b", inputs=("b=1, a=5",)), "ok"),
        ("expression", Triplet(program=_body("x"), inputs=("[i * i for i in range(4)]",)), "ok"),
        ("class", Triplet(program="class P:\n    pass\ndef f(x):\n    return 1", inputs=("P()",)), "ok"),
        ("not-python", Triplet(program="def f(x) return", inputs=("1",)), "syntax_error"),
        ("no-f", Triplet(program="x = 1", inputs=("1",)), "screened"),
        ("bad-input", Triplet(program=_body("x"), inputs=("1) or (2",)), "malformed"),
        ("too-many", Triplet(program=_body("x"), inputs=("1, 2",)), "error"),
        ("right", Triplet(program=_body("x + 1"), inputs=("1",), outputs=("2",)), "ok"),
        ("wrong", Triplet(program=_body("x + 1"), inputs=("1",), outputs=("3",)), "mismatch"),
        ("imports", Triplet(program=_body("math.floor(x)"), imports=("import math",), inputs=("1.5",)), "ok"),
        ("global-state", Triplet(program="n = []\ndef f(x):\n    n.append(x)\n    return len(n)", inputs=("1", "2")), "ok"),
        ("error-task", Triplet(program=_body("1 / x"), inputs=("0",), outputs=("ZeroDivisionError",), expects="error"), "ok"),
        ("no-error-task", Triplet(program=_body("1 / x"), inputs=("1",), outputs=("NoError",), expects="error"), "ok"),
        ("print", Triplet(program="def f(x):\n    print('noise' * 1000)\n    return x", inputs=("1",)), "ok"),
        ("load-error", Triplet(program="1 / 0\ndef f(x):\n    return x", inputs=("1",)), "error"),
        ("re", Triplet(program="import re\ndef f(x):\n    return re.findall('[a-c]+', x)", inputs=("'abxcab'",)), "ok"),
        ("modules", Triplet(program="import json, string, heapq, bisect, textwrap\ndef f(x):\n    return json.loads(json.dumps(x))", inputs=("{'a': [1]}",)), "ok"),
    ):  # fmt: skip
        yield Case(f"triplets/{name}", "triplets", item, status)


STATUSES = {
    "unserializable/bool-like": "unserializable",
    "errors/memory": "memory_limit",
    "nondeterminism/set-pop": "nondeterministic",
    "errors/exit": "error",
    "nondeterminism/process-time": "nondeterministic",
}
"""Where one case of a table gets another status than its neighbours."""


# ---- judge tasks -----------------------------------------------------------------------------------

DOUBLE = "def f(x):\n    return x * 2"
LOOKUP = "def f(x):\n    return {'a': 1}[x]"


def _judge_tasks() -> Iterator[Case]:
    for name, item, status in (
        ("deduction", JudgeTask(task=TaskType.DEDUCTION, program=DOUBLE, inputs=("4",), outputs=("8",), answers=("8", "8.0", "4 + 4", "9", "8) or (8", "")), "ok ok ok mismatch malformed malformed"),
        ("deduction-strict", JudgeTask(task=TaskType.DEDUCTION, program=DOUBLE, inputs=("4",), outputs=("8",), strict=True, answers=("8", "8.0", "True")), "ok mismatch mismatch"),
        ("deduction-run", JudgeTask(task=TaskType.DEDUCTION, program=DOUBLE, inputs=("'a'",), answers=("'aa'", "'a' * 2", "'a'")), "ok ok mismatch"),
        ("deduction-hostile", JudgeTask(task=TaskType.DEDUCTION, program=DOUBLE, inputs=("4",), outputs=("8",), answers=("[x for x in iter(int, 1)]", "[0] * 10**10", "__import__('os').system('true')", "1 / 0")), "cpu_limit memory_limit forbidden error"),
        ("deduction-equal", JudgeTask(task=TaskType.DEDUCTION, program=DOUBLE, inputs=("1",), outputs=("8",), answers=("type('E', (), {'__eq__': lambda s, o: True})()",)), "unserializable"),
        ("abduction", JudgeTask(task=TaskType.ABDUCTION, program=DOUBLE, inputs=("4",), outputs=("8",), answers=("4", "x=4", "2 + 2", "4.0", "5", "'4'", "4, 4", "nope")), "ok ok ok ok mismatch mismatch error error"),
        ("abduction-loop", JudgeTask(task=TaskType.ABDUCTION, program="def f(x):\n    while x != 8:\n        x += 2\n    return x", inputs=("4",), outputs=("8",), answers=("2", "3", "8")), "ok cpu_limit ok"),
        ("abduction-error", JudgeTask(task=TaskType.ABDUCTION, program=LOOKUP, inputs=("'a'",), outputs=("1",), answers=("'a'", "'b'", "[]")), "ok error error"),
        ("induction", JudgeTask(task=TaskType.INDUCTION, inputs=("1", "3"), outputs=("2", "6"), answers=(DOUBLE, "def f(x):\n    return x + x", "def f(x):\n    return 2", "def g(x):\n    return x", "def f(x", "import os\ndef f(x):\n    return os.fork()")), "ok ok mismatch screened syntax_error forbidden"),
        ("induction-fraction", JudgeTask(task=TaskType.INDUCTION, scoring="fraction", inputs=("1", "3"), outputs=("2", "6"), answers=(DOUBLE, "def f(x):\n    return 2")), "ok mismatch"),
        ("induction-any", JudgeTask(task=TaskType.INDUCTION, scoring="any", inputs=("1", "3"), outputs=("2", "6"), answers=("def f(x):\n    return 2", "def f(x):\n    return 1")), "ok mismatch"),
        ("induction-unstable", JudgeTask(task=TaskType.INDUCTION, inputs=("1",), outputs=("2",), answers=("import time\ndef f(x):\n    return int(time.time() > 0) + x",)), "ok"),
        ("error", JudgeTask(task=TaskType.ERROR, program=LOOKUP, inputs=("'z'",), answers=("KeyError", "'KeyError'", "KeyError: 'z'", "ValueError", "NoError", "")), "ok ok ok mismatch mismatch malformed"),
        ("no-error", JudgeTask(task=TaskType.ERROR, program=LOOKUP, inputs=("'a'",), answers=("NoError", "KeyError")), "ok mismatch"),
        ("many-answers", JudgeTask(task=TaskType.ABDUCTION, program=DOUBLE, inputs=("4",), outputs=("8",), answers=tuple(map(str, range(40)))), None),
        ("values", JudgeTask(task=TaskType.DEDUCTION, program="def f(x):\n    return {1, 2}", inputs=("0",), outputs=("{1, 2}",), answers=("{2, 1}", "set([1, 2])", "[1, 2]", "frozenset({1, 2})")), None),
        ("call", JudgeTask(task=TaskType.CALL, entry_point="S.go", inputs=("[2, 1]", "[0.1, 0.2]"), outputs=("[1, 2]", "[0.1, 0.2]"), compare=Compare(atol=1e-6), answers=("class S:\n    def go(self, x):\n        return sorted(x)", "class S:\n    def go(self, x):\n        return x", "import os\nclass S:\n    def go(self, x):\n        os._exit(0)", "def go(x):\n    return sorted(x)", "class S:\n    def go(self, x):\n        while True: pass")), "ok mismatch crashed error cpu_limit"),
        ("stdio", JudgeTask(task=TaskType.STDIO, stdin=("1 2", "3 4\n"), stdout=("3\n", "7"), answers=("print(sum(map(int, input().split())))", "print(3)", "import os\nos._exit(0)", "print(", "while True: pass")), "ok mismatch mismatch syntax_error cpu_limit"),
        ("stdio-checker", JudgeTask(task=TaskType.STDIO, stdin=("1",), stdout=("5",), checker="def check(stdin, expected, actual):\n    return int(actual) == int(expected)", answers=("print(' 05')", "print('x')")), "ok mismatch"),
        ("assert", JudgeTask(task=TaskType.ASSERT, entry_point="g", tests="def check(c):\n    l = [2, 1]\n    assert c(l) is None\n    assert l == [1, 2]\n    try:\n        c(0)\n        assert False\n    except (AttributeError, TypeError):\n        pass", answers=("def g(x):\n    x.sort()", "def g(x):\n    return sorted(x)", "import os\ndef g(x):\n    os._exit(0)", "class E:\n    def __eq__(s, o): return True\ndef g(x):\n    return E()", "import sys\ndef g(x):\n    sys.exit(0)")), "ok mismatch crashed unserializable error"),
        ("assert-ends", JudgeTask(task=TaskType.ASSERT, tests="import random\nn = random.randint(2, 9)\nassert all(map(lambda k: g(k) == n * k, [0, n]))", answers=("def g(k):\n    return k * k", "def g(k):\n    if k:\n        raise StopIteration\n    return 0", "def g(k):\n    return '\\ud800'")), "ok error mismatch"),
        ("assert-solution", JudgeTask(task=TaskType.ASSERT, entry_point="Solution().go", tests="def check(c: Callable) -> None:\n    for n in range(30):\n        assert c(n) == Solution().go(n) == n + 1", answers=("class Solution:\n    def go(self, n):\n        return n + 1", "class Solution:\n    def go(self, n):\n        return n")), "ok mismatch"),
        ("assert-together", JudgeTask(task=TaskType.ASSERT, entry_point="g", together=True, tests="assert list(g(lambda x: -x, [1])) == [-1]", answers=("g = map", "def g(f, x):\n    return x", "def g(f, x):\n    import os\n    os._exit(0)")), "ok mismatch crashed"),
        ("pytest", JudgeTask(task=TaskType.PYTEST, tests="from solution import g\ndef test_g():\n    assert g(1) == 2", answers=("def g(x):\n    return x + 1", "def g(x):\n    return x", "import os\nos._exit(0)")), "ok error error"),
        ("malformed-tests", JudgeTask(task=TaskType.ASSERT, tests="assert (", answers=("x = 1",)), "malformed"),
    ):  # fmt: skip
        yield Case(f"judge/{name}", "judge", item, status)


# ---- scripts ---------------------------------------------------------------------------------------

SCRIPTS: dict[str, tuple[Script, str]] = {
    "print": (Script(source="print('hello')"), "ok"),
    "unicode": (Script(source="print('h\\u00e9 \\U0001f600')"), "ok"),
    "stderr": (Script(source="import sys; print('e', file=sys.stderr)"), "ok"),
    "stdin": (Script(source="print(input()[::-1])", stdin="abc\n"), "ok"),
    "stdin-large": (Script(source="import sys; print(len(sys.stdin.read()))", stdin="x" * 300_000), "ok"),
    "stdin-unread": (Script(source="print(1)", stdin="x" * 300_000), "ok"),
    "argv": (Script(source="import sys; print(sys.argv[1:])", argv=("a", "b c", "")), "ok"),
    "exit-0": (Script(source="raise SystemExit"), "ok"),
    "exit-3": (Script(source="import sys; print('x'); sys.exit(3)"), "error"),
    "exit-255": (Script(source="raise SystemExit(255)"), "error"),
    "exit-text": (Script(source="raise SystemExit('why')"), "error"),
    "raises": (Script(source="1 / 0"), "error"),
    "syntax": (Script(source="def f(:"), "error"),
    "empty": (Script(source=""), "ok"),
    "files": (Script(source="print(open('d/a.txt').read())", files={"d/a.txt": b"content"}), "ok"),
    "binary-file": (Script(source="print(open('b', 'rb').read())", files={"b": bytes(range(64))}), "ok"),
    "import-file": (Script(source="import helper; print(helper.x)", files={"helper.py": b"x = 5"}), "ok"),
    "collect": (Script(source="open('o', 'wb').write(b'out')", collect=("o", "missing")), "ok"),
    "collect-folder": (Script(source="import os; os.makedirs('a/b'); open('a/b/c', 'w').write('1')", collect=("a/b/c",)), "ok"),
    "collect-symlink": (Script(source="import os; os.symlink('/py/bin/python3.12', 'l')", collect=("l",)), "ok"),
    "collect-changed": (Script(source="open('x', 'a').write('2')", files={"x": b"1"}, collect=("x",)), "ok"),
    "temporary": (Script(source="import tempfile; f = tempfile.NamedTemporaryFile(); f.write(b'x'); print(f.tell())"), "ok"),
    "directory": (Script(source="import os; print(os.getcwd(), sorted(os.listdir('.')))"), "ok"),
    "subprocess": (Script(source="import subprocess, sys; print(subprocess.run([sys.executable, '-c', 'print(6 * 7)'], capture_output=True, text=True).stdout)"), "ok"),
    "fork": (Script(source="import os\npid = os.fork()\nif pid == 0: os._exit(4)\nprint(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"), "ok"),
    "threads": (Script(source="import threading\na = []\nt = [threading.Thread(target=a.append, args=(i,)) for i in range(8)]\n[x.start() for x in t]; [x.join() for x in t]\nprint(sorted(a))"), "ok"),
    "asyncio": (Script(source="import asyncio\nasync def main(): await asyncio.sleep(0.01); return 5\nprint(asyncio.run(main()))"), "ok"),
    "multiprocessing": (Script(source="import multiprocessing as m\nif __name__ == '__main__':\n    with m.Pool(2) as p: print(p.map(abs, [-1, -2]))"), "ok"),
    "sqlite": (Script(source="import sqlite3; c = sqlite3.connect('d.db'); c.execute('create table t(x)'); c.execute('insert into t values (3)'); print(c.execute('select x from t').fetchall())"), "ok"),
    "left-behind": (Script(source="import os, time\nif os.fork() == 0:\n    time.sleep(60)\nprint('done')"), "ok"),
    "signal": (Script(source="import os, signal; os.kill(os.getpid(), signal.SIGTERM)"), "crashed"),
    "sigkill": (Script(source="import os; os.kill(os.getpid(), 9)"), "crashed"),
    "abort": (Script(source="import os; os.abort()"), "crashed"),
    "segfault": (Script(source="import ctypes; ctypes.string_at(0)"), "crashed"),
    "endless": (Script(source="print('x', flush=True)\nwhile True: pass"), "cpu_limit"),
    "sleep": (Script(source="print('before', flush=True)\nimport time; time.sleep(60)"), "wall_limit"),
    "memory": (Script(source="x = bytearray(10**9)"), "memory_limit"),
    "output": (Script(source="while True: print('x' * 1000)"), "output_limit"),
    "errors-flood": (Script(source="import sys\nwhile True: sys.stderr.write('x' * 1000)"), "output_limit"),
    "processes": (Script(source="import os, time\nfor _ in range(100):\n    if os.fork() == 0:\n        time.sleep(3)\n        os._exit(0)"), "process_limit"),
    "internet": (Script(source="import socket\ntry: socket.socket(type=socket.SOCK_RAW)\nexcept OSError: pass"), "forbidden"),
    "ptrace": (Script(source="import ctypes; ctypes.CDLL(None).ptrace(0, 0, 0, 0); print('went on')"), "forbidden"),
    "mount": (Script(source="import ctypes; ctypes.CDLL(None).mount(b'a', b'/', b'tmpfs', 0, 0); print('went on')"), "forbidden"),
    "unshare": (Script(source="import ctypes; ctypes.CDLL(None).unshare(0x10000000); print('went on')"), "forbidden"),
    "kill-first-process": (Script(source="import os; os.kill(1, 9); print('went on')"), "ok"),
    "unix-socket": (Script(source="import socket; a, b = socket.socketpair(); a.send(b'x'); print(b.recv(1))"), "ok"),
    "user": (Script(source="import os; print(os.getuid(), os.getgid())"), "ok"),
    "write-system": (Script(source="open('/py/x', 'w')"), "error"),
    "secrets": (Script(source="open('/etc/shadow')"), "error"),
    "environment": (Script(source="import os; print(sorted(os.environ))"), "ok"),
    "disk-full": (Script(source="open('big', 'wb').write(bytes(100 << 20))"), "error"),
    "bash": (Script(source="for i in 1 2 3; do echo $((i * i)); done | sort -r", language="bash"), "ok"),
    "bash-exit": (Script(source="echo x; exit 7", language="bash"), "error"),
    "bash-tools": (Script(source="printf 'b\\na\\n' | sort | awk '{print NR $1}' | sed s/1/x/ | grep -c .", language="bash"), "ok"),
    "bash-files": (Script(source="cat in > out; wc -c < out", files={"in": b"12345"}, collect=("out",), language="bash"), "ok"),
    "bash-stdin": (Script(source="read x; echo got $x $1", stdin="line\n", argv=("arg",), language="bash"), "ok"),
    "bash-python": (Script(source="python3 -c 'print(1 + 1)'", language="bash"), "ok"),
    "bash-user": (Script(source="id -un; pwd; whoami", language="bash"), "error"),
    "pytest-pass": (Script(source="def test_a():\n    assert 1", language="pytest", collect=("none",)), "ok"),
    "pytest-fail": (Script(source="def test_a():\n    assert 0", language="pytest"), "error"),
    "root": (Script(source="import os; print(sorted(os.listdir('/')))"), "ok"),
    "proc": (Script(source="import os; print(os.path.exists('/proc/self/status'))"), "ok"),
}  # fmt: skip


def _scripts() -> Iterator[Case]:
    for name, (script, status) in SCRIPTS.items():
        yield Case(f"scripts/{name}", "scripts", script, status)

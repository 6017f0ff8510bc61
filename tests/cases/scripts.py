"""Scripts whose outcome must be the same in a warm guest and in a jail of their own."""

from __future__ import annotations

from executor import Status

WARM: dict[str, str] = {
    "nothing": "",
    "a comment": "# nothing",
    "a print": "print('hello')",
    "no newline at the end": "import sys; sys.stdout.write('no newline')",
    "unicode": "print('äöü €  ✓ 🐍'); print('é'.encode())",
    "a surrogate": "print('\\udc80')",
    "a surrogate that cannot be written": "print('before'); print('\\ud800')",
    "both streams": "import sys\nprint(1); print(2, file=sys.stderr); print(3)",
    "flushed streams": (
        "import sys\nprint(1, flush=True); print(2, file=sys.stderr, flush=True)\n"
        "sys.stdout.buffer.write(b'x'); print(3)"
    ),
    "binary output": "import sys\nsys.stdout.buffer.write(bytes(range(256)) * 4)",
    "output by descriptor": (
        "import os\nprint('buffered'); os.write(1, b'first\\n'); os.write(2, b'err\\n')"
    ),
    "large output": "import sys\nfor i in range(5 << 10): sys.stdout.write('x' * 1024)",
    "large errors": "import sys\nsys.stderr.write('é' * (1 << 20)); sys.exit(4)",
    "input": "name = input('name? ')\nprint(f'hello {name}')\nprint(input())\nprint(input())",
    "reading lines": "import sys\nfor line in sys.stdin: print(repr(line))",
    "reading all": "import sys\nprint(len(sys.stdin.read()), repr(sys.stdin.read()))",
    "reading bytes": "import sys\nprint(sys.stdin.buffer.readline(), sys.stdin.buffer.read())",
    "reading by descriptor": "import os\nprint(os.read(0, 5)); print(open(0).read())",
    "facts about the streams": (
        "import sys, os, stat\nfor f in (sys.stdin, sys.stdout, sys.stderr):\n"
        "    print(f.name, f.mode, f.encoding, f.errors, f.newlines, f.line_buffering)\n"
        "    print(f.isatty(), f.seekable(), f.fileno())\n"
        "    print(f, stat.S_ISFIFO(os.fstat(f.fileno()).st_mode))"
    ),
    "reading to the end and beyond": "print(input(), input(), input())\nprint(input())",
    "sys.exit": "import sys\nprint(1)\nsys.exit()",
    "sys.exit with a code": "import sys\nprint(1)\nsys.exit(3)",
    "sys.exit with a text": "import sys\nsys.exit('bad ünd worse')",
    "sys.exit with a large code": "import sys\nsys.exit(1000)",
    "sys.exit with a negative code": "import sys\nsys.exit(-1)",
    "sys.exit with an object": "import sys\nsys.exit([1, 2])",
    "sys.exit with True": "raise SystemExit(True)",
    "exit and quit": "print(exit, quit, copyright is not None)\nexit(5)",
    "os._exit": "import os\nprint('lost')\nos._exit(7)",
    "an exception": "def f(x):\n    return 1 / x\n\nprint('start')\nf(0)",
    "an exception in a long line": (
        "value = {'a': [1, 2, {'b': None}]}\n"
        "print(value['a'][2]['b']['c'] + sum(n for n in range(10) if n % 2 == 0))"
    ),
    "wide characters in a traceback": "größe = '漢字' + ''.join([1])",
    "a chained exception": (
        "try:\n    {}['x']\nexcept KeyError as e:\n    raise ValueError('no ✓') from e"
    ),
    "an exception while handling one": "try:\n    1/0\nexcept ZeroDivisionError:\n    [][1]",
    "an exception group": (
        "def fail(e): raise e\nerrors = []\nfor e in (ValueError(1), TypeError('x')):\n"
        "    try: fail(e)\n    except Exception as caught: errors.append(caught)\n"
        "raise ExceptionGroup('several', [*errors, ExceptionGroup('inner', [OSError(2, 'no')])])"
    ),
    "an exception with notes": "e = ValueError('x')\ne.add_note('look\\nhere')\nraise e",
    "an exception of its own": (
        "class Mine(Exception):\n    def __str__(self): return 'mine: ' + self.args[0]\n"
        "raise Mine('text')"
    ),
    "an exception whose text fails": (
        "class Bad(Exception):\n    def __str__(self): raise RuntimeError\nraise Bad"
    ),
    "a hint": "import math\nmath.sqroot(2)",
    "a name that does not exist": "number = 1\nprint(numbr)",
    "an import that does not exist": "import numpy_that_is_not_there",
    "an import of a name that does not exist": "from os import pth",
    "a syntax error": "print('never')\ndef f(:\n    pass",
    "an indentation error": "if True:\nprint(1)",
    "a tab error": "if True:\n        x = 1\n\tx = 2",
    "an unclosed string": "x = 'abc\nprint(x)",
    "a null character": "x = 1\0",
    "a coding line": "# -*- coding: latin-1 -*-\nprint(len('ä'))",
    "a wrong coding line": "# coding: no-such-thing\nprint(1)",
    "a byte order mark": "\ufeffprint('bom')",
    "carriage returns": "print(1)\r\nprint(2)\r\n",
    "a syntax warning": "print('\\d'); x = 1\nif x is 1: print('is')",
    "a deprecation warning": (
        "import warnings\nwarnings.warn('old', DeprecationWarning)\nwarnings.warn('user')\n"
        "def f(): warnings.warn('deep', stacklevel=2)\nf()"
    ),
    "a failing assertion": "x = 1\nassert x == 2, f'{x} is not 2'",
    "endless recursion": "def f(n):\n    return f(n + 1)\nf(0)",
    "the depth of the stack": (
        "import sys\ndef f(n):\n    try: return f(n + 1)\n    except RecursionError: return n\n"
        "print(f(0), sys.getrecursionlimit()); sys.setrecursionlimit(5000); print(f(0))"
    ),
    "recursion in C": (
        "a = []\nfor i in range(100_000): a = [a]\ntry: repr(a)\n"
        "except RecursionError as e: print(e)"
    ),
    "the stack": (
        "import sys, inspect, traceback\ndef f():\n    print(sys._getframe().f_back.f_back)\n"
        "    print(len(inspect.stack()), inspect.stack()[1].code_context)\n"
        "    traceback.print_stack()\nf()"
    ),
    "generators": (
        "def numbers():\n    try:\n        yield 1\n        yield 2\n"
        "    finally: print('closed')\ng = numbers()\nprint(next(g))\nprint(list(numbers()))"
    ),
    "dataclasses": (
        "from dataclasses import dataclass, field\n@dataclass(order=True)\nclass P:\n"
        "    x: int\n    y: list = field(default_factory=list)\n"
        "print(P(1), P(1) < P(2), [P(3, [1])])"
    ),
    "enumerations": (
        "from enum import Enum, auto\nclass C(Enum):\n    A = auto()\n    B = auto()\n"
        "print(list(C), C.A.name, repr(C.B))"
    ),
    "typing": (
        "from typing import Generic, TypeVar, get_type_hints\nT = TypeVar('T')\n"
        "class Box(Generic[T]):\n    item: 'list[int]'\nprint(get_type_hints(Box), Box[int])"
    ),
    "a program under main": (
        "def main():\n    print(__name__)\nif __name__ == '__main__':\n    main()"
    ),
    "its names": (
        "import sys\nprint(__name__, __file__, __doc__, __package__, __spec__, __cached__)\n"
        "print(list(globals())); print(dir()); print(sys.argv, sys.orig_argv)\n"
        "print(sys.modules['__main__'].__dict__ is globals(), type(__loader__).__name__)\n"
        "print(__loader__.name, __loader__.path, __builtins__, __annotations__)"
    ),
    "a docstring": "'''What it does.'''\nprint(__doc__)",
    "annotations": "x: int = 1\ny: str\nprint(__annotations__)",
    "its environment": (
        "import os, sys\nprint(dict(os.environ), os.getcwd(), sys.path, sys.executable)\n"
        "print(sys.prefix, sys.flags, os.getuid(), os.getgid(), os.getppid())\n"
        "print(os.uname().nodename)\n"
        "print(os.path.expanduser('~'), sys.getfilesystemencoding(), sys.getdefaultencoding())"
    ),
    "its file": (
        "import os, sys\nprint(open(__file__).read())\nprint(os.listdir('.'), os.listdir('/tmp'))\n"
        "print(os.path.getsize('script.py'), os.path.exists('other'), os.access('.', os.W_OK))\n"
        "print(sorted(os.listdir('/')), oct(os.stat('.').st_mode), sorted(os.listdir('/dev')))"
    ),
    "a file that does not exist": "open('data.txt')",
    "source of its own": (
        "import inspect\ndef f(x):\n    # comment\n    return x\nclass C:\n    y = 1\n"
        "print(inspect.getsource(f)); print(inspect.getsource(C)); print(inspect.getsourcefile(f))"
    ),
    "importing itself": "import script\nprint(__name__, script.__name__, script.__file__)",
    "a submodule that is not imported": "import importlib\nprint(importlib.util)",
    "submodules": (
        "import importlib.machinery, importlib.util, os.path, collections.abc, json.decoder\n"
        "print(importlib.machinery.ModuleSpec, importlib.util.find_spec('json').name)\n"
        "print(json.decoder.JSONDecoder, collections.abc.Sized, os.path.join('a', 'b'))"
    ),
    "its processors": "import os\nprint(os.cpu_count(), sorted(os.sched_getaffinity(0)))",
    "modules": (
        "import collections, itertools, functools, heapq, bisect, string, math, statistics, json\n"
        "print(collections.Counter('abca'), json.dumps({'a': [1, None]}), math.pi)\n"
        "print(statistics.mean([1, 2, 4]), list(itertools.pairwise('abc')), string.hexdigits)"
    ),
    "regular expressions": "import re\nprint(re.findall(r'(\\w)(\\d)', 'a1 b2'), re.compile('x'))",
    "dates": "import datetime\nprint(datetime.date(2020, 2, 29), datetime.timedelta(days=1))",
    "fractions and decimals": (
        "from fractions import Fraction\nfrom decimal import Decimal, getcontext\n"
        "getcontext().prec = 40\nprint(Fraction(1, 3) + 1, Decimal(1) / 7)"
    ),
    "seeded randomness": (
        "import random\nrandom.seed(1)\nprint(random.random(), random.sample('abc', 2))"
    ),
    "the time": (
        "import time\nt = time.time(); time.sleep(0.05); print(0.05 <= time.time() - t < 5)"
    ),
    "a class with a destructor": (
        "class D:\n    def __init__(self, n): self.n = n\n"
        "    def __del__(self): print('del', self.n)\na = D(1); b = D(2); del a\nprint('end')"
    ),
    "destructors of cycles": (
        "import gc\nclass D:\n    def __del__(self): print('del')\n"
        "a = D(); a.me = a; del a\nprint('collected', gc.collect() > 0)\nb = D(); b.me = b"
    ),
    "a failing destructor": (
        "class D:\n    def __del__(self): raise ValueError('in del')\nd = D(); del d\n"
        "print('on')\ne = D()"
    ),
    "a destructor that uses modules": (
        "import os, sys\nclass D:\n    def __del__(self): print(os.sep, sys is None, len)\n"
        "d = D()\ndef f(): return d"
    ),
    "atexit": (
        "import atexit\natexit.register(print, 'last')\natexit.register(print, 'first')\n"
        "@atexit.register\ndef fail(): raise ValueError('at exit')\n"
        "print('end', atexit._ncallbacks())"
    ),
    "atexit after a failure": "import atexit\natexit.register(lambda: print(__file__))\n1/0",
    "atexit after sys.exit": (
        "import atexit, sys\natexit.register(lambda: print('bye', __name__))\nsys.exit(2)"
    ),
    "weak references": (
        "import weakref\nclass C: pass\nc = C()\nweakref.finalize(c, print, 'finalized')\n"
        "print(weakref.ref(c)() is c)"
    ),
    "an exception hook": (
        "import sys\nsys.excepthook = lambda kind, value, trace: print('hook', kind, value)\n1/0"
    ),
    "a trace function": (
        "import sys\ndef trace(frame, event, arg):\n    print(event, frame.f_lineno)\n"
        "    return trace\nsys.settrace(trace)\ndef f():\n    return 1\nf()\nsys.settrace(None)"
    ),
    "redirected output": (
        "import io, contextlib\nwith contextlib.redirect_stdout(io.StringIO()) as out:\n"
        "    print('hidden')\nprint(repr(out.getvalue()))"
    ),
    "a closed stream": "import sys\nprint('seen')\nsys.stdout.close()",
    "writing to a closed stream": "import sys\nsys.stdout.close()\nprint('x')",
    "unittest": (
        "import unittest\nclass T(unittest.TestCase):\n"
        "    def test_a(self): self.assertEqual(1, 1)\n"
        "    def test_b(self): self.assertEqual([1], [2])\n"
        "if __name__ == '__main__':\n    unittest.main(argv=['x'], exit=True)"
    ),
    "doctest": (
        "def f(x):\n    '''\n    >>> f(1)\n    2\n    >>> f(2)\n    4\n    '''\n    return x + 1\n"
        "import doctest\nprint(doctest.testmod())"
    ),
    "argparse": (
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--n', type=int)\n"
        "print(p.parse_args(['--n', '3']))\np.parse_args(['--help'])"
    ),
    "logging": (
        "import logging\n"
        "logging.basicConfig(level=logging.INFO, format='%(levelname)s %(message)s')\n"
        "logging.info('told'); logging.getLogger('x').error('bad')"
    ),
    "printing exceptions": (
        "import traceback, sys\ntry:\n    int('x')\nexcept ValueError:\n    traceback.print_exc()\n"
        "    print(traceback.format_exc())"
    ),
    "exec and eval": "exec('x = 1\\nprint(x)'); print(eval('x + 1'))\nexec('1/0')",
    "a coroutine that is not awaited": "async def f(): pass\nf()\nprint('x')",
    "signal handlers": (
        "import signal\nprint([s.name for s in signal.valid_signals()\n"
        "       if isinstance(s, signal.Signals) and signal.getsignal(s) not in (0, None)])\n"
        "signal.signal(signal.SIGALRM, lambda *_: print('alarm'))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.02)\nimport time; time.sleep(0.1)"
    ),
    "ended by an alarm": (
        "import signal, time\nprint('x', flush=True)\nsignal.alarm(1)\ntime.sleep(9)"
    ),
    "standard devices": (
        "print(open('/dev/zero', 'rb').read(3), len(open('/dev/urandom', 'rb').read(9)))"
    ),
    "large integers": "print(len(str(3 ** 8000)))\nprint(10 ** 5000)",
    "garbage collection": "import gc\nprint(gc.isenabled(), gc.get_threshold(), gc.garbage)",
    "a walrus and a match": (
        "match [1, {'a': 2}]:\n    case [x, {'a': y}] if (z := x + y): print(x, y, z)"
    ),
    "sorted sets": "print(sorted({'b', 'a', 'c'}), {1, 2, 3}, frozenset([1]))",
    "help": "help(len)",
    "a pager": "import textwrap, pprint\npprint.pprint({i: 'x' * i for i in range(30)}, width=40)",
}
"""Each is answered by a warm guest."""

JAILED: dict[str, str] = {
    "a file": "way = 'w'; f = open('x', way); f.write('hi'); f.close(); print(open('x').read())",
    "a file by another way": (
        "import io\nio.FileIO('x', mode='w').write(b'hi')\nprint(open('x').read())"
    ),
    "a directory": "import os\ngetattr(os, 'mkdir')('d'); print(os.listdir('.'))",
    "a fork": (
        "import os\npid = getattr(os, 'fork')()\nif pid == 0: os._exit(3)\n"
        "print(os.waitpid(pid, 0)[1] >> 8)"
    ),
    "a thread": (
        "t = __import__('thread' 'ing')\nx = t.Thread(target=print, args=('in',))\n"
        "x.start(); x.join(); print('out')"
    ),
    "a process": (
        "s = __import__('sub' 'process')\n"
        "print(s.run(['/bin/echo', 'hi'], capture_output=True).stdout)"
    ),
    "an event loop": (
        "a = __import__('async' 'io')\nasync def f():\n    await a.sleep(0)\n    return 7\n"
        "print(a.run(f()))"
    ),
    "a raised signal": "import signal\nprint('x', flush=True)\nsignal.raise_signal(signal.SIGTERM)",
    "an interrupt": "print('x')\nraise KeyboardInterrupt",
    "an abort": "import os\nprint('x', flush=True)\ngetattr(os, 'abort')()",
    "standard output replaced": (
        "import sys, io\nprint('x')\nsys.stdout = io.StringIO()\nprint('y')"
    ),
    "standard output closed below": "import os\nprint('x')\nos.close(1)",
    "limits": "import resource\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))\nprint('ok')",
    "another directory": "import os\ngetattr(os, 'chdir')('/tmp'); print(os.getcwd())",
    "the null device": "way = 'w'\nprint('x', file=open('/dev/null', way))\nprint('y')",
}
"""Each makes a call that a warm guest denies, in words that are not looked for."""

HINTED: dict[str, str] = {
    "a file": "with open('x.txt', 'w') as f: f.write('x')",
    "a subprocess": "import subprocess\nsubprocess.run(['true'])",
    "a thread": "import threading",
    "an event loop": "import asyncio",
    "a temporary file": "from tempfile import mkdtemp",
    "a directory": "import os; os.makedirs('a/b')",
}
"""Each goes to a jail at once, for its text."""

LIMITED: dict[str, tuple[str, Status]] = {
    "a long sleep": (
        "import time\nprint('kept', flush=True)\ntime.sleep(99)", Status.WALL_LIMIT,
    ),
    "an endless loop": ("print('kept', flush=True)\nwhile True: pass", Status.CPU_LIMIT),
    "an endless loop that ignores signals": (
        "import signal\nfor n in {*signal.valid_signals()} - {9, 19}:\n"
        "    signal.signal(n, signal.SIG_IGN)\nprint('kept', flush=True)\nwhile True: pass",
        Status.CPU_LIMIT,
    ),
    "a loop in a destructor": (
        "class D:\n    def __del__(self):\n        while True: pass\nd = D()\n"
        "print('kept', flush=True)",
        Status.CPU_LIMIT,
    ),
    "waiting at exit": (
        "import atexit, time\natexit.register(time.sleep, 99)\nprint('kept', flush=True)",
        Status.WALL_LIMIT,
    ),
    "endless output": ("print('kept')\nwhile True: print('x' * 100)", Status.OUTPUT_LIMIT),
    "endless errors": (
        "import sys\nprint('kept', flush=True)\nwhile True: print('x' * 100, file=sys.stderr)",
        Status.OUTPUT_LIMIT,
    ),
    "a byte too much": ("print('kept' + 'x' * (65536 - 4))", Status.OUTPUT_LIMIT),
    "all the output that is allowed": ("print('kept' + 'x' * (65536 - 5))", Status.OK),
    "a large allocation": ("print('kept')\nx = bytearray(1 << 33)", Status.MEMORY_LIMIT),
    "memory bit by bit": (
        "print('kept')\na = []\nwhile True: a.append('x' * (1 << 20) + str(len(a)))",
        Status.MEMORY_LIMIT,
    ),
    "a lack of memory that is caught": (
        "print('kept')\ntry: bytes(1 << 33)\nexcept MemoryError: print('caught')", Status.OK,
    ),
    "half of the memory": ("x = bytearray(80 << 20)\nprint('kept', len(x))", Status.OK),
}  # fmt: skip
"""Scripts that print ``kept``, and how they end under 1 s of CPU, 128 MiB and 64 KiB."""

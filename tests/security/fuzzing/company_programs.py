"""Programs that try to leave something behind for the next call, made at random from parts.

A *carrier* is an object that might outlive a call; a *mark* is a way to change it and to see that
it was changed. Where every call has a process that no other call has touched, all of these programs
give what they give alone. :mod:`company` judges them in company and alone, and compares.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

NUMBERS = ("2", "3", "4", "5", "-1", "7")
ALIKE = ("1", "1.0", "True", "complex(1, 0)", "2", "2.0")
"""Equal values of several types: what takes one for another gives itself away."""
DECIMALS = ("Decimal('2')", "Decimal('3.5')", "Decimal('-1')", "Decimal('0')")
FRACTIONS = ("Fraction(1, 3)", "Fraction(2, 1)", "Fraction(-1, 2)", "Fraction(1, 4)")
TEXTS = ("'a'", "'bc'", "'été'", "''", "'x' * 40")


class Carrier(NamedTuple):
    """Where something could be left."""

    setup: str
    """Module code before ``f``."""
    object: str
    """An expression in ``f(x)`` for what might outlive the call."""
    arguments: Sequence[str] = NUMBERS


class Mark(NamedTuple):
    """Statements that change ``c``, and return what an earlier call has changed."""

    body: str


class CompanyRow(NamedTuple):
    """A program and arguments of its function."""

    program: str
    arguments: tuple[str, ...]


_OWN_CLASS = """\
class K:
    def __getitem__(self, key):
        self.kept = key
        return int
    def __or__(self, other):
        self.kept = other
        return int
    def __call__(self, other):
        self.kept = other
        return int
    def __matmul__(self, other):
        self.kept = other
        return int
k = K()
"""

_ANNOTATED = (
    "def g(x: (S := {name})): pass",
    "def g(x) -> (S := {name}): pass",
    "def g(*x: (S := {name}), y: int = 0): pass",
    "y: (S := {name}) = 0",
    "y: (S := {name})",
    "class A:\n    y: [S := {name}] = 0\nS = A.__annotations__['y'][0]",
    "def g(x: {{'k': {name}}}): pass\nS = g.__annotations__['x']['k']",
    "S = (lambda: {name})()",
)
_KEPT = (
    "def g(x: k[{name}]): pass",
    "def g(x: k | {name}): pass",
    "def g(x: k({name})): pass",
    "def g(x) -> k @ {name}: pass",
    "y: k[{name}] = 0",
    "class A:\n    y: k | {name} = 0",
)
_NAMES = (
    ("from collections.abc import Sized", "Sized"),
    ("from collections.abc import Iterator", "Iterator"),
    ("from typing import Any", "Any"),
    ("from typing import List", "List"),
    ("from typing import Callable", "Callable"),
    ("from collections import Counter", "Counter"),
    ("from functools import reduce", "reduce"),
    ("from fractions import Fraction", "Fraction"),
    ("from statistics import mean", "mean"),
    ("import re", "re.compile"),
    ("import math", "math"),
)

_FIXED = (
    Carrier("", "x.__new__", FRACTIONS),
    Carrier("", "type(x).__new__", FRACTIONS),
    Carrier("", "x.__class__.__new__", FRACTIONS),
    Carrier("", "x.limit_denominator", FRACTIONS),
    Carrier("from fractions import Fraction", "Fraction(x).__new__"),
    Carrier("from fractions import Fraction", "Fraction"),
    Carrier("from fractions import Fraction", "Fraction._from_coprime_ints.__func__"),
    Carrier("from collections import Counter", "Counter().__init__.__func__"),
    Carrier("from collections import Counter", "Counter.__init__"),
    Carrier("from collections import namedtuple", "namedtuple"),
    Carrier("from collections import OrderedDict", "OrderedDict.fromkeys"),
    Carrier("from functools import cache", "cache"),
    Carrier("from statistics import mean", "mean"),
    Carrier("import statistics", "statistics"),
    Carrier("import string", "string.Template"),
    Carrier("import copy", "copy.deepcopy"),
    Carrier("import copy", "copy._deepcopy_dispatch"),
    Carrier("import re", "re._cache"),
    Carrier("import re", "re.compile('a(b)c').groupindex"),
    Carrier("import heapq", "heapq.merge"),
    Carrier("import bisect", "bisect"),
    Carrier("import itertools", "itertools"),
    Carrier("import json", "json.decoder.JSONDecoder"),
    Carrier("import json", "json._default_encoder.__dict__"),
    Carrier("import enum", "enum.Enum"),
    Carrier("import random", "random.Random"),
    Carrier("import decimal", "decimal.getcontext().flags"),
    Carrier("import builtins", "builtins"),
    Carrier("import sys", "sys.modules"),
    Carrier("import sys", "sys.path"),
    Carrier("import warnings", "warnings.filters"),
    Carrier("import collections.abc", "collections.abc.Sized"),
    Carrier("import dataclasses", "dataclasses.field"),
    Carrier("import contextlib", "contextlib.suppress"),
    Carrier("import typing", "typing.Any"),
    Carrier("import functools", "functools.singledispatch"),
    Carrier("import calendar", "calendar"),
    Carrier("import copyreg", "copyreg.dispatch_table"),
    Carrier("import operator", "operator.attrgetter"),
    Carrier("kept = []", "kept"),
    Carrier("kept = {}", "kept"),
    Carrier("class A: pass", "A"),
    Carrier("def g(kept=[]): return kept", "g()"),
    Carrier("def g(): pass", "g"),
    Carrier("class A: pass\na = A()", "a"),
    Carrier("from functools import lru_cache\n@lru_cache\ndef g(y): return [y]", "g(1)"),
    Carrier("def g():\n    kept = []\n    def h(): return kept\n    return h\nh = g()", "h()"),
    Carrier("", "__builtins__ if isinstance(__builtins__, dict) else vars(__builtins__)"),
    Carrier("", "(lambda: 0).__class__"),
    Carrier("", "[].__class__.__base__.__subclasses__()[-1]"),
    Carrier("", "(i for i in ()).gi_frame.f_globals['__builtins__']"),
)  # fmt: skip


class Raised(NamedTuple):
    """Where something could be left that an exception leads to."""

    statement: str
    error: str
    object: str
    """An expression of the caught exception ``e``."""
    arguments: Sequence[str] = NUMBERS


_RAISED = (
    Raised("x / 0", "ArithmeticError", "e.args[0][0]", DECIMALS),
    Raised("x % 0", "ArithmeticError", "e.args[0][0]", DECIMALS),
    Raised("x // 0", "ZeroDivisionError", "e.args[-1][-1]", DECIMALS),
    Raised("x / 0", "ArithmeticError", "[*e.args][0].pop()", DECIMALS),
    Raised("x / 0", "ArithmeticError", "type(e)"),
    Raised("[][x]", "LookupError", "e.__class__"),
    Raised("x.missing", "AttributeError", "e.obj"),
    Raised("x.missing", "AttributeError", "e.__traceback__.tb_frame.f_builtins"),
)

_ATTRIBUTE_MARKS = (
    Mark("if hasattr(c, 'n'):\n    c.n += 1\nelse:\n    c.n = 1\nreturn c.n"),
    Mark("try:\n    c.n = c.n + 1\nexcept AttributeError:\n    c.n = 1\nreturn c.n"),
    Mark("setattr(c, 'n', getattr(c, 'n', 0) + 1)\nreturn c.n"),
)
_MARKS = (
    *_ATTRIBUTE_MARKS,
    Mark("c['n'] = c.get('n', 0) + 1\nreturn c['n']"),
    Mark("c.append(len(c))\nreturn len(c)"),
    Mark("c.insert(0, x)\nreturn len(c)"),
    Mark("c.setdefault('n', []).append(1)\nreturn len(c['n'])"),
    Mark("c.__name__ = c.__name__ + 'n'\nreturn len(c.__name__)"),
    Mark("c.__doc__ = (c.__doc__ or '') + 'n'\nreturn len(c.__doc__)"),
    Mark("c.__dict__['n'] = c.__dict__.get('n', 0) + 1\nreturn c.__dict__['n']"),
    Mark("c.__defaults__ = (c.__defaults__ or ()) + (1,)\nreturn len(c.__defaults__)"),
    Mark("c.__annotations__['n'] = 1\nreturn len(c.__annotations__)"),
    Mark("r = getattr(c, 'kept', None)\nc.kept = x\nreturn repr(r)"),
)

_SLOTS = (
    Mark("x._denominator = n\ntry:\n    return len({x: 1})\nexcept ValueError:\n    return -1"),
    Mark("x._numerator = n\ntry:\n    {x: 1}\n    return 1\nexcept TypeError:\n    return 0"),
)
"""Fraction's hash is in a cache of the library, by the values of its slots."""


class State(NamedTuple):
    """State of the interpreter or of the library that has ways of its own to be changed."""

    setup: str
    read: str
    change: str


_STATES = (
    State("import random", "1", "random.seed(x)"),
    State("import random", "random.getstate()[1][-1]", "random.random()"),
    State("import sys", "sys.getrecursionlimit()", "sys.setrecursionlimit(r + 7)"),
    State("import sys", "sys.get_int_max_str_digits()", "sys.set_int_max_str_digits(r + 7)"),
    State("import sys", "sys.getswitchinterval()", "sys.setswitchinterval(r * 2)"),
    State("import decimal", "decimal.getcontext().prec", "decimal.getcontext().prec += 1"),
    State("import gc", "gc.isenabled()", "gc.disable()"),
    State("import gc", "gc.get_threshold()", "gc.set_threshold(r[0] + 1)"),
    State("import warnings", "len(warnings.filters)", "warnings.simplefilter('once', append=True)"),
    State("import codecs", "codecs.lookup_error('mine')", "codecs.register_error('mine', len)"),
    State("import codecs", "len(codecs.lookup('rot13'))", "codecs.register(lambda n: None)"),
    State("from collections.abc import Sized", "issubclass(int, Sized)", "Sized.register(int)"),
    State("import re", "len(re._cache)", "re.compile('q' * (r + 3))"),
    State(
        "from fractions import _hash_algorithm as h",
        "h.cache_info().currsize",
        "h(7, 8191 + r)",
    ),
    State("import calendar", "calendar.firstweekday()", "calendar.setfirstweekday((r + 1) % 7)"),
    State("import builtins", "len('abc')", "builtins.len = lambda y: 99"),
    State("import math", "math.pi", "math.pi = 3"),
    State("import string", "string.digits", "string.digits = r[1:]"),
    State("import contextvars\nv = contextvars.ContextVar('v')", "v.get(0)", "v.set(1)"),
    State("import threading\nkept = threading.local()", "hasattr(kept, 'n')", "kept.n = 1"),
    State("import itertools\ncount = itertools.count()", "next(count)", "pass"),
    State("from json import dumps as d", "d.__kwdefaults__['cls']", "d.__kwdefaults__['cls'] = 2"),
    State("import sys", "sys.intern('q' * 9) is sys.intern('q' * 9)", "sys.intern(str(x) * 9)"),
    State("import locale", "locale.getlocale()[0]", "locale.setlocale(locale.LC_ALL, '')"),
    State("import os", "len(os.environ)", "os.environ['MINE'] = 'n'"),
    State("import os", "os.getcwd()", "os.chdir('/py')"),
    State("import os", "os.umask(0o22)", "os.umask(0o77)"),
    State("import os", "os.nice(0)", "os.nice(1)"),
    State("import signal", "str(signal.getsignal(2))", "signal.signal(2, signal.SIG_IGN)"),
    State("import signal", "signal.getitimer(0)", "signal.setitimer(0, 900)"),
    State("import atexit", "atexit._ncallbacks()", "atexit.register(len, '')"),
    State("import logging", "logging.root.level", "logging.root.setLevel(r + 1)"),
    State("import copyreg", "len(copyreg.dispatch_table)", "copyreg.pickle(slice, len)"),
    State("n = 0", "n", "globals()['n'] = 1"),
)  # fmt: skip


def _annotation(numbers: random.Random) -> tuple[str, str]:
    statement, name = numbers.choice(_NAMES)
    if numbers.random() < 0.5:
        return f"{statement}\n{numbers.choice(_ANNOTATED).format(name=name)}", "S"
    kept = numbers.choice(_KEPT).format(name=name)
    return f"{statement}\n{_OWN_CLASS}{kept}", "k.kept"


def _slots(numbers: random.Random) -> CompanyRow:
    first, second = numbers.choice(((1, 3), (1, 2), (2, 3), (3, 7)))
    body = f"x = Fraction({first}, {second})\n{numbers.choice(_SLOTS).body}"
    return _row(numbers, "from fractions import Fraction", "n", body, ALIKE)


def _state(numbers: random.Random) -> CompanyRow:
    setup, read, change = numbers.choice(_STATES)
    return _row(numbers, setup, "x", f"r = {read}\n{change}\nreturn r", NUMBERS)


def _object(numbers: random.Random) -> CompanyRow:
    carrier = numbers.choice(_FIXED)
    body = f"c = {carrier.object}\n{numbers.choice(_MARKS).body}"
    return _row(numbers, carrier.setup, "x", body, carrier.arguments)


def _annotated(numbers: random.Random) -> CompanyRow:
    setup, kept = _annotation(numbers)
    body = f"c = {kept}\n{numbers.choice(_ATTRIBUTE_MARKS).body}"
    return _row(numbers, setup, "x", body, NUMBERS)


def _raised(numbers: random.Random) -> CompanyRow:
    statement, error, kept, arguments = numbers.choice(_RAISED)
    marked = f"c = {kept}\n{numbers.choice(_ATTRIBUTE_MARKS).body}"
    body = f"try:\n    {statement}\nexcept {error} as e:\n{_indented(marked)}return 0"
    return _row(numbers, "", "x", body, arguments)


def _row(
    numbers: random.Random, setup: str, parameter: str, body: str, known: Sequence[str]
) -> CompanyRow:
    program = f"{setup}\ndef f({parameter}):\n{_indented(body)}".lstrip()
    return CompanyRow(program, tuple(numbers.sample(known, numbers.randint(2, 4))))


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


def company_row(numbers: random.Random) -> CompanyRow:
    """A program and a few arguments for it."""
    makers = (_slots, _state, _raised, _annotated, _object)
    (make,) = numbers.choices(makers, (12, 20, 15, 25, 28))
    return make(numbers)

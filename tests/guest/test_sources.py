"""The closed list of what may differ between processes: each source is seen wherever a program can
reach it, and a program that uses one without depending on it is sound.

The list is the table of ``docs/architecture.md`` (Determinism), which names these tests.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from executor import Status, SyncExecutor, Triplet
from tests.support.programs import body, triplet, value

pytestmark = pytest.mark.usefixtures("compiled")

DATA = Path(__file__).parents[3] / "shared/data/holes"
ATTEMPTS = 3


def module(name: str, expression: str) -> str:
    return body(f"import {name}", f"return {expression}")


def assert_refused(sandbox: SyncExecutor, programs: Iterable[str], *inputs: str) -> None:
    rows = [triplet(program, *inputs) for program in programs]
    for row, result in zip(rows, sandbox.validate_many(rows), strict=True):
        assert result.status is Status.NONDETERMINISTIC, (row.program, result.outputs)


# ---- the order of sets -------------------------------------------------------------------------

OWN_SETS = (
    "class Plain(set):\n    pass\nclass Frozen(frozenset):\n    pass\n"
    "class Own(set):\n    def __iter__(self):\n        return super().__iter__()\n"
    "class Named(str):\n    pass\n"
)
SET_ORDER = {
    "slot wrapper": "list(set.__iter__(w))",
    "slot wrapper of frozenset": "list(frozenset.__iter__(frozenset(w)))",
    "method of a set": "list(w.__iter__())",
    "super of an own class": "list(Own(w))",
    "own class": "list(Plain(w))",
    "own frozen class": "list(Frozen(w))",
    "wrapper of an own class": "[*set.__iter__(Plain(w))]",
    "wrapper called by its own method": "list(set.__iter__.__call__(w))",
    "method called by its own method": "list(w.__iter__.__call__())",
    "mapped wrapper": "list(next(map(set.__iter__, [w])))",
    "getattr": "list(getattr(w, '__iter__')())",
    "reduce": "w.__reduce__()[1][0]",
    "reduce of the iterator": "iter(w).__reduce__()[1][0]",
    "repr": "w.__repr__()",
    "repr of an own class": "repr(Plain(w))",
    "list.extend": "(lambda out: [out.extend(w), out])([])[1]",
    "sorted by a key that ties": "sorted(w, key=lambda x: 0)",
    "reversed list": "[*reversed(list(w))]",
    "dict.fromkeys of an own dict": "[*type('D', (dict,), {}).fromkeys(w)]",
    "dict.update": "(lambda d: [d.update(zip(w, 'xy')), d])({})[1]",
    "dict of pairs": "list(dict({('a', 1), ('b', 2)}))",
    "Counter": "list(__import__('collections').Counter(w))",
    "deque": "list(__import__('collections').deque(w))",
    "OrderedDict": "list(__import__('collections').OrderedDict.fromkeys(w))",
    "chain": "list(__import__('itertools').chain(w))",
    "product": "list(__import__('itertools').product(w))",
    "permutations": "list(__import__('itertools').permutations(w))",
    "reduce of functools": "__import__('functools').reduce(lambda a, b: a + b, w)",
    "heapq.nlargest with ties": "__import__('heapq').nlargest(1, w, key=len)",
    "bytes of joined": "b''.join({b'a', b'b'})",
    "str.format": "'{}'.format(w)",
    "percent": "'%s' % (w,)",
    "symmetric difference": "list(w ^ {'x', 'y'})",
    "union": "list(w | {'c'})",
    "update": "(lambda s: [s.update(w), list(s)])(set())[1]",
    "copy": "list(__import__('copy').copy(w))",
    "deepcopy": "list(__import__('copy').deepcopy(w))",
    "keys of a dict": "list({'a': 1, 'b': 2}.keys() | set())",
    "items of a dict": "list({'a': 1, 'b': 2}.items() & {('a', 1), ('b', 2)})",
    "nested in a tuple": "str((w,))",
    "pickle": "__import__('pickle').dumps(w).hex()",
    "_pickle": "__import__('_pickle').dumps(w).hex()",
    "pickle of a frozenset": "__import__('_pickle').dumps(frozenset(w)).hex()",
    "old pickle": "__import__('pickle').dumps(w, 2).hex()",
    "pickle in Python": "__import__('pickle')._dumps(w).hex()",
    "pickler": "(lambda p, b: [p.Pickler(b).dump(w), b.getvalue().hex()])"
    "(__import__('pickle'), __import__('io').BytesIO())[1]",
    "pickle and back": "(lambda p: list(p.loads(p.dumps([w]))[0]))(__import__('pickle'))",
    "referents": "__import__('gc').get_referents(w)",
    "referents of an own class": "[x for x in __import__('gc').get_referents(Plain(w)) if x in w]",
    "own strings": "[str(x) for x in {Named('a'), Named('b')}]",
    "a NaN and a number": "[x == x for x in {float('nan'), 1.0}]",
    "two NaNs": "[x.imag for x in {complex(float('nan'), 1), complex(float('nan'), 2)}]",
    "tuple with a NaN": "[x[1] for x in {(float('nan'), 1), (float('nan'), 2)}]",
    "frozensets of text": "[*map(sorted, {frozenset('a'), frozenset('b')})]",
    "none and text": "list({None, 'a'})",
    "ellipsis": "[str(x) for x in {..., 1}]",
    "types": "[x.__name__ for x in {int, str}]",
    "functions": "[x.__name__ for x in {len, abs}]",
    "objects": "[x.n for x in (lambda c: {c(1), c(2), c(3)})(type('C', (), {'__init__': "
    "lambda self, n: setattr(self, 'n', n)}))]",
    "members of an enumeration": "[x.name for x in (lambda e: {e.A, e.B})"
    "(__import__('enum').Enum('E', 'A B'))]",
    "dates": "[x.day for x in (lambda d: {d(2020, 1, 1), d(2020, 1, 2)})"
    "(__import__('datetime').date)]",
    "context variables": "(lambda c: (c.ContextVar('a').set(1), c.ContextVar('b').set(2),"
    " [v.name for v in c.copy_context()])[2])(__import__('contextvars'))",
    "values of a context": "(lambda c: (c.ContextVar('a').set(1), c.ContextVar('b').set(2),"
    " list(c.copy_context().values()))[2])(__import__('contextvars'))",
}


@pytest.mark.parametrize("what", SET_ORDER)
def test_the_order_of_a_set_is_seen_by_every_way(sandbox: SyncExecutor, what: str) -> None:
    """Of several pairs: two variants alone would agree about half of them."""
    program = OWN_SETS + body("w = {'a', 'b'}", f"return {SET_ORDER[what]}")
    pairs = (("a", "b"), ("c", "d"), ("e", "f"))
    assert_refused(
        sandbox, [program.replace("'a'", f"'{x}'").replace("'b'", f"'{y}'") for x, y in pairs]
    )


OWN_ENDS = (
    "import weakref\nout = []\n"
    "class T(str):\n    def __del__(self):\n        out.append(str(self))\n"
    "class W(str):\n    pass\n"
)
ENDS = {
    "clear": ("s = {T('a'), T('b')}", "s.clear()"),
    "deleted": ("s = {T('a'), T('b')}", "del s"),
    "frozen": ("s = frozenset([T('a'), T('b')])", "del s"),
    "own class": ("s = type('S', (set,), {})([T('a'), T('b')])", "del s"),
    "tuples": ("s = {(T('a'), 1), (T('b'), 1)}", "del s"),
    "difference": ("s = {T('a'), T('b')}", "s -= {'a', 'b'}"),
    "difference_update": ("s = {T('a'), T('b')}", "s.difference_update([], {'a', 'b'})"),
    "intersection": ("s = {T('a'), T('b')}", "s &= set()"),
    "symmetric difference": ("s = {T('a'), T('b')}", "s ^= {'b', 'a'}"),
    "wrapper": ("s = {T('a'), T('b')}", "set.__isub__(s, {'a', 'b'})"),
    "callbacks": (
        "a, b = W('a'), W('b')",
        "r = [weakref.ref(x, lambda _, n=str(x): out.append(n)) for x in (a, b)]",
        "s = {a, b}",
        "del a, b",
        "s.clear()",
    ),
}


@pytest.mark.parametrize("what", ENDS)
def test_the_order_in_which_elements_end_is_seen(sandbox: SyncExecutor, what: str) -> None:
    program = OWN_ENDS + body(*ENDS[what], "return out")
    pairs = (("a", "b"), ("c", "d"), ("e", "f"), ("g", "h"))
    assert_refused(
        sandbox, [program.replace("'a'", f"'{x}'").replace("'b'", f"'{y}'") for x, y in pairs]
    )


ENDS_UNSEEN = {
    "one": ("s = {T('a')}", "del s", "return out"),
    "shared": ("a, b = T('a'), T('b')", "s = {a, b}", "s.clear()", "return [a, b] and out"),
    "counted": ("s = {T('a'), T('b')}", "del s", "return len(out)"),
    "sorted": ("s = {T('a'), T('b')}", "s.clear()", "return sorted(out)"),
    "deep": ("s = frozenset()", "for n in range(100000):", "    s = frozenset((s, n))", "del s",
             "return out"),
    "a list": ("s = [T('a'), T('b')]", "del s", "return out"),
    "taken one by one": ("s = {T('a'), T('b'), T('c')}", "s.difference_update(['b'], ['a'])",
                         "return out"),
}  # fmt: skip


@pytest.mark.parametrize("what", ENDS_UNSEEN)
def test_ends_that_do_not_show_in_the_value_are_sound(sandbox: SyncExecutor, what: str) -> None:
    value(sandbox, OWN_ENDS + body(*ENDS_UNSEEN[what]))


FIXED_ORDER = {
    "none and numbers": ("list({3, None, 1})", None),
    "fractions": (
        "[str(x) for x in (lambda F: {F(1, 2), F(1, 3)})(__import__('fractions').Fraction)]",
        None,
    ),
    "frozensets of numbers": ("[*map(sorted, {frozenset((1, 2)), frozenset((3,))})]", None),
    "tuples with none": ("list({(1, None), (2, 3.5)})", None),
    "ranges": ("[len(x) for x in {range(3), range(5)}]", None),
    "decimals": (
        "[str(x) for x in (lambda D: {D(1), D('2.5')})(__import__('decimal').Decimal)]",
        None,
    ),
    "durations": (
        "[x.days for x in (lambda d: {d(1), d(2)})(__import__('datetime').timedelta)]",
        None,
    ),
    "own numbers": (
        "[x.n for x in {N(1), N(2), N(17)}]",
        None,
    ),
    "numbers and booleans": ("list({True, 2.5, 7, 1j})", None),
    "a NaN alone": ("len({float('nan')})", "1"),
    "pickle of numbers": (
        "__import__('pickle').loads(__import__('pickle').dumps({1, 2}))",
        "{1, 2}",
    ),
    "pickle of text and back": (
        "__import__('pickle').loads(__import__('pickle').dumps({'a', 'b'}))",
        "{'a', 'b'}",
    ),
    "sorted by a wrapper": ("sorted(set.__iter__({'b', 'a'}))", "['a', 'b']"),
    "marshal sorts": ("len(__import__('marshal').dumps({'a', 'b'}))", None),
    "length of an own set": ("len(S('abca'))", "3"),
}
OWN_NUMBER = (
    "class N:\n    def __init__(self, n):\n        self.n = n\n"
    "    def __hash__(self):\n        return hash((self.n, 1))\n"
    "    def __eq__(self, other):\n        return self.n == other.n\n"
    "class S(set):\n    pass\n"
)


@pytest.mark.parametrize("what", FIXED_ORDER)
def test_an_order_that_does_not_depend_on_the_process_is_sound(
    sandbox: SyncExecutor, what: str
) -> None:
    expression, expected = FIXED_ORDER[what]
    for attempt in range(ATTEMPTS):
        found = value(sandbox, f"{OWN_NUMBER}{body(f'return {expression}')}\n# {attempt}")
        assert expected in (None, found)


# ---- hashes, addresses, numbers of the process -------------------------------------------------

OWN = (
    "class A:\n    pass\nclass H:\n    def __init__(self, n):\n        self.n = n\n"
    "    def __hash__(self):\n        return hash(self.n)\n"
    "    def __eq__(self, other):\n        return self.n == other.n\n"
    "class T(str):\n    def __hash__(self):\n        return super().__hash__()\n"
)
OWN_DATA = "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass D:\n    n: str\n"
OWN_MEMBERS = "from enum import Enum\nclass E(Enum):\n    X = 1\n"


def with_own(expression: str) -> str:
    """A program that returns an expression, and defines what it names: some imports are slow."""
    data = OWN_DATA if "D('" in expression else ""
    members = OWN_MEMBERS if "E.X" in expression else ""
    return data + members + OWN + body(f"return {expression}")


HASHES = {
    "text": "hash('{0}')",
    "bytes": "hash(b'{0}')",
    "method": "'{0}'.__hash__()",
    "slot wrapper": "str.__hash__('{0}')",
    "wrapper called by its own method": "str.__hash__.__call__('{0}')",
    "method called by its own method": "'{0}'.__hash__.__call__()",
    "map": "next(map(hash, ['{0}']))",
    "mapped method": "next(map(str.__hash__, ['{0}']))",
    "partial": "__import__('functools').partial(hash, '{0}')()",
    "method caller": "__import__('operator').methodcaller('__hash__')('{0}')",
    "tuple": "hash((1, '{0}'))",
    "frozenset": "hash(frozenset(['{0}']))",
    "date": "hash(__import__('datetime').date(2020, 1, {1}))",
    "own hash": "hash(H('{0}'))",
    "own hash called": "H('{0}').__hash__()",
    "data class": "hash(D('{0}'))",
    "member of an enumeration": "hash(E.X) + {1} * 0",
    "super": "hash(T('{0}'))",
    "NaN": "hash(float('nan')) // 16 + {1} * 0",
    "Decimal NaN": "hash(__import__('decimal').Decimal('nan')) // 16 + {1} * 0",
    "annotations": "hash(__import__('typing').Optional[int]) + {1} * 0",
    "annotations called": "__import__('typing').List[int].__hash__() + {1} * 0",
    "abstract set": "__import__('collections.abc').abc.Set._hash(frozenset(['{0}']))",
    "key of a cache": "__import__('functools')._make_key(('{0}', 1), {{}}, False).hashvalue",
    "a set as a hash": "(lambda s: s.__hash__())(frozenset(['{0}']))",
    "seed from a hash": "__import__('_random').Random('{0}').getrandbits(20)",
}
NUMBERS = {
    "id": "id(object()) + {1} * 0",
    "id of a list": "id([{1}])",
    "id of a constant": "id(None) // 16 + {1} * 0",
    "hash of an object": "hash(object()) + {1} * 0",
    "object.__hash__": "object.__hash__({1} + 1000)",
    "hash of a function": "hash(len) + {1} * 0",
    "repr": "int(repr(object())[-13:-1], 16) + {1} * 0",
    "repr of a function": "int(repr(f)[-13:-1], 16) + {1} * 0",
    "text of an own object": "int(str(A())[-13:-1], 16) + {1} * 0",
    "formatted": "int('{{}}'.format(A())[-13:-1], 16) + {1} * 0",
    "object.__repr__": "int(object.__repr__(len)[-13:-1], 16) + {1} * 0",
    "a method": "int(repr([].append)[-13:-1], 16) + {1} * 0",
    "an error's text": "int(repr(ValueError(A())).split('0x')[1][:12], 16) + {1} * 0",
    "a generator": "int(repr(x for x in [])[-13:-1], 16) + {1} * 0",
    "code": "int(repr(f.__code__).split('0x')[1][:12], 16) + {1} * 0",
    "buffer of an array": "__import__('array').array('i', [{1}]).buffer_info()[0]",
    "id by map": "next(map(id, [[{1}]]))",
    "process": "__import__('os').getpid() + {1} * 0",
    "memo of a deep copy": "(lambda m: (__import__('copy').deepcopy([[]], m), min(m))[1])({{}})"
    " + {1} * 0",
}
REMAINDERS = ("({}) % 2", "({}) % 3", "({}) % 10", "({}) // 16 % 2", "({}) & 64", "({}) // 64 % 3")


@pytest.mark.parametrize("what", HASHES)
def test_a_part_of_a_hash_is_refused_whatever_was_hashed(sandbox: SyncExecutor, what: str) -> None:
    numbers = [HASHES[what].format(text, number) for text, number in (("a", 1), ("b", 2))]
    parts = [part.format(number) for part in REMAINDERS for number in numbers]
    assert_refused(sandbox, [with_own(part) for part in parts])


@pytest.mark.parametrize("what", NUMBERS)
def test_a_part_of_an_address_is_refused(sandbox: SyncExecutor, what: str) -> None:
    """But for the lowest bits, which tell only that objects are aligned."""
    parts = [part.format(NUMBERS[what].format("a", 1)) for part in REMAINDERS[1:]]
    assert_refused(sandbox, [with_own(part) for part in parts])


HONEST = {
    "equal hashes": ("hash('ab') == hash('a' + 'b')", "True"),
    "own objects as keys": ("{H('a'): 1}[H('a')]", "1"),
    "data classes as keys": ("{D('a'): 1, D('b'): 2}[D('b')]", "2"),
    "members of an enumeration as keys": ("{E.X: 3}[E.X]", "3"),
    "own text as keys": ("{T('a'): 1, T('b'): 2}[T('b')]", "2"),
    "a set of own objects": ("len({H('a'), H('a'), H('b')})", "2"),
    "hashes of numbers": ("[hash(5), hash(2.0), hash((1, 2)) == hash((1, 2)), hash(True)]", None),
    "hash of none": ("hash(None) == hash(None)", "True"),
    "id as a key": ("(lambda a: {id(a): 'seen'}[id(a)])([1])", "'seen'"),
    "identity": ("(lambda a, b: (id(a) == id(a), id(a) == id(b)))([1], [1])", "(True, False)"),
    "length of a text with an address": ("len(repr(object()))", "33"),
    "begin of a text with an address": ("repr(object())[:21]", "'<object object at 0x7'"),
    "kind of an object": ("repr(f).split(' at ')[0]", "'<function f'"),
    "deep copy": ("__import__('copy').deepcopy([[1], {'a': 2}])", "[[1], {'a': 2}]"),
    "seeded with text": ("__import__('random').Random('a').randint(0, 10**9)", None),
    "a cache of annotations": (
        "str(__import__('typing').Optional[list])",
        "'typing.Optional[list]'",
    ),
    "JSON": ("__import__('json').dumps({'a': [1, 2]})", "'{\"a\": [1, 2]}'"),
    "the main thread": ("__import__('threading').current_thread().name", "'MainThread'"),
    "a deterministic hash": ("__import__('hashlib').sha256(b'a').hexdigest()[:8]", "'ca978112'"),
    "an address in an error that is caught": (
        "len(str(ValueError(object()))) > 10",
        "True",
    ),
}


@pytest.mark.parametrize("what", HONEST)
def test_a_use_that_does_not_show_in_the_value_is_sound(sandbox: SyncExecutor, what: str) -> None:
    expression, expected = HONEST[what]
    for attempt in range(ATTEMPTS):
        found = value(sandbox, f"{with_own(expression)}\n# {attempt}")
        assert expected in (None, found)


# ---- clocks ------------------------------------------------------------------------------------

DATES = {
    "time": "__import__('time').time()",
    "nanoseconds": "__import__('time').time_ns() / 1e9",
    "clock_gettime": "__import__('time').clock_gettime(0)",
    "coarse": "__import__('time').clock_gettime(5)",
    "datetime": "__import__('datetime').datetime.now().timestamp()",
    "_datetime": "__import__('_datetime').datetime.utcnow().timestamp()",
    "sqlite": "float(__import__('sqlite3').connect(':memory:').execute("
    "'select unixepoch()').fetchone()[0])",
}
RUNNING = {
    "monotonic": "__import__('time').monotonic()",
    "timeit": "__import__('timeit').default_timer()",
    "perf_counter": "__import__('time').perf_counter()",
    "sched": "__import__('sched')._time()",
    "process time": "__import__('time').process_time()",
    "thread time": "__import__('time').thread_time()",
    "boot time": "__import__('time').clock_gettime(7)",
    "raw": "__import__('time').clock_gettime(4)",
    "clock of a process": "__import__('time').clock_gettime(2)",
    "times": "__import__('os').times().elapsed",
    "user time": "__import__('os').times().user",
    "system time": "__import__('os').times().system",
    "resource usage": "__import__('resource').getrusage(0).ru_utime",
    "resource usage of the system": "__import__('resource').getrusage(0).ru_stime",
}
PARTS = (
    "int({}) % 2",
    "int({}) % 3 + 1",
    "int({} * 2) % 2",
    "int({} * 4) % 4",
    "int({}) // 86400 % 2",
    "int({}) // 86400 % 7",
    "int({}) // 10**9",
    "int({}) % 40217371 % 10",
    "int({}) % 40217371 // 2000",
)


@pytest.mark.parametrize("what", DATES | RUNNING)
def test_a_part_of_a_clock_is_refused(sandbox: SyncExecutor, what: str) -> None:
    parts = [part for part in PARTS if what != "sqlite" or "* " not in part]  # whole seconds
    shown = [part.format((DATES | RUNNING)[what]) for part in parts]
    assert_refused(sandbox, [body(f"return {each}") for each in shown])


ON_DATES = {
    "century": ("datetime.datetime(2020, 1, 1)", "x.now().year // 100"),
    "millennium": ("datetime.date(2020, 1, 1)", "x.today().year // 1000"),
    "quarter of a second": ("datetime.datetime(2020, 1, 1)", "x.now().microsecond // 250000"),
    "half a second": ("datetime.datetime(2020, 1, 1)", "x.now().microsecond // 500000"),
    "weekday": ("datetime.date(2020, 1, 1)", "x.today().weekday()"),
    "a date to come": ("datetime.date(2020, 1, 1)", "x.today() > x"),
}


@pytest.mark.parametrize("what", ON_DATES)
def test_the_clock_of_an_argument_is_refused(sandbox: SyncExecutor, what: str) -> None:
    given, expression = ON_DATES[what]
    program = body(f"return {expression}")
    assert_refused(sandbox, [f"{program}\n# {n}" for n in range(ATTEMPTS)], given)


TIMED = {
    "a measured time": (
        ("import time", "start = time.time()", "return time.time() - start < 60"),
        "True",
    ),
    "a measured running time": (
        ("import time as t", "start = t.perf_counter()", "return t.perf_counter() - start < 60"),
        "True",
    ),
    "processor time": (
        ("import time", "start = time.process_time()", "return time.process_time() - start < 60"),
        "True",
    ),
    "a clock that goes on": (
        ("import time", "start = time.monotonic_ns()", "return time.monotonic_ns() >= start"),
        "True",
    ),
    "a given date": (
        ("from datetime import date, timedelta", "return str(date(2020, 1, 31) + timedelta(1))"),
        "'2020-02-01'",
    ),
    "a sleep": (
        ("import time", "start = time.monotonic()", "time.sleep(0.05)",
         "return 0.05 <= time.monotonic() - start < 20"),
        "True",
    ),
    "a lock": (
        ("import threading", "lock = threading.Lock()", "lock.acquire()",
         "return lock.acquire(timeout=0.05)"),
        "False",
    ),
    "a condition": (
        ("import threading", "condition = threading.Condition()", "with condition:",
         "    return condition.wait(0.05)"),
        "False",
    ),
    "an event": (("import threading", "return threading.Event().wait(0.05)"), "False"),
    "a queue": (
        ("import queue", "try:", "    queue.Queue().get(timeout=0.05)", "except queue.Empty:",
         "    return 'empty'"),
        "'empty'",
    ),
    "select": (("import select", "return select.select([], [], [], 0.05)"), "([], [], [])"),
    "a compressed text": (("import gzip", "return gzip.decompress(gzip.compress(b'a'))"), "b'a'"),
    "an archive": (
        ("import io, zipfile", "with zipfile.ZipFile(io.BytesIO(), 'w') as z:",
         "    z.writestr('a', 'b')", "    return z.namelist()"),
        "['a']",
    ),
    "a scheduler": (
        ("import sched", "done = []", "plan = sched.scheduler()",
         "plan.enter(0.05, 1, done.append, ('b',))", "plan.enter(0.01, 1, done.append, ('a',))",
         "plan.run()", "return done"),
        "['a', 'b']",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", TIMED)
def test_time_that_is_no_part_of_the_value_is_sound(sandbox: SyncExecutor, what: str) -> None:
    """Waits end when they should: the wall limit is not far."""
    lines, expected = TIMED[what]
    for attempt in range(ATTEMPTS):
        assert value(sandbox, f"{body(*lines)}\n# {attempt}") == expected


# ---- the host ----------------------------------------------------------------------------------

CONSTANT = {
    "times of the root": ("os", "[os.stat('/').st_mtime, os.stat('/').st_ctime_ns]", "[0.0, 0]"),
    "times of a device": ("os", "os.stat('/dev/null').st_atime", "0.0"),
    "times of a module": ("os", "os.path.getmtime(os.__file__)", "0.0"),
    "times by a descriptor": ("os", "os.fstat(os.open('/', os.O_RDONLY)).st_mtime", "0.0"),
    "times in a directory": ("os", "{e.stat().st_mtime for e in os.scandir('/')}", "{0.0}"),
    "owner": ("os", "(os.stat('/').st_uid, os.stat('/py').st_gid)", "(0, 0)"),
    "numbers of files": ("os", "[os.stat(p).st_ino == os.stat(p).st_ino for p in ('/', '/py')]",
                         "[True, True]"),
    "same file": ("os", "[os.path.samefile('/', '/py/..'), os.path.samefile('/', '/py')]",
                  "[True, False]"),
    "free memory": ("os", "os.sysconf('SC_AVPHYS_PAGES')", "131072"),
    "memory": ("os", "os.sysconf('SC_PHYS_PAGES')", "262144"),
    "processors": ("os", "(os.cpu_count(), os.sched_getaffinity(0))", "(1, {0})"),
    "load": ("os", "os.getloadavg()", "(0.0, 0.0, 0.0)"),
    "kernel": ("os", "(os.uname().release, os.uname().version)", "('6.1.0', '#1 SMP')"),
    "pages": ("resource", "resource.getrusage(0).ru_maxrss", "0"),
    "processes": ("os", "os.path.exists('/proc') and os.listdir('/proc')", None),
    "listed": ("os", "(lambda n: n == sorted(n) and len(n) > 3)(os.listdir('/'))", "True"),
    "listed twice": ("os", "os.listdir('/') == [e.name for e in os.scandir('/')]", "True"),
    "limit of memory": ("resource", "resource.getrlimit(resource.RLIMIT_AS)", "(-1, -1)"),
    "limit of memory of a process": ("resource", "resource.prlimit(0, resource.RLIMIT_AS)",
                                     "(-1, -1)"),
    "objects of the harness": ("gc", "gc.get_freeze_count()", "0"),
    "thread of a frame": ("sys", "[*sys._current_frames(), *sys._current_exceptions()]",
                          "[1, 1]"),
    "owner of a lock": ("threading", "(lambda l: (l.acquire(), l._release_save())[1])"
                        "(threading.RLock())", "(1, 1)"),
    "owner in a text": ("threading", "(lambda l: (l.acquire(), repr(l).split()[3])[1])"
                        "(threading.RLock())", "'owner=1'"),
    "thread": ("_thread", "(_thread.get_ident(), _thread.get_native_id())", "(1, 1)"),
}  # fmt: skip


@pytest.mark.parametrize("what", CONSTANT)
def test_the_host_is_the_same_for_all(sandbox: SyncExecutor, what: str) -> None:
    name, expression, expected = CONSTANT[what]
    for attempt in range(ATTEMPTS):
        found = value(sandbox, f"{module(name, expression)}\n# {attempt}")
        assert expected in (None, found)


def test_modules_are_found_and_their_bytecode_is_used(sandbox: SyncExecutor) -> None:
    """Times of files play no part in imports."""
    names = ["calendar", "csv", "difflib", "pprint", "textwrap", "uuid"]
    program = body(
        "import importlib.util",
        f"return [__import__(n).__spec__.has_location for n in {names}]",
    )
    assert value(sandbox, program) == str([True] * len(names))


def test_a_lock_that_was_let_go_is_its_owners_again(sandbox: SyncExecutor) -> None:
    program = body(
        "import threading",
        "condition = threading.Condition()",
        "with condition, condition:",
        "    condition.wait(0.01)",
        "    return condition._is_owned()",
    )
    assert value(sandbox, program) == "True"


def test_garbage_is_collected_at_the_same_moment_in_every_process(sandbox: SyncExecutor) -> None:
    """The second program needs a call that no slot may make: it runs in a fork."""
    lines = (
        "class C:",
        "    def __del__(self):",
        "        out.append(1)",
        "out = []",
        "while not out:",
        "    c = C()",
        "    c.me = c",
        "    x += 1",
    )
    alone, forked = (
        value(sandbox, body(*lines, after, "return x"))
        for after in ("None", "open('/dev/null').close()")
    )
    assert alone == forked


def test_chance_of_the_kernel_is_noted_by_every_way(sandbox: SyncExecutor) -> None:
    for call in ("getrandom", "urandom"):
        coin = module("os", f"os.{call}(1)[0] % 2")
        verdicts = sandbox.validate_many(triplet(f"{coin}\n# {number}") for number in range(12))
        assert sum(each.valid for each in verdicts) <= 1, call


def test_whoever_asks_sqlite_for_chance_is_noted(sandbox: SyncExecutor) -> None:
    coin = module(
        "sqlite3", "sqlite3.connect(':memory:').execute('select random() > 0').fetchone()"
    )
    verdicts = sandbox.validate_many(triplet(f"{coin}\n# {number}") for number in range(12))
    assert sum(each.valid for each in verdicts) <= 1
    sum_of = module("sqlite3", "sqlite3.connect(':memory:').execute('select 1 + 1').fetchone()[0]")
    assert value(sandbox, sum_of) == "2"


# ---- what was handed in ------------------------------------------------------------------------

HANDED = {
    f"{path.parent.name[:2]}-{row['id']}": row
    for path in sorted(DATA.glob("0[5-9]-*/in.jsonl"))
    for row in map(json.loads, path.read_text().splitlines())
}
NOW_CONSTANT = ("09-mtime-root", "09-free-ram", "09-cpu_count", "09-loadavg")


@pytest.mark.data
@pytest.mark.skipif(not HANDED, reason="the shared data sets are not here")
@pytest.mark.parametrize("name", HANDED)
def test_what_was_handed_in_is_refused_or_a_constant(sandbox: SyncExecutor, name: str) -> None:
    row = HANDED[name]
    seen = set()
    for attempt in range(ATTEMPTS):
        program = f"{row['program']}\n# {attempt}"
        result = sandbox.validate(Triplet(program=program, inputs=(row["input"],)))
        seen.add((result.status, result.outputs))
    ((status, _),) = seen
    assert status is (Status.OK if name in NOW_CONSTANT else Status.NONDETERMINISTIC)

"""What Python prints for a value is that value, where an answer is read."""

from __future__ import annotations

import contextlib
import datetime
import math
import time
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.grammar.compare import equal
from executor.grammar.literals import Malformed, NotLiteral, parse_value
from executor.verification.prepare import value_items

UTC = datetime.UTC
FLOATS = st.floats(allow_nan=True, allow_infinity=True)
LEAVES = (
    st.none() | st.booleans() | st.integers() | FLOATS | st.text(max_size=8) | st.binary(max_size=8)
    | st.complex_numbers(allow_nan=True, allow_infinity=True)
    | st.fractions() | st.dates() | st.datetimes(timezones=st.sampled_from([None, UTC]))
    | st.timedeltas(min_value=datetime.timedelta(days=-9), max_value=datetime.timedelta(days=9))
)  # fmt: skip
KEYS = st.text(max_size=4) | st.integers()
FACTORIES = st.sampled_from([None, int, list, str, dict, set, float, tuple, bool])
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.tuples(inner, inner), st.dictionaries(KEYS, inner),
        st.dictionaries(KEYS, inner).map(OrderedDict), st.lists(inner, max_size=3).map(deque),
        st.builds(defaultdict, FACTORIES, st.dictionaries(KEYS, inner, max_size=3)),
        st.lists(KEYS).map(Counter), st.sets(KEYS),
    ),
    max_leaves=8,
)  # fmt: skip


@given(VALUES)
def test_what_is_printed_is_the_value(value: object) -> None:
    assert equal(parse_value(repr(value), printed=True), value)


PRINTED = [
    ("nan", math.nan), ("-nan", math.nan), ("inf", math.inf), ("-inf", -math.inf),
    ("[nan, 1]", [math.nan, 1]), ("{'best': inf}", {"best": math.inf}), ("math.inf", math.inf),
    ("-math.inf, math.nan", (-math.inf, math.nan)), ("infj", complex(0, math.inf)),
    ("(nan+0j)", complex(math.nan, 0)), ("(1-infj)", complex(1, -math.inf)),
    ("(-0+nanj)", complex(-0.0, math.nan)), ("(inf+1j)", complex(math.inf, 1)),
    ("defaultdict(<class 'list'>, {1: [2]})", defaultdict(list, {1: [2]})),
    ("[defaultdict(<class 'int'>, {'a': inf})]", [defaultdict(int, {"a": math.inf})]),
    ("defaultdict(None, {})", defaultdict(None)), ("deque([1], maxlen=3)", deque([1], 3)),
    ("collections.defaultdict(<class 'set'>, {1: {2}})", defaultdict(set, {1: {2}})),
    ("OrderedDict({'a': 1})", OrderedDict(a=1)), ("Counter({'a': 2})", Counter("aa")),
    ("datetime.datetime(2020, 1, 1, 0, 0)", datetime.datetime(2020, 1, 1)),
    ("Decimal('1.50')", Decimal("1.50")), ("Fraction(1, 2)", Fraction(1, 2)),
    ("'inf'", "inf"), ("\"<class 'int'>\"", "<class 'int'>"),
    ("{'<class \\'int\\'>': defaultdict(<class 'int'>, {})}", {"<class 'int'>": defaultdict(int)}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), PRINTED, ids=lambda part: str(part)[:30])
def test_printed_forms_are_read(text: str, value: object) -> None:
    found = parse_value(text, printed=True)
    assert type(found) is type(value)
    assert equal(found, value)


@pytest.mark.parametrize(
    "text",
    [
        "infinity",
        "Inf",
        "NaN",
        "x.inf",
        "inf + 1",
        "1 + nan",
        "[inf()]",
        "defaultdict(int)(inf)",
        "math.pi",
        "-'inf'",
    ],
)
def test_other_names_and_sums_are_no_literals(text: str) -> None:
    with pytest.raises(NotLiteral):
        parse_value(text, printed=True)


@pytest.mark.parametrize(
    "text",
    [
        "<class 'foo'>",
        "defaultdict(<class 'foo'>, {})",
        "defaultdict(<function f at 0x7f>, {})",
        "[<object>]",
    ],
)
def test_what_is_no_value_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        parse_value(text, printed=True)


@pytest.mark.parametrize("text", ["nan", "inf", "[inf]", "math.inf", "(1-infj)"])
def test_elsewhere_these_are_names(text: str) -> None:
    with pytest.raises(NotLiteral):
        parse_value(text)


@pytest.mark.parametrize(
    "text",
    [
        "'''<class '" * 9_000,
        "<class 'int'>" * 9_000,
        '"' * 99_999 + "<class '",
        "<class '" * 9_000 + "'" * 9_000,
    ],
)
def test_long_texts_take_no_time(text: str) -> None:
    started = time.process_time()
    with contextlib.suppress(Malformed, NotLiteral):
        parse_value(text, printed=True)
    assert time.process_time() - started < 3


SHADOWS = {
    "inf = 10**9\ndef f(x): return inf": True,
    "def f(x):\n    inf = 5\n    return inf": True,
    "inf: int = 7\ndef f(x): return x": True,
    "def nan(): pass\ndef f(x): return x": True,
    "from m import y as inf\ndef f(x): return x": True,
    "class math:\n    inf = 3\ndef f(x): return x": True,
    "for inf in (1, 2): pass\ndef f(x): return x": True,
    "inf = float('inf')\ndef f(x): return inf": False,
    "import math\ninf = math.inf\ndef f(x): return inf": False,
    "from math import inf, nan\ndef f(x): return min(inf, x)": False,
    "import math\ndef f(x): return x == math.inf": False,
    "def f(x):\n    if x == inf: return 1\n    return x <= inf": False,
}


@pytest.mark.parametrize("program", SHADOWS)
def test_names_that_the_program_gives_another_meaning_are_its_own(program: str) -> None:
    ((kind, _, _),) = value_items(["inf"], program)
    assert (kind == "expression") == SHADOWS[program]

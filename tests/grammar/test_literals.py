from __future__ import annotations

import ast
import datetime
import json
import math
import os
import subprocess
import sys
import time
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from executor.grammar import literals
from executor.grammar.decode import NAN
from executor.grammar.literals import (
    MAX_TEXT,
    Malformed,
    NotLiteral,
    parse_arguments,
    parse_value,
)
from executor.grammar.text import literal_text
from tests.cases.values import same, values


@settings(max_examples=250, deadline=None)
@given(values)
def test_the_text_of_a_value_is_read_back_the_same(value: object) -> None:
    assert same(parse_value(literal_text(value)), value)


@settings(max_examples=60, deadline=None)
@given(st.lists(values, max_size=3))
def test_the_texts_of_arguments_are_read_back_the_same(arguments: list[object]) -> None:
    text = ", ".join(map(literal_text, arguments))
    positional, named = parse_arguments(text)
    assert same(list(positional), arguments)
    assert named == {}
    keywords = ", ".join(f"a{i}={literal_text(v)}" for i, v in enumerate(arguments))
    positional, named = parse_arguments(keywords)
    assert positional == ()
    assert same(list(named.values()), arguments)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"), (..., "..."), ("a'\n\ud800", '"a\'\\n\\ud800"'), (math.nan, "float('nan')"),
        ([math.inf, -math.inf], "[float('inf'), -float('inf')]"), (set(), "set()"), ((), "()"),
        ({10, 9, 1}, "{1, 9, 10}"), (frozenset("ba"), "frozenset({'a', 'b'})"), ((1,), "(1,)"),
        (frozenset(), "frozenset()"), ({"info": 1}, "{'info': 1}"), (2j, "2j"), (1 - 2j, "(1-2j)"),
        (complex(-0.0, 1), "complex(-0.0, 1.0)"), (range(3), "range(0, 3)"),
        (range(1, 9, 2), "range(1, 9, 2)"), (Counter("a"), "Counter({'a': 1})"),
        (OrderedDict(a=1), "OrderedDict([('a', 1)])"),
        (defaultdict(int, a=1), "defaultdict(int, {'a': 1})"),
        (deque([1], 3), "deque([1], maxlen=3)"), (Decimal("1.50"), "Decimal('1.50')"),
        (Fraction(1, 3), "Fraction(1, 3)"),
        (datetime.date(2020, 1, 2), "datetime.date(2020, 1, 2)"),
        ({"b": 1, "a": {2}}, "{'b': 1, 'a': {2}}"),
    ],
)  # fmt: skip
def test_the_text_is_the_customary_literal(value: object, text: str) -> None:
    assert literal_text(value) == text


def test_an_int_too_long_for_the_parser_is_written_in_hex() -> None:
    assert literal_text([10**4300]) == f"[{10**4300:#x}]"
    assert literal_text([10**4300 - 1]) == f"[{'9' * 4300}]"


def test_other_types_have_no_text() -> None:
    with pytest.raises(TypeError):
        literal_text([object()])


def test_the_text_does_not_depend_on_the_hash_seed() -> None:
    code = (
        "from executor.grammar.text import literal_text\n"
        "print(literal_text([{'b', 'a', 'c', 'long'}, frozenset([('x', 1), None, 'y', 2.5, b'z']),"
        " {frozenset('pq'), frozenset('rst')}, {True, 2, 0.5}]))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True, timeout=60,
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
        ).stdout
        for seed in range(4)
    }  # fmt: skip
    assert len(texts) == 1
    assert parse_value(texts.pop().decode())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), (" \n 1 \n", 1), ("1,", (1,)), ("1, 2", (1, 2)), ("1,\n2", (1, 2)), ("(1)", 1),
        ("(1),", (1,)), ("((1),)", (1,)), ("()", ()), ("1 # one, two", 1), ("# one\n1", 1),
        ("1, # x", (1,)),
        ("'é',", ("é",)), ("'#,'", "#,"), ("'a'  # ,\n # ,", "a"), ("[1, 2,]", [1, 2]),
        ("-1", -1), ("- -1", 1),
        ("+1.5", 1.5), ("-0", 0), ("-0.0", -0.0), ("1_000", 1000), ("0x1F", 31), ("0b11", 3),
        ("00", 0),
        ("1e999", math.inf), ("-1e999", -math.inf), (".5", 0.5), ("5.", 5.0), ("1E5", 1e5),
        ("True", True), ("[True, None, False]", [True, None, False]), ("'True'", "True"),
        ("...", ...),
        ("{'true': 1}", {"true": 1}), ("Ellipsis", ...), ("'a' 'b'", "ab"), ("'a'\n'b'", "ab"),
        ('"it\'s"', "it's"), ("'''a\nb'''", "a\nb"), ("b'x'", b"x"), ("r'\\d'", "\\d"),
        ("'\\d'", "\\d"),
        ("f'x'", "x"), ("u'x'", "x"), ("'print(1)'", "print(1)"), ("'null'", "null"), ("''", ""),
        ("{}", {}), ("{1: 2, 1: 3}", {1: 3}), ('{"a": 1, "a": 2}', {"a": 2}), ("{1, 2}", {1, 2}),
        ("set()", set()), ("frozenset({1})", frozenset({1})), ("frozenset()", frozenset()),
        ("float('inf')", math.inf), ("-float('inf')", -math.inf), ("int('12')", 12),
        ("bool(0)", False),
        ("float(3)", 3.0), ("str('x')", "x"), ("bytes([1])", b"\1"),
        ("complex(1, -0.0)", complex(1, -0.0)),
        ("1 + 2j", 1 + 2j), ("-1-2j", -1 - 2j), ("2j", 2j), ("dict(a=1, b=2)", {"a": 1, "b": 2}),
        ("dict([(1, 2)])", {1: 2}), ("dict({1: 2}, a=3)", {1: 2, "a": 3}), ("list((1, 2))", [1, 2]),
        ("list('ab')", ["a", "b"]), ("list(range(3))", [0, 1, 2]), ("tuple([1])", (1,)),
        ("list()", []),
        ("set([1, 1])", {1}), ("range(3)", range(3)), ("range(0, 9, 2)", range(0, 9, 2)),
        ("Counter('aab')", Counter("aab")), ("collections.Counter({'a': 1})", Counter(a=1)),
        ("Counter(a=2)", Counter(a=2)), ("OrderedDict([(1, 2)])", OrderedDict([(1, 2)])),
        ("OrderedDict({1: 2})", OrderedDict({1: 2})), ("OrderedDict()", OrderedDict()),
        ("defaultdict(list, {1: [2]})", defaultdict(list, {1: [2]})),
        ("defaultdict(None, {})", defaultdict()),
        ("collections.deque([1, 2], maxlen=2)", deque([1, 2], 2)), ("deque()", deque()),
        ("Decimal('1.5')", Decimal("1.5")), ("decimal.Decimal(2)", Decimal(2)),
        ("Fraction(2, 4)", Fraction(1, 2)),
        ("fractions.Fraction('1/3')", Fraction(1, 3)),
        ("datetime.date(2020, 1, 2)", datetime.date(2020, 1, 2)),
        ("date(2020, month=1, day=2)", datetime.date(2020, 1, 2)),
        ("timedelta(days=1.5)", datetime.timedelta(1.5)),
        ("datetime(2020, 1, 2, tzinfo=timezone.utc)",
        datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC)),
        ("datetime.timezone(datetime.timedelta(hours=1), 'x')",
        datetime.timezone(datetime.timedelta(hours=1), "x")),
        ("[\f1]", [1]), ("1\f", 1), ("1\r\n", 1), ("(1\n,\n2)", (1, 2)),
    ],
)  # fmt: skip
def test_literals_are_read(text: str, value: object) -> None:
    assert same(parse_value(text), value)


@pytest.mark.parametrize("text", ["float('nan')", "-float('nan')", "float(' NaN ')"])
def test_nan_is_the_one_nan(text: str) -> None:
    assert parse_value(text) is NAN


_MALFORMED = [
    "1)(2", "1], [2", "1] + [2", "1) + (2", "(1", "1)", "[1", "]", "'a", '"""', "1 2", "def f(): 0",
    "x = 1", "x := 1", "1; 2", "1\0", "a b", "012", "9" * 4301, "1 \\", "\\", "x\ud800", "\ufeff",
    "1 if", "lambda", "[" * 150, "(" * 5000 + ")" * 5000, "-" * 60_000 + "1", "1" + "+1" * 30_000,
    "[" * 101 + "]" * 101, "1 " * 40_000, "if x: 1", "'''", "f'{'", "1 for x in y",
]  # fmt: skip


@pytest.mark.parametrize(
    "text", [*_MALFORMED, "", " ", "# x", "\n"], ids=range(len(_MALFORMED) + 4)
)
def test_what_is_no_expression_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        parse_value(text)


@pytest.mark.parametrize(
    "text",
    ["1), (2", "0) or (True", "1) == (5", "1)(2", ")", "1), f(2", "a=1, a=2", "a=1, 2", "1)[0](2",
     "1).f(2", "1) if f(2", "1 #\n)", "1, , 2", ",", "a.b=1", "1=2", "x y", "1) #", "f(1", "1 \\"],
)  # fmt: skip
def test_what_is_not_one_calls_arguments_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        parse_arguments(text)


@pytest.mark.parametrize("index", range(len(_MALFORMED)))
def test_what_is_no_expression_is_no_argument_either(index: int) -> None:
    # Assigned names and a bare generator are well-formed arguments.
    unlike = {"x = 1", "x := 1", "1 for x in y"}
    text = _MALFORMED[index]
    if text == "x = 1":
        assert parse_arguments(text) == ((), {"x": 1})
        return
    with pytest.raises(NotLiteral if text in unlike else Malformed):
        parse_arguments(text)


_NOT_LITERAL = [
    "x", "nan", "inf", "true", "null", "NaN", "Infinity", "-Infinity", "[true]", "f(1)", "1 + 1",
    "'a' * 3",
    "[0] * 10", "[x for x in ()]", "lambda: 1", "(y := 1)", "f'{x}'", "1 if 1 else 2", "not 1",
    "~1", "1 < 2",
    "-True", "-'a'", "x.y", "x[0]", "*a", "[*a]", "{**a}", "(yield)", "1 and 2", "1or 2",
    "__import__('os').system('true')", "chr(65) + 'b'", "list(range(10**9))",
    "list(range(1000000000))",
    "set(range(0, 461168601842738790200000, 2305843009213693951))", "{[1]: 2}", "{[]}", "set([[]])",
    "list({1, 2})", "tuple({'a'})", "Counter({1})", "int('x')", "int('1', 2)", "str(1)",
    "bytes(10)",
    "bytes(1000000000)", "range(1, 2, 0)", "range(True)", "range(1.0)", "complex('1')", "dict(1)",
    "dict([1])",
    "dict(**{})", "dict(*[])", "Counter(1)", "Counter('a', a=1)", "defaultdict(lambda: 0)",
    "defaultdict(foo, {})",
    "defaultdict({})", "deque([1], -1)", "Decimal('x')", "Decimal('1e999999999')", "Decimal([1])",
    "Fraction(1, 0)",
    "Fraction('1e999999999')", "Fraction(0.5)", "date(2020, 2, 30)",
    "date(b'\\x07\\xe4\\x01\\x01')", "datetime.now()",
    "datetime.datetime.now()", "timedelta(days=10**10)", "timedelta(days=float('nan'))",
    "date(1, 1, True)",
    "os.Counter()", "a.collections.Counter()", "frozenset(1)", "set(1, 2)", "list(x=1)",
    "float('x')", "float([])",
    "int(float('inf'))", "1j + 1j", "1 + 1j + 1j", "[1, 2][0]", "'a'.upper()", "print(1)",
]  # fmt: skip


@pytest.mark.parametrize("text", _NOT_LITERAL)
def test_other_expressions_are_not_literals(text: str) -> None:
    for parse in (parse_value, parse_arguments):
        with pytest.raises(NotLiteral):
            parse(text)


@pytest.mark.parametrize(
    ("text", "positional", "named"),
    [
        ("", (), {}), ("  \n", (), {}), ("# nothing", (), {}), ("1", (1,), {}), ("1,", (1,), {}),
        ("[1, 2, 3], 'abc'", ([1, 2, 3], "abc"), {}), ("(1, 2)", ((1, 2),), {}),
        ("a=17, b=8", (), {"a": 17, "b": 8}),
        ("1, b=[2],", (1,), {"b": [2]}), ("'),('", ("),(",), {}), ("')', # (\n'('", (")", "("), {}),
        ("'print(1)'", ("print(1)",), {}), ("\n1,\n\n2\n", (1, 2), {}),
    ],
)  # fmt: skip
def test_arguments_are_read(text: str, positional: object, named: object) -> None:
    assert parse_arguments(text) == (positional, named)


def test_starred_arguments_are_not_literals() -> None:
    for text in ("*[1]", "**{'a': 1}", "1, *(2,)"):
        with pytest.raises(NotLiteral):
            parse_arguments(text)


def test_long_text_is_malformed_at_once() -> None:
    assert parse_value("'" + "x" * (MAX_TEXT - 2) + "'")
    with pytest.raises(Malformed, match="characters"):
        parse_value("'" + "x" * (MAX_TEXT - 1) + "'")


def test_a_hundred_levels_are_read_and_one_more_is_not() -> None:
    assert parse_value("[" * 100 + "]" * 100)
    assert parse_value("[0, '" + "(" * 5000 + "']")
    assert parse_value("frozenset({" * 99 + "1" + "})" * 99)
    with pytest.raises(Malformed, match="deeper"):
        parse_value("[" * 101 + "]" * 101)


def test_a_parsed_value_can_always_be_encoded() -> None:
    with pytest.raises(Malformed, match="Decimal"):
        parse_value(f"[Decimal(1), {1 << 20_000:#x}]")
    with pytest.raises(Malformed, match="values"):
        parse_value(f"[list(range(199_990)), {'0, ' * 20}]")


def test_expansion_is_paid_once_for_all() -> None:
    text = "[" + ", ".join(["list(range(50_000))"] * 10) + "]"
    with pytest.raises(NotLiteral, match="too many"):
        parse_value(text)


_HOSTILE = ["[" * 60_000, "{1:" * 20_000, "'" * 65_001, "'''" + "\"'" * 30_000, "'\n" * 30_000,
"\\" * 60_000,
     "(1 if " * 10_000, "f(a=" * 15_000, "a." * 30_000 + "a", "f" + "()" * 30_000,
     "not " * 15_000 + "1",
     "{**" * 20_000, "lambda:" * 9_000 + "1", "1 if 1 else " * 5_000 + "1", "f'{" * 20_000,
     "~" * 60_000,
     "dict(" * 90 + "[" + "(1, 2)," * 9000 + "]" + ")" * 90,
     "list(" * 90 + "range(3000)" + ")" * 90]  # fmt: skip


@pytest.mark.parametrize("index", range(len(_HOSTILE)))
def test_hostile_text_takes_no_long_time(index: int) -> None:
    text = _HOSTILE[index]
    start = time.process_time()
    for parse in (parse_value, parse_arguments):
        with pytest.raises((Malformed, NotLiteral)):
            parse(text)
    assert time.process_time() - start < 3


def _outcome(parse: Any, text: str) -> Any:
    try:
        return parse(text)
    except (Malformed, NotLiteral) as problem:
        return type(problem)


_pieces = st.sampled_from(
    ["[", "]", "{", "}", ",", ", ", ":", " ", "\n", "\t", "\r", "\f", "\x00", "-", "+", "0", "1",
    "12",
     "01", "1.5", ".5", "5.", "1e5", "1e999", "-0", "-0.0", "1_0", "1E+2", "'a'", '"b"', "''",
     '""', "'",
     '"', "'''", "True", "False", "None", "true", "null", "NaN", "Infinity", "'it\"s'", "\\", "é",
     "'é'",
     "#", "(", ")", "x", "b'x'", "'True'", "'null'", "'\x7f'", "'\t'", "٣", "\ud800", "9" * 4301]
)  # fmt: skip
_soup = st.lists(_pieces, max_size=8).map("".join)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner,
    max_size=3),
    max_leaves=10,
)  # fmt: skip
_dumped = (
    _json.map(lambda v: json.dumps(v, ensure_ascii=False)) | _json.map(repr) | _json.map(json.dumps)
)


@settings(max_examples=800, deadline=None)
@given(_soup | _dumped)
@example("[" * 33 + "]" * 33)
@example("'a''b'")
@example("")
def test_the_fast_path_gives_what_the_tree_gives(text: str) -> None:
    quick = literals.quick_values(text)
    if quick is None:
        return
    if quick:
        value = quick[0] if len(quick) == 1 else tuple(quick)
        assert same(_outcome(literals._parse_value_tree, text), value)
    assert same(literals._parse_arguments_tree(text)[0], tuple(quick))


@settings(max_examples=300, deadline=None)
@given(_soup | _dumped)
def test_a_value_read_is_what_python_would_evaluate(text: str) -> None:
    found = _outcome(parse_value, text)
    try:
        expected = ast.literal_eval(f"({text}\n)")
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return
    if found is not Malformed and found is not NotLiteral:
        assert same(found, expected)


def test_the_fast_path_is_taken_for_ordinary_answers() -> None:
    for text in ("[1, 2, 3], 'abc'", '{"a": [1.5]}', "-3", "True", "'x y'", "[[1, None], [True]]"):
        assert literals.quick_values(text) is not None

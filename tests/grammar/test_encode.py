from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import marshal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from executor.grammar import encode as module
from executor.grammar.decode import decode
from executor.grammar.encode import MAX_DEPTH, MAX_NODES, TooLarge, Unserializable, encode
from tests.cases.values import plain_values, same, values


@settings(max_examples=200, deadline=None)
@given(plain_values)
def test_plain_values_are_written_as_marshal_writes_them(value: Any) -> None:
    try:
        expected = marshal.dumps(value, 2)
    except MemoryError:  # marshal cannot order two complex NaNs in a set
        return
    assert encode(value) == expected


@settings(max_examples=200, deadline=None)
@given(values)
def test_every_value_comes_back_with_its_types_and_order(value: object) -> None:
    assert same(decode(encode(value)), value)


@settings(max_examples=100, deadline=None)
@given(plain_values)
def test_the_python_writer_and_marshal_agree_on_plain_values(value: Any) -> None:
    try:
        expected = marshal.dumps(value, 2)
    except MemoryError:
        return
    beside_a_range = encode([value, range(0)])
    assert beside_a_range[5:].startswith(expected)


def _trap(*_: object, **__: object) -> Any:
    raise AssertionError("a method of the value was called")


_TRAPS: dict[str, Any] = dict.fromkeys(
    ("__repr__", "__eq__", "__ne__", "__hash__", "__iter__", "__len__", "__bool__", "__str__",
     "__getitem__", "__reduce__", "__reduce_ex__", "__index__", "__int__", "__format__", "__lt__",
     "keys", "items", "values"),
    _trap,
)  # fmt: skip
_BASES = (
    object, int, float, complex, str, bytes, list, tuple, dict, set, frozenset,
    collections.Counter, collections.OrderedDict, collections.defaultdict, collections.deque,
    decimal.Decimal, fractions.Fraction, datetime.datetime, datetime.date, datetime.time,
    datetime.timedelta,
)  # fmt: skip


def _make(base: type, lies_about: type) -> Any:
    lying = {**_TRAPS, "__class__": property(lambda _: lies_about)}
    kind = type("Lie", (base,), lying)
    dates = (datetime.datetime, datetime.date)
    return kind(2020, 1, 1) if base in dates else kind()


@pytest.mark.parametrize("base", _BASES)
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [1, (x,)], lambda x: {"a": x}])
def test_a_subclass_is_refused_and_none_of_its_methods_runs(base: type, wrap: Any) -> None:
    with pytest.raises(Unserializable, match="Lie"):
        encode(wrap(_make(base, int)))


def test_a_metaclass_is_not_consulted() -> None:
    class Meta(type):
        __eq__ = _TRAPS["__eq__"]
        __hash__ = _TRAPS["__hash__"]
        __name__ = property(_trap)
        __instancecheck__ = _TRAPS["__eq__"]

    class Thing(metaclass=Meta):
        pass

    with pytest.raises(Unserializable, match="type Thing"):
        encode([Thing()])


def test_a_hostile_key_is_not_hashed_again() -> None:
    class Key:
        armed = False

        def __hash__(self) -> int:
            return _trap() if Key.armed else 1

    key = Key()
    tables: list[Any] = [{key: 1}, collections.Counter({key: 1}), {key}, frozenset([key])]
    tables += [collections.OrderedDict({key: 1}), collections.defaultdict(int, {key: 1})]
    Key.armed = True
    for table in tables:
        with pytest.raises(Unserializable, match="Key"):
            encode(table)


@pytest.mark.parametrize(
    "value",
    [
        bytearray(b"x"), memoryview(b"x"), (lambda: 0).__code__, len, int, iter([]), NotImplemented,
        {}.keys(), {1: 2}.items(), slice(1), object(), sys, (x for x in "x"), Exception(),
        [1, bytearray()], {"a": memoryview(b"")}, collections.defaultdict(lambda: 0),
        datetime.datetime(2020, 1, 1, tzinfo=type("Z", (datetime.tzinfo,), {})()),
    ],
)  # fmt: skip
def test_other_types_are_refused(value: object) -> None:
    with pytest.raises(Unserializable):
        encode(value)


def _nested(levels: int, wrap: Any) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = wrap(value)
    return value


@pytest.mark.parametrize(
    "wrap", [lambda x: [x], lambda x: (x,), lambda x: {1: x}, lambda x: frozenset([x])]
)
def test_a_hundred_levels_pass_and_one_more_does_not(wrap: Any) -> None:
    deepest = _nested(MAX_DEPTH, wrap)
    assert decode(encode(deepest)) == deepest
    with pytest.raises(Unserializable, match="100 levels"):
        encode(_nested(MAX_DEPTH + 1, wrap))


def test_an_extension_value_and_its_payload_are_a_level_each() -> None:
    wrap = lambda x: collections.Counter({1: x})  # noqa: E731
    decode(encode(_nested(MAX_DEPTH // 2, wrap)))
    with pytest.raises(Unserializable, match="100 levels"):
        encode(_nested(MAX_DEPTH // 2 + 1, wrap))


def test_cycles_are_refused() -> None:
    ring: list[Any] = []
    ring.append(ring)
    loop: dict[str, Any] = {}
    loop["a"] = (loop,)
    line: collections.deque[Any] = collections.deque()
    line.append(line)
    for cycle in (ring, loop, line):
        with pytest.raises(Unserializable, match="cyclic"):
            encode(cycle)


def test_a_shared_reference_explosion_is_too_large() -> None:
    for start in ([1, 2], [range(2)] * 2):
        value: Any = start
        for _ in range(60):
            value = [value, value]
        with pytest.raises(TooLarge, match="values"):
            encode(value)


@pytest.mark.parametrize("size", [10**7])
def test_huge_containers_are_too_large(size: int) -> None:
    for value in ([0] * size, (None,) * size, collections.deque([0] * size)):
        with pytest.raises(TooLarge):
            encode(value, 1 << 62)


@pytest.mark.parametrize("value", ["x" * 1000, b"x" * 1000, 1 << 8000, [1.0] * 112, "é" * 501])
def test_the_byte_bound_is_exact(value: Any) -> None:
    size = len(marshal.dumps(value, 2))
    assert len(encode(value, size)) == size
    with pytest.raises(TooLarge, match="bytes"):
        encode(value, size - 1)


def test_the_node_bound_is_exact() -> None:
    assert decode(encode([None] * (MAX_NODES - 1)))
    with pytest.raises(TooLarge):
        encode([None] * MAX_NODES)


def test_wide_fields_and_numbers_that_are_slow_to_compare_are_refused() -> None:
    wide = 1 << 20_000
    slow = [range(wide), fractions.Fraction(1, wide), [decimal.Decimal(1), wide]]
    slow += [decimal.Decimal("1E+999999"), decimal.Decimal("1" * 20_000)]
    for value in slow:
        with pytest.raises(Unserializable):
            encode(value)


def test_nested_sets_take_no_exponential_time() -> None:
    value = _nested(90, lambda x: frozenset([x, 2]))
    assert decode(encode([value])) == [value]


def test_an_ordered_dict_keeps_its_own_order() -> None:
    value = collections.OrderedDict(a=1, b=2, c=3)
    value.move_to_end("a")
    found = decode(encode(value))
    assert isinstance(found, collections.OrderedDict)
    assert list(found) == ["b", "c", "a"]


def test_two_complex_nans_in_a_set_are_written() -> None:
    assert encode({complex("nan"), complex("nan")}).startswith(b"<\x02")


def test_a_decimal_context_changes_nothing() -> None:
    with decimal.localcontext() as context:
        context.capitals = 0
        context.prec = 2
        data = encode(decimal.Decimal("1.234E+50"))
    assert decode(data) == decimal.Decimal("1.234E+50")


def test_a_forged_module_gives_no_foreign_class_a_voice(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forged(dict[Any, Any]):
        Counter = property(_trap)

    monkeypatch.setattr(module, "_seen", {})
    monkeypatch.setitem(sys.modules, "collections", Forged())
    with pytest.raises(Unserializable):
        encode(collections.Counter())


_PATCHES = """
import builtins, json, marshal, sys, collections
from executor.grammar.encode import encode
def trap(*a, **k):
    raise SystemExit("a patched name was used")
counter = collections.Counter("aab")
value = [counter, {1: "x"}, {2}, (1.5, b"y"), range(3)]
marshal.dumps = json.dumps = trap
names = "type id len sorted abs max isinstance repr hash iter list dict tuple set str bytes".split()
for name in names:
    setattr(builtins, name, trap)
plain, other = encode([1, (2,), {"a": 1}]), encode(value)
sys.stdout.buffer.write(plain + b"|" + other)
"""


def test_patched_builtins_change_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PATCHES], capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    plain, _, other = done.stdout.partition(b"|")
    assert plain == marshal.dumps([1, (2,), {"a": 1}], 2)
    expected = [collections.Counter("aab"), {1: "x"}, {2}, (1.5, b"y"), range(3)]
    assert decode(other) == expected


def test_the_encoder_loads_only_two_modules(tmp_path: Path) -> None:
    (tmp_path / "executor").mkdir()
    (tmp_path / "executor" / "grammar").symlink_to(Path(module.__file__).parent)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); before = set(sys.modules);"
        "import executor.grammar.encode; print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    loaded = {name for name in done.stdout.split() if not name.startswith("executor")}
    assert loaded <= {"__future__", "marshal"}

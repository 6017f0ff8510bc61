"""Value to bytes: how a result leaves the process that ran untrusted code.

A tree of plain values (None, bool, int, float, complex, str, bytes, list, tuple, dict, set,
frozenset, Ellipsis) becomes exactly ``marshal.dumps(value, 2)``. An extension value (range,
Counter, Decimal, an array of numpy...) is written as ``X``, one length byte, its ASCII name, and
one payload built of plain values; the containers around it keep marshal's tags.

Only exact types count, and no method found on a value is ever called: not its ``repr``, ``==``,
``hash`` or iterator. Everything used is bound at import, so that a program that patches builtins or
modules afterwards changes nothing.
"""

from __future__ import annotations

import marshal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable
    from typing import Any

    _Convert = Callable[[Any, type], object]

MAX_DEPTH = 100
"""Levels of nesting; an extension value is one level and its payload the next."""
MAX_NODES = 200_000
"""Values in one tree, a shared one counted as often as it occurs."""
MAX_BYTES = 4 << 20
"""Default bound of the encoded size in bytes."""
MAX_FIELD_BITS = 16_384
"""Width of an int inside an extension value, and of any int that stands next to a Decimal."""
MAX_DECIMAL_DIGITS = 10_000
"""Characters of a Decimal's text."""
MAX_DECIMAL_EXPONENT = 10_000
"""Largest magnitude of a Decimal's adjusted exponent."""

_MAX_MARSHAL_SET_LEVELS = 4
_INT_MIN, _INT_MAX = -(1 << 31), (1 << 31) - 1

# Bound now, because a program can patch builtins and modules later.
_modules = sys.modules
_module_type = type(sys)
_dumps = marshal.dumps
_type, _id, _len, _sorted, _abs, _max = type, id, len, sorted, abs, max
_none, _bool, _int, _float, _complex = type(None), bool, int, float, complex
_str, _bytes, _list, _tuple, _dict = str, bytes, list, tuple, dict
_set, _frozenset, _range, _ellipsis = set, frozenset, range, type(...)
_object_getattr = object.__getattribute__
_type_name = type.__dict__["__name__"].__get__
_type_dict = type.__dict__["__dict__"].__get__
_type_module = type.__dict__["__module__"].__get__
_MemoryError = MemoryError
_FACTORIES = (bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset)
_factory_names = [(kind, kind.__name__) for kind in _FACTORIES]
"""Not by address: a run may be shown others than they are."""


class Unserializable(Exception):
    """The value is outside the grammar; the text says why."""

    own_class = False
    """Whether it is an instance of a class of the program: a hint, a class can lie about it."""


class TooLarge(Exception):
    """The value is in the grammar but larger than allowed."""


class _Pairs(list):  # type: ignore[type-arg]
    """Items of a dict subclass: written as a dict, without hashing a key."""


def encode(value: object, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the bytes of ``value``, at most ``max_bytes`` of them.

    Raises :class:`Unserializable` for a value outside the grammar (a subclass, a function, a cycle,
    more than ``MAX_DEPTH`` levels) and :class:`TooLarge` for one with too many nodes or bytes.
    Sizes are added up before anything is written, so a huge value costs no huge buffer.
    """
    extensions: dict[int, tuple[bytes, object]] = {}
    plain = _survey(value, max_bytes, extensions)
    if plain:
        try:
            data = _dumps(value, 2)  # type: ignore[arg-type]
        except _MemoryError:
            # marshal orders the members of a set; two complex NaNs have no order.
            data = _write(value, extensions)
    else:
        data = _write(value, extensions)
    if _len(data) > max_bytes:
        raise TooLarge(f"more than {max_bytes} bytes")
    return data


def _survey(root: object, max_bytes: int, extensions: dict[int, tuple[bytes, object]]) -> bool:  # noqa: PLR0912, PLR0915
    """Check the whole tree, level by level; collect payloads; say whether marshal can write it.

    One function, because a call per node would be most of the time a small value takes.
    """
    level: list[object] = [root]
    depth = nodes = size = set_levels = wide = 0
    while level:
        depth += 1
        nodes += _len(level)
        if nodes > MAX_NODES:
            raise TooLarge(f"more than {MAX_NODES} values")
        below: list[object] = []
        opened = has_set = False
        for item in level:
            kind = _type(item)
            if kind is _int:
                if _INT_MIN <= item <= _INT_MAX:  # type: ignore[operator]
                    size += 5
                else:
                    bits = item.bit_length()  # type: ignore[attr-defined]
                    size += 5 + bits // 15 * 2
                    wide = _max(wide, bits)
            elif kind is _str or kind is _bytes:
                size += 5 + _len(item)  # type: ignore[arg-type]
            elif kind is _float:
                size += 9
            elif kind is _bool or kind is _none or kind is _ellipsis:
                size += 1
            elif kind is _complex:
                size += 17
            else:
                opened = True
                size += 5
                if kind is _list or kind is _tuple:
                    children: object = item
                elif kind is _dict:
                    below += item.values()  # type: ignore[attr-defined]
                    children = item
                elif kind is _set or kind is _frozenset:
                    has_set = True
                    children = item
                elif kind is _Pairs and depth > 1:
                    below += [part for pair in item for part in pair]  # type: ignore[attr-defined]
                    children = ()
                else:
                    children = (_payload(item, kind, extensions),)
                if nodes + _len(below) + _len(children) > MAX_NODES:  # type: ignore[arg-type]
                    raise TooLarge(f"more than {MAX_NODES} values")
                below += children  # type: ignore[arg-type]
        if size > max_bytes:
            raise TooLarge(f"more than {max_bytes} bytes")
        if opened and depth > MAX_DEPTH:
            raise Unserializable(f"nested deeper than {MAX_DEPTH} levels or cyclic")
        set_levels += has_set
        level = below
    if not extensions:
        # marshal writes the members of each set twice: exponential in nested sets.
        return set_levels <= _MAX_MARSHAL_SET_LEVELS
    if wide > MAX_FIELD_BITS:
        _refuse_decimal(extensions)
    return False


def _refuse_decimal(extensions: dict[int, tuple[bytes, object]]) -> None:
    """Refuse what the decoder refuses: comparing a Decimal with a wide int takes quadratic time."""
    for head, _ in extensions.values():
        if head == b"X\x07Decimal":
            raise Unserializable(f"a Decimal next to an int of more than {MAX_FIELD_BITS} bits")


def _payload(item: object, kind: type, extensions: dict[int, tuple[bytes, object]]) -> object:
    """Convert an extension value, once, and return its payload."""
    known = extensions.get(_id(item))
    if known is None:
        head, convert = _kind(kind)
        # The payload lives as long as the table, so no id in it is ever reused.
        known = extensions[_id(item)] = (head, convert(item, kind))
    return known[1]


_seen: dict[int, tuple[type, bytes, _Convert]] = {}
"""Extension types that were met, by their address: looking into all modules takes long."""


def _kind(kind: type) -> tuple[bytes, _Convert]:
    """How values of an extension type begin, and what makes the payload. Of a type whose module is
    not loaded no value can exist."""
    if kind is _range:
        return b"X\x05range", _range_fields
    seen = _seen.get(_id(kind))
    if seen is not None and seen[0] is kind:
        return seen[1:]
    for module_name, attribute, name, convert in _EXTENSIONS:
        if _attribute(module_name, attribute) is kind:
            head = b"X" + _bytes((_len(name),)) + name.encode("ascii")
            _seen[_id(kind)] = (kind, head, convert)
            return head, convert
    refusal = Unserializable(f"a value of type {_name(kind)}{_advice(kind)}")
    refusal.own_class = _is_own(kind)
    raise refusal


def _attribute(module_name: str, attribute: str) -> object:
    """What a loaded module has by that name, if it is loaded."""
    module = _modules.get(module_name)
    if _type(module) is not _module_type:
        return None
    return _object_getattr(module, "__dict__").get(attribute)


def _name(kind: type) -> str:
    """Return a type's own name, past any metaclass."""
    name = _type_name(kind)
    return name[:80] if _type(name) is _str else "unknown"


def _is_own(kind: type) -> bool:
    """Whether a type says that the program defined it."""
    module = _type_dict(kind).get("__module__")
    return _type(module) is _str and module == "__main__"


def _advice(kind: type) -> str:
    """What to return instead of a value of a library's type."""
    module = _type_module(kind)
    if _type(module) is not _str:
        return ""
    advice = _ADVICE.get(module.partition(".")[0])
    return f": return {advice}" if advice else ""


_ADVICE = {
    "numpy": "plain numbers or lists of it, such as .tolist() gives",
    "pandas": "plain values of it, such as .tolist() or .to_dict('list') gives",
    "sympy": "str() of it, or int() or float() of a number",
}
"""By library."""


def _narrow(*fields: int) -> tuple[int, ...]:
    """Return the fields if each is an exact int of bounded width."""
    for field in fields:
        if _type(field) is not _int or field.bit_length() > MAX_FIELD_BITS:
            raise Unserializable(f"a field that is no int of at most {MAX_FIELD_BITS} bits")
    return fields


def _bounded(count: int) -> None:
    if count > MAX_NODES:
        raise TooLarge(f"more than {MAX_NODES} values")


def _range_fields(item: range, _kind: type) -> object:
    return _narrow(item.start, item.stop, item.step)


def _pairs(item: dict[object, object]) -> _Pairs:
    _bounded(_dict.__len__(item))
    return _Pairs(_dict.items(item))


def _counter_fields(item: dict[object, object], _kind: type) -> object:
    return _pairs(item)


def _ordered_fields(item: dict[object, object], kind: type) -> object:
    # An OrderedDict's own iterator hashes the keys: make sure first that this calls nothing.
    _survey([*_dict.keys(item)], 1 << 62, {})
    return [*kind.items(item)]  # type: ignore[attr-defined]


def _default_fields(item: dict[object, object], kind: type) -> object:
    factory = kind.default_factory.__get__(item)  # type: ignore[attr-defined]
    if factory is None:
        return (None, _pairs(item))
    for known, name in _factory_names:
        if factory is known:
            return (name, _pairs(item))
    raise Unserializable("a defaultdict whose factory is not a plain builtin type")


def _deque_fields(item: object, kind: type) -> object:
    _bounded(kind.__len__(item))  # type: ignore[attr-defined]
    return ([*kind.__iter__(item)], kind.maxlen.__get__(item))  # type: ignore[attr-defined]


def _decimal_fields(item: object, kind: type) -> object:
    if kind.is_finite(item) and _abs(kind.adjusted(item)) > MAX_DECIMAL_EXPONENT:  # type: ignore[attr-defined]
        raise Unserializable(f"a Decimal with an exponent beyond {MAX_DECIMAL_EXPONENT}")
    text: str = kind.__str__(item)  # type: ignore[call-arg]
    if _len(text) > MAX_DECIMAL_DIGITS:
        raise Unserializable(f"a Decimal of more than {MAX_DECIMAL_DIGITS} digits")
    # The program's decimal context may ask for a small e.
    return text.replace("e", "E")


def _fraction_fields(item: object, kind: type) -> object:
    numerator = kind._numerator.__get__(item)  # type: ignore[attr-defined]
    denominator = kind._denominator.__get__(item)  # type: ignore[attr-defined]
    return _narrow(numerator, denominator)


def _date_fields(item: datetime.date, _kind: object) -> tuple[int, ...]:
    return (item.year, item.month, item.day)


def _time_fields(item: datetime.time | datetime.datetime, _kind: object) -> tuple[object, ...]:
    clock = (item.hour, item.minute, item.second, item.microsecond, item.fold)
    return (*clock, _zone_fields(item.tzinfo))


def _datetime_fields(item: datetime.datetime, kind: object) -> tuple[object, ...]:
    return (item.year, item.month, item.day, *_time_fields(item, kind))


def _timedelta_fields(item: datetime.timedelta, _kind: object) -> tuple[int, ...]:
    return (item.days, item.seconds, item.microseconds)


def _timezone_fields(item: object, kind: type) -> object:
    offset, *name = kind.__getinitargs__(item)  # type: ignore[attr-defined]
    if _attribute("datetime", "timedelta") is not _type(offset):
        raise Unserializable("a timezone whose offset is not a plain timedelta")
    return (*_timedelta_fields(offset, None), name[0] if name else None)


def _zone_fields(zone: object) -> object:
    if zone is None:
        return None
    if _type(zone) is not _attribute("datetime", "timezone"):
        raise Unserializable("a time zone that is not a datetime.timezone")
    return _timezone_fields(zone, _type(zone))


_DTYPES = {
    "b1": "bool", "i1": "int8", "i2": "int16", "i4": "int32", "i8": "int64", "u1": "uint8",
    "u2": "uint16", "u4": "uint32", "u8": "uint64", "f2": "float16", "f4": "float32",
    "f8": "float64", "c8": "complex64", "c16": "complex128",
}  # fmt: skip
"""Types of numpy's elements by their code, past the sign for the order of bytes."""


def _dtype(dtype: Any) -> str:
    """The name of a type of elements."""
    code: str = dtype.str[1:]
    name = {"U": "str", "S": "bytes"}.get(code[:1]) or _DTYPES.get(code)
    if name is None:
        wanted = "plain values, such as .tolist() gives"
        raise Unserializable(f"numpy's values of dtype {_str(dtype)[:80]}: return {wanted}")
    return name


def _scalar_fields(item: object, kind: type) -> object:
    return (_dtype(kind.dtype.__get__(item)), kind.item(item))  # type: ignore[attr-defined]


def _array_fields(item: object, kind: type) -> object:
    """The type, and nested lists; of an empty array the shape, which those do not say."""
    name = _dtype(kind.dtype.__get__(item))  # type: ignore[attr-defined]
    shape: tuple[int, ...] = kind.shape.__get__(item)  # type: ignore[attr-defined]
    if 0 in shape:
        return (name, shape)
    parts = 1
    for length in shape:
        parts *= length
        _bounded(parts)
    return (name, kind.tolist(item))  # type: ignore[attr-defined]


def _read_scalar_fields(item: Any, _kind: type) -> object:
    return (item.dtype, item.item)


def _read_array_fields(item: Any, _kind: type) -> object:
    return (item.dtype, item.content)


_SCALARS = (
    "bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "longlong",
    "ulonglong", "float16", "float32", "float64", "complex64", "complex128", "str_", "bytes_",
)  # fmt: skip
_ARRAYS = "executor.grammar.arrays"

_EXTENSIONS: tuple[tuple[str, str, str, _Convert], ...] = (
    ("collections", "Counter", "Counter", _counter_fields),
    ("collections", "OrderedDict", "OrderedDict", _ordered_fields),
    ("collections", "defaultdict", "defaultdict", _default_fields),
    ("collections", "deque", "deque", _deque_fields),
    ("decimal", "Decimal", "Decimal", _decimal_fields),
    ("fractions", "Fraction", "Fraction", _fraction_fields),
    ("datetime", "date", "date", _date_fields),
    ("datetime", "time", "time", _time_fields),
    ("datetime", "datetime", "datetime", _datetime_fields),
    ("datetime", "timedelta", "timedelta", _timedelta_fields),
    ("datetime", "timezone", "timezone", _timezone_fields),
    ("numpy", "ndarray", "array", _array_fields),
    *[("numpy", name, "scalar", _scalar_fields) for name in _SCALARS],
    (_ARRAYS, "Array", "array", _read_array_fields),
    (_ARRAYS, "Scalar", "scalar", _read_scalar_fields),
)
"""Module, attribute, name in what is written, and what makes the payload."""


def _write(item: object, extensions: dict[int, tuple[bytes, object]]) -> bytes:
    """Write what marshal cannot, with the same tags; the tree has been surveyed."""
    kind = _type(item)
    if kind is _list or kind is _tuple:
        tag = b"[" if kind is _list else b"("
        parts = [_write(part, extensions) for part in item]  # type: ignore[attr-defined]
        return tag + _len(parts).to_bytes(4, "little") + b"".join(parts)
    if kind is _set or kind is _frozenset:
        tag = b"<" if kind is _set else b">"
        parts = _sorted([_write(part, extensions) for part in item])  # type: ignore[attr-defined]
        return tag + _len(parts).to_bytes(4, "little") + b"".join(parts)
    if kind is _dict or kind is _Pairs:
        pairs = item.items() if kind is _dict else item  # type: ignore[attr-defined]
        parts = [_write(part, extensions) for pair in pairs for part in pair]  # type: ignore[union-attr]
        return b"{" + b"".join(parts) + b"0"
    known = extensions.get(_id(item))
    if known is not None:
        return known[0] + _write(known[1], extensions)
    return _dumps(item, 2)  # type: ignore[arg-type]

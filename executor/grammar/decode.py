"""Hostile bytes to value: the host's side of :mod:`executor.grammar.encode`.

The bytes come from a process that ran untrusted code, so nothing about them is believed. The reader
accepts only the canonical encoding of a value within the grammar's bounds, and takes time that is
linear in the data.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import math
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from itertools import chain
from struct import Struct, error, unpack_from

from executor.grammar.arrays import Array, Scalar
from executor.grammar.encode import (
    MAX_BYTES,
    MAX_DECIMAL_DIGITS,
    MAX_DECIMAL_EXPONENT,
    MAX_DEPTH,
    MAX_FIELD_BITS,
    MAX_NODES,
)

NAN = float("nan")
"""The only NaN that decoding gives, so that containers of NaN compare equal by identity."""
FACTORIES: dict[str, Callable[[], object]] = {
    kind.__name__: kind
    for kind in (bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset)
}
"""Types that may be a defaultdict's factory."""

_CROWD_FREE = 256
_MAX_CROWD = 64
_MAX_COLLISIONS = 2_000_000
"""Comparisons of parts that members with one hash may cost."""
_SCALARS = {type(None), bool, int, float, complex, str, bytes}
_BULK = 8
_PIECE = 1 << 15
_INT32, _SIZE = Struct("<i"), Struct("<I")
_DOUBLE, _DOUBLES = Struct("<d"), Struct("<dd")
_INTS, _FLOATS = Struct("<xi"), Struct("<xd")


class DecodeError(ValueError):
    """Bytes that are not the canonical encoding of one value of the grammar."""


class Unsuitable(DecodeError):
    """Bytes that an honest encoder may write, of a value that the grammar has no place for."""


Native = Callable[[Array | Scalar], object]
"""Makes numpy's own value of one of the grammar."""


def decode(data: bytes, max_nodes: int = MAX_NODES, native: Native | None = None) -> object:
    """Return the value that ``data`` encodes; ``native`` makes numpy's values where numpy is.

    Raises :class:`DecodeError` for anything but the canonical encoding of one value with at most
    ``max_nodes`` nodes, and never anything else. A well-framed value that fails here was most
    likely made by the program, so it says something about the program, not about the platform.
    """
    reader = _Reader(data, max_nodes, native)
    try:
        (value,) = reader.items(1)
    except DecodeError:
        raise
    except (IndexError, error):
        raise DecodeError("the data ends early") from None
    except (ValueError, TypeError, ArithmeticError) as problem:
        raise DecodeError(f"{type(problem).__name__}: {problem}") from None
    if reader.pos != len(data):
        raise DecodeError(f"{len(data) - reader.pos} bytes after the value")
    if reader.has_decimal and reader.widest > MAX_FIELD_BITS:
        raise DecodeError("a Decimal next to a wide int")
    return value


def crowded(members: Collection[Hashable] | Iterable[Hashable], count: int) -> bool:
    """Say whether so many of ``count`` members share a hash that a table of them would be slow."""
    if count <= _CROWD_FREE:
        return False
    hashes = list(map(hash, members))
    if len(set(hashes)) == len(hashes):
        return False
    return max(Counter(hashes).values()) > _MAX_CROWD


def collisions(members: Collection[Hashable]) -> int:
    """Count the pairs of members that share a hash, unless comparing them is sure to be cheap.

    To look one up, those with its hash are compared with it, part by part; and among their parts
    there may be sets that have such members too. Scalars are cheap; :func:`crowded` bounds them.
    """
    if set(map(type, members)) <= _SCALARS:
        return 0
    hashes = list(map(hash, members))
    if len(set(hashes)) == len(hashes):
        return 0
    return sum(count * (count - 1) // 2 for count in Counter(hashes).values())


def _pairs_inside(members: Iterable[object]) -> int:
    """Count the pairs with one hash that the sets inside some members hold."""
    pairs = 0
    waiting = list(members)
    while waiting:
        item = waiting.pop()
        if type(item) is frozenset:
            pairs += sum(count * (count - 1) // 2 for count in Counter(map(hash, item)).values())
        if type(item) is frozenset or type(item) is tuple:
            waiting += item
    return pairs


class _Reader:
    """A position in the data, and what has been used up."""

    __slots__ = (
        "collisions", "data", "depth", "has_decimal", "nans", "native", "nodes", "pos", "widest",
    )  # fmt: skip

    def __init__(self, data: bytes, max_nodes: int, native: Native | None) -> None:
        self.data = data
        self.native = native
        self.pos = 0
        self.nodes = max_nodes
        self.depth = 0
        self.has_decimal = False
        self.nans = 0
        self.collisions = 0
        self.widest = 0

    def mark(self) -> tuple[int, int, int]:
        """Steps used up so far."""
        return self.nodes, self.nans, self.collisions

    def members(self, members: Sequence[object], mark: tuple[int, int, int]) -> set[object]:
        """The members of a set, or keys, read since ``mark``: they differ, and are soon found."""
        if len(members) <= 1:
            return set(members)
        nodes, nans, before = mark
        if crowded(members, len(members)):
            raise Unsuitable("too many members with one hash")
        pairs = collisions(members)
        if pairs:
            size = 1 + (nodes - self.nodes + _pairs_inside(members)) // len(members)
            self.collisions += pairs * size * (1 + self.collisions - before)
            if self.collisions > _MAX_COLLISIONS:
                raise Unsuitable("too many members with one hash")
        found = set(members)
        if len(found) != len(members):
            if self.nans > nans:
                raise Unsuitable("a set or dict with more than one NaN")
            raise DecodeError("a member or a key twice")
        return found

    def items(self, count: int) -> list[object]:
        """Read ``count`` values; -1 for keys and values up to a dict's end mark."""
        data, pos, length = self.data, self.pos, len(self.data)
        if count > length - pos:
            raise DecodeError("the data ends early")
        found: list[object] = []
        while count:
            tag = data[pos]
            if tag == 0x69:  # i
                found.append(_INT32.unpack_from(data, pos + 1)[0])
                pos += 5
            elif tag == 0x75:  # u
                start = pos + 5
                pos = start + _SIZE.unpack_from(data, pos + 1)[0]
                if pos > length:
                    raise DecodeError("the data ends early")
                found.append(_text(data, start, pos))
            elif tag == 0x30 and count < 0:  # 0
                pos += 1
                break
            else:
                read = _READERS.get(tag)
                if read is None:
                    raise DecodeError(f"unknown tag {tag:#04x}")
                self.pos = pos + 1
                found.append(read(self))
                pos = self.pos
            count -= 1
        self.pos = pos
        self.nodes -= len(found)
        if self.nodes < 0:
            raise DecodeError("too many values")
        return found

    def size(self) -> int:
        """Read an unsigned 32-bit number."""
        (size,) = _SIZE.unpack_from(self.data, self.pos)
        self.pos += 4
        return int(size)

    def enter(self) -> None:
        """Count one more level."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise DecodeError(f"nested deeper than {MAX_DEPTH} levels")


def _text(data: bytes, start: int, end: int) -> str:
    """Decode piece by piece: surrogates take long, and nothing else could run meanwhile."""
    if end - start <= _PIECE:
        return str(data[start:end], "utf-8", "surrogatepass")
    pieces = []
    while end - start > _PIECE:
        stop = start + _PIECE
        while data[stop] & 0xC0 == 0x80 and stop > start:
            stop -= 1
        if stop == start:
            break
        pieces.append(str(data[start:stop], "utf-8", "surrogatepass"))
        start = stop
    return "".join([*pieces, str(data[start:end], "utf-8", "surrogatepass")])


def _read_list(reader: _Reader) -> list[object]:
    reader.enter()
    count = reader.size()
    found = _bulk(reader, count) if count >= _BULK else None
    if found is None:
        found = reader.items(count)
    reader.depth -= 1
    return found


def _bulk(reader: _Reader, count: int) -> list[object] | None:
    """Read many small ints, or many floats, at once."""
    data, pos = reader.data, reader.pos
    layout = _INTS if data[pos] == 0x69 else _FLOATS if data[pos] == 0x67 else None
    if layout is None:
        return None
    end = pos + layout.size * count
    if end > len(data) or data[pos : end : layout.size] != data[pos : pos + 1] * count:
        return None
    reader.nodes -= count
    if reader.nodes < 0:
        raise DecodeError("too many values")
    reader.pos = end
    found = list(chain.from_iterable(layout.iter_unpack(data[pos:end])))
    if layout is _FLOATS:
        reader.nans += sum(x != x for x in found)  # noqa: PLR0124
        return [x if x == x else NAN for x in found]  # noqa: PLR0124
    return found


def _read_tuple(reader: _Reader) -> tuple[object, ...]:
    return tuple(_read_list(reader))


def _read_set(reader: _Reader) -> set[object]:
    mark = reader.mark()
    members = _read_list(reader)
    return reader.members(members, mark)


def _read_frozenset(reader: _Reader) -> frozenset[object]:
    return frozenset(_read_set(reader))


def _read_dict(reader: _Reader) -> dict[object, object]:
    reader.enter()
    mark = reader.mark()
    flat = reader.items(-1)
    reader.depth -= 1
    if len(flat) % 2:
        raise DecodeError("a key without a value")
    keys = flat[::2]
    reader.members(keys, mark)
    return dict(zip(keys, flat[1::2], strict=True))


def _read_float(reader: _Reader) -> float:
    (number,) = _DOUBLE.unpack_from(reader.data, reader.pos)
    reader.pos += 8
    if math.isnan(number):
        reader.nans += 1
        return NAN
    return float(number)


def _read_complex(reader: _Reader) -> complex:
    number = complex(*_DOUBLES.unpack_from(reader.data, reader.pos))
    reader.pos += 16
    return number


def _read_bytes(reader: _Reader) -> bytes:
    start = reader.pos + 4
    end = start + reader.size()
    if end > len(reader.data):
        raise DecodeError("the data ends early")
    reader.pos = end
    return reader.data[start:end]


def _read_long(reader: _Reader) -> int:
    """Read a sign and 15-bit digits, least significant first; in linear time."""
    (signed,) = _INT32.unpack_from(reader.data, reader.pos)
    count = abs(signed)
    if not 0 < count <= MAX_BYTES * 8 // 15 + 1:
        raise DecodeError("a long of a bad length")
    digits = unpack_from(f"<{count}H", reader.data, reader.pos + 4)
    reader.pos += 4 + 2 * count
    if not digits[-1] or max(digits) > 0x7FFF:
        raise DecodeError("a long that is not normalised")
    magnitude = int.from_bytes(b"".join(map(_packed, _chunks(digits))), "little")
    if magnitude <= 0x7FFFFFFF or (signed < 0 and magnitude == 0x80000000):
        raise DecodeError("a long that is a small int")
    reader.widest = max(reader.widest, magnitude.bit_length())
    return magnitude if signed > 0 else -magnitude


_DIGITS = 8192
"""Digits that are read at a time: eight are fifteen bytes."""


def _chunks(digits: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    return (digits[at : at + _DIGITS] for at in range(0, len(digits), _DIGITS))


def _packed(digits: tuple[int, ...]) -> bytes:
    # Five octal digits are fifteen bits, and a power of two is a base without quadratic cost.
    number = int(("%05o" * len(digits)) % digits[::-1], 8)
    return number.to_bytes(_DIGITS // 8 * 15, "little")


def _read_extension(reader: _Reader) -> object:
    start = reader.pos + 1
    end = start + reader.data[reader.pos]
    build = _BUILDERS.get(reader.data[start:end])
    if build is None:
        raise DecodeError("an unknown extension type")
    reader.pos = end
    reader.enter()
    mark = reader.mark()
    (payload,) = reader.items(1)
    reader.depth -= 1
    if build is _build_decimal:
        reader.has_decimal = True
    elif build is _build_ordered:
        reader.members(_ordered_keys(payload), mark)
    value = build(payload)
    if reader.native is not None and type(value) in (Array, Scalar):
        return reader.native(value)  # type: ignore[arg-type]
    return value


_READERS: dict[int, Callable[[_Reader], object]] = {
    ord("N"): lambda _: None,
    ord("T"): lambda _: True,
    ord("F"): lambda _: False,
    ord("."): lambda _: ...,
    ord("l"): _read_long,
    ord("g"): _read_float,
    ord("y"): _read_complex,
    ord("s"): _read_bytes,
    ord("["): _read_list,
    ord("("): _read_tuple,
    ord("<"): _read_set,
    ord(">"): _read_frozenset,
    ord("{"): _read_dict,
    ord("X"): _read_extension,
}


def _shape(payload: object, *kinds: type) -> tuple[object, ...]:
    """Return the payload if it is a tuple of exactly these types (``object``: any)."""
    if type(payload) is not tuple or len(payload) != len(kinds):
        raise DecodeError("an extension value with a bad payload")
    for field, kind in zip(payload, kinds, strict=True):
        if kind is not object and type(field) is not kind:
            raise DecodeError("an extension value with a bad payload")
    return payload


def _numbers(payload: object, count: int) -> list[int]:
    """Return the payload if it is a tuple of that many ints of bounded width."""
    fields = [field for field in _shape(payload, *[int] * count) if isinstance(field, int)]
    if any(field.bit_length() > MAX_FIELD_BITS for field in fields):
        raise DecodeError(f"a field of more than {MAX_FIELD_BITS} bits")
    return fields


def _mapping(payload: object) -> dict[object, object]:
    if type(payload) is not dict:
        raise DecodeError("an extension value with a bad payload")
    return payload


def _build_range(payload: object) -> range:
    return range(*_numbers(payload, 3))


def _build_counter(payload: object) -> Counter[object]:
    counter: Counter[object] = Counter()
    # Counter's own constructor adds up counts, which need not be numbers.
    dict.update(counter, _mapping(payload))  # type: ignore[misc]
    return counter


def _ordered_keys(payload: object) -> list[object]:
    if type(payload) is not list:
        raise DecodeError("an extension value with a bad payload")
    return [_shape(pair, object, object)[0] for pair in payload]


def _build_ordered(payload: object) -> OrderedDict[object, object]:
    return OrderedDict(payload)  # type: ignore[call-overload,no-any-return] # pairs: see above


def _build_default(payload: object) -> defaultdict[object, object]:
    name, items = _shape(payload, object, dict)
    if name is None:
        return defaultdict(None, _mapping(items))
    if type(name) is not str or name not in FACTORIES:
        raise DecodeError("a defaultdict with an unknown factory")
    return defaultdict(FACTORIES[name], _mapping(items))


def _build_deque(payload: object) -> deque[object]:
    items, limit = _shape(payload, list, object)
    assert isinstance(items, list)
    if limit is None:
        return deque(items)
    if type(limit) is not int or limit < len(items):
        raise DecodeError("a deque with a bad maxlen")
    return deque(items, limit)


def decimal_is_bounded(number: decimal.Decimal) -> bool:
    """Say whether arithmetic with the number is sure to be cheap."""
    if number.is_finite() and abs(number.adjusted()) > MAX_DECIMAL_EXPONENT:
        return False
    return len(str(number)) <= MAX_DECIMAL_DIGITS


def _build_decimal(payload: object) -> decimal.Decimal:
    if type(payload) is not str or len(payload) > MAX_DECIMAL_DIGITS:
        raise DecodeError("an extension value with a bad payload")
    number = decimal.Decimal(payload)
    if not decimal_is_bounded(number) or str(number) != payload:
        raise DecodeError("a Decimal that is not canonical, or out of bounds")
    return number


def _build_fraction(payload: object) -> fractions.Fraction:
    numerator, denominator = _numbers(payload, 2)
    if denominator < 1 or math.gcd(numerator, denominator) != 1:
        raise DecodeError("a Fraction that is not in lowest terms")
    return fractions.Fraction(numerator, denominator)


def _build_date(payload: object) -> datetime.date:
    return datetime.date(*_numbers(payload, 3))


def _build_time(payload: object) -> datetime.time:
    *clock, zone = _shape(payload, *[int] * 5, object)
    hour, minute, second, microsecond, fold = _numbers(tuple(clock), 5)
    return datetime.time(hour, minute, second, microsecond, _zone(zone), fold=fold)


def _build_datetime(payload: object) -> datetime.datetime:
    *fields, zone = _shape(payload, *[int] * 8, object)
    *moment, fold = _numbers(tuple(fields), 8)
    year, month, day, hour, minute, second, microsecond = moment
    return datetime.datetime(
        year, month, day, hour, minute, second, microsecond, _zone(zone), fold=fold
    )


def _build_timedelta(payload: object) -> datetime.timedelta:
    days, seconds, microseconds = _numbers(payload, 3)
    found = datetime.timedelta(days, seconds, microseconds)
    if (found.days, found.seconds, found.microseconds) != (days, seconds, microseconds):
        raise DecodeError("a timedelta that is not normalised")
    return found


def _build_timezone(payload: object) -> datetime.timezone:
    *fields, name = _shape(payload, int, int, int, object)
    offset = _build_timedelta(tuple(fields))
    if name is None:
        return datetime.timezone(offset)
    if type(name) is not str:
        raise DecodeError("an extension value with a bad payload")
    return datetime.timezone(offset, name)


def _build_scalar(payload: object) -> Scalar:
    dtype, item = _shape(payload, str, object)
    return Scalar(str(dtype), item)


def _build_array(payload: object) -> Array:
    dtype, content = _shape(payload, str, object)
    found = Array(str(dtype), content)
    if type(content) is list and 0 in found.shape:
        raise DecodeError("an empty array that is written as lists")
    return found


def _zone(payload: object) -> datetime.timezone | None:
    return None if payload is None else _build_timezone(payload)


_BUILDERS: dict[bytes, Callable[[object], object]] = {
    b"range": _build_range,
    b"Counter": _build_counter,
    b"OrderedDict": _build_ordered,
    b"defaultdict": _build_default,
    b"deque": _build_deque,
    b"Decimal": _build_decimal,
    b"Fraction": _build_fraction,
    b"date": _build_date,
    b"time": _build_time,
    b"datetime": _build_datetime,
    b"timedelta": _build_timedelta,
    b"timezone": _build_timezone,
    b"scalar": _build_scalar,
    b"array": _build_array,
}

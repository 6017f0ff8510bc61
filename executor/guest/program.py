"""Runs one job in a child of the zygote: load the program, make the call, encode the value.

A job's body is written by the host (trusted); all integers are little-endian::

    u32 size, marshalled code of the program
    u8 how, u32 size, data of the call

``how`` says what the data are; with NAMED, u8 how (VALUES or ENCODED), u8 whether the arguments are
to be brought back, u16 size and the name of what is called instead of ``f``, then the arguments.

The result is a u8 with bits for what the call has used and done, then a record: u8 kind, u32 size,
payload. With bit REFUSAL, the system call that was refused (see seccomp.py) stands before the
record; with END_OF_RUN too, the run ended there and has no record. The numbers are in
``wire/layout.py``. The host treats the result as hostile.
"""

from __future__ import annotations

import builtins
import marshal
import sys
from types import CodeType

from executor.grammar.encode import TooLarge, Unserializable, encode
from executor.guest.numpy_values import native
from executor.wire.layout import (
    ENCODED,
    ENTROPY,
    ERROR,
    EXPRESSION,
    LOAD_ERROR,
    NAMED,
    NO_MEMORY,
    OBJECT,
    ORDER_SHIFT,
    REFUSAL,
    TOO_LARGE,
    UNSERIALIZABLE,
    VALUE,
)

TYPE_CHECKING = False  # importing typing would cost every guest memory
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from executor.guest.numpy_state import Dice

    class Core(Protocol):
        """The part of ``_core`` or ``spawn`` that the run of a job needs."""

        def show_order(self, order: int, /) -> None:
            """Begin a run."""

        def count_frames(self, count: int, /) -> None:
            """Let so many frames of Python be below what the caller calls."""

        def sources_seen(self) -> int:
            """The sources of nondeterminism that the run has used, tampering, and refusals."""
            ...

        def refused(self) -> bytes:
            """The number of the system call that was refused, and the line."""
            ...


_MESSAGE_LIMIT = 500
_MAX_DEPTH = 100
"""Of containers in which values of such classes are looked for."""
_GRAMMAR = ("builtins", "collections")
"""Modules of the containers that values may be made of."""
_BASES: dict[type, Callable[[Any], Any]] = {
    int: int.__int__,
    float: float.__float__,
    str: str.__str__,
    list: lambda value: list(list.__iter__(value)),
    tuple: lambda value: tuple(tuple.__iter__(value)),
    dict: lambda value: dict(dict.items(value)),
    set: lambda value: set(set.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
}
"""What makes a plain value of one whose class is made of a builtin one; none of its own methods."""
_loads = marshal.loads  # bound now, as all that a program can reach and the harness needs later
_type_name = type.__dict__["__name__"].__get__
_traceback = BaseException.__dict__["__traceback__"].__get__
_modules = sys.modules
_dice: Dice | None = None
_Module = type(sys)
_builtins = builtins.__dict__
# The functions below look up builtins here, whatever a program makes of the interpreter's.
__builtins__ = dict(_builtins)  # type: ignore[assignment]


def _record(kind: int, payload: bytes) -> bytes:
    return bytes((kind,)) + len(payload).to_bytes(4, "little") + payload


def _failure(kind: int, error: BaseException) -> bytes:
    """Type name, line in the program (0: unknown) and message, separated by NUL."""
    if type(error) is MemoryError:
        return _record(NO_MEMORY, b"")
    try:
        text = f"{_type_name(type(error))}\0{_line(error)}\0{_message(error)}"
    except BaseException:  # names can be of a class of the program, too
        text = "BaseException\00\0"
    return _record(kind, text.encode("utf-8", "surrogatepass"))


def _message(error: BaseException) -> str:
    try:
        return str(error)[:_MESSAGE_LIMIT]
    except BaseException:
        return ""


def _line(error: BaseException) -> int:
    line = 0
    trace = _traceback(error)
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<program>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _load(code: CodeType, core: Core) -> dict[str, object]:
    """Execute the program in a module of its own, which is ``__main__``, as a script's is."""
    module = _Module("__main__")
    namespace = module.__dict__
    namespace["__builtins__"] = _builtins
    _modules["__main__"] = module
    core.count_frames(0)
    exec(code, namespace)
    return namespace


def _call(namespace: dict[str, object], how: int, data: bytes, core: Core) -> object:
    if how == EXPRESSION:
        expression = _loads(data)
        core.count_frames(0)
        return eval(expression, namespace)
    target: Any
    if how == NAMED:
        how, mutates, end = data[0], data[1], 4 + int.from_bytes(data[2:4], "little")
        target = _find(namespace, data[4:end].decode())
        args, kwargs = _arguments(how, data[end:])
        core.count_frames(1)
        value = target(*args, **kwargs)
        return (value, args, kwargs) if mutates else value
    args, kwargs = _arguments(how, data)
    target = namespace["f"]
    core.count_frames(1)
    return target(*args, **kwargs)


def _arguments(how: int, data: bytes) -> Any:
    if how == ENCODED:
        from executor.grammar.decode import decode  # noqa: PLC0415 - few jobs need it

        return decode(data, native=native)
    return _loads(data)


def _find(namespace: dict[str, object], path: str) -> Any:
    """The function that a call names; methods are those of a new instance of their class."""
    first, *names = path.split(".")
    if first not in namespace:
        raise NameError(f"name {first!r} is not defined")
    target: Any = namespace[first]
    for name in names:
        if isinstance(target, type):
            target = target()
        target = getattr(target, name)
    return target


def _encoded(value: object, max_bytes: int, how: int) -> bytes:
    try:
        return encode(value, max_bytes)
    except Unserializable:
        if how != NAMED:
            raise
    return encode(_by_value(value), max_bytes)


def _by_value(value: Any, depth: int = 0) -> object:
    """The value with what is of a class made of a builtin one, as named tuples are, as of that."""
    kind = type(value)
    if depth > _MAX_DEPTH or kind.__module__ == "numpy":
        return value
    if kind.__module__ not in _GRAMMAR:
        for base, plain in _BASES.items():
            if issubclass(kind, base):
                value, kind = plain(value), base
                break
    if kind in (list, tuple, set, frozenset):
        return kind(_by_value(part, depth + 1) for part in value)
    if kind is dict:
        return {
            _by_value(key, depth + 1): _by_value(part, depth + 1) for key, part in value.items()
        }
    return value


def _outcome(namespace: dict[str, object], call: tuple[int, bytes], job: _Job) -> tuple[bytes, int]:
    """The record of the call, and the sources that it used by the time it had returned."""
    sources = 0
    try:
        value = _call(namespace, *call, job.core)
        sources = job.core.sources_seen()  # before the encoder looks into sets
        record = _record(VALUE, _encoded(value, job.max_bytes, call[0]))
        job.core.show_order(job.order)
    except Unserializable as error:
        kind = OBJECT if error.own_class else UNSERIALIZABLE
        record = _record(kind, str(error).encode("utf-8", "replace"))
    except TooLarge as error:
        record = _record(TOO_LARGE, str(error).encode("utf-8", "replace"))
    except BaseException as error:
        record = _failure(ERROR, error)
    return record, sources


def split_job(body: bytes) -> tuple[CodeType, tuple[int, bytes]]:
    """The code of a job's program, and its call: how, and the data."""
    at = 4 + int.from_bytes(body[:4], "little")
    return _loads(body[4:at]), (body[at], body[at + 5 :])


class _Job:
    """The way in which a job is to be run."""

    def __init__(self, core: Core, flags: int, max_bytes: int) -> None:
        self.core = core
        self.order = flags >> ORDER_SHIFT & 3
        self.max_bytes = max_bytes


def watch_dice(dice: Dice | None) -> None:
    """Give numpy's random numbers another seed in each run, and note who takes some."""
    global _dice  # noqa: PLW0603 - as all that is bound before a program is there
    _dice = dice


def run(core: Core, body: bytes, flags: int, max_bytes: int) -> bytes:
    """Run the job and return its result; raises nothing that a program can cause."""
    code, call = split_job(body)
    del body
    job = _Job(core, flags, max_bytes)
    if _dice is not None:
        _dice.shake()
    core.show_order(job.order)
    sources = 0
    try:
        namespace = _load(code, core)
    except BaseException as error:
        record = _failure(LOAD_ERROR, error)
    else:
        record, sources = _outcome(namespace, call, job)
    sources |= core.sources_seen()
    if _dice is not None and _dice.thrown():
        sources |= ENTROPY
    refused = core.refused() if sources & REFUSAL else b""
    return bytes((sources,)) + refused + record

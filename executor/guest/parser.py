"""The parser process: screens and compiles programs, parses inputs and answers. It runs nothing.

Parsing hostile text can stall or crash CPython, so it happens here, in a jail of its own, where a
crash costs one process. Code objects never leave as anything but opaque bytes for the zygote.

A request is a u32 size and a marshalled list of items (from the host: trusted):

    ("program", source, rules or None)
    ("arguments", text)        the text between the parentheses of a call
    ("value", text)            one Python expression

The reply is a u32 size, a u32 size of a JSON array with one array for each item, and the blobs that
these announce: ``[outcome, facts..., [sizes of the blobs]]``:

    ["ok", [modules imported], may calls share a process?, [code]]       program
    ["syntax_error" | "screened", detail, []]                            program
    ["literal", how, [arguments]]                                        arguments
    ["expression", [code of f(TEXT), code of ((args), {kwargs})]]        arguments
    ["literal", [encoded value]]                                         value
    ["expression", [code]]                                               value
    ["malformed", reason, []]                                            arguments, value
"""

from __future__ import annotations

import json
import marshal
import warnings
from collections.abc import Callable

from executor.grammar.encode import TooLarge, Unserializable, encode
from executor.grammar.literals import Malformed, NotLiteral, parse_arguments, parse_value
from executor.guest import seccomp
from executor.guest.core import core
from executor.guest.program import ENCODED, VALUES
from executor.guest.wire import READY, Input, write, write_frame
from executor.screening.rules import RuleSet, check_text, imported_modules, screen
from executor.screening.sharing import may_share_process

Facts = list[object]
Answer = tuple[Facts, list[bytes]]

_TOO_COMPLEX = (RecursionError, MemoryError, OverflowError)
_COLLECT = "(lambda *args, **kwargs: (args, kwargs))"


def _compile(source: str, filename: str, mode: str) -> bytes:
    return marshal.dumps(compile(source, filename, mode, dont_inherit=True, optimize=0))


def _program(source: str, rules: tuple[object, ...] | None) -> Answer:
    rule_set = RuleSet(*rules) if rules is not None else None  # type: ignore[arg-type]
    if rule_set is not None and (finding := check_text(source, rule_set)):
        return ["screened", finding.detail], []
    try:
        code = compile(source, "<program>", "exec", dont_inherit=True, optimize=0)
    except SyntaxError as error:
        where = f" (line {error.lineno})" if error.lineno else ""
        return ["syntax_error", f"{type(error).__name__}: {error.msg}{where}"], []
    except ValueError as error:  # NUL bytes, lone surrogates
        return ["syntax_error", f"SyntaxError: {error}"], []
    except _TOO_COMPLEX as error:
        return ["syntax_error", f"too complex to compile: {error}"], []
    if rule_set is not None and (finding := screen(source, code, rule_set)):
        return ["screened", finding.detail], []
    modules = sorted(imported_modules(code))
    return ["ok", modules, may_share_process(code, source)], [marshal.dumps(code)]


def _is_marshal(data: bytes) -> bool:
    try:
        marshal.loads(data)
    except ValueError:
        return False
    return True


def _arguments(text: str) -> Answer:
    try:
        data = encode(parse_arguments(text))
    except NotLiteral:
        call = f"f({text}\n)"
        collect = f"{_COLLECT}({text}\n)"
        return ["expression"], [_compile(code, "<input>", "eval") for code in (call, collect)]
    return ["literal", VALUES if _is_marshal(data) else ENCODED], [data]


def _value(text: str) -> Answer:
    try:
        return ["literal"], [encode(parse_value(text))]
    except NotLiteral:
        return ["expression"], [_compile(f"({text}\n)", "<answer>", "eval")]


def _guarded(parse: Callable[[str], Answer], text: str) -> Answer:
    try:
        return parse(text)
    except (Malformed, Unserializable, TooLarge) as error:
        return ["malformed", str(error)], []
    except (SyntaxError, ValueError) as error:
        return ["malformed", f"not a Python expression: {error}"], []
    except _TOO_COMPLEX:
        return ["malformed", "too complex to parse"], []


def answer(item: tuple[str, str, tuple[object, ...] | None]) -> Answer:
    """Answer one item of a request."""
    kind, text, rules = item
    if kind == "program":
        return _program(text, rules)
    return _guarded(_arguments if kind == "arguments" else _value, text)


def reply(items: list[tuple[str, str, tuple[object, ...] | None]]) -> bytes:
    """Answer a whole request."""
    facts, blobs = [], []
    for item in items:
        about, data = answer(item)
        facts.append([*about, [len(blob) for blob in data]])
        blobs += data
    head = json.dumps(facts).encode()
    return len(head).to_bytes(4, "little") + head + b"".join(blobs)


def serve(*, locked: bool) -> None:
    """Answer requests until the host closes descriptor 0."""
    warnings.simplefilter("ignore")  # SyntaxWarnings of the programs
    source = Input()
    if locked:
        core.confine(seccomp.build(zygote=False)[0])
    write(READY)
    while True:
        write_frame(reply(marshal.loads(source.next_frame())))

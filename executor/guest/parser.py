"""The parser process: screens and compiles programs, parses inputs and answers. It runs nothing.

Parsing hostile text can stall or crash CPython, so it happens here, in a jail of its own, where a
crash costs one process. Code objects never leave as anything but opaque bytes for the zygote.

A request is a u32 size and a marshalled list of items (from the host: trusted):

    ("program", source, rules or None)
    ("arguments", text)        the text between the parentheses of a call
    ("value", text)            one Python expression, or what Python prints for a value
    ("expression", text)       one Python expression
    ("tests", text)            code with assertions

The reply is a u32 size, a u32 size of a JSON array with one array for each item, and the blobs that
these announce: ``[outcome, facts..., [sizes of the blobs]]``:

    ["ok", [modules imported], [code]]                                   program
    ["syntax_error" | "screened", detail, []]                            program
    ["literal", how, [arguments]]                                        arguments
    ["expression", [code of f(TEXT), code of ((args), {kwargs})]]        arguments
    ["literal", [encoded value]]                                         value, expression
    ["expression", [code]]                                               value, expression
    ["ok", [assertions], whether they call check, [code]]                tests
    ["malformed", reason, []]                                            all but program
    ["later", []]                                                        ask again: no time is left

A text that takes too much processor time ends the process, and one that takes too much memory is
too complex. What is known to grow faster than its text is refused before it is tried.
"""

from __future__ import annotations

import ast
import json
import marshal
import warnings
from collections.abc import Callable
from resource import RLIMIT_AS, setrlimit
from signal import ITIMER_PROF, setitimer
from time import monotonic
from types import CodeType

from executor.grammar.encode import TooLarge, Unserializable, encode
from executor.grammar.literals import Malformed, NotLiteral, parse_arguments, parse_value
from executor.guest import seccomp
from executor.guest.core import core
from executor.guest.frames import Input, write, write_frame
from executor.screening.cost import code_limit, strains_compiler, strains_tokenizer
from executor.screening.rules import RuleSet, check_text, imported_modules, screen
from executor.wire.layout import ENCODED, READY, VALUES

Facts = list[object]
Answer = tuple[Facts, list[bytes]]

_TOO_COMPLEX = (RecursionError, MemoryError, OverflowError)
_MAIN = "__main__"
_COLLECT = "(lambda *args, **kwargs: (args, kwargs))"


_ITEM_CPU_S = 3.0
"""Processor time for one item: if it takes more, the process ends."""
_REQUEST_S = 0.3
"""Time after which no further item of a request is begun."""
_MEMORY_BYTES = 512 << 20
"""Address space beyond what the process has when it starts."""
_TESTS_FACTOR = 4
"""Tests are compiled twice, with what follows them."""
_PARSER_STRAIN = "too complex to parse: "
_COMPILER_STRAIN = "too complex to compile: "


class _TooLarge(Exception):
    """The code of a text is larger than the text could need."""


def _checked(code: bytes, text: str) -> bytes:
    """The code, if it is not far larger than its text: constants can be folded, blocks copied."""
    limit = code_limit(text)
    if len(code) > limit:
        raise _TooLarge(f"it compiles to {len(code)} bytes, allowed are {limit} for a text so long")
    return code


def _compile(source: str, filename: str) -> bytes:
    code = compile(source, filename, "eval", dont_inherit=True, optimize=0)
    return _checked(marshal.dumps(code), source)


class _Refused(Exception):
    """A program that is not run: the outcome and the detail."""


def _compile_program(source: str) -> CodeType:
    """Compile a program without its main blocks: it is imported, in a way, though ``__main__`` is
    what it is called."""
    text: str | ast.Module = source
    if _MAIN in source:
        text = ast.parse(source, "<program>")
        _drop_main_blocks(text.body)
    return compile(text, "<program>", "exec", dont_inherit=True, optimize=0)


def _drop_main_blocks(body: list[ast.stmt]) -> None:
    kept: list[ast.stmt] = []
    for statement in body:
        for inner in _blocks(statement):
            _drop_main_blocks(inner)
        if isinstance(statement, ast.If) and _asks_for_main(statement.test):
            kept += statement.orelse
        else:
            kept.append(statement)
    if body and not kept:
        kept.append(ast.copy_location(ast.Pass(), body[0]))
    body[:] = kept


def _blocks(statement: ast.stmt) -> list[list[ast.stmt]]:
    """The blocks of a statement that are executed as the program is loaded."""
    if isinstance(statement, ast.If):
        return [statement.body, statement.orelse] if statement.orelse else [statement.body]
    if isinstance(statement, (ast.Try, ast.TryStar)):
        blocks = [statement.body, *(handler.body for handler in statement.handlers)]
        return [block for block in (*blocks, statement.orelse, statement.finalbody) if block]
    if isinstance(statement, ast.With):
        return [statement.body]
    return []


def _asks_for_main(test: ast.expr) -> bool:
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return any(map(_asks_for_main, test.values))
    if not isinstance(test, ast.Compare) or not isinstance(test.ops[0], ast.Eq):
        return False
    sides = [test.left, *test.comparators]
    return (
        len(sides) == 2
        and any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides)
        and any(isinstance(side, ast.Constant) and side.value == _MAIN for side in sides)
    )


def _program(source: str, rules: tuple[object, ...] | None) -> Answer:
    rule_set = RuleSet(*rules) if rules is not None else None  # type: ignore[arg-type]
    try:
        code = _program_code(source, rule_set)
        if rule_set is not None and (finding := screen(source, code, rule_set)):
            raise _Refused("screened", finding.detail)
        data = _checked(marshal.dumps(code), source)
    except _Refused as refused:
        return [*refused.args], []
    except _TooLarge as problem:
        return ["screened", _COMPILER_STRAIN + str(problem)], []
    modules = sorted(imported_modules(code))
    return ["ok", modules], [data]


def _program_code(source: str, rules: RuleSet | None) -> CodeType:
    if rules is not None and (finding := check_text(source, rules)):
        raise _Refused("screened", finding.detail)
    if strain := strains_tokenizer(source):
        raise _Refused("screened", _PARSER_STRAIN + strain)
    try:
        if strain := strains_compiler(source):
            raise _Refused("screened", _COMPILER_STRAIN + strain)
        return _compile_program(source)
    except SyntaxError as error:
        where = f" (line {error.lineno})" if error.lineno else ""
        problem = f"{type(error).__name__}: {error.msg}{where}"
    except ValueError as error:  # NUL bytes, lone surrogates
        problem = f"SyntaxError: {error}"
    except _TOO_COMPLEX as error:
        problem = f"too complex to compile: {error}"
    raise _Refused("syntax_error", problem)


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
        _check_compiler(call)
        return ["expression"], [_compile(code, "<input>") for code in (call, collect)]
    return ["literal", VALUES if _is_marshal(data) else ENCODED], [data]


def _value(text: str) -> Answer:
    return _expression(text, printed=True)


def _expression(text: str, *, printed: bool = False) -> Answer:
    try:
        return ["literal"], [encode(parse_value(text, printed=printed))]
    except NotLiteral:
        source = f"({text}\n)"
        _check_compiler(source)
        return ["expression"], [_compile(source, "<answer>")]


def _tests(text: str) -> Answer:
    from executor.guest.test_compiler import NoTests, compile_tests  # noqa: PLC0415 - if needed

    if strain := strains_compiler(text):
        return ["malformed", _COMPILER_STRAIN + strain], []
    try:
        compiled = compile_tests(text)
    except NoTests as problem:
        return ["malformed", str(problem)], []
    except SyntaxError as error:
        where = f" (line {error.lineno})" if error.lineno else ""
        return ["malformed", f"the tests do not compile: {error.msg}{where}"], []
    if len(compiled.code) > _TESTS_FACTOR * code_limit(text):
        return ["malformed", "the tests compile to too much code"], []
    return ["ok", compiled.required, compiled.calls_check], [compiled.code]


def _check_compiler(source: str) -> None:
    if strain := strains_compiler(source):
        raise Malformed(_COMPILER_STRAIN + strain)


def _guarded(parse: Callable[[str], Answer], text: str) -> Answer:
    if strain := strains_tokenizer(text):
        return ["malformed", _PARSER_STRAIN + strain], []
    try:
        return parse(text)
    except (Malformed, Unserializable, TooLarge) as error:
        return ["malformed", str(error)], []
    except _TooLarge as error:
        return ["malformed", _COMPILER_STRAIN + str(error)], []
    except (SyntaxError, ValueError) as error:
        return ["malformed", f"not a Python expression: {error}"], []
    except _TOO_COMPLEX:
        return ["malformed", "too complex to parse"], []


_PARSERS = {
    "arguments": _arguments,
    "value": _value,
    "expression": _expression,
    "tests": _tests,
}


def answer(item: tuple[str, str, tuple[object, ...] | None]) -> Answer:
    """Answer one item of a request."""
    kind, text, rules = item
    if kind == "program":
        return _program(text, rules)
    return _guarded(_PARSERS[kind], text)


def reply(items: list[tuple[str, str, tuple[object, ...] | None]]) -> bytes:
    """Answer a request, or as much of it as there is time for, at least the first item."""
    facts: list[Facts] = []
    blobs: list[bytes] = []
    end = monotonic() + _REQUEST_S
    for item in items:
        if facts and monotonic() > end:
            facts.append(["later", []])
            continue
        # The signal that comes when it is used up ends the process: nothing handles it.
        setitimer(ITIMER_PROF, _ITEM_CPU_S)
        about, data = answer(item)
        facts.append([*about, [len(blob) for blob in data]])
        blobs += data
    setitimer(ITIMER_PROF, 0)
    head = json.dumps(facts).encode()
    return len(head).to_bytes(4, "little") + head + b"".join(blobs)


def serve(*, locked: bool) -> None:
    """Answer requests until the host closes descriptor 0."""
    warnings.simplefilter("ignore")  # SyntaxWarnings of the programs
    source = Input()
    memory = core.address_space() + _MEMORY_BYTES
    setrlimit(RLIMIT_AS, (memory, memory))
    if locked:
        core.confine(seccomp.build(zygote=False)[0])
    write(READY)
    while True:
        write_frame(reply(marshal.loads(source.next_frame())))

"""Reading the parser's answers: programs that may be run, arguments, and values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from executor.models import Rules, Status
from executor.pool.engine import CallOutcome, Job
from executor.wire.frames import Call, How, Order, Parsed, ParseItem, RulesTuple


class Program(NamedTuple):
    """A compiled program."""

    code: bytes
    imports: bool
    """Whether it imports any module."""

    def job(
        self, calls: Sequence[Call], *, variant: int | None = None, order: Order = Order.NATURAL
    ) -> Job:
        """Calls of the program, each a run of its own."""
        return Job(self.code, calls, self.imports, variant, order)


class Arguments(NamedTuple):
    """The arguments of one call of ``f``."""

    call: Call
    """The call as the program's own author may make it: an expression sees the program."""
    collect: Call | None = None
    """For expressions: evaluates to ``(args, kwargs)`` and does not call ``f``."""


_HOW: dict[object, How] = {how.value: how for how in How}

_PROBLEMS = {
    "screened": Status.SCREENED,
    "syntax_error": Status.SYNTAX_ERROR,
    "malformed": Status.MALFORMED,
    "crashed": Status.CRASHED,
    "row_limit": Status.ROW_LIMIT,
    "infra": Status.INFRA,
}


def rules_tuple(rules: Rules, *, defines_f: bool = True) -> RulesTuple:
    """The rules in the form that the parser takes; ``defines_f``: an ``f`` is wanted."""
    return (
        tuple(rules.banned_modules),
        tuple(rules.banned_keywords),
        rules.min_parameters,
        rules.max_source_bytes,
        rules.max_depth,
        defines_f,
    )


def program_item(source: str, rules: Rules | None) -> ParseItem:
    """Ask for a program to be screened (``None``: not) and compiled."""
    return ("program", source, rules_tuple(rules) if rules is not None else None)


def tested_item(source: str, rules: Rules) -> ParseItem:
    """Ask for a program that need not define ``f``."""
    return ("program", source, rules_tuple(rules, defines_f=False))


def tests_item(source: str) -> ParseItem:
    """Ask for code with assertions."""
    return ("tests", source, None)


def argument_items(texts: Sequence[str]) -> list[ParseItem]:
    """Ask for texts between the parentheses of a call to be parsed."""
    return [("arguments", text, None) for text in texts]


_SHADOW = re.compile(
    r"(?<![\w.])(?:nan|inf|nanj|infj|math)\s*:?=(?!=)(?!\s*(?:float\(|math\.|np\.|numpy\.))"
    r"|^[ \t]*(?:nan|inf|nanj|infj|math)\s*[:,]"
    r"|\b(?:def|class|for|as)\s+(?:nan|inf|nanj|infj|math)\b",
    re.MULTILINE,
)


def value_items(texts: Sequence[str], program: str | None = None) -> list[ParseItem]:
    """Ask for expressions to be parsed. What Python prints for a value counts as well, unless the
    program gives a name of it (``inf``) another meaning, as far as its text shows."""
    if program is not None and _SHADOW.search(program):
        return [("expression", text, None) for text in texts]
    return [("value", text, None) for text in texts]


def problem(parsed: Parsed) -> CallOutcome | None:
    """The reason why the parser refused an item, or ``None``."""
    status = _PROBLEMS.get(parsed.outcome)
    return CallOutcome(status, detail=str(parsed.facts[0])) if status is not None else None


def read_program(parsed: Parsed) -> Program | CallOutcome:
    """The program, or why there is none."""
    refused = problem(parsed)
    if refused is not None:
        return refused
    (modules,) = parsed.facts
    return Program(parsed.blobs[0], bool(modules))


def read_tests(parsed: Parsed) -> tuple[bytes, frozenset[int], bool] | CallOutcome:
    """Compiled tests, the assertions that they reach, and whether they want an entry point; or why
    there are none."""
    refused = problem(parsed)
    if refused is not None:
        return refused
    required, calls_check = parsed.facts
    assert isinstance(required, list)
    return parsed.blobs[0], frozenset(required), bool(calls_check)


def read_arguments(parsed: Parsed) -> Arguments | CallOutcome:
    """The arguments, or why there are none."""
    refused = problem(parsed)
    if refused is not None:
        return refused
    if parsed.outcome == "literal":
        return Arguments(Call(_HOW[parsed.facts[0]], parsed.blobs[0]))
    call, collect = (Call(How.EXPRESSION, blob) for blob in parsed.blobs)
    return Arguments(call, collect)


def read_value(parsed: Parsed) -> bytes | Call | CallOutcome:
    """An encoded value, an expression still to be evaluated alone, or why there is neither."""
    refused = problem(parsed)
    if refused is not None:
        return refused
    if parsed.outcome == "literal":
        return parsed.blobs[0]
    return Call(How.EXPRESSION, parsed.blobs[0])

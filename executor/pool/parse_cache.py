"""Answers what need not go to a parser process.

That is: programs that were asked for before (newest kept, bounded in bytes), and short texts that
are JSON as well as Python, which are read by JSON's parser. Both give what the parser would give.
"""

from __future__ import annotations

import marshal
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from executor.grammar.literals import quick_values
from executor.lru import Lru
from executor.wire.frames import How, Parsed, ParseItem, RulesTuple

MAX_BYTES = 16 << 20

_FINAL = frozenset({"ok", "syntax_error", "screened"})
_ENTRY_OVERHEAD = 500
_LARGEST_PART = 16
"""One program may take so small a part of the memory."""
_QUICK_CHARACTERS = 4096
_VALUES = int(How.VALUES)


_Rules = RulesTuple | None


class ParseCache:
    """Stands before the parsers."""

    def __init__(
        self,
        ask: Callable[[Sequence[ParseItem]], Awaitable[list[Parsed]]],
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._ask = ask
        self._max_bytes = max_bytes
        self._programs: Lru[str, tuple[_Rules, Parsed]] = Lru(max_bytes)

    async def parse(self, items: Sequence[ParseItem]) -> list[Parsed]:
        """Answer what can be answered here, and ask about the rest, all at once."""
        known = [self._answer(item) for item in items]
        missing = [item for item, parsed in zip(items, known, strict=True) if parsed is None]
        if not missing:
            return [parsed for parsed in known if parsed is not None]
        asked = iter(await self._ask(missing))
        answers = []
        for item, parsed in zip(items, known, strict=True):
            answer = parsed if parsed is not None else next(asked)
            if parsed is None and item[0] == "program":
                self._remember(item, answer)
            answers.append(answer)
        return answers

    def _answer(self, item: ParseItem) -> Parsed | None:
        kind, source, rules = item
        if kind != "program":
            return _quick_answer(item)
        known = self._programs.peek(source)
        if known is None:
            return None
        known_rules, parsed = known
        if rules == known_rules or (parsed.outcome == "ok" and _asks_less(rules, known_rules)):
            self._programs.get(source)
            return parsed
        return None

    def _remember(self, item: ParseItem, parsed: Parsed) -> None:
        _, source, rules = item
        if parsed.outcome not in _FINAL:
            return
        if _size(source, parsed) > self._max_bytes // _LARGEST_PART:
            self._programs.drop(source)  # the larger one would push out many others
            return
        self._programs.put(source, (rules, parsed), _size(source, parsed))


def _asks_less(rules: _Rules, known: _Rules) -> bool:
    """Whether a program that meets ``known`` surely meets ``rules``."""
    if rules is None or known is None:
        return rules is None
    modules, keywords, parameters, size, depth, f = rules
    known_modules, known_keywords, known_parameters, known_size, known_depth, known_f = known
    return (
        set(modules) <= set(known_modules)
        and set(keywords) <= set(known_keywords)
        and parameters <= known_parameters
        and size >= known_size
        and depth >= known_depth
        and f <= known_f
    )


def _quick_answer(item: ParseItem) -> Parsed | None:
    kind, text, _ = item
    if kind == "tests":
        return None
    values: Any = quick_values(text) if len(text) <= _QUICK_CHARACTERS else None
    if values is None:
        return None
    # Of so short a text, and of JSON's types, it is what the grammar's encoder gives.
    if kind == "arguments":
        return Parsed("literal", [_VALUES], [marshal.dumps((tuple(values), {}), 2)])
    if not values:
        return None
    value = values[0] if len(values) == 1 else tuple(values)
    return Parsed("literal", [], [marshal.dumps(value, 2)])


def _size(source: str, parsed: Parsed) -> int:
    return _ENTRY_OVERHEAD + 4 * len(source) + sum(map(len, parsed.blobs))

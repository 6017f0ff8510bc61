"""Signs of cheating: in the texts of answers, and summed up over runs.

They are hints for people who train models, and change no verdict: see
:class:`executor.models.Signal`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable

from executor.models import Signal, Signals
from executor.pool.engine import NO_SIGNALS, CallOutcome

_LONGEST_SEARCHED = 65_536
"""Characters of an answer that are looked at."""

_INJECTION = re.compile(
    r"""
    \b__\w+__\b
    | \b(?: lambda | import | exec | eval | compile | getattr | setattr | delattr | globals | locals
        | vars | open | input | breakpoint | exit | quit | help | subprocess | posix | ctypes | sys
        | os )\b
    """,
    re.VERBOSE,
)
_CALL = re.compile(r"[\w)\]](?<!\bor)(?<!\band)(?<!\bnot)(?<!\bin)(?<!\bis)(?<!\bif)(?<!\belse)\(")
# Possessive, and matching what is not closed as well: each character is looked at once.
_STRING = re.compile(r"""'(?:[^'\\\n]|\\.)*+'? | "(?:[^"\\\n]|\\.)*+"?""", re.VERBOSE)


def signals_in_answer(text: str, *, literal: bool, readable: bool = True) -> frozenset[Signal]:
    """Signs in the text of an answer that should be a value, an input or a name.

    What stands in quotes does not count. ``literal``: it is nothing but a value. ``readable``: it
    is an expression, so that its quotes are in pairs.
    """
    if literal:
        return NO_SIGNALS
    text = text[:_LONGEST_SEARCHED]
    bare = _STRING.sub("''", text)
    found = set()
    if _INJECTION.search(bare) or _closes_what_it_did_not_open(bare if readable else text):
        found.add(Signal.INJECTION)
    if _CALL.search(bare):
        found.add(Signal.COMPUTED_ANSWER)
    return frozenset(found)


_SNOOPING = re.compile(
    r"""
    \b(?: _getframe | _current_frames | currentframe | f_back | f_locals | tb_frame | gi_frame
        | get_objects | get_referrers | get_referents | settrace | setprofile | __subclasses__ )\b
    | \bsys \s*+ \. \s*+ modules \b
    | \binspect \s*+ \. \s*+ (?: stack | getsource | getouterframes ) \b
    """,
    re.VERBOSE,
)
_OPENED = re.compile(r"""(?:\bopen|\bPath)\s*+\(\s*+[rbf]?+(['"])([^'"\n]++)\1""")
_STREAMS = frozenset({"/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/fd/0", "/dev/null"})
_WRITTEN = re.compile(r"""\s*+,\s*+(?:mode\s*+=\s*+)?+['"][wax]""")


def signals_in_program(text: str, files: Collection[str]) -> frozenset[Signal]:
    """Signs in the text of a program that is judged by tests; ``files`` are those it is given."""
    text = text[:_LONGEST_SEARCHED]
    found = {Signal.SNOOPING} if _SNOOPING.search(text) else set()
    written: set[str] = set()
    for match in _OPENED.finditer(text):
        path = match[2].removeprefix("./")
        if _WRITTEN.match(text, match.end()):
            written.add(path)
        elif path not in files and path not in _STREAMS and path not in written:
            found.add(Signal.FOREIGN_FILE)
    return frozenset(found)


def _closes_what_it_did_not_open(text: str) -> bool:
    depth = 0
    for bracket in re.findall(r"[()]", text):
        depth += 1 if bracket == "(" else -1
        if depth < 0:
            return True
    return False


def signals_of(*results: object) -> frozenset[Signal]:
    """All signals of some results; those that are values have none."""
    found = NO_SIGNALS
    for result in results:
        if isinstance(result, CallOutcome):
            found |= result.signals
    return found


def count_signals(each: Iterable[frozenset[Signal]]) -> Signals:
    """On how many of them each signal was seen."""
    counts = Counter(signal for signals in each for signal in signals)
    return {signal: counts[signal] for signal in Signal if signal in counts} if counts else {}

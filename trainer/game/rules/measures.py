"""Numbers that describe a program: how complex it is, and how unlike others.

They parse source, so they are called in the processes of :mod:`trainer.game.play.parser_pool` only.
What cannot be parsed measures 0.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from difflib import SequenceMatcher

_FULL_COMPLEXITY = 15
_FULL_EFFORT, _FULL_CYCLOMATIC, _FULL_VOLUME = 10_000, 10, 500
_MOST_NODES = 2000
"""Nodes of a syntax tree that are compared; the comparison takes the square of it."""

UNPARSABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


def complexity(source: str) -> float:
    """Cognitive complexity, divided by 15."""
    from complexipy import code_complexity

    try:
        return float(code_complexity(source).complexity) / _FULL_COMPLEXITY
    except Exception:  # the library names no exceptions of its own
        return 0.0


def halstead(source: str) -> float:
    """Half Halstead effort (of 10,000), the rest cyclomatic complexity (of 10) and volume (of 500).

    From 0 to 1, rounded to three digits.
    """
    from radon.complexity import cc_visit
    from radon.metrics import h_visit

    try:
        total = h_visit(source).total
        most = max((block.complexity for block in cc_visit(source)), default=0)
    except UNPARSABLE:
        return 0.0
    score = (
        0.5 * min(total.effort / _FULL_EFFORT, 1)
        + 0.3 * min(most / _FULL_CYCLOMATIC, 1)
        + 0.2 * min(total.volume / _FULL_VOLUME, 1)
    )
    return round(float(score), 3)


def mean_edit_distance(source: str, references: Sequence[str]) -> float:
    """Mean distance of the syntax tree from those of references, each from 0 (equal) to 1.

    The distance is 1 - the share of nodes that a matching in order pairs up, node by node. (AZR
    compares JSON dumps of the trees character by character, which takes seconds for one program.)
    """
    try:
        own = _nodes(source)
        others = [_nodes(reference) for reference in references]
    except UNPARSABLE:
        return 0.0
    if not others:
        return 0.0
    matcher = SequenceMatcher(None, autojunk=False)
    matcher.set_seq2(own)
    distances = []
    for other in others:
        matcher.set_seq1(other)
        distances.append(1 - matcher.ratio())
    return sum(distances) / len(distances)


def lines(source: str) -> int:
    """Lines of a program."""
    return len(source.strip().splitlines())


def _nodes(source: str) -> list[str]:
    """The nodes of a syntax tree in order, each with its depth, type, names and constants."""
    found: list[str] = []
    waiting: list[tuple[ast.AST, int]] = [(ast.parse(source), 0)]
    while waiting and len(found) < _MOST_NODES:
        node, depth = waiting.pop()
        values = [
            str(value)
            for _, value in ast.iter_fields(node)
            if not isinstance(value, ast.AST | list) and value is not None
        ]
        found.append(" ".join([str(depth), type(node).__name__, *values]))
        children = [c for c in ast.iter_child_nodes(node) if not isinstance(c, ast.expr_context)]
        waiting += [(child, depth + 1) for child in reversed(children)]
    return found

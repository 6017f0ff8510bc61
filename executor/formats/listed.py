"""Tests that list inputs and results and compare them in a loop, as EvalPlus publishes them::

    inputs = [[1, 2], [3, 4]]
    results = [3, 7]
    for i, (inp, exp) in enumerate(zip(inputs, results)):
        assertion(candidate(*inp), exp, 0)

They are calls: judged as such they need neither numpy nor a sandbox for the tests.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from executor.formats.tests import Fields

_NEAR = 1e-6
_NEAR_SHARE = 1e-7
"""How near floats must be there, by numpy's ``allclose``."""


def listed_calls(tests: str, entry_point: str | None = None) -> Fields | None:
    """The fields of a task of calls; ``None`` if the tests are of another form.

    ``entry_point``: what ``candidate`` stands for. Nothing is evaluated: texts are put together.
    """
    try:
        tree = ast.parse(tests)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    loops = list(_comparisons(tree))
    inputs, results = _only_list(tree, "inputs"), _only_list(tree, "results")
    if len(loops) != 1 or inputs is None or results is None or len(inputs) != len(results):
        return None
    ((called, atol),) = loops
    name = entry_point if called == "candidate" else called
    if not (name and inputs and all(isinstance(given, ast.List | ast.Tuple) for given in inputs)):
        return None
    return {
        "task": "call",
        "entry_point": name,
        "inputs": [_arguments(given) for given in inputs],
        "outputs": [ast.unparse(result) for result in results],
        "compare": {"atol": max(atol, _NEAR), "rtol": _NEAR_SHARE},
    }


def _comparisons(tree: ast.Module) -> Iterator[tuple[str, float]]:
    """Names and tolerances of ``assertion(name(*inp), exp, tolerance)``; any other way to make an
    assertion counts as one of no name."""
    for node in ast.walk(tree):
        match node:
            case ast.Expr(
                ast.Call(
                    ast.Name("assertion"),
                    [
                        ast.Call(ast.Name(name), [ast.Starred(ast.Name("inp"))], []),
                        ast.Name("exp"),
                        ast.Constant(int() | float() as atol),
                    ],
                    [],
                )
            ):
                yield name, atol
            case ast.Expr(ast.Call(ast.Name("assertion"))):
                yield "", 0


def _only_list(tree: ast.Module, name: str) -> list[ast.expr] | None:
    """The members of the one list that is given a name."""
    values = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
    ]
    match values:
        case [ast.List(members)]:
            return members
    return None


def _arguments(given: ast.expr) -> str:
    assert isinstance(given, ast.List | ast.Tuple)
    return ", ".join(map(ast.unparse, given.elts))

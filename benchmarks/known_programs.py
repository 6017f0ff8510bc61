"""Programs that are known to be right, and others: HumanEval's and MBPP+'s solutions and mutants.

The files are those of ../shared/data/grading. The data are published: their inputs are evaluated in
this process.
"""

from __future__ import annotations

import ast
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple


class Known(NamedTuple):
    """A problem with its programs."""

    benchmark: str
    """``humaneval`` or ``mbpp_plus``."""
    row: dict[str, Any]
    """As it is published: HumanEval's, or EvalPlus'."""
    solution: str
    mutants: tuple[str, ...]

    @property
    def id(self) -> str:
        """Its name."""
        return str(self.row["task_id"])

    @property
    def programs(self) -> tuple[str, ...]:
        """The solution, and then the mutants."""
        return (self.solution, *self.mutants)


def known(folder: Path) -> list[Known]:
    """All problems."""
    rows = [json.loads(line) for line in (folder / "humaneval.jsonl").read_text().splitlines()]
    plus = [json.loads(line) for line in (folder / "mbpp_plus.jsonl").read_text().splitlines()]
    return [*map(_human_eval, rows), *map(_mbpp_plus, plus)]


def _human_eval(row: dict[str, Any]) -> Known:
    solution = row["prompt"] + row["canonical_solution"]
    return Known("humaneval", row, solution, tuple(mutants(solution, 2)))


def _mbpp_plus(row: dict[str, Any]) -> Known:
    inputs = [eval(f"(lambda *args: args)({text})", {}) for text in row["inputs"]]
    published = {
        "task_id": row["id"],
        "prompt": f'"""Write {row["entry_point"]}."""\n',
        "entry_point": row["entry_point"],
        "canonical_solution": row["solution"],
        "base_input": [_as_json(given) for given in inputs],
        "plus_input": [],
        "atol": row["atol"],
    }
    return Known("mbpp_plus", published, row["solution"], tuple(row["wrong"]))


def _as_json(value: Any) -> Any:
    """What EvalPlus' file has for a value."""
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_as_json(item) for item in value]
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    return str(value) if isinstance(value, complex) else value


def mutants(source: str, wanted: int) -> Iterator[str]:
    """Programs that differ in one number, comparison or operator; always the same ones."""
    _, places = _Mutation(-1).changed(source)
    for place in random.Random(source).sample(range(places), min(wanted, places)):
        yield _Mutation(place).changed(source)[0]


class _Mutation(ast.NodeTransformer):
    """Changes the thing at one place of those that can be changed."""

    def __init__(self, place: int) -> None:
        self._left = place
        self._seen = 0

    def changed(self, source: str) -> tuple[str, int]:
        """The program, and how many places it has."""
        tree = self.visit(ast.parse(source))
        return ast.unparse(tree), self._seen

    def _is_here(self) -> bool:
        self._seen += 1
        return self._seen - 1 == self._left

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if type(node.value) is int and self._is_here():
            return ast.Constant(node.value + 1)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        swapped = _SWAPPED.get(type(node.ops[0]))
        if swapped is not None and self._is_here():
            node.ops[0] = swapped()
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Add | ast.Sub) and self._is_here():
            node.op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
        return node


_SWAPPED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip

"""CRUXEval and LiveCodeBench's execution task, brought into the form of this project's tasks."""

from __future__ import annotations

import ast
import builtins
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from executor import TaskType
from trainer.game.play.validation import BenchmarkError
from trainer.game.tasks.task import ProgramTask

HUB = "hub"
"""In place of a file: the data set's home on the Hugging Face hub."""

CRUXEVAL = "cruxeval-org/cruxeval"
LIVECODEBENCH = "livecodebench/execution"

CRUXEVAL_NAMES = {TaskType.ABDUCTION: "cruxeval_i", TaskType.DEDUCTION: "cruxeval_o"}
LIVECODEBENCH_NAMES = {TaskType.ABDUCTION: "livecodebench", TaskType.DEDUCTION: "livecodebench_o"}
"""AZR has the first one only; finding the output is what the benchmark itself asks."""

_MODULES = {
    "bisect": "bisect_left bisect_right bisect insort",
    "collections": "Counter OrderedDict defaultdict deque",
    "functools": "cache lru_cache reduce",
    "heapq": "heapify heappop heappush heappushpop nlargest nsmallest",
    "itertools": "accumulate chain combinations groupby islice pairwise permutations product",
    "math": "ceil comb factorial floor gcd inf isqrt lcm log2 perm prod sqrt",
    "typing": "Any Deque Dict List Optional Set Tuple Union",
}
_IMPORTS = {
    name: f"from {module} import {name}"
    for module, names in _MODULES.items()
    for name in names.split()
} | {module: f"import {module}" for module in ("math", "collections", "itertools", "heapq")}
"""Imports that LiveCodeBench's programs take for granted."""


def read_raw(source: str, hub_name: str) -> Iterator[Mapping[str, Any]]:
    """Rows of a ``.jsonl``, ``.json`` or ``.parquet`` file, or of the hub.

    Raises:
        BenchmarkError: it cannot be read.
    """
    if source == HUB:
        yield from _from_hub(hub_name)
        return
    path = Path(source).expanduser()
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            rows = pq.read_table(path).to_pylist()
        else:
            text = path.read_text(encoding="utf-8")
            lines = [line for line in text.splitlines() if line.strip()]
            rows = (
                json.loads(text) if path.suffix == ".json" else [json.loads(row) for row in lines]
            )
    except (OSError, ValueError) as error:
        raise BenchmarkError(f"{path} cannot be read: {error}") from error
    yield from rows


def cruxeval(row: Mapping[str, Any]) -> ProgramTask:
    """A row of CRUXEval.

    Raises:
        BenchmarkError: it is none.
    """
    return ProgramTask(_text(row, "code"), _text(row, "input"), _text(row, "output"))


def livecodebench(row: Mapping[str, Any]) -> ProgramTask:
    """A row of LiveCodeBench's execution task, with its function called ``f``.

    Raises:
        BenchmarkError: it is none.
    """
    call = _text(row, "input").strip()
    name, bracket, rest = call.partition("(")
    if not bracket or not rest.endswith(")") or not name.strip().isidentifier():
        raise BenchmarkError(f"'input' is {call!r}, not a call")
    try:
        tree = ast.parse(_text(row, "code"))
    except (SyntaxError, ValueError, RecursionError) as error:
        raise BenchmarkError(f"'code' cannot be parsed: {error}") from error
    renamed = _Renamer(name.strip()).visit(tree)
    imports = tuple(sorted(_IMPORTS[free] for free in _free_names(renamed) if free in _IMPORTS))
    snippet = "\n".join([*imports, ast.unparse(renamed)])
    return ProgramTask(snippet, rest[:-1], _text(row, "output"), imports)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A data set whose rows become tasks."""

    hub_name: str
    read: Callable[[Mapping[str, Any]], ProgramTask]
    names: Mapping[TaskType, str]
    """Under which its scores are reported."""


BENCHMARKS = {
    "cruxeval": Benchmark(CRUXEVAL, cruxeval, CRUXEVAL_NAMES),
    "livecodebench": Benchmark(LIVECODEBENCH, livecodebench, LIVECODEBENCH_NAMES),
}


class _Renamer(ast.NodeTransformer):
    """Gives a function the name ``f``, where it is defined and where it is used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        if node.name == self._name:
            node.name = "f"
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id == self._name:
            node.id = "f"
        return node


def _free_names(tree: ast.AST) -> set[str]:
    """Names that are read but bound nowhere in the source."""
    read: set[str] = set()
    bound = set(dir(builtins))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
    return read - bound


def _from_hub(name: str) -> Iterator[Mapping[str, Any]]:
    try:
        import datasets

        rows = datasets.load_dataset(name, split="test")
    except Exception as error:
        reason = str(error).strip().splitlines()
        raise BenchmarkError(
            f"{name} cannot be had from the hub: {reason[0] if reason else type(error).__name__}"
        ) from error
    yield from rows


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key) if isinstance(row, Mapping) else None
    if not isinstance(value, str):
        raise BenchmarkError(f"{key!r} is missing, or no text")
    return value

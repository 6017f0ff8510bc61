"""Composite programs: ``f`` builds on functions of earlier tasks, called ``g_0``, ``g_1``..."""

from __future__ import annotations

import ast
import random
from collections.abc import Sequence
from typing import NamedTuple

from trainer.game.settings import DataSelectionStrategy
from trainer.game.tasks.task import ProgramTask
from trainer.game.texts.cleaning import Program, Refused, imports_of, rename


class Composition(NamedTuple):
    """A step's request for composite programs."""

    chance: float
    """Share of proposer prompts."""
    n_min: int
    n_max: int


def composition_at(strategy: DataSelectionStrategy, step: int) -> Composition | None:
    """The scheduler's request for a step; ``None`` while composite programs are off."""
    start = strategy.composite_start_step
    scheduler = strategy.composite_scheduler
    n_max, chance = strategy.composite_function_n_max, strategy.composite_chance
    if scheduler.enabled:
        base = strategy.max_programs_initial
        n_max = n_max if base is None else base
        since = step - scheduler.update_num_programs_start
        if since >= 0:
            more = since // scheduler.update_num_programs_interval
            n_max = min(n_max + more, scheduler.num_programs_max)
        first = strategy.composite_chance_initial
        chance = chance if first is None else first
        since = step - scheduler.update_probability_start
        if since >= 0:
            more = since // scheduler.update_probability_interval
            chance += more * scheduler.update_probability_increment
            chance = min(chance, scheduler.update_probability_max)
    if n_max <= 0 or start <= 0 or step < start:
        return None
    return Composition(chance, min(max(strategy.composite_function_n_min, 1), n_max), n_max)


def draw_functions(
    pool: Sequence[ProgramTask],
    shown: int,
    composition: Composition | None,
    rng: random.Random,
) -> list[ProgramTask]:
    """The tasks whose programs a composite prompt builds on; mostly none.

    As AZR, only where more references are shown than functions could be wanted, and only programs
    that are not composite themselves. The number is from ``n_min`` to ``n_max``, both included.
    """
    if composition is None or shown <= composition.n_max:
        return []
    if rng.random() > composition.chance:
        return []
    simple = [task for task in pool if not task.composite_functions]
    wanted = rng.randint(composition.n_min, composition.n_max)
    return rng.sample(simple, wanted) if len(simple) >= wanted else []


# The functions below parse source: they are called in :mod:`trainer.game.play.parser_pool` only.


def as_function(source: str, number: int) -> str:
    """A program with its ``f`` called ``g_<number>``; the stored task is not touched.

    Raises:
        SyntaxError: the source does not compile.
    """
    tree = ast.parse(source)
    rename(tree, "f", f"g_{number}")
    return ast.unparse(tree)


def compose(functions: Sequence[str], program: Program) -> Program | Refused:
    """The program behind the functions it was given, if it uses all and redefines none.

    Using means that a call of ``g_<i>`` with at least one argument stands somewhere in ``f``. AZR
    also wants every argument to be a plain name of ``f``, which refuses loops and builtins.
    """
    names = [f"g_{number}" for number in range(len(functions))]
    tree = ast.parse(program.source)
    redefined = sorted(_defined(tree).intersection(names))
    if redefined:
        return Refused(f"the program redefines {redefined[0]}")
    entry = next(
        (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "f"), None
    )
    if entry is None:
        return Refused("the program does not define a function f")
    called = _called(entry)
    unused = [name for name in names if name not in called]
    if unused:
        return Refused(f"f does not call {unused[0]}")
    source = "\n\n".join([*functions, program.source])
    return Program(source, imports_of(ast.parse(source)))


def _defined(tree: ast.Module) -> set[str]:
    """Names of the functions and classes of the top level."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return {node.name for node in tree.body if isinstance(node, kinds)}


def _called(function: ast.FunctionDef) -> set[str]:
    """Names that are called with an argument in a function."""
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    return {
        call.func.id
        for call in calls
        if isinstance(call.func, ast.Name) and (call.args or call.keywords)
    }

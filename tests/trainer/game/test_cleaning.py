"""Programs on their way from a model's text to validation: cleaning, composing, measuring."""

from __future__ import annotations

import ast
import random
import textwrap
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.leftovers import children
from trainer.game.play.parser_pool import ParserPool
from trainer.game.rules import measures
from trainer.game.settings import (
    CompositeScheduler,
    DataSelectionStrategy,
    GenerationRewardConfig,
)
from trainer.game.tasks.task import ProgramTask
from trainer.game.texts.cleaning import Program, Refused, clean, holds_test_input, rename
from trainer.game.texts.composite import (
    Composition,
    as_function,
    compose,
    composition_at,
    draw_functions,
)


def cleaned(code: str, **config: Any) -> str:
    found = clean(textwrap.dedent(code), GenerationRewardConfig(**config))
    assert isinstance(found, Program), found
    return found.source


def refused(code: str, **config: Any) -> str:
    found = clean(textwrap.dedent(code), GenerationRewardConfig(**config))
    assert isinstance(found, Refused), found
    return found.reason


def same(left: str, right: str) -> bool:
    return ast.dump(ast.parse(textwrap.dedent(left))) == ast.dump(ast.parse(textwrap.dedent(right)))


def run(source: str, argument: object) -> object:
    """Only for programs that this file itself writes."""
    scope: dict[str, Any] = {}
    exec(source, scope)
    return scope["f"](argument)


def test_a_program_that_needs_nothing_stays_as_it_was_written() -> None:
    code = "# why\ndef f(x):  # what\n    '''doc'''\n    return x\n"
    assert cleaned(code) == code


def test_the_function_becomes_f_and_so_do_its_calls() -> None:
    code = """
    def fact(n):
        return 1 if n == 0 else n * fact(n - 1)
    """
    assert run(cleaned(code), 5) == 120
    assert "fact" not in cleaned(code)


def test_a_function_passed_as_a_value_is_renamed_too() -> None:
    code = """
    def walk(x):
        return sum(map(walk, x)) if isinstance(x, list) else x
    """
    assert run(cleaned(code), [1, [2, 3]]) == 6


def test_a_local_variable_of_the_same_name_is_not_renamed() -> None:
    tree = ast.parse(
        textwrap.dedent("""
        def g(x):
            return x
        def h(g):
            return g(1)
        def k():
            global g
            return [g(i) for i in range(3)]
        def m():
            g = 1
            def n():
                return g
            return n, [g for g in ()]
        """)
    )
    rename(tree, "g", "f")
    assert same(
        ast.unparse(tree),
        """
        def f(x):
            return x
        def h(g):
            return g(1)
        def k():
            global f
            return [f(i) for i in range(3)]
        def m():
            g = 1
            def n():
                return g
            return n, [g for g in ()]
        """,
    )


def test_methods_and_nested_functions_do_not_count_as_functions() -> None:
    code = """
    class Stack:
        def __init__(self): self.items = []
        def push(self, x): self.items.append(x)
    def f(x):
        def inner(y): return y
        return inner(x)
    """
    assert same(cleaned(code), code)


TWO = "def a(x):\n    return x\ndef b(x):\n    return a(x)"


def test_several_functions_are_refused_by_default() -> None:
    assert refused(TWO) == "the program defines 2 functions, allowed is one"


@pytest.mark.parametrize(
    ("location", "renamed"),
    [("not_first", "a"), ("any_first", "a"), ("not_last", "b"), ("any_last", "b")],
)
def test_which_of_several_functions_becomes_f(location: str, renamed: str) -> None:
    found = cleaned(TWO, reject_multiple_functions=False, f_replace_location=location)
    names = [node.name for node in ast.parse(found).body if isinstance(node, ast.FunctionDef)]
    assert names == ["f" if name == renamed else name for name in "ab"]


def test_any_location_prefers_a_function_called_f() -> None:
    code = "def f(x):\n    return g(x)\ndef g(x):\n    return x"
    options = {"reject_multiple_functions": False}
    assert cleaned(code, f_replace_location="any_last", **options) == code
    assert refused(code, f_replace_location="not_last", **options) == (
        "the entry function is g, but another one is called f"
    )


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("x = 1", "the program defines no function"),
        ("f = lambda x: x", "the program defines no function"),
        ("def f(x:", "the program does not compile"),
        ("def f(x):\n  return x\n\x00", "the program does not compile"),
        ("def f(x): return " + "(" * 5000, "the program does not compile"),
        ("def f(x): return " + "-" * 60000 + "1", "the program cannot be parsed"),
        ("def f(x): return " + "1+" * 40000 + "1", "the program has more than 65536 characters"),
    ],
)
def test_a_program_that_cannot_be_used_says_why(code: str, reason: str) -> None:
    assert refused(code).startswith(reason)


def test_imports_are_those_of_the_top_level_in_order() -> None:
    found = clean(
        "from __future__ import annotations\nimport re, math\nfrom collections import deque as d\n"
        "import re, math\nfrom . import x\ndef f(x):\n    import json\n    return x",
        GenerationRewardConfig(),
    )
    assert isinstance(found, Program)
    assert found.imports == ("import re, math", "from collections import deque as d")


def test_comments_and_docstrings_are_removed_and_bodies_stay_valid() -> None:
    code = '"""m"""\nclass A:\n    """doc"""\ndef f(x):\n    """doc"""\n    return x  # c'
    found = cleaned(code, remove_comments=True)
    assert same(found, "class A:\n    pass\ndef f(x):\n    return x")


def test_prints_are_removed_and_bodies_stay_valid() -> None:
    code = """
    def f(x):
        for i in x:
            print(i)
        else:
            print('end')
        return print(x) or g(print(1))
    """
    assert same(
        cleaned(code, remove_print=True),
        """
        def f(x):
            for i in x:
                pass
            else:
                pass
            return None or g(None)
        """,
    )


def test_what_follows_the_function_is_removed() -> None:
    code = "import math\nK = 3\ndef f(x):\n    return x\nprint(f(1))\nassert f(2) == 2"
    assert same(cleaned(code, remove_after_return=True), "import math\ndef f(x):\n    return x")


@pytest.mark.parametrize(
    "line",
    ["# Test it", "# example: f(1)", "test_input = [1]", "sample_input = 3", "input = 5",
     "assert f(1) == 1", "print(f(2))", "result = f(3)", "f([1, 2])", "f(1)  # 1"],
)  # fmt: skip
def test_test_inputs_are_seen(line: str) -> None:
    code = f"def f(x):\n    return x\n{line}"
    assert holds_test_input(code)
    assert refused(code, reject_test_input_in_code=True) == (
        "the program seems to hold a test input"
    )


@pytest.mark.parametrize(
    "body",
    ["return f(x - 1)", "return x == input_", "y = half(x)\n    return y", "self.f(x)"],
)
def test_ordinary_code_holds_no_test_input(body: str) -> None:
    assert not holds_test_input(f"def f(x):\n    {body}")


# -- Composite --


def strategy(**options: Any) -> DataSelectionStrategy:
    given = {"composite_function_n_min": 1, "composite_function_n_max": 2, **options}
    return DataSelectionStrategy(**given)


def test_composition_is_off_by_default_and_before_its_first_step() -> None:
    assert composition_at(DataSelectionStrategy(), 1000) is None
    assert composition_at(strategy(composite_start_step=5), 4) is None
    assert composition_at(strategy(composite_start_step=5), 5) == Composition(0.5, 1, 2)


def test_the_scheduler_raises_number_and_chance_stepwise() -> None:
    options = strategy(
        composite_start_step=1, max_programs_initial=1, composite_chance_initial=0.5,
        composite_scheduler=CompositeScheduler(
            enabled=True, update_num_programs_start=10, update_num_programs_interval=10,
            num_programs_max=3, update_probability_start=10, update_probability_interval=5,
            update_probability_max=0.6, update_probability_increment=0.03,
        ),
    )  # fmt: skip
    found = [composition_at(options, step) for step in (1, 10, 19, 20, 100)]
    assert [c and c.n_max for c in found] == [1, 1, 1, 2, 3]
    assert [c and round(c.chance, 3) for c in found] == [0.5, 0.5, 0.53, 0.56, 0.6]


def test_functions_are_drawn_within_bounds_and_never_composite_ones() -> None:
    pool = [ProgramTask(f"def f(x):\n    return {n}", "1", str(n)) for n in range(6)]
    pool += [ProgramTask("def f(x): return g_0(x)", "1", "1", composite_functions=("a",))] * 6
    sizes = set()
    for seed in range(200):
        drawn = draw_functions(pool, 6, Composition(1.0, 1, 3), random.Random(seed))
        assert not any(task.composite_functions for task in drawn)
        sizes.add(len(drawn))
    assert sizes == {1, 2, 3}
    assert draw_functions(pool, 3, Composition(1.0, 1, 3), random.Random(1)) == []
    assert draw_functions(pool, 6, None, random.Random(1)) == []


def test_composing_puts_functions_before_the_program() -> None:
    functions = [
        as_function("def f(x):\n    return x + 1", 0),
        as_function("def f(x):\n    return f", 1),
    ]
    program = Program("def f(x):\n    return [g_0(i) for i in range(len(x))], g_1(x) is g_1", ())
    found = compose(functions, program)
    assert isinstance(found, Program)
    assert run(found.source, "ab") == ([1, 2], True)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def g_0(x): return x\ndef f(x): return g_0(x) + g_1(x)", "the program redefines g_0"),
        ("def f(x): return g_0(x)", "f does not call g_1"),
        ("def f(x): return g_0(x) + g_1()", "f does not call g_1"),
    ],
)
def test_a_composite_program_must_use_all_it_was_given(code: str, reason: str) -> None:
    functions = ["def g_0(x): return x", "def g_1(x): return x"]
    assert compose(functions, Program(code, ())) == Refused(reason)


# -- Measures --


def test_measures_of_a_simple_program_are_small() -> None:
    simple = "def f(x):\n    return x"
    nested = (
        "def f(x):\n    t = 0\n    for i in x:\n        if i > 1:\n            for j in x:\n"
        "                if j % 2 and i:\n                    t += i * j\n    return t"
    )
    assert measures.complexity(simple) == 0
    assert measures.halstead(simple) == 0.03  # cyclomatic complexity 1, no operators
    assert 0.5 < measures.complexity(nested) < 1
    assert 0.1 < measures.halstead(nested) < 1
    assert measures.complexity("def f(") == measures.halstead("def f(") == 0


def test_edit_distance_is_zero_for_equals_and_grows_with_difference() -> None:
    base = "def f(x):\n    return x + 1"
    assert measures.mean_edit_distance(base, [base]) == 0
    near = measures.mean_edit_distance(base, ["def f(x):\n    return x + 2"])
    far = measures.mean_edit_distance(base, ["class A:\n    y = [1, 2]\n    def m(self): pass"])
    assert 0 < near < far <= 1
    assert measures.mean_edit_distance(base, [base, "class A: pass"]) > 0
    assert measures.mean_edit_distance("def f(", [base]) == 0
    assert measures.mean_edit_distance(base, []) == 0


# -- ParserPool --


@pytest.fixture(scope="module")
def parsers() -> Iterator[ParserPool]:
    with ParserPool(GenerationRewardConfig(), processes=1) as opened:
        yield opened


def test_the_workshop_cleans_and_composes(parsers: ParserPool) -> None:
    assert parsers.prepare("def g(x):\n    return x").result() == Program(
        "def f(x):\n    return x", ()
    )
    functions = parsers.as_functions(["def f(x):\n    return x"]).result()
    assert functions == ("def g_0(x):\n    return x",)
    found = parsers.prepare("def f(x):\n    return g_0(x)", functions).result()
    assert isinstance(found, Program)
    assert found.source.startswith("def g_0(x):")


def test_a_text_that_kills_or_stalls_the_parser_costs_one_process(
    parsers: ParserPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    monkeypatch.setattr("trainer.game.play.parser_pool._TIME_LIMIT_S", 1.0)
    crashed = parsers._do(os.abort)
    stalled = parsers._do(time.sleep, 60)
    hungry = parsers._do(bytearray, 1 << 40)
    after = parsers.prepare("def f(x):\n    return x")
    assert crashed.result() == Refused("the program breaks Python's parser")
    assert stalled.result() == Refused("parsing the program takes more than 1 s")
    assert hungry.result() == Refused("the program breaks Python's parser")
    assert after.result() == Program("def f(x):\n    return x", ())


def test_closing_ends_the_processes_whatever_they_do() -> None:
    before = children()
    parsers = ParserPool(GenerationRewardConfig(), processes=1)
    parsers._do(time.sleep, 600)
    parsers.prepare("def f(x):\n    return x")
    started = time.monotonic()
    parsers.close()
    assert time.monotonic() - started < 20
    assert children(but="resource_tracker") <= before

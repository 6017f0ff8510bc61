"""Which programs the quality rules refuse, and for which reason."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.guest.parser import answer
from executor.models import Rules
from executor.screening.rules import (
    Finding,
    RuleSet,
    _depth_bound,
    _tree_depth,
    check_text,
    imported_modules,
    screen,
)

DEFAULT = RuleSet(**{name: getattr(Rules(), name) for name in Rules.model_fields})
F = "def f(x):\n    return x\n"


def finding(source: str, rules: RuleSet = DEFAULT) -> Finding | None:
    return check_text(source, rules) or screen(
        source, compile(source, "<program>", "exec", dont_inherit=True), rules
    )


def rule(source: str, rules: RuleSet = DEFAULT) -> str | None:
    found = finding(source, rules)
    return found and found.rule


def test_a_rule_set_has_the_fields_of_the_public_model_in_their_order() -> None:
    assert RuleSet._fields == (*Rules.model_fields, "defines_f")


ENTRY_FUNCTIONS = [
    "def f(x): return x",
    "def f(*xs): return xs",
    "def f(**xs): return xs",
    "def f(*, x): return x",
    "def f(x, /): yield x",
    "f = lambda x: x",
    "f: object = lambda x: x",
    "def f[T](x: T): return x",
    "if True:\n    def f(x): return x",
    "try:\n    import nothing\nexcept ImportError:\n    pass\nfinally:\n    def f(x): return x",
    "def g(h): return h\n@g\n@g\ndef f(x=1, *, y: int = 2) -> int: return x",
    "f = None\ndef f(x): return x",
    "def f(): return 0\ndef f(x): return x",
    "class f:\n    def __new__(cls, x): return x",
    "from math import sqrt as f",
    "from math import *",
    "def g(x): pass\nf = g",
    "def g(x): pass\nf = g(lambda x: x)",
    "class S:\n    def run(self, x): return x\nf = S().run",
    "class S:\n    def __call__(self, x): return x\nf = S()",
    "from functools import partial\nf = partial(pow, 2)",
    "import math\nf = math.sqrt",
    "f = g = lambda x: x",
    "f, g = len, max",
    "f = [len, max][0]",
    "f = (lambda x: x) if f'' else len",
    "f = {'a': len}['a']",
    "globals()['f'] = len",
    "exec('def f(x): return x')",
]


@pytest.mark.parametrize("source", ENTRY_FUNCTIONS)
def test_accepts_a_function_with_an_argument(source: str) -> None:
    assert finding(source) is None


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "does not define"),
        ("x = 1", "does not define"),
        ("def g(x): return x", "does not define"),
        ("class A:\n    def f(self): pass", "does not define"),
        ("def g():\n    def f(x): pass", "does not define"),
        ("def f(): pass", "no arguments"),
        ("f = lambda: 0", "no arguments"),
        ("async def f(x): pass", "coroutine"),
        ("async def f(x): yield x", "coroutine"),
        (F + "f = 1", "not a function"),
        (F + "del f", "not a function"),
        ("f = None", "not a function"),
        ("f = [lambda x: x]", "not a function"),
        ("f = {'a': 1, 'b': 2}", "not a function"),
        ("f = f'{1}'", "not a function"),
        ("import f", "not a function"),
        ("import math as f", "not a function"),
    ],
)
def test_refuses_a_program_without_an_entry_function(source: str, words: str) -> None:
    found = finding(source)
    assert found is not None
    assert found.rule == "no_entry_function"
    assert words in found.detail


@pytest.mark.parametrize(
    "source",
    [
        "import random",
        "import math, random",
        "import random as r",
        "from random import choice",
        "import os.path",
        "import os.path as p",
        "import os.path.sub",
        "from os import path",
        "from os import environ as e",
        "from os import *",
        "import os\nx = os.environ['a']",
        "import os as o\no.environ",
        "import os\no = os.path.join('a')",
        "import os\nos.sys.exit()",
        "import os.nothing\nos.path",
        "import sys\nsys.exit(1)",
        "from sys import exit as leave",
        "import datetime",
        "import datetime as d",
        "from datetime import date",
        "from datetime.sub import date",
        "def g():\n    try:\n        import time\n    except ImportError:\n        pass",
        "class A:\n    import threading",
        "g = lambda: __import__('random')",
        "import importlib\nimportlib.import_module('random')",
        "from importlib import import_module",
        "import runpy",
        "import builtins\nbuiltins.__import__('random')",
        "import sys\nsys.modules['random']",
        "from sys import modules",
        "exec('import random')",
        "exec('x = 1; from os import path')",
        "eval(\"__import__('math')\")",
        "import ｒandom",
        "import os\nos.ｐath",
    ],
)
def test_refuses_banned_modules(source: str) -> None:
    assert rule(f"{source}\n{F}") == "banned_module"
    assert rule(f"{F}{source}") == "banned_module"
    assert rule(f"{source}\n{F}", RuleSet()) is None


@pytest.mark.parametrize(
    "source",
    [
        "from mymod import time",
        "from mymod import random as datetime",
        "time = 3\nx = time + 1",
        "def time(random): return random",
        "x = 'import random'",
        "# import random",
        "import randomness",
        "import timeit",
        "import os\nx = os.getcwd()",
        "import sys\nx = sys.maxsize",
        "from os import sep",
        "from math import *",
        "from .random import x",
        "from . import random",
        "x = [].path",
        "path = 3\nos = [path]\nos.append(path)",
        "x = lambda datetime: datetime.time",
        "exec('import math')",
    ],
)
def test_names_alike_are_not_banned(source: str) -> None:
    assert finding(f"{source}\n{F}") is None


def test_a_finding_names_the_line() -> None:
    assert finding(f"{F}\n\nimport random") == Finding(
        "banned_module", "uses random, which is banned (line 5)"
    )
    assert finding(f"import os\n{F}\nos.environ") == Finding(
        "banned_module", "uses os.environ, which is banned (line 5)"
    )


@pytest.mark.parametrize(
    ("keyword", "source"),
    [
        ("raise", "def g():\n    raise ValueError"),
        ("assert", "assert True, 'raise'"),
        ("try", "try:\n    pass\nfinally:\n    pass"),
        ("try", "try:\n    pass\nexcept* ValueError:\n    pass"),
    ],
)
def test_refuses_banned_keywords_only(keyword: str, source: str) -> None:
    others = tuple({"raise", "assert", "try"} - {keyword})
    assert rule(source + "\n" + F, RuleSet(banned_keywords=(keyword,))) == "banned_keyword"
    assert rule(source + "\n" + F, RuleSet(banned_keywords=others)) is None


def test_keywords_within_words_and_strings_are_fine() -> None:
    rules = RuleSet(banned_keywords=("raise", "assert", "try"))
    assert finding(F + "country = 'try'  # raise\nassertion = praise = 0", rules) is None


def test_size_is_measured_in_bytes() -> None:
    assert rule(F, RuleSet(max_source_bytes=len(F))) is None
    assert rule(F + " ", RuleSet(max_source_bytes=len(F))) == "too_long"
    wide = F + "# é"
    assert rule(wide, RuleSet(max_source_bytes=len(wide))) == "too_long"
    assert rule(wide, RuleSet(max_source_bytes=len(wide) + 1)) is None


@pytest.mark.parametrize("char", ["\0", "\ud800"])
def test_refuses_text_that_cannot_be_compiled(char: str) -> None:
    found = check_text(F + "#" + char, DEFAULT)
    assert found is not None
    assert found.rule == "bad_text"


@pytest.mark.parametrize(
    "source",
    [
        "(" * 150,
        "[" * 150 + "]" * 150,
        "{(" * 75,
        "f(" * 150 + ")" * 150,
        "-" * 150 + "1",
        "- + ~" * 50 + "1",
        "not " * 150 + "1",
        "lambda: " * 150 + "1",
        "lambda x, y: " * 150 + "1",
        "await " * 150 + "1",
        "-\\\n" * 150 + "1",
    ],
)
def test_refuses_to_compile_what_strains_the_parser(source: str) -> None:
    found = check_text(F + source, DEFAULT)
    assert found is not None
    assert found.rule == "too_deep"


@pytest.mark.parametrize(
    "source",
    [
        "x = '" + "(" * 150 + "'",
        "x = '''" + "(\n" * 150 + "'''",
        "# " + "-" * 150,
        '"""' + "-" * 150 + '"""',
        "x = '\\'" + "(" * 150 + "'",
        "x = [" + "(1), " * 150 + "]",
        "x = " + "1 - -1\n" * 150,
        "x = 1\n" + "y = -x\n" * 150,
    ],
)
def test_many_brackets_and_signs_side_by_side_are_fine(source: str) -> None:
    source = source.replace("\n 1", "\n1")
    assert finding(F + source) is None


@pytest.mark.parametrize(
    "source",
    [
        "x" + " + x" * 140,
        "x" + ".a" * 140,
        "x" + "[0]" * 140,
        "x" + "()" * 140,
        "x" + ".replace('a', 'b')" * 140,
        "if x: pass\n" + "elif x: pass\n" * 140,
        "def g(x):\n    if x:\n        return 1\n" + "    elif x:\n        return 1\n" * 140,
        "1 if x else " * 140 + "1",
        "x" + " ** x" * 140,
        "(x\n" + "+ x\n" * 140 + ")",
        "(x + ')'\n" + "- x * x\n" * 140 + ")",
        "x = '''\n'''" + "+ '''\n'''" * 140,
        "x" + " \\\n + x" * 140,
        "x = f'{" + "x + " * 140 + "x}'",
        "été" + " + été" * 140,
        "x = " + "1 and " * 140 + "1",
        "x = " + "1 < " * 140 + "1",
    ],
)
def test_what_stands_side_by_side_is_not_deep(source: str) -> None:
    assert finding(F + source) is None
    assert finding(F + source, RuleSet(max_depth=12)) is None


@pytest.mark.parametrize(
    "source",
    [
        "x = " + "x + (" * 95 + "x" + ")" * 95,
        "".join(" " * n + "if x:\n" for n in range(99)) + " " * 99 + "pass",
        "x = " + "x[" * 95 + "0" + "]" * 95,
        "x = " + "g(" * 95 + ")" * 95,
        "x = " + "1 + 2 * (" * 50 + "1" + ")" * 50,
        "x = " + "not (x and " * 50 + "1" + ")" * 50,
    ],
)
def test_refuses_deep_trees(source: str) -> None:
    assert rule(F + source, RuleSet(max_depth=90)) == "too_deep"
    assert rule(F + source, RuleSet(max_depth=200)) is None


def test_an_if_in_an_else_is_deeper_than_an_elif() -> None:
    source = "".join(" " * n + "if x: pass\n" + " " * n + "else:\n" for n in range(95))
    assert rule(F + source + " " * 95 + "x", RuleSet(max_depth=90)) == "too_deep"


def test_what_the_interpreter_cannot_compile_is_refused_where_it_is_parsed() -> None:
    for source in ("y = 'x'" + "+'x'" * 9_000, "y = lambda: x" + ".a" * 9_000):
        assert check_text(source, DEFAULT) is None
        assert answer(("program", source, DEFAULT))[0][0] == "syntax_error"


def test_depth_counts_nested_statements_and_expressions() -> None:
    # module > def > return > sum > name
    source = "def f(x):\n    return x + x\n"
    assert rule(source, RuleSet(max_depth=4)) is None
    assert rule(source, RuleSet(max_depth=3)) == "too_deep"


FRAGMENTS = [
    "x", "(x)", "[x, x]", "{x: x}", "x.y", "x[0]", "f(x, y=x)", "-x", "not x", "x + x",
    "x if x else x", "lambda x: x", "f'{x!r:>{x}}'", "'(['", "[x for x in x if x]", "x < x < x",
    "'''\n)'''", "(x,\nx)", "x or x and x", "*x,", "x[x:x]", "(x := x)",
]  # fmt: skip
NESTED = st.recursive(
    st.sampled_from(FRAGMENTS),
    lambda inner: st.tuples(st.sampled_from(FRAGMENTS[:-4]), inner).map(
        lambda pair: pair[0].replace("x", f"({pair[1].replace('*x,', 'x')})", 1)
    ),
    max_leaves=4,
)


@given(NESTED, st.sampled_from(["{}", "y = {}", "if y:\n  {}\nelif y:\n    while y: z = 1"]))
def test_the_cheap_bound_is_never_below_the_depth(expression: str, statement: str) -> None:
    source = statement.format(expression)
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return
    assert _depth_bound(source, 0) >= _tree_depth(tree)


@given(
    st.sampled_from(
        ["", F, F + "import random", "import os\n" + F, "def f(): pass", F + "raise 1"]
    ),
    st.sampled_from(["# import random, try\n", "\n", "   # ((((\n", "'f = 1'\n"]),
    st.booleans(),
)
def test_comments_strings_and_blank_lines_change_no_finding(
    source: str, line: str, first: bool
) -> None:
    rules = DEFAULT._replace(banned_keywords=("raise",))
    changed = line + source if first else f"{source}\n{line}"
    assert rule(changed, rules) == rule(source, rules)


def test_imported_modules_are_the_roots_of_all_absolute_imports() -> None:
    source = (
        "import os.path, math as m\nfrom collections.abc import Set\nfrom . import a\n"
        "def g():\n    class A:\n        from re import I\n    import json\n"
    )
    code = compile(source, "<program>", "exec", dont_inherit=True)
    assert imported_modules(code) == {"os", "math", "collections", "re", "json"}


def test_a_program_without_imports_imports_nothing() -> None:
    assert imported_modules(compile(F, "<program>", "exec")) == frozenset()

"""From the program a model wrote to the one that is validated, stored and shown.

These functions parse model-written source. CPython's parser can be stalled or crashed by text, so
the trainer calls them in the processes of :mod:`trainer.game.play.parser_pool` only.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from trainer.game.settings import GenerationRewardConfig

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

MAX_SOURCE_CHARS = 65536


class Program(NamedTuple):
    """A program as it is validated."""

    source: str
    """Defines ``f``; its imports included."""
    imports: tuple[str, ...]
    """Import lines of the top level, without ``__future__`` and relative ones."""


class Refused(NamedTuple):
    """The reason why a program is not validated; a short sentence."""

    reason: str


def clean(code: str, config: GenerationRewardConfig) -> Program | Refused:
    """Apply AZR's rules: one function, called ``f``, and what the settings remove."""
    if len(code) > MAX_SOURCE_CHARS:
        return Refused(f"the program has more than {MAX_SOURCE_CHARS} characters")
    try:
        tree = ast.parse(code)
        return _clean(code, tree, config)
    except SyntaxError as error:
        return Refused(f"the program does not compile: {error.msg}")
    except (ValueError, RecursionError, MemoryError) as error:
        return Refused(f"the program cannot be parsed: {error}")


def _clean(code: str, tree: ast.Module, config: GenerationRewardConfig) -> Program | Refused:
    names = [node.name for node in tree.body if isinstance(node, _FUNCTIONS)]
    if not names:
        return Refused("the program defines no function")
    if config.reject_multiple_functions and len(names) > 1:
        return Refused(f"the program defines {len(names)} functions, allowed is one")
    if config.reject_test_input_in_code and holds_test_input(code):
        return Refused("the program seems to hold a test input")
    entry = _entry(names, config.f_replace_location)
    if entry != "f":
        if "f" in names:
            return Refused(f"the entry function is {entry}, but another one is called f")
        rename(tree, entry, "f")
    changed = _strip(tree, config) or entry != "f"
    source = ast.unparse(ast.fix_missing_locations(tree)) if changed else code
    return Program(source, imports_of(tree))


def _strip(tree: ast.Module, config: GenerationRewardConfig) -> bool:
    """Take out what the settings say; returns whether the tree may have changed."""
    changed = False
    if config.remove_after_return:
        changed = _keep_definitions(tree)
    if config.remove_comments:
        _remove_docstrings(tree)
        changed = True
    if config.remove_print:
        changed = _remove_prints(tree) or changed
    return changed


def imports_of(tree: ast.Module) -> tuple[str, ...]:
    """The import lines of the top level, each once, in order.

    ``__future__`` and relative imports are left out: before another text they mean something else.
    """
    lines = [
        ast.unparse(node)
        for node in tree.body
        if isinstance(node, ast.Import)
        or (isinstance(node, ast.ImportFrom) and not node.level and node.module != "__future__")
    ]
    return tuple(dict.fromkeys(lines))


def _entry(names: list[str], location: str) -> str:
    """AZR's names: ``not_first`` takes the first function, ``not_last`` the last one."""
    if location.startswith("any") and "f" in names:
        return "f"
    return names[0 if location.endswith("first") else -1]


_TEST_INPUT = re.compile(
    r"#\s*(?:test|example)"
    r"|\b\w*input\w*\s*=(?!=)"
    r"|^\s*(?:expected\w*|output|result)\s*=(?!=)\s*f\("
    r"|\bassert\b"
    r"|\bprint\(\s*f\("
    r"|(?:^|[^\w.])(?<!def )f\([^()\n]*\)\s*(?:#.*)?$",
    re.IGNORECASE | re.MULTILINE,
)
_DEFINITION = re.compile(r"^\s*(?:def|return)\b")


def holds_test_input(code: str) -> bool:
    """Whether a program seems to hold test inputs, examples or calls of ``f`` beside its code."""
    lines = (line for line in code.splitlines() if not _DEFINITION.match(line))
    return any(_TEST_INPUT.search(line) for line in lines)


# -- Renaming -------------------------------------------------------------------------------------

_SCOPES = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef,
    ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp,
)  # fmt: skip


def rename(tree: ast.Module, old: str, new: str) -> None:
    """Rename a function of the top level, and all that refers to it, in place.

    Calls and other uses are followed, a local variable of the same name is not.
    """
    _rename_in(tree, old, new)


def _rename_in(scope: ast.AST, old: str, new: str) -> None:
    for node in _own_nodes(scope):
        if isinstance(node, ast.Name) and node.id == old:
            node.id = new
        elif isinstance(node, ast.Global):
            node.names = [new if name == old else name for name in node.names]
        elif isinstance(node, _SCOPES):
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                and node.name == old
            ):
                node.name = new
            if not _binds(node, old):
                _rename_in(node, old, new)


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a scope; those of scopes inside it not, except for the inner scope's head."""
    waiting = list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, _SCOPES):
            waiting += ast.iter_child_nodes(node)


def _binds(scope: ast.AST, name: str) -> bool:
    """Whether a scope has a variable of its own of this name."""
    own = list(_own_nodes(scope))
    if any(isinstance(node, ast.Global) and name in node.names for node in own):
        return False
    return any(name in _bound_by(node) for node in own)


def _bound_by(node: ast.AST) -> tuple[str | None, ...]:
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            return (name,)
        case ast.arg(arg=name):
            return (name,)
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return (name,)
        case ast.alias(name=name, asname=asname):
            return (asname or name.partition(".")[0],)
        case ast.ExceptHandler(name=name) | ast.MatchAs(name=name) | ast.MatchStar(name=name):
            return (name,)
    return ()


# -- Removing -------------------------------------------------------------------------------------

_KEPT = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _keep_definitions(tree: ast.Module) -> bool:
    kept = [node for node in tree.body if isinstance(node, _KEPT)]
    changed = len(kept) < len(tree.body)
    tree.body[:] = kept
    return changed


def _remove_docstrings(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                del node.body[0]
                if not node.body and not isinstance(node, ast.Module):
                    node.body.append(ast.Pass())


class _PrintRemover(ast.NodeTransformer):
    """Removes statements that print; a print inside an expression becomes ``None``."""

    removed = False

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if _is_print(node.value):
            self.removed = True
            return ast.Pass()
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if _is_print(node):
            self.removed = True
            return ast.Constant(None)
        return self.generic_visit(node)


def _is_print(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    )


def _remove_prints(tree: ast.Module) -> bool:
    remover = _PrintRemover()
    remover.visit(tree)
    return remover.removed

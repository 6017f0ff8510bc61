"""Compiles tests that are code, for the parser: see ``test_driver.py``."""

from __future__ import annotations
import __future__

import ast
import builtins
import functools
import importlib.util
import marshal
import re
import symtable
import sys
from collections.abc import Iterator
from types import CodeType
from typing import Any

from executor.guest import test_driver

_DRIVER = "executor.guest.test_driver"
_SIMPLE = (ast.Import, ast.ImportFrom, ast.Pass, ast.Global, ast.Nonlocal, ast.Break, ast.Continue)
_BLOCKS = ("body", "orelse", "finalbody")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_BRANCHES = (ast.If, ast.For, ast.While, ast.AsyncFor, ast.Match)
_FLAGS = __future__.annotations.compiler_flag
_STOPS = ("StopIteration", "StopAsyncIteration")
_RANDOM = re.compile(r"\b(?:random|numpy)\b")


class NoTests(Exception):
    """The text is no tests. The message is a sentence."""


class Compiled:
    """Tests as a program of a job."""

    def __init__(self, code: bytes, required: list[int], calls_check: bool) -> None:
        self.code = code
        self.required = required
        """Assertions that are reached in any case: their numbers."""
        self.calls_check = calls_check
        """Whether they are in ``check(candidate)``, which is to be called."""


def compile_tests(source: str) -> Compiled:
    """Raises :class:`NoTests`, and what ``compile`` raises."""
    tree = ast.parse(source, test_driver.FILE)
    check = _last_definition(tree, "check")
    calls_check = check is not None and not _calls(tree, "check")
    if check is not None and calls_check and not _parameters(check):
        raise NoTests("check() must take what is tested: def check(candidate)")
    required = _required(tree, check)
    guard = _Guard()
    tree.body = guard.block(tree.body)
    if not guard.numbers:
        raise NoTests("the tests hold no assertion")
    # Annotations are not evaluated: their names need not be imported.
    code = compile(tree, test_driver.FILE, "exec", _FLAGS, dont_inherit=True, optimize=0)
    names = _free_names(source, guard.caught)
    about = (code, *names, calls_check, _RANDOM.search(source) is not None)
    reached = [guard.numbers[node] for node in required]
    return Compiled(marshal.dumps(_with_tests(marshal.dumps(about))), reached, calls_check)


def _with_tests(payload: bytes) -> CodeType:
    code = _driver_code()
    constants = (payload if part == test_driver.TESTS else part for part in code.co_consts)
    return code.replace(co_consts=tuple(constants), co_filename=_DRIVER)


@functools.cache
def _driver_code() -> CodeType:
    spec = importlib.util.find_spec(_DRIVER)
    assert spec is not None
    code: CodeType = spec.loader.get_code(_DRIVER)  # type: ignore[union-attr]
    return code


def _last_definition(tree: ast.Module, name: str) -> ast.FunctionDef | None:
    found = None
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == name:
            found = statement
    return found


def _parameters(function: ast.FunctionDef) -> bool:
    arguments = function.args
    return bool(arguments.posonlyargs or arguments.args or arguments.vararg)


def _calls(tree: ast.Module, name: str) -> bool:
    """Whether a statement of the module calls a function."""
    return any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
        for statement in tree.body
        if not isinstance(statement, (*_FUNCTIONS, ast.Assert, ast.Assign))
        for node in ast.walk(statement)
    )


def _free_names(source: str, caught: set[str]) -> tuple[list[str], list[str], list[str]]:
    """Names that the tests use and do not define: of the answer, of modules, of exceptions."""
    table = symtable.symtable(source, test_driver.FILE, "exec")
    bound = {
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
    }
    used = sorted(set(_globals(table)) - bound)
    free = [name for name in used if not hasattr(builtins, name)]
    modules = [
        name for name in free if name in sys.stdlib_module_names and _is_dotted(name, source)
    ]
    exceptions = [name for name in free if name in caught]
    return [name for name in free if name not in (*modules, *exceptions)], modules, exceptions


def _globals(table: symtable.SymbolTable) -> Iterator[str]:
    top = table.get_type() == "module"
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (top or symbol.is_global()):
            yield symbol.get_name()
    for below in table.get_children():
        yield from _globals(below)


def _is_dotted(name: str, source: str) -> bool:
    """Whether a name is used as a module is: for its parts, and never called."""
    return bool(re.search(rf"\b{name}\.", source)) and not re.search(rf"\b{name}\(", source)


def _required(tree: ast.Module, check: ast.FunctionDef | None) -> list[ast.Assert]:
    """Assertions that are reached unless something ends the tests."""
    found = list(_reached(tree.body))
    return found + list(_reached(check.body)) if check is not None else found


def _reached(body: list[ast.stmt]) -> Iterator[ast.Assert]:
    for statement in body:
        if isinstance(statement, ast.Assert):
            yield statement
        elif isinstance(statement, _BRANCHES) and _leaves(statement):
            return
        elif isinstance(statement, ast.With):
            yield from _reached(statement.body)
        elif isinstance(statement, (ast.Return, ast.Try)):
            return


def _leaves(statement: ast.stmt) -> bool:
    return any(isinstance(node, ast.Return) for node in ast.walk(statement))


class _Guard:
    """Puts every statement where the driver learns how it ends.

    In the strict way what is raised goes on from there; in the loose way the next statement is
    tried. Assertions are counted.
    """

    def __init__(self) -> None:
        self.numbers: dict[ast.Assert, int] = {}
        self.caught: set[str] = set()
        """Names of exceptions that are caught."""

    def block(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """The statements of a block, guarded."""
        return [self._statement(statement) for statement in body]

    def _statement(self, statement: ast.stmt) -> ast.stmt:
        if isinstance(statement, ast.Assert):
            return self._assertion(statement)
        for field in _BLOCKS:
            if block := getattr(statement, field, None):
                setattr(statement, field, self.block(block))
        for handler in getattr(statement, "handlers", ()):
            self._handler(handler)
            handler.body = self.block(handler.body)
        for case in getattr(statement, "cases", ()):
            case.body = self.block(case.body)
        if isinstance(statement, (*_SIMPLE, *_FUNCTIONS)) or _is_text(statement):
            return statement
        make = _Maker(statement)
        handler = [make.tell("_skip_")]
        handler += [make.later(name) for name in _targets(statement)]
        if isinstance(statement, ast.Return):
            handler.append(ast.Return(make.name("_later_"), **make.place))
        return make.guarded(statement, handler, [])

    def _handler(self, handler: ast.ExceptHandler) -> None:
        parts = _parts(handler.type)
        names = {part.id for part in parts if isinstance(part, ast.Name)}
        self.caught |= names
        if names.intersection(_STOPS):
            make = _Maker(parts[0])
            handler.type = ast.Tuple([*parts, make.name("_Stopped_")], ast.Load(), **make.place)

    def _assertion(self, statement: ast.Assert) -> ast.stmt:
        number = self.numbers[statement] = len(self.numbers) + 1
        make = _Maker(statement)
        return make.guarded(
            statement, [make.tell("_failed_", number)], [make.call("_done_", [make.number(number)])]
        )


class _Maker:
    """Makes nodes that stand where a statement stands, or an expression."""

    def __init__(self, statement: ast.stmt | ast.expr) -> None:
        self.place: dict[str, Any] = {
            "lineno": statement.lineno,
            "col_offset": statement.col_offset,
            "end_lineno": statement.end_lineno or statement.lineno,
            "end_col_offset": statement.end_col_offset or statement.col_offset,
        }

    def name(self, name: str, context: ast.expr_context | None = None) -> ast.Name:
        """A name that is read, or otherwise used."""
        return ast.Name(name, context or ast.Load(), **self.place)

    def number(self, number: int) -> ast.Constant:
        """A number."""
        return ast.Constant(number, **self.place)

    def call(self, function: str, arguments: list[ast.expr]) -> ast.stmt:
        """The call of one of the driver's functions."""
        call = ast.Call(self.name(function), arguments, [], **self.place)
        return ast.Expr(call, **self.place)

    def tell(self, function: str, *numbers: int) -> ast.stmt:
        """Tell the driver of an exception."""
        return self.call(function, [*map(self.number, numbers), self.name("_error_")])

    def later(self, name: str) -> ast.stmt:
        """Give a name the value that stands for what is not known yet."""
        return ast.Assign([self.name(name, ast.Store())], self.name("_later_"), **self.place)

    def guarded(
        self, statement: ast.stmt, handler: list[ast.stmt], otherwise: list[ast.stmt]
    ) -> ast.stmt:
        """A statement between ``try`` and ``except``."""
        everything = self.name("_Everything_")
        caught = ast.ExceptHandler(everything, "_error_", handler, **self.place)
        return ast.Try([statement], [caught], otherwise, [], **self.place)


def _parts(node: ast.expr | None) -> list[ast.expr]:
    if isinstance(node, ast.Tuple):
        return node.elts
    return [node] if node is not None else []


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _targets(statement: ast.stmt) -> list[str]:
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, (ast.AugAssign, ast.AnnAssign)):
        targets = [statement.target]
    return [
        node.id
        for target in targets
        for node in ast.walk(target)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]

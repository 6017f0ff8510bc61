"""Compiles tests that are code, for the parser: see ``test_driver.py``."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import marshal
import sys
from collections.abc import Iterator
from types import CodeType

from executor.guest import test_driver

_DRIVER = "executor.guest.test_driver"
_SIMPLE = (ast.Import, ast.ImportFrom, ast.Pass, ast.Global, ast.Nonlocal, ast.Break, ast.Continue)
_BLOCKS = ("body", "orelse", "finalbody")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_BRANCHES = (ast.If, ast.For, ast.While, ast.AsyncFor, ast.Match)
_RANDOM = frozenset({"random", "numpy", "np"})


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
    names, modules, exceptions = _free_names(tree)
    is_random = not _RANDOM.isdisjoint(_words(tree))
    required = _required(tree, check)
    sites = _Strict()
    strict = _code(sites.visit(tree))
    if not sites.count:
        raise NoTests("the tests hold no assertion")
    loose = _code(_Loose().visit(ast.parse(source, test_driver.FILE)))
    payload = marshal.dumps((strict, loose, names, modules, exceptions, calls_check, is_random))
    reached = [sites.numbers[node] for node in required]
    return Compiled(marshal.dumps(_with_tests(payload)), reached, calls_check)


def _code(tree: ast.Module) -> CodeType:
    ast.fix_missing_locations(tree)
    return compile(tree, test_driver.FILE, "exec", dont_inherit=True, optimize=0)


def _with_tests(payload: bytes) -> CodeType:
    spec = importlib.util.find_spec(_DRIVER)
    assert spec is not None
    code: CodeType = spec.loader.get_code(_DRIVER)  # type: ignore[union-attr]
    constants = (payload if part == test_driver.TESTS else part for part in code.co_consts)
    return code.replace(co_consts=tuple(constants), co_filename=_DRIVER)


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
        if not isinstance(statement, _FUNCTIONS)
        for node in ast.walk(statement)
    )


def _words(tree: ast.Module) -> set[str]:
    words = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            words.add(node.id)
        elif isinstance(node, ast.alias):
            words.add(node.name.partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            words.add((node.module or "").partition(".")[0])
    return words


def _free_names(tree: ast.Module) -> tuple[list[str], list[str], list[str]]:
    """Names that the tests use and do not define: of the answer, of modules, of exceptions."""
    bound: set[str] = set()
    used: dict[str, None] = {}
    dotted: set[str] = set()
    called: set[str] = set()
    caught: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load):
                used[node.id] = None
            else:
                bound.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            dotted.add(node.value.id)
        elif isinstance(node, ast.ExceptHandler):
            caught |= {part.id for part in _parts(node.type) if isinstance(part, ast.Name)}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called.add(node.func.id)
        bound |= set(_bound_by(node))
    free = [name for name in used if name not in bound and not hasattr(builtins, name)]
    exceptions = [name for name in free if name in caught]
    modules = [
        name
        for name in free
        if name in dotted and name not in called and name in sys.stdlib_module_names
    ]
    rest = [name for name in free if name not in caught and name not in modules]
    return rest, modules, exceptions


def _parts(node: ast.expr | None) -> list[ast.expr]:
    if isinstance(node, ast.Tuple):
        return node.elts
    return [node] if node is not None else []


def _bound_by(node: ast.AST) -> Iterator[str]:
    if isinstance(node, _FUNCTIONS):
        yield node.name
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.alias):
        yield (node.asname or node.name).partition(".")[0]
    elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
        if node.name:
            yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest


def _required(tree: ast.Module, check: ast.FunctionDef | None) -> list[ast.Assert]:
    """Assertions that are reached unless something ends the tests."""
    found = list(_reached(tree.body))
    return found + list(_reached(check.body)) if check is not None else found


def _reached(body: list[ast.stmt]) -> Iterator[ast.Assert]:
    for statement in body:
        if isinstance(statement, ast.Assert):
            yield statement
        elif isinstance(statement, (*_FUNCTIONS, *_BRANCHES)):
            if _leaves(statement):
                return
        elif isinstance(statement, ast.With):
            yield from _reached(statement.body)
        elif isinstance(statement, ast.Return):
            return


def _leaves(statement: ast.stmt) -> bool:
    return not isinstance(statement, _FUNCTIONS) and any(
        isinstance(node, ast.Return) for node in ast.walk(statement)
    )


def _call(function: str, *arguments: ast.expr) -> ast.stmt:
    return ast.Expr(ast.Call(ast.Name(function, ast.Load()), list(arguments), []))


def _guarded(body: list[ast.stmt], name: str, handler: list[ast.stmt]) -> ast.Try:
    everything = ast.Name("BaseException", ast.Load())
    return ast.Try(body, [ast.ExceptHandler(everything, name, handler)], [], [])


class _Strict(ast.NodeTransformer):
    """Counts assertions that hold, and tells of those that do not."""

    def __init__(self) -> None:
        self.count = 0
        self.numbers: dict[ast.Assert, int] = {}

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        """Put an assertion between what notes how it ends."""
        self.count += 1
        self.numbers[node] = self.count
        site = ast.Constant(self.count)
        tell = _call("_failed_", site, ast.Name("_error_", ast.Load()))
        guarded = _guarded([node], "_error_", [tell])
        guarded.orelse = [_call("_done_", site)]
        return ast.copy_location(guarded, node)


class _Loose:
    """Lets each statement that cannot be done be left out, and the next one be tried."""

    def visit(self, tree: ast.Module) -> ast.Module:
        """Change the whole."""
        tree.body = self._block(tree.body)
        return tree

    def _block(self, body: list[ast.stmt]) -> list[ast.stmt]:
        return [self._statement(statement) for statement in body]

    def _statement(self, statement: ast.stmt) -> ast.stmt:
        for field in _BLOCKS:
            block = getattr(statement, field, None)
            if block:
                setattr(statement, field, self._block(block))
        for part in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
            part.body = self._block(part.body)
        if isinstance(statement, (*_SIMPLE, *_FUNCTIONS)) or _is_future(statement):
            return statement
        later = ast.Name("_later_", ast.Load())
        handler = [_call("_skip_", ast.Name("_error_", ast.Load()))]
        handler += [ast.Assign([name], later) for name in _targets(statement)]
        if isinstance(statement, ast.Return):
            handler.append(ast.Return(later))
        return ast.copy_location(_guarded([statement], "_error_", handler), statement)


def _is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _targets(statement: ast.stmt) -> list[ast.expr]:
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, (ast.AugAssign, ast.AnnAssign)):
        targets = [statement.target]
    return [
        ast.Name(node.id, ast.Store())
        for target in targets
        for node in ast.walk(target)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]

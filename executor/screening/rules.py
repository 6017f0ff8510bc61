"""Quality rules that a program must meet before it is run.

Screening keeps unsuitable tasks out of a data set. It is never the security boundary: a program
that gets around a rule meets the same sandbox as every other one.

:func:`check_text` looks at the text before it is compiled; :func:`screen` looks at the compiled
program, and at the syntax tree only where the code object cannot decide.

The entry function is the last binding of ``f`` at the top level of the program, ``if`` and ``try``
blocks included. Whatever it is bound to is judged by what it does when it is called; refused are
only coroutines, and what can be seen to be no function: constants, displays, modules. How many
arguments it takes counts where it can be seen: of a ``def`` (decorated or not) or a ``lambda``.

Depth is measured as a reader does: ``elif`` after ``elif``, the terms of a sum and the links of a
chain of calls stand side by side.

Bans on modules hold for import statements anywhere in the program, and for dotted entries
(``os.path``) also for attributes of names bound by an import. Best effort, not a proof: a module
that is assigned to another name is not followed, and of code in strings only the constants of
programs that name ``exec``, ``eval`` or ``compile`` are looked at.
"""

from __future__ import annotations

import ast
import dis
import re
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType
from typing import NamedTuple


class RuleSet(NamedTuple):
    """The rules of one job; the fields of ``executor.models.Rules``, in the same order, and
    whether the program has to define ``f``."""

    banned_modules: tuple[str, ...] = ()
    banned_keywords: tuple[str, ...] = ()
    min_parameters: int = 1
    max_source_bytes: int = 65536
    max_depth: int = 100
    defines_f: bool = True


class Finding(NamedTuple):
    """The reason why a program is refused."""

    rule: str
    """Short slug: ``too_long``, ``bad_text``, ``too_deep``, ``no_entry_function``,
    ``banned_module`` or ``banned_keyword``."""
    detail: str
    """A sentence for people."""


class _Import(NamedTuple):
    line: int
    module: str
    names: tuple[str, ...]
    """Names in ``from module import ...``; empty for ``import module``."""


_IMPORT_NAME = dis.opmap["IMPORT_NAME"]
_NOT_PLAIN = 0x80 | 0x200  # CO_COROUTINE, CO_ASYNC_GENERATOR
_OPTIMIZED = 0x01  # CO_OPTIMIZED: a function, not the body of a class
_STORE_NAME = dis.opmap["STORE_NAME"]
_BINDING = frozenset(dis.opmap[name] for name in ("STORE_NAME", "STORE_GLOBAL", "DELETE_NAME"))
_MAKE_FUNCTION = dis.opmap["MAKE_FUNCTION"]
_LOAD_CONST = dis.opmap["LOAD_CONST"]
_EXTENDED = dis.opmap["EXTENDED_ARG"]
_VARARGS = 0x04 | 0x08  # CO_VARARGS, CO_VARKEYWORDS
_DYNAMIC_MODULES = ("importlib", "imp", "runpy", "pkgutil", "zipimport")
_DYNAMIC_ATTRIBUTES = ("sys.modules", "builtins.__import__", "builtins.__dict__")
_EVALUATORS = frozenset(("exec", "eval", "compile"))
_KEYWORD_NODES: dict[str, tuple[type[ast.AST], ...]] = {
    "raise": (ast.Raise,),
    "assert": (ast.Assert,),
    "try": (ast.Try, ast.TryStar),
}


def check_text(source: str, rules: RuleSet) -> Finding | None:
    """Check what must hold before the text may be compiled: its size, its characters, and that it
    is not nested so deeply that CPython's parser would be strained."""
    if not source.isascii() or len(source) > rules.max_source_bytes:
        size = len(source.encode("utf-8", "surrogatepass"))
        if size > rules.max_source_bytes:
            limit = rules.max_source_bytes
            return Finding("too_long", f"the program has {size} bytes, allowed are {limit}")
        if _SURROGATE.search(source):
            return Finding("bad_text", "the program contains a lone surrogate")
    if "\0" in source:
        return Finding("bad_text", "the program contains a NUL character")
    if _strains_parser(source, rules.max_depth):
        return Finding("too_deep", f"the program is nested more than {rules.max_depth} levels deep")
    return None


def screen(source: str, code: CodeType, rules: RuleSet) -> Finding | None:
    """The first rule that the program breaks, or ``None``.

    ``code`` is ``source`` compiled in mode ``exec``, and ``source`` has passed
    :func:`check_text`.
    """
    try:
        return _first_finding(source, code, rules)
    except (RecursionError, MemoryError):
        return Finding("too_deep", "the program is nested too deeply to be parsed")


def _first_finding(source: str, code: CodeType, rules: RuleSet) -> Finding | None:
    parts = tuple(_code_objects(code))
    tree = _LazyTree(source)
    return (
        (_entry_function(code, rules.min_parameters) if rules.defines_f else None)
        or _too_deep(source, tree, rules)
        or (_banned_module(parts, tree, rules) if rules.banned_modules else None)
        or (_banned_keyword(tree, rules) if rules.banned_keywords else None)
    )


def imported_modules(code: CodeType) -> frozenset[str]:
    """Top-level names of the modules that the program imports anywhere by an import statement."""
    imports = _imports(tuple(_code_objects(code)))
    return frozenset(entry.module.partition(".")[0] for entry in imports)


def _code_objects(code: CodeType) -> Iterator[CodeType]:
    waiting = [code]
    while waiting:
        part = waiting.pop()
        yield part
        waiting += [const for const in part.co_consts if isinstance(const, CodeType)]


class _LazyTree:
    """The syntax tree of a source, parsed when it is first needed."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._nodes: list[ast.AST] | None = None

    @property
    def nodes(self) -> list[ast.AST]:
        """All nodes, outermost first."""
        if self._nodes is None:
            self._nodes = list(ast.walk(ast.parse(self.source)))
        return self._nodes


# -- Nesting ------------------------------------------------------------------------------------

_SURROGATE = re.compile("[\ud800-\udfff]")
_STRING_OR_COMMENT = re.compile(
    r"#[^\n]*+"
    r'|"""(?:[^"\\]|\\.|"(?!""))*+(?:"""|\\?\Z)'
    r"|'''(?:[^'\\]|\\.|'(?!''))*+(?:'''|\\?\Z)"
    r'|"(?:[^"\\\n]|\\.)*+(?:"|\Z)?'
    r"|'(?:[^'\\\n]|\\.)*+(?:'|\Z)?",
    re.DOTALL,
)
_OPENING = "([{"
_CLOSING = ")]}"
_PREFIX_WORDS = ("not", "lambda", "await")
_LINKS = frozenset(("-", "+", "~", "not", "await"))
_NESTING = ".([{)]}+-*/%@&|^~<>=!:,'\"`;"


_PREFIX = re.compile(
    r"[-+~]|\b(?:not|await|lambda)\b|[:()\n]|(?:(?!\b(?:not|await|lambda)\b)[^-+~:()\n])++"
)


def _prefix_chain(bare: str) -> int:
    """The longest row of prefix operators, one behind the other."""
    longest = length = 0
    in_lambda = False  # between the word and its colon
    for part in _PREFIX.findall(bare):
        if part == "lambda":
            in_lambda = True
        elif in_lambda:
            in_lambda = part not in ":()\n"
            length = length + 1 if part == ":" else length if in_lambda else 0
        elif part in _LINKS:
            length += 1
        elif part.strip(" \t\f\v\r\\") and part != "\n":
            length = 0
        longest = max(longest, length)
    return longest


def _strains_parser(source: str, max_depth: int) -> bool:
    """Whether brackets or prefix operators are nested more than ``max_depth`` levels deep."""
    count = source.count
    brackets = count("(") + count("[") + count("{")
    signs = count("-") + count("+") + count("~")
    if max(brackets, signs + sum(map(count, _PREFIX_WORDS))) <= max_depth:
        return False
    bare = _STRING_OR_COMMENT.sub('""', source)
    return _bracket_depth(bare) > max_depth or _prefix_chain(bare) > max_depth


def _bracket_depth(bare: str) -> int:
    depth = deepest = 0
    for char in bare:
        if char in _OPENING:
            depth += 1
            deepest = max(deepest, depth)
        elif char in _CLOSING:
            depth = max(depth - 1, 0)
    return deepest


def _too_deep(source: str, tree: _LazyTree, rules: RuleSet) -> Finding | None:
    if _depth_bound(source, rules.max_depth) <= rules.max_depth:
        return None
    depth = _tree_depth(tree.nodes[0])
    if depth <= rules.max_depth:
        return None
    limit = rules.max_depth
    return Finding("too_deep", f"the program is nested {depth} levels deep, allowed are {limit}")


class _KeepNesting(dict[int, int | None]):
    """A table for ``str.translate`` that keeps only characters that can nest."""

    def __init__(self) -> None:
        super().__init__({ord(char): ord(char) for char in _NESTING})

    def __missing__(self, char: int) -> None:
        self[char] = None


_KEEP_NESTING = _KeepNesting()
_ONE_LINE = {10: " ", **{ord(bracket): "." for bracket in _OPENING + _CLOSING}}


def _depth_bound(source: str, enough: int) -> int:
    """An upper bound of :func:`_tree_depth` from the text alone, in a small part of its time.

    Every level of an expression has a token of its own, which is a word or one of ``_NESTING``;
    every level of statements is one column of indent, or a ``:`` within the line.
    """
    statements = max(map(_indent, source.split("\n"))) + 2
    total = statements + _width(source)
    return total if total <= enough else statements + _widest_line(source)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _width(text: str) -> int:
    """Count words and nesting characters."""
    kept = text.translate(_KEEP_NESTING) if text.isascii() else text
    return len(kept) + len(text.split())


def _widest_line(source: str) -> int:
    """The largest :func:`_width` of a logical line."""
    widest = width = open_brackets = 0
    for line in _STRING_OR_COMMENT.sub(_in_one_line, source).split("\n"):
        width += _width(line)
        widest = max(widest, width)
        count = line.count
        open_brackets += count("(") + count("[") + count("{")
        open_brackets -= count(")") + count("]") + count("}")
        if open_brackets == 0 and not line.endswith("\\"):
            width = 0
    return widest


def _in_one_line(match: re.Match[str]) -> str:
    """The text of a string or a comment, as wide as it was, without brackets and new lines."""
    return match[0].translate(_ONE_LINE)


def _tree_depth(root: ast.AST) -> int:
    """How many statements and expressions are nested in each other, at the deepest place; what
    stands side by side for a reader is on one level."""
    deepest = 0
    waiting = [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        if isinstance(node, (ast.expr, ast.stmt)):
            depth += 1
            deepest = max(deepest, depth)
        beside = _beside(node)
        waiting += [(child, depth - (child is beside)) for child in ast.iter_child_nodes(node)]
    return deepest


def _beside(node: ast.AST) -> ast.AST | None:
    """The child that stands beside its parent, though the tree has it below."""
    if isinstance(node, ast.If):
        # ``else: if`` is indented
        follows = node.orelse[0] if len(node.orelse) == 1 else None
        if isinstance(follows, ast.If) and follows.col_offset == node.col_offset:
            return follows
    elif isinstance(node, ast.BinOp):
        return node.right if isinstance(node.op, ast.Pow) else node.left
    elif isinstance(node, (ast.Attribute, ast.Subscript)):
        return node.value
    elif isinstance(node, ast.Call):
        return node.func
    elif isinstance(node, ast.IfExp):
        return node.orelse
    return None


# -- Entry function -----------------------------------------------------------------------------


def _entry_function(code: CodeType, min_parameters: int) -> Finding | None:
    entry = _only_entry(code)
    if entry is not None and entry.co_argcount >= min_parameters:
        return None
    steps = [step for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]
    last = max((at for at, step in enumerate(steps) if _binds_f(step)), default=None)
    if last is None:
        if not _SECRET_BINDERS.isdisjoint(code.co_names) or "*" in _imported_names(code):
            return None
        return Finding("no_entry_function", "the program does not define a function f")
    if _is_no_function(steps, last):
        return Finding("no_entry_function", "f is not a function")
    return _unfit(_function(steps, last), min_parameters)


def _unfit(entry: CodeType | None, min_parameters: int) -> Finding | None:
    """The reason why a function cannot be the entry; None if it cannot be seen."""
    if entry is None:
        return None
    if entry.co_flags & _NOT_PLAIN:
        return Finding("no_entry_function", "f is a coroutine, not a plain function")
    if _parameters(entry) < min_parameters:
        few = "no arguments" if min_parameters == 1 else "too few arguments"
        return Finding("no_entry_function", f"f takes {few}")
    return None


def _parameters(entry: CodeType) -> int:
    starred = bin(entry.co_flags & _VARARGS).count("1")
    return entry.co_argcount + entry.co_kwonlyargcount + starred


def _only_entry(code: CodeType) -> CodeType | None:
    """The code of ``f`` where that is plain to see: one ``def f``, and no other binding of it.

    Decoding the instructions costs ten times as much as this scan of the bytes.
    """
    if "f" not in code.co_names or code.co_names.index("f") > 255:
        return None
    name = code.co_names.index("f")
    steps = code.co_code
    bindings = [
        at
        for at in range(0, len(steps), 2)
        if steps[at + 1] == name and steps[at] in _BINDING and steps[at - 2] != _EXTENDED
    ]
    if len(bindings) != 1 or steps[bindings[0]] != _STORE_NAME:
        return None
    at = bindings[0]
    if at < 4 or steps[at - 2] != _MAKE_FUNCTION or steps[at - 4] != _LOAD_CONST:
        return None
    made = code.co_consts[steps[at - 3]] if at < 6 or steps[at - 6] != _EXTENDED else None
    plain = isinstance(made, CodeType) and made.co_name == "f" and not made.co_flags & _NOT_PLAIN
    return made if plain else None


_DISPLAYS = frozenset(
    (
        "BUILD_LIST", "BUILD_MAP", "BUILD_CONST_KEY_MAP", "BUILD_SET", "BUILD_TUPLE",
        "BUILD_STRING", "FORMAT_VALUE", "LIST_EXTEND", "SET_UPDATE", "DICT_UPDATE", "COMPARE_OP",
        "IMPORT_NAME", "CONTAINS_OP", "IS_OP", "UNARY_NOT",
    )
)  # fmt: skip
"""Instructions that leave a value that is no function, whatever they are applied to."""
_SECRET_BINDERS = frozenset(("exec", "globals", "vars", "locals", "setattr"))
"""Names of what can bind ``f`` without a trace."""


def _binds_f(step: dis.Instruction) -> bool:
    return step.argval == "f" and step.opname in ("STORE_NAME", "STORE_GLOBAL", "DELETE_NAME")


def _is_no_function(steps: list[dis.Instruction], at: int) -> bool:
    """Whether the instruction ``at`` takes ``f`` away, or binds it to what cannot be called."""
    if steps[at].opname.startswith("DELETE"):
        return True
    before = next((step for step in reversed(steps[:at]) if step.opname != "COPY"), None)
    if before is None:
        return False
    constant = before.opname in ("LOAD_CONST", "RETURN_GENERATOR")
    return before.opname in _DISPLAYS or (constant and not isinstance(before.argval, CodeType))


def _imported_names(code: CodeType) -> set[str]:
    return {name for entry in _imports((code,)) for name in entry.names}


def _function(steps: list[dis.Instruction], at: int) -> CodeType | None:
    """The code of the function that the instruction ``at`` binds to ``f``, if it can be seen."""
    before = steps[at - 1].opname if at else ""
    if before == "MAKE_FUNCTION":
        made: CodeType = steps[at - 2].argval
        return made
    if before != "CALL":
        return None
    # A decorated or a generic function: the call is followed by the binding.
    for step in reversed(steps[:at]):
        if step.opname == "LOAD_CONST" and isinstance(step.argval, CodeType):
            return _named_f(step.argval)
    return None


def _named_f(made: CodeType) -> CodeType | None:
    if made.co_name == "f" and made.co_flags & _OPTIMIZED:
        return made
    if made.co_name == "<generic parameters of f>":
        inner = (const for const in made.co_consts if isinstance(const, CodeType))
        return next((const for const in inner if const.co_name == "f"), None)
    return None


# -- Modules ------------------------------------------------------------------------------------


class _Bans(NamedTuple):
    modules: frozenset[str]
    prefixes: tuple[str, ...]
    dotted_roots: frozenset[str]

    def hit(self, path: str) -> bool:
        return path in self.modules or path.startswith(self.prefixes)

    def below(self, module: str) -> str | None:
        """A ban on an attribute of ``module``, if there is one."""
        return next((ban for ban in sorted(self.modules) if ban.startswith(module + ".")), None)


@lru_cache(maxsize=64)
def _bans(banned_modules: tuple[str, ...]) -> _Bans:
    modules = frozenset((*banned_modules, *_DYNAMIC_MODULES, *_DYNAMIC_ATTRIBUTES))
    return _Bans(
        modules,
        tuple(f"{module}." for module in sorted(modules)),
        frozenset(module.partition(".")[0] for module in modules if "." in module),
    )


def _banned_module(parts: tuple[CodeType, ...], tree: _LazyTree, rules: RuleSet) -> Finding | None:
    bans = _bans(rules.banned_modules)
    imports = _imports(parts)
    finding = _banned_import(imports, bans)
    if finding:
        return finding
    if any(entry.module.partition(".")[0] in bans.dotted_roots for entry in imports):
        finding = _banned_attribute(tree, bans)
        if finding:
            return finding
    return _dynamic_import(parts, bans)


def _imports(parts: tuple[CodeType, ...]) -> list[_Import]:
    """All absolute imports."""
    found = []
    for part in parts:
        if _IMPORT_NAME not in part.co_code[::2]:
            continue
        constants: list[object] = []
        for step in dis.get_instructions(part):
            if step.opname == "LOAD_CONST":
                constants.append(step.argval)
            elif step.opname == "IMPORT_NAME" and constants[-2] == 0:
                line = step.positions.lineno if step.positions else 0
                names = constants[-1] if isinstance(constants[-1], tuple) else ()
                found.append(_Import(line or 0, step.argval, names))
    return found


def _banned_import(imports: list[_Import], bans: _Bans) -> Finding | None:
    for line, module, names in imports:
        if bans.hit(module):
            return _module_finding(module, line)
        for name in names:
            hit = bans.below(module) if name == "*" else f"{module}.{name}"
            if hit and bans.hit(hit):
                return _module_finding(hit, line)
    return None


def _module_finding(path: str, line: int) -> Finding:
    if path.partition(".")[0] in _DYNAMIC_MODULES or path in _DYNAMIC_ATTRIBUTES:
        return Finding("banned_module", f"dynamic import through {path} (line {line})")
    return Finding("banned_module", f"uses {path}, which is banned (line {line})")


def _banned_attribute(tree: _LazyTree, bans: _Bans) -> Finding | None:
    """Use of a banned attribute through a name that an import bound, whatever its scope."""
    nodes = tree.nodes
    aliases = dict(pair for node in nodes for pair in _bound_paths(node))
    for node in nodes:
        if not isinstance(node, ast.Attribute):
            continue
        path = _dotted_path(node, aliases)
        if path and bans.hit(path):
            return _module_finding(path, node.lineno)
    return None


def _bound_paths(node: ast.AST) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            root = alias.name.partition(".")[0]
            yield (alias.asname, alias.name) if alias.asname else (root, root)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        for alias in node.names:
            yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _dotted_path(node: ast.Attribute, aliases: dict[str, str]) -> str | None:
    attributes: list[str] = []
    inner: ast.expr = node
    while isinstance(inner, ast.Attribute):
        attributes.append(inner.attr)
        inner = inner.value
    if not isinstance(inner, ast.Name) or inner.id not in aliases:
        return None
    return ".".join((aliases[inner.id], *reversed(attributes)))


_IMPORT_IN_TEXT = re.compile(r"\b(?:import|from)\s+([\w.]+)(?:\s+import\s+(\w+|\*))?")


def _dynamic_import(parts: tuple[CodeType, ...], bans: _Bans) -> Finding | None:
    names = {name for part in parts for name in part.co_names}
    if "__import__" in names:
        return Finding("banned_module", "dynamic import through __import__")
    if names.isdisjoint(_EVALUATORS):
        return None
    texts = (const for part in parts for const in part.co_consts if isinstance(const, str))
    for text in texts:
        if "__import__" in text:
            return Finding("banned_module", "dynamic import through __import__, in a string")
        for module, name in _IMPORT_IN_TEXT.findall(text):
            if bans.hit(module) or (name and bans.hit(f"{module}.{name}")):
                return Finding("banned_module", f"imports {module}, which is banned, in a string")
    return None


# -- Keywords -----------------------------------------------------------------------------------


def _banned_keyword(tree: _LazyTree, rules: RuleSet) -> Finding | None:
    # A keyword, unlike a name, is never written with other characters than its own.
    for keyword in rules.banned_keywords:
        if keyword not in tree.source:
            continue
        for node in tree.nodes:
            if isinstance(node, _KEYWORD_NODES[keyword]):
                line = node.lineno  # type: ignore[attr-defined]
                return Finding("banned_keyword", f"uses {keyword}, which is banned (line {line})")
    return None

"""Estimates of what a text costs to parse and to compile, made before that is done.

CPython takes time or memory that grows faster than a program does for some few constructs. Each is
counted here, from the text alone where the parser itself is concerned, and else from the syntax
tree, which is only made where the text has enough of the words in question.
"""

from __future__ import annotations

import ast
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    _Constant = tuple[int, int]

_CODE_FREE = 64 << 10
_CODE_PER_BYTE = 16
_FOLDED = 4096
"""Characters that CPython makes of a constant expression at most."""
_MAX_FIELD_COST = 2_500_000_000
"""Fields of f-strings times characters of the text: each costs the tokenizer the whole of it."""
_MAX_KEYWORD_COST = 4_000_000
"""Sum of the squares of the numbers of keywords in a call: each is compared with each."""
_MAX_PATTERN_COST = 500_000
"""The same of the names that a pattern binds: each moves all before it on the stack."""
_MAX_COPIES = 20_000
"""Nodes of ``finally`` blocks that are compiled besides the first time: once for every way out."""
_MAX_BLOCKS = 20
"""Blocks within blocks in one function. With a comprehension among them, the compiler of CPython
3.12 ends the process at the next one, where it has an error for loops."""
_MAX_MARKS = 4096
"""Combining characters in a row: names are normalized, in time that grows with the square."""

_MARKS = re.compile(rf"[^\x00-\x7f]{{{_MAX_MARKS},}}")
_F_PREFIX = re.compile(r"(?:[fF][rR]?|[rR][fF])\Z")
_STRING_OR_COMMENT = re.compile(
    r"#[^\n]*+"
    r'|"""(?:[^"\\]|\\.|"(?!""))*+(?:"""|\\?\Z)'
    r"|'''(?:[^'\\]|\\.|'(?!''))*+(?:'''|\\?\Z)"
    r'|"(?:[^"\\\n]|\\.)*+(?:"|\\?\Z)?'
    r"|'(?:[^'\\\n]|\\.)*+(?:'|\\?\Z)?",
    re.DOTALL,
)
_EXITS = (ast.Return, ast.Break, ast.Continue)
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp)
_BLOCKS = (
    *_COMPREHENSIONS,
    *(ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar),
)
_FEW = 3


def code_limit(text: str) -> int:
    """Bytes that the code of a text may have."""
    return _CODE_FREE + _CODE_PER_BYTE * len(text)


def strains_tokenizer(text: str) -> str:
    """The reason why the text must not be parsed; empty if it may be."""
    if any(map(_has_many_marks, _MARKS.findall(text))):
        return f"more than {_MAX_MARKS} combining characters in a row"
    if text.count("{") * len(text) <= _MAX_FIELD_COST:
        return ""
    fields = sum(
        match[0].count("{")
        for match in _STRING_OR_COMMENT.finditer(text)
        if _F_PREFIX.search(text[max(0, match.start() - 2) : match.start()])
    )
    if fields * len(text) <= _MAX_FIELD_COST:
        return ""
    return f"f-strings with {fields} fields, too many for a text of {len(text)} characters"


def _has_many_marks(characters: str) -> bool:
    from unicodedata import combining  # noqa: PLC0415 - few texts need it

    row = 0
    for character in characters:
        row = row + 1 if combining(character) else 0
        if row >= _MAX_MARKS:
            return True
    return False


def strains_compiler(text: str) -> str:
    """The reason why a text that can be parsed must not be compiled; empty if it may be.

    Raises what ``ast.parse`` raises.
    """
    count = text.count
    exits = count("return") + count("break") + count("continue")
    finals = count("finally")
    copies = finals > _FEW or finals * exits > _FEW
    folds = count("*") * _FOLDED > code_limit(text)
    keywords = count("=") ** 2 > _MAX_KEYWORD_COST
    patterns = count("case") > 0 and len(text) ** 2 > _MAX_PATTERN_COST
    blocks = count("for") > 0 and sum(map(count, ("for", "while", "with", "try"))) > _MAX_BLOCKS
    if not (copies or folds or keywords or patterns or blocks):
        return ""
    tree = ast.parse(text)
    nodes = list(ast.walk(tree))
    return (
        (blocks and _too_deep_comprehensions(tree))
        or (keywords and _too_many_keywords(nodes))
        or (patterns and _too_large_patterns(nodes))
        or (folds and _too_much_folded(nodes, code_limit(text)))
        or (copies and _too_many_copies(nodes))
        or ""
    )


def _too_deep_comprehensions(tree: ast.AST) -> str:
    """Whether a comprehension is, or is in, more blocks than there may be. What it first iterates
    over is not in it."""
    waiting = [(tree, 0, False)]
    outside: dict[ast.AST, tuple[int, bool]] = {}
    while waiting:
        node, depth, inside = waiting.pop()
        if node in outside:
            depth, inside = outside[node]
        if isinstance(node, _COMPREHENSIONS):
            outside[node.generators[0].iter] = depth, inside
            inside = True
        if isinstance(node, (*_SCOPES, ast.GeneratorExp)):
            depth, inside = 0, False
        depth += isinstance(node, _BLOCKS)
        if inside and depth > _MAX_BLOCKS:
            return f"comprehensions in more than {_MAX_BLOCKS} blocks"
        waiting += [(part, depth, inside) for part in ast.iter_child_nodes(node)]
    return ""


def _too_many_keywords(nodes: Iterable[ast.AST]) -> str:
    calls = (len(n.keywords) for n in nodes if isinstance(n, (ast.Call, ast.ClassDef)))
    return "too many keyword arguments" if _squares(calls) > _MAX_KEYWORD_COST else ""


def _too_large_patterns(nodes: Iterable[ast.AST]) -> str:
    cases = (
        sum(isinstance(part, ast.pattern) for part in ast.walk(n.pattern))
        for n in nodes
        if isinstance(n, ast.match_case)
    )
    return "patterns with too many parts" if _squares(cases) > _MAX_PATTERN_COST else ""


def _squares(counts: Iterable[int]) -> int:
    return sum(count * count for count in counts)


def _too_much_folded(nodes: Sequence[ast.AST], limit: int) -> str:
    """Constants that are written as products; those of products within products count twice."""
    known: dict[ast.AST, _Constant] = {}
    size = 0
    for node in reversed(nodes):  # what is inside comes after, breadth first
        found = _constant(node, known)
        if found is not None:
            known[node] = found
            size += found[0] if isinstance(node, ast.BinOp) else 0
    return f"constants of {size} bytes that are written as products" if size > limit else ""


def _constant(node: ast.AST, known: dict[ast.AST, _Constant]) -> _Constant | None:
    """Length and number of what CPython makes a constant of; a number has no length."""
    if isinstance(node, ast.BinOp):
        return _folded(node, known)
    found: _Constant | None = None
    if isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, (str, bytes)):
            found = len(value), 0
        elif isinstance(value, int):
            found = 0, value
    elif isinstance(node, ast.Tuple) and all(part in known for part in node.elts):
        found = 5 * len(node.elts), 0
    elif isinstance(node, ast.UnaryOp) and node.operand in known:
        found = 0, _FOLDED
    return found


def _folded(node: ast.BinOp, known: dict[ast.AST, _Constant]) -> _Constant | None:
    if node.left not in known or node.right not in known:
        return None
    (left, times), (right, other) = known[node.left], known[node.right]
    if isinstance(node.op, ast.Add):
        return left + right, _FOLDED
    if not isinstance(node.op, ast.Mult) or not (left or right):
        return 0, _FOLDED
    length = max(left * other, right * times)
    return (length, 0) if length <= _FOLDED else None


def _too_many_copies(nodes: Iterable[ast.AST]) -> str:
    tries = [n for n in nodes if isinstance(n, (ast.Try, ast.TryStar)) and n.finalbody]
    inside: dict[ast.AST, tuple[int, int]] = {}
    copies = 0
    for node in reversed(tries):  # those inside come after, breadth first
        _, ways = _weigh([*node.body, *node.handlers, *node.orelse], inside)
        size, more = _weigh(node.finalbody, inside)
        copies += size * (1 + ways)
        inside[node] = (size * (2 + ways), more * (2 + ways))
        if copies > _MAX_COPIES:
            return "finally blocks that would be compiled too often"
    return ""


def _weigh(parts: Iterable[ast.AST], inside: dict[ast.AST, tuple[int, int]]) -> tuple[int, int]:
    """Count the nodes that parts are compiled as, and the ways that lead out of them."""
    size = ways = 0
    waiting = list(parts)
    while waiting:
        node = waiting.pop()
        size += 1
        if node in inside:
            more, out = inside[node]
            size += more
            ways += out
            waiting += [*node.body, *node.handlers, *node.orelse]  # type: ignore[attr-defined]
            continue
        ways += isinstance(node, _EXITS)
        if isinstance(node, _SCOPES):
            size += sum(1 for _ in ast.walk(node))
        else:
            waiting += ast.iter_child_nodes(node)
    return size, ways

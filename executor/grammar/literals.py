"""Literal text to value: how answers and inputs are read.

The text is parsed to a syntax tree and the tree is read by a closed grammar: literals and the
constructors of the known value types. Nothing is evaluated. What is a good Python expression but
not in the grammar is told apart (:class:`NotLiteral`), because a sandbox may evaluate it.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Mapping
from typing import Any, NoReturn

from executor.grammar import constructors
from executor.grammar.constructors import NotLiteral, Spender
from executor.grammar.decode import NAN, crowded
from executor.grammar.encode import MAX_DEPTH, MAX_NODES, TooLarge, Unserializable, encode

__all__ = ["MAX_TEXT", "Malformed", "NotLiteral", "parse_arguments", "parse_value", "quick_values"]

MAX_TEXT = 4 << 20
"""Characters of a text."""

_MAX_BRACKETS = 199  # what CPython's tokenizer takes, our own pair included
_SAFE_BRACKETS = MAX_DEPTH // 3  # no constructor adds more than three levels per bracket
_MAX_NESTING = 400
_NO_TYPES: Mapping[str, str] = {}
# Possessive, and matching what is not closed as well: each character is looked at once.
_STRING = (
    r"""'''(?:[^'\\]|\\.|'(?!''))*+(?:'''|\\?\Z)"""
    r'''|"""(?:[^"\\]|\\.|"(?!""))*+(?:"""|\\?\Z)'''
    r"""|'(?:[^'\\\n]|\\.)*+'?+"""
    r"""|"(?:[^"\\\n]|\\.)*+"?+"""
)
_NOT_BRACKETS = re.compile(_STRING + r"|#[^\n]*+|[^][(){}]", re.DOTALL)
_COMMENT = re.compile(r"#[^\n]*")
_JSON_WORDS = re.compile("true|false|null")
# The parser warns of these: escapes without a meaning, and a number run into a keyword.
_WARNS = re.compile(r"\\|[0-9a-fA-FjJ.](?:and|else|for|if|in|is|not|or)")


class Malformed(Exception):
    """The text is not one Python expression, or not the arguments of one call."""


def parse_value(text: str, *, printed: bool = False) -> object:
    """Return the value of one literal expression; ``1, 2`` is a tuple.

    ``printed``: what Python prints for a value counts as well: ``nan``, ``inf``, and the type in
    ``defaultdict(<class 'list'>, {})``.
    White space, newlines and comments around and inside count for nothing. Raises
    :class:`Malformed` for text that is no expression (or is longer than ``MAX_TEXT`` characters or
    nested too deep), and :class:`NotLiteral` for an expression outside the grammar.
    """
    _check_length(text)
    values = quick_values(text)
    if values is None:
        return _parse_value_tree(text, printed)
    if not values:
        raise Malformed("an empty text")
    return values[0] if len(values) == 1 else tuple(values)


def parse_arguments(text: str) -> tuple[tuple[object, ...], dict[str, object]]:
    """Return the positional and keyword arguments between the parentheses of one call.

    An empty text is a call without arguments. Raises :class:`Malformed` for text that is not the
    arguments of exactly one call (such as ``1)(2``, or a keyword given twice), and
    :class:`NotLiteral` if an argument is outside the grammar or starred.
    """
    _check_length(text)
    values = quick_values(text)
    return _parse_arguments_tree(text) if values is None else (tuple(values), {})


def _check_length(text: str) -> None:
    if len(text) > MAX_TEXT:
        raise Malformed(f"longer than {MAX_TEXT} characters")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


_json = json.JSONDecoder(parse_constant=_no_constant)


def quick_values(text: str) -> list[object] | None:
    """Return comma-separated values by way of JSON, or ``None`` if the tree must be parsed.

    Taken only where both languages surely agree: JSON's parser is the stricter one, except for its
    own words, escapes, and deep nesting, which are left to the tree.
    """
    if "\\" in text or not text.isascii() or _JSON_WORDS.search(text):
        return None
    if text.count("[") + text.count("{") >= _SAFE_BRACKETS and _nesting(text) >= _SAFE_BRACKETS:
        return None
    source = text
    if "'" in text:
        if '"' in text or "True" in text or "False" in text or "None" in text:
            return None
        source = text.replace("'", '"')
    elif '"' not in text:
        source = text.replace("True", "true").replace("False", "false").replace("None", "null")
    source = f"[{source}]"
    try:
        values, end = _json.raw_decode(source)
    except (ValueError, RecursionError):
        return None
    return values if end == len(source) else None


def _nesting(text: str) -> int:
    """Return how deep the brackets nest, strings and comments left out; quick, and a guess only."""
    depth = deepest = 0
    for bracket in _NOT_BRACKETS.sub("", text):
        depth += 1 if bracket in "([{" else -1
        deepest = max(deepest, depth)
    return deepest


def _tree(source: str, deep: bool) -> ast.expr:
    """Parse one wrapped text."""
    if deep and _nesting(source) > _MAX_BRACKETS:
        raise Malformed("nested too deep")
    try:
        if _WARNS.search(source):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return ast.parse(source, mode="eval").body
        return ast.parse(source, mode="eval").body
    except SyntaxError as problem:
        raise Malformed(f"not a Python expression: {problem.msg}") from None
    except (ValueError, MemoryError, RecursionError) as problem:
        raise Malformed(f"cannot be parsed: {problem}") from None


def _is_deep(text: str) -> bool:
    return text.count("[") + text.count("{") + text.count("(") >= _SAFE_BRACKETS


_PRINTED_CLASS = re.compile(
    rf"<class '({'|'.join(name for name in constructors.FACTORIES)})'>"
    r"|#[^\n]*+"
    r'|"""(?:[^"\\]|\\.|"(?!""))*+(?:"""|\Z)'
    r"|'''(?:[^'\\]|\\.|'(?!''))*+(?:'''|\Z)"
    r'|"(?:[^"\\\n]|\\.)*+"?'
    r"|'(?:[^'\\\n]|\\.)*+'?",
    re.DOTALL,
)


def _with_plain_classes(text: str) -> str:
    """Write ``<class 'list'>`` as ``list``, but in strings and comments."""
    return _PRINTED_CLASS.sub(lambda found: found[1] or found[0], text)


def _parse_value_tree(text: str, printed: bool = False) -> object:
    if printed and "<class '" in text:
        text = _with_plain_classes(text)
    # In brackets newlines count for nothing, and text that closes them early is no List.
    source, deep = f"[{text}\n]", _is_deep(text)
    node = _tree(source, deep)
    if not isinstance(node, ast.List) or not _is_whole(text):
        raise Malformed("not one Python expression")
    if not node.elts:
        raise Malformed("an empty text")
    if (
        len(node.elts) == 1
        and isinstance(node.elts[0], ast.NamedExpr)
        and not _closes(node, source)
    ):
        raise Malformed("not a Python expression: an assignment")
    reader = _TreeReader(printed)
    values = [reader.value(element) for element in node.elts]
    single = len(values) == 1 and not _has_comma(node.elts[0], source)
    value = values[0] if single else tuple(values)
    if deep or reader.built:
        _check_bounds(value)
    return value


def _parse_arguments_tree(text: str) -> tuple[tuple[object, ...], dict[str, object]]:
    deep = _is_deep(text)
    node = _tree(f"f({text}\n)", deep)
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)) or not _is_whole(text):
        raise Malformed("not the arguments of one call")
    names = [keyword.arg for keyword in node.keywords if keyword.arg is not None]
    if len(set(names)) != len(names):
        raise Malformed("a keyword argument given twice")
    reader = _TreeReader()
    positional = tuple([reader.value(argument) for argument in node.args])
    named = reader.keywords(node)
    if deep or reader.built:
        _check_bounds((positional, named))
    return positional, named


def _is_whole(text: str) -> bool:
    """Say whether the text could stand before any closing bracket: no line is left open."""
    return not text.rstrip().endswith("\\")


def _rest(node: ast.expr, source: str) -> str:
    """Return the source after a node, which holds no string, without comments."""
    assert node.end_lineno is not None
    lines = re.split("\r\n|\r|\n", source)[node.end_lineno - 1 :]
    lines[0] = lines[0].encode()[node.end_col_offset :].decode()
    return _COMMENT.sub("", "\n".join(lines))


def _has_comma(node: ast.expr, source: str) -> bool:
    return "," in _rest(node, source)


def _closes(node: ast.List, source: str) -> bool:
    return ")" in _rest(node.elts[0], source)


def _check_bounds(value: object) -> None:
    """Make sure that the value can be encoded, so that it can be compared and sent."""
    try:
        encode(value, 1 << 62)
    except (Unserializable, TooLarge) as problem:
        raise Malformed(str(problem)) from None


class _TreeReader:
    """Reads the values of one text's syntax tree; bounds what constructors expand."""

    def __init__(self, printed: bool = False) -> None:
        known = constructors.CONSTANTS
        self.constants = known | constructors.PRINTED if printed else known
        self._printed = constructors.PRINTED_CONSTRUCTORS if printed else {}
        self.spend = Spender(MAX_NODES)
        self.built = False
        self._depth = 0

    def value(self, node: ast.expr) -> Any:
        """Return the value of an expression."""
        if type(node) is ast.Constant:
            return node.value
        read = _READERS.get(type(node))
        if read is None:
            raise NotLiteral(f"not a literal: {type(node).__name__}")
        self._depth += 1
        if self._depth > _MAX_NESTING:
            raise Malformed("nested too deep")
        found = read(self, node)
        self._depth -= 1
        return found

    def keywords(self, node: ast.Call, dtypes: Mapping[str, str] = _NO_TYPES) -> dict[str, Any]:
        """Return the keyword arguments of a call; ``dtypes``: what ``dtype`` may be named."""
        found: dict[str, Any] = {}
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg in found:
                raise NotLiteral("not a literal: ** or a keyword given twice")
            named = dtypes.get(_dotted(keyword.value)) if keyword.arg == "dtype" else None
            found[keyword.arg] = named or self.value(keyword.value)
        return found

    def list(self, node: ast.List) -> Any:
        return [self.value(element) for element in node.elts]

    def tuple(self, node: ast.Tuple) -> Any:
        return tuple([self.value(element) for element in node.elts])

    def set(self, node: ast.Set) -> Any:
        members = [self.value(element) for element in node.elts]
        return set(_hashable(members))

    def dict(self, node: ast.Dict) -> Any:
        keys = []
        for key in node.keys:
            if key is None:
                raise NotLiteral("not a literal: **")
            keys.append(self.value(key))
        values = [self.value(value) for value in node.values]
        return dict(zip(_hashable(keys), values, strict=True))

    def unary(self, node: ast.UnaryOp) -> Any:
        operand = self.value(node.operand)
        if type(operand) not in (int, float, complex):
            raise NotLiteral("not a literal: a sign before something else than a number")
        if type(node.op) is ast.UAdd:
            return operand
        if type(node.op) is not ast.USub:
            raise NotLiteral(f"not a literal: {type(node.op).__name__}")
        return NAN if operand is NAN else -operand

    def binary(self, node: ast.BinOp) -> Any:
        if type(node.op) not in (ast.Add, ast.Sub):
            raise NotLiteral(f"not a literal: {type(node.op).__name__}")
        # Only the sum that writes a complex number.
        if type(node.right) not in (ast.Constant, ast.Name):
            raise NotLiteral("not a literal: a sum")
        left, right = self.value(node.left), self.value(node.right)
        if type(right) is not complex:
            raise NotLiteral("not a literal: a sum")
        if type(left) not in (int, float):
            raise NotLiteral("not a literal: a sum")
        try:
            return left + right if type(node.op) is ast.Add else left - right
        except OverflowError as problem:
            raise NotLiteral(str(problem)) from None

    def joined(self, node: ast.JoinedStr) -> Any:
        parts = [part.value for part in node.values if isinstance(part, ast.Constant)]
        if len(parts) != len(node.values):
            raise NotLiteral("not a literal: an f-string with placeholders")
        return "".join(map(str, parts))

    def name(self, node: ast.expr) -> Any:
        name = _dotted(node)
        if name not in self.constants:
            raise NotLiteral(f"not a literal: the name {name[:80]}")
        return self.constants[name]

    def call(self, node: ast.Call) -> Any:
        name = _dotted(node.func)
        name = self._printed.get(name, name)
        build = constructors.CONSTRUCTORS.get(name)
        if build is None:
            raise NotLiteral(f"not a literal: a call of {name[:80]}")
        arguments = node.args
        first: list[Any] = []
        if name in constructors.WITH_FACTORY and arguments:
            factory = _dotted(arguments[0])
            if factory not in constructors.FACTORIES:
                raise NotLiteral("not a literal: a defaultdict's factory")
            first, arguments = [constructors.FACTORIES[factory]], arguments[1:]
        self.built = True
        values = first + [self.value(argument) for argument in arguments]
        dtypes = constructors.TYPES if name in constructors.WITH_TYPE else _NO_TYPES
        return constructors.construct(build, self.spend, values, self.keywords(node, dtypes))


def _dotted(node: ast.expr) -> str:
    """Return ``name`` or ``module.name``; empty for any other expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, (ast.Name, ast.Attribute)):
        return f"{_dotted(node.value)}.{node.attr}"
    if isinstance(node, ast.Constant) and node.value is None:
        return "None"
    return ""


def _hashable(members: list[Any]) -> list[Any]:
    """Return the members if a set may hold them."""
    try:
        if crowded(members, len(members)):
            raise NotLiteral("not a literal: too many members with one hash")
        set(members)
    except TypeError as problem:
        raise NotLiteral(f"not a literal: {problem}") from None
    return members


_READERS: dict[type[ast.expr], Any] = {
    ast.List: _TreeReader.list,
    ast.Tuple: _TreeReader.tuple,
    ast.Set: _TreeReader.set,
    ast.Dict: _TreeReader.dict,
    ast.UnaryOp: _TreeReader.unary,
    ast.BinOp: _TreeReader.binary,
    ast.JoinedStr: _TreeReader.joined,
    ast.Name: _TreeReader.name,
    ast.Attribute: _TreeReader.name,
    ast.Call: _TreeReader.call,
}

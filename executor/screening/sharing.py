"""Whether several calls of a program may run one after another in one process.

Before each call the program's module code is executed anew in a fresh namespace, so all that the
program itself creates is new. What survives a call is the rest of the process: modules, types,
caches of the library, interpreter settings. :func:`may_share_process` proves that the program can
neither change nor observe any of it. It is a proof by refusal: whatever is not known to be
harmless is refused, and a refused program gets a process for each call.

The proof holds for everything reachable in CPython 3.12, because

* every name that the program loads is its own, a harmless builtin, or imported from the list
  below; a module, and a function of it that accepts attributes, is never held as a value;
* all other reachable objects that outlive the call refuse attributes;
* attributes that lead from an object to the interpreter (``__globals__``, ``gi_frame``, ...) are
  refused, in format strings and ``match`` patterns too;
* no program code runs at a time that the memory manager chooses (``__del__``, ``finally``);
* no program code sees that a resource ran out: a handler names exceptions that say nothing of it;
* identity is compared with constants only, since caches decide which of two objects is returned.

What it does not cover, and the caller must:

* A call that ends in ``RecursionError`` or ``MemoryError``, at a limit or in a crash proves
  nothing for any call of that process: all of them have to be repeated in processes of their own.
  The limits of the shared process are those of one call.
* A program that stays a few frames or a few KiB below such a limit may succeed where it would
  fail alone, because caches of the library are warm (codecs, compiled patterns).
* Addresses differ from call to call (``repr`` of a function, order of a set of objects that hash
  by address). A program whose result depends on them is nondeterministic, and has to be refused
  as such.
* The output streams must take everything that calls print.
* Expressions that are evaluated in the program's namespace are not part of the program.
"""

from __future__ import annotations

import ast
import dis
from collections.abc import Callable, Iterator
from string import Formatter
from types import CodeType
from typing import NamedTuple


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _opcodes(names: str) -> frozenset[int]:
    return frozenset(dis.opmap[name] for name in names.split())


# -- What may be used ---------------------------------------------------------------------------

_REFUSED_BUILTINS = _words(
    """
    BaseExceptionGroup ExceptionGroup aiter anext breakpoint compile copyright credits delattr dir
    eval exec exit getattr globals hash help id input license locals memoryview open quit setattr
    type vars
    """
)
"""Builtins that reach or show more than the program's own objects. ``type`` makes classes from
dictionaries, whose keys no static check sees; ``ExceptionGroup`` is a class that accepts
attributes."""

_REFUSED_ATTRIBUTES = _words(
    """
    ag_await ag_code ag_frame ag_running ag_suspended args cr_await cr_code cr_frame cr_origin
    cr_running cr_suspended f_back f_builtins f_code f_globals f_lasti f_lineno f_locals f_trace
    f_trace_lines f_trace_opcodes gi_code gi_frame gi_running gi_suspended gi_yieldfrom mro obj
    strptime tb_frame tb_lasti tb_lineno tb_next
    """
)
"""Attributes without underscores that lead from a builtin object to the interpreter's. ``obj`` of
an ``AttributeError`` is the object that was asked, which may be the library's, and ``args`` of an
exception of decimal numbers has classes in it; ``strptime`` keeps
its formats in a cache, by an ``__eq__`` and ``__hash__`` that may be the program's."""

_DEFINABLE = _words(
    """
    __abs__ __add__ __and__ __bool__ __bytes__ __call__ __complex__ __contains__ __delitem__
    __divmod__ __doc__ __enter__ __eq__ __exit__ __float__ __floordiv__ __format__ __ge__
    __getattr__ __getitem__ __gt__ __hash__ __iadd__ __iand__ __ifloordiv__ __ilshift__ __imod__
    __imul__ __index__ __init__ __int__ __invert__ __ior__ __ipow__ __irshift__ __isub__ __iter__
    __itruediv__ __ixor__ __le__ __len__ __lshift__ __lt__ __matmul__ __missing__ __mod__ __mul__
    __ne__ __neg__ __new__ __next__ __or__ __pos__ __pow__ __radd__ __rand__ __rdivmod__ __repr__
    __reversed__ __rfloordiv__ __rlshift__ __rmod__ __rmul__ __ror__ __round__ __rpow__
    __rrshift__ __rshift__ __rsub__ __rtruediv__ __rxor__ __setitem__ __slots__ __str__ __sub__
    __truediv__ __trunc__ __xor__
    """
)
"""Special names that a program may bind. Not ``__del__`` (runs when memory is freed), and nothing
that ``copy`` calls with state that it then sets."""

_LOADABLE = _words(
    """
    __add__ __call__ __contains__ __getitem__ __init__ __iter__ __len__ __mul__ __name__ __new__
    __next__ __repr__ __setitem__ __str__ __sub__
    """
)
"""Special attributes that may be read. Not ``__eq__`` nor ``__hash__``: on ``object`` they tell
identity and address. ``__new__``, which may be a function of the library, may only be called."""

_LIBRARY_PRIVATE = _words(
    """
    _abc_impl _add _denominator _div _divmod _floordiv _from_coprime_ints _keep_positive _mod _mul
    _numerator _operator_fallbacks _richcmp _sub
    """
)
"""Private names of objects that a program may hold: writable, and shared in the case of methods."""

_IMPLICIT = _words("__annotations__ __classcell__ __future__ __module__ __qualname__")
"""Special names in the code of annotations, class bodies and imports, but not in expressions."""

_CATCHABLE = _words(
    """
    ArithmeticError AssertionError AttributeError FloatingPointError IndexError KeyError
    LookupError NameError NotImplementedError OverflowError StopIteration TypeError
    UnboundLocalError UnicodeDecodeError UnicodeEncodeError UnicodeError ValueError
    ZeroDivisionError
    """
)
"""Exceptions that are not raised, nor are bases of what is raised, when a resource runs out."""


class _Library(NamedTuple):
    """The names of a module that may be used, by how."""

    values: frozenset[str] = frozenset()
    """Constants, and functions and types that accept no attributes: anything goes."""
    calls: frozenset[str] = frozenset()
    """Functions and types that accept attributes: may only be called, on the spot."""
    annotations: frozenset[str] = frozenset()
    """May only be part of an annotation."""


def _library(values: str = "", calls: str = "", annotations: str = "") -> _Library:
    return _Library(_words(values), _words(calls), _words(annotations))


_LIBRARIES = {
    "__future__": _library(annotations="annotations"),
    "bisect": _library("bisect bisect_left bisect_right insort insort_left insort_right"),
    "cmath": _library(
        "acos acosh asin asinh atan atanh cos cosh e exp inf infj isclose isfinite isinf isnan log "
        "log10 nan nanj phase pi polar rect sin sinh sqrt tan tanh tau"
    ),
    "collections": _library("OrderedDict defaultdict deque", calls="ChainMap Counter namedtuple"),
    "collections.abc": _library(
        annotations="Callable Collection Container Generator Hashable Iterable Iterator Mapping "
        "MutableMapping MutableSequence MutableSet Reversible Sequence Set Sized"
    ),
    "copy": _library(calls="copy deepcopy"),
    "fractions": _library(calls="Fraction"),
    "functools": _library("cmp_to_key partial reduce", calls="cache lru_cache"),
    "heapq": _library(
        "heapify heappop heappush heappushpop heapreplace", calls="merge nlargest nsmallest"
    ),
    "itertools": _library(
        "accumulate batched chain combinations combinations_with_replacement compress count cycle "
        "dropwhile filterfalse groupby islice pairwise permutations product repeat starmap "
        "takewhile tee zip_longest"
    ),
    "math": _library(
        "acos acosh asin asinh atan atan2 atanh cbrt ceil comb copysign cos cosh degrees dist e "
        "erf erfc exp exp2 expm1 fabs factorial floor fmod frexp fsum gamma gcd hypot inf isclose "
        "isfinite isinf isnan isqrt lcm ldexp lgamma log log10 log1p log2 modf nan nextafter perm "
        "pi pow prod radians remainder sin sinh sqrt sumprod tan tanh tau trunc ulp"
    ),
    "operator": _library(
        "abs add and_ concat contains countOf delitem eq floordiv ge getitem gt iadd iand iconcat "
        "ifloordiv ilshift imatmul imod imul index indexOf inv invert ior ipow irshift isub "
        "itemgetter itruediv ixor le length_hint lshift lt matmul mod mul ne neg not_ or_ pos pow "
        "rshift setitem sub truediv truth xor"
    ),
    "re": _library(calls="compile escape findall finditer fullmatch match search split sub subn"),
    "statistics": _library(
        calls="fmean geometric_mean harmonic_mean mean median median_high median_low mode "
        "multimode pstdev pvariance quantiles stdev variance"
    ),
    "string": _library(
        "ascii_letters ascii_lowercase ascii_uppercase digits hexdigits octdigits printable "
        "punctuation whitespace",
        calls="capwords",
    ),
    "typing": _library(
        annotations="Any Callable Collection Deque DefaultDict Dict FrozenSet Generator Hashable "
        "Iterable Iterator List Literal Mapping MutableMapping MutableSequence Optional Sequence "
        "Set Tuple Type Union"
    ),
}
"""Modules that keep no state that these names could change or show. Absent on purpose: ``abc``,
``dataclasses``, ``enum`` (classes of theirs are shared and settable), ``decimal`` (context),
``gc``, ``os``, ``random``, ``sys``, ``types``, ``weakref``."""

_PATTERN_FLAGS = _words("A ASCII DOTALL I IGNORECASE M MULTILINE S U UNICODE VERBOSE X")
_ARGUMENTS_BEFORE_FLAGS = {
    "compile": 1, "escape": 1, "findall": 2, "finditer": 2, "fullmatch": 2, "match": 2,
    "search": 2, "split": 3, "sub": 4, "subn": 4,
}  # fmt: skip

# -- The check of the code objects --------------------------------------------------------------

_OPCODES = _opcodes(
    """
    BINARY_OP BINARY_SLICE BINARY_SUBSCR BUILD_CONST_KEY_MAP BUILD_LIST BUILD_MAP BUILD_SET
    BUILD_SLICE BUILD_STRING BUILD_TUPLE CACHE CALL CALL_FUNCTION_EX CALL_INTRINSIC_1
    CHECK_EXC_MATCH COMPARE_OP CONTAINS_OP COPY COPY_FREE_VARS DELETE_ATTR DELETE_DEREF DELETE_FAST
    DELETE_GLOBAL DELETE_NAME DELETE_SUBSCR DICT_MERGE DICT_UPDATE END_FOR END_SEND EXTENDED_ARG
    FORMAT_VALUE FOR_ITER GET_ITER GET_LEN GET_YIELD_FROM_ITER IMPORT_FROM IMPORT_NAME IS_OP
    JUMP_BACKWARD JUMP_BACKWARD_NO_INTERRUPT JUMP_FORWARD KW_NAMES LIST_APPEND LIST_EXTEND
    LOAD_ASSERTION_ERROR LOAD_ATTR LOAD_BUILD_CLASS LOAD_CLOSURE LOAD_CONST LOAD_DEREF LOAD_FAST
    LOAD_FAST_AND_CLEAR LOAD_FAST_CHECK LOAD_FROM_DICT_OR_DEREF LOAD_FROM_DICT_OR_GLOBALS
    LOAD_GLOBAL LOAD_LOCALS LOAD_NAME LOAD_SUPER_ATTR MAKE_CELL MAKE_FUNCTION MAP_ADD MATCH_KEYS
    MATCH_MAPPING MATCH_SEQUENCE NOP POP_EXCEPT POP_JUMP_IF_FALSE POP_JUMP_IF_NONE
    POP_JUMP_IF_NOT_NONE POP_JUMP_IF_TRUE POP_TOP PUSH_EXC_INFO PUSH_NULL RAISE_VARARGS RERAISE
    RESUME RETURN_CONST RETURN_GENERATOR RETURN_VALUE SEND SETUP_ANNOTATIONS SET_ADD SET_UPDATE
    STORE_ATTR STORE_DEREF STORE_FAST STORE_GLOBAL STORE_NAME STORE_SLICE STORE_SUBSCR SWAP
    UNARY_INVERT UNARY_NEGATIVE UNARY_NOT UNPACK_EX UNPACK_SEQUENCE YIELD_VALUE CLEANUP_THROW
    """
)
"""Not here: coroutines, ``with``, ``except*``, class patterns (they read attributes that no name
shows)."""

_COROUTINE = 0x80 | 0x100 | 0x200  # CO_COROUTINE, CO_ITERABLE_COROUTINE, CO_ASYNC_GENERATOR
_INTRINSIC = dis.opmap["CALL_INTRINSIC_1"]
_INTRINSIC_ARGUMENTS = frozenset((3, 5, 6))
"""End of a generator, unary plus, list to tuple. Not: ``import *``, type variables."""

_NEEDS_TREE_OPCODES = _opcodes("IMPORT_NAME PUSH_EXC_INFO IS_OP")
_KNOWN_SPECIAL = _DEFINABLE | _LOADABLE | _IMPLICIT
_NEEDS_TREE_NAMES = _REFUSED_BUILTINS | _REFUSED_ATTRIBUTES | {"format", "format_map"}


def may_share_process(code: CodeType, source: str) -> bool:
    """Whether no call of the program can influence another one in the same process.

    ``code`` is ``source`` compiled in mode ``exec``. ``False`` when in doubt.
    """
    operations: set[int] = set()
    names: set[str] = set()
    for part in _code_objects(code):
        steps = part.co_code
        operations.update(steps[::2])
        names.update(part.co_names)
        if part.co_flags & _COROUTINE or not _harmless_intrinsics(steps):
            return False
    special = {name for name in names if _is_special(name)}
    if not (operations <= _OPCODES and special <= _KNOWN_SPECIAL):
        return False
    if (
        not any(name.startswith("_") for name in names)
        and operations.isdisjoint(_NEEDS_TREE_OPCODES)
        and names.isdisjoint(_NEEDS_TREE_NAMES)
    ):
        return True
    try:
        return _Program(ast.parse(source), names).is_isolated()
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _harmless_intrinsics(steps: bytes) -> bool:
    at = steps.find(_INTRINSIC)
    while at >= 0:
        if at % 2 == 0 and steps[at + 1] not in _INTRINSIC_ARGUMENTS:
            return False
        at = steps.find(_INTRINSIC, at + 1)
    return True


def _code_objects(code: CodeType) -> Iterator[CodeType]:
    waiting = [code]
    while waiting:
        part = waiting.pop()
        yield part
        waiting += [const for const in part.co_consts if isinstance(const, CodeType)]


# -- The check of the syntax tree ---------------------------------------------------------------


class _Origin(NamedTuple):
    """What an import bound a name to."""

    module: str
    name: str | None
    """``None``: the module itself."""


class _Program:
    """A syntax tree with what the checks of its nodes need to know of the rest of it."""

    def __init__(self, tree: ast.Module, names: set[str]) -> None:
        self.names = names
        self.own = _own_names(tree)
        self.parents: dict[ast.AST, ast.AST] = {}
        self.has_class = False
        for parent in ast.walk(tree):
            for child in ast.iter_child_nodes(parent):
                self.parents[child] = parent
            self.has_class |= isinstance(parent, ast.ClassDef)
        self.body = tree.body
        self.origins: dict[str, _Origin] = {}
        self.annotations: frozenset[ast.AST] = frozenset()

    def is_isolated(self) -> bool:
        """Whether every node is harmless."""
        for statement in self.body:
            if isinstance(statement, (ast.Import, ast.ImportFrom)) and not self._bind(statement):
                return False
        self.annotations = _annotation_nodes(self)
        for node, parent in self.parents.items():
            check = _CHECKS.get(type(node))
            if (check and not check(self, node, parent)) or _rebinds_exception(node):
                return False
        return True

    def _bind(self, statement: ast.Import | ast.ImportFrom) -> bool:
        """Note what an import binds; false if it is not an import from the list."""
        for alias in statement.names:
            origin = _origin(statement, alias)
            bound = alias.asname or alias.name
            if origin is None or _is_special(bound) or self.origins.get(bound, origin) != origin:
                return False
            self.origins[bound] = origin
        return True

    def is_in_function(self, node: ast.AST) -> bool:
        """Whether a node is part of a function, in a class or not."""
        while (parent := self.parents.get(node)) is not None:
            if isinstance(parent, ast.FunctionDef):
                return True
            node = parent
        return False

    def resolve(self, node: ast.AST) -> _Origin | None:
        """The library object that ``name`` or ``module.name`` stands for."""
        if isinstance(node, ast.Name):
            return self.origins.get(node.id)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            origin = self.origins.get(node.value.id)
            if origin and origin.name is None:
                return _Origin(origin.module, node.attr)
        return None


def _origin(statement: ast.Import | ast.ImportFrom, alias: ast.alias) -> _Origin | None:
    if isinstance(statement, ast.Import):
        # ``import a.b`` binds a: a name for two modules.
        listed = alias.name in _LIBRARIES and "." not in alias.name
        return _Origin(alias.name, None) if listed else None
    module = statement.module
    if statement.level or module not in _LIBRARIES or not _use_of(module, alias.name):
        return None
    return _Origin(module, alias.name)


def _use_of(module: str, name: str) -> str | None:
    """How a name of a module may be used: the field of :class:`_Library`, or ``flags``."""
    library = _LIBRARIES[module]
    if module == "re" and name in _PATTERN_FLAGS:
        return "flags"
    return next((use for use in _Library._fields if name in getattr(library, use)), None)


class _Own(NamedTuple):
    """Names that the program binds."""

    all: frozenset[str]
    classes: frozenset[str]
    """Of plain classes, and of nothing else."""
    attributes: frozenset[str]
    """Defined in the body of a class, or set on the first parameter of a method."""


def _own_names(tree: ast.Module) -> _Own:
    others: set[str] = set()
    classes: set[str] = set()
    attributes: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            plain = not (node.decorator_list or node.keywords)
            (classes if plain else others).add(node.name)
            for member in node.body:
                attributes |= _defined_by(member)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            others.add(node.id)
        elif isinstance(node, ast.alias):
            others.add(node.asname or node.name)
        else:
            fields = (getattr(node, field, None) for field in ("name", "rest", "arg"))
            others |= {name for name in fields if isinstance(name, str)}
    return _Own(frozenset(others | classes), frozenset(classes - others), frozenset(attributes))


def _defined_by(member: ast.stmt) -> set[str]:
    """The attributes that a statement in the body of a class defines."""
    if isinstance(member, ast.FunctionDef):
        parameters = [*member.args.posonlyargs, *member.args.args]
        first = parameters[0].arg if parameters else None
        return {member.name} | {
            node.attr
            for node in ast.walk(member)
            if isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id == first
        }
    targets = (
        member.targets if isinstance(member, ast.Assign) else [getattr(member, "target", None)]
    )
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _is_plain_annotation(program: _Program, node: ast.AST) -> bool:
    """Whether evaluating an annotation calls nothing of the program's."""
    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, (ast.Tuple, ast.List)):
        return all(_is_plain_annotation(program, element) for element in node.elts)
    if isinstance(node, ast.Subscript):
        return _is_foreign(program, node.value) and _is_plain_annotation(program, node.slice)
    if isinstance(node, ast.BinOp):
        sides = (node.left, node.right)
        return isinstance(node.op, ast.BitOr) and all(
            _is_plain_annotation(program, side) for side in sides
        )
    own_class = isinstance(node, ast.Name) and node.id in program.own.classes
    return own_class or _is_foreign(program, node)


def _is_foreign(program: _Program, node: ast.AST) -> bool:
    """Whether a name is the library's or a builtin."""
    if program.resolve(node) is not None:
        return True
    return isinstance(node, ast.Name) and node.id not in program.own.all


def _annotation_nodes(program: _Program) -> frozenset[ast.AST]:
    """All nodes of annotations that are never evaluated, or evaluated before ``f`` is called and
    plain.

    An annotation within a function is evaluated when that function runs, and the caches behind
    ``typing`` take 1 and True for the same; only those of its variables never are.
    """
    found: list[ast.AST] = []
    kept = program.resolve(ast.Name("annotations")) == _Origin("__future__", "annotations")
    outer = list(program.body)
    for statement in outer:
        if isinstance(statement, ast.ClassDef):
            outer += statement.body
        if isinstance(statement, ast.FunctionDef):
            arguments = statement.args
            named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            named += [argument for argument in (arguments.vararg, arguments.kwarg) if argument]
            found += [argument.annotation for argument in named if argument.annotation]
            found += [statement.returns] if statement.returns else []
    evaluated = list(found)
    for node in program.parents:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.append(node.annotation)
            if not program.is_in_function(node):
                evaluated.append(node.annotation)
    refused = [] if kept else [one for one in evaluated if not _is_plain_annotation(program, one)]
    return frozenset(node for one in found if one not in refused for node in ast.walk(one))


def _name(program: _Program, node: ast.Name, parent: ast.AST) -> bool:
    if node.id in program.origins:
        if not isinstance(node.ctx, ast.Load):
            return False
        return _library_use(program, node, parent)
    if node.id.startswith("__"):
        return node.id == "__name__" or node.id in _DEFINABLE
    if node.id.startswith("_") and node.id not in program.own.all:
        return False
    return not (node.id in _REFUSED_BUILTINS and node.id in program.names)


def _library_use(program: _Program, node: ast.Name, parent: ast.AST) -> bool:
    origin = program.origins[node.id]
    site: ast.expr = node
    if origin.name is None:
        if not (isinstance(parent, ast.Attribute) and isinstance(parent.ctx, ast.Load)):
            return False
        site, origin = parent, _Origin(origin.module, parent.attr)
    assert origin.name is not None
    use = _use_of(origin.module, origin.name)
    if use == "calls":
        return _is_harmless_call(program, site, origin)
    if use == "flags":
        return _is_flag_of_call(program, site)
    return use == "values" or (use == "annotations" and site in program.annotations)


_CALLS_BESIDE_CLASSES = frozenset(("collections", "functools", "heapq"))
"""Modules whose functions do not keep what they are given. In the caches of the others an object
of an own class, with an ``__eq__`` and ``__hash__`` of its own, would outlive its call."""


def _is_harmless_call(program: _Program, site: ast.expr, origin: _Origin) -> bool:
    if program.has_class and origin.module not in _CALLS_BESIDE_CLASSES:
        return False
    call = program.parents[site]
    if isinstance(call, ast.FunctionDef):
        return origin.module == "functools" and site in call.decorator_list
    if not isinstance(call, ast.Call) or call.func is not site:
        return False
    if origin.module == "re":
        return _has_constant_flags(program, call, origin)
    if origin.module == "copy":
        plain = not any(isinstance(argument, ast.Starred) for argument in call.args)
        return len(call.args) == 1 and plain and not call.keywords
    return True


def _has_constant_flags(program: _Program, call: ast.Call, origin: _Origin) -> bool:
    """Whether the flags are spelled out: the cache of patterns takes 2 and 2.0 for the same."""
    before = _ARGUMENTS_BEFORE_FLAGS[origin.name or ""]
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        return False
    if any(keyword.arg is None for keyword in call.keywords):
        return False
    flags = [*call.args[before:], *(word.value for word in call.keywords if word.arg == "flags")]
    return all(_is_flags(program, flag) for flag in flags)


def _is_flags(program: _Program, node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _is_flags(program, node.left) and _is_flags(program, node.right)
    origin = program.resolve(node)
    return origin is not None and origin.module == "re" and origin.name in _PATTERN_FLAGS


def _is_flag_of_call(program: _Program, site: ast.expr) -> bool:
    """Whether a flag is part of the flags of a call; the call itself checks the rest of them."""
    node: ast.AST = site
    parent = program.parents[node]
    while isinstance(parent, (ast.BinOp, ast.keyword)):
        node, parent = parent, program.parents[parent]
    if not isinstance(parent, ast.Call) or parent.func is node:
        return False
    origin = program.resolve(parent.func)
    if origin is None or origin.module != "re" or origin.name not in _ARGUMENTS_BEFORE_FLAGS:
        return False
    given = parent.args[_ARGUMENTS_BEFORE_FLAGS[origin.name] :]
    return node in given or (isinstance(node, ast.keyword) and node.arg == "flags")


def _attribute(program: _Program, node: ast.Attribute, parent: ast.AST) -> bool:
    if node.attr in _REFUSED_ATTRIBUTES or node.attr == "format_map":
        return False
    if node.attr == "__new__":
        return isinstance(parent, ast.Call) and parent.func is node
    if node.attr.startswith("_") and not _is_special(node.attr):
        return node.attr in program.own.attributes and node.attr not in _LIBRARY_PRIVATE
    if _is_special(node.attr):
        return node.attr in _LOADABLE and isinstance(node.ctx, ast.Load)
    if node.attr == "format":
        template = node.value.value if isinstance(node.value, ast.Constant) else None
        called = isinstance(parent, ast.Call) and parent.func is node
        return called and isinstance(template, str) and _has_plain_fields(template)
    return True


def _has_plain_fields(template: str) -> bool:
    """Whether a format string reads no attribute and no item, which could be any object's."""
    for _, field, specification, _ in Formatter().parse(template):
        if field and ("." in field or "[" in field):
            return False
        if specification and not _has_plain_fields(specification):
            return False
    return True


def _comparison(program: _Program, node: ast.Compare, parent: ast.AST) -> bool:
    operands = [node.left, *node.comparators]
    for left, operator, right in zip(operands, node.ops, operands[1:], strict=False):
        identity = isinstance(operator, (ast.Is, ast.IsNot))
        if identity and not (_is_singleton(left) or _is_singleton(right)):
            return False
    return True


def _is_singleton(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value in (None, True, False, ...)


def _try(program: _Program, node: ast.Try, parent: ast.AST) -> bool:
    return not node.finalbody and all(_is_harmless_handler(each) for each in node.handlers)


def _is_harmless_handler(handler: ast.ExceptHandler) -> bool:
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return all(isinstance(each, ast.Name) and each.id in _CATCHABLE for each in caught)


def _rebinds_exception(node: ast.AST) -> bool:
    """Whether a node binds the name of an exception that a handler may name."""
    if isinstance(node, ast.Name):
        return node.id in _CATCHABLE and not isinstance(node.ctx, ast.Load)
    fields = ("name", "asname", "rest", "arg")
    return any(getattr(node, field, None) in _CATCHABLE for field in fields)


def _import(program: _Program, node: ast.AST, parent: ast.AST) -> bool:
    # A first import that runs deep in a recursion fails, and the next one finds the module.
    return isinstance(parent, ast.Module)


_CHECKS: dict[type[ast.AST], Callable[..., bool]] = {
    ast.Attribute: _attribute,
    ast.Compare: _comparison,
    ast.Import: _import,
    ast.ImportFrom: _import,
    ast.Name: _name,
    ast.Try: _try,
}

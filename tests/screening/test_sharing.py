# ruff: noqa: E501 - a table of programs reads best with each in one line
"""Which programs may run several calls in one process; the attacks are the specification."""

from __future__ import annotations

import builtins
import functools
import importlib
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.screening import sharing
from executor.screening.sharing import may_share_process


def shares(source: str) -> bool:
    return may_share_process(compile(source, "<program>", "exec", dont_inherit=True), source)


ACCEPTED = {
    "plain function": "def f(x):\n    return x + 1",
    "lambda": "f = lambda x: sorted(x, key=lambda y: -y)",
    "module-level state": "seen = []\ndef f(x):\n    seen.append(x)\n    return len(seen)",
    "mutable default": "def f(x, seen=[]):\n    seen.append(x)\n    return seen",
    "global statement": "n = 0\ndef f(x):\n    global n\n    n += x\n    return n",
    "attribute of own function": "def f(x):\n    f.n = x\n    return f.n",
    "generator": "def f(x):\n    return list(y * 2 for y in x)",
    "unary plus and starred call": "def f(*x):\n    return +max(*x, *x)",
    "own class": (
        "class A:\n    k = 1\n    def __init__(self, x):\n        self.x = x\n        self.__y = x\n"
        "    def __eq__(self, other):\n        return self.x == other.x\n"
        "class B(A):\n    def __init__(self, x):\n        super().__init__(x)\n"
        "def f(x):\n    return B(x).x"
    ),
    "parameter named like a refused builtin": "def f(input, id=None):\n    return input is None",
    "attribute named like a refused builtin": (
        "class A:\n    pass\ndef f(x):\n    a = A()\n    a.id = x\n    return a.id"
    ),
    "plain format": "def f(x):\n    return '{:.2f} {} {2:>{3}}'.format(x, x, x, x)",
    "repeated import": "import math\nimport math\ndef f(x):\n    return math.sqrt(x)",
    "f-string": "def f(x):\n    return f'{x!r:>{len(x)}}'",
    "handlers of plain errors": (
        "def f(x):\n    try:\n        return int(x)\n    except (ValueError, TypeError) as e:\n"
        "        return str(e)\n    except KeyError:\n        return 0\n    else:\n        return 1"
    ),
    "is None": "def f(x):\n    y = x is None\n    return y or x is not True",
    "match of values": (
        "def f(x):\n    match x:\n        case {'a': [1, *rest]}:\n            return rest\n"
        "        case None | 3:\n            return 0\n        case y:\n            return y"
    ),
    "module name": "if __name__ == '__main__':\n    print(1)\ndef f(x):\n    return x",
    "annotated variable": "limit: int = 3\ndef f(x: int) -> int:\n    return x + limit",
    "math": "import math\ndef f(x):\n    return math.sqrt(x) + math.pi",
    "math under another name": "import math as m\ndef f(x):\n    return list(map(m.sqrt, x))",
    "counter": "from collections import Counter\ndef f(x):\n    return Counter(x).most_common(1)",
    "counter by module": "import collections\ndef f(x):\n    return collections.Counter(x)",
    "defaultdict beside a class": (
        "from collections import defaultdict\nclass A:\n    def __init__(self):\n"
        "        self.d = defaultdict(list)\ndef f(x):\n    return len(A().d[x])"
    ),
    "namedtuple": (
        "from collections import namedtuple\nP = namedtuple('P', 'x y')\n"
        "def f(x):\n    return P(x, x).y"
    ),
    "cache of an own function": (
        "from functools import lru_cache, cache\n@lru_cache(maxsize=None)\n"
        "def g(n):\n    return n\n@cache\ndef h(n):\n    return n\ndef f(x):\n    return g(x) + h(x)"
    ),
    "pattern": "import re\ndef f(x):\n    return re.sub(r'a+', lambda m: 'b', x, flags=re.I | re.M)",
    "imported pattern function": "from re import findall, I\ndef f(x):\n    return findall('a', x, I)",
    "compiled pattern": "import re\np = re.compile('a')\ndef f(x):\n    return p.findall(x)",
    "typing in annotations": (
        "from typing import List, Dict\nimport typing\n"
        "def f(x: List[int], *y: typing.Any) -> Dict[str, List[int]]:\n"
        "    z: List[int] = []\n    return {'a': z}"
    ),
    "future annotations": "from __future__ import annotations\ndef f(x: int):\n    return x",
    "deep copy": "import copy\ndef f(x):\n    return copy.deepcopy(x)",
    "string constants": "import string\ndef f(x):\n    return x in string.ascii_letters",
    "reduce with operator": (
        "from functools import reduce\nimport operator\ndef f(x):\n"
        "    return reduce(operator.add, x)"
    ),
}


@pytest.mark.parametrize("source", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_shares_when_nothing_outlives_the_call(source: str) -> None:
    assert shares(source)


REFUSED_ATTRIBUTES = [
    *("__class__", "__dict__", "__globals__", "__self__", "__subclasses__", "__traceback__"),
    *("__code__", "__closure__", "__getattribute__", "__setattr__", "__reduce_ex__", "__func__"),
    *("__wrapped__", "__mro__", "__bases__", "__eq__", "__hash__", "__annotations__"),
    *("__defaults__", *sorted(sharing._REFUSED_ATTRIBUTES)),
]
WITH_MATH = "import math\nm = math\ndef f(x):\n    "
WITH_COUNTER = "from collections import Counter\ndef f(x):\n    "
REFUSED = {
    # The state of modules and library objects.
    "attribute of a module": "import math\ndef f(x):\n    math.calls = 1",
    "module under a second name": WITH_MATH + "m.calls = 1",
    "module as an argument": "import math\ndef g(m):\n    m.n = 1\ndef f(x):\n    g(math)",
    "module in a container": "import math\ndef f(x):\n    [math][0].n = 1",
    "module as a loop target": WITH_MATH + "for math.x in [1]:\n        pass",
    "deleted attribute of a module": "import math\ndef f(x):\n    del math.pi",
    "augmented attribute of a module": "import math\ndef f(x):\n    math.pi += 1",
    "module through a mangled name": (
        "import math as _A__m\nclass A:\n    def g(self):\n        __m.n = 1\ndef f(x):\n    A().g()"
    ),
    "one name for two modules": "import math as m\nimport re as m\ndef f(x):\n    return m.escape(x)",
    "attribute of a library class": WITH_COUNTER + "Counter.calls = 1",
    "library class as a value": WITH_COUNTER + "C = Counter\n    C.calls = 1",
    "subclass of a library class": "from collections import Counter\nclass f(Counter):\n    pass",
    "library class through type": WITH_COUNTER + "type(Counter()).calls = 1",
    "library class through __class__": WITH_COUNTER + "Counter().__class__.calls = 1",
    "library function as a value": "import re\ndef f(x):\n    g = re.findall\n    g.calls = 1",
    "library function wrapped": (
        "from functools import update_wrapper\nfrom heapq import merge\ndef g():\n    pass\n"
        "def f(x):\n    update_wrapper(merge, g)"
    ),
    "decorator that sets attributes": "from functools import wraps\ndef f(x):\n    return wraps",
    "member of a library enumeration": "import re\ndef f(x):\n    re.I.calls = 1",
    "registration with an abstract class": (
        "from collections.abc import Mapping\ndef f(x):\n    Mapping.register(list)"
    ),
    "subclass hook of an abstract class": (
        "from collections.abc import Sized\nclass A(Sized):\n    pass\n"
        "def f(x):\n    return isinstance(x, Sized)"
    ),
    "abstract base through its subclass": (
        "from fractions import Fraction\nclass A(Fraction):\n    pass\ndef f(x):\n    return x"
    ),
    "module of a module": "import re\ndef f(x):\n    return re.functools",
    "private name of a module": "import re\ndef f(x):\n    return len(re._cache)",
    "emptied cache": "import re\ndef f(x):\n    re.purge()",
    "shared formatter": "from string import Formatter\ndef f(x):\n    return Formatter",
    "attribute getter": "from operator import attrgetter\ndef f(x):\n    return attrgetter('a')",
    "method caller": "from operator import methodcaller\ndef f(x):\n    return methodcaller('a')",
    "star import": "from math import *\ndef f(x):\n    return pi",
    "submodule": "import collections.abc\ndef f(x):\n    return x",
    "relative import": "from .math import pi\ndef f(x):\n    return pi",
    "import in the function": "def f(x):\n    import math\n    return math.pi",
    "conditional import": "if 1:\n    import math\ndef f(x):\n    return math.pi",
    "system": "import sys\ndef f(x):\n    sys.calls = 1",
    "collector": "import gc\ndef f(x):\n    return len(gc.get_objects())",
    "random": "import random\ndef f(x):\n    random.seed(x)",
    "decimal context": "from decimal import getcontext\ndef f(x):\n    getcontext().prec = x",
    "unknown module": "import numpy\ndef f(x):\n    return x",
    "wide identifier": "import ｏｓ\ndef f(x):\n    return os",
    # Builtins that reach the interpreter.
    **{
        name: f"def f(x):\n    return {name}"
        for name in sorted(sharing._REFUSED_BUILTINS | {"__import__", "__builtins__", "__loader__"})
    },
    "builtin under another name": "g = setattr\ndef f(x):\n    g(x, 'a', 1)",
    "attribute of a mutable builtin class": "def f(x):\n    ExceptionGroup.calls = 1",
    "exception group by except*": (
        "def f(x):\n    try:\n        int(x)\n    except* ValueError as e:\n        x.a = e"
    ),
    "own builtins": "__builtins__ = {}\ndef f(x):\n    return x",
    "import as builtins": "import math as __builtins__\ndef f(x):\n    return x",
    "handler as builtins": (
        "try:\n    int('a')\nexcept ValueError as __builtins__:\n    pass\ndef f(x):\n    return x"
    ),
    # Attributes that reach the interpreter.
    **{name: f"def f(x):\n    return x.{name}" for name in REFUSED_ATTRIBUTES},
    "module of a builtin": "def f(x):\n    print.__self__.calls = 1",
    "attribute in a class pattern": (
        "def f(x):\n    match print:\n        case object(__self__=b):\n            b.calls = 1"
    ),
    "attribute in a positional pattern": (
        "class A:\n    __match_args__ = ('__self__',)\ndef f(x):\n"
        "    match x:\n        case A(b):\n            return b"
    ),
    "attribute in a format string": "def f(x):\n    return '{0.__globals__}'.format(f)",
    "item in a format string": "def f(x):\n    return '{0[a]}'.format(x)",
    "attribute in a nested format string": "def f(x):\n    return '{0:{1.real}}'.format(x, x)",
    "format string from a variable": "t = '{0.__glo' + 'bals__}'\ndef f(x):\n    return t.format(f)",
    "format as a value": "g = str.format\ndef f(x):\n    return g('{0.a}', x)",
    "format_map": "def f(x):\n    return '{a}'.format_map(x)",
    "explicit annotations": (
        "from typing import List\nx: List[int] = []\ndef f(y):\n    __annotations__['x'].n = 1"
    ),
    # Code that runs when memory is freed, and resources as a signal.
    "finalizer": "class A:\n    def __del__(self):\n        print(1)\ndef f(x):\n    A()",
    "finalizer set later": "class A:\n    pass\nA.__del__ = print\ndef f(x):\n    A()",
    "finalizer in a generator": "def f(x):\n    try:\n        yield x\n    finally:\n        print(1)",
    "metaclass": "class M(type):\n    pass\nclass A(metaclass=M):\n    pass\ndef f(x):\n    return x",
    "class from a dictionary": "def f(x):\n    return type('A', (), {'__del__': print})",
    "pickled state": "class A:\n    def __reduce_ex__(self, n):\n        return A, ()\ndef f(x): pass",
    **{
        f"handler {handler!r}": f"def f(x):\n    try:\n        g(x)\n    {handler}:\n        return 1"
        for handler in (
            "except",
            "except Exception",
            "except BaseException",
            "except MemoryError",
            "except RecursionError",
            "except RuntimeError",
            "except (ValueError, Exception)",
            "except x",
            "except GeneratorExit",
            "except ValueError:\n        pass\n    except",
        )
    },
    "exception under another name": (
        "ValueError = Exception\ndef f(x):\n    try:\n        g(x)\n    except ValueError:\n"
        "        return 1"
    ),
    "exception as a parameter": (
        "def f(x, ValueError=Exception):\n    try:\n        g(x)\n    except ValueError:\n"
        "        return 1"
    ),
    "exception by a match": (
        "match MemoryError:\n    case ValueError:\n        pass\ndef f(x):\n    try:\n"
        "        g(x)\n    except ValueError:\n        return 1"
    ),
    "with": "def f(x):\n    with x:\n        return 1",
    "coroutine": "async def f(x):\n    return x",
    # What the caches of the library give away.
    "identity of cached objects": (
        "import re\ndef f(x):\n    a = re.compile('a')\n    return a is re.compile('a')"
    ),
    "identity by operator": "from operator import is_\ndef f(x):\n    return is_(x, x)",
    "pattern flags from a variable": "import re\ndef f(x):\n    return re.findall('a', 'A', x)",
    "pattern flags by keyword": "import re\ndef f(x):\n    return re.sub('a', 'b', 'A', flags=x)",
    "pattern flags unpacked": "import re\ndef f(x):\n    return re.findall(*x)",
    "pattern flags by mapping": "import re\ndef f(x):\n    return re.findall('a', 'A', **x)",
    "computed flag": "import re\ndef f(x):\n    return re.findall('a', 'A', re.I + x)",
    "flag as another argument": "import re\ndef f(x):\n    return re.sub('a', re.I, x)",
    "typing at run time": "from typing import List\ndef f(x):\n    return str(List[list[x]])",
    "typing within a function": (
        "from typing import List\ndef f(x):\n    def g(y: List[list[x]]):\n        pass\n"
    ),
    "type variables": "def f[T](x: T):\n    return x",
    "type alias": "type A = int\ndef f(x):\n    return x",
    "own object as a cache key": (
        "import re\nclass A(str):\n    def __eq__(self, other):\n        return True\n"
        "    def __hash__(self):\n        return 1\ndef f(x):\n    return re.sub('a', A('b'), x)"
    ),
    "own number as a cache key": (
        "from fractions import Fraction\nclass A(int):\n    def __eq__(self, other):\n"
        "        return True\ndef f(x):\n    return {Fraction(A(x))}"
    ),
    "own format as a cache key": "def f(x, y):\n    return y.strptime(x, x)",
    "memory of a copy": "from copy import deepcopy\ndef f(x):\n    d = {}\n    deepcopy(x, d)",
    "address": "def f(x):\n    return id(x) % 64",
}


@pytest.mark.parametrize("source", REFUSED.values(), ids=REFUSED.keys())
def test_refuses_what_could_outlive_the_call(source: str) -> None:
    assert not shares(source)


@given(
    st.sampled_from([*ACCEPTED.values(), *REFUSED.values()]),
    st.sampled_from(["# import os\n", "\n", "'type(x).__dict__'\n", "pass\n"]),
)
def test_comments_strings_and_blank_lines_change_nothing(source: str, line: str) -> None:
    # __future__ imports must stay first.
    if not source.startswith("from __future__"):
        assert shares(line + source) == shares(source)
    assert shares(f"{source}\n{line}") == shares(source)


def _refuses_attributes(value: object) -> bool:
    try:
        value.screening_probe = 1  # type: ignore[attr-defined]
    except (AttributeError, TypeError):
        return True
    del value.screening_probe  # type: ignore[attr-defined]
    return False


LISTED = [(module, library) for module, library in sharing._LIBRARIES.items()]


@pytest.mark.parametrize(("module", "library"), LISTED, ids=[module for module, _ in LISTED])
def test_listed_values_hold_no_state(module: str, library: sharing._Library) -> None:
    loaded = importlib.import_module(module)
    for name in library.values:
        value = getattr(loaded, name)
        assert _refuses_attributes(value), name
        assert isinstance(value, (str, float, complex, type, types.BuiltinFunctionType)), name


@pytest.mark.parametrize(("module", "library"), LISTED, ids=[module for module, _ in LISTED])
def test_listed_calls_and_annotations_exist(module: str, library: sharing._Library) -> None:
    loaded = importlib.import_module(module)
    assert all(callable(getattr(loaded, name)) for name in library.calls)
    assert all(hasattr(loaded, name) for name in library.annotations)
    assert not library.values & library.calls
    assert not library.annotations & (library.values | library.calls)


def test_builtins_that_are_not_refused_hold_no_state() -> None:
    for name in dir(builtins):
        if name.startswith("_") or name in sharing._REFUSED_BUILTINS:
            continue
        value = getattr(builtins, name)
        assert _refuses_attributes(value), name
        kinds = (type, types.BuiltinFunctionType, type(None), bool, type(...), type(NotImplemented))
        assert isinstance(value, kinds), name


HARMLESS_ATTRIBUTES = frozenset(
    """
    add_note args characters_written code encoding end end_lineno end_offset errno exceptions fdel
    fget filename filename2 fset imag lineno message msg name name_from numerator denominator object offset
    path print_file_and_line real reason start step stop strerror text value
    """.split()  # noqa: SIM905
)
"""Attributes that are not methods: numbers, texts, and what the program itself put there."""


def test_attributes_of_builtin_objects_are_refused_or_known() -> None:
    def generator() -> object:
        yield

    samples = [
        generator,
        generator(),
        iter(()),
        [].append,
        str.join,
        (lambda: 0),
        functools.partial,
    ]
    reachable = {type(sample) for sample in samples}
    reachable |= {
        value
        for name, value in vars(builtins).items()
        if isinstance(value, type) and name not in sharing._REFUSED_BUILTINS
    }
    data = (types.GetSetDescriptorType, types.MemberDescriptorType)
    for kind in reachable:
        for name, attribute in vars(kind).items():
            if isinstance(attribute, data) and not name.startswith("__"):
                known = HARMLESS_ATTRIBUTES | sharing._REFUSED_ATTRIBUTES
                assert name in known, f"{kind.__name__}.{name}"


def test_catchable_exceptions_do_not_catch_exhausted_resources() -> None:
    for name in sharing._CATCHABLE:
        caught = getattr(builtins, name)
        resources = (MemoryError, RecursionError, OSError, ImportError, GeneratorExit)
        assert not any(issubclass(resource, caught) for resource in resources), name


def test_intrinsics_are_the_harmless_ones() -> None:
    import opcode

    names = [opcode._intrinsic_1_descs[number] for number in sorted(sharing._INTRINSIC_ARGUMENTS)]  # type: ignore[attr-defined]
    assert names == [
        "INTRINSIC_STOPITERATION_ERROR",
        "INTRINSIC_UNARY_POSITIVE",
        "INTRINSIC_LIST_TO_TUPLE",
    ]

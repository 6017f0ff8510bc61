"""Runs tests that are code, in a child of the zygote that has never seen what they test.

The parser puts the compiled tests in the place of :data:`TESTS` and sends the code of this module
as the program of a job (see ``test_compiler.py``). :func:`f` is what the job calls.

Names that the tests do not define stand for those of the answer. A call of one gives what the
answer gave for these arguments, if the host says so in ``known``. If it does not, the run ends and
tells what it wants to know; the host asks the answer, in another sandbox, and runs the tests again.
So that this is not once for each call, tests that want to know something are gone through in
another way as well: statement by statement, past each that cannot be done yet.

A verdict comes of a run in the first way only, in which everything was known.
"""

from __future__ import annotations

import builtins
import marshal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any, NoReturn

TESTS = b"compiled tests"
"""Replaced: marshalled ``(code, names of the answer, modules, exceptions, calls check, is
random)``."""

FILE = "<tests>"
MOST_SKIPPED = 5000
"""Statements that the second way leaves out before it is given up."""
DEEPEST = 50
SOLUTION = "Solution"
"""The class that solutions of LeetCode's problems are in."""

Outcome = tuple[object, ...]
"""Of a call: ``("value", value, args, kwargs)`` with the arguments as they are after it,
``("error", type, message)``, or ``("end", status)`` of one that came to neither."""


class Leave(BaseException):
    """Ends the tests, which are not meant to catch it."""


class Stop(Leave):
    """Enough was left out."""


class Stopped(RuntimeError):
    """What the answer's ``StopIteration`` is here: as itself, it would end a loop over ``map`` as
    if the answer had given all there is. ``except StopIteration`` of the tests catches it."""


Stopped.__name__ = Stopped.__qualname__ = "StopIteration"


class Later:
    """Stands for what is not known yet."""


LATER = Later()


class State:
    """Known results and the outcome of one way through the tests."""

    def __init__(
        self, known: dict[bytes, Outcome], *, loose: bool, go_on: bool, seed: int, room: int
    ) -> None:
        self.known = known
        self.seed = seed
        self.loose = loose
        self.go_on = go_on
        self.wanted: dict[bytes, None] = {}
        self.room = room
        self.told = 0
        """Calls whose outcome was known, before the first whose outcome was not."""
        self.unsuitable = ""
        self.ended = ""
        self.skipped = 0
        self.passed = 0
        self.failures: list[tuple[int, str]] = []
        self.sites: set[int] = set()
        self.exceptions: dict[str, type[Exception]] = {}
        self.namespace: dict[str, Any] = {}

    def call(self, path: str, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        """The answer's result of a call."""
        from executor.grammar.encode import TooLarge, Unserializable, encode  # noqa: PLC0415

        try:
            key = encode((path, args, kwargs))
        except (Unserializable, TooLarge) as problem:
            self.refuse(f"{path}() is called with what is no plain value: {problem}")
        outcome: Any = self.known.get(key)
        if outcome is None:
            self.wanted[key] = None
            self.room -= len(key)
            raise Stop if self.loose and self.room < 0 else Leave
        self.told += not self.wanted
        if outcome[0] == "error":
            raise made(self.exception(outcome[1]), outcome[2])
        if outcome[0] == "end":
            self.ended = outcome[1]
            raise Leave
        _, value, new_args, new_kwargs = outcome
        for old, new in zip(args, new_args):  # noqa: B905 - an answer may say what it likes
            put_back(old, new)
        for name, old in kwargs.items():
            put_back(old, new_kwargs.get(name, old))
        return fresh(value)

    def refuse(self, why: str) -> NoReturn:
        """The tests want more than values."""
        if not self.loose:
            self.unsuitable = self.unsuitable or why
        raise Leave

    def exception(self, name: str) -> type[BaseException]:
        """The class that an exception of the answer has here, by its name: the tests' own, or a
        builtin one."""
        for known in (self.namespace.get(name), getattr(builtins, name, None)):
            if isinstance(known, type) and issubclass(known, Exception):
                return Stopped if issubclass(known, (StopIteration, StopAsyncIteration)) else known
        return self.exceptions.setdefault(name, type(name, (Exception,), {}))

    # What the compiled tests call:

    def done(self, site: int) -> None:
        """An assertion holds."""
        self.passed += 1
        self.sites.add(site)

    def failed(self, site: int, error: BaseException) -> None:
        """An assertion does not hold, or could not be looked at."""
        if self.loose:
            self.skip(error)
            return
        if isinstance(error, Leave) and not self.ended:
            raise error
        if not self.go_on or isinstance(error, (KeyboardInterrupt, GeneratorExit)):
            raise error
        self.failures.append((self.passed + len(self.failures), self.describe(error)))
        self.sites.add(site)
        self.ended = ""

    def skip(self, error: BaseException) -> None:
        """A statement raises: in the loose way only, the next one is tried."""
        if not self.loose:
            raise error
        self.skipped += 1
        if isinstance(error, Stop) or self.skipped > MOST_SKIPPED:
            raise Stop

    def describe(self, error: BaseException) -> str:
        """The error, and its line in the tests."""
        if self.ended and isinstance(error, Leave):
            return self.ended
        line, trace = 0, error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == FILE:
                line = trace.tb_lineno
            trace = trace.tb_next
        text = str(error)[:300]
        kind = type(error).__name__
        return f"line {line} of the tests: {kind}{': ' * bool(text)}{text}"


class Proxy:
    """A name of the answer."""

    def __init__(self, path: str, state: State) -> None:
        self.__path = path
        self.__state = state
        self.__name__ = path.rpartition(".")[2]

    def __call__(self, *args: object, **kwargs: object) -> object:
        """What the answer gives. ``Solution()`` is a class without state by convention: each call
        of a method makes an object of its own."""
        if self.__path == SOLUTION and not args and not kwargs:
            return self
        return self.__state.call(self.__path, args, kwargs)

    def __getattr__(self, name: str) -> Proxy:
        if name[:2] == "__":
            raise AttributeError(name)
        return Proxy(f"{self.__path}.{name}", self.__state)

    def __refuse(self, *_: object) -> NoReturn:
        self.__state.refuse(f"the tests use {self.__path} otherwise than by calling it")

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __len__ = __refuse
    __iter__ = __getitem__ = __contains__ = __add__ = __radd__ = __sub__ = __rsub__ = __refuse
    __mul__ = __rmul__ = __enter__ = __str__ = __int__ = __float__ = __index__ = __refuse
    __hash__ = __refuse


def made(kind: type[BaseException], text: str) -> BaseException:
    """An exception with a text; some of the builtin ones cannot be made of one alone."""
    try:
        if issubclass(kind, KeyError) and text:
            return kind(key_in(text))
        return kind(text) if text else kind()
    except Exception:
        error = kind.__new__(kind)
        error.args = (text,)
        return error


def key_in(text: str) -> object:
    """The key that a KeyError's text tells of."""
    from ast import literal_eval  # noqa: PLC0415

    try:
        return literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text


def put_back(old: Any, new: Any, depth: int = 0) -> None:
    """Change an argument in place to what the answer has made of it."""
    if type(old) is not type(new) or depth > DEEPEST:
        return
    if isinstance(old, list):
        put_back_list(old, new, depth)
    elif isinstance(old, dict):
        put_back_dict(old, new, depth)
    elif isinstance(old, set):
        if old != new:
            old.clear()
            old.update(new)
    elif hasattr(old, "appendleft"):
        if not same(old, new):
            old.clear()
            old.extend(new)
    elif hasattr(old, "dtype") and getattr(old, "shape", None) and old.shape == new.shape:
        old[...] = new  # an array of numpy; another shape cannot be put into it


def same(old: object, new: object) -> bool:
    """Whether what is there may stay: of equal type and value. Arrays do not say; :func:`put_back`
    has changed those of the same shape, and others are put in the place of the old."""
    if type(old) is not type(new):
        return False
    if hasattr(old, "dtype"):
        return getattr(old, "shape", None) == getattr(new, "shape", None)
    try:
        return bool(old == new)
    except ValueError:  # arrays in it
        return False


def put_back_list(old: list[Any], new: list[Any], depth: int) -> None:
    """The same for a list; members that did not change stay the objects that they were."""
    for before, after in zip(old, new):  # noqa: B905
        put_back(before, after, depth + 1)
    if not same(old, new):
        old[:] = (
            [
                before if same(before, after) else after
                for before, after in zip(old, new)  # noqa: B905
            ]
            + new[len(old) :]
        )


def put_back_dict(old: dict[Any, Any], new: dict[Any, Any], depth: int) -> None:
    """The same for a dict; the order of keys is the answer's."""
    for key in old.keys() & new.keys():
        put_back(old[key], new[key], depth + 1)
    if not same(old, new) or list(old) != list(new):
        kept = {key: old.get(key, value) for key, value in new.items()}
        changed = {key: kept[key] if same(kept[key], new[key]) else new[key] for key in new}
        old.clear()
        old.update(changed)


def fresh(value: object) -> object:
    """A value that the tests may change."""
    if type(value) in (int, float, str, bool, bytes, type(None)):
        return value
    from copy import deepcopy  # noqa: PLC0415

    return deepcopy(value)


def go(
    code: CodeType, state: State, entry: str, answer: str | None, about: tuple[Any, ...]
) -> BaseException | None:
    """Go through the tests once; returns what ended them."""
    names, modules, exceptions, calls_check, is_random = about
    namespace = state.namespace
    namespace.update({"__name__": "__main__", "__builtins__": builtins})
    if is_random:
        import random  # noqa: PLC0415

        random.seed(state.seed)
        if "numpy" in modules:
            __import__("numpy").random.seed(state.seed)
    namespace["_done_"], namespace["_failed_"] = state.done, state.failed
    namespace["_skip_"], namespace["_later_"] = state.skip, LATER
    namespace["_Everything_"], namespace["_Stopped_"] = BaseException, Stopped
    try:
        if answer is None:
            for name in (*names, *entry.split(".")[:1]):  # the latter may be a builtin's name
                namespace[name] = Proxy(name, state)
            for name in exceptions:
                namespace[name] = state.exceptions.setdefault(name, type(name, (Exception,), {}))
        else:
            exec(compile(answer, "<answer>", "exec", dont_inherit=True, optimize=0), namespace)
        target = find(namespace, entry) if answer is not None and entry else Proxy(entry, state)
        for name in modules:
            namespace.setdefault(name, __import__(name))
        exec(code, namespace)
        if calls_check:
            namespace["check"](target)
    except BaseException as error:
        return error
    return None


def find(namespace: dict[str, Any], entry: str) -> Any:
    """The answer's own that the tests call."""
    first, *rest = entry.split(".")
    if first not in namespace:
        raise NameError(f"name {first!r} is not defined")
    target = namespace[first]
    for name in rest:
        target = getattr(target() if isinstance(target, type) else target, name)
    return target


def f(
    known: dict[bytes, Outcome],
    entry: str,
    answer: str | None,
    *,
    loose: bool,
    go_on: bool,
    seed: int,
    room: int,
) -> tuple[object, ...]:
    """Run the tests. ``seed``, below 2 to the 32nd, is that of generators of chance; ``room`` is
    for so many bytes of calls that are wanted, of which the last may be as long as it likes.

    Returns ``("passed" | "failed", assertions that hold, failures, sites reached)``,
    ``("wanted", [calls], calls that were known before the first of them)``, or
    ``("unsuitable", why)``.
    """
    code, *about = marshal.loads(TESTS)
    state = State(known, loose=False, go_on=go_on, seed=seed, room=room)
    error = go(code, state, entry, answer, tuple(about))
    if state.unsuitable:
        return ("unsuitable", state.unsuitable)
    if state.wanted:
        if loose:
            again = State(known, loose=True, go_on=False, seed=seed, room=room)
            go(code, again, entry, answer, tuple(about))
            state.wanted.update(again.wanted)
        return ("wanted", list(state.wanted), state.told)
    failures = list(state.failures)
    if error is not None or state.ended:
        failures.append((state.passed + len(failures), state.describe(error or Leave())))
    return ("failed" if failures else "passed", state.passed, failures, sorted(state.sites))

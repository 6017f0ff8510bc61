"""Runs pytest for a script, and tells pid 1 of each test how it ended.

Started as ``python3.12 -B .../run_tests.py arguments...`` in place of ``python -m pytest``, with
two descriptors besides the usual: 5 holds a secret, which is read and closed; 4 takes the report::

    SECRET collected NUMBER     tests that are to be run
    SECRET NUMBER OUTCOME       of each: passed, skipped, failed
    SECRET dropped NUMBER       tests that something else than an option has left out
    SECRET end EXIT_CODE        of pytest

The tests, and what they test, share this process, and could do all that is done here. What is
within reach of a program that does not look for it: to leave early with any exit code, to change
exit codes, outcomes and reports by hooks, to replace parts of pytest, and to skip tests from
outside them. One that searches the objects of its process finds the secret: see
docs/sandboxfusion.md.
"""

from __future__ import annotations

import builtins
import functools
import os
import sys
from types import FunctionType, ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from typing import Any

REPORT, SECRET = 4, 5
SECRET_BYTES = 32
SEALED = ("_pytest", "pluggy")
"""Packages whose functions must be the same at the end of each test as at the start."""
CHANGED_BY_PYTEST = ("_getini_unknown_type",)
"""The one that its support of old paths replaces later."""


def main() -> None:
    """Run pytest on the arguments of the command line; ends as it does."""
    secret = os.read(SECRET, SECRET_BYTES)
    os.close(SECRET)
    report = os.dup(REPORT)  # not inherited by what tests start
    os.close(REPORT)
    tell = teller(report, secret)
    del secret
    # Before the working directory is in the path: its files are not to be taken for pytest's.
    import pytest  # noqa: PLC0415

    observer = make_observer(tell)
    sys.modules["__main__"] = ModuleType("__main__")  # this one is nothing to be found by name
    sys.path[0] = os.getcwd()
    sys.argv[0] = pytest.__file__.replace("__init__.py", "__main__.py")
    code = pytest.main(plugins=[observer])
    tell(f"end {int(code)}")
    sys.exit(code)


def teller(report: int, secret: bytes) -> Callable[[str], None]:
    """Make the function that writes a line of the report, in this process only."""
    write, own, pid = os.write, os.getpid, os.getpid()

    def tell(line: str) -> None:
        if own() == pid:
            write(report, secret + b" " + line.encode() + b"\n")

    return tell


def make_observer(tell: Callable[[str], None]) -> Observer:
    """The plugin that follows the tests."""
    import pytest  # noqa: PLC0415

    around = pytest.hookimpl(wrapper=True, tryfirst=True)
    for hook in AROUND:
        around(vars(Observer)[hook])
    pytest.hookimpl(trylast=True)(Observer.pytest_runtest_logfinish)
    return Observer(tell, pytest.xfail.Exception)


class Observer:
    """A plugin of pytest. :func:`make_observer` marks its hooks: pytest is not there before."""

    def __init__(self, tell: Callable[[str], None], xfail: type[BaseException]) -> None:
        self.tell = tell
        self.xfail = xfail
        """What ``pytest.xfail()`` raises."""
        self.numbers: dict[str, int] = {}
        self.phases: dict[str, dict[str, str]] = {}
        self.followed: dict[str, list[bool]] = {}
        self.seals: list[Seal] = []

    def pytest_load_initial_conftests(self) -> Generator[None, Any, Any]:
        """Seal pytest after installed plugins, before files of the script."""
        self.seals.extend(make_seals())
        return (yield)

    def pytest_collection_modifyitems(
        self, config: Any, items: list[Any]
    ) -> Generator[None, Any, Any]:
        """Tell what something else than an option has left out."""
        before = list(items)
        result = yield
        option = config.option
        if not (option.keyword or option.markexpr or option.deselect):
            left = set(map(id, items))
            self.tell(f"dropped {sum(id(item) not in left for item in before)}")
        return result

    def pytest_collection_finish(self, session: Any) -> Generator[None, Any, Any]:
        """Tell how many tests there are."""
        result = yield
        self.numbers.update((item.nodeid, n) for n, item in enumerate(session.items))
        self.tell(f"collected {len(session.items)}")
        return result

    def pytest_runtest_makereport(self, item: Any, call: Any) -> Generator[None, Any, Any]:
        """Note the outcome of a phase."""
        raised = call.excinfo
        report = yield
        outcome = judged(item, call.when, raised or call.excinfo, report, self.xfail)
        self.phases.setdefault(item.nodeid, {})[call.when] = outcome
        return report

    def pytest_pyfunc_call(self, pyfuncitem: Any) -> Generator[None, Any, Any]:
        """Note whether the function of a test returns."""
        function = pyfuncitem.obj
        ended = self.followed[pyfuncitem.nodeid] = []
        pyfuncitem.obj = follow(function, ended)
        try:
            return (yield)
        finally:
            pyfuncitem.obj = function

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Tell how a test ended."""
        sound = all(each.holds() for each in self.seals)
        outcome = whole(self.phases.pop(nodeid, {})) if sound else "failed"
        if outcome == "passed" and self.followed.pop(nodeid, [True])[-1:] != [True]:
            outcome = "failed"  # its function was not called, or what it raised was caught
        self.tell(f"{self.numbers.pop(nodeid, -1)} {outcome}")


AROUND = (
    "pytest_load_initial_conftests",
    "pytest_collection_modifyitems",
    "pytest_collection_finish",
    "pytest_runtest_makereport",
    "pytest_pyfunc_call",
)
"""Hooks that stand around those of others; ``pytest_runtest_logfinish`` comes after them."""


def follow(function: Any, ended: list[bool]) -> Any:
    """The function of a test, which notes whether it returned."""

    @functools.wraps(function)
    def followed(*args: Any, **kwargs: Any) -> Any:
        ended.append(False)
        result = function(*args, **kwargs)
        ended[-1] = True
        return result

    return followed


def whole(phases: dict[str, str]) -> str:
    """The outcome of a test, from the outcomes of its phases."""
    if "failed" in phases.values() or phases.get("teardown") != "passed":
        return "failed"
    if "skipped" in phases.values():
        return "skipped"
    return "passed" if phases.keys() == {"setup", "call", "teardown"} else "failed"


def judged(item: Any, when: str, raised: Any, report: Any, xfail: type[BaseException]) -> str:
    """The outcome of a phase of a test, by what it raised more than by what is said of it.

    ``xfail`` is what ``pytest.xfail()`` raises.
    """
    if raised is None:  # what unittest skips, or expects to fail, is told by the report alone
        return str(report.outcome)
    if hasattr(report, "wasxfail"):
        imperative = isinstance(raised.value, xfail)
        accepted = report.outcome == "skipped" and not (imperative and foreign(item, raised))
    else:
        accepted = report.outcome == "skipped" and (when != "call" or not foreign(item, raised))
    return "skipped" if accepted else "failed"


def foreign(item: Any, raised: Any) -> bool:
    """Whether a test was left from outside of its own file: by what it tests, say."""
    libraries = tuple(
        os.path.dirname(sys.modules[name].__file__ or "") + os.sep
        for name in ("_pytest", "unittest")
        if name in sys.modules
    )
    paths = [str(entry.path) for entry in raised.traceback]
    last = next((path for path in reversed(paths) if not path.startswith(libraries)), "")
    return last not in ("", str(item.path)) and os.path.basename(last) != "conftest.py"


class Seal:
    """The values of the names of a module or a class."""

    def __init__(self, owner: Any, values: dict[str, Any]) -> None:
        self.owner = owner
        self.values = values
        self.codes = {
            name: value.__code__ for name, value in values.items() if type(value) is FunctionType
        }

    def holds(self) -> bool:
        """Whether they still do."""
        now = vars(self.owner)
        return all(now.get(name) is value for name, value in self.values.items()) and all(
            self.values[name].__code__ is code for name, code in self.codes.items()
        )


def make_seals() -> Iterator[Seal]:
    """Of the functions and classes of pytest, and of the exceptions there are."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in SEALED and isinstance(module, ModuleType):
            yield Seal(module, chosen(vars(module), name))
            for each in vars(module).values():
                if isinstance(each, type) and each.__module__ == name:
                    yield Seal(each, chosen(vars(each), name))
    errors = {
        name: value
        for name, value in vars(builtins).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    }
    yield Seal(builtins, errors)


def chosen(names: Any, module: str) -> dict[str, Any]:
    """Functions and classes that a module defines, by name."""
    kinds = (FunctionType, type, staticmethod, classmethod, property)
    return {
        name: value
        for name, value in names.items()
        if isinstance(value, kinds)
        and getattr(value, "__module__", module) == module
        and name not in CHANGED_BY_PYTEST
    }


if __name__ == "__main__":
    main()

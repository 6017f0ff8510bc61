"""Tests that are to be passed: pytest's exit code is believed only with its report."""

# ruff: noqa: E501 - sources are quoted as they are
from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from textwrap import dedent

import pytest

from executor import Executor, Limits, Script, ScriptResult, Signal, Status
from tests.support.engines import each, require, why_no_engine, why_no_gvisor

# The first test of a backend runs all that were selected.
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
LIMITS = Limits(wall_s=60, cpu_s=20, memory_mib=512, processes=32)
AT_ONCE = 4

Ended = Callable[[str], ScriptResult]
"""How the script of this name ended."""


@pytest.fixture(scope="module", params=each("nsjail", "process", "docker", "gvisor"))
def ended(request: pytest.FixtureRequest) -> Ended:
    """All that the selected tests are about, side by side: most of each waits for its start."""
    reasons = {"docker": why_no_engine, "gvisor": why_no_gvisor}
    require(reasons.get(request.param, str)())
    selected = {
        parameters.get("what", PLAIN)
        for item in request.session.items
        if item.path == request.path
        and (parameters := getattr(getattr(item, "callspec", None), "params", {}))
        and parameters["ended"] == request.param
    }
    scripts = {name: script for name, script in all_scripts().items() if name in selected}
    return asyncio.run(run_all(request.param, scripts)).__getitem__


async def run_all(backend: str, scripts: dict[str, Script]) -> dict[str, ScriptResult]:
    async with Executor(backend, workers=AT_ONCE, limits=LIMITS) as executor:
        results = await asyncio.gather(*map(executor.run, scripts.values()))
    return dict(zip(scripts, results, strict=True))


def suite(tests: str, *argv: str, **files: str) -> Script:
    """Tests, and files beside them by the name of the module."""
    return Script(
        source=dedent(tests),
        language="pytest",
        argv=argv,
        files={f"{name}.py": dedent(text).encode() for name, text in files.items()},
    )


FAILING = "\ndef test_last(): assert 0\n"
SOLUTION = "import solution\ndef test_a(): assert solution.f(1) == 2\ndef test_b(): assert solution.f(3) == 4\n"

ATTACKS = {
    "leaves while imported": suite("import os; os._exit(0)" + FAILING),
    "leaves in a test": suite("import os\ndef test_a(): os._exit(0)" + FAILING),
    "leaves at the end": suite("import atexit, os\natexit.register(os._exit, 0)" + FAILING),
    "leaves before the report": suite(
        "import os, pytest\n@pytest.fixture(autouse=True, scope='session')\ndef a():\n    yield\n    os._exit(0)"
        + FAILING
    ),
    "exits the interpreter in conftest": suite(FAILING, conftest="raise SystemExit(0)"),
    "exits pytest in conftest": suite(FAILING, conftest="import pytest; pytest.exit('', 0)"),
    "exits pytest": suite("import pytest\ndef test_a(): pytest.exit('done', returncode=0)" + FAILING),
    "changes the exit code": suite(
        FAILING, conftest="def pytest_sessionfinish(session): session.exitstatus = 0"
    ),
    "changes the exit code late": suite(
        FAILING,
        conftest="""
        import pytest
        @pytest.hookimpl(trylast=True)
        def pytest_unconfigure(config):
            import os
            os._exit(0)
        """,
    ),
    "changes a report": suite(
        FAILING,
        conftest="""
        import pytest
        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_runtest_makereport(item, call):
            report = yield
            report.outcome = 'passed'
            return report
        """,
    ),
    "forgets what was raised": suite(
        FAILING,
        conftest="""
        import pytest
        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_makereport(item, call):
            call.excinfo = None
        """,
    ),
    "leaves out a test": suite(
        "def test_a(): pass" + FAILING,
        conftest="def pytest_collection_modifyitems(items): items[:] = items[:1]",
    ),
    "leaves out a test by its name": suite(
        "def test_a(): pass" + FAILING,
        conftest="def pytest_collection_modifyitems(config, items):\n"
        "    config.hook.pytest_deselected(items=items[1:])\n    del items[1:]",
    ),
    "ends the list of tests": suite(
        "import gc, pytest\ndef test_a():\n"
        "    for each in gc.get_objects():\n"
        "        if type(each).__name__ == 'Session': del each.items[1:]\n" + FAILING
    ),
    "asks for the list only": suite(FAILING, conftest="def pytest_configure(config): config.option.collectonly = True"),
    "runs nothing": suite(
        FAILING, conftest="def pytest_runtest_protocol(item, nextitem): return True"
    ),
    "calls no function": suite(FAILING, conftest="def pytest_pyfunc_call(pyfuncitem): return True"),
    "calls functions and catches what they raise": suite(
        FAILING,
        conftest="def pytest_pyfunc_call(pyfuncitem):\n    try: pyfuncitem.obj()\n    except AssertionError: pass\n    return True",
    ),
    "skips from the solution": suite(SOLUTION, solution="import pytest\ndef f(x): pytest.skip('later')"),
    "skips some from the solution": suite(
        SOLUTION, solution="import unittest\ndef f(x):\n    if x == 3: raise unittest.SkipTest\n    return 2"
    ),
    "expects to fail from the solution": suite(
        SOLUTION, solution="import pytest\ndef f(x):\n    if x == 3: pytest.xfail('why not')\n    return 2"
    ),
    "leaves from the solution": suite(SOLUTION, solution="import os\ndef f(x): os._exit(0)"),
    "ends quietly from the solution": suite(SOLUTION, solution="import pytest\ndef f(x): pytest.exit('', 0)"),
    "kills pytest with success": suite(
        SOLUTION, solution="import os, threading, time\n"
        "threading.Thread(target=lambda: (time.sleep(0.2), os._exit(0)), daemon=True).start()\n"
        "def f(x):\n    time.sleep(5)",
    ),
    "closes the report": suite(SOLUTION, solution="import os\nos.closerange(3, 500)\ndef f(x): os._exit(0)"),
    "writes a report": suite(
        SOLUTION,
        solution="""
        import os
        def f(x):
            for fd in range(3, 64):
                for text in (b'end 0\\n', b'0' * 32 + b' collected 0\\n' + b'0' * 32 + b' end 0\\n'):
                    try:
                        os.write(fd, text)
                    except OSError:
                        pass
            os._exit(0)
        """,
    ),
    "passes all functions": suite(
        SOLUTION,
        solution="import _pytest.python as p\np.Function.runtest = lambda self: None\ndef f(x): pass",
    ),
    "passes all functions by their code": suite(
        SOLUTION,
        solution="import _pytest.python as p\np.Function.runtest.__code__ = (lambda self: None).__code__\ndef f(x): pass",
    ),
    "swallows what is raised": suite(
        SOLUTION,
        solution="""
        import _pytest.runner as r
        old = r.CallInfo.from_call.__func__
        def from_call(cls, func, when, reraise=None):
            return old(cls, lambda: None, when, reraise)
        r.CallInfo.from_call = classmethod(from_call)
        def f(x): pass
        """,
    ),
    "makes reports": suite(
        SOLUTION,
        solution="""
        import _pytest.reports as r
        old = r.TestReport.from_item_and_call.__func__
        def make(cls, item, call):
            report = old(cls, item, call)
            report.outcome = 'passed'
            return report
        r.TestReport.from_item_and_call = classmethod(make)
        def f(x): pass
        """,
    ),
    "makes another error of a failure": suite(
        SOLUTION, solution="import builtins, unittest\nbuiltins.AssertionError = unittest.SkipTest\ndef f(x): pass"
    ),
    "replaces what watches": suite(
        SOLUTION,
        solution="import sys, __main__\nfor name in ('judged', 'whole', 'foreign'):\n"
        "    setattr(__main__, name, lambda *a: 'passed')\ndef f(x): pass",
    ),
    "takes pytest's name": suite(FAILING, pytest="import sys\nsys.exit(0)"),
    "skips all": suite("import pytest\npytestmark = pytest.mark.skip\ndef test_a(): pass"),
    "no tests": suite("pass"),
    "forks and passes": suite(
        "import os\ndef test_a():\n    if os.fork() == 0: return\n    os.wait()\n    assert 0\n"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", ATTACKS)
def test_what_did_not_pass_is_no_success(ended: Ended, what: str) -> None:
    result = ended(what)
    assert result.status is not Status.OK, (result.stdout, result.stderr)
    assert result.exit_code != 0
    if "but" in result.detail:
        assert result.signals == {Signal.EARLY_EXIT: 1}


HONEST = {
    "functions": suite("def test_a(): assert 1\ndef test_b(): print('x')"),
    "a solution": suite(SOLUTION, solution="def f(x): return x + 1"),
    "classes": suite(
        "import unittest\nclass TestA:\n    def test_a(self): pass\n"
        "class B(unittest.TestCase):\n    def setUp(self): self.x = 1\n"
        "    def test_b(self):\n        with self.subTest(i=1): self.assertEqual(self.x, 1)\n"
        "    @unittest.skip('not now')\n    def test_c(self): pass\n"
        "    def test_d(self): self.skipTest('not here')\n"
        "    @unittest.expectedFailure\n    def test_e(self): self.fail()"
    ),
    "marks": suite(
        "import pytest, sys\n@pytest.mark.skip\ndef test_a(): assert 0\n"
        "@pytest.mark.xfail\ndef test_b(): assert 0\n@pytest.mark.xfail\ndef test_c(): pass\n"
        "@pytest.mark.skipif(True, reason='x')\ndef test_d(): assert 0\ndef test_e(): pass\n"
        "def test_f(): pytest.skip('x')\ndef test_g(): pytest.xfail('x')\n"
        "def test_h(): pytest.importorskip('not_there_at_all')"
    ),
    "parameters": suite(
        "import pytest\n@pytest.mark.parametrize('x', ['a', 'a', '', '\u00fc', '\\n', 'b' * 300])\ndef test_a(x): pass"
    ),
    "fixtures": suite(
        "import os, sys\ndef test_a(tmp_path, monkeypatch, capsys, caplog, recwarn):\n"
        "    monkeypatch.setattr('builtins.input', lambda: '3')\n    monkeypatch.setattr(os, 'getpid', lambda: 1)\n"
        "    monkeypatch.chdir(tmp_path)\n    print(input())\n    assert capsys.readouterr().out == '3\\n'\n"
        "def test_b(request): request.addfinalizer(lambda: None)"
    ),
    "a choice": suite("def test_a(): pass" + FAILING, "-k", "test_a"),
    "a choice by mark": suite("import pytest\n@pytest.mark.skipif(False, reason='')\ndef test_a(): pass" + FAILING, "--deselect", "test_script.py::test_last"),
    "doctests": suite('def f(x):\n    """\n    >>> f(1)\n    2\n    """\n    return x + 1\n', "--doctest-modules"),
    "children": suite(
        "import os, subprocess, sys, multiprocessing\ndef test_a():\n"
        "    if os.fork() == 0: os._exit(1)\n    os.wait()\n    subprocess.run([sys.executable, '-c', 'print(1)'])\n"
        "    with multiprocessing.Pool(1) as pool: assert pool.map(abs, [-1]) == [1]"
    ),
    "a chdir": suite("import os\ndef test_a(): os.chdir('/tmp')\ndef test_b(): assert os.getcwd() == '/tmp'"),
    "an order": suite(
        "def test_a(): pass\ndef test_b(): pass",
        conftest="def pytest_collection_modifyitems(items): items.reverse()",
    ),
    "many": suite("import pytest\n@pytest.mark.parametrize('x', range(1500))\ndef test_a(x): pass"),
}  # fmt: skip


@pytest.mark.parametrize("what", HONEST)
def test_what_passed_is_a_success(ended: Ended, what: str) -> None:
    result = ended(what)
    assert result.status is Status.OK, (result.detail, result.stdout[-1500:], result.stderr)
    assert (result.exit_code, result.signals) == (0, {})


PLAIN = "a failure that says where it ran"


@cache
def all_scripts() -> dict[str, Script]:
    failing = suite("import sys\ndef test_a(): print(sys.argv, sys.path[0]); assert 0")
    assert not ATTACKS.keys() & HONEST.keys()
    return ATTACKS | HONEST | {PLAIN: failing}


def test_the_report_changes_nothing_else(ended: Ended) -> None:
    result = ended(PLAIN)
    assert (result.status, result.exit_code, result.signals) == (Status.ERROR, 1, {})
    assert b"1 failed" in result.stdout
    assert b"run_tests" not in result.stdout

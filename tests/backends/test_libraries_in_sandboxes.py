"""Programs and scripts that use a library set, in the real sandbox."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from executor import Limits, Options, Script, Status, SyncExecutor, Triplet
from executor.errors import ConfigurationError
from tests.support.libraries import require_set
from tests.support.programs import OPEN_RULES

pytestmark = pytest.mark.timeout(600)  # the library set may have to be built
LIMITS = Limits(wall_s=60, cpu_s=10)
SCRIPT = "import sympy\nprint(sympy.factor(sympy.Symbol('x') ** 2 - 1))\n"


@pytest.fixture(scope="module")
def mathematics() -> Iterator[SyncExecutor]:
    require_set("math")
    with SyncExecutor(workers=2, limits=LIMITS, rules=OPEN_RULES, libraries="math") as executor:
        yield executor


def test_verdicts_name_the_set_with_its_digest(mathematics: SyncExecutor) -> None:
    program = "import sympy\ndef f(n):\n    return str(sympy.factorint(n))"
    verdict = mathematics.validate(Triplet(program=program, inputs=("12",)))
    assert (verdict.status, verdict.outputs) == (Status.OK, ("'{2: 2, 3: 1}'",)), verdict.detail
    assert " with math-" in verdict.interpreter


@pytest.mark.parametrize("source", [SCRIPT, f"import os\nos.mkdir('a')\n{SCRIPT}"])
def test_scripts_import_it_in_warm_guests_and_in_jails(
    mathematics: SyncExecutor, source: str
) -> None:
    result = mathematics.run(Script(source=source))
    assert (result.status, result.stdout) == (Status.OK, b"(x - 1)*(x + 1)\n"), result.stderr
    assert " with math-" in result.interpreter


def test_scripts_cannot_change_it(mathematics: SyncExecutor) -> None:
    source = (
        "import sympy\n"
        "try:\n    open(sympy.__file__, 'a')\n"
        "except OSError as error:\n    print(error.strerror)\n"
    )
    assert mathematics.run(Script(source=source)).stdout == b"Read-only file system\n"


def test_programs_have_no_raw_memory_with_it(mathematics: SyncExecutor) -> None:
    program = "def f(x):\n    import sympy, ctypes\n    return x"
    verdict = mathematics.validate(Triplet(program=program, inputs=("1",)))
    assert (verdict.status, "_ctypes" in verdict.detail) == (Status.ERROR, True), verdict.detail


def test_answers_in_latex_are_compared(mathematics: SyncExecutor) -> None:
    source = (
        "from math_verify import parse, verify\n"
        "print(verify(parse('$\\\\frac{1}{2}$'), parse('$0.5$')))\n"
    )
    result = mathematics.run(Script(source=source))
    assert (result.status, result.stdout) == (Status.OK, b"True\n"), result.stderr


def test_a_call_may_name_another_set(sandbox: SyncExecutor) -> None:
    require_set("math")
    program = "import sympy\ndef f(n):\n    return str(sympy.factorint(n))"
    triplet = Triplet(program=program, inputs=("12",))
    verdict = sandbox.validate(triplet)
    assert verdict.status is Status.ERROR
    assert verdict.detail.endswith("library sets with it: math, data, all"), verdict.detail
    verdict = sandbox.validate(triplet, options=Options(libraries="math"))
    assert (verdict.status, verdict.outputs) == (Status.OK, ("'{2: 2, 3: 1}'",)), verdict.detail
    result = sandbox.run(Script(source=SCRIPT, libraries="math"))
    assert result.stdout == b"(x - 1)*(x + 1)\n"
    assert sandbox.stats().libraries == ("math",)
    assert "sets with it: math" in sandbox.run(Script(source=SCRIPT)).detail
    with pytest.raises(ConfigurationError, match="no library set is called"):
        sandbox.run(Script(source=SCRIPT, libraries="nothing"))

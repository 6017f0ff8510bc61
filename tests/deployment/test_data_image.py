"""The guest image with numpy, pandas and sympy, on a real engine: programs and scripts use them."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from executor import DockerSettings, Limits, Script, Status, SyncExecutor, Triplet
from tests.support.engines import require, why_no_engine
from tests.support.programs import OPEN_RULES

IMAGE = DockerSettings(libraries="data")
LIMITS = Limits(wall_s=60, cpu_s=30, memory_mib=1024)

pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.fixture(scope="module")
def executor() -> Iterator[SyncExecutor]:
    require(why_no_engine(IMAGE.guest_image))
    with SyncExecutor(IMAGE, workers=1, limits=LIMITS, rules=OPEN_RULES) as made:
        yield made
    gc.collect()


@pytest.mark.parametrize(
    ("program", "output"),
    [
        ("import numpy as np\ndef f(x):\n    return int(np.array(x).sum())", "6"),
        ("import pandas as pd\ndef f(x):\n    return pd.Series(x).tolist()", "[1, 2, 3]"),
        ("import sympy\ndef f(x):\n    return str(sympy.factorint(sum(x)))", "'{2: 1, 3: 1}'"),
    ],
    ids=["numpy", "pandas", "sympy"],
)
def test_programs_use_the_packages(executor: SyncExecutor, program: str, output: str) -> None:
    verdict = executor.validate(Triplet(program=program, inputs=("[1, 2, 3]",)))
    assert (verdict.status, verdict.outputs) == (Status.OK, (output,)), verdict.detail


def test_programs_still_have_no_raw_memory(executor: SyncExecutor) -> None:
    program = "def f(x):\n    import pandas, ctypes\n    return x"
    verdict = executor.validate(Triplet(program=program, inputs=("1",)))
    assert (verdict.status, "_ctypes" in verdict.detail) == (Status.ERROR, True), verdict.detail


def test_scripts_use_the_packages(executor: SyncExecutor) -> None:
    source = (
        "import numpy as np, pandas as pd, sympy as sp\n"
        "print(np.arange(6).reshape(2, 3).sum(), pd.DataFrame({'a': [1, 2]}).a.sum(),"
        " sp.factor(sp.Symbol('x') ** 2 - 1))"
    )
    result = executor.run(Script(source=source))
    assert (result.status, result.stdout) == (Status.OK, b"15 3 (x - 1)*(x + 1)\n"), result.detail

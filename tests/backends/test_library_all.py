"""The library set ``all``: what it declares can be imported, and notebooks show figures."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import httpx
import pytest

from executor import Limits, Script, Status, SyncExecutor, Triplet
from executor.libraries.declared import find
from tests.support.libraries import require_set
from tests.support.programs import OPEN_RULES
from tests.support.server import EXECUTOR, running

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]  # the library set may have to be built
LIMITS = Limits(wall_s=120, cpu_s=60, memory_mib=2048)
SCRIPTS_ONLY = {"scipy", "sklearn", "statsmodels", "matplotlib", "seaborn"}
"""They need ``ctypes`` or write files as they load: docs/libraries.md says so."""


@pytest.fixture(scope="module")
def everything() -> Iterator[SyncExecutor]:
    require_set("all")
    with SyncExecutor(workers=1, limits=LIMITS, rules=OPEN_RULES, libraries="all") as executor:
        yield executor


def test_scripts_import_all_that_is_declared(everything: SyncExecutor) -> None:
    modules = find("all").modules
    source = "".join(f"import {module}\n" for module in modules) + "print('all')\n"
    result = everything.run(Script(source=source))
    assert (result.status, result.stdout) == (Status.OK, b"all\n"), result.stderr


def test_programs_import_what_takes_no_raw_memory(everything: SyncExecutor) -> None:
    modules = [module for module in find("all").modules if module not in SCRIPTS_ONLY]
    program = f"def f(x):\n    import {', '.join(modules)}\n    return x"
    verdict = everything.validate(Triplet(program=program, inputs=("1",)))
    assert (verdict.status, verdict.outputs) == (Status.OK, ("1",)), verdict.detail


@pytest.mark.parametrize(
    ("source", "printed"),
    [
        ("from sklearn.linear_model import LinearRegression as L\n"
         "print(L().fit([[1], [2]], [1, 2]).coef_.round(6))", "[1.]"),
        ("from bs4 import BeautifulSoup\nprint(BeautifulSoup('<a>x</a>', 'lxml').a.text)", "x"),
        ("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.savefig('a.png')\n"
         "print(open('a.png', 'rb').read(4))", "b'\\x89PNG'"),
    ],
    ids=["scikit-learn", "beautifulsoup4", "matplotlib"],
)  # fmt: skip
def test_scripts_use_it(everything: SyncExecutor, source: str, printed: str) -> None:
    result = everything.run(Script(source=source))
    assert (result.status, result.stdout.decode().strip()) == (Status.OK, printed), result.stderr


def test_notebooks_show_figures_without_show() -> None:
    require_set("all")
    cells = ["import matplotlib.pyplot as plt\n_ = plt.plot([1, 2])", "_ = plt.bar([1], [2])", "1"]
    with running("--workers=1", "--libraries=all", "--wall-s=120", program=EXECUTOR) as server:
        answer = httpx.post(f"{server.url}/run_jupyter", json={"cells": cells}, timeout=120)
    shown = [cell["display"] for cell in answer.json()["cells"]]
    assert [len(some) for some in shown] == [1, 1, 1], answer.text
    figures = [base64.b64decode(some[0]["image/png"]) for some in shown[:2]]
    assert all(figure.startswith(b"\x89PNG") for figure in figures)
    assert shown[2] == [{"text/plain": "1"}]

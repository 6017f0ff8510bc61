"""SandboxFusion's /run_jupyter: what cells give, limits, and reports that are not believed."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import httpx
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.service.fusion.notebook import Unreadable, read_report
from tests.support.libraries import require_set
from tests.support.server import running

pytestmark = pytest.mark.long

CELL = {"stdout": "", "stderr": "", "display": [], "error": []}
END = {"end": "done"}


def run(client: httpx.Client, *cells: str, **fields: Any) -> dict[str, Any]:
    answer = client.post("/run_jupyter", json={"cells": cells, **fields})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_streams_of_child_processes_belong_to_their_cell(client: httpx.Client) -> None:
    cells = ["import os; _ = os.system('echo one; echo two >&2')", "!echo three"]
    body = run(client, *cells)
    assert [(cell["stdout"], cell["stderr"]) for cell in body["cells"]] == [
        ("one\n", "two\n"), ("three\n", "")
    ]  # fmt: skip


def test_display_gives_bundles_in_order(client: httpx.Client) -> None:
    code = """
from IPython.display import HTML, Image, display
display(HTML("<b>x</b>"))
display({"image/png": b"\\x89PNG", "text/plain": "p"}, raw=True)
[1, 2]
"""
    (cell,) = run(client, code)["cells"]
    html, image, value = cell["display"]
    assert html["text/html"] == "<b>x</b>"
    assert image == {"image/png": base64.b64encode(b"\x89PNG").decode(), "text/plain": "p"}
    assert value == {"text/plain": "[1, 2]"}


def test_a_kernel_lives_for_one_call(client: httpx.Client) -> None:
    run(client, "left = 1")
    (cell,) = run(client, "left")["cells"]
    assert cell["error"][0]["ename"] == "NameError"


def test_awaiting_at_the_top_works(client: httpx.Client) -> None:
    (cell,) = run(client, "import asyncio\nawait asyncio.sleep(0, 'done')")["cells"]
    assert cell["display"] == [{"text/plain": "'done'"}]


def test_cells_after_an_error_are_run(client: httpx.Client) -> None:
    body = run(client, "x = 1", "1/0", "def f(:", "print(x)")
    assert body["status"] == "Success"
    names = [[error["ename"] for error in cell["error"]] for cell in body["cells"]]
    assert names == [[], ["ZeroDivisionError"], ["SyntaxError"], []]
    assert body["cells"][3]["stdout"] == "1\n"


def test_a_missing_library_is_told_with_its_sets(client: httpx.Client) -> None:
    (cell,) = run(client, "import numpy")["cells"]
    told = "No module named 'numpy'; library sets with it: data, all"
    assert cell["error"][0]["evalue"] == told


@pytest.mark.timeout(600)  # the library set may have to be built
def test_cells_use_the_library_set_of_the_service() -> None:
    require_set("data")
    answer = "import numpy as np\ndef total(a):\n    return int(np.sum(a))"
    with (
        running("--workers=1", "--libraries=data") as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        body = run(client, answer, "assert total([1, 2]) == 3\ntotal([4])")
    assert [cell["error"] for cell in body["cells"]] == [[], []], body
    assert body["cells"][1]["display"] == [{"text/plain": "4"}]


def test_files_go_in_and_come_back(client: httpx.Client) -> None:
    body = run(
        client,
        "open('b', 'w').write(open('d/a').read() * 2);",
        files={"d/a": base64.b64encode(b"xy").decode()},
        fetch_files=["b", "missing"],
    )
    assert body["files"] == {"b": base64.b64encode(b"xyxy").decode()}


def test_the_total_limit_holds_and_finished_cells_are_kept(client: httpx.Client) -> None:
    body = run(client, "print('a')", "while True:\n  try: 1\n  except: pass", total_timeout=1)
    assert body["status"] == "Failed"
    assert body["driver"]["status"] == "TimeLimitExceeded"
    assert body["driver"]["return_code"] is None
    assert body["message"].startswith("wall_limit: ")
    assert [cell["stdout"] for cell in body["cells"]] == ["a\n"]


SPEAKS = (
    "import sys, time\nprint('said', flush=True)\nprint('and', file=sys.stderr)\ntime.sleep(60)"
)


@pytest.mark.parametrize("limits", [{"cell_timeout": 1}, {"total_timeout": 1}])
def test_what_a_cell_wrote_before_its_limit_comes_back(
    client: httpx.Client, limits: dict[str, float]
) -> None:
    body = run(client, "print('a')", SPEAKS, "print('b')", **limits)
    assert (body["status"], body["driver"]["status"]) == ("Failed", "TimeLimitExceeded")
    told = [(cell["stdout"], cell["stderr"]) for cell in body["cells"]]
    assert told == [("a\n", ""), ("said\n", "and\n")]


def test_what_a_cell_wrote_before_the_servers_limit_comes_back() -> None:
    with (
        running("--workers", "2", "--wall-s", "12") as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        body = run(client, "print('a')", SPEAKS)
    assert (body["status"], body["driver"]["status"]) == ("Failed", "TimeLimitExceeded")
    assert body["message"] == "wall_limit: the kernel ran for 12 s"
    assert [cell["stdout"] for cell in body["cells"]] == ["a\n", "said\n"]


def test_what_a_cell_wrote_before_its_kernel_died_comes_back(client: httpx.Client) -> None:
    body = run(client, "import os\nprint('last', flush=True)\nos.kill(os.getpid(), 9)")
    assert [cell["stdout"] for cell in body["cells"]] == ["last\n"]
    assert body["status"] == "Failed"


def test_cells_that_were_not_run_are_told(client: httpx.Client) -> None:
    body = run(client, "1", "exit()", "2", "3")
    assert (body["status"], len(body["cells"])) == ("Success", 2)
    assert body["message"] == "cell 2 left the kernel: 2 cells were not run"
    assert run(client, "1", "exit()")["message"] == ""


def test_the_cell_limit_holds_for_each_cell(client: httpx.Client) -> None:
    slow = "import time; time.sleep(0.6)"
    assert run(client, slow, slow, cell_timeout=1.5)["status"] == "Success"
    body = run(client, "print('a')", "time = __import__('time'); time.sleep(60)", cell_timeout=1)
    assert body["driver"]["status"] == "TimeLimitExceeded"
    assert body["message"] == "wall_limit: cell 2 ran for 1 s"


def test_memory_is_limited(client: httpx.Client) -> None:
    body = run(client, "x = bytearray(200 << 20)", "print('alive')", memory_limit_MB=128)
    assert body["cells"][0]["error"][0]["ename"] == "MemoryError"
    assert body["cells"][1]["stdout"] == "alive\n"
    fits = run(client, "x = bytearray(100 << 20)", memory_limit_MB=128)
    assert fits["cells"][0]["error"] == []


def test_a_kernel_that_dies_fails_with_what_it_died_of(client: httpx.Client) -> None:
    body = run(client, "print('a')", "import os; os.kill(os.getpid(), 11)", "print('b')")
    assert (body["status"], body["driver"]["return_code"]) == ("Failed", -11)
    assert [cell["stdout"] for cell in body["cells"]] == ["a\n"]
    body = run(client, "import os; os._exit(3)")
    assert (body["status"], body["driver"]["return_code"]) == ("Failed", 3)


def test_too_much_output_is_a_failure_that_says_so(client: httpx.Client) -> None:
    body = run(client, "print('a')", "print('x' * 6_000_000)")
    assert body["status"] == "Failed"
    assert body["message"].startswith("output_limit: ")
    assert [cell["stdout"] for cell in body["cells"]] == ["a\n"]


def test_leaving_ends_the_notebook(client: httpx.Client) -> None:
    body = run(client, "print('a')", "exit", "print('b')")
    assert body["status"] == "Success"
    assert [cell["stdout"] for cell in body["cells"]] == ["a\n", ""]


def test_no_process_outlives_the_kernel(client: httpx.Client) -> None:
    code = """
import subprocess, sys
_ = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)', 'mark-nb-77'],
                     start_new_session=True)
print('started')
"""
    assert run(client, code)["cells"][0]["stdout"] == "started\n"
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            assert "mark-nb-77" not in process.cmdline()


def test_a_forged_report_cannot_do_more_than_lie_about_itself(client: httpx.Client) -> None:
    code = """
import os, glob
name = next(iter(glob.glob('.cells-*')))
with open(name, 'a') as report:
    report.write('{"stdout": 1}\\n' + '[' * 100000 + '\\n')
"""
    body = run(client, code)
    assert body["status"] == "Failed"
    assert body["message"].startswith("crashed: ")
    assert body["cells"] == []


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"cells": "print(1)"},
        {"cells": [1]},
        {"cells": ["\ud800"]},
        {"cells": [""], "kernel": "ir"},
        {"cells": [""], "total_timeout": 0},
        {"cells": [""], "cell_timeout": -1},
        {"cells": [""], "files": {"../a": ""}},
        {"cells": [""], "files": {"a": "?"}},
        {"cells": [""], "fetch_files": ["/etc/passwd"]},
    ],
)
def test_bad_requests_are_a_422_with_a_sentence(
    client: httpx.Client, fields: dict[str, Any]
) -> None:
    answer = client.post(
        "/run_jupyter",
        content=json.dumps(fields),
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["msg"]


# The report


def report(*lines: object) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def test_a_report_without_an_end_has_none() -> None:
    notebook = read_report(report(CELL))
    assert (len(notebook.cells), notebook.end) == (1, None)
    assert read_report(report(CELL, END)).end == "done"
    assert read_report(b"").end is None


def nested(depth: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return {"a": value}


@pytest.mark.parametrize(
    "data",
    [
        b"\n",
        b"1\n",
        b"{}\n",
        b"\xff\n",
        b"[" * 200_000 + b"\n",
        report(CELL)[:-1],
        report(END, CELL),
        report({"end": 1}),
        report({**CELL, "more": 1}),
        report({**CELL, "stdout": None}),
        report({**CELL, "stdout": 1}),
        report({**CELL, "display": {}}),
        report({**CELL, "display": ["a"]}),
        report({**CELL, "error": [[]]}),
        report({**CELL, "display": [nested(200)]}),
        report({**CELL, "display": [{"a": float("nan")}]}),
        b'{"stdout": "", "stderr": "", "display": [{"a": 1e999}], "error": []}\n',
        b'{"stdout": "", "stderr": "", "display": [{"a": ' + b"9" * 9000 + b'}], "error": []}\n',
    ],
)
def test_a_report_that_is_not_one_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable):
        read_report(data)


@given(st.binary())
def test_any_bytes_are_a_report_or_refused(data: bytes) -> None:
    with contextlib.suppress(Unreadable):
        read_report(data)

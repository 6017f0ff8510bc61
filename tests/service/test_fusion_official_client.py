"""The unmodified client `sandbox-fusion` of PyPI against our server."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator

import pytest
import sandbox_fusion
from sandbox_fusion import (
    CommandRunStatus,
    RunCodeRequest,
    RunCodeResponse,
    RunJupyterRequest,
    RunStatus,
    SummaryMapping,
)

from tests.support.server import Server

pytestmark = pytest.mark.long

SUMMARY = SummaryMapping(Success="yes", Failed="no", RunFailed="run failed", RunTimeout="late")


@pytest.fixture(autouse=True)
def endpoint(server: Server) -> Iterator[None]:
    sandbox_fusion.set_endpoint(server.url)
    yield
    sandbox_fusion.set_endpoint("http://localhost:8080")


def python(code: str, **fields: object) -> RunCodeRequest:
    return RunCodeRequest(code=code, language="python", **fields)


def summary(response: RunCodeResponse) -> str:
    return str(sandbox_fusion.summary_run_code_result(response, SUMMARY))


def test_a_run_succeeds() -> None:
    response = sandbox_fusion.run_code(python("print(input())", stdin="hello"))
    assert response.status == RunStatus.Success
    assert response.run_result.stdout == "hello\n"
    assert summary(response) == "yes"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("1/0", "run failed"),
        ("import os; os.abort()", "run failed"),
        ("x = bytearray(8 << 30)", "run failed"),
        ("while True: print('x' * 100_000)", "run failed"),
        ("import time; time.sleep(60)", "late"),
        ("while True: pass", "late"),
    ],
)
def test_every_kind_of_failure_can_be_summed_up(code: str, expected: str) -> None:
    response = sandbox_fusion.run_code(python(code, run_timeout=3), max_attempts=1)
    assert response.status == RunStatus.Failed
    assert summary(response) == expected


def test_files_go_both_ways() -> None:
    response = sandbox_fusion.run_code(
        python(
            "open('b', 'w').write(open('a').read() * 2)",
            files={"a": base64.b64encode(b"xy").decode()},
            fetch_files=["b"],
        )
    )
    assert base64.b64decode(response.files["b"]) == b"xyxy"


def test_an_unsupported_language_raises_as_the_original_does() -> None:
    with pytest.raises(Exception, match="unsupported language: rust"):
        sandbox_fusion.run_code(RunCodeRequest(code="", language="rust"), max_attempts=1)


async def test_the_asynchronous_form_works() -> None:
    response = await sandbox_fusion.run_code_async(python("print(6 * 7)"))
    assert response.run_result.stdout == "42\n"


@pytest.mark.timeout(300)
def test_of_5000_concurrent_outputs_none_is_lost() -> None:
    requests = [python(f"print({number} * 3)") for number in range(5000)]
    started = time.monotonic()
    responses = sandbox_fusion.run_concurrent(
        sandbox_fusion.run_code, [[request] for request in requests], concurrency=32
    )
    print(f"{len(responses) / (time.monotonic() - started):.0f} runs/s")
    assert [r.run_result.stdout for r in responses] == [f"{n * 3}\n" for n in range(5000)]


def test_large_outputs_are_whole_under_concurrency() -> None:
    codes = [[python(f"print('{letter}' * 2_000_000)")] for letter in "abcdefgh"]
    responses = sandbox_fusion.run_concurrent(sandbox_fusion.run_code, codes, concurrency=8)
    for letter, response in zip("abcdefgh", responses, strict=True):
        assert response.run_result.status == CommandRunStatus.Finished
        assert response.run_result.stdout == letter * 2_000_000 + "\n"


CELLS = [
    "a = 123",
    "a",
    "print(a)",
    "import sys; sys.stderr.write('stderr message')",
    "raise RuntimeError('error message')",
    "a + 1",
]


def check_cells(cells: list[sandbox_fusion.models.CellRunResult]) -> None:
    assert [cell.stdout for cell in cells] == ["", "", "123\n", "", "", ""]
    assert cells[1].display == [{"text/plain": "123"}]
    assert cells[3].stderr == "stderr message"
    (error,) = cells[4].error
    assert (error["ename"], error["evalue"]) == ("RuntimeError", "error message")
    assert any("RuntimeError: error message" in line for line in error["traceback"])
    assert cells[5].display == [{"text/plain": "124"}]


def test_jupyter_cells_have_their_streams_displays_and_errors() -> None:
    response = sandbox_fusion.run_jupyter(RunJupyterRequest(cells=CELLS), max_attempts=1)
    assert response.status == RunStatus.Success
    assert response.driver.status == CommandRunStatus.Finished
    check_cells(response.cells)


async def test_jupyter_works_in_its_asynchronous_form() -> None:
    response = await sandbox_fusion.run_jupyter_async(
        RunJupyterRequest(cells=CELLS), max_attempts=1
    )
    check_cells(response.cells)

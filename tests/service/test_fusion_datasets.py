"""SandboxFusion's routes for data sets, by its own client."""

# ruff: noqa: E501 - a row is a line

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import sandbox_fusion

from tests.support.grading import GRADING, rows
from tests.support.server import Server

ROWS: dict[str, dict[str, Any]] = {
    "humaneval_python": {
        "id": 1, "content": "from math import floor\n\ndef g(x):\n    \"\"\"Add one.\"\"\"\n",
        "labels": '{"entry_point": "g"}', "test": "def check(candidate):\n    assert candidate(1) == 2\n",
    },
    "mbpp": {
        "id": "2", "content": "Add one.", "labels": "{'test_setup_code': 'import math'}",
        "test_list": "['assert g(1) == 2', 'assert g(math.floor(2.5)) == 3']",
    },
    "mhpp": {
        "id": 3, "content": "Write a function.\n\ndef g(x: int) -> int:\n    \"\"\"Add one.\"\"\"", "labels": {},
        "test": "assert g(1) == 2\nassert g(2) == 3",
    },
    "code_contests": {
        "id": 4, "content": "Add one.", "labels": "{}",
        "test": json.dumps([{"input": {"stdin": f"{n}"}, "output": {"stdout": f"{n + 1}\n"}} for n in range(3)]),
    },
    "bigcodebench": {
        "id": 5, "content": "import math\n\ndef g(x):\n    \"\"\"Add one.\"\"\"\n", "labels": '{"entry_point": "g"}',
        "test": "import unittest\nclass Tests(unittest.TestCase):\n    def test_one(self):\n"
                "        self.assertEqual(g(1), 2)\n",
    },
    "autoeval": {
        "id": 6, "content": "Add one.", "labels": {"programming_language": "python", "context": "Be brief."},
        "test": {"code": "import math\n\n#<INSERT>\n\nassert g(1) == 2\nassert g(math.floor(2.5)) == 3\n"},
    },
    "autoeval_pytest": {
        "id": 7, "content": "Add one.", "labels": {"programming_language": "python", "execution_language": "pytest"},
        "test": json.dumps({
            "code": "def test_g():\n    with open('n.txt') as file:\n        assert g(int(file.read())) == 2\n",
            "asset": {"n.txt": "MQ=="},
        }),
    },
}  # fmt: skip
RIGHT = "Here it is:\n```python\ndef g(x):\n    return x + 1\n```"
WRONG = "```python\ndef g(x):\n    return x - 1\n```"
EXITS = "```python\nimport os\nos._exit(0)\n```"
SCRIPT = "```python\nprint(int(input()) {} 1)\n```"


def submitted(server: Server, dataset: str, row: dict[str, Any], answer: str, **config: Any) -> Any:
    request = sandbox_fusion.SubmitRequest(
        dataset=dataset, id=row["id"], completion=answer,
        config=sandbox_fusion.TestConfig(provided_data=row, **config),
    )  # fmt: skip
    return sandbox_fusion.submit(request, endpoint=server.url, max_attempts=1, client_timeout=60)


@pytest.mark.parametrize("dataset", list(ROWS))
def test_answers_are_accepted_if_they_are_right(server: Server, dataset: str) -> None:
    row = ROWS[dataset]
    script = dataset == "code_contests"
    right = submitted(server, dataset, row, SCRIPT.format("+") if script else RIGHT)
    assert right.accepted, right
    assert right.extracted_code.strip() in (RIGHT + SCRIPT.format("+"))
    assert right.tests
    assert all(test.passed for test in right.tests)
    wrong = submitted(server, dataset, row, SCRIPT.format("-") if script else WRONG)
    assert not wrong.accepted
    assert wrong.tests[-1].exec_info.status == "Failed"
    assert not submitted(server, dataset, row, EXITS).accepted


def test_all_tests_are_run_where_that_is_wanted(server: Server) -> None:
    row = ROWS["code_contests"]
    extra = {"run_all_cases": True}
    found = submitted(server, "any", row, "print(2)", dataset_type="CommonOJDataset", extra=extra)
    assert [test.passed for test in found.tests] == [False, True, False]
    assert found.tests[1].test_info == {"input": {"stdin": "1"}, "output": {"stdout": "2\n"}}


def test_prompts_are_those_of_the_rows(server: Server) -> None:
    data = [ROWS["mbpp"], ROWS["mhpp"]]
    config = sandbox_fusion.TestConfig(provided_data=data)
    request = sandbox_fusion.GetPromptsRequest(dataset="mbpp", config=config, offset=1)
    (prompt,) = sandbox_fusion.get_prompts(request, endpoint=server.url)
    assert (prompt.id, prompt.prompt) == (3, ROWS["mhpp"]["content"])
    one = httpx.post(
        f"{server.url}/get_prompt_by_id",
        json={"dataset": "mbpp", "id": 2, "config": {"provided_data": data}},
    ).json()
    assert one["labels"] == {"test_setup_code": "import math"}


@pytest.mark.parametrize(
    ("config", "prompt"),
    [
        ({}, "Be brief.\n\nQuestion:Add one.\n\nAnswer:\n"),
        ({"locale": "zh"}, "Be brief.\n\n问题：Add one.\n\n答案：\n"),
        (
            {"is_fewshot": True, "extra": {"fewshot": "Such as: g(1)."}},
            f"Be brief.\n\n{'-' * 16}\n\nSuch as: g(1).\n\nQuestion:Add one.\n\nAnswer:\n",
        ),
        ({"extra": {"prompt_template": "$context|$question|$other"}}, "Be brief.|Add one.|$other"),
        ({"extra": {"context": ""}}, "Add one."),
    ],
)
def test_prompts_of_autoeval_have_words_around_them(
    server: Server, config: dict[str, Any], prompt: str
) -> None:
    config = {**config, "provided_data": ROWS["autoeval"]}
    body = {"dataset": "AutoEvalV5Dataset", "id": 6, "config": config}
    assert httpx.post(f"{server.url}/get_prompt_by_id", json=body).json()["prompt"] == prompt


@pytest.mark.parametrize(
    ("cases", "right", "tests"),
    [
        ({"type": "stdin_stdout", "input": ["1", "2"], "output": ["2", "3\n"], "fn_name": None}, SCRIPT.format("+"), 2),
        ({"type": "function_call", "input": [[1], [2]], "output": [[2], [3]], "fn_name": "g"}, RIGHT, 2),
        ({"type": "function_call", "input": ["1", "2"], "output": ["2", "3"], "fn_name": "g", "json_input": True}, RIGHT, 2),
        ({"input": [[1]], "output": [[2]], "fn_name": "g"}, "class Solution:\n    def g(self, x):\n        return 2", 1),
        ({"type": "assert", "test": "def check(c):\n    assert c(1) == 2", "entry_point": "g"}, RIGHT, 1),
    ],
)  # fmt: skip
def test_batches_of_tests_are_judged(
    server: Server, cases: dict[str, Any], right: str, tests: int
) -> None:
    config = {"language": "python", "run_timeout": 20, "provided_data": {"test_cases": cases}}
    for answer, accepted in ((right, True), (WRONG, False), (EXITS, False)):
        body = {"completion": answer, "config": config}
        found = httpx.post(f"{server.url}/common_evaluate_batch", json=body).json()
        assert found["accepted"] == accepted, found
        assert not accepted or len(found["tests"]) == tests


@pytest.mark.parametrize(
    ("config", "detail"),
    [
        ({}, "language"),
        ({"language": "cpp"}, "python"),
        ({"language": "python", "provided_data": {}}, "needs test_cases"),
        ({"language": "python", "provided_data": {"test_cases": {"type": "x"}}}, "not known"),
        ({"language": "python", "provided_data": {"test_cases": {"type": "function_call"}}}, "fn_name"),
        ({"language": "python", "provided_data": {"test_cases": {"input": ["1"], "output": []}}}, "1 inputs"),
    ],
)  # fmt: skip
def test_what_is_no_batch_is_refused(server: Server, config: dict[str, Any], detail: str) -> None:
    body = {"completion": "x", "config": config}
    answer = httpx.post(f"{server.url}/common_evaluate_batch", json=body)
    assert (answer.status_code, detail in answer.text) == (422, True), answer.text


def test_rows_of_other_languages_are_refused(server: Server) -> None:
    row = {"id": 1, "labels": {"programming_language": "java"}, "test": {"code": "x"}}
    config = {"provided_data": row}
    body = {"dataset": "autoeval", "id": 1, "completion": "x", "config": config}
    answer = httpx.post(f"{server.url}/submit", json=body)
    assert (answer.status_code, "not for java" in answer.text) == (422, True)


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        ("submit", {"dataset": "mbpp", "id": 1, "completion": "x"}, "no data sets"),
        ("submit", {"dataset": "none", "id": 1, "completion": "x", "config": {"provided_data": {}}}, "no data set"),
        ("submit", {"dataset": "mbpp", "id": 1, "completion": "x", "config": {"provided_data": {}}}, "no test_list"),
        ("submit", {"dataset": "mbpp", "id": 1, "completion": "x", "config": {"provided_data": [{}]}}, "no row"),
        ("get_prompts", {"dataset": "mbpp", "config": {"provided_data": [{}]}}, "needs an id"),
    ],
)  # fmt: skip
def test_what_is_no_row_is_refused(
    server: Server, path: str, body: dict[str, Any], detail: str
) -> None:
    answer = httpx.post(f"{server.url}/{path}", json=body)
    assert answer.status_code == 422
    assert detail in answer.text


@pytest.mark.data
@pytest.mark.skipif(not (GRADING / "samples").exists(), reason="the shared data sets are not here")
@pytest.mark.parametrize("dataset", ["mbpp", "shadow_humaneval_python"])
def test_solutions_of_published_rows_are_accepted(server: Server, dataset: str) -> None:
    for row in rows(f"samples/{dataset}.jsonl")[2:5]:  # tests of some others are no Python
        solution = row["canonical_solution"]
        code = solution if dataset == "mbpp" else row["content"] + solution
        found = submitted(server, dataset.removeprefix("shadow_"), row, f"```python\n{code}\n```")
        assert found.accepted, (row["id"], found.tests)


@pytest.mark.data
@pytest.mark.skipif(not (GRADING / "samples").exists(), reason="the shared data sets are not here")
def test_packed_tests_of_livecodebench_are_read(server: Server) -> None:
    first = rows("samples/live_code_bench_v1.jsonl")[0]
    right = (
        "for _ in range(int(input())):\n    s = input()\n"
        "    print('YES' if sum(a != b for a, b in zip(s, 'abc')) in (0, 2) else 'NO')"
    )
    assert submitted(server, "live_code_bench_v1", first, right).accepted
    assert not submitted(server, "live_code_bench_v1", first, "print('YES')").accepted

"""SandboxFusion's /run_code as raw HTTP: its answers field by field, and what it refuses."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import psutil
import pytest

from executor.service.fusion.languages import RUNNABLE, Language
from tests.support.server import Server, running


def run(client: httpx.Client, code: str, language: str = "python", **fields: Any) -> dict[str, Any]:
    answer = client.post("/run_code", json={"language": language, "code": code, **fields})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def outcome(body: dict[str, Any]) -> tuple[str, str, int | None]:
    return body["status"], body["run_result"]["status"], body["run_result"]["return_code"]


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_a_success_has_every_field_of_the_original(client: httpx.Client) -> None:
    body = run(client, "import sys; print(input()); sys.stderr.write('e')", stdin="in\n")
    assert body.pop("run_result").items() >= {
        "status": "Finished", "return_code": 0, "stdout": "in\n", "stderr": "e"
    }.items()  # fmt: skip
    assert body == {
        "status": "Success", "message": "", "compile_result": None, "executor_pod_name": None,
        "files": {},
    }  # fmt: skip


def test_an_exception_fails_with_the_exit_code_of_python(client: httpx.Client) -> None:
    body = run(client, "1/0")
    assert outcome(body) == ("Failed", "Finished", 1)
    assert "ZeroDivisionError" in body["run_result"]["stderr"]
    assert body["message"] == ""


def test_a_syntax_error_is_a_failed_run(client: httpx.Client) -> None:
    body = run(client, "def f(:")
    assert outcome(body) == ("Failed", "Finished", 1)
    assert body["compile_result"] is None
    assert "SyntaxError" in body["run_result"]["stderr"]


def test_an_exit_code_is_passed_on(client: httpx.Client) -> None:
    assert outcome(run(client, "import sys; sys.exit(7)")) == ("Failed", "Finished", 7)


def test_a_signal_is_a_negative_return_code(client: httpx.Client) -> None:
    body = run(client, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert outcome(body) == ("Failed", "Finished", -11)
    assert body["message"].startswith("crashed: ")


def test_a_time_limit_keeps_partial_output(client: httpx.Client) -> None:
    code = "import time, sys\nprint('before', flush=True)\ntime.sleep(60)"
    body = run(client, code, run_timeout=1)
    assert outcome(body) == ("Failed", "TimeLimitExceeded", None)
    assert body["run_result"]["stdout"] == "before\n"
    assert 0.9 < body["run_result"]["execution_time"] < 5
    assert body["message"].startswith("wall_limit: ")


def test_a_busy_loop_is_a_time_limit_too(client: httpx.Client) -> None:
    assert outcome(run(client, "while True: pass", run_timeout=1))[:2] == (
        "Failed", "TimeLimitExceeded"
    )  # fmt: skip


def test_the_memory_limit_holds_and_is_named(client: httpx.Client) -> None:
    body = run(client, "x = bytearray(400 << 20)", memory_limit_MB=256)
    assert body["status"] == "Failed"
    assert body["run_result"]["status"] == "Finished"
    assert body["run_result"]["return_code"] != 0
    assert body["message"] == "memory_limit: the script needs more than 256 MiB of memory"
    assert run(client, "x = bytearray(200 << 20)", memory_limit_MB=256)["status"] == "Success"


def test_more_memory_than_the_server_allows_means_what_it_allows(client: httpx.Client) -> None:
    assert run(client, "print(1)", memory_limit_MB=1_000_000)["status"] == "Success"
    body = run(client, "x = bytearray(3 << 30)", memory_limit_MB=1_000_000)
    assert body["message"].startswith("memory_limit: ")


def test_two_megabytes_of_output_come_back_whole(client: httpx.Client) -> None:
    body = run(client, "print('x' * 2_000_000)")
    assert outcome(body) == ("Success", "Finished", 0)
    assert body["run_result"]["stdout"] == "x" * 2_000_000 + "\n"


def test_too_much_output_is_a_failure_that_says_so(client: httpx.Client) -> None:
    body = run(client, "while True: print('x' * 100_000)")
    assert outcome(body) == ("Failed", "Finished", -9)
    assert body["message"].startswith("output_limit: ")


def test_undecodable_output_is_replaced(client: httpx.Client) -> None:
    body = run(client, r"import sys; sys.stdout.buffer.write(b'a\xffb')")
    assert body["run_result"]["stdout"] == "a\ufffdb"


def test_bash_runs_scripts(client: httpx.Client) -> None:
    body = run(client, 'read -r line; for i in 1 2; do echo "$line$i"; done; exit 3', "bash",
               stdin="a\n")  # fmt: skip
    assert outcome(body) == ("Failed", "Finished", 3)
    assert body["run_result"]["stdout"] == "a1\na2\n"


def test_pytest_tells_how_many_tests_pass(client: httpx.Client) -> None:
    body = run(client, "def test_a(): assert 1\ndef test_b(): assert 1", "pytest")
    assert outcome(body) == ("Success", "Finished", 0)
    assert "2 passed" in body["run_result"]["stdout"]


def test_pytest_fails_if_a_test_does(client: httpx.Client) -> None:
    code = "def test_good(): pass\ndef test_wrong(): assert [1, 2] == [1, 3]"
    body = run(client, code, "pytest")
    assert outcome(body) == ("Failed", "Finished", 1)
    assert "1 failed, 1 passed" in body["run_result"]["stdout"]
    chosen = run(client, code, "pytest", args=["-k", "good"])
    assert chosen["status"] == "Success"


@pytest.mark.parametrize("language", sorted(set(Language.__args__) - set(RUNNABLE)))  # type: ignore[attr-defined]
def test_other_languages_are_a_sandbox_error_with_a_sentence(
    client: httpx.Client, language: str
) -> None:
    body = run(client, "print(1)", language)
    assert body["status"] == "SandboxError"
    assert body["message"].startswith(f"unsupported language: {language}.")
    assert body["run_result"] is None


def test_the_pod_name_comes_from_the_environment() -> None:
    with running("--workers", "2", env={"MY_POD_NAME": "pod-7"}) as server:
        body = httpx.post(
            f"{server.url}/run_code", json={"language": "rust", "code": ""}, timeout=30
        ).json()
    assert body["executor_pod_name"] == "pod-7"


def test_ping_answers_as_the_original(client: httpx.Client) -> None:
    answer = client.get("/v1/ping")
    assert answer.json() == "pong"


@pytest.mark.parametrize("path", ["/list_ids", "/get_metrics", "/get_metrics_function"])
def test_data_sets_are_not_offered(client: httpx.Client, path: str) -> None:
    answer = client.post(path, json={"dataset": "x", "config": {}})
    assert answer.status_code == 501
    assert "not offered" in answer.json()["detail"]


# Files


def test_files_go_in_and_come_back_under_their_names(client: httpx.Client) -> None:
    code = "open('out.bin', 'wb').write(open('data/in.bin', 'rb').read() * 2)"
    body = run(
        client,
        code,
        files={"./data/in.bin": b64(b"\0\xff"), "empty": None, "IGNORE_THIS_FILE_x": "!!"},
        fetch_files=["out.bin", "./out.bin", "missing", "data"],
    )
    assert body["status"] == "Success"
    assert body["files"] == {name: b64(b"\0\xff\0\xff") for name in ("out.bin", "./out.bin")}


def test_base64_may_be_broken_into_lines(client: httpx.Client) -> None:
    content = base64.encodebytes(b"x" * 300).decode()
    body = run(client, "print(len(open('a').read()))", files={"a": content})
    assert body["run_result"]["stdout"] == "300\n"


def test_a_file_may_have_the_name_of_the_script(client: httpx.Client) -> None:
    body = run(client, "print(open('script.py').read())", files={"script.py": b64(b"mine")})
    assert body["run_result"]["stdout"] == "mine\n"


def test_links_are_not_followed_when_files_are_fetched(client: httpx.Client) -> None:
    code = "import os\nos.symlink('/py/bin/python3.12', 'link')\nos.symlink('/', 'dir')"
    body = run(client, code, fetch_files=["link", "dir/py/bin/python3.12"])
    assert body["status"] == "Success"
    assert body["files"] == {}


BAD_PATHS = ["/etc/x", "../x", "a/../../x", "a/..", "", ".", "a\0b", "a\ud800b", "x" * 5000]


@pytest.mark.parametrize("path", BAD_PATHS)
@pytest.mark.parametrize("field", ["files", "fetch_files"])
def test_paths_stay_in_the_working_directory(client: httpx.Client, field: str, path: str) -> None:
    value = {path: ""} if field == "files" else [path]
    raw = json.dumps({"language": "python", "code": "", field: value})
    answer = client.post("/run_code", content=raw, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["msg"]


# Bad input: FastAPI's form, as the original


BAD_BODIES: dict[str, str | bytes] = {
    "no body": "",
    "not JSON": "{",
    "a list": "[]",
    "no language": '{"code": ""}',
    "no code": '{"language": "python"}',
    "unknown language": '{"language": "zig", "code": ""}',
    "code is a number": '{"language": "python", "code": 1}',
    "time is a word": '{"language": "python", "code": "", "run_timeout": "soon"}',
    "time is negative": '{"language": "python", "code": "", "run_timeout": -1}',
    "time is not a number": '{"language": "python", "code": "", "run_timeout": NaN}',
    "time is infinite": '{"language": "python", "code": "", "run_timeout": 1e999}',
    "memory is a fraction": '{"language": "python", "code": "", "memory_limit_MB": 1.5}',
    "files are a list": '{"language": "python", "code": "", "files": ["a"]}',
    "content is a number": '{"language": "python", "code": "", "files": {"a": 1}}',
    "content is not base64": '{"language": "python", "code": "", "files": {"a": "a$b="}}',
    "content lacks padding": '{"language": "python", "code": "", "files": {"a": "abc"}}',
    "a file below a file": '{"language": "python", "code": "", "files": {"a": "", "a/b": ""}}',
    "a file twice": '{"language": "python", "code": "", "files": {"a": "", "./a": ""}}',
    "surrogate": '{"language": "python", "code": "\\ud800"}',
    "duplicate key": '{"language": "python", "code": "1", "code": "2"}',
    "deep": "[" * 100_000,
    "long number": '{"language": "python", "code": "", "memory_limit_MB": ' + "9" * 10_000 + "}",
    "not UTF-8": b'{"language": "python", "code": "\xff"}',
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_bad_body_is_a_422_with_a_sentence(client: httpx.Client, name: str) -> None:
    answer = client.post(
        "/run_code", content=BAD_BODIES[name], headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422, answer.text
    problem = answer.json()["detail"][0]
    assert problem["msg"]
    assert problem["loc"][0] == "body"


def test_unknown_keys_are_ignored_as_in_the_original(client: httpx.Client) -> None:
    assert run(client, "print(1)", cpu_time=3, run_timeout="5")["status"] == "Success"


def test_a_huge_body_is_a_413(client: httpx.Client) -> None:
    answer = client.post("/run_code", json={"language": "python", "code": "#" * (33 << 20)})
    assert answer.status_code == 413


def test_too_many_bytes_of_files_are_a_422(client: httpx.Client) -> None:
    # Each body is below its limit, the decoded files are above theirs only on small servers.
    with running("--workers", "2", "--files-mib", "1") as server:
        body = {"language": "python", "code": "", "files": {"a": b64(bytes(2 << 20))}}
        answer = httpx.post(f"{server.url}/run_code", json=body, timeout=30)
    assert answer.status_code == 422
    assert "fit" in answer.json()["detail"][0]["msg"]


# Where the original fails: the server is out of reach


def test_the_server_cannot_be_seen_from_a_run(client: httpx.Client, server: Server) -> None:
    code = f"""
import os, socket
found = [dict(os.environ), sorted(os.listdir('/'))]
for path in ('/etc/shadow', '/proc/self/environ', '/proc/{server.process.pid}/environ',
             '/work', '/home', '/root'):
    found.append(os.path.exists(path))
print(found, os.getuid())
socket.create_connection(('127.0.0.1', {server.port}), 1)
"""
    body = run(client, code)
    assert body["status"] == "Failed"
    seen = body["run_result"]["stdout"] + body["run_result"]["stderr"]
    assert "True" not in seen
    assert "EXECUTOR" not in seen
    assert "', '0'" not in seen
    assert "ConnectionRefusedError" in seen  # by its own loopback, where nobody listens


def test_the_environment_of_the_server_stays_there() -> None:
    with running("--workers", "2", env={"A_SECRET": "e0a8f3"}) as server:
        code = "import os\nprint(dict(os.environ))\nos.system('env')"
        body = httpx.post(
            f"{server.url}/run_code", json={"language": "python", "code": code}, timeout=30
        ).json()
    assert body["status"] == "Success"
    assert "e0a8f3" not in json.dumps(body)


@pytest.mark.parametrize("ending", ["time.sleep(60)", ""])
def test_no_child_outlives_its_run(client: httpx.Client, ending: str) -> None:
    mark = f"mark-{'a' if ending else 'b'}-5f1c"
    code = f"""
import subprocess, sys, time
for _ in range(5):
    subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)', '{mark}'],
                     start_new_session=True)
print('started', flush=True)
{ending}
"""
    body = run(client, code, run_timeout=2)
    assert body["run_result"]["stdout"] == "started\n"
    assert not [
        p.pid for p in psutil.process_iter(["cmdline"]) if mark in (p.info["cmdline"] or ())
    ]


def test_runs_do_not_see_each_others_files(client: httpx.Client) -> None:
    run(client, "open('/tmp/left', 'w').write('x'); open('left', 'w').write('x')")
    body = run(client, "import os; print(os.path.exists('/tmp/left'), os.path.exists('left'))")
    assert body["run_result"]["stdout"] == "False False\n"

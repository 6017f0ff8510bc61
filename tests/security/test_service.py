"""Attacks on the service itself: hostile requests, and hostile programs beside honest callers."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest

from tests.security.traps import SECRET, Traps
from tests.support.programs import ENDLESS
from tests.support.server import EXECUTOR, Server, busy, running, stats
from tests.support.waiting import wait_until, wait_until_gone

attack = pytest.mark.attack
pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]

TOKEN = "a-token-that-nobody-may-see"
OPEN_RULES = {"rules": {"banned_modules": [], "min_parameters": 0}}

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def service(traps: Traps) -> Iterator[Server]:
    """A server with small limits and two places."""
    options = ("--workers=2", "--cpu-s=1", "--wall-s=30", "--memory-mib=128", "--max-body-mib=1")
    with running(*options, program=EXECUTOR) as server:
        yield server


@pytest.fixture
def client(service: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=120) as made:
        yield made


def validated(client: httpx.Client, program: str, *inputs: str) -> dict[str, object]:
    body = {"program": program, "inputs": list(inputs or ("1",)), "options": OPEN_RULES}
    answer = client.post("/v1/validate", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def batch(client: httpx.Client, programs: list[str]) -> list[dict[str, object]]:
    lines = [json.dumps({"program": program, "inputs": ["1"]}) for program in programs]
    text = "\n".join([*lines, ""])
    headers = {"content-type": "application/x-ndjson"}
    answer = client.post("/v1/validate/batch", content=text, headers=headers)
    assert answer.status_code == 200, answer.text
    found = [json.loads(line) for line in answer.text.splitlines()]
    rows = [row for row in found if "status" in row and "index" in row]
    return sorted(rows, key=lambda row: row["index"])


@attack("H", 147, "Sends a request larger than allowed.")
def test_oversized_request(client: httpx.Client) -> None:
    answer = client.post("/v1/validate", json={"program": "#" * (2 << 20), "inputs": ["1"]})
    assert answer.status_code == 413
    assert validated(client, "def f(x):\n    return x + 10")["outputs"] == ["11"]


@attack("H", 148, "Names a key twice, so that two readers could see two requests.")
def test_duplicate_keys(client: httpx.Client) -> None:
    body = '{"program": "def f(x): return 1", "program": "def f(x): return 2", "inputs": ["1"]}'
    assert client.post("/v1/validate", content=body, headers=JSON).status_code in (400, 422)


@attack("H", 148, "Sends numbers that JSON does not have.")
@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "-Infinity"])
def test_numbers_that_are_none(client: httpx.Client, number: str) -> None:
    body = (
        '{"program": "def f(x): return 1", "inputs": ["1"],'
        f' "options": {{"limits": {{"wall_s": {number}}}}}}}'
    )
    assert client.post("/v1/validate", content=body, headers=JSON).status_code in (400, 422)


@attack("H", 148, "Sends a request nested too deep to be read.")
def test_deeply_nested_request(client: httpx.Client) -> None:
    body = '{"program": ' + "[" * 100_000 + "]" * 100_000 + "}"
    assert client.post("/v1/validate", content=body, headers=JSON).status_code in (400, 422)


@attack("H", 53, "Sends files whose names lead out of the sandbox.")
@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/../../x", "a\0b", ""])
def test_traversal_in_names_of_files(client: httpx.Client, name: str) -> None:
    answer = client.post("/v1/run", json={"source": "print(1)", "files": {name: "eA=="}})
    assert answer.status_code in (400, 422), answer.text


@attack("H", 0, "Asks for higher limits than the service allows.")
def test_higher_limits_than_allowed(client: httpx.Client) -> None:
    limits = {"limits": {"cpu_s": 3600, "memory_mib": 65536}}
    body = {"program": "def f(x): return 1", "inputs": ["1"], "options": limits}
    assert client.post("/v1/validate", json=body).status_code in (400, 422)


@attack("H", 149, "A bomb in a batch of two thousand: every other verdict is its usual one.")
def test_one_bomb_in_a_batch(client: httpx.Client) -> None:
    programs = [f"def f(x):\n    return x + {number}" for number in range(2000)]
    programs[777] = ENDLESS
    rows = batch(client, programs)
    assert len(rows) == 2000
    assert rows.pop(777)["status"] == "cpu_limit"
    expected = [str(number + 1) for number in range(2000) if number != 777]
    assert [row["outputs"] for row in rows] == [[text] for text in expected]


@attack("H", 150, "Sixteen bombs at once beside an honest caller.")
async def test_noisy_neighbours(service: Server) -> None:
    async with httpx.AsyncClient(base_url=service.url, timeout=120) as client:

        async def one(program: str, **limits: int) -> dict[str, object]:
            body = {"program": program, "inputs": ["1"], "options": {"limits": limits}}
            answer = await client.post("/v1/validate", json=body)
            assert answer.status_code == 200, answer.text
            return dict(answer.json())

        bombs = [
            asyncio.create_task(one(f"{ENDLESS}\n# {number}", cpu_s=1)) for number in range(16)
        ]
        for number in range(40):
            found = await one(f"def f(x):\n    return x, 'honest', {number}")
            assert found["outputs"] == [f"(1, 'honest', {number})"]
        assert {(await bomb)["status"] for bomb in bombs} == {"cpu_limit"}


@attack("H", 151, "Programs that patch the interpreter, before every honest one.")
def test_contaminated_guests(client: httpx.Client) -> None:
    patch = "import builtins, math\nbuiltins.sorted = builtins.len = math.floor = lambda *_: 7\n"
    programs = []
    for number in range(50):
        programs.append(f"{patch}def f(x):\n    return {number}")
        programs.append(f"import math\ndef f(x):\n    return math.floor(2.5), len([x, {number}])")
    assert [row["outputs"] for row in batch(client, programs)[1::2]] == [["(2, 2)"]] * 50


@attack("H", 152, "A sandbox that dies in the middle of a batch is replaced; nothing is scored 0.")
def test_sandboxes_that_die(service: Server, client: httpx.Client) -> None:
    for process in psutil.Process(service.process.pid).children()[:2]:
        process.kill()
    rows = batch(client, [f"def f(x):\n    return x - {number}" for number in range(200)])
    assert [row["outputs"] for row in rows] == [[str(1 - number)] for number in range(200)]


@attack("H", 155, "A verdict that differs from run to run is never remembered.")
def test_no_unstable_verdict_in_the_cache(service: Server, client: httpx.Client) -> None:
    unstable = "def f(x):\n    return hash('never remembered')"
    assert validated(client, unstable)["status"] == "nondeterministic"
    hits = stats(service)["cache_hits"]
    assert validated(client, unstable)["status"] == "nondeterministic"
    assert stats(service)["cache_hits"] == hits
    sound = "def f(x):\n    return 'remembered', x"
    assert validated(client, sound)["status"] == "ok"
    assert validated(client, sound)["status"] == "ok"
    assert stats(service)["cache_hits"] == hits + 1


@attack("H", 155, "A result under short limits is not taken for one under long limits.")
def test_no_verdict_of_other_limits_from_the_cache(client: httpx.Client) -> None:
    program = "import time\ndef f(x):\n    time.sleep(0.7)\n    return 'slept'"
    body = {"program": program, "inputs": ["1"]}
    short = {"options": {**OPEN_RULES, "limits": {"wall_s": 0.2}}}
    assert client.post("/v1/validate", json=body | short).json()["status"] == "wall_limit"
    assert validated(client, program)["outputs"] == ["'slept'"]


@attack("H", 47, "Callers that go away while their bombs run: the places are free again.")
def test_callers_that_go_away(service: Server) -> None:
    for number in range(6):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{service.url}/v1/validate",
                json={"program": f"{ENDLESS}\n# gone {number}", "inputs": ["1"]},
                timeout=0.3,
            )
    wait_until(lambda: busy(stats(service)) == 0, 30)


@attack("H", 48, "The server is killed: no sandbox outlives it.")
def test_killed_server() -> None:
    with running("--workers=2") as server:
        below = server.below()
        assert below
        server.signal(signal.SIGKILL)
        server.exit_code()
        wait_until_gone(below)


@attack("H", 105, "Looks for the server's token and secrets in results, errors and logs.")
def test_secrets_of_the_server(traps: Traps) -> None:
    program = "import os\ndef f(x):\n    return sorted(os.environ.values())"
    with running("--workers=2", env={"EXECUTOR_TOKEN": TOKEN}) as server:
        headers = {"authorization": f"Bearer {TOKEN}"}
        texts = [httpx.post(f"{server.url}/v1/validate", json={}).text]
        for body in ({"program": program, "inputs": ["1"], "options": OPEN_RULES}, {"program": 1}):
            answer = httpx.post(f"{server.url}/v1/validate", json=body, headers=headers)
            texts.append(answer.text)
        script = {"source": "import os\nprint(os.environ)"}
        texts.append(httpx.post(f"{server.url}/v1/run", json=script, headers=headers).text)
        time.sleep(0.2)
        texts.append(server.raw_log.decode())
    assert not [text for text in texts if TOKEN in text or SECRET in text]


@attack("H", 0, "Guesses the token.")
def test_guessed_tokens() -> None:
    with running("--workers=2", env={"EXECUTOR_TOKEN": TOKEN}) as server:
        for guess in ("", "Bearer", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN):
            headers = {"authorization": guess} if guess else {}
            body = {"program": "def f(x): return 1", "inputs": ["1"]}
            answer = httpx.post(f"{server.url}/v1/validate", json=body, headers=headers)
            assert answer.status_code == 401


@attack("H", 156, "The service is ready only when probes of its limits have passed on this host.")
def test_readiness_is_proven(service: Server, client: httpx.Client) -> None:
    assert client.get("/readyz").status_code == 200
    ready = next(line for line in service.log if line.get("event") == "ready")
    assert ready

"""The docker backend when things break: nothing is scored wrongly, and nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import os
import signal
import subprocess
import sys
import tarfile
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from executor import (
    BackendSettings,
    BackendUnavailable,
    DockerSettings,
    Executor,
    GvisorSettings,
    Limits,
    Script,
    Status,
    Triplet,
    Verdict,
)
from executor.backends.docker.api import LABEL
from tests.support.engines import (
    engine_client,
    own_containers,
    require,
    why_no_engine,
    why_no_gvisor,
)
from tests.support.leftovers import open_descriptors
from tests.support.programs import OPEN_RULES
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "scripts/engine.sh"

pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(240),
    # The library's: it leaves its socket to the collector where nothing answers.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.fixture(autouse=True)
def collect() -> Iterator[None]:
    """The collector runs while these warnings are ignored."""
    yield
    gc.collect()


@pytest.fixture
def engine() -> None:
    require(why_no_engine())


def squares(count: int) -> list[Triplet]:
    return [
        Triplet(program=f"def f(n):\n    return n * n  # {n}", inputs=(str(n),))
        for n in range(count)
    ]


def is_right(number: int, verdict: Verdict) -> bool:
    return verdict.status is Status.OK and verdict.outputs == (str(number * number),)


def open_executor(settings: BackendSettings | str = "docker", workers: int = 2) -> Executor:
    return Executor(settings, workers=workers, limits=Limits(memory_mib=128), rules=OPEN_RULES)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("backend", ["docker", "gvisor"])
async def test_nothing_is_left_after_close(backend: str, temporary: Path) -> None:
    if backend == "gvisor":
        require(why_no_gvisor())
    descriptors = open_descriptors()
    async with open_executor(backend) as executor:
        assert is_right(3, await executor.validate(squares(4)[3]))
        result = await executor.run(Script(source="print('hi')"))
        assert (result.status, result.stdout) == (Status.OK, b"hi\n"), result
        assert own_containers()
    assert own_containers() == []
    assert not any(name.startswith("executor-") for name in os.listdir(temporary))
    assert [t.name for t in threading.enumerate() if t.name.startswith("docker")] == []
    assert open_descriptors() == descriptors


@pytest.mark.usefixtures("engine")
async def test_nothing_is_left_if_opening_is_cancelled() -> None:
    executor = open_executor(workers=4)
    opening = asyncio.create_task(executor.__aenter__())
    await asyncio.sleep(1.5)
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    await executor.close()
    wait_until(lambda: own_containers() == [])


@pytest.mark.usefixtures("engine")
async def test_a_script_that_is_cancelled_ends_with_its_container() -> None:
    async with open_executor() as executor:
        warm = set(own_containers())
        running = asyncio.create_task(executor.run(Script(source="import time; time.sleep(60)")))
        while set(own_containers()) <= warm:  # noqa: ASYNC110 - the engine tells nobody
            await asyncio.sleep(0.05)
        started = time.monotonic()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert own_containers() == []
    assert time.monotonic() - started < 30


@pytest.mark.usefixtures("engine")
async def test_verdicts_are_right_while_containers_are_killed() -> None:
    items = squares(400)
    async with open_executor() as executor:
        killing = asyncio.create_task(asyncio.to_thread(kill_some_containers, 4))
        verdicts = [verdict async for verdict in executor.validate_many(iter(items))]
        assert await killing == 4
        verdicts += [verdict async for verdict in executor.validate_many(iter(items))]
        wrong = [v for n, v in enumerate(verdicts) if not is_right(n % len(items), v)]
        assert wrong == []
    assert own_containers() == []


def kill_some_containers(count: int) -> int:
    killed = 0
    with engine_client() as client:
        for name in own_containers()[:count]:
            client.api.kill(name)
            killed += 1
    return killed


async def refusal(settings: BackendSettings | str = "docker") -> str:
    """Why an executor could not be opened."""
    with pytest.raises(BackendUnavailable) as caught:
        async with open_executor(settings):
            pass
    return str(caught.value)


@pytest.mark.usefixtures("engine")
async def test_a_missing_image_is_named_with_the_command_that_builds_it() -> None:
    told = await refusal(DockerSettings(image="no-such-image:at-all"))
    assert "no-such-image:at-all" in told
    assert "docker build" in told


@pytest.mark.usefixtures("engine")
async def test_a_runtime_that_the_engine_lacks_is_named() -> None:
    assert "no runtime 'nothing'" in await refusal(GvisorSettings(runtime="nothing"))
    assert own_containers() == []


@pytest.mark.usefixtures("engine")
async def test_an_image_of_another_version_is_refused() -> None:
    with engine_client() as client:
        base = client.images.get(DockerSettings().image)
        container = client.api.create_container(base.id, ["true"])["Id"]
        try:
            changed = tar_of("guest/executor/guest/more.py", b"x = 1\n")
            client.api.put_archive(container, "/", changed)
            client.api.commit(container, repository="absolute-zero-guest", tag="changed")
            told = await refusal(DockerSettings(image="absolute-zero-guest:changed"))
        finally:
            client.api.remove_container(container, force=True)
            client.images.remove("absolute-zero-guest:changed", force=True)
    assert "another version" in told
    assert own_containers() == []


def tar_of(path: str, content: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        entry = tarfile.TarInfo(path)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


async def test_without_an_engine_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///tmp/there-is-no-engine.sock")
    told = await refusal()
    assert "unix:///tmp/there-is-no-engine.sock" in told
    assert "Start Docker" in told


async def test_something_else_that_answers_is_not_taken_for_an_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    path = f"/tmp/executor-test-{os.getpid()}.sock"
    server = await asyncio.start_unix_server(answer, path)
    try:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        assert "no Docker engine can be used" in await refusal()
    finally:
        server.close()
        await server.wait_closed()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


CRASHING = """
    import asyncio, os, signal
    import docker
    from executor import DockerSettings, Executor
    from executor.backends.docker.api import LABEL
    from executor.backends.host.owner import this_process

    async def main():
        async with Executor("docker", workers=2):
            # Warm guests end with their host. One that was not started yet does not.
            client = docker.DockerClient.from_env(version="1.41")
            client.api.create_container(
                DockerSettings().image, ["true"], labels={LABEL: this_process()}
            )
            print(this_process(), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(main())
"""


@pytest.mark.usefixtures("engine")
async def test_what_a_killed_host_leaves_is_reaped_by_the_next() -> None:
    host = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", textwrap.dedent(CRASHING)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert host.returncode == -signal.SIGKILL, host.stderr
    owner = host.stdout.strip()

    def left() -> list[Any]:
        with engine_client() as client:
            filters = {"label": f"{LABEL}={owner}"}
            return list(client.api.containers(all=True, filters=filters))

    assert left()
    async with open_executor():
        assert left() == []


@pytest.mark.usefixtures("engine")
async def test_containers_of_a_living_executor_are_not_reaped() -> None:
    async with open_executor() as first:
        before = set(own_containers())
        async with open_executor():
            assert before <= set(own_containers())
        assert before <= set(own_containers())
        assert is_right(2, await first.validate(squares(3)[2]))


# ---- an engine of its own, which can be restarted ----------------------------------------------


class OwnEngine:
    """A second engine: its containers and images are its own."""

    def __init__(self, directory: Path) -> None:
        self._environment = {
            **os.environ, "ENGINE_DIR": str(directory), "ENGINE_NETWORK": "none",
        }  # fmt: skip

    def start(self) -> str:
        """Start it if it is not running; return its address."""
        done = self._script("start")
        assert done.returncode == 0, done.stderr
        return done.stdout.partition("DOCKER_HOST=")[2].partition(";")[0]

    def stop(self) -> None:
        """End it with all its containers."""
        self._script("stop")

    def _script(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", str(ENGINE), command], env=self._environment, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def engine_with_the_image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnEngine]:
    """A second engine with the guest image. Tests may leave it stopped."""
    require(why_no_engine())
    if os.geteuid() != 0:
        pytest.skip("only root can start an engine")
    made = OwnEngine(tmp_path_factory.mktemp("engine"))
    try:
        copy_image(DockerSettings().image, made.start())
        yield made
    finally:
        made.stop()


def copy_image(name: str, address: str) -> None:
    """From the engine that the environment names to another."""
    there = os.environ | {"DOCKER_HOST": address}
    with subprocess.Popen(["docker", "save", name], stdout=subprocess.PIPE) as saving:
        loading = subprocess.run(
            ["docker", "load", "-q"], stdin=saving.stdout, env=there, capture_output=True,
            text=True, timeout=120, check=False,
        )  # fmt: skip
    assert (saving.returncode, loading.returncode) == (0, 0), loading.stderr


@pytest.fixture
def own_engine(engine_with_the_image: OwnEngine, monkeypatch: pytest.MonkeyPatch) -> OwnEngine:
    """A second engine with the guest image, as the one that the environment names."""
    monkeypatch.setenv("DOCKER_HOST", engine_with_the_image.start())
    return engine_with_the_image


async def test_work_goes_on_after_the_engine_was_restarted(own_engine: OwnEngine) -> None:
    items = squares(20)
    async with open_executor() as executor:
        assert is_right(1, await executor.validate(items[1]))
        await asyncio.to_thread(own_engine.stop)
        during = asyncio.gather(*map(executor.validate, items))
        await asyncio.sleep(0.5)
        await asyncio.to_thread(own_engine.start)
        for number, verdict in enumerate(await during):
            assert verdict.status is Status.INFRA or is_right(number, verdict), verdict
        deadline = time.monotonic() + 60
        while not is_right(5, await executor.validate(squares(6)[5])):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.2)
        verdicts = [verdict async for verdict in executor.validate_many(iter(items))]
        assert all(is_right(n, verdict) for n, verdict in enumerate(verdicts))
        result = await executor.run(Script(source="print(1)"))
        assert result.status is Status.OK, result
    assert own_containers() == []


async def test_an_engine_that_is_gone_gives_infra_and_never_a_score(
    own_engine: OwnEngine,
) -> None:
    async with open_executor() as executor:
        await asyncio.to_thread(own_engine.stop)
        result = await asyncio.wait_for(executor.run(Script(source="print(1)")), 90)
        assert result.status is Status.INFRA, result

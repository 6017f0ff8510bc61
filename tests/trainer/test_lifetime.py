"""What a process has started ends with it, also if it is killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import psutil

from tests.support.waiting import wait_until
from trainer.run.lifetime import bound

SLEEPER = """
import subprocess, time
from trainer.run.lifetime import bound

subprocess.Popen(bound(["sh", "-c", "echo begun; exec sleep 600"]))
time.sleep(600)
"""
SERVICE = """
import asyncio
from trainer.run.executors import OwnService
from trainer.game.settings import AzrSettings

async def main():
    own = OwnService(AzrSettings(executor_max_workers=1), lambda _: None)
    client = await own.__aenter__()
    print(client.info.backend, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def killed_when_it_has_spoken(program: str) -> list[psutil.Process]:
    """All that a killed process had below it."""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        below: list[psutil.Process] = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    return below


def all_gone(processes: Sequence[psutil.Process]) -> bool:
    return not any(process.is_running() for process in processes)


def test_a_command_ends_with_the_process_that_started_it() -> None:
    below = killed_when_it_has_spoken(SLEEPER)
    assert len(below) == 1
    wait_until(lambda: all_gone(below))


def test_the_own_service_and_its_sandboxes_end_with_the_trainer() -> None:
    below = killed_when_it_has_spoken(SERVICE)
    assert len(below) > 2
    wait_until(lambda: all_gone(below))


def test_a_command_is_run_as_it_is() -> None:
    command = [sys.executable, "-c", "import sys; print(sys.argv[1:]); sys.exit(3)", "a b", "-x"]
    done = subprocess.run(bound(command), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "['a b', '-x']\n")


def test_a_command_whose_starter_is_gone_does_not_begin() -> None:
    command = bound(["echo", "begun"])
    command[command.index("echo") - 1] = "1"  # as if somebody else had started it
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "is gone" in done.stderr

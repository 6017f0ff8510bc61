"""Runs that are stopped, lose their executor, or find the disk full."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.trainer.support.runs import (
    LETTERS,
    assert_stops,
    command,
    environment,
    family,
    forked,
    game_state,
    metrics,
    needs_ray,
    needs_verl,
    started,
    wait_for,
)
from tests.trainer.support.scripted_texts import SETTINGS, files

pytestmark = [needs_verl, needs_ray, pytest.mark.verl, pytest.mark.timeout(1200)]

FOREVER = "trainer.total_training_steps=1000"


def test_ctrl_c_while_it_trains_leaves_nothing(tmp_path: Path) -> None:
    """In a terminal the whole group of processes gets the signal."""
    with started(tmp_path, LETTERS, FOREVER) as process:
        wait_for(lambda: 1 in metrics(tmp_path), 600, "step 1", process)
        assert_stops(process, lambda: os.killpg(process.pid, signal.SIGINT))


def test_sigterm_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    with started(tmp_path, LETTERS, FOREVER) as process:
        wait_for(
            lambda: "TrainingActor" in names(process.pid), 300, "the actor that trains", process
        )
        assert_stops(process, process.terminate)


def names(pid: int) -> str:
    found = []
    for child in family(pid):
        with suppress(psutil.NoSuchProcess):
            found += child.cmdline()
    return " ".join(found)


class Service:
    """``python -m executor serve``, always on the same port."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [*(sys.executable, "-m", "executor", "serve", "--port", str(self.port)),
             *("--workers", "2", "--wall-s", "60")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for(self._is_ready, 60, "the service")

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    made.start()
    yield made
    made.stop()


def test_lost_executor_is_waited_for_then_the_run_saves_and_stops(
    tmp_path: Path, service: Service
) -> None:
    run = tmp_path / "run"
    settings = (
        *(*SETTINGS, *files(tmp_path), FOREVER, "trainer.save_freq=1000"),
        *("azr.executor=http", f"azr.executor_url={service.url}", "azr.executor_patience_s=30"),
    )
    with forked(run, *settings) as process:
        wait_for(lambda: 1 in metrics(run), 600, "step 1", process)
        service.stop()
        time.sleep(5)
        away_at = max(metrics(run))
        service.start()
        wait_for(lambda: away_at + 2 in metrics(run), 120, "a step after the service came back")
        retries = [metrics(run)[step]["executor/retries"] for step in range(1, away_at + 3)]
        service.stop()
        output, _ = process.communicate(timeout=200)
    assert process.returncode == 1, output
    assert sum(retries) > 0
    (reason,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert "executor" in reason
    assert "Traceback" not in output

    last = max(metrics(run))
    assert (run / "latest_checkpointed_iteration.txt").read_text() == str(last)
    assert [place.name for place in run.glob("global_step_*")] == [f"global_step_{last}"]
    assert game_state(run, last)["buffers"]


def namespace() -> list[str] | None:
    """A command prefix under which file systems can be mounted, if there is one."""
    for prefix in (["unshare", "-m"], ["unshare", "-Urm"]):
        probe = [*prefix, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        if (
            shutil.which("unshare")
            and not subprocess.run(probe, capture_output=True, check=False).returncode
        ):
            return prefix
    return None


@pytest.mark.skipif(namespace() is None, reason="a small file system cannot be mounted here")
def test_full_disk_leaves_the_checkpoint_before_intact(tmp_path: Path) -> None:
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    size = f"mount -t tmpfs -o size=12m tmpfs {disk}"
    run = shlex.join(command(disk, LETTERS, FOREVER, "trainer.max_actor_ckpt_to_keep=null"))
    script = f"{size} && {{ {run}; code=$?; df -k {disk}; cp -r {disk} {kept}; exit $code; }}"
    prefix = namespace()
    assert prefix is not None
    ended = subprocess.run(
        [*prefix, "sh", "-c", script],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=400,
        check=False,
        start_new_session=True,
    )
    assert ended.returncode == 1, ended.stdout
    errors = [line for line in ended.stdout.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, ended.stdout
    step = int((kept / "latest_checkpointed_iteration.txt").read_text())
    assert step >= 1
    assert f"the checkpoint of step {step + 1} cannot be written" in errors[0]
    assert f"the checkpoint of step {step} is intact" in errors[0]
    assert not (kept / f"global_step_{step + 1}").exists()
    assert game_state(kept, step)["buffer"]

"""Joining a Ray cluster that runs already: two simulated nodes, the head without a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.trainer.support import runs
from tests.trainer.support.runs import LETTERS, ROOT, metrics, needs_verl
from tests.trainer.support.scripted_texts import REWARDS, SETTINGS, files, label, noted

pytestmark = [needs_verl, pytest.mark.verl, pytest.mark.timeout(1200)]

GAME = "trainer.game_class=tests.trainer.support.placed:PlacedGame"


@contextmanager
def cluster() -> Iterator[SimpleNamespace]:
    """Two nodes, started from an environment that has nothing of a run."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.trainer.support.cluster"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdin is not None
        address, head, other = next(line for line in process.stdout if ":" in line).split()

        def alive() -> list[str]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("actors\n")
            process.stdin.flush()
            return process.stdout.readline().split()

        yield SimpleNamespace(address=address, head=head, other=other, alive=alive)
    finally:
        process.stdin.close()  # type: ignore[union-attr]
        process.wait(60)
        process.stdout.close()  # type: ignore[union-attr]


def test_a_run_joins_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    with cluster() as found:
        monkeypatch.setenv("EXECUTOR_TOKEN", "of the user")
        monkeypatch.setenv("HF_TOKEN", "hub")
        monkeypatch.setenv("UNRELATED", "stays here")
        join = f"ray_kwargs.ray_init.address={found.address}"
        code, output = runs.finish(run, LETTERS, join, "trainer.n_gpus_per_node=2")
        assert code == 2, output
        assert "has 0 nodes with 2" in output
        (tmp_path / "seeds").mkdir()
        runs.train(
            run,
            *(*SETTINGS, *files(tmp_path / "seeds"), GAME, join),
            *("azr.executor=ray", "azr.executor_cpus_per_node=1"),
            "trainer.total_training_steps=1",
        )
        assert list(metrics(run)) == [1]
        assert_executors_of_both_nodes(run, found)
        assert_placed(json.loads((run / "placed.json").read_text()), found, run)
        runs.wait_for(lambda: not found.alive(), 60, "no actor of the run is left")


def assert_executors_of_both_nodes(run: Path, found: SimpleNamespace) -> None:
    """They have run the step's programs, and what was made of it all is what was to be."""
    ran = json.loads((run / "ran.json").read_text())
    assert ran.keys() == {found.head, found.other}
    # Of equal nodes the first one gets an item: where each is done before the next comes, all.
    assert sum(ran.values()) > 0, ran
    samples = noted(run, "samples", 1)
    rows = [row for row in noted(run, "batch", 1) if row["tokens"]]
    assert len(rows) == 24
    for row in rows:
        assert row["reward"] == REWARDS[label(samples[row["uid"]]["text"])]


def assert_placed(noted: Any, found: SimpleNamespace, run: Path) -> None:
    """The executor's process is where the command was given; the rest has its environment."""
    assert noted["game"].pop("node") == found.head
    assert noted["worker"].pop("node") == found.other
    wanted = {
        "EXECUTOR_TOKEN": "of the user",
        "HF_TOKEN": "hub",
        "VERL_PLATFORM": "cpu",
        "TENSORBOARD_DIR": str(run / "tensorboard"),
        "UNRELATED": None,
    }
    assert noted["game"] == noted["worker"] == wanted


def config(*overrides: str) -> Any:
    from trainer.configs import compose
    from trainer.run.wiring import wire

    made = compose([*overrides])
    wire(made)
    return made


def test_a_cluster_is_not_told_its_resources() -> None:
    own = config("preset=cpu_tiny").ray_kwargs.ray_init
    assert own.num_gpus == 1
    joined = config("preset=cpu_tiny", "ray_kwargs.ray_init.address=auto").ray_kwargs.ray_init
    for name in ("num_gpus", "num_cpus", "object_store_memory", "include_dashboard"):
        assert joined.get(name) is None, name


def test_an_address_of_the_environment_joins_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer.run.wiring import joins_cluster

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert not joins_cluster(config("preset=cpu_tiny"))
    assert joins_cluster(config("preset=multi_node"))
    assert not joins_cluster(config("preset=cpu_tiny", "ray_kwargs.ray_init.address=local"))
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert joins_cluster(config("preset=cpu_tiny"))
    assert not joins_cluster(config("preset=cpu_tiny", "ray_kwargs.ray_init.address=local"))


def test_a_run_that_starts_ray_does_not_join_what_is_on_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from trainer.verl_adapter import runner

    given: dict[str, Any] = {}
    monkeypatch.setenv("EXECUTOR_TOKEN", "secret")
    monkeypatch.setattr("ray.init", lambda **options: given.update(options))
    runner._start_ray(config("preset=cpu_tiny"))
    assert given["address"] == "local"
    assert "EXECUTOR_TOKEN" not in given["runtime_env"]["env_vars"]
    runner._start_ray(config("preset=cpu_tiny", "ray_kwargs.ray_init.address=1.2.3.4:5"))
    assert given["address"] == "1.2.3.4:5"
    assert given["runtime_env"]["env_vars"]["EXECUTOR_TOKEN"] == "secret"


def test_what_is_carried_is_named_and_set() -> None:
    from trainer.run.environment import CARRIED, carried

    assert carried({"HF_TOKEN": "x", "PATH": "/bin", "RAY_worker_niceness": "0"}) == {
        "HF_TOKEN": "x"
    }
    assert {"EXECUTOR_TOKEN", "WANDB_API_KEY", "WANDB_DIR", "TENSORBOARD_DIR"} <= set(CARRIED)
    assert {"VERL_FILE_LOGGER_PATH", "HF_HUB_OFFLINE", "VERL_PLATFORM"} <= set(CARRIED)


@pytest.mark.parametrize(
    ("gpus", "wanted", "fits"),
    [
        ([0, 8, 8], (2, 8), True),  # a head without GPUs
        ([8, 8], (2, 8), True),
        ([0, 8], (2, 8), False),
        ([4, 4, 4, 4], (2, 8), False),
        ([], (1, 1), False),
    ],
)
def test_machines_of_a_cluster_are_counted(
    gpus: list[int], wanted: tuple[int, int], fits: bool
) -> None:
    from trainer.verl_adapter.cluster import shortage

    nodes = [{"CPU": 8.0, **({"GPU": float(count)} if count else {})} for count in gpus]
    found = shortage(nodes, machines=wanted[0], gpus=wanted[1])
    assert (found is None) == fits
    if found:
        assert str(wanted[1]) in found

"""Absolute Zero's own game through veRL, with a model that writes chosen texts.

One undisturbed run, one that is killed and resumed, one on two ranks.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.trainer.support.runs import (
    comparable,
    family,
    forked,
    game_state,
    metrics,
    needs_ray,
    needs_verl,
    train,
    wait_for,
)
from tests.trainer.support.scripted_texts import REWARDS, SETTINGS, files, label, noted

pytestmark = [needs_verl, needs_ray, pytest.mark.verl, pytest.mark.timeout(1200)]

STEPS = 3


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    folder = tmp_path_factory.mktemp("seeds")
    return (*SETTINGS, *files(folder), f"trainer.total_training_steps={STEPS}")


@pytest.fixture(scope="module")
def whole(settings: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbs."""
    run = tmp_path_factory.mktemp("whole")
    train(run, *settings)
    return run


def test_rewards_and_advantages_of_the_batch_are_those_worked_by_hand(whole: Path) -> None:
    seen = set()
    for step in range(1, STEPS + 1):
        samples = noted(whole, "samples", step)
        rows = [row for row in noted(whole, "batch", step) if row["tokens"]]
        assert sorted(row["uid"] for row in rows) == sorted(samples)
        assert len(rows) == 24
        for row in rows:
            sample = samples[row["uid"]]
            assert row["reward"] == REWARDS[label(sample["text"])], sample
            assert row["tokens"] == sample["tokens"] == row["reward_at"] + 1
            assert row["outside"] == 0
            seen.add(label(sample["text"]))
        assert_advantages(rows, {uid: sample["kind"] for uid, sample in samples.items()})
    assert len(seen & set(REWARDS)) >= 9, seen


def assert_advantages(rows: list[dict[str, Any]], kinds: dict[str, str]) -> None:
    """Token-weighted z-scores of each (role, task type), written down anew."""
    for kind in sorted(set(kinds.values())):
        own = [row for row in rows if kinds[row["uid"]] == kind]
        tokens = [reward for row in own for reward in [row["reward"]] * row["tokens"]]
        mean = sum(tokens) / len(tokens)
        deviation = (sum((x - mean) ** 2 for x in tokens) / (len(tokens) - 1)) ** 0.5
        for row in own:
            (advantage,) = row["advantages"]
            wanted = (row["reward"] - mean) / deviation if deviation else 0.0
            assert advantage == pytest.approx(wanted, rel=1e-3, abs=1e-3), kind


def test_buffers_grow_by_what_was_proposed(whole: Path) -> None:
    sizes = [metrics(whole)[step]["buffers/code_o/size"] for step in range(1, STEPS + 1)]
    assert sizes == sorted(sizes)
    assert sizes[-1] > 4
    assert metrics(whole)[STEPS]["actor/grad_norm"] > 0
    proposed = sum(metrics(whole)[step]["gen_code_o/stored"] for step in range(1, STEPS + 1))
    assert sizes[-1] == 4 + proposed


def test_rollout_and_trainer_agree_after_updates(whole: Path) -> None:
    for step in range(1, STEPS + 1):
        assert metrics(whole)[step]["training/rollout_probs_diff_max"] < 1e-5


def test_overlapping_rollouts_of_eight_workers_give_the_same_steps(
    whole: Path, settings: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches are small and slow, so that attempts can come before the last proposals."""
    monkeypatch.setenv("SCRIPTED_BATCH_S", "0.5")
    train(
        tmp_path,
        *settings,
        "azr.overlap_estimates=true",
        "actor_rollout_ref.rollout.max_num_seqs=4",
        "actor_rollout_ref.rollout.agent.num_workers=8",
        "trainer.total_training_steps=2",
    )
    assert any(overlaps(noted(tmp_path, "came", step)) for step in (1, 2))
    for step in (1, 2):
        assert not overlaps(noted(whole, "came", step))
        one, two = comparable(metrics(whole)[step]), comparable(metrics(tmp_path)[step])
        assert two == pytest.approx(one, rel=1e-4, abs=1e-6), step
    assert game_state(tmp_path, 2) == game_state(whole, 2)


def overlaps(came: list[str]) -> bool:
    """Whether an attempt at a proposal came before a response of the first round."""
    attempts = [at for at, name in enumerate(came) if "-estimate-" in name]
    first_round = [at for at, name in enumerate(came) if "-estimate-" not in name]
    assert attempts
    return min(attempts) < max(first_round)


def test_killed_run_goes_on_exactly(whole: Path, settings: tuple[str, ...], tmp_path: Path) -> None:
    run = tmp_path / "killed"
    with forked(run, *settings) as process:
        wait_for(lambda: 1 in metrics(run), 600, "step 1", process)
        children = family(process.pid)
        process.kill()
        process.wait()
        done = max(metrics(run))
        assert done < STEPS
        output = train(run, *settings)
        # Ray's agents look for its control service for a minute before they give up.
        _, alive = psutil.wait_procs(children, timeout=120)
        assert not alive, f"left behind: {[child.cmdline()[:3] for child in alive]}"

    assert f"going on from step {done}" in output
    assert list(metrics(run)) == list(range(1, STEPS + 1))
    for step in range(1, STEPS + 1):
        assert comparable(metrics(run)[step]) == comparable(metrics(whole)[step]), step
    assert game_state(run, STEPS) == game_state(whole, STEPS)


def test_two_ranks_and_another_executor_give_the_same_steps(
    whole: Path, settings: tuple[str, ...], tmp_path: Path
) -> None:
    """Two ranks, and the project's own service: what ``azr.executor=sandboxfusion`` starts."""
    output = train(
        tmp_path,
        *settings,
        "trainer.n_gpus_per_node=2",
        "trainer.total_training_steps=2",
        "azr.executor=sandboxfusion",
    )
    for step in (1, 2):
        one, two = metrics(whole)[step], metrics(tmp_path)[step]
        for name in ("actor/pg_loss", "actor/loss", "actor/grad_norm"):
            assert two[name] == pytest.approx(one[name], rel=1e-3, abs=1e-6), (step, name)
        game = [name for name in one if name.startswith(("gen_", "pred_", "buffers/"))]
        assert {n: two[n] for n in game} == pytest.approx({n: one[n] for n in game})
        assert two["training/rollout_probs_diff_max"] < 1e-5

    ports = re.findall(r"own executor service on http://127\.0\.0\.1:(\d+)", output)
    assert ports, output
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", int(port))), f"port {port} is still served"

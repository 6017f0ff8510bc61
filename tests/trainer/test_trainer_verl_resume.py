"""A run that is killed goes on as if it had not been."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from trainer_verl_runs import (
    LETTERS,
    comparable,
    family,
    game_state,
    metrics,
    needs_verl,
    started,
    train,
    wait_for,
)

pytestmark = [needs_verl, pytest.mark.verl, pytest.mark.timeout(900)]


def test_killed_run_goes_on_exactly(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    settings = (LETTERS, "trainer.total_training_steps=4", "trainer.save_freq=1")
    train(whole, *settings)

    with started(killed, *settings) as process:
        wait_for(lambda: 2 in metrics(killed), 300, "step 2")
        children = family(process.pid)
        process.kill()
        process.wait()
        _, alive = psutil.wait_procs(children, timeout=60)
        assert not alive, f"left behind: {[child.cmdline()[:3] for child in alive]}"
    done = max(metrics(killed))
    output = train(killed, *settings)

    assert f"going on from step {done}" in output
    assert list(metrics(killed)) == [1, 2, 3, 4]
    for step in range(1, 5):
        assert comparable(metrics(killed)[step]) == comparable(metrics(whole)[step]), step
    assert game_state(killed, 4) == game_state(whole, 4)
    assert metrics(whole)[4]["actor/grad_norm"] > 0

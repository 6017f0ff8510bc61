"""The best checkpoint of a run, and the end of one that gets no better."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainer.run import best, checkpoints

METRIC = "val/accuracy"


def noted(run: Path, step: int, value: float) -> best.Best:
    found = best.note(run, METRIC, step, {METRIC: value})
    assert found is not None
    return found


def checkpoint(run: Path, step: int) -> None:
    folder = checkpoints.folder(run, step)
    folder.mkdir(parents=True)
    for name in (checkpoints.GAME_FILE, "data.pt"):
        (folder / name).touch()
    (run / checkpoints.TRACKER).write_text(str(step))


def test_the_best_step_is_named_with_how_long_none_was_better(tmp_path: Path) -> None:
    found = [noted(tmp_path, step, value) for step, value in enumerate([0.2, 0.5, 0.4, 0.5, 0.6])]
    assert [(one.step, one.without) for one in found] == [(0, 0), (1, 0), (1, 1), (1, 2), (4, 0)]
    assert json.loads((tmp_path / best.FILE).read_text())["step"] == 4


def test_a_step_counts_once(tmp_path: Path) -> None:
    noted(tmp_path, 1, 0.5)
    assert noted(tmp_path, 2, 0.1) == noted(tmp_path, 2, 0.1)
    assert noted(tmp_path, 3, 0.1).without == 2


@pytest.mark.parametrize("metrics", [{}, {"eval/mean": 1.0}, {METRIC: float("nan")}])
def test_without_its_metric_nothing_is_noted(tmp_path: Path, metrics: dict[str, float]) -> None:
    assert best.note(tmp_path, METRIC, 1, metrics) is None
    assert not (tmp_path / best.FILE).exists()


def test_a_run_that_begins_again_before_its_best_step_has_none(tmp_path: Path) -> None:
    noted(tmp_path, 10, 0.9)
    assert noted(tmp_path, 5, 0.1).step == 5
    assert best.note(tmp_path, "eval/mean", 6, {"eval/mean": 0.0}) is not None
    (tmp_path / best.FILE).write_text("{")
    assert noted(tmp_path, 7, 0.1).step == 7


def test_the_best_checkpoint_stays(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        checkpoint(tmp_path, step)
    noted(tmp_path, 1, 0.9)
    best.prune(tmp_path, 2)
    assert checkpoints.complete_steps(tmp_path) == (1, 3, 4)
    noted(tmp_path, 4, 1.0)
    best.prune(tmp_path, 2)
    assert checkpoints.complete_steps(tmp_path) == (3, 4)

"""Files and lines that a run makes for people."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.run.run_log import METRICS_FILE, RunLog, step_line


class Tracking:
    """Stands for veRL's loggers."""

    def __init__(self) -> None:
        self.logged: list[tuple[int, Mapping[str, Any]]] = []
        self.exit_code: int | None = None

    def log(self, data: Mapping[str, Any], step: int) -> None:
        self.logged.append((step, data))

    def finish(self, exit_code: int = 0) -> None:
        self.exit_code = exit_code


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / METRICS_FILE).read_text().splitlines()]


def test_metrics_go_to_the_file_the_console_and_the_loggers(tmp_path: Path) -> None:
    lines: list[str] = []
    tracking = Tracking()
    log = RunLog(tmp_path, 0, 9, lines.append)
    log.attach(tracking)
    data = {"pred_code_o/accuracy": 0.5, "actor/grad_norm": math.nan, "text": "no number"}
    log.log(data, 1)
    log.finish(exit_code=1)
    metrics = {"pred_code_o/accuracy": 0.5, "actor/grad_norm": None, "text": None}
    assert rows(tmp_path) == [{"step": 1, "metrics": metrics}]
    assert lines == ["step 1/9  solved o 0.50"]
    assert tracking.logged == [(1, data)]
    assert tracking.exit_code == 1


def test_what_is_played_again_is_removed(tmp_path: Path) -> None:
    log = RunLog(tmp_path, 0, 9, print)
    for step in (1, 2, 3):
        log.log({"x": step}, step)
        log.samples(step, {"answers": ({"step": step},)})
    with (tmp_path / METRICS_FILE).open("a") as file:
        file.write('{"step": 4, "met')  # killed in the middle of a line
    RunLog(tmp_path, 2, 9, print).log({"x": 33}, 3)
    assert [(row["step"], row["metrics"]["x"]) for row in rows(tmp_path)] == [
        (1, 1),
        (2, 2),
        (3, 33),
    ]
    names = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert names == ["step_000001.jsonl", "step_000002.jsonl"]


def test_samples_are_written_whatever_the_model_wrote(tmp_path: Path) -> None:
    log = RunLog(tmp_path, 0, 9, print)
    log.samples(12, {"answers": ({"text": "line\nbreak \ud800 é"},), "proposals": ()})
    (line,) = (tmp_path / "samples" / "step_000012.jsonl").read_text().splitlines()
    assert json.loads(line)["table"] == "answers"
    assert "é" in json.loads(line)["text"]


def test_line_of_a_step_is_short_and_says_what_matters() -> None:
    metrics = {
        "gen_code_i/critic/rewards/mean": -0.5,
        "gen_code_f/critic/rewards/mean": -1.0,
        "pred_code_i/critic/rewards/mean": 0.25,
        "pred_code_i/accuracy": 0.4,
        "pred_code_f/accuracy": 0.1,
        "timing_s/step": 12.34,
        "actor/grad_norm": 0.123456,
    }
    assert step_line(3, 500, metrics) == (
        "step 3/500  reward proposing -0.750  solving +0.250  solved f 0.10 i 0.40  "
        "grad norm 0.123  seconds 12.3"
    )


def test_metrics_that_a_killed_run_did_not_log_are_taken_from_its_checkpoint(
    tmp_path: Path,
) -> None:
    first = RunLog(tmp_path, 0, 9, lambda _line: None)
    first.log({"a": 1}, 1)

    said: list[str] = []
    resumed = RunLog(tmp_path, 2, 9, said.append)
    resumed.fill(2, {"a": 2.0, "gone": None})
    assert len(said) == 1
    resumed.fill(2, {"a": 3.0})
    resumed.log({"a": 4}, 3)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(row["step"], row["metrics"]["a"]) for row in rows] == [(1, 1.0), (2, 2.0), (3, 4.0)]

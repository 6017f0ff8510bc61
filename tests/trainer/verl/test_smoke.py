"""``scripts/gpu_smoke.sh``, proved on the preset for processors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainer.support.runs import LETTERS, environment, needs_verl
from trainer.cli.app import main
from trainer.tools import smoke

ROOT = Path(__file__).parents[3]


def values(**more: float) -> dict[str, float]:
    return {"training/rollout_probs_diff_mean": 0.003, "actor/grad_norm": 0.5} | more


def test_metrics_as_they_should_be_are_no_problem() -> None:
    assert smoke.problems({step: values() for step in range(1, 6)}) == []


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ({1: values(), 2: values()}, "no metrics of steps [3, 4, 5]"),
        ({n: values(**{"training/rollout_probs_diff_mean": 0.4}) for n in range(1, 6)}, "in step"),
        ({n: values(**{"training/rollout_probs_diff_mean": float("nan")}) for n in range(1, 6)},
         "in step"),
        ({n: {"actor/grad_norm": 1.0} for n in range(1, 6)}, "in step"),
        ({n: values(**{"actor/grad_norm": float("inf")}) for n in range(1, 6)}, "no number"),
    ],
)  # fmt: skip
def test_metrics_that_are_wrong_are_named(steps: dict[int, dict[str, float]], problem: str) -> None:
    assert any(problem in found for found in smoke.problems(steps))


def test_a_run_that_does_not_start_is_a_problem(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["tools", "smoke", str(out), "preset=no-such-preset"]) == 1
    assert main(["tools", "smoke", str(out), "preset=no-such-preset"]) == 1
    assert "no-such-preset" in (out / "log_1.txt").read_text()


@needs_verl
@pytest.mark.verl
@pytest.mark.timeout(1500)
def test_smoke_run_on_processors(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *("sh", str(ROOT / "scripts" / "gpu_smoke.sh"), "tiny", "preset=cpu_tiny", LETTERS),
            *("data.train_batch_size=2", "data.max_response_length=32", "--within", "1400"),
        ],
        env=environment() | {"PYTHON": sys.executable, "OUT": str(tmp_path / "out")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "as it should be" in done.stdout
    assert "going on from step 2" in done.stdout
    assert "seconds: checkpoint" in done.stdout
    assert (tmp_path / "out" / "model" / "config.json").is_file()
    assert list((tmp_path / "out" / "model").glob("*.safetensors"))

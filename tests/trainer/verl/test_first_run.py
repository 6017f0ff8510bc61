"""The first command that the README names, as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.trainer.support.runs import finish, metrics, needs_verl

pytestmark = [needs_verl, pytest.mark.verl, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[3]
STEPS = 12


def test_a_first_run_shows_something(tmp_path: Path) -> None:
    run = tmp_path / "first_run"
    code, output = finish(run, preset="first_run", within_s=1700)
    assert code == 0, output
    steps = metrics(run)
    assert list(steps)[-1] == STEPS
    played = {step: steps[step] for step in range(1, STEPS + 1)}
    for name in ("code_i", "code_o", "code_f"):
        assert sum(values[f"gen_{name}/valid_rate"] for values in played.values()) > 0, name
        assert sum(values[f"pred_{name}/accuracy"] for values in played.values()) > 0, name
    # Far above the -1 of a model that knows nothing. That it rises is seen in one run, but two
    # standard errors are not enough for a test.
    assert rewards(played) > -0.8
    assert (run / "report.html").is_file()
    assert f"report: {run / 'report.html'}" in output


def rewards(steps: dict[int, dict[str, float]]) -> float:
    """Mean reward of both roles and all task types."""
    values = [
        value
        for metrics_of_step in steps.values()
        for name, value in metrics_of_step.items()
        if name.endswith("/critic/rewards/mean")
    ]
    assert len(values) == 6 * len(steps)
    return sum(values) / len(values)


def test_it_is_the_first_command_that_the_readme_names() -> None:
    commands = re.findall(r"^python -m trainer .*", (ROOT / "README.md").read_text(), re.M)
    assert commands[0].startswith("python -m trainer preset=first_run ")

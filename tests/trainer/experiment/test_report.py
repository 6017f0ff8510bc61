"""What an experiment runs, and what it says about the runs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.waiting import wait_until
from trainer.cli.experiment import stoppable
from trainer.experiment import running
from trainer.experiment.arms import ARMS, NO_UPDATES, SELF_PLAY
from trainer.experiment.intervals import Interval, over_seeds, over_tasks
from trainer.experiment.plan import ArmRun, Plan, command, quick, runs
from trainer.experiment.plots import smoothed
from trainer.experiment.results import held_out, read, table
from trainer.experiment.running import RunFailed, attempts, is_done, run_all
from trainer.experiment.tried import TRIED

MODEL = Path("/models/small")


def finish(folder: Path, *, end: float, steps: int = 20, start: float = 0.3) -> None:
    """A run directory as the trainer leaves it."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("trainer: {total_training_steps: 20}\n")
    lines = []
    for step in range(steps + 1):
        metrics = {
            "gen_code_o/valid_rate": 0.5 + step / 100,
            "gen_code_o/learnability": 0.4,
            "pred_code_o/accuracy": 0.2,
            "executor/suspicious/crashed": 1,
            "executor/signals/escape": 2,
            "timing_s/step": 3.0,
        }
        if step % 10 == 0:
            score = start + (end - start) * step / steps
            metrics["val/accuracy"] = score
            for kind in "iof":
                for level in (1, 2, 3):
                    metrics[f"val/test_score/code_{kind}_level{level}"] = score + (level - 2) / 10
                    metrics[f"val/sampled_score/code_{kind}_level{level}"] = score / 2
        lines.append(json.dumps({"step": step, "metrics": metrics}))
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    made = Plan(tmp_path, (SELF_PLAY, NO_UPDATES), (1, 2, 3), steps=20, test_every=10)
    ends = {"selfplay": (0.5, 0.52, 0.54), "no_updates": (0.3, 0.3, 0.3)}
    for run in runs(made):
        finish(run.folder, end=ends[run.arm.name][run.seed - 1])
    return made


@pytest.mark.parametrize(
    ("seeds", "quantile"), [(2, 12.7062), (3, 4.3027), (10, 2.2622), (11, 2.2281), (31, 2.0423)]
)
def test_the_interval_of_some_runs_is_students(seeds: int, quantile: float) -> None:
    values = [0.5 + 0.01 * number for number in range(seeds)]
    half = quantile * stdev(values) / seeds**0.5
    interval = over_seeds(values)
    assert interval.mean == pytest.approx(fmean(values))
    assert interval.high == pytest.approx(fmean(values) + half, abs=1e-5)
    assert interval.low == pytest.approx(fmean(values) - half, abs=1e-5)


def test_one_run_has_no_interval() -> None:
    assert over_seeds([0.7]) == Interval(0.7, None, None)
    with pytest.raises(ValueError, match="no values"):
        over_seeds([])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.integers(1, 500))
def test_the_interval_over_tasks_holds_the_mean_and_narrows(shares: list[float], n: int) -> None:
    interval, finer = over_tasks(shares, n), over_tasks(shares, 4 * n)
    assert interval.low is not None
    assert interval.high is not None
    assert 0 <= interval.low <= interval.mean + 1e-9
    assert interval.mean - 1e-9 <= interval.high <= 1
    assert finer.high is not None
    assert finer.high <= interval.high + 1e-9


def test_intervals_overlap_where_they_share_a_value() -> None:
    low, high = Interval(0.2, 0.1, 0.3), Interval(0.5, 0.4, 0.6)
    assert low.overlaps(high) is False
    assert low.overlaps(Interval(0.3, 0.3, 0.3)) is True
    assert low.overlaps(Interval(0.5, None, None)) is None


def test_all_arms_have_the_same_budget_and_differ_in_one_setting(tmp_path: Path) -> None:
    plan = Plan(tmp_path)
    commands = {run.arm.name: command(plan, run, MODEL) for run in runs(plan) if run.seed == 1}
    common = set.intersection(*map(set, commands.values()))
    assert f"trainer.total_training_steps={plan.steps}" in common
    for arm in ARMS:
        own = set(commands[arm.name]) - common
        assert {text.partition("=")[0] for text in own} == {
            "trainer.default_local_dir",
            "trainer.experiment_name",
            *(text.partition("=")[0] for text in arm.overrides),
        }
    assert len(list(runs(plan))) == 15
    assert [run.arm for run in runs(quick(tmp_path))] == [SELF_PLAY, NO_UPDATES]


def test_every_command_is_a_configuration_that_the_trainer_takes(tmp_path: Path) -> None:
    pytest.importorskip("verl")
    from trainer.configs import compose
    from trainer.run.wiring import wire

    plan = Plan(tmp_path)
    run = next(runs(plan))
    # Of all arms together: composing takes seconds.
    overrides = [text for arm in ARMS for text in arm.overrides]
    config = compose([*command(plan, run, MODEL)[3:], *overrides])
    wire(config)
    assert config.trainer.test_freq == plan.test_every


def test_the_table_compares_with_the_arm_without_updates(plan: Plan) -> None:
    own, base = table(read(plan), tasks=40)
    assert (own.arm, own.seeds) == (SELF_PLAY, 3)
    assert own.greedy.start == pytest.approx(0.3)
    assert own.greedy.end.mean == pytest.approx(0.52)
    assert own.greedy.gain is not None
    assert own.greedy.gain.mean == pytest.approx(0.22)
    assert own.greedy.end.overlaps(base.greedy.end) is False
    assert base.greedy.gain is not None
    assert base.greedy.gain.mean == 0
    assert own.greedy.by_type["code_f"].mean == pytest.approx(0.52)
    assert own.greedy.by_level["code_f level 3"] == pytest.approx(0.62)
    assert own.valid[0] < own.valid[1]
    assert own.hacks == 63


def test_samples_are_told_apart_from_greedy_answers_and_may_be_missing(plan: Plan) -> None:
    own, _ = table(read(plan), tasks=40)
    assert own.sampled is not None
    assert own.sampled.start == pytest.approx(0.15)
    assert own.sampled.end.mean == pytest.approx(0.26)
    assert own.sampled.by_level["code_f level 3"] == pytest.approx(0.26)
    for run in runs(plan):
        file = run.folder / "metrics.jsonl"
        file.write_text(file.read_text().replace("sampled_score", "other_score"))
    own, _ = table(read(plan), tasks=40)
    assert own.sampled is None


def test_a_run_that_is_not_at_its_end_is_left_out_of_the_table(plan: Plan) -> None:
    more = replace(plan, seeds=(1, 2, 3, 4))
    *_, (last, _) = [list(runs(more))[at : at + 2] for at in range(0, 8, 2)]
    finish(last.folder, end=0.9, steps=10)
    assert table(read(more), tasks=40)[0].seeds == 3
    assert not is_done(last)
    assert is_done(next(runs(more)))


def test_accuracy_is_the_mean_of_the_task_types() -> None:
    values = {f"val/test_score/code_{kind}_level1": x for kind, x in zip("iof", (1, 0, 0.5))}  # noqa: B905
    assert held_out(values) == 0.5
    assert held_out({"val/test_score/code_i_level1": 1.0}) is None


def test_smoothing_takes_the_mean_of_the_last_values() -> None:
    assert smoothed([1, 2, 3]) == (1, 1.5, 2)
    assert smoothed([0.0] * 9 + [5.0])[-1] == 1


def test_the_page_needs_nothing_else_and_has_the_numbers(plan: Plan) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("verl")
    from trainer.experiment import page

    about = {"command": "python <x>", "tasks": 40}
    page.write(read(plan), about, plan.folder)
    text = (plan.folder / page.PAGE).read_text()
    assert "52.0% [47.0%, 57.0%]" in text
    assert "python &lt;x&gt;" in text
    assert "http" not in text.replace("http-equiv", "")
    numbers = json.loads((plan.folder / page.NUMBERS).read_text())
    assert numbers["arms"][0]["greedy"]["gain"]["mean"] == pytest.approx(0.22)
    assert (plan.folder / page.FIGURE).read_bytes().startswith(b"\x89PNG")


def test_done_runs_are_not_repeated_and_a_failing_one_ends_the_experiment(
    plan: Plan, tmp_path: Path
) -> None:
    said: list[str] = []
    run_all(plan, MODEL, said.append)
    assert all(line.endswith(": done") for line in said)
    broken = replace(plan, folder=tmp_path / "other", overrides=("no.such.key=1",))
    with pytest.raises(RunFailed, match=r"log\.txt"):
        run_all(broken, MODEL, said.append)
    first = next(runs(broken))
    assert [attempt.exit_code for attempt in attempts(first)] == [2]
    assert "error: " in (first.folder / "log.txt").read_text()


MEETING = """
import pathlib, sys, time
here, folder = sys.argv[1], pathlib.Path(sys.argv[2])
(folder / here).touch()
end = time.monotonic() + 30
while len(list(folder.iterdir())) < 2 and time.monotonic() < end:
    time.sleep(0.02)
sys.exit(len(list(folder.iterdir())) != 2)
"""


def test_jobs_run_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    met = tmp_path / "met"
    met.mkdir()

    def meet(plan: Plan, run: ArmRun, model: Path) -> list[str]:
        return [sys.executable, "-c", MEETING, run.arm.name, str(met)]

    monkeypatch.setattr(running, "command", meet)
    plan = Plan(tmp_path / "runs", (SELF_PLAY, NO_UPDATES), (1,))
    run_all(plan, MODEL, print, jobs=2)
    assert [attempt.exit_code for run in runs(plan) for attempt in attempts(run)] == [0, 0]


def test_what_is_under_way_is_ended_when_the_experiment_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleep(plan: Plan, run: ArmRun, model: Path) -> list[str]:
        return [sys.executable, "-c", "import time; time.sleep(100)"]

    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if len(said) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(running, "command", sleep)
    plan = Plan(tmp_path, (SELF_PLAY, NO_UPDATES), (1, 2))
    with pytest.raises(KeyboardInterrupt):
        run_all(plan, MODEL, say, jobs=3)
    ended = [[attempt.exit_code for attempt in attempts(run)] for run in runs(plan)]
    assert ended == [[-15], [-15], [], []]


KILLED = """
import pathlib, sys
from trainer.experiment import running
from trainer.experiment.plan import Plan

folder = pathlib.Path(sys.argv[1])
running.command = lambda plan, run, model: ["sh", "-c", "echo $$ > pid; exec sleep 100"]
running.run_all(Plan(folder), folder, print)
"""


def test_a_killed_experiment_takes_its_runs_along(tmp_path: Path) -> None:
    experiment = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], cwd=tmp_path)
    note = tmp_path / "pid"
    try:
        wait_until(lambda: note.is_file() and bool(note.read_text().strip()), 30)
    finally:
        experiment.kill()
        experiment.wait()
    wait_until(lambda: not Path("/proc", note.read_text().strip()).exists(), 30)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("ignored", [False, True])
def test_both_signals_stop_it_where_they_are_not_ignored(
    number: signal.Signals, ignored: bool
) -> None:
    before = signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        stops = nullcontext() if ignored else pytest.raises(KeyboardInterrupt)
        with stops, stoppable():
            signal.raise_signal(number)
        assert signal.getsignal(number) is (signal.SIG_IGN if ignored else signal.SIG_DFL)
    finally:
        signal.signal(number, before)


def test_the_page_compares_and_lists_what_was_tried(plan: Plan) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("verl")
    from trainer.experiment import page

    rows = page.write(read(plan), {"command": "x", "tasks": 40}, plan.folder)
    assert page.comparisons(rows) == (
        "self-play, temperature 1: +11.0 points against no updates; the 95 % intervals over seeds "
        "do not overlap",
        "self-play, greedy: +22.0 points against no updates; the 95 % intervals over seeds "
        "do not overlap",
    )
    text = (plan.folder / page.PAGE).read_text()
    assert "code_f level 3" in text
    assert all(setting.split(",")[0] in text for setting, _ in TRIED)
    (first, *_) = json.loads((plan.folder / page.NUMBERS).read_text())["runs"]
    assert first["arm"] == "selfplay"
    assert first["curves"]["held_out"] == {"steps": [0, 10, 20], "values": [0.3, 0.4, 0.5]}


def test_the_command_refuses_unknown_arms_and_a_report_of_nothing(tmp_path: Path) -> None:
    for more, part in ((["--arms", "none"], "no arm none"), (["--report-only"], "no run")):
        done = subprocess.run(
            [
                *(sys.executable, "-m", "trainer", "experiment", "learning"),
                *("--out", str(tmp_path), *more),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2
        assert part in done.stderr

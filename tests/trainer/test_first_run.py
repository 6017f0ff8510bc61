"""What ``preset=first_run`` is made of; the run itself is in verl/test_first_run.py."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from trainer.warmstart.examples import examples
from trainer.warmstart.programs import generate
from trainer.warmstart.settings import WarmStart, brief, model_key

pytest.importorskip("hydra")

from rich.console import Console

from trainer.cli import train
from trainer.configs import compose
from trainer.run.wiring import model_path, run_directory, wire


def wired(*overrides: str) -> Any:
    config = compose(["preset=first_run", *overrides])
    wire(config)
    return config


def test_levels_can_be_left_out() -> None:
    assert {one.level for one in islice(generate(1, 6, 2), 200)} == {1, 2}
    assert {one.level for one in islice(generate(1, 6), 200)} == {1, 2, 3}
    assert {one.level for one in islice(generate(1, 6, 1), 100)} == {1}


def test_examples_need_no_program_of_every_level() -> None:
    from trainer.warmstart.corpus import Sound

    one = Sound(
        source="def f(n: int) -> int:\n    return n + 1",
        inputs=("1", "2", "3", "4"),
        outputs=("2", "3", "4", "5"),
        between=((),) * 4,
        hint="add 1",
        steps=("add 1",),
        level=2,
    )
    assert len(list(islice(examples([one], WarmStart(), 1), 20))) == 20


def test_a_brief_warm_start_is_another_one() -> None:
    assert model_key(brief()) != model_key(WarmStart())


def test_the_model_is_beside_the_runs_and_brings_what_belongs_to_it(tmp_path: Path) -> None:
    config = wired(f"trainer.default_local_dir={tmp_path / 'mine'}")
    folder = Path(model_path(config))
    assert folder.parent == tmp_path / "warmstart"
    assert config.azr.prompts_dir == str(folder / "prompts")
    assert config.azr.seed_dataset == str(folder / "programs.jsonl")
    assert config.azr.code_f_seed_dataset == str(folder / "inductions.jsonl")
    assert config.azr.held_out_tasks == config.data.val_files == str(folder / "held_out.jsonl")
    once = config.copy()
    wire(config)
    assert config == once


def test_what_the_user_names_goes_before_what_belongs_to_the_model(tmp_path: Path) -> None:
    config = wired(f"azr.prompts_dir={tmp_path}", "azr.seed_dataset=builtin")
    assert config.azr.prompts_dir == str(tmp_path)
    assert Path(config.azr.seed_dataset).parent.name == "seeds"


def test_a_run_is_not_lost_for_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from trainer.report import page

    config = wired(f"trainer.default_local_dir={tmp_path}")
    train._report(config, Console())
    assert not (tmp_path / "report.html").exists()  # nothing was trained
    row = '{"step": 1, "metrics": {"pred_code_o/critic/rewards/mean": 0.5}}\n'
    (run_directory(config) / "metrics.jsonl").write_text(row)
    train._report(config, Console())
    assert (tmp_path / "report.html").is_file()
    assert "report.html" in capsys.readouterr().out.replace("\n", "")

    def fail(*_: Any) -> None:
        raise RuntimeError("no plots today")

    monkeypatch.setattr(page, "write_report", fail)
    train._report(config, Console())
    assert "no plots today" in capsys.readouterr().out

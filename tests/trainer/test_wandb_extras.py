"""A wandb run has tags and tables of samples, when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("omegaconf", reason="needs the extra 'trainer'")

from omegaconf import OmegaConf

from trainer.run.run_log import RunLog
from trainer.run.wandb_extras import tags

AZR = {
    "pred_data_mix_strategy": "max_new",
    "executor": "nsjail",
    "data_selection_strategy": {"valid_program_filter": "all"},
    "gen_data_probabilities_strategy": "uniform",
    "problem_types": ["code_i", "code_f"],
}


@pytest.mark.parametrize("own", [["paper", "7b", "code_i"], "paper, 7b"])
def test_tags_are_the_originals_and_ones_own(own: list[str] | str) -> None:
    config = OmegaConf.create({"azr": AZR, "trainer": {"wandb_tags": own}})
    first = ["codeio", "max_new", "executor-nsjail", "all", "uniform", "code_i", "code_f"]
    wanted = [*first, "paper", "7b"]
    assert list(tags(config)) == wanted
    assert list(tags(OmegaConf.create({"azr": AZR, "trainer": {"wandb_tags": None}}))) == first


class FakeWandb:
    """The module, as far as it is used."""

    def __init__(self) -> None:
        self.logged: list[tuple[Mapping[str, Any], int]] = []

    def Table(self, columns: list[str], data: list[list[Any]]) -> Any:
        assert all(len(row) == len(columns) for row in data)
        return (columns, data)

    def log(self, data: Mapping[str, Any], step: int) -> None:
        self.logged.append((data, step))


class Tracking:
    def __init__(self, **loggers: Any) -> None:
        self.logger = loggers

    def log(self, data: Mapping[str, Any], step: int) -> None: ...

    def finish(self, exit_code: int = 0) -> None: ...


def test_samples_become_tables_of_their_step(tmp_path: Path) -> None:
    wandb, log = FakeWandb(), RunLog(tmp_path, 0, 3, lambda _line: None)
    log.attach(Tracking(wandb=wandb, console=None))
    log.samples(2, {"gen_code_i": [{"reward": 0.5, "text": "a\ud800"}, {"status": "ok"}], "e": []})
    assert wandb.logged == [
        (
            {
                "samples/gen_code_i": (
                    ["step", "reward", "text", "status"],
                    [[2, 0.5, "a?", None], [2, None, None, "ok"]],
                )
            },
            2,
        )
    ]


def test_without_wandb_samples_are_files_alone(tmp_path: Path) -> None:
    log = RunLog(tmp_path, 0, 3, lambda _line: None)
    log.samples(1, {"gen_code_i": [{"reward": 0.5}]})
    log.attach(Tracking(console=None))
    log.samples(2, {"gen_code_i": [{"reward": 0.5}]})
    assert len(list((tmp_path / "samples").iterdir())) == 2


def test_a_real_table_takes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    table = wandb.Table(columns=["step", "text"], data=[[1, "x"], [2, None]])
    assert len(table.data) == 2

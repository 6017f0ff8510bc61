"""A base model with a tokenizer that has think tokens is refused, with what to do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

pytest.importorskip("hydra", reason="needs the extra 'trainer'")

from omegaconf import DictConfig
from rich.console import Console

from trainer.configs import compose
from trainer.run import wiring
from trainer.run.failures import ConfigurationProblem
from trainer.verl_adapter import preflight
from trainer.warmstart import tokens


@pytest.fixture(scope="module")
def config() -> DictConfig:
    return compose(["preset=qwen3_4b"])


class Tokenizer:
    def __init__(self, *tokens: str) -> None:
        self._tokens = tokens

    def get_vocab(self) -> Mapping[str, int]:
        return {token: number for number, token in enumerate(self._tokens)}


def test_a_name_on_the_hub_is_to_be_copied_edited_and_named(config: DictConfig) -> None:
    with pytest.raises(ConfigurationProblem) as raised:
        preflight._think_tokens(config, "Qwen/Qwen3-4B-Base", Tokenizer("a", "<think>"))
    sentence = str(raised.value)
    assert "hf download Qwen/Qwen3-4B-Base --local-dir models/Qwen3-4B-Base" in sentence
    assert "python -m trainer tools remove-think-tokens models/Qwen3-4B-Base" in sentence
    assert "actor_rollout_ref.model.path=models/Qwen3-4B-Base" in sentence


def test_a_folder_is_to_be_edited(config: DictConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationProblem) as raised:
        preflight._think_tokens(config, str(tmp_path), Tokenizer("<think>"))
    assert f"remove-think-tokens {tmp_path})" in str(raised.value)
    assert "download" not in str(raised.value)


def test_an_edited_tokenizer_and_a_model_that_knows_the_tokens_pass(config: DictConfig) -> None:
    preflight._think_tokens(config, "Qwen/Qwen3-4B-Base", Tokenizer("<", "think", ">"))
    kept = config.copy()
    kept.trainer.think_tokens = "keep"
    preflight._think_tokens(kept, "Qwen/Qwen3-4B", Tokenizer("<think>"))


def test_other_values_are_refused(config: DictConfig) -> None:
    other = config.copy()
    other.trainer.think_tokens = "yes"
    with pytest.raises(ConfigurationProblem, match="it is refuse or keep"):
        preflight._think_tokens(other, "x", Tokenizer())


def test_a_run_without_validation_says_how(
    config: DictConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    without = config.copy()
    wiring.wire(without)
    preflight._say_whether_it_validates(without, Console(width=300))
    assert "data.val_files is not set (python -m trainer tools prepare" in capsys.readouterr().out
    given = config.copy()
    given.data.val_files = "val.parquet"
    wiring.wire(given)
    preflight._say_whether_it_validates(given, Console(width=300))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("preset", ["first_run", "learning"])
def test_models_of_the_warm_start_know_their_tags(preset: str, tmp_path: Path) -> None:
    """They learned with the tags as tokens: a run of theirs is not told to take them out."""
    config = compose([f"preset={preset}", f"trainer.default_local_dir={tmp_path}"])
    wiring.wire(config)
    assert "<think>" in tokens._MARKS
    preflight._think_tokens(config, str(tmp_path), Tokenizer(*tokens._MARKS))

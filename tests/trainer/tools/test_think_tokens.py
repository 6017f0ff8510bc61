"""Qwen3's think tokens are taken out of a tokenizer's files, and come back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trainer.cli.app import main
from trainer.tools.remove_think_tokens import TokenizerFilesError, remove, revert

FILES: dict[str, Any] = {
    "tokenizer_config.json": {
        "added_tokens_decoder": {
            "1": {"content": "<|im_end|>", "special": True},
            "2": {"content": "<think>", "special": False},
            "3": {"content": "</think>", "special": False},
        },
        "additional_special_tokens": ["<|im_end|>", "<think>"],
        "chat_template": "{{ '<think>' }}",
    },
    "tokenizer.json": {
        "added_tokens": [
            {"id": 1, "content": "<|im_end|>"},
            {"id": 2, "content": "<think>"},
            {"id": 3, "content": "</think>"},
        ],
        "model": {"vocab": {"é": 0}},
    },
    "added_tokens.json": {"<|im_end|>": 1, "<think>": 2, "</think>": 3},
}

COMMAND = ("tools", "remove-think-tokens")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def read(model: Path, name: str) -> Any:
    return json.loads((model / name).read_text())


def test_only_the_think_tokens_go(model: Path) -> None:
    assert set(remove(model)) == set(FILES)
    config = read(model, "tokenizer_config.json")
    assert list(config["added_tokens_decoder"]) == ["1"]
    assert config["additional_special_tokens"] == ["<|im_end|>"]
    assert config["chat_template"] == FILES["tokenizer_config.json"]["chat_template"]
    tokenizer = read(model, "tokenizer.json")
    assert [token["content"] for token in tokenizer["added_tokens"]] == ["<|im_end|>"]
    assert tokenizer["model"] == {"vocab": {"é": 0}}
    assert read(model, "added_tokens.json") == {"<|im_end|>": 1}
    assert (model / "config.json").read_text() == "{}"


def test_the_originals_come_back_byte_for_byte(model: Path) -> None:
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    remove(model)
    assert set(revert(model)) == set(FILES)
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before


def test_a_second_removal_does_not_lose_the_originals(model: Path) -> None:
    remove(model)
    after = {path.name: path.read_bytes() for path in model.iterdir()}
    with pytest.raises(TokenizerFilesError, match="was changed before"):
        remove(model)
    assert {path.name: path.read_bytes() for path in model.iterdir()} == after


def test_a_broken_file_leaves_all_as_they_are(model: Path) -> None:
    (model / "added_tokens.json").write_text("{broken")
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    with pytest.raises(TokenizerFilesError, match=r"added_tokens\.json is no JSON"):
        remove(model)
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before


def test_what_cannot_be_done_is_said_in_one_line(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*COMMAND, str(model), "--revert"]) == 2
    assert "has no originals" in capsys.readouterr().err
    assert main([*COMMAND, str(tmp_path / "nowhere")]) == 2
    assert "has no tokenizer_config.json" in capsys.readouterr().err
    assert main([*COMMAND, str(model)]) == 0
    assert "changed" in capsys.readouterr().out
    assert main([*COMMAND, str(model), "--revert"]) == 0
    plain = model / "plain"
    plain.mkdir()
    (plain / "tokenizer_config.json").write_text("{}")
    assert main([*COMMAND, str(plain)]) == 2
    assert "has no think tokens" in capsys.readouterr().err


def test_a_real_tokenizer_spells_the_tags_afterwards(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers", reason="needs the extra 'trainer'")
    transformers = pytest.importorskip("transformers")
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        ["a thought"], tokenizers.trainers.BpeTrainer(initial_alphabet=alphabet)
    )
    backend.add_tokens(["<think>", "</think>"])
    transformers.PreTrainedTokenizerFast(tokenizer_object=backend).save_pretrained(tmp_path)
    text = "<think>a thought</think>"
    whole = transformers.AutoTokenizer.from_pretrained(tmp_path)(text)["input_ids"]
    remove(tmp_path)
    spelt = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ids = spelt(text)["input_ids"]
    assert len(ids) > len(whole)
    assert spelt.decode(ids) == text

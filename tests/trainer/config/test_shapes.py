"""Model shapes: parameter counts as published, and read from a config file."""

import json
from pathlib import Path

import pytest

from trainer.models.shapes import KNOWN, find_shape


@pytest.mark.parametrize(
    ("model", "billions"),
    [
        ("Qwen/Qwen2.5-Coder-1.5B", 1.54),
        ("Qwen/Qwen2.5-Coder-3B", 3.09),
        ("Qwen/Qwen2.5-7B", 7.62),
        ("Qwen/Qwen2.5-14B", 14.77),
        ("meta-llama/Llama-3.1-8B", 8.03),
        ("Qwen/Qwen3-4B-Base", 4.02),
    ],
)
def test_parameter_counts_are_the_published_ones(model: str, billions: float) -> None:
    shape = find_shape(model)
    assert shape is not None
    assert shape.parameters / 1e9 == pytest.approx(billions, abs=0.006)


def test_a_local_model_is_measured_by_its_config(tmp_path: Path) -> None:
    config = {
        "model_type": "qwen2",
        "hidden_size": 3584,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "intermediate_size": 18944,
        "vocab_size": 152064,
        "tie_word_embeddings": False,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert find_shape(str(tmp_path)) == KNOWN["Qwen/Qwen2.5-7B"]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"hidden_size": 1}'])
def test_an_unknown_kind_of_config_has_no_shape(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    assert find_shape(str(tmp_path)) is None


def test_the_cache_of_a_token_is_as_large_as_its_keys_and_values() -> None:
    assert KNOWN["Qwen/Qwen2.5-7B"].cache_bytes_per_token() == 2 * 28 * 4 * 128 * 2

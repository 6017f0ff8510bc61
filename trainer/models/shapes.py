"""Shapes of decoder-only transformers: how many parameters, and how large the key-value cache."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The sizes of a dense decoder with gated feed-forward layers (Llama, Qwen2, Qwen3)."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool
    """The output layer shares the embedding's weights."""
    attention_bias: bool = False
    head_norms: bool = False
    """Queries and keys are normalized per head (Qwen3)."""

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> Self:
        """Read Hugging Face's ``config.json``.

        Raises:
            KeyError: a size is missing: another kind of model.
        """
        family = str(config.get("model_type", ""))
        heads = int(config["num_attention_heads"])
        return cls(
            hidden=int(config["hidden_size"]),
            layers=int(config["num_hidden_layers"]),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=int(config.get("head_dim") or int(config["hidden_size"]) // heads),
            intermediate=int(config["intermediate_size"]),
            vocabulary=int(config["vocab_size"]),
            tied=bool(config.get("tie_word_embeddings", False)),
            attention_bias=family == "qwen2" or bool(config.get("attention_bias", False)),
            head_norms=family == "qwen3",
        )

    @property
    def layer_parameters(self) -> int:
        """Parameters of one layer."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention = self.hidden * (2 * queries + 2 * keys)
        bias = queries + 2 * keys if self.attention_bias else 0
        norms = 2 * self.hidden + (2 * self.head_dim if self.head_norms else 0)
        return attention + bias + norms + 3 * self.hidden * self.intermediate

    @property
    def parameters(self) -> int:
        """All parameters."""
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return self.layers * self.layer_parameters + embeddings + self.hidden

    def lora_parameters(self, rank: int) -> int:
        """Parameters of low-rank adapters of all linear layers but the output's."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention = 2 * (self.hidden + queries) + 2 * (self.hidden + keys)
        return self.layers * rank * (attention + 3 * (self.hidden + self.intermediate))

    def cache_bytes_per_token(self, value_bytes: int = 2) -> int:
        """Key-value cache of one token, over all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * value_bytes


KNOWN: Mapping[str, ModelShape] = {
    "Qwen/Qwen2.5-Coder-1.5B": ModelShape(1536, 28, 12, 2, 128, 8960, 151936, True, True),
    "Qwen/Qwen2.5-Coder-3B": ModelShape(2048, 36, 16, 2, 128, 11008, 151936, True, True),
    "Qwen/Qwen2.5-7B": ModelShape(3584, 28, 28, 4, 128, 18944, 152064, False, True),
    "Qwen/Qwen2.5-Coder-7B": ModelShape(3584, 28, 28, 4, 128, 18944, 152064, False, True),
    "Qwen/Qwen2.5-14B": ModelShape(5120, 48, 40, 8, 128, 13824, 152064, False, True),
    "Qwen/Qwen2.5-Coder-14B": ModelShape(5120, 48, 40, 8, 128, 13824, 152064, False, True),
    "meta-llama/Llama-3.1-8B": ModelShape(4096, 32, 32, 8, 128, 14336, 128256, False),
    "Qwen/Qwen3-4B-Base": ModelShape(2560, 36, 32, 8, 128, 9728, 151936, True, head_norms=True),
    # trainer/models/tiny.py; its vocabulary is at most this large.
    "tiny": ModelShape(64, 2, 2, 1, 32, 128, 1024, True, True),
    # trainer/warmstart/settings.py; likewise.
    "warm": ModelShape(128, 4, 4, 4, 32, 384, 512, True, True),
}
"""Models of the presets, for where their files are not at hand."""


def find_shape(model: str) -> ModelShape | None:
    """The shape of a model: from its ``config.json`` if ``model`` is a folder, else from the table.

    ``None`` if neither knows it.
    """
    file = Path(model).expanduser() / "config.json"
    if file.is_file():
        try:
            return ModelShape.of_config(json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
    return KNOWN.get(model)

"""A tiny causal language model for runs on processors: nothing is downloaded.

The tokenizer is trained on this project's own texts (the game's prompts and some of its sources),
so that prompts are short; the model is a random Qwen2 of about 150,000 parameters.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VOCABULARY = 1024
"""Most entries; the tokenizer may find fewer worth having. The model has exactly as many."""

_HIDDEN = 64
_LAYERS = 2
_HEADS = 2
_MARKER = "tiny_model.json"
_VERSION = 1

_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make(directory: Path, *, seed: int = 0, max_positions: int = 4096) -> Path:
    """Make the model in ``directory`` unless the same one is there already; return its path.

    ``max_positions``: longest sequence, prompt and response together. The same arguments give the
    same weights.
    """
    wanted = {"version": _VERSION, "seed": seed, "max_positions": max_positions}
    marker = directory / _MARKER
    if marker.is_file() and json.loads(marker.read_text()) == wanted:
        return directory
    building = directory.with_name(f".{directory.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    _build(building, seed, max_positions)
    (building / _MARKER).write_text(json.dumps(wanted))
    shutil.rmtree(directory, ignore_errors=True)
    building.rename(directory)
    return directory


def _build(directory: Path, seed: int, max_positions: int) -> None:
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = _tokenizer()
    tokenizer.save_pretrained(directory)
    torch.manual_seed(seed)
    config = Qwen2Config(
        # Exactly the tokenizer's size: veRL masks surplus entries in vLLM but not in the trainer,
        # and their log-probabilities would differ.
        vocab_size=len(tokenizer),
        hidden_size=_HIDDEN,
        intermediate_size=2 * _HIDDEN,
        num_hidden_layers=_LAYERS,
        num_attention_heads=_HEADS,
        num_key_value_heads=1,
        head_dim=_HIDDEN // _HEADS,
        max_position_embeddings=max_positions,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    Qwen2ForCausalLM(config).to(torch.float32).save_pretrained(directory)


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    end, start, stop = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[end, start, stop],
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=stop,
        pad_token=end,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = _CHAT_TEMPLATE
    return fast


def _texts() -> Iterator[str]:
    """Texts like prompts and answers: the templates, and Python."""
    game = Path(__file__).parents[1] / "game"
    for path in sorted(game.rglob("*.txt")):
        yield path.read_text()
    for path in sorted(game.rglob("*.py")):
        yield path.read_text()

"""The tokenizer: trained on the same text, with digits and the letters of strings kept apart.

What the game's format repeats (tags, fences) are single tokens. They are ordinary text and no
special tokens, so that decoding a response keeps them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_END, _START, _STOP = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
_MARKS = (
    "<think>", "</think>", "<answer>", "</answer>",
    "```python\n", "```input\n", "```output\n", "```message\n", "\n```",
    "\n```python\n", "\n```message\n", "\n```\n```input\n", "\n```\n```output\n",
    "\n```\n```message\n",
)  # fmt: skip
_PIECES = r"\d|, |[a-fA-F](?=[a-fA-F]*')| ?[A-Za-z_]+| ?[^\sA-Za-z_\d',]+|\s+|[',]"
"""Merges never cross these. The third kind: the letters of a short string in quotes."""

CHAT_TEMPLATE = "{% for message in messages %}<|im_start|>{{ message['content'] }}{% endfor %}"
"""No roles: there is one message, and it ends with the opening think tag."""


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Any:
    """A tokenizer of at most ``vocabulary`` entries, in transformers' form."""
    from tokenizers import (  # noqa: PLC0415 - absent where only the executor is installed
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
        trainers,
    )
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(_MARKS),
        initial_alphabet=alphabet,
        special_tokens=[_END, _START, _STOP],
        show_progress=False,
    )
    tokenizer.train_from_iterator(_without_marks(texts), trainer)
    tokenizer.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in _MARKS])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=_STOP,
        pad_token=_END,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def _without_marks(texts: Iterable[str]) -> Iterable[str]:
    for text in texts:
        for mark in _MARKS:
            text = text.replace(mark, "\n")  # noqa: PLW2901
        yield text

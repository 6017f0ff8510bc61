"""The tokenizer: bytes, and the pieces that are frequent in the same text.

It is the Qwen2 tokenizer of transformers, since that is what a model of this architecture is
loaded with, whatever else its folder says: any other rule of cutting up text would be replaced by
Qwen2's when the model plays. So that digits and the letters of strings stay apart, no two bytes are
ever merged; words, tags and fences are added tokens, ordinary text and not special, so that
decoding a response keeps them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Any

_END, _START, _STOP = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
_MARKS = (
    "<think>", "</think>", "<answer>", "</answer>",
    "```python\n", "```input\n", "```output\n", "```message\n", "\n```",
    "\n```python\n", "\n```message\n", "\n```\n```input\n", "\n```\n```output\n",
    "\n```\n```message\n",
)  # fmt: skip
_PIECES = re.compile(
    r"def f\(|: (?:int|str|list\[int\])|\) -> (?:int|str|bool|list\[int\]):\n    "
    r"|\d|, | ?[A-Za-z_]+| ?[^\sA-Za-z_\d',]+|\s+|[',]"
)
"""What may become a token."""
_OF_STRINGS = re.compile(r" ?[a-fA-F]+")
"""Pieces of the letters that strings are made of, which are to stay apart everywhere."""

CHAT_TEMPLATE = "{% for message in messages %}<|im_start|>{{ message['content'] }}{% endfor %}"
"""No roles: there is one message, and it ends with the opening think tag."""


def make_tokenizer(texts: Iterable[str], vocabulary: int) -> Any:
    """A tokenizer of at most ``vocabulary`` entries; the most frequent pieces have one each."""
    from tokenizers import AddedToken, pre_tokenizers
    from transformers import Qwen2Tokenizer

    names = [_END, _START, _STOP, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Qwen2Tokenizer(
        vocab={name: number for number, name in enumerate(names)},
        merges=[],
        unk_token=_END,
        eos_token=_STOP,
        pad_token=_END,
        additional_special_tokens=[_START],
        clean_up_tokenization_spaces=False,
    )
    pieces = _frequent(texts, vocabulary - len(names) - len(_MARKS))
    tokenizer.add_tokens(
        [AddedToken(text, special=False, normalized=False) for text in (*_MARKS, *pieces)]
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _frequent(texts: Iterable[str], count: int) -> list[str]:
    found: Counter[str] = Counter()
    for text in _without_marks(texts):
        found.update(_PIECES.findall(text))
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    fitting = (text for text, _ in ranked if len(text) > 1 and not _OF_STRINGS.fullmatch(text))
    return list(islice(fitting, count))


def _without_marks(texts: Iterable[str]) -> Iterable[str]:
    for text in texts:
        for mark in _MARKS:
            text = text.replace(mark, "\n")  # noqa: PLW2901
        yield text

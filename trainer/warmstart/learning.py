"""A Qwen2 of a few million parameters, and plain supervised learning."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from trainer.game.tasks.task import TaskType
from trainer.warmstart.corpus import TASK_TYPES, Corpus
from trainer.warmstart.examples import Example, examples
from trainer.warmstart.forms import INT, LIST, STR, value
from trainer.warmstart.settings import ModelSettings, TrainingSettings, WarmStart, careful
from trainer.warmstart.tokens import make_tokenizer

_TOKENIZER_EXAMPLES = 4000
_POOL = 1024
"""Examples that are drawn together; batches are made of those of like length."""
_WARM_UP = 0.04
_CLIP = 1.0
_USUAL_RESPONSE = 16
"""Tokens of a response whose tokens have weight 1."""


class Encoded(NamedTuple):
    """An example as tokens."""

    tokens: list[int]
    prompt: int
    """Tokens of the prompt, which come first."""


class Progress(NamedTuple):
    """Progress of the training."""

    tokens: int
    wanted: int
    loss: float
    """Mean over the responses' tokens of the last batches, in nats."""
    seconds: float


def train(
    corpus: Corpus, settings: WarmStart, folder: Path, say: Callable[[Progress], None]
) -> None:
    """Train a model from nothing and write it with its tokenizer, in Hugging Face format.

    The same corpus, settings, libraries and machine give the same weights.
    """
    import torch

    tokenizer = train_tokenizer(corpus, settings)
    torch.set_num_threads(settings.training.threads)
    torch.manual_seed(settings.training.seed)
    model = make_model(settings.model, tokenizer)
    for batches, how in _courses(corpus, settings, tokenizer):
        _learn(model, batches, how, say)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)


def _courses(
    corpus: Corpus, settings: WarmStart, tokenizer: Any
) -> Iterator[tuple[Iterator[list[Encoded]], TrainingSettings]]:
    """Courses in their order; each goes from a warm-up to small steps."""
    training = settings.training
    thoughtful = careful(settings)
    answers = replace(settings, training=replace(thoughtful.training, proposer_share=0.0))

    def batches(of: WarmStart, seed: int, types: Sequence[TaskType]) -> Iterator[list[Encoded]]:
        return _batches(examples(corpus.training, of, seed, types), tokenizer, training)

    yield (
        _copies(tokenizer, training),
        replace(training, tokens=training.copied_tokens, prompt_weight=0.0),
    )
    yield (
        batches(answers, training.seed, (TaskType.DEDUCTION,)),
        replace(training, tokens=training.deduced_tokens),
    )
    yield batches(thoughtful, training.seed + 1, TASK_TYPES), training
    yield (
        batches(settings, training.seed + 2, TASK_TYPES),
        replace(training, tokens=training.mixed_tokens, learning_rate=training.mixed_learning_rate),
    )


def train_tokenizer(corpus: Corpus, settings: WarmStart) -> Any:
    """The tokenizer, with pieces of careful examples."""
    drawn = examples(corpus.training, careful(settings), settings.training.seed)
    texts = map(_text, islice(drawn, _TOKENIZER_EXAMPLES))
    return make_tokenizer(texts, settings.model.vocabulary)


def make_model(settings: ModelSettings, tokenizer: Any) -> Any:
    """The model with random weights; as many entries as the tokenizer has."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden,
        intermediate_size=settings.feed_forward,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        head_dim=settings.hidden // settings.heads,
        max_position_embeddings=settings.max_positions,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        # Width to the power of -1/2: with Qwen2's 0.02, heads that copy form much later.
        initializer_range=settings.hidden**-0.5,
        attn_implementation="sdpa",
        dtype="float32",
    )
    return Qwen2ForCausalLM(config).to(torch.float32)


def encode(example: Example, tokenizer: Any) -> Encoded:
    """Tokens of the prompt as the chat template has it, of the response, and of its end."""
    messages = [{"role": m.role, "content": m.content} for m in example.messages]
    prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    answer = tokenizer(example.response, add_special_tokens=False)["input_ids"]
    return Encoded([*ids, *answer, tokenizer.eos_token_id], len(ids))


def _text(example: Example) -> str:
    return "".join(message.content for message in example.messages) + example.response


def _batches(
    drawn: Iterator[Example], tokenizer: Any, settings: TrainingSettings
) -> Iterator[list[Encoded]]:
    """Batches of like length, of at most ``batch_tokens`` tokens with padding, in random order."""
    import torch

    while True:
        pool = sorted(
            (encode(one, tokenizer) for one in islice(drawn, _POOL)), key=lambda e: len(e.tokens)
        )
        batches: list[list[Encoded]] = [[]]
        for one in pool:
            if (len(batches[-1]) + 1) * len(one.tokens) > settings.batch_tokens:
                batches.append([])
            batches[-1].append(one)
        for at in torch.randperm(len(batches)).tolist():
            yield batches[at]


def _copies(tokenizer: Any, settings: TrainingSettings) -> Iterator[list[Encoded]]:
    """Batches of a few random values that stand there twice; the second time is the response.

    Heads that copy form slowly from tasks, and no task can be solved without them.
    """
    rng = random.Random(settings.seed)
    batch: list[Encoded] = []
    while True:
        values = [value(rng.choice((INT, STR, LIST)), rng) for _ in range(rng.randint(1, 4))]
        ids = tokenizer("\n".join(values), add_special_tokens=False)["input_ids"]
        once = [*ids, tokenizer.eos_token_id]
        if sum(len(one.tokens) for one in batch) + 2 * len(once) > settings.copied_batch_tokens:
            yield batch
            batch = []
        batch.append(Encoded([*once, *once], len(once)))


def _learn(
    model: Any,
    batches: Iterator[list[Encoded]],
    settings: TrainingSettings,
    say: Callable[[Progress], None],
) -> None:
    import torch

    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=settings.learning_rate,
        betas=(0.9, 0.95),
        weight_decay=0.01,
        fused=True,
    )
    started, seen = time.monotonic(), 0
    losses: list[float] = []
    model.train()
    while seen < settings.tokens:
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * _schedule(seen / settings.tokens)
        batch = next(batches)
        loss, of_responses = _loss(model, batch, settings.prompt_weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
        optimizer.step()
        seen += sum(len(one.tokens) for one in batch)
        losses = [*losses[-49:], of_responses]
        say(Progress(seen, settings.tokens, sum(losses) / len(losses), time.monotonic() - started))
    model.eval()


def _schedule(share: float) -> float:
    """Warm up, then a cosine to a twentieth."""
    if share < _WARM_UP:
        return max(share, 0.002) / _WARM_UP
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * (share - _WARM_UP) / (1 - _WARM_UP)))


def _of_response(tokens: int) -> float:
    """Weight of a response's token: a response counts by the root of its length."""
    return float((_USUAL_RESPONSE / tokens) ** 0.5)


def _loss(model: Any, batch: Sequence[Encoded], prompt_weight: float) -> tuple[Any, float]:
    """Weighted mean over tokens, and the plain mean over those of responses."""
    import torch
    from torch.nn.functional import cross_entropy

    width = max(len(one.tokens) for one in batch)
    ids = torch.zeros((len(batch), width), dtype=torch.long)
    weights = torch.zeros((len(batch), width))
    responses = torch.zeros((len(batch), width), dtype=torch.bool)
    for row, one in enumerate(batch):
        ids[row, : len(one.tokens)] = torch.tensor(one.tokens)
        weights[row, : one.prompt] = prompt_weight
        # Else the few tokens of an answer would hardly count beside a proposal's many.
        weights[row, one.prompt : len(one.tokens)] = _of_response(len(one.tokens) - one.prompt)
        responses[row, one.prompt : len(one.tokens)] = True
    # Padding is on the right, where a causal model does not look; no mask is needed.
    logits = model(input_ids=ids).logits[:, :-1]
    targets, weights = ids[:, 1:], weights[:, 1:]
    each = cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    each = each.view_as(targets)
    loss = (each * weights).sum() / weights.sum()
    return loss, float(each.detach()[responses[:, 1:]].mean())

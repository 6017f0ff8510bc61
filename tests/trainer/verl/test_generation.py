"""Sampling on processors, and the tiny model that is sampled from."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'trainer'")
pytest.importorskip("transformers")

from trainer.models import tiny  # noqa: E402 - after the skips
from trainer.models.generation import Prompt, TransformersGenerator  # noqa: E402

pytestmark = [
    pytest.mark.verl,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore"),  # transformers' own
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("tiny") / "model", seed=3, max_positions=256)


@pytest.fixture(scope="module")
def generator(model: Path) -> TransformersGenerator:
    return TransformersGenerator(str(model), seed=1)


def prompts() -> list[Prompt]:
    return [
        Prompt([5, 6, 7], 30, seed=11),
        Prompt(list(range(4, 44)), 20, seed=12),
        Prompt([9], 25, temperature=0.0),
        Prompt([9, 8], 25, temperature=0.5, seed=14),
        Prompt([300], 1, seed=15),
    ]


def test_a_response_does_not_depend_on_what_else_is_in_the_batch(
    generator: TransformersGenerator,
) -> None:
    together = generator.generate(prompts())
    for prompt, completion in zip(prompts(), together, strict=True):
        (alone,) = generator.generate([prompt])
        assert alone.token_ids == completion.token_ids
        assert alone.log_probs == pytest.approx(completion.log_probs, abs=1e-5)
        assert len(completion.token_ids) <= prompt.max_tokens


@torch.no_grad()
def test_log_probabilities_are_the_models(generator: TransformersGenerator, model: Path) -> None:
    from transformers import AutoModelForCausalLM

    reference: Any = AutoModelForCausalLM.from_pretrained(model)
    for prompt, completion in zip(prompts(), generator.generate(prompts()), strict=True):
        ids = torch.tensor([[*prompt.token_ids, *completion.token_ids]])
        logits = reference(ids).logits[0, len(prompt.token_ids) - 1 : -1]
        wanted = (logits / (prompt.temperature or 1.0)).log_softmax(-1)
        chosen = wanted.gather(1, torch.tensor(completion.token_ids).unsqueeze(1)).squeeze(1)
        assert completion.log_probs == pytest.approx(chosen.tolist(), abs=1e-5)


def test_sampling_follows_the_distribution(generator: TransformersGenerator) -> None:
    seeds = range(4000)
    drawn = Counter(
        completion.token_ids[0]
        for batch in itertools.batched(seeds, 500)
        for completion in generator.generate([Prompt([5, 6], 1, seed=seed) for seed in batch])
    )
    (greedy,) = generator.generate([Prompt([5, 6], 1, temperature=0.0)])
    (token,) = greedy.token_ids
    expected = len(seeds) * torch.tensor(greedy.log_probs[0]).exp().item()
    assert drawn[token] == pytest.approx(expected, abs=5 * expected**0.5)
    assert len(drawn) > 100


def test_new_weights_are_used(model: Path) -> None:
    generator = TransformersGenerator(str(model), seed=1)
    before = generator.generate([Prompt([5], 20, temperature=0.0)])
    weights = {
        name: tensor + 0.05 * torch.randn_like(tensor)
        for name, tensor in generator._model.state_dict().items()
    }
    generator.load(weights)
    assert generator.generate([Prompt([5], 20, temperature=0.0)]) != before
    with pytest.raises(ValueError, match="not_there"):
        generator.load({"not_there": torch.zeros(1)})


def test_tiny_model_is_made_once_and_fits_its_tokenizer(model: Path) -> None:
    from transformers import AutoConfig, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    config = AutoConfig.from_pretrained(model)
    assert config.vocab_size == len(tokenizer)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "def f(x):\n    return 'é' * 2"}],
        tokenize=False,
        add_generation_prompt=True,
    )
    assert text.startswith("<|im_start|>user\ndef f(x):")
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    before = (model / "model.safetensors").stat().st_mtime_ns
    tiny.make(model, seed=3, max_positions=256)
    assert (model / "model.safetensors").stat().st_mtime_ns == before
    tiny.make(model, seed=4, max_positions=256)
    assert (model / "model.safetensors").stat().st_mtime_ns != before
    tiny.make(model, seed=3, max_positions=256)

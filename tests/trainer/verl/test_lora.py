"""Adapters are part of a converted model, and so are the templates that it was trained with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.support.runs import LETTERS, needs_verl, train
from trainer.cli.app import main
from trainer.run.game import ABSOLUTE_ZERO
from trainer.tools.convert_to_hf import _keep_prompt
from trainer.tools.lora import AdapterError, merge

torch = pytest.importorskip("torch", reason="needs the extra 'trainer'")
safetensors = pytest.importorskip("safetensors.torch")

Q, K = "model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.k_proj"
TEMPLATE = "{%- for message in messages -%}{{- message['content'] -}}{%- endfor -%}"


def adapters(folder: Path, tensors: dict[str, Any], **config: Any) -> Path:
    folder.mkdir()
    named = {f"base_model.model.{name}.weight": tensor for name, tensor in tensors.items()}
    safetensors.save_file(named, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def weights(folder: Path, *files: dict[str, Any]) -> Path:
    folder.mkdir()
    for number, tensors in enumerate(files):
        path = folder / f"model-{number}.safetensors"
        safetensors.save_file(tensors, path, metadata={"format": "pt"})
    return folder


def test_a_weight_becomes_the_weight_and_its_adapters_product(tmp_path: Path) -> None:
    torch.manual_seed(1)
    w, other, a, b = (torch.randn(size) for size in ((6, 4), (5, 4), (2, 4), (6, 2)))
    model = weights(tmp_path / "model", {f"{Q}.weight": w}, {f"{K}.weight": other})
    given = adapters(tmp_path / "a", {f"{Q}.lora_A": a, f"{Q}.lora_B": b}, r=2, lora_alpha=8)
    assert merge(model, given) == 1
    merged = safetensors.load_file(model / "model-0.safetensors")[f"{Q}.weight"]
    assert torch.allclose(merged, w + 4 * (b @ a), atol=1e-6)
    assert torch.equal(safetensors.load_file(model / "model-1.safetensors")[f"{K}.weight"], other)
    with safetensors.safe_open(model / "model-0.safetensors", framework="pt") as opened:
        assert opened.metadata() == {"format": "pt"}


def test_merged_weights_answer_as_peft_does(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(2)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 50}
    config = transformers.Qwen2Config(**sizes, **heads, tie_word_embeddings=True)
    plain = transformers.AutoModelForCausalLM.from_config(config)
    plain.save_pretrained(tmp_path / "model")
    options = peft.LoraConfig(
        r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False
    )
    trained = peft.get_peft_model(plain, options)
    trained.save_pretrained(tmp_path / "adapters")
    tokens = torch.arange(10)[None]
    with torch.no_grad():
        wanted = trained.eval()(tokens).logits
        assert merge(tmp_path / "model", tmp_path / "adapters") == 14
        merged = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
        assert torch.allclose(merged(tokens).logits, wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("names", "config", "says"),
    [
        ((f"{Q}.lora_A", f"{Q}.lora_B"), {"r": 2, "lora_alpha": 0}, "lora_train_meta.json"),
        ((f"{Q}.lora_A", f"{Q}.lora_B"), {}, "does not say by how much"),
        ((f"{Q}.lora_A",), {"r": 2, "lora_alpha": 2}, "one half of an adapter"),
        ((f"{K}.lora_A", f"{K}.lora_B"), {"r": 2, "lora_alpha": 2}, "has no weight model.layers"),
        ((f"{Q}.bias",), {"r": 2, "lora_alpha": 2}, "holds no adapter"),
    ],
)
def test_adapters_that_would_be_lost_are_an_error(
    tmp_path: Path, names: tuple[str, ...], config: dict[str, int], says: str
) -> None:
    model = weights(tmp_path / "model", {f"{Q}.weight": torch.ones(2, 2)})
    given = adapters(tmp_path / "a", {name: torch.ones(2, 2) for name in names}, **config)
    with pytest.raises(AdapterError, match=says):
        merge(model, given)


def test_what_stood_around_a_question_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    actor, model = tmp_path / "global_step_1" / "actor", tmp_path / "model"
    actor.mkdir(parents=True)
    model.mkdir()
    _keep_prompt(actor, model)
    assert "does not say which prompts" in capsys.readouterr().err
    config = {
        "azr": {"prompt_set": "original"},
        "reward_fn": {},
        "trainer": {"game_class": ABSOLUTE_ZERO},
    }
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    _keep_prompt(actor, model)
    prompt = (model / "prompt_template.txt").read_text()
    assert prompt.startswith("A conversation between User and Assistant. The user asks")
    assert prompt.endswith("User: {question}\nAssistant: <think>")


@needs_verl
@pytest.mark.verl
@pytest.mark.timeout(900)
def test_a_run_with_adapters_becomes_a_model_with_its_template(tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    train(
        run,
        *(LETTERS, "trainer.total_training_steps=2", "trainer.save_freq=2"),
        *("actor_rollout_ref.model.lora_rank=8", "actor_rollout_ref.model.lora_alpha=16"),
        "actor_rollout_ref.model.lora.merge=true",
        f'actor_rollout_ref.model.custom_chat_template="{TEMPLATE}"',
    )
    assert main(["tools", "convert-to-hf", str(run), str(out)]) == 0
    made = safetensors.load_file(out / "model.safetensors")[f"{Q}.weight"].float()
    start = safetensors.load_file(run / "model" / "model.safetensors")[f"{Q}.weight"]
    a, b = adapters_of(run / "global_step_2" / "actor" / "model_world_size_1_rank_0.pt")
    change = 2 * (b @ a)
    # Rounded to bfloat16.
    assert (made - start - change).norm() < 0.5 * change.norm()
    assert not (out / "lora_adapter").exists()
    from transformers import AutoTokenizer

    assert AutoTokenizer.from_pretrained(out).chat_template == TEMPLATE


def adapters_of(shard: Path) -> list[Any]:
    loaded = torch.load(shard, weights_only=False)
    found = [
        next(value for name, value in loaded.items() if f"{Q}.lora_{half}" in name) for half in "AB"
    ]
    return [value.full_tensor() if hasattr(value, "full_tensor") else value for value in found]

"""Adapters are part of a converted model, and so are the templates that it was trained with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.evaluation.support import data
from tests.trainer.support.runs import LETTERS, metrics, needs_verl, train
from trainer.cli.app import main
from trainer.run.checkpoints import complete_steps
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


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with adapters, evaluated after each step; a random model gets no better."""
    folder = tmp_path_factory.mktemp("lora")
    output = train(
        folder / "run",
        *(LETTERS, "trainer.total_training_steps=3", "trainer.save_freq=100"),
        *("actor_rollout_ref.model.lora_rank=8", "actor_rollout_ref.model.lora_alpha=16"),
        "actor_rollout_ref.model.lora.merge=true",
        f'actor_rollout_ref.model.custom_chat_template="{TEMPLATE}"',
        *("trainer.evaluate_every=1", "trainer.evaluate_benchmarks=[humaneval,cruxeval_o]"),
        *(f"trainer.evaluate_data={data(folder / 'data')}", "trainer.evaluate_limit=2"),
        *("trainer.best_by=eval/mean", "trainer.patience=1", "trainer.max_actor_ckpt_to_keep=1"),
        "data.max_prompt_length=600",
    )
    assert "eval/mean was not better than 0.0000 of step 1 in 1 validations" in output
    return folder / "run"


@needs_verl
@pytest.mark.verl
@pytest.mark.timeout(900)
def test_evaluations_end_a_run_that_gets_no_better_and_the_best_checkpoint_stays(run: Path) -> None:
    seen = metrics(run)
    assert list(seen) == [1, 2]
    for step, values in seen.items():
        assert {name: x for name, x in values.items() if name.startswith("eval/")} == {
            "eval/humaneval": 0, "eval/cruxeval_o": 0, "eval/mean": 0,
        }  # fmt: skip
        folder = run / "evaluations" / f"step_{step}"
        assert (folder / "report.html").is_file()
        texts = (folder / "model" / "generations.jsonl").read_text().splitlines()
        assert [len(json.loads(text)["texts"]) for text in texts] == [1] * 4
    best = json.loads((run / "best.json").read_text())
    assert (best["step"], best["metric"], best["value"]) == (1, "eval/mean", 0)
    assert complete_steps(run) == (1, 2)


@needs_verl
@pytest.mark.verl
@pytest.mark.timeout(900)
def test_a_run_with_adapters_becomes_a_model_with_its_template(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
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

"""``--dry-run``: what a run would need is said, and nothing that the machine cannot have is kept
back."""

from __future__ import annotations

from functools import cache

import pytest

pytest.importorskip("hydra", reason="needs the extra 'trainer'")

from omegaconf import DictConfig

from trainer.cli.app import main
from trainer.configs import compose
from trainer.models.shapes import KNOWN, find_shape
from trainer.run.plan import checkpoint_bytes, describe, gpu_bytes, memory
from trainer.run.wiring import wire


@cache
def composed(name: str) -> DictConfig:
    return compose([f"preset={name}"])


def config_of(name: str) -> DictConfig:
    return composed(name).copy()


def plan(config: DictConfig) -> str:
    wire(config)
    return describe(config).split("# Plan\n")[1]


def test_what_is_missing_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of("qwen2.5_7b")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    text = plan(config)
    assert "note: this run does not validate: data.val_files is not set" in text
    assert "prepare-validation --cruxeval hub --livecodebench hub" in text
    assert "note: training needs the package flash-attn, which is not installed here" in text
    assert "Ray reserves 17" in text
    assert "and one more is there while it is saved: 255 GiB" in text
    assert "think tokens" not in text


def test_what_is_there_is_not_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of("qwen2.5_7b")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    config.data.val_files = "val.parquet"
    text = plan(config)
    assert "does not validate" not in text
    assert "flash-attn" not in text


def test_qwen3_is_told_of_its_tokenizer() -> None:
    assert "remove-think-tokens FOLDER" in plan(config_of("qwen3_4b"))


@pytest.mark.parametrize(
    ("preset", "gb", "fits"),
    [
        ("single_gpu_24gb", 24, True),
        ("single_gpu_24gb", 12, False),
        ("single_gpu_48gb", 40, True),
        ("qwen2.5_7b", 80, True),
        ("qwen2.5_7b", 48, False),
        ("qwen2.5_7b", 141, True),
    ],
)
def test_memory_is_counted_for_the_gpu_that_is_named(preset: str, gb: int, fits: bool) -> None:
    config = config_of(preset)
    config.trainer.gpu_memory_gb = gb
    text = plan(config)
    assert f"of {gb} GB" in text
    assert (f"does not fit into {gb} GB" not in text) is fits
    if not fits:
        assert "use_fused_kernels=true" in text


def test_the_command_takes_the_memory(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["preset=qwen2.5_coder_3b", "--dry-run", "--gpu-memory", "24"])
    assert code == 0
    assert "2 GPUs of 24 GB" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--gpu-memory", "24"], "--gpu-memory is for --dry-run"),
        (["--dry-run", "--gpu-memory", "0"], "--gpu-memory is 0, which is no GPU's"),
        (["--dry-run", "--gpu-memory", "nan"], "--gpu-memory is nan"),
    ],
)
def test_memory_that_cannot_be(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["preset=cpu_tiny", *arguments]) == 2
    assert says in capsys.readouterr().out


def test_adapters_offload_and_fused_kernels_need_less() -> None:
    config = config_of("single_gpu_48gb")
    shape = KNOWN["Qwen/Qwen2.5-Coder-3B"]
    small = memory(config, shape)
    assert small.kept == 0
    assert small.gradients == 4 * shape.lora_parameters(64)
    assert checkpoint_bytes(config, shape) < 4.5 * shape.parameters
    config.actor_rollout_ref.model.lora_rank = 0
    config.actor_rollout_ref.model.use_fused_kernels = False
    config.actor_rollout_ref.actor.fsdp_config.param_offload = False
    large = memory(config, shape)
    assert large.kept == large.weights
    assert large.activations - small.activations > 8192 * shape.vocabulary * 10
    assert large.training > gpu_bytes(config)
    assert checkpoint_bytes(config, shape) == 12 * shape.parameters


def test_adapters_have_as_many_parameters_as_peft_makes() -> None:
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 50}
    config = transformers.Qwen2Config(**sizes, **heads)
    model = transformers.AutoModelForCausalLM.from_config(config)
    lora = peft.get_peft_model(model, peft.LoraConfig(r=8, target_modules="all-linear"))
    trained = sum(p.numel() for p in lora.parameters() if p.requires_grad)
    from trainer.models.shapes import ModelShape

    assert ModelShape.of_config(config.to_dict()).lora_parameters(8) == trained


def test_weights_of_several_nodes_are_spread_over_one() -> None:
    config = config_of("multi_node")
    shape = find_shape("Qwen/Qwen2.5-14B")
    assert shape is not None
    assert memory(config, shape).weights == 4 * shape.parameters / 8

"""Configuration: presets compose; every key is known, explained, and has the code's default."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("hydra", reason="needs the extra 'trainer'")
pytest.importorskip("omegaconf")

from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel

from trainer import configs
from trainer.configs import compose, game_settings, presets
from trainer.configs.sizes import longest_sequence
from trainer.game.settings import AzrSettings, GameSettings, RewardFnSettings
from trainer.run.plan import describe, gpu_bytes, memory, step_cost
from trainer.run.wiring import wire

FOLDER = Path(configs.__file__).parent
GPU_PRESETS = [name for name in presets() if not name.startswith("cpu_")]
ADVICE = (
    "note: this run does not validate",
    "note: seed sets without a file are made by the model",
    "note: training needs the package flash-attn, which is not installed here",
    "note: a run refuses the tokenizer of Qwen3's base models as it is",
    "note: programs run on the node of the trainer only",
)
"""All that ``--dry-run`` may note of a preset; any other note names what cannot be."""
PUBLISHED = {
    "qwen2.5_7b": ("Qwen/Qwen2.5-7B", 4),
    "qwen2.5_14b": ("Qwen/Qwen2.5-14B", 8),
    "qwen2.5_coder_3b": ("Qwen/Qwen2.5-Coder-3B", 2),
    "qwen2.5_coder_7b": ("Qwen/Qwen2.5-Coder-7B", 4),
    "qwen2.5_coder_14b": ("Qwen/Qwen2.5-Coder-14B", 8),
    "llama3.1_8b": ("meta-llama/Llama-3.1-8B", 4),
    "qwen3_4b": ("Qwen/Qwen3-4B-Base", 2),
}


@cache
def untouched(name: str) -> DictConfig:
    return compose([f"preset={name}"])


def composed(name: str) -> DictConfig:
    """Composing takes a second: once per preset."""
    return untouched(name).copy()


def azr_yaml() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / "azr.yaml").read_text())
    return loaded


def leaves(node: object, prefix: str = "") -> list[str]:
    if not isinstance(node, dict) or not node:
        return [prefix.rstrip(".")]
    return [leaf for key, value in node.items() for leaf in leaves(value, f"{prefix}{key}.")]


def model_keys(model: type[BaseModel], prefix: str = "") -> set[str]:
    keys = set()
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            keys |= model_keys(inner, f"{prefix}{name}.")
        else:
            keys.add(f"{prefix}{name}")
    return keys


@pytest.mark.parametrize("name", presets())
def test_every_preset_composes_and_can_be_described(name: str) -> None:
    config = composed(name)
    wire(config)
    text = describe(config)
    assert f"experiment_name: {name}" in text
    assert "optimizer steps: 1, on" in text
    notes = [line for line in text.splitlines() if line.startswith("note: ")]
    assert [note for note in notes if not note.startswith(ADVICE)] == []


@pytest.mark.parametrize("name", presets())
def test_presets_set_only_keys_that_exist(name: str) -> None:
    """A misspelt key in a preset would otherwise be added in silence."""
    known = set(leaves(OmegaConf.to_container(composed("cpu_tiny"), resolve=False)))
    known |= {"ray_kwargs.ray_init.address"}
    known |= {"actor_rollout_ref.model.override_config.attn_implementation"}  # the model's own
    for file in (FOLDER / "preset" / f"{name}.yaml", *(FOLDER / "base").glob("*.yaml")):
        keys = set(leaves(yaml.safe_load(file.read_text()))) - {"defaults"}
        assert keys <= known, file


@pytest.mark.parametrize(("name", "model", "gpus"), [(k, *v) for k, v in PUBLISHED.items()])
def test_published_setups_have_the_published_sizes(name: str, model: str, gpus: int) -> None:
    config = composed(name)
    wire(config)
    assert config.actor_rollout_ref.model.path == model
    assert (config.trainer.nnodes, config.trainer.n_gpus_per_node) == (1, gpus)
    assert config.data.train_batch_size == 64
    assert config.actor_rollout_ref.actor.ppo_mini_batch_size == 384
    assert (config.data.max_prompt_length, config.data.max_response_length) == (6144, 8096)
    assert config.actor_rollout_ref.actor.optim.lr == 1e-6
    is_main = name == "qwen3_4b"  # the only model that the newer branch alone has a script for
    actor = config.actor_rollout_ref.actor
    assert (actor.clip_ratio_low, actor.clip_ratio_high) == (0.2, 0.28 if is_main else 0.2)
    assert actor.entropy_coeff == (0.0 if is_main else 0.001)
    assert actor.optim.weight_decay == (0.0 if is_main else 0.01)
    azr = game_settings(config).azr
    assert azr.advantage.weighting == "token"
    assert azr.reward.n_samples == 8
    assert azr.data_selection_strategy.max_programs == 16384
    assert azr.data_selection_strategy.content_max_length == (5600 if is_main else 8096)
    assert azr.advantage.loss_rows == (8 if is_main else 16)
    assert azr.prompt_set == "original"
    assert azr.data_selection_strategy.seed_batch_factor == (1 if "llama" in name else 4)
    multiple = azr.reward.generation_reward_config.reject_multiple_functions
    assert multiple is (name not in {"llama3.1_8b", "qwen3_4b"})


def test_one_switch_has_the_settings_of_the_newer_branch() -> None:
    config = compose(["preset=qwen2.5_7b", "base=main"])
    actor = config.actor_rollout_ref.actor
    assert (actor.clip_ratio_low, actor.clip_ratio_high, actor.clip_ratio_c) == (0.2, 0.28, 3.0)
    assert (actor.entropy_coeff, actor.optim.weight_decay) == (0.0, 0.0)
    assert config.azr.data_selection_strategy.content_max_length == 5600


@pytest.mark.parametrize("name", GPU_PRESETS)
def test_gpu_presets_fit_into_their_gpus(name: str) -> None:
    from trainer.models.shapes import find_shape

    config = composed(name)
    shape = find_shape(config.actor_rollout_ref.model.path)
    assert shape is not None
    need = memory(config, shape)
    assert need.training < 0.94 * gpu_bytes(config)
    assert need.generating < 0.94 * gpu_bytes(config)
    assert need.cache_tokens > 10 * longest_sequence(config)


def test_azr_yaml_has_every_setting_and_no_other() -> None:
    assert set(azr_yaml()) == {"azr", "reward_fn"}
    for section, model in (("azr", AzrSettings), ("reward_fn", RewardFnSettings)):
        wanted = model_keys(model)
        found = set(leaves(azr_yaml()[section]))
        assert found == wanted


def test_azr_yaml_has_the_defaults_of_the_code() -> None:
    assert GameSettings(**azr_yaml()) == GameSettings()


@pytest.mark.parametrize("file", ["azr.yaml", "trainer.yaml"])
def test_every_key_of_the_game_has_a_comment(file: str) -> None:
    """The comment stands above the key, or above the group of keys that it belongs to."""
    explained = False
    for line in (FOLDER / file).read_text().splitlines():
        text = line.strip()
        if not text:
            explained = False
        elif text.startswith("#"):
            explained = not text.startswith("# ----")
        elif file == "azr.yaml" and ":" in text and not text.endswith(":"):
            assert explained, line


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ([], "name a preset"),
        (["preset=huge"], "no preset 'huge'"),
        (["azr.reward.n_sample=3"], "did you mean azr.reward.n_samples?"),
        (["+azr.reward.n_sample=3"], "unknown key azr.reward.n_sample"),
        (["trainer.nodes=2"], "unknown key trainer.nodes"),
        (["+azr.seed=2"], "without the plus sign"),
        (["azr.executor=podman"], "azr.executor: "),
        (["azr.problem_types=[code_x]"], "code_x"),
        (["azr.executor=http"], "executor=http needs executor_url"),
        (
            ["azr.executor=http", "azr.executor_url=[http://a]", "azr.executor_store=v.db"],
            "executor_store is not for executor=http",
        ),
        (["azr.executor_store_key=k"], "but no executor_store"),
        (["azr.reward.n_samples=0"], "azr.reward.n_samples: "),
        (["actor_rollout_ref.actor.ppo_max_token_len_per_gpu=100"], "the longest sequence"),
        (["actor_rollout_ref.actor.ulysses_sequence_parallel_size=3"], "does not divide"),
        (["not an override"], "not an override"),
        (["base=main"], "this one has no base"),
        (["base=cpu"], "base is paper or main"),
        (
            ["azr.advantage.loss_rows=16", "actor_rollout_ref.actor.loss_agg_mode=token-sum"],
            "loss_rows is for actor.loss_agg_mode=token-mean",
        ),
    ],
)
def test_bad_command_lines_are_refused_in_one_sentence(overrides: list[str], says: str) -> None:
    preset = [] if not overrides or overrides[0].startswith("preset=") else ["preset=cpu_tiny"]
    with pytest.raises(ValueError, match=r".") as raised:
        compose([*preset, *overrides])
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_command_line_wins_over_the_preset() -> None:
    config = compose(["preset=qwen2.5_7b", "data.train_batch_size=8", "azr.executor=process"])
    assert game_settings(config).train_batch_size == 8
    wire(config)
    assert config.actor_rollout_ref.actor.ppo_mini_batch_size == 48
    assert "does NOT isolate" in describe(config)


def test_the_cost_of_a_step_is_that_of_the_published_run() -> None:
    cost = step_cost(game_settings(composed("qwen2.5_7b")))
    assert cost.trained == 384
    assert cost.estimates == 3 * 64 * 8
    assert cost.generated == 384 + 1536
    assert cost.validation_runs == 2 * (64 + 64 + 640)
    assert cost.judging_runs == 64 * 9 * (1 + 5)


def test_a_step_costs_less_with_fewer_task_types() -> None:
    cost = step_cost(game_settings(compose(["preset=qwen2.5_7b", "azr.problem_types=[code_e]"])))
    assert (cost.trained, cost.estimates, cost.judging_runs) == (128, 512, 0)

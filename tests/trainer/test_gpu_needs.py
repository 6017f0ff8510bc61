"""What a run on GPUs would silently get wrong, or wait for for ever, is refused in a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hydra", reason="needs the extra 'trainer'")

from omegaconf import DictConfig

from trainer.configs import compose, presets
from trainer.configs.sizes import attention, is_flash
from trainer.run import wiring
from trainer.verl_adapter.gpu_needs import attention_problems, compiler_problems, processor_problems

GPU_PRESETS = [name for name in presets() if not name.startswith(("cpu_", "learning"))]


@cache
def composed(*overrides: str) -> DictConfig:
    """Composing takes a second: once for each command line."""
    return compose(overrides)


def wired(*overrides: str) -> DictConfig:
    config = composed(*overrides).copy()
    wiring.wire(config)
    return config


# -- attention --


@pytest.mark.parametrize("name", ["sdpa", "eager"])
def test_attention_that_sequence_parallelism_does_not_know_is_refused(name: str) -> None:
    key = f"+actor_rollout_ref.model.override_config.attn_implementation={name}"
    with pytest.raises(ValueError, match=f"attn_implementation={name} .* train on wrong attention"):
        compose(["preset=qwen2.5_7b", key])
    alone = compose(
        [
            *("preset=qwen2.5_7b", key, "actor_rollout_ref.actor.ulysses_sequence_parallel_size=1"),
            "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=14240",
        ]
    )
    assert attention(alone) == name


def test_a_shared_sequence_wants_packed_rows() -> None:
    with pytest.raises(ValueError, match=r"needs model\.use_remove_padding=true"):
        compose(["preset=qwen2.5_7b", "actor_rollout_ref.model.use_remove_padding=false"])


def test_every_preset_with_sequence_parallelism_has_a_flash_attention() -> None:
    for name in GPU_PRESETS:
        config = composed(f"preset={name}")
        if config.actor_rollout_ref.actor.ulysses_sequence_parallel_size > 1:
            assert is_flash(attention(config)), name


def importing(error: ImportError | None) -> Any:
    def import_module(name: str) -> object:
        if error is not None:
            raise error
        return name

    return import_module


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ModuleNotFoundError("No module named 'flash_attn'"), "flash-attn is not installed: pip"),
        (ImportError("undefined symbol: _ZN3c10"), "does not go with this torch (undefined symbol"),
    ],
)
def test_flash_attention_without_its_package(error: ImportError, says: str) -> None:
    (problem,) = attention_problems("flash_attention_2", importing(error), lambda: None)
    assert says in problem
    assert "pip install --no-build-isolation flash-attn==" in problem


def test_flash_attention_on_a_gpu_that_is_too_old() -> None:
    there = importing(None)
    (problem,) = attention_problems("flash_attention_2", there, lambda: (7, 5))
    assert "this one has 7.5" in problem
    assert not list(attention_problems("flash_attention_2", there, lambda: (8, 0)))


def test_attention_that_needs_no_package() -> None:
    gone = importing(ModuleNotFoundError("no"))
    assert not list(attention_problems("sdpa", gone, lambda: None))


def test_a_kernel_of_the_hub_needs_the_package_that_fetches_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    (problem,) = attention_problems("kernels-community/flash-attn2")
    assert "the package kernels is not installed" in problem


# -- the machine --


def test_triton_without_a_compiler_or_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    compiler, headers = compiler_problems(str(tmp_path))
    assert "no gcc or clang" in compiler
    assert f"{tmp_path}/Python.h is missing" in headers
    (tmp_path / "Python.h").touch()
    monkeypatch.setenv("CC", "/opt/cc")
    assert not list(compiler_problems(str(tmp_path)))


@pytest.mark.parametrize(
    ("preset", "processors"),
    [("single_gpu_80gb", 8), ("qwen2.5_coder_3b", 11), ("qwen2.5_7b", 17), ("qwen2.5_14b", 29)],
)
def test_a_ray_of_our_own_has_the_processors_that_its_actors_reserve(
    preset: str, processors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    config = wired(f"preset={preset}")
    assert config.ray_kwargs.ray_init.num_cpus == max(16, processors)
    assert config.ray_kwargs.ray_init.address == "local"
    assert not list(processor_problems(config))
    config.ray_kwargs.ray_init.num_cpus = processors - 1
    (problem,) = processor_problems(config)
    assert f"num_cpus is {processors - 1}" in problem
    assert f"reserve {processors} processors" in problem


def test_a_large_machine_keeps_its_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 128)
    assert wired("preset=qwen2.5_7b").ray_kwargs.ray_init.num_cpus == 128


def test_a_ray_that_runs_already_is_given_no_processors() -> None:
    assert wired("preset=multi_node").ray_kwargs.ray_init.num_cpus is None


def test_no_sequence_is_longer_than_what_is_used() -> None:
    for name in GPU_PRESETS:
        config = wired(f"preset={name}")
        longest = config.data.max_prompt_length + config.data.max_response_length
        assert config.actor_rollout_ref.rollout.max_model_len == longest
    given = composed("preset=qwen2.5_7b").copy()
    given.actor_rollout_ref.rollout.max_model_len = 20000
    wiring.wire(given)
    assert given.actor_rollout_ref.rollout.max_model_len == 20000


# -- executors --


@pytest.mark.parametrize("executor", ["nsjail", "docker", "gvisor", "process"])
def test_a_url_that_would_be_ignored_is_refused(executor: str) -> None:
    url = "azr.executor_url=[http://a:8080]"
    with pytest.raises(ValueError, match=f"would be ignored with executor={executor}"):
        compose(["preset=multi_node", f"azr.executor={executor}", url])


def test_urls_that_would_be_dropped_are_refused() -> None:
    two = "azr.executor_url=[http://a:8080,http://b:8080]"
    with pytest.raises(ValueError, match="takes one executor_url; a list of several is for http"):
        compose(["preset=multi_node", "azr.executor=sandboxfusion", two])
    config = compose(["preset=multi_node", "azr.executor=http", two])
    assert list(config.azr.executor_url) == ["http://a:8080", "http://b:8080"]


# -- clusters --


def test_a_cluster_that_is_too_small_is_named_with_its_numbers() -> None:
    pytest.importorskip("ray")
    from trainer.verl_adapter.cluster import resource_problems

    config = wired("preset=multi_node")
    assert not list(resource_problems(config, {"CPU": 55}))
    (problem,) = resource_problems(config, {"CPU": 32})
    assert "reserve 55 processors of Ray, and the cluster has 32" in problem


def test_a_node_that_does_not_see_the_run_directory_is_named(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    from trainer.verl_adapter.cluster import Seen, sharing_problems

    config = wired("preset=multi_node", f"trainer.default_local_dir={tmp_path}")

    def look(
        nodes: Iterable[str], probe: Path, token: str, model: Path | None
    ) -> Mapping[str, Seen]:
        assert model is None  # a name on the hub
        here = probe.read_text() == token
        return {node: Seen(here and node == "id-1", True) for node in nodes}

    (problem,) = sharing_problems(config, {"id-1": "10.0.0.1", "id-2": "10.0.0.2"}, look)
    assert f"the node 10.0.0.2 does not see the run directory {tmp_path}" in problem
    assert not list(tmp_path.iterdir())

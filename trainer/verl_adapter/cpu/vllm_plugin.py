"""Entry point ``vllm.general_plugins``: loaded by every process of vLLM."""

from __future__ import annotations

from typing import Any

from trainer.verl_adapter.cpu import enabled


def register() -> None:
    """Keep the weights of linear layers as they are, so that new ones can be loaded into them.

    vLLM on processors packs them for oneDNN and drops the originals; the first weight update would
    fail.
    """
    if not enabled():
        return

    import torch
    import vllm.model_executor.layers.utils as layers

    def keep_weight(layer: Any, remove_weight: bool) -> None:
        layer.cpu_linear = torch.nn.functional.linear

    layers.dispatch_cpu_unquantized_gemm = keep_weight

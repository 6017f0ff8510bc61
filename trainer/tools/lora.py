"""Low-rank adapters put into the weights of a Hugging Face folder.

A weight W of a linear layer with adapters A (rank, in) and B (out, rank) becomes
W + (alpha / rank) B A. One file of weights is in memory at a time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from trainer.files import replaced

PREFIX = "base_model.model."


class AdapterError(ValueError):
    """The adapters do not fit to the weights; the text says why."""


class Adapter(NamedTuple):
    """The adapters of one weight: torch tensors, and what their product is multiplied with."""

    a: Any
    b: Any
    scale: float


def merge(model: Path, adapters: Path) -> int:
    """Put ``adapters`` (a folder as PEFT writes it) into the weights of ``model``, in place.

    Returns:
        How many weights have changed.

    Raises:
        AdapterError: adapters without their scale, or of weights that are not there.
        OSError: a file cannot be read or written.
    """
    pending = _read(adapters)
    total = len(pending)
    for file in sorted(model.glob("*.safetensors")):
        _merge_file(file, pending)
    if pending:
        raise AdapterError(f"{model} has no weight {sorted(pending)[0]}, which an adapter is for")
    return total


def _read(adapters: Path) -> dict[str, Adapter]:
    from safetensors.torch import load_file

    config = json.loads((adapters / "adapter_config.json").read_text(encoding="utf-8"))
    rank, alpha = int(config.get("r") or 0), float(config.get("lora_alpha") or 0)
    if rank <= 0 or alpha <= 0:
        raise AdapterError(
            f"{adapters} does not say by how much the adapters count (lora_alpha {alpha:g}, rank "
            f"{rank}): lora_train_meta.json of the checkpoint is missing"
        )
    tensors: Mapping[str, Any] = load_file(adapters / "adapter_model.safetensors")
    found = {}
    for name, a in tensors.items():
        if name.endswith(".lora_A.weight"):
            stem = name.removesuffix(".lora_A.weight")
            b = tensors.get(f"{stem}.lora_B.weight")
            if b is None:
                raise AdapterError(f"{adapters}: {stem} has one half of an adapter only")
            found[f"{stem.removeprefix(PREFIX)}.weight"] = Adapter(a, b, alpha / rank)
    if not found:
        raise AdapterError(f"{adapters} holds no adapter")
    return found


def _merge_file(file: Path, pending: dict[str, Adapter]) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    weights = load_file(file)
    for name in [name for name in pending if name in weights]:
        adapter, weight = pending.pop(name), weights[name]
        change = adapter.scale * (adapter.b.float() @ adapter.a.float())
        if change.shape != weight.shape:
            raise AdapterError(f"the adapter of {name} is of another shape than the weight")
        weights[name] = (weight.float() + change).to(weight.dtype)
    with replaced(file) as temporary:
        save_file(weights, temporary, metadata=metadata)

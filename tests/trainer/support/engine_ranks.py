"""A rank of veRL's training engine, by itself.

``python -m tests.trainer.support.engine_ranks MODEL OUT``

Every scenario does a forward and a backward pass on the same sequences and one optimizer step. Rank
0 compares with the model of transformers alone, a sequence at a time, and writes the differences.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.update(
    VERL_PLATFORM="cpu", VERL_ENGINE_DEVICE="cuda", TORCHDYNAMO_DISABLE="1", OMP_NUM_THREADS="1"
)

import torch
import torch.distributed as dist
import verl  # noqa: F401 - loads the plug-in
from tensordict import TensorDict
from torch.distributed.tensor import DTensor
from transformers import AutoModelForCausalLM
from verl.trainer.config import CheckpointConfig
from verl.utils import tensordict_utils as tu
from verl.workers.config import FSDPEngineConfig, FSDPOptimizerConfig, HFModelConfig
from verl.workers.engine import EngineRegistry

from tests.trainer.support import gpu_stand_ins

LENGTHS = (37, 12, 25, 50)
LEARNING_RATE = 1e-2

# name: (ulysses, remove_padding, attention, bfloat16, further settings of the engine)
FLASH, SDPA = "flash_attention_2", "sdpa"
SCENARIOS: dict[str, tuple[int, bool, str, bool, dict[str, Any]]] = {
    "padded": (1, False, SDPA, False, {}),
    "packed": (1, True, FLASH, False, {}),
    "ulysses": (2, True, FLASH, False, {}),
    "ulysses-bf16": (2, True, FLASH, True, {}),
    "ulysses-offload": (2, True, FLASH, False, {"param_offload": True, "optimizer_offload": True}),
    "packed-offload-policy": (1, True, FLASH, False, {"offload_policy": True}),
    "packed-to-length": (
        2, True, FLASH, False, {"pad_to_length": True, "pad_to_length_bucket": 64}
    ),
    "ulysses-sdpa": (2, True, SDPA, False, {}),
}  # fmt: skip


def sequences() -> list[dict[str, torch.Tensor]]:
    noise = torch.Generator().manual_seed(3)
    rows = []
    for length in LENGTHS:
        mask = torch.ones(length, dtype=torch.long)
        mask[: length // 3] = 0  # the prompt
        rows.append(
            {
                "input_ids": torch.randint(3, 200, (length,), generator=noise),
                "position_ids": torch.arange(length),
                "loss_mask": mask,
                "advantages": torch.randn(1, generator=noise).expand(length),
            }
        )
    return rows


def loss_of(log_probs: torch.Tensor, row: dict[str, torch.Tensor]) -> torch.Tensor:
    """REINFORCE, before the division by the batch's tokens; log-probs are of the next tokens."""
    mask = torch.roll(row["loss_mask"], -1)
    mask[-1] = 0
    return -(log_probs * mask * row["advantages"]).sum()


def reference(path: str) -> dict[str, Any]:
    model = AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float32, attn_implementation=SDPA
    )
    rows = sequences()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    total, log_probs = torch.zeros(()), []
    for row in rows:
        logits = model(input_ids=row["input_ids"][None]).logits[0].log_softmax(-1)
        chosen = logits.gather(1, torch.roll(row["input_ids"], -1)[:, None]).squeeze(1)
        log_probs.append(chosen.detach())
        total = total + loss_of(chosen, row)
    total = total / sum(int(row["loss_mask"].sum()) for row in rows)
    total.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    return {
        "loss": float(total), "log_probs": log_probs, "gradients": gradients, "weights": weights
    }  # fmt: skip


def make_engine(path: str, name: str) -> Any:
    ulysses, remove_padding, attention, bf16, more = SCENARIOS[name]
    kind = "bf16" if bf16 else "fp32"
    precision = {"param_dtype": kind, "reduce_dtype": "fp32", "buffer_dtype": "fp32"}
    engine = EngineRegistry.new(
        model_type="language_model",
        backend="fsdp2",
        model_config=HFModelConfig(
            path=path,
            use_remove_padding=remove_padding,
            override_config={"attn_implementation": attention},
            enable_gradient_checkpointing=name == "ulysses",
        ),
        engine_config=FSDPEngineConfig(
            strategy="fsdp2",
            ulysses_sequence_parallel_size=ulysses,
            mixed_precision=precision,
            use_torch_compile=False,
            **more,
        ),
        optimizer_config=FSDPOptimizerConfig(lr=LEARNING_RATE, weight_decay=0.0, clip_grad=1.0),
        checkpoint_config=CheckpointConfig(),
    )
    engine.initialize()
    return engine


def batch(rows: list[dict[str, torch.Tensor]], *, remove_padding: bool) -> TensorDict:
    data = TensorDict(
        {
            key: torch.nested.as_nested_tensor([row[key] for row in rows], layout=torch.jagged)
            for key in rows[0]
        },
        batch_size=len(rows),
    )
    tu.assign_non_tensor(
        data,
        use_remove_padding=remove_padding,
        use_dynamic_bsz=True,
        max_token_len_per_gpu=60,
        temperature=1.0,
        return_model_output=True,
        pad_token_id=0,
    )
    return data


def loss_function(model_output: Any, data: Any, dp_group: Any) -> Any:
    log_probs = model_output["log_probs"].unbind()
    columns = {key: data[key].unbind() for key in ("loss_mask", "advantages")}
    parts = [
        loss_of(one, {key: column[at] for key, column in columns.items()})
        for at, one in enumerate(log_probs)
    ]
    loss = torch.stack(parts).sum() / data["batch_num_tokens"] * data["dp_size"]
    return loss, {"micro_batches": 1}


def whole(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def play(path: str, name: str) -> dict[str, Any]:
    engine = make_engine(path, name)
    ulysses, remove_padding, *_ = SCENARIOS[name]
    rows = sequences()
    own = list(range(len(rows))) if ulysses == 2 else [dist.get_rank(), dist.get_rank() + 2]
    with engine.train_mode():
        engine.optimizer_zero_grad()
        data = batch([rows[at] for at in own], remove_padding=remove_padding)
        output = engine.forward_backward_batch(data, loss_function)
        gradients = {
            key: whole(p.grad).clone().float()
            for key, p in engine.module.named_parameters()
            if p.grad is not None
        }
        engine.optimizer_step()
    with engine.eval_mode():
        data = batch([rows[at] for at in own], remove_padding=remove_padding)
        after = engine.forward_backward_batch(data, None, forward_only=True)
    engine.to("cpu")
    weights = {key: whole(p.detach()).float() for key, p in engine.module.named_parameters()}
    return {
        "loss": sum(output["loss"]) / (1 if ulysses == 2 else 2),
        "log_probs": dict(zip(own, output["model_output"]["log_probs"].unbind(), strict=True)),
        "after": float(after["model_output"]["log_probs"].unbind()[0].sum()),
        "gradients": gradients,
        "weights": weights,
        "micro_batches": len(output["loss"]),
    }


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> dict[str, float]:
    assert found["gradients"].keys() == wanted["gradients"].keys()
    # The last log-probability is of a token that is not there.
    log_probs = [
        float((row[:-1].float() - wanted["log_probs"][at][:-1]).abs().max())
        for at, row in found["log_probs"].items()
    ]
    scale = max(float(x.abs().max()) for x in wanted["gradients"].values())
    gradients = [
        float((found["gradients"][key] - x).abs().max()) / scale
        for key, x in wanted["gradients"].items()
    ]
    weights = [
        float((found["weights"][key] - x).abs().mean()) for key, x in wanted["weights"].items()
    ]
    return {
        "log_probs": max(log_probs),
        "gradients": max(gradients),
        "weights": max(weights),
        "loss": found["loss"],
        "after": found["after"],
        "micro_batches": found["micro_batches"],
    }


def main(path: str, out: str) -> None:
    dist.init_process_group("gloo")
    gpu_stand_ins.install()
    wanted = reference(path)
    rows = {"reference": {"loss": wanted["loss"]}}
    for name in SCENARIOS:
        found = play(path, name)
        loss = torch.tensor([found["loss"]])
        if SCENARIOS[name][0] == 1:  # each rank has the sum over its own sequences
            dist.all_reduce(loss)
        found["loss"] = float(loss)
        rows[name] = differences(found, wanted)
    if dist.get_rank() == 0:
        Path(out).write_text(json.dumps(rows, indent=1))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What only GPUs have, put in its place: flash-attn's kernel, and NCCL's exchange of lists.

veRL's own code around the kernel (packing without padding, all-to-all over the ranks that share a
sequence) then runs on processors as it does on GPUs.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.functional import scaled_dot_product_attention


def varlen(  # noqa: PLR0917 - as flash-attn has it
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    cu_seqlens_q: torch.Tensor,
    cu_seqlens_k: torch.Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    *,
    softmax_scale: float | None = None,
    causal: bool = False,
    **_: Any,
) -> torch.Tensor:
    """Attention within each packed sequence; tensors are (tokens, heads, size of a head)."""
    assert torch.equal(cu_seqlens_q, cu_seqlens_k)
    parts = []
    ends = cu_seqlens_q.tolist()
    for start, end in pairwise(ends):
        one = [x[start:end].transpose(0, 1).unsqueeze(0) for x in (q, k, v)]
        out = scaled_dot_product_attention(
            *one, is_causal=causal, scale=softmax_scale, enable_gqa=q.shape[1] != k.shape[1]
        )
        parts.append(out.squeeze(0).transpose(0, 1))
    return torch.cat(parts)


def whole(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **options: Any) -> torch.Tensor:
    """The kernel without packing; tensors are (batch, tokens, heads, size of a head)."""
    rows, tokens = q.shape[:2]
    ends = torch.arange(rows + 1, dtype=torch.int32) * tokens
    q, k, v = (x.flatten(0, 1) for x in (q, k, v))
    packed = varlen(q, k, v, ends, ends, tokens, tokens, **options)
    return packed.view(rows, tokens, *packed.shape[1:])


def all_to_all(received: list[torch.Tensor], sent: list[torch.Tensor], **options: Any) -> Any:
    """``torch.distributed.all_to_all`` of tensors of one shape, which gloo does not have."""
    options.pop("async_op", None)
    into = torch.empty((len(sent), *sent[0].shape), dtype=sent[0].dtype)
    dist.all_to_all_single(into, torch.stack(sent), **options)
    for target, value in zip(received, into, strict=True):
        target.copy_(value)


def install() -> None:
    """Let transformers find the kernel as ``flash_attention_2``, and veRL the exchange."""
    from transformers import PreTrainedModel
    from transformers import modeling_flash_attention_utils as flash

    dist.all_to_all = all_to_all
    flash._loaded_implementation = "flash_attention_2"
    flash._flash_fn, flash._flash_varlen_fn = whole, varlen
    flash._pad_fn, flash._unpad_fn = flash._pad_input, flash._unpad_input
    flash._process_flash_kwargs_fn = flash._lazy_define_process_function(varlen)
    PreTrainedModel._check_and_adjust_attn_implementation = lambda self, implementation, *_, **__: (
        implementation
    )

"""What the presets for one small GPU stand on: torch's own attention sees packed sequences apart,
and veRL's fused kernels give the log-probabilities and gradients of plain torch."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trainer.support.runs import needs_verl

torch = pytest.importorskip("torch", reason="needs the extra 'trainer'")
transformers = pytest.importorskip("transformers")


def tiny(attention: str) -> Any:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "vocab_size": 60}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    config = transformers.Qwen2Config(**sizes, **heads, attn_implementation=attention)
    return transformers.AutoModelForCausalLM.from_config(config).eval()


def test_torchs_attention_keeps_packed_sequences_apart() -> None:
    """Sequences in one row, told apart by their positions alone, as veRL packs them."""
    model = tiny("sdpa")
    rows = [torch.randint(0, 60, (1, length)) for length in (7, 9, 4)]
    positions = torch.cat([torch.arange(row.shape[1])[None] for row in rows], dim=1)
    with torch.no_grad():
        packed = model(
            input_ids=torch.cat(rows, dim=1), attention_mask=None, position_ids=positions,
            use_cache=False,
        ).logits  # fmt: skip
        alone = torch.cat([model(row, use_cache=False).logits for row in rows], dim=1)
    assert torch.allclose(packed, alone, atol=1e-5)


@needs_verl
@pytest.mark.verl
@pytest.mark.timeout(300)
def test_fused_kernels_are_the_same_function() -> None:
    from verl.utils.experimental.torch_functional import FusedLinearForPPO

    torch.manual_seed(0)
    hidden = torch.randn(1, 700, 16, requires_grad=True)
    vocabulary = torch.randn(50, 16, requires_grad=True)
    labels = torch.randint(0, 50, (1, 700))
    weights = torch.randn(1, 700)

    def gradients(log_probs: Any, entropy: Any) -> tuple[Any, ...]:
        loss = (weights * log_probs).sum() + 0.001 * entropy.sum()
        found: tuple[Any, ...] = torch.autograd.grad(loss, (hidden, vocabulary))
        return found

    fused = FusedLinearForPPO(impl_backend="torch")(
        hidden_states=hidden, vocab_weights=vocabulary, input_ids=labels, temperature=1.0
    )
    log = torch.log_softmax(hidden @ vocabulary.T, dim=-1)
    plain = log.gather(-1, labels[..., None])[..., 0], -(log.exp() * log).sum(-1)
    for got, wanted in zip((*fused, *gradients(*fused)), (*plain, *gradients(*plain)), strict=True):
        assert torch.allclose(got, wanted, atol=2e-3), (got - wanted).abs().max()

"""How the loss is averaged: veRL's own aggregation of advantages that carry our weights."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trainer.support.runs import needs_verl

pytestmark = [needs_verl, pytest.mark.verl, pytest.mark.timeout(300)]

UIDS = ["propose-deduction-1", "solve-deduction-2", "pad77", "propose-deduction-3",
        "solve-deduction-4", "propose-deduction-5", "solve-deduction-6", "pad78"]  # fmt: skip
LENGTHS = [9, 2, 0, 4, 3, 7, 1, 0]
REWARDS = [1.0, -0.5, 0.0, -1.0, 1.0, 0.5, -0.5, 0.0]
REAL = [0, 1, 3, 4, 5, 6]
"""All but two rows of padding."""


def estimated(**config: Any) -> tuple[Any, Any]:
    """Advantages (row, token), and the mask."""
    import torch

    from trainer.verl_adapter.advantage import trrpp_advantages

    mask = torch.tensor([[float(t < n) for t in range(9)] for n in LENGTHS])
    scores = torch.zeros(8, 9)
    for row, length in enumerate(LENGTHS):
        scores[row, max(length - 1, 0)] = REWARDS[row]
    settings = {"trrpp_weighting": "token", "trrpp_baseline": "task_relative", **config}
    advantages, _ = trrpp_advantages(scores, mask, UIDS, settings)
    return advantages, mask


def aggregated(advantages: Any, mask: Any, mode: str) -> float:
    """The policy's loss at ratio 1, as veRL averages it over a mini-batch with padding."""
    from verl.trainer.ppo.core_algos import agg_loss

    return float(
        agg_loss(
            loss_mat=-advantages,
            loss_mask=mask,
            loss_agg_mode=mode,
            batch_num_tokens=int(mask.sum()),
            global_batch_size=len(LENGTHS),
        )
    )


@pytest.mark.parametrize(
    ("mode", "weighting"), [("seq-mean-token-mean", "token"), ("seq-mean-token-sum", "sequence")]
)
def test_padding_does_not_make_the_step_smaller(mode: str, weighting: str) -> None:
    from verl.trainer.ppo.core_algos import agg_loss

    plain, mask = estimated(trrpp_weighting=weighting)
    scaled, _ = estimated(trrpp_weighting=weighting, trrpp_loss_mode=mode)
    wanted = agg_loss(loss_mat=-plain[REAL], loss_mask=mask[REAL], loss_agg_mode=mode)
    assert abs(float(wanted)) > 0.01
    assert aggregated(scaled, mask, mode) == pytest.approx(float(wanted), rel=1e-5)


def test_a_token_mean_is_not_scaled() -> None:
    plain, mask = estimated()
    same, _ = estimated(trrpp_loss_mode="token-mean", trrpp_loss_rows=None)
    assert (plain == same).all()
    assert float(mask.sum()) == sum(LENGTHS)


def test_micro_batches_of_the_original_are_averaged() -> None:
    """Rows of one kind, two at a time: four micro-batches, of 2, 1, 2 and 1 rows."""
    plain, mask = estimated()
    weighted, _ = estimated(trrpp_loss_mode="token-mean", trrpp_loss_rows=2)
    wanted = 0.0
    for rows in ([0, 3], [5], [1, 4], [6]):
        mean = float((-plain[rows] * mask[rows]).sum() / mask[rows].sum())
        wanted += mean * len(rows) / len(REAL)
    assert aggregated(weighted, mask, "token-mean") == pytest.approx(wanted, rel=1e-5)
    assert aggregated(plain, mask, "token-mean") != pytest.approx(wanted, rel=1e-2)

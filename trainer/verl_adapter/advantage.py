"""TRR++ (:mod:`trainer.game.trrpp`) as an advantage estimator of veRL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY, register_adv_est

from trainer.game.tasks import Kind
from trainer.game.trrpp import advantages as trrpp
from trainer.game.trrpp import grouping

NAME: Final = "trrpp"

WEIGHTING_KEY: Final = "trrpp_weighting"
BASELINE_KEY: Final = "trrpp_baseline"
"""Where :mod:`trainer.verl_adapter.wiring` puts ``azr.advantage.weighting`` and ``.baseline``: veRL
hands estimators its ``algorithm`` configuration only."""


@register_adv_est(NAME)
def trrpp_advantages(
    token_level_rewards: torch.Tensor,
    response_mask: torch.Tensor,
    index: Sequence[str],
    config: Mapping[str, Any],
    **_: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Advantages and returns, both (sequence, token), 0 outside the mask.

    A sequence's reward is the sum of its tokens' rewards, its group the (role, task type) that its
    uid in ``index`` starts with; with the global baseline there is one group. Sequences without a
    token in the mask (veRL's padding) belong to no group.
    """
    mask = response_mask.to(torch.float64)
    rewards = (token_level_rewards.to(torch.float64) * mask).sum(-1)
    lengths = mask.sum(-1)
    real = [i for i, length in enumerate(lengths.tolist()) if length]
    per_sequence = torch.zeros_like(rewards)
    if real:
        per_sequence[real] = torch.as_tensor(
            trrpp(
                rewards[real].numpy(),
                lengths[real].numpy(),
                grouping([Kind.of(str(index[i])) for i in real], config[BASELINE_KEY]),
                weighting=config[WEIGHTING_KEY],
            )
        )
    advantages = (per_sequence.unsqueeze(-1) * mask).to(torch.float32)
    returns = (rewards.unsqueeze(-1) * mask).to(torch.float32)
    return advantages, returns


def is_registered() -> bool:
    """Whether veRL of this process knows the estimator."""
    return ADV_ESTIMATOR_REGISTRY.get(NAME) is trrpp_advantages

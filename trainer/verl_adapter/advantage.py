"""TRR++ (:mod:`trainer.game.rules.trrpp`) as an advantage estimator of veRL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY, register_adv_est

from trainer.game.rules.trrpp import advantages as trrpp
from trainer.game.rules.trrpp import grouping, loss_weights
from trainer.game.tasks.task import Kind

NAME: Final = "trrpp"

WEIGHTING_KEY: Final = "trrpp_weighting"
BASELINE_KEY: Final = "trrpp_baseline"
LOSS_ROWS_KEY: Final = "trrpp_loss_rows"
LOSS_MODE_KEY: Final = "trrpp_loss_mode"
"""Where :mod:`trainer.run.wiring` puts ``azr.advantage.weighting``, ``.baseline`` and
``.loss_rows``, and ``actor.loss_agg_mode``: veRL hands estimators its ``algorithm`` configuration
only."""


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

    How the loss is averaged is part of the advantages, which it is linear in: with one update on
    fresh samples the ratio is 1 and no clip is in force.
    """
    mask = response_mask.to(torch.float64)
    rewards = (token_level_rewards.to(torch.float64) * mask).sum(-1)
    lengths = mask.sum(-1)
    real = [i for i, length in enumerate(lengths.tolist()) if length]
    per_sequence = torch.zeros_like(rewards)
    if real:
        kinds = [Kind.of(str(index[i])) for i in real]
        found = trrpp(
            rewards[real].numpy(),
            lengths[real].numpy(),
            grouping(kinds, config[BASELINE_KEY]),
            weighting=config[WEIGHTING_KEY],
        )
        found *= loss_weights(lengths[real].numpy(), kinds, rows=config.get(LOSS_ROWS_KEY))
        if str(config.get(LOSS_MODE_KEY)).startswith("seq-mean"):
            # veRL divides by all rows of the mini-batch, its padding included.
            found *= len(lengths) / len(real)
        per_sequence[real] = torch.as_tensor(found)
    advantages = (per_sequence.unsqueeze(-1) * mask).to(torch.float32)
    returns = (rewards.unsqueeze(-1) * mask).to(torch.float32)
    return advantages, returns


def is_registered() -> bool:
    """Whether veRL of this process knows the estimator."""
    return ADV_ESTIMATOR_REGISTRY.get(NAME) is trrpp_advantages

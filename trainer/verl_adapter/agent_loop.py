"""One rollout of the game, as veRL's agent-loop workers run it."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import hydra
from verl.experimental.agent_loop import agent_loop as verl_agent_loop
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop

NAME = "selfplay"

NO_TEMPERATURE = -1.0
"""Value of the column ``sampling_temperature``: that of training rollouts."""

NO_SEED = -1
"""Value of the column ``sampling_seed``: the rollout engine's own."""

_SEEDS = 2**31


class SelfPlayAgentLoop(SingleTurnAgentLoop):
    """A single turn with a temperature and a seed of its own for each prompt.

    veRL has one temperature for all rollouts of a step; estimates of learnability want another.
    The score is 0 until the trainer writes the reward, so veRL's reward workers are not asked.
    """

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> AgentLoopOutput:
        """Sample one response to ``raw_prompt``."""
        chosen = dict(sampling_params)
        temperature = float(kwargs["sampling_temperature"])
        if temperature != NO_TEMPERATURE:
            chosen["temperature"] = temperature
        seed = int(kwargs["sampling_seed"])
        if seed != NO_SEED:
            chosen["seed"] = (seed + int(kwargs["session_id"])) % _SEEDS
        output = await super().run(chosen, **kwargs)
        output.reward_score = 0.0
        return output


def _instantiate(config: Mapping[str, Any], **arguments: Any) -> Any:
    """Make the agent loop of one rollout.

    veRL has Hydra do it for each, which merges configurations for about 10 ms: a sixth of a small
    model's whole step. What Hydra makes of ours is this call.
    """
    if config["_target_"] == f"{__name__}.{SelfPlayAgentLoop.__name__}":
        return SelfPlayAgentLoop(**arguments)
    return hydra.utils.instantiate(config=config, **arguments)


# In effect from the second rollout of a worker on: the first one imports this module.
verl_agent_loop.hydra = SimpleNamespace(utils=SimpleNamespace(instantiate=_instantiate))

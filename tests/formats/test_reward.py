"""The reward function with veRL's signature."""

# ruff: noqa: E501 - a row is a line

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from executor import reward
from executor.models import Judgement, JudgeTask, Status

PRIME = json.dumps({"inputs": ["1\n", "2\n"], "outputs": ["2\n", "4\n"]})
PRIME_CALL = json.dumps({"fn_name": "go", "inputs": [[1], [2]], "outputs": [[2], [4]]})
DEEPCODER = json.dumps([
    {"input": "1", "output": "2", "testtype": "stdin"}, {"input": "2", "output": "4", "testtype": "stdin"},
])  # fmt: skip
SCRIPT = "Here:\n```python\nprint(2 * int(input()))\n```"
METHOD = "```python\nclass Solution:\n    def go(self, x):\n        return 2 * x\n```"
FUNCTION = "```python\ndef go(x):\n    return 2 * x\n```"


@pytest.fixture(scope="module", autouse=True)
def _ended() -> Iterator[None]:
    yield
    reward.close()


@pytest.mark.parametrize(
    ("answer", "tests", "score"),
    [
        (SCRIPT, PRIME, 1.0),
        (SCRIPT, json.loads(PRIME), 1.0),
        (SCRIPT, DEEPCODER, 1.0),
        (METHOD, PRIME_CALL, 1.0),
        (FUNCTION, PRIME_CALL, 1.0),
        ("```python\nimport os\nos._exit(0)\n```", PRIME, 0.0),
        ("```python\nprint(2)\n```", DEEPCODER, 0.0),
        ("I do not know.", PRIME, 0.0),
        (FUNCTION, ["assert go(1) == 2", "assert go(2) == 4"], 1.0),
        (FUNCTION, "def check(c):\n    assert c(1) == 3", 0.0),
    ],
)
def test_scores(answer: str, tests: Any, score: float) -> None:
    extra = {"entry_point": "go"} if isinstance(tests, str) and "check" in tests else None
    found = reward.compute_score("anything", answer, tests, extra)
    assert (found["score"], found["acc"]) == (score, score), found


def test_a_share_is_a_score_where_that_is_wanted() -> None:
    found = reward.compute_score("x", "print(2)", PRIME, scoring="fraction")
    assert (found["score"], found["acc"], found["status"]) == (0.5, 0.0, "mismatch")


def test_tests_that_are_none_are_no_score() -> None:
    with pytest.raises(reward.NoScore, match="lists of inputs"):
        reward.compute_score("x", "print(1)", "{}")
    with pytest.raises(reward.NoScore, match="no assertion"):
        reward.compute_score("x", "print(1)", ["import os"])
    for tests in ("{}", ["import os"]):
        found = reward.compute_score("x", "print(1)", tests, no_score=-1.0)
        assert found == {"score": -1.0, "acc": 0.0, "status": "malformed"}


def test_a_fault_of_the_platform_is_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[JudgeTask] = []

    def fails(task: JudgeTask) -> Judgement:
        asked.append(task)
        return Judgement(scores=(None,), statuses=(Status.INFRA,), details=("down",))

    monkeypatch.setattr(reward._shared, "judge", fails)
    monkeypatch.setattr(reward, "_PAUSES_S", (0, 0, 0))
    with pytest.raises(reward.NoScore, match="down"):
        reward.compute_score("x", "print(1)", PRIME)
    assert len(asked) == 3
    found = reward.compute_score("x", "print(1)", PRIME, no_score=0.0)
    assert found == {"score": 0.0, "acc": 0.0, "status": "infra"}


@pytest.mark.verl
@pytest.mark.filterwarnings("ignore")
def test_verls_own_reward_loop_scores_sixty_four_answers() -> None:
    import asyncio

    import numpy as np
    import torch
    from omegaconf import OmegaConf
    from verl import DataProto
    from verl.experimental.reward_loop.reward_manager.naive import NaiveRewardManager
    from verl.trainer.ppo.reward import get_custom_reward_fn

    config = OmegaConf.create(
        {
            "reward": {
                "custom_reward_function": {"path": "pkg://executor.reward", "name": "compute_score"}
            }
        }
    )

    class Letters:
        """A tokenizer whose tokens are characters."""

        def decode(self, ids: Any, skip_special_tokens: bool) -> str:
            return "".join(map(chr, ids.tolist()))

    answers = [f"```python\nprint({n % 4} * int(input()))\n```" for n in range(64)]

    async def score() -> list[float]:
        manager = NaiveRewardManager(config, Letters(), get_custom_reward_fn(config))

        async def one(answer: str) -> float:
            ids = torch.tensor([[*map(ord, answer)]])
            data = DataProto.from_dict(
                tensors={"responses": ids, "attention_mask": torch.ones_like(ids)},
                non_tensors={
                    "data_source": np.array(["taco"], dtype=object),
                    "reward_model": np.array([{"ground_truth": PRIME}], dtype=object),
                    "extra_info": np.array([{}], dtype=object),
                },
            )
            return float((await manager.run_single(data))["reward_score"])

        return list(await asyncio.gather(*map(one, answers)))

    assert asyncio.run(score()) == [float(n % 4 == 2) for n in range(64)]

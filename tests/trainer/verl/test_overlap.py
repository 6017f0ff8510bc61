"""When further requests reach veRL: its store stood in for, then with a scripted model."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from tests.trainer.support.runs import needs_verl
from trainer.game.policy import Message, Request
from trainer.game.tasks.task import Kind, Role, TaskType

pytestmark = [
    needs_verl,
    pytest.mark.verl,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning"),
]

KIND = Kind(Role.SOLVE, TaskType.DEDUCTION)
SLOW = "slow"


def request(name: str, n: int = 1) -> Request:
    return Request(name, KIND, (Message("user", name),), n=n)


class Engine:
    """veRL's store and engines: a prompt is answered a few looks after it was submitted."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.seeds: dict[str, int] = {}
        self.slow_may_end = False
        self._looks: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._n: dict[str, int] = {}

    def submit(self, batch: Any) -> None:
        names = [messages[0]["content"] for messages in batch["raw_prompt"]]
        self.batches.append(names)
        for uid, name, n, seed in zip(
            batch["uid"], names, batch["__rollout_n__"], batch["sampling_seed"], strict=True
        ):
            self._looks[uid], self._names[uid], self._n[uid] = 3, name, n
            self.seeds[name] = seed

    def snapshot(self) -> Any:
        from trainer.verl_adapter.queue import Snapshot, StoredResponse

        for uid, name in self._names.items():
            if name != SLOW or self.slow_may_end:
                self._looks[uid] -= 1
        ended = frozenset(uid for uid, looks in self._looks.items() if looks <= 0)
        rows = [StoredResponse(f"{uid}_{at}_0", {}) for uid in ended for at in range(self._n[uid])]
        return Snapshot(rows, ended, frozenset())


class Verdicts:
    """Two further requests for each answer but the slow one's; known some questions later."""

    def __init__(self) -> None:
        self._waiting: list[list[Any]] = []
        self.taken: list[str] = []

    def answered(self, name: str) -> None:
        if name in ("first-1", "first-2"):
            self._waiting.append([4, request(f"{name}-further", n=2)])

    @property
    def complete(self) -> bool:
        for entry in self._waiting:
            entry[0] -= 1
        return all(entry[0] <= 0 for entry in self._waiting)

    def take(self) -> Sequence[Request]:
        known = [entry[1] for entry in self._waiting if entry[0] <= 0]
        self._waiting = [entry for entry in self._waiting if entry[0] > 0]
        self.taken += [one.id for one in known]
        return known

    def wait(self, timeout_s: float | None = None) -> None:
        return


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    from trainer.verl_adapter import queue

    engine = Engine()
    monkeypatch.setattr(queue, "snapshot", engine.snapshot)
    monkeypatch.setattr(queue, "responses", lambda rows: [[1, 2] for _ in rows])
    monkeypatch.setattr(queue, "drop", lambda _: None)
    return engine


def run(engine: Engine, *, overlap: bool) -> tuple[list[str], Verdicts]:
    from trainer.verl_adapter.rollout_policy import RolloutPolicy, Sampling

    tokenizer = SimpleNamespace(decode=lambda *_, **__: "text", eos_token_id=2)
    sampling = Sampling(seed=1, seeded=True, response_length=9, overlap=overlap)
    policy = RolloutPolicy(engine.submit, tokenizer, sampling, lambda: None)
    policy.begin(1)
    verdicts, came = Verdicts(), []
    first = [request("first-1"), request("first-2"), request(SLOW)]
    for response in policy.stream(first, verdicts):
        came.append(response.request_id)
        verdicts.answered(response.request_id)
        further = {name for batch in engine.batches[1:] for name in batch}
        engine.slow_may_end = not overlap or came.count("first-1-further") == 2
        assert overlap or SLOW in came or not further
    assert policy.missing == 0
    return came, verdicts


def test_further_requests_are_answered_while_a_slow_one_is_not(engine: Engine) -> None:
    engine.slow_may_end = False
    came, verdicts = run(engine, overlap=True)
    assert came.index(SLOW) > came.index("first-1-further")
    assert sorted(verdicts.taken) == ["first-1-further", "first-2-further"]
    assert len(came) == 3 + 4


def test_without_overlap_they_are_submitted_together_and_sampled_alike(engine: Engine) -> None:
    engine.slow_may_end = True
    came, _ = run(engine, overlap=False)
    assert engine.batches == [
        ["first-1", "first-2", SLOW],
        ["first-1-further", "first-2-further"],
    ]
    assert len(came) == 3 + 4
    seeds = dict(engine.seeds)
    engine.__init__()  # type: ignore[misc]
    run(engine, overlap=True)
    assert engine.seeds == seeds

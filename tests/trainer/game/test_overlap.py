"""A step without a barrier: attempts at a proposal do not wait for other proposals."""

from __future__ import annotations

import hashlib
import json
import random
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import pytest

from tests.trainer.support.game import (
    fenced,
    new_buffers,
    open_judge,
    program_task,
    proposal,
    settings,
    tagged,
)
from trainer.game.play.estimates import Estimates
from trainer.game.play.futures import Waiting
from trainer.game.play.judging import Examined, TaskJudge
from trainer.game.play.selfplay import SelfPlay, StepResult
from trainer.game.policy import Further, Request, Response, StreamingPolicy
from trainer.game.settings import DataSelectionStrategy, GameSettings, RewardSettings
from trainer.game.tasks.task import Role, TaskType

SIZE = 6
SLOW = "propose-deduction-15"


def game() -> GameSettings:
    return settings(
        train_batch_size=SIZE,
        problem_types=("code_i", "code_o"),
        reward=RewardSettings(n_samples=3),
        data_selection_strategy=DataSelectionStrategy(io_n=1),
    )


class Model:
    """What it answers depends on the request and the sample alone."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        self.asked += [request.id for request in requests]
        return iter(responses(requests))


class Streaming(Model):
    """Answers in an order of its own; what ``slow`` names comes when there is nothing else."""

    def __init__(self, seed: int, slow: str = "") -> None:
        super().__init__()
        self._rng = random.Random(seed)
        self._slow = slow
        self.taken_before_slow: list[str] = []

    def stream(self, requests: Sequence[Request], further: Further) -> Iterator[Response]:
        waiting = responses(requests)
        held = [response for response in waiting if response.request_id == self._slow]
        waiting = [response for response in waiting if response.request_id != self._slow]
        while True:
            complete = further.complete
            if not waiting or self._rng.random() < 0.5:
                taken = further.take()
                self.asked += [request.id for request in taken]
                waiting += responses(taken)
            if waiting:
                yield waiting.pop(self._rng.randrange(len(waiting)))
            elif not complete:
                further.wait(0.1)
            elif held:
                self.taken_before_slow = list(self.asked)
                waiting, held = held, []
            else:
                return


def responses(requests: Sequence[Request]) -> list[Response]:
    return [
        Response(request.id, sample, text(request, sample), 10)
        for request in requests
        for sample in range(request.n)
    ]


def text(request: Request, sample: int) -> str:
    chance = int(hashlib.sha256(f"{request.id}/{sample}".encode()).hexdigest(), 16) % 10
    if request.kind.role is Role.PROPOSE:
        number = int(request.id.rsplit("-", 1)[1])
        if number % 5 == 4:
            return tagged("no program")
        # Some are the same: which one is stored must not depend on who comes first.
        return proposal(f"def f(x):\n    return x + {number % 4}", str(number % 3))
    if chance == 0:
        return "no tags"
    label = "input" if request.kind.task is TaskType.ABDUCTION else "output"
    return fenced(label, str(chance % 4))


def play(judge: TaskJudge, model: Model) -> tuple[StepResult, Any]:
    wanted = game()
    buffers = new_buffers(wanted)
    for task_type in (TaskType.ABDUCTION, TaskType.DEDUCTION):
        for number in range(SIZE):
            buffers.add(task_type, program_task(f"def f(x):\n    return x * {number}", "1", "1"))
    played = SelfPlay(wanted, buffers, judge)
    return played.step(model, 1), played.state()


@pytest.fixture(scope="module")
def judge() -> Iterator[TaskJudge]:
    with open_judge(game().azr) as judge:
        yield judge


def comparable(result: StepResult) -> Any:
    times = ("executor/", "rollout/seconds", "timing")
    return (
        [(s.response, s.kind, s.reward, s.advantage, s.details) for s in result.samples],
        {name: x for name, x in result.metrics.items() if not name.startswith(times)},
        json.dumps(result.tables),
    )


def test_attempts_at_a_proposal_start_while_a_slow_one_is_being_generated(
    judge: TaskJudge,
) -> None:
    model = Streaming(1, slow=SLOW)
    result, _ = play(judge, model)
    assert SLOW in {sample.response.request_id for sample in result.samples}
    before = set(model.taken_before_slow)
    attempts = {name for name in model.asked if "-estimate-" in name}
    assert attempts - before == {"solve-deduction-estimate-15"}
    assert len(attempts) == 10


@pytest.mark.parametrize("seed", range(6))
def test_a_step_is_the_same_in_whatever_order_things_come(judge: TaskJudge, seed: int) -> None:
    rounds, rounds_state = play(judge, Model())
    streaming = Streaming(seed, slow=random.Random(seed).choice([SLOW, "solve-abduction-9", ""]))
    assert isinstance(streaming, StreamingPolicy)
    streamed, streamed_state = play(judge, streaming)
    assert comparable(streamed) == comparable(rounds)
    assert streamed_state == rounds_state
    assert rounds.metrics["gen_code_o/stored"] >= 3


def test_a_policy_that_does_not_stream_gets_all_attempts_together(judge: TaskJudge) -> None:
    model = Model()
    play(judge, model)
    assert len([name for name in model.asked if "-estimate-" in name]) == 10
    assert model.asked[-10:] == sorted(model.asked[-10:], key=lambda n: int(n.rsplit("-")[-1]))


class _Drawer:
    """As much of a drawer as estimates need."""

    class book:
        @staticmethod
        def solve(*_: Any) -> tuple[()]:
            return ()

    @staticmethod
    def fits(_: Any) -> bool:
        return True


def test_waiting_ends_with_the_first_verdict() -> None:
    estimates = Estimates(
        _Drawer(), RewardSettings(), lambda *_: [], lambda _: None, Waiting()  # type: ignore[arg-type]
    )  # fmt: skip
    verdicts: list[Future[Examined]] = [Future(), Future()]
    for number, verdict in enumerate(verdicts):
        estimates.propose(number, None, None, True, verdict)  # type: ignore[arg-type]
    assert estimates.take() == []
    threading.Timer(0.05, verdicts[1].set_result, [Examined("error", "")]).start()
    estimates.wait(30)
    assert verdicts[1].done()
    before = estimates.complete
    verdicts[0].set_result(Examined("error", ""))
    assert (before, estimates.complete) == (False, True)
    estimates.wait()

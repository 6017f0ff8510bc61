"""Estimates of a new task's solve rate, by attempts that are asked for as soon as it is sound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from statistics import fmean

from trainer.game.play.drawing import Drawer, Prompt
from trainer.game.play.futures import Waiting
from trainer.game.play.judging import Examined
from trainer.game.play.records import ProposalRecord, Scored
from trainer.game.policy import Request, Response
from trainer.game.settings import RewardSettings
from trainer.game.tasks.task import Kind, Role, Task, TaskType

type Score = Callable[[TaskType, Task, Sequence[Response]], Sequence[Future[Scored]]]
"""Starts to judge answers to one task together."""


@dataclass(slots=True)
class _Proposed:
    """A proposal on its way from verdict to solve rate."""

    number: int
    """Of its prompt: everything is done in this order, whatever comes first."""
    prompt: Prompt
    response: Response
    well_formed: bool
    verdict: Future[Examined]
    record: ProposalRecord | None = None
    """There when the verdict is taken."""
    answers: list[Response] = field(default_factory=list)
    scored: Sequence[Future[Scored]] = ()


class Estimates:
    """The proposals of a step, and the attempts that tell how hard each valid one is.

    It is the :class:`~trainer.game.policy.Further` of the call that makes the proposals: none waits
    for another one. What comes out does not depend on the order in which responses and verdicts
    come. The answers to a proposal are judged together, when the last of them is there.

    Args:
        drawer: Makes prompts.
        reward: How many attempts, and at which temperature.
        score: Judges them.
        sound: Told of each valid proposal when its verdict is taken.
        waiting: What waiting for verdicts is added to.
    """

    def __init__(
        self,
        drawer: Drawer,
        reward: RewardSettings,
        score: Score,
        sound: Callable[[ProposalRecord], None],
        waiting: Waiting,
    ) -> None:
        self._drawer = drawer
        self._reward = reward
        self._score = score
        self._sound = sound
        self._waiting = waiting
        self._proposed: dict[int, _Proposed] = {}
        self._asked: dict[str, _Proposed] = {}

    def propose(
        self,
        number: int,
        prompt: Prompt,
        response: Response,
        well_formed: bool,
        verdict: Future[Examined],
    ) -> None:
        """Add the response to prompt ``number``; ``verdict`` is that of the executor on it."""
        self._proposed[number] = _Proposed(number, prompt, response, well_formed, verdict)

    # ---- as further requests ----

    @property
    def complete(self) -> bool:
        """Whether all proposals have their verdict."""
        return not self._undecided()

    def wait(self, timeout_s: float | None = None) -> None:
        """Until one more verdict is there, or the time is over."""
        undecided = self._undecided()
        if undecided:
            self._waiting.first(undecided, timeout_s)

    def take(self) -> list[Request]:
        """The attempts at proposals that turned out valid since the last call.

        Raises:
            ExecutorLost: the executor cannot be reached.
        """
        requests = []
        for number in sorted(self._proposed):
            one = self._proposed[number]
            if one.record is None and one.verdict.done():
                one.record = ProposalRecord(
                    one.prompt, one.response, one.well_formed, one.verdict.result()
                )
                requests += self._request(one, one.record)
        return requests

    def _undecided(self) -> list[Future[Examined]]:
        return [one.verdict for one in self._proposed.values() if not one.verdict.done()]

    def _request(self, one: _Proposed, record: ProposalRecord) -> list[Request]:
        task = record.examined.task
        if task is None:
            return []
        self._sound(record)
        kind = Kind(Role.SOLVE, record.prompt.kind.task)
        messages = self._drawer.book.solve(kind.task, task)
        if not self._drawer.fits(messages):
            record.solve_rate, record.storable = 0.0, False
            return []
        name = f"{kind.tag}-estimate-{one.number}"
        self._asked[name] = one
        temperature = self._reward.learnability_temperature
        wanted = self._reward.n_samples
        return [Request(name, kind, messages, n=wanted, train=False, temperature=temperature)]

    # ---- their answers ----

    def answer(self, response: Response) -> None:
        """Take an attempt."""
        one = self._asked[response.request_id]
        one.answers.append(response)
        if len(one.answers) == self._reward.n_samples:
            self._judge(one)

    def _judge(self, one: _Proposed) -> None:
        assert one.record is not None
        assert one.record.examined.task is not None
        one.answers.sort(key=lambda response: response.sample)
        one.scored = self._score(one.prompt.kind.task, one.record.examined.task, one.answers)

    def finish(self) -> list[ProposalRecord]:
        """All proposals in the order of their prompts, the valid ones with their solve rate.

        To be called when no more responses come. Raises as :meth:`take`.
        """
        assert not self.take(), "attempts were asked for and not made"
        for one in self._asked.values():
            if one.answers and not one.scored:
                self._judge(one)
        for one in self._asked.values():
            assert one.record is not None
            one.record.estimates = [self._waiting.result(scored) for scored in one.scored]
            scores = [one.score for one in one.record.estimates if one.score is not None]
            one.record.solve_rate = fmean(scores) if scores else None
        records = [self._proposed[number].record for number in sorted(self._proposed)]
        return [record for record in records if record is not None]

    @property
    def tokens(self) -> int:
        """Tokens of all attempts."""
        return sum(answer.tokens for one in self._asked.values() for answer in one.answers)

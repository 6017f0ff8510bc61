"""A step of self-play: draw prompts, propose and solve, validate, estimate, reward, store."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from executor import Status
from trainer.game.errors import ExecutorLost, StateError
from trainer.game.play.drawing import Drawer, Prompt, TokenCounter
from trainer.game.play.estimates import Estimates
from trainer.game.play.futures import Waiting
from trainer.game.play.judging import Tally, TaskJudge
from trainer.game.play.metrics import StepNumbers, step_metrics
from trainer.game.play.proposal_views import proposal_view
from trainer.game.play.records import AnswerRecord, ProposalRecord, Record, Scored
from trainer.game.play.responses import Responses
from trainer.game.play.tables import step_tables
from trainer.game.policy import Message, Policy, Request, Response, answer_all
from trainer.game.rules import intrinsic, rewards
from trainer.game.rules.trrpp import advantages, grouping
from trainer.game.settings import GameSettings
from trainer.game.tasks.buffers import Buffers
from trainer.game.tasks.task import ALL_KINDS, Kind, Role
from trainer.game.texts.cleaning import Refused

__all__ = ["Message", "Policy", "Request", "Response", "Sample", "SelfPlay", "StepResult"]

type Json = Any

_STATE_VERSION = 1


@dataclass(frozen=True, slots=True)
class Sample:
    """A response that is trained on, with its reward."""

    response: Response
    kind: Kind
    reward: float
    """0 if masked."""
    masked: bool = False
    """Never scored (the platform failed): leave it out of baselines and of the loss."""
    advantage: float = 0.0
    """TRR++ advantage within this step's samples of the same kind."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Its fate: ``status``, ``well_formed``, and ``score`` or ``solve_rate``."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """Results of a step of self-play, for the optimizer and for people."""

    samples: tuple[Sample, ...]
    """In AZR's order of kinds, within a kind in the order of the prompts."""
    metrics: Mapping[str, float]
    tables: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    """Rows of JSON values for people: ``proposals`` and ``answers``."""


class SelfPlay:
    """The game of one model against itself.

    As in AZR, a solver's tasks are drawn at the start of a step, so that it trains on tasks of
    earlier steps; the rollouts that estimate how often a new task is solved are not trained on.

    Args:
        settings: The rules.
        buffers: The tasks so far; a step adds to them.
        judge: An open connection to the executor.
        count_tokens: Tokens of a prompt; without it no prompt is too long.

    Raises:
        TemplateError: a prompt template cannot be used.
        RewardError: the settings name an intrinsic reward that does not exist.
    """

    def __init__(
        self,
        settings: GameSettings,
        buffers: Buffers,
        judge: TaskJudge,
        count_tokens: TokenCounter | None = None,
    ) -> None:
        self._settings = settings
        self._azr = settings.azr
        self._config = settings.azr.reward.generation_reward_config
        self._buffers = buffers
        self._judge = judge
        self._count_tokens = count_tokens
        self._rng = random.Random(settings.azr.seed)
        self._drawer = Drawer(settings, buffers, judge.parsers, self._rng, count_tokens)
        self._terms = intrinsic.terms(self._config)
        self._responses = Responses(settings, judge)
        self._pending: dict[Kind, list[Prompt]] = {}

    @property
    def buffers(self) -> Buffers:
        """The tasks so far."""
        return self._buffers

    @property
    def drawer(self) -> Drawer:
        """The maker of prompts; its random choices are part of :meth:`state`."""
        return self._drawer

    def state(self) -> dict[str, Json]:
        """Everything that :meth:`restore` needs to go on exactly, as JSON values."""
        version, numbers, gauss = self._rng.getstate()
        return {
            "version": _STATE_VERSION,
            "random": [version, list(numbers), gauss],
            "buffers": self._buffers.state(),
            "pending": [prompt.to_json() for kind in self._pending.values() for prompt in kind],
        }

    def restore(self, state: Mapping[str, Json]) -> None:
        """Go on from a state.

        Raises:
            StateError: it is no state of this version; nothing has changed then.
        """
        try:
            if state["version"] != _STATE_VERSION:
                raise StateError(f"the state is of version {state['version']}")
            version, numbers, gauss = state["random"]
            random_state = (version, tuple(numbers), gauss)
            random.Random().setstate(random_state)
            pending: dict[Kind, list[Prompt]] = {}
            for row in state["pending"]:
                prompt = Prompt.from_json(row)
                pending.setdefault(prompt.kind, []).append(prompt)
            self._buffers.restore(state["buffers"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StateError(f"the game's state cannot be read: {error!r}") from error
        self._rng.setstate(random_state)
        self._pending = pending

    def step(self, policy: Policy, step: int) -> StepResult:
        """Play a step; ``step`` counts from 1.

        If it raises, the state is as before.

        Raises:
            ExecutorLost: the executor cannot be reached, in spite of waiting, or decides nothing.
            GameError: there are no tasks to draw from, or no prompt fits.
        """
        before = self._rng.getstate(), {kind: list(held) for kind, held in self._pending.items()}
        try:
            return self._play(policy, step)
        except BaseException:
            self._rng.setstate(before[0])
            self._pending = before[1]
            raise

    # ---- the step ----

    def _play(self, policy: Policy, step: int) -> StepResult:
        started = time.monotonic()
        self._judge.take_tally()
        prompts = self._prompts(step)
        waiting = Waiting()
        measured: dict[str, Future[dict[str, float] | Refused]] = {}

        def measure(proposal: ProposalRecord) -> None:
            measured[proposal.response.request_id] = self._measure(proposal)

        estimates = Estimates(
            self._drawer, self._azr.reward, self._responses.score_estimates, measure, waiting
        )
        answers = self._generate(policy, prompts, estimates, waiting)
        proposals = estimates.finish()
        tally = self._judge.take_tally()
        _require_verdicts(tally, proposals, answers)
        for proposal in proposals:
            values = measured.get(proposal.response.request_id)
            self._reward_proposal(proposal, waiting.result(values) if values else {})
        for answer in answers:
            _reward_answer(answer)
        records = _in_order(proposals, answers)
        self._set_trained_rewards(records)
        self._set_advantages(records)
        self._store(proposals, step)
        numbers = StepNumbers(
            prompts=len(prompts),
            estimated_tokens=estimates.tokens,
            waiting_s=waiting.seconds,
            seconds=time.monotonic() - started,
        )
        return self._result(records, step, tally, numbers)

    def _result(
        self, records: list[Record], step: int, tally: Tally, numbers: StepNumbers
    ) -> StepResult:
        return StepResult(
            samples=tuple(_sample(record) for record in records if self._is_trained(record)),
            metrics=step_metrics(
                records,
                self._buffers,
                tally,
                numbers,
                count_tokens=self._count_tokens,
                longest_prompt=self._settings.longest_prompt,
            ),
            tables=step_tables(records, step, self._azr.random_print_max_programs),
        )

    def _prompts(self, step: int) -> list[Prompt]:
        """This step's prompts, in AZR's order of kinds; drawn anew when those drawn are used up."""
        roles = [Role.SOLVE] if step <= self._azr.pretrain_pred_steps else list(Role)
        size = self._settings.train_batch_size
        prompts: list[Prompt] = []
        for kind in ALL_KINDS:
            if kind.task not in self._azr.task_types or kind.role not in roles:
                continue
            held = self._pending.pop(kind, [])
            if len(held) < size:
                held = self._drawer.draw(kind, self._settings.data_len, step)
            prompts += held[:size]
            if held[size:]:
                self._pending[kind] = held[size:]
        return prompts

    def _generate(
        self, policy: Policy, prompts: Sequence[Prompt], estimates: Estimates, waiting: Waiting
    ) -> list[AnswerRecord]:
        """All responses of a step; each goes to the executor as soon as it is there.

        Proposals go to ``estimates``; the answers are returned.
        """
        asked = {f"{prompt.kind.tag}-{at}": (at, prompt) for at, prompt in enumerate(prompts)}
        scored: dict[int, tuple[Response, Future[Scored]]] = {}
        requests = [Request(name, p.kind, p.messages) for name, (_, p) in asked.items()]
        for response in answer_all(policy, requests, estimates):
            if response.request_id not in asked:
                estimates.answer(response)
                continue
            number, prompt = asked[response.request_id]
            if prompt.kind.role is Role.PROPOSE:
                verdict = self._responses.examine(prompt, response)
                estimates.propose(
                    number, prompt, response, self._responses.is_well_formed(response), verdict
                )
            else:
                scored[number] = response, self._responses.score_training(prompt, response)
        return [
            self._responses.answered(prompts[number], response, waiting.result(future))
            for number, (response, future) in sorted(scored.items())
        ]

    def _measure(self, proposal: ProposalRecord) -> Future[dict[str, float] | Refused]:
        """Start to compute the intrinsic rewards that look at this kind of proposal."""
        task = proposal.examined.task
        assert task is not None
        task_type = proposal.prompt.kind.task
        wanted = {
            name: term for name, term in self._terms.items() if intrinsic.applies(name, task_type)
        }
        view = proposal_view(
            task_type, task, proposal.prompt.references, self._buffers,
            original=self._config.use_original_code_as_ref,
        )  # fmt: skip
        return self._judge.parsers.measure(view, wanted)

    # ---- rewards ----

    def _reward_proposal(
        self, proposal: ProposalRecord, values: dict[str, float] | Refused
    ) -> None:
        proposal.values = {} if isinstance(values, Refused) else values
        unknown = proposal.examined.masked or (proposal.valid and proposal.solve_rate is None)
        if unknown and proposal.well_formed:
            proposal.masked = True
            return
        rate = proposal.solve_rate
        if proposal.valid and rate is not None:
            conversion = self._config.generation_accuracy_convertion
            proposal.learnability = rewards.learnability(rate, conversion)
        combined = intrinsic.combine(
            proposal.learnability,
            proposal.values,
            self._terms,
            self._config.intrinsic_combine_method,
        )
        proposal.reward = rewards.proposer_reward(
            proposal.learnability,
            combined,
            valid=proposal.valid,
            well_formed=proposal.well_formed,
            zero_learnability=self._azr.reward.zero_learnability,
        )

    def _set_advantages(self, records: Sequence[Record]) -> None:
        values = advantages(
            [record.trained_reward for record in records],
            [record.response.tokens for record in records],
            grouping([record.prompt.kind for record in records], self._azr.advantage.baseline),
            weighting=self._azr.advantage.weighting,
            counted=[not record.masked for record in records],
        )
        for record, value in zip(records, values, strict=True):
            record.advantage = float(value)

    def _set_trained_rewards(self, records: Sequence[Record]) -> None:
        """The rewards themselves; for a control experiment shuffled within each kind."""
        for record in records:
            record.trained_reward = record.reward
        if not self._azr.advantage.shuffle_rewards:
            return
        for kind in ALL_KINDS:
            own = [record for record in records if record.prompt.kind == kind]
            scored = [record for record in own if not record.masked]
            rewards_of = [record.reward for record in scored]
            self._rng.shuffle(rewards_of)
            for record, reward in zip(scored, rewards_of, strict=True):
                record.trained_reward = reward

    def _store(self, proposals: Sequence[ProposalRecord], step: int) -> None:
        """Add the valid proposals to the buffers, in the order of their prompts."""
        which = self._azr.data_selection_strategy.valid_program_filter
        for proposal in proposals:
            task = proposal.examined.task
            if task is None or not proposal.storable:
                continue
            if rewards.passes_filter(proposal.solve_rate, which):
                proposal.stored = self._buffers.add(proposal.prompt.kind.task, task.at_step(step))
                proposal.duplicate = not proposal.stored

    def _is_trained(self, record: Record) -> bool:
        return isinstance(record, AnswerRecord) or self._azr.train_propose


def _require_verdicts(
    tally: Tally, proposals: Sequence[ProposalRecord], answers: Sequence[AnswerRecord]
) -> None:
    """An executor that decides nothing at all in a step is lost, whatever it answers.

    Raises:
        ExecutorLost: says what it gave as the reason.
    """
    outcomes = tally.validations + tally.answers
    if set(outcomes) != {Status.INFRA.value}:
        return
    examined = [(proposal.examined.status, proposal.examined.detail) for proposal in proposals]
    scored = [(answer.scored.status, answer.scored.detail) for answer in answers]
    reasons = [detail for status, detail in examined + scored if status == Status.INFRA.value]
    raise ExecutorLost(
        f"the executor decided on none of {outcomes.total()} programs and answers: "
        f"{reasons[0] if reasons else 'no reason given'}"
    )


def _reward_answer(answer: AnswerRecord) -> None:
    score = answer.scored.score
    if score is None and answer.well_formed:
        answer.masked = True
        return
    answer.reward = rewards.solver_reward(score or 0.0, well_formed=answer.well_formed)


def _in_order(proposals: Sequence[ProposalRecord], answers: Sequence[AnswerRecord]) -> list[Record]:
    by_kind: dict[Kind, list[Record]] = {kind: [] for kind in ALL_KINDS}
    records: list[Record] = [*proposals, *answers]
    for record in records:
        by_kind[record.prompt.kind].append(record)
    return [record for kind in ALL_KINDS for record in by_kind[kind]]


def _sample(record: Record) -> Sample:
    if isinstance(record, ProposalRecord):
        details = {"status": record.examined.status, "solve_rate": record.solve_rate}
    else:
        details = {"status": record.scored.status, "score": record.scored.score}
    return Sample(
        response=record.response,
        kind=record.prompt.kind,
        reward=record.trained_reward,
        masked=record.masked,
        advantage=record.advantage,
        details={**details, "well_formed": record.well_formed},
    )

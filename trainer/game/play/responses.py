"""Responses of the model, handed to the executor: proposals to examine, answers to score."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from executor import Judgement
from trainer.game.play.drawing import Prompt
from trainer.game.play.futures import known, mapped
from trainer.game.play.judging import Examined, TaskJudge
from trainer.game.play.records import AnswerRecord, Scored
from trainer.game.policy import Response
from trainer.game.settings import GameSettings
from trainer.game.tasks.task import Task, TaskType
from trainer.game.texts.parsing import (
    Malformed,
    extract_answer,
    is_well_formed,
    parse_induction_proposal,
    parse_program_proposal,
    parse_solution,
)


class Responses:
    """Reads responses as the settings say, and starts to judge what is in them.

    Args:
        settings: How answers are marked and taken out.
        judge: An open connection to the executor.
    """

    def __init__(self, settings: GameSettings, judge: TaskJudge) -> None:
        self._settings = settings
        self._azr = settings.azr
        self._config = settings.azr.reward.generation_reward_config
        self._judge = judge

    def answered(self, prompt: Prompt, response: Response, outcome: Scored) -> AnswerRecord:
        """The record of an answer with its score."""
        well_formed = self.is_well_formed(response) and not _lacks_program(prompt, outcome)
        return AnswerRecord(prompt, response, well_formed, outcome)

    def examine(self, prompt: Prompt, response: Response) -> Future[Examined]:
        """Examine the proposal in the answer of a response."""
        return self.examine_text(prompt, self._answer(response))

    def examine_text(self, prompt: Prompt, text: str) -> Future[Examined]:
        """Examine a proposal; the whole text is searched for it."""
        if prompt.kind.task is TaskType.INDUCTION:
            wanted = self._azr.data_selection_strategy.num_inputs
            inputs = parse_induction_proposal(text, num_inputs=wanted)
            if isinstance(inputs, Malformed):
                return known(Examined("malformed", inputs.reason))
            return self._judge.examine_induction(prompt.references[0], inputs)
        program = parse_program_proposal(text, code_location=self._config.code_location)
        if isinstance(program, Malformed):
            return known(Examined("malformed", program.reason))
        return self._judge.examine_program(prompt.kind.task, program, prompt.functions)

    def score_training(self, prompt: Prompt, response: Response) -> Future[Scored]:
        """The score of an answer; one that is not tagged as asked is not judged."""
        assert prompt.task is not None
        if not self.is_well_formed(response):
            return known(Scored(response, "", 0.0, "malformed", "the tags are not as asked"))
        (scored,) = self._score(prompt.kind.task, prompt.task, [response], code_block=None)
        return scored

    def _score(
        self,
        task_type: TaskType,
        task: Task,
        responses: Sequence[Response],
        *,
        code_block: bool | None,
    ) -> list[Future[Scored]]:
        """Judge responses to one task together; ``code_block``: ``None`` is as the settings say."""
        extract = self._azr.reward.extract_code_block if code_block is None else code_block
        solutions = [
            parse_solution(self._answer(response), task_type, extract_code_block=extract)
            for response in responses
        ]
        texts = [solution for solution in solutions if isinstance(solution, str)]
        judged = self._judge.judge(task_type, task, texts) if texts else None
        places = iter(range(len(texts)))
        return [
            _later(judged, next(places), response, solution)
            if judged is not None and isinstance(solution, str)
            else known(Scored(response, "", 0.0, "malformed", _reason(solution)))
            for response, solution in zip(responses, solutions, strict=True)
        ]

    def score_estimates(
        self, task_type: TaskType, task: Task, responses: Sequence[Response]
    ) -> list[Future[Scored]]:
        """The scores of attempts at a new task; their code blocks are taken out."""
        return self._score(task_type, task, responses, code_block=True)

    def is_well_formed(self, response: Response) -> bool:
        """Whether the tags are as asked."""
        if not self._config.format_reward:
            return True
        return is_well_formed(response.text, self._settings.reward_fn.style)

    def _answer(self, response: Response) -> str:
        reward_fn = self._settings.reward_fn
        return extract_answer(response.text, reward_fn.style, boxed_retry=reward_fn.boxed_retry)


def _later(
    judged: Future[Judgement], place: int, response: Response, solution: str
) -> Future[Scored]:
    """One answer's score out of a judgement that is still to come."""

    def scored(judgement: Judgement) -> Scored:
        return Scored(
            response,
            solution,
            judgement.scores[place],
            judgement.statuses[place].value,
            judgement.details[place],
        )

    return mapped(judged, scored)


def _lacks_program(prompt: Prompt, scored: Scored) -> bool:
    """For induction an answer without a fenced program counts as badly formatted."""
    return (
        prompt.kind.task is TaskType.INDUCTION
        and scored.status == "malformed"
        and (not scored.solution)
    )


def _reason(solution: str | Malformed) -> str:
    return solution.reason if isinstance(solution, Malformed) else ""

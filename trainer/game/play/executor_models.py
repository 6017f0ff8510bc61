"""Tasks of the game as the executor's models, and its results as tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from executor import JudgeTask, Options, Rules, Triplet
from trainer.game.settings import AzrSettings
from trainer.game.tasks.literal_types import type_of_arguments, type_of_value
from trainer.game.tasks.task import InductionTask, Task, TaskType

EXCEPTION_TYPE = "exception"
"""The type that statistics give to the answers of error deduction."""


def validation_options(settings: AzrSettings) -> tuple[Options, Options]:
    """The rules that proposals are validated under: for values, and for error deduction."""
    strategy = settings.data_selection_strategy
    bans = tuple(dict.fromkeys(strategy.banned_words))
    keywords: tuple[Literal["raise", "assert", "try"], ...] = tuple(
        dict.fromkeys(
            "try" if word == "except" else word
            for word in strategy.banned_keywords_for_errors_and_exceptions
        )
    )
    rules = Rules(banned_modules=bans)
    strict = rules.model_copy(update={"banned_keywords": keywords})
    return Options(rules=rules), Options(rules=strict)


def triplet(task_type: TaskType, task: Task) -> Triplet:
    """A task to validate; outputs that it lacks are not compared."""
    if isinstance(task, InductionTask):
        return Triplet(
            program=task.snippet,
            inputs=task.inputs,
            outputs=task.outputs or None,
            imports=task.imports,
        )
    return Triplet(
        program=task.snippet,
        inputs=(task.input,),
        outputs=(task.output,) if task.output else None,
        imports=task.imports,
        expects="error" if task_type is TaskType.ERROR else "value",
    )


def judge_task(
    task_type: TaskType,
    task: Task,
    answers: Sequence[str],
    scoring: Literal["binary", "accuracy", "if_one_correct"],
) -> JudgeTask:
    """Answers to score; for induction on the hidden pairs only."""
    if isinstance(task, InductionTask):
        hidden = task.hidden
        return JudgeTask(
            task=task_type,
            answers=tuple(answers),
            program=task.snippet,
            imports=task.imports,
            inputs=tuple(given for given, _ in hidden),
            outputs=tuple(output for _, output in hidden),
            scoring=_SCORING[scoring],
        )
    return JudgeTask(
        task=task_type,
        answers=tuple(answers),
        program=task.snippet,
        imports=task.imports,
        inputs=(task.input,),
        outputs=(task.output,),
    )


_SCORING: dict[str, Literal["binary", "fraction", "any"]] = {
    "binary": "binary",
    "accuracy": "fraction",
    "if_one_correct": "any",
}


def with_outputs(task_type: TaskType, task: Task, outputs: tuple[str, ...]) -> Task:
    """A validated task: the executor's outputs, and the types of its values."""
    if isinstance(task, InductionTask):
        return replace(
            task,
            outputs=outputs,
            input_types=tuple(map(type_of_arguments, task.inputs)),
            output_types=tuple(map(type_of_value, outputs)),
        )
    is_error = task_type is TaskType.ERROR
    return replace(
        task,
        output=outputs[0],
        input_type=type_of_arguments(task.input),
        output_type=EXCEPTION_TYPE if is_error else type_of_value(outputs[0]),
    )

"""The prompt set ``original``: the prompts of the original's code, byte for byte."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.trainer.support.game import program_task, settings
from trainer.game.settings import DataSelectionStrategy
from trainer.game.tasks.task import InductionTask, TaskType
from trainer.game.texts.prompts import PromptBook

README = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves "
    "it. The assistant first thinks about the reasoning process in the mind and then provides the "
    "user with the answer. The reasoning process and answer are enclosed within <think> </think> "
    "and <answer> </answer> tags, respectively, i.e., <think> reasoning process here </think> "
    "<answer> answer here </answer>. User: {question}\nAssistant: <think>"
)
"""The template in the original's README."""

RAISE = DataSelectionStrategy(banned_keywords_for_errors_and_exceptions=("raise",))
BOOK = PromptBook(settings(prompt_set="original", data_selection_strategy=RAISE))
TASKS = (
    program_task("def f(a, b):\n    return {a: b}", "'x', 2", "{'x': 2}"),
    program_task("def f(a):\n    return a", "1", "1"),
)
INDUCTION = InductionTask("SECRET", tuple("1234"), tuple("5678"), "the message")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def test_the_wrapper_is_that_of_the_readme() -> None:
    (message,) = BOOK.solve(TaskType.DEDUCTION, TASKS[0])
    before, after = README.split("{question}")
    assert message.content.startswith(before)
    assert message.content.endswith(after)


@pytest.mark.parametrize(
    ("task_type", "proposing", "solving"),
    [
        (TaskType.ABDUCTION, "34bc520fbfb2f145", "749e24d8dd1e93c1"),
        (TaskType.DEDUCTION, "60b456746568b5b5", "b70c1abc77378eba"),
        (TaskType.ERROR, "7df3b56894d594d7", "c6f018b72a1515dd"),
    ],
)
def test_prompts_of_programs_are_those_of_the_code(
    task_type: TaskType, proposing: str, solving: str
) -> None:
    """Digests of what get_code_problem_generator_prompt and ..._predictor_prompt return."""
    assert digest(BOOK.propose(task_type, TASKS)[0].content) == proposing
    assert digest(BOOK.solve(task_type, TASKS[0])[0].content) == solving


def test_prompts_of_induction_are_those_of_the_code() -> None:
    assert digest(BOOK.propose(TaskType.INDUCTION, TASKS[:1])[0].content) == "9c3d59e4b65e6207"
    book = BOOK.solve(TaskType.INDUCTION, INDUCTION)[0].content
    assert "```output_1\n6\n```\n\n\n# Message:" in book
    assert "SECRET" not in book


def test_a_composite_prompt_has_the_functions() -> None:
    (message,) = BOOK.propose(TaskType.ABDUCTION, TASKS, ["def g_0(x):\n    return x"])
    assert "</snippet_1>\n\n[IMPORTANT CRITERIA!!!]" in message.content
    assert "ALL these functions `g_0` in its body" in message.content
    assert "```python\ndef g_0(x):\n    return x\n```" in message.content


def test_options_add_their_rules() -> None:
    reward = {"generation_reward_config": {"remove_input_from_snippet": True}}
    book = PromptBook(settings(prompt_set="original", reward=reward))
    (message,) = book.propose(TaskType.DEDUCTION, TASKS)
    assert "will be removed\n- Do not have the test input anywhere" in message.content


def test_templates_of_ones_own_come_first(tmp_path: Path) -> None:
    """Also where the set has one template for the whole, and the folder has its parts."""
    own = "$goal $difficulty $extra_rules $banned_words $extra_criteria $references $composite MINE"
    (tmp_path / "propose_program.txt").write_text(own)
    book = PromptBook(settings(prompt_set="original", prompts_dir=str(tmp_path)))
    (message,) = book.propose(TaskType.DEDUCTION, TASKS)
    assert "MINE" in message.content
    (tmp_path / "propose_deduction.txt").write_text(
        "$extra_rules $banned_words $extra_criteria $references $composite WHOLE"
    )
    (message,) = PromptBook(settings(prompt_set="rewritten", prompts_dir=str(tmp_path))).propose(
        TaskType.DEDUCTION, TASKS
    )
    assert "WHOLE" in message.content


def test_the_templates_name_their_origin() -> None:
    import trainer.game.texts.prompts

    folder = Path(trainer.game.texts.prompts.__file__).parent / "original"
    text = (folder / "LICENSE").read_text()
    assert "LeapLabTHU/Absolute-Zero-Reasoner" in text
    assert "Permission is hereby granted, free of charge" in text

"""Settings and prompts: defaults, what is refused, what is shown and what is hidden."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.trainer.support.game import program_task, settings
from trainer.game.errors import TemplateError
from trainer.game.rules.intrinsic import terms
from trainer.game.settings import (
    BANNED_WORDS,
    AzrSettings,
    DataSelectionStrategy,
    GameSettings,
    RewardFnSettings,
    RewardSettings,
)
from trainer.game.tasks.task import ALL_KINDS, TASK_ORDER, InductionTask, Kind, TaskType
from trainer.game.texts.prompts import PromptBook
from trainer.game.texts.prompts.render import PLACEHOLDERS


def test_defaults_are_azrs() -> None:
    azr = AzrSettings()
    strategy, config = azr.data_selection_strategy, azr.reward.generation_reward_config
    assert (azr.reward.n_samples, strategy.io_n, strategy.num_inputs) == (8, 6, 10)
    assert (azr.pred_data_mix_strategy, strategy.valid_program_filter) == ("max_new", "all")
    assert azr.task_types == (TaskType.ABDUCTION, TaskType.DEDUCTION, TaskType.INDUCTION)
    assert azr.reward.zero_learnability == "penalty"
    assert azr.advantage.weighting == "token"
    assert azr.new_window == 1
    assert not any(term.enabled for term in terms(config).values())
    assert strategy.banned_words == BANNED_WORDS
    assert GameSettings().seeds_wanted == 256
    assert GameSettings().longest_prompt == 6144


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: AzrSettings(exector="nsjail"), "exector"),  # type: ignore[call-arg]
        (lambda: AzrSettings(executor="qwq"), "nsjail"),
        (lambda: AzrSettings(executor="http"), "executor=http needs executor_url"),
        (lambda: AzrSettings(problem_types=("code_x",)), "code_i"),
        (lambda: RewardSettings(n_samples=0), "n_samples"),
        (lambda: RewardFnSettings(splitter="Assistant:"), "splitter"),  # type: ignore[call-arg]
        (
            lambda: DataSelectionStrategy(composite_function_n_max=2),
            "composite_function_n_min must be from 1 to composite_function_n_max",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(make: Any, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        make()


def test_one_url_or_several() -> None:
    assert AzrSettings(executor_url=None).executor_url == ()
    assert AzrSettings(executor="http", executor_url="http://a").executor_url == ("http://a",)
    several = AzrSettings(executor="http", executor_url=["http://a", "http://b"])
    assert several.executor_url == ("http://a", "http://b")


def test_kinds_are_found_by_all_their_names() -> None:
    assert [kind.name for kind in ALL_KINDS] == [
        "gen_code_i", "pred_code_i", "gen_code_o", "pred_code_o", "gen_code_e", "pred_code_e",
        "gen_code_f", "pred_code_f",
    ]  # fmt: skip
    for kind in ALL_KINDS:
        assert Kind.of(kind.name) == Kind.of(kind.tag) == Kind.of(f"{kind.tag}-0af3") == kind
        assert "_" not in kind.tag
    with pytest.raises(ValueError, match="names no role"):
        Kind.of("gen_code_x")


# -- Prompts --

TASK = program_task("def f(x):\n    return '$goal' + x", "'a'", "'$goala'")
INDUCTION = InductionTask("SECRET", tuple("1234"), tuple("5678"), "the message")
BOOK = PromptBook(GameSettings())


def text(book: PromptBook, task_type: TaskType) -> str:
    task = INDUCTION if task_type is TaskType.INDUCTION else TASK
    (message,) = book.solve(task_type, task)
    return message.content


def test_solver_prompts_show_what_is_given_and_hide_the_rest() -> None:
    abduction, deduction = (text(BOOK, t) for t in (TaskType.ABDUCTION, TaskType.DEDUCTION))
    assert TASK.snippet in abduction
    assert "```output\n'$goala'\n```" in abduction
    assert "```input\n'a'\n```" not in abduction
    assert "```input\n'a'\n```" in deduction
    assert "'$goala'" not in deduction
    induction = text(BOOK, TaskType.INDUCTION)
    assert "```input_1\n2\n```\n```output_1\n6\n```" in induction
    assert "```message\nthe message\n```" in induction
    assert "SECRET" not in induction
    assert "input_2" not in induction


def test_every_prompt_ends_where_the_thoughts_begin() -> None:
    for task_type in TASK_ORDER:
        assert text(BOOK, task_type).endswith("Assistant: <think>")
    boxed = PromptBook(GameSettings(reward_fn=RewardFnSettings(extraction_type="boxed_addition")))
    assert text(boxed, TaskType.DEDUCTION).endswith("within \\boxed{}.")


def test_proposer_prompts_hold_references_bans_and_functions() -> None:
    strategy = DataSelectionStrategy(banned_keywords_for_errors_and_exceptions=("raise",))
    book = PromptBook(settings(data_selection_strategy=strategy))
    for task_type in (TaskType.ABDUCTION, TaskType.DEDUCTION, TaskType.ERROR):
        (message,) = book.propose(task_type, [TASK, TASK], ["def g_0(x):\n    return x"])
        label = "error" if task_type is TaskType.ERROR else "output"
        assert f"```{label}\n'$goala'\n```\n</snippet_1>" in message.content
        assert ", ".join(BANNED_WORDS) in message.content
        assert "`g_0`" in message.content
        assert "def g_0(x):" in message.content
        assert ("program: raise" in message.content) == (task_type is TaskType.ERROR)


def test_the_induction_proposer_sees_the_program_only() -> None:
    (message,) = BOOK.propose(TaskType.INDUCTION, [TASK])
    assert TASK.snippet in message.content
    assert TASK.output not in message.content
    assert "find 10 inputs" in message.content


def test_templates_can_be_replaced_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "solve_deduction.txt").write_text("Cost: $$5. $snippet of $input?\n")
    book = PromptBook(settings(prompts_dir=str(tmp_path)))
    assert f"Cost: $5. {TASK.snippet} of 'a'?" in text(book, TaskType.DEDUCTION)
    assert text(book, TaskType.ABDUCTION) == text(BOOK, TaskType.ABDUCTION)


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        (b"no placeholders", r"the placeholder \$input is missing"),
        (b"$snippet $input $output", r"there is no \$output to put in"),
        (b"$snippet $input 5$", r"a '\$' that stands for itself is written '\$\$'"),
        (b"\xff", "cannot be read"),
    ],
)
def test_a_template_that_cannot_be_used_says_why(
    tmp_path: Path, template: bytes, problem: str
) -> None:
    (tmp_path / "solve_deduction.txt").write_bytes(template)
    with pytest.raises(TemplateError, match=problem):
        PromptBook(settings(prompts_dir=str(tmp_path)))


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="which is no folder"):
        PromptBook(settings(prompts_dir=str(tmp_path / "nowhere")))


def test_every_template_is_listed() -> None:
    folder = Path(sys.modules["trainer.game.texts.prompts"].__file__ or "").parent
    assert {path.stem for path in folder.glob("*.txt")} == set(PLACEHOLDERS)


@given(st.text(max_size=60), st.text(max_size=60))
def test_what_is_put_in_is_put_in_as_it_is(snippet: str, output: str) -> None:
    (message,) = BOOK.solve(TaskType.ABDUCTION, program_task(snippet, "1", output))
    assert f"```python\n{snippet}\n```" in message.content
    assert f"```output\n{output}\n```" in message.content

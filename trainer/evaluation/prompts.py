"""What stands around a question: the wrapper of the training, the original's, ours, or none."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.problems import Problem
from trainer.evaluation.questions import question
from trainer.game.settings import AzrSettings, GameSettings
from trainer.game.texts.prompts.render import PromptBook

type Style = Literal["auto", "training", "original", "rewritten", "plain"]

WRAPPER = "prompt_template.txt"
"""What ``convert-to-hf`` writes beside a model: what stood around every question."""
_PLACE = "{question}"


@dataclass(frozen=True, slots=True)
class Prompts:
    """How questions are put."""

    style: str
    """What it was: never ``auto``."""
    wrapper: str | None
    """With ``{question}`` in it; ``None``: the question stands for itself."""
    book: PromptBook
    """The texts of the tasks that the game has, too."""
    whole: bool
    """The text is all of the prompt: no chat template goes around it, unless one is asked for."""

    def text(self, problem: Problem) -> str:
        """The prompt of a problem, as one message of a user."""
        if self.wrapper is not None:
            return self.wrapper.replace(_PLACE, problem.question)
        if problem.kind == "math":
            return question("boxed", question=problem.question)
        return problem.question


def prompts(style: Style, model: Path | None) -> Prompts:
    """The prompts of a style.

    Args:
        style: ``training``: the model's own, from beside it; ``auto``: that where it is there, else
            ``plain``.
        model: The model's folder, if it is one.

    Raises:
        EvaluationError: the model has no wrapper.
    """
    own = model / WRAPPER if model is not None else None
    if style == "auto":
        style = "training" if own is not None and own.is_file() else "plain"
    if style == "plain":
        return Prompts(style, None, _book("rewritten"), whole=False)
    if style in ("original", "rewritten"):
        book = _book("original" if style == "original" else "rewritten")
        return Prompts(style, book.around(_PLACE), book, whole=True)
    if own is None or not own.is_file():
        raise EvaluationError(
            f"{model or 'the model'} has no {WRAPPER}, which convert-to-hf writes: with --prompt "
            "original, rewritten or plain it is not needed"
        )
    wrapper = own.read_text(encoding="utf-8").removesuffix("\n")
    if _PLACE not in wrapper:
        raise EvaluationError(f"{own} has no {_PLACE} where the question is to stand")
    original = _book("original")
    book = original if original.around(_PLACE) == wrapper else _book("rewritten")
    return Prompts("training", wrapper, book, whole=False)


def _book(prompt_set: Literal["original", "rewritten"]) -> PromptBook:
    return PromptBook(GameSettings(azr=AzrSettings(prompt_set=prompt_set)))


def digest(text: str) -> str:
    """SHA-256 of a prompt, in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

"""Examples of supervised learning: prompts exactly as in self-play, and right responses."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from trainer.game.policy import Message
from trainer.game.tasks.task import Kind, ProgramTask, Role, TaskType
from trainer.game.texts.prompts import PromptBook
from trainer.warmstart.corpus import TASK_TYPES, Sound
from trainer.warmstart.programs import LEVELS
from trainer.warmstart.settings import WarmStart, game_settings


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and the response to learn."""

    kind: Kind
    messages: tuple[Message, ...]
    response: str


def examples(
    programs: Sequence[Sound],
    settings: WarmStart,
    seed: int,
    types: Sequence[TaskType] = TASK_TYPES,
) -> Iterator[Example]:
    """Examples for ever: the types and all levels alike, proposals as often as the settings say."""
    book = PromptBook(game_settings(settings))
    rng = random.Random(seed)
    by_level = [[one for one in programs if one.level == level] for level in LEVELS]
    by_level = [level for level in by_level if level]

    def draw() -> Sound:
        return rng.choice(rng.choice(by_level))

    while True:
        task_type = rng.choice(types)
        if rng.random() < settings.training.proposer_share:
            yield _proposal(task_type, draw, book, settings, rng)
        else:
            yield _answer(task_type, draw(), book, settings, rng)


def _answer(
    task_type: TaskType, one: Sound, book: PromptBook, settings: WarmStart, rng: random.Random
) -> Example:
    kind = Kind(Role.SOLVE, task_type)
    careless, wrong = _author(settings, rng)
    if task_type is TaskType.INDUCTION:
        task = one.induction_task(_choose(one, settings.training.num_inputs, rng))
        text = fence("python", unchanging(one.source) if wrong else one.source)
        thought = "" if careless else plan(one)
        return Example(kind, book.solve(task_type, task), answered(text, thought))
    at = rng.randrange(len(one.inputs))
    prompt = book.solve(task_type, one.program_task(at))
    if task_type is TaskType.ABDUCTION:
        label, think = "input", backwards
        given, wanted = one.outputs[at], one.inputs[at]
    else:
        label, think = "output", forwards
        given, wanted = one.inputs[at], one.outputs[at]
    text = fence(label, given if wrong else wanted)
    return Example(kind, prompt, answered(text, "" if careless else think(one, at)))


def plan(one: Sound) -> str:
    """A program's steps in words."""
    return ", ".join(one.steps)


def forwards(one: Sound, at: int) -> str:
    """A program's steps on one of its inputs, with the values between them."""
    return _lines(one.steps, one.between[at])


def backwards(one: Sound, at: int) -> str:
    """The same from the last step to the first."""
    return _lines(one.steps[::-1], one.between[at][::-1])


def _lines(steps: Sequence[str], between: Sequence[str]) -> str:
    rows = zip_longest(steps, between, fillvalue="")
    return "\n".join(text for row in rows for text in row if text)


def _author(settings: WarmStart, rng: random.Random) -> tuple[bool, bool]:
    """Draw an author: whether careless, and whether this proposal of theirs is wrong."""
    careless = rng.random() < settings.training.careless_share
    return careless, careless and rng.random() < settings.training.wrong_share


def unchanging(source: str) -> str:
    """The program of the same parameters that returns the first of them."""
    head, _, _ = source.partition("\n")
    return f"{head}\n    return {head.partition('(')[2].partition(':')[0]}"


def _proposal(
    task_type: TaskType,
    draw: Callable[[], Sound],
    book: PromptBook,
    settings: WarmStart,
    rng: random.Random,
) -> Example:
    kind = Kind(Role.PROPOSE, task_type)
    one = draw()
    careless, wrong = _author(settings, rng)
    thought = "" if careless else plan(one)
    meant = draw() if wrong else one
    if task_type is TaskType.INDUCTION:
        prompt = book.propose(task_type, [one.program_task(0)])
        chosen = _choose(meant, settings.training.num_inputs, rng)
        inputs = [fence("input", meant.inputs[at]) for at in chosen]
        text = "\n".join([*inputs, fence("message", one.hint)])
        return Example(kind, prompt, answered(text, thought))
    shown = [_any_task(draw(), rng) for _ in range(settings.training.references)]
    prompt = book.propose(task_type, shown)
    given = meant.inputs[rng.randrange(len(meant.inputs))]
    text = f"{fence('python', one.source)}\n{fence('input', given)}"
    return Example(kind, prompt, answered(text, thought))


def _any_task(one: Sound, rng: random.Random) -> ProgramTask:
    return one.program_task(rng.randrange(len(one.inputs)))


def _choose(one: Sound, count: int, rng: random.Random) -> list[int]:
    return rng.sample(range(len(one.inputs)), min(count, len(one.inputs)))


def fence(label: str, text: str) -> str:
    """A fenced block."""
    return f"```{label}\n{text}\n```"


def answered(text: str, thought: str = "") -> str:
    """A response: the prompt has opened the thoughts."""
    return f"{thought}</think><answer>{text}</answer>"

"""A seeded generator of small typed functions with inputs.

Level 1 is one step, level 2 two steps or a branch, level 3 three steps or a loop.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from trainer.game.errors import GameError
from trainer.warmstart.forms import BOOL, INT, LIST, STEPS, STR, WHOLES, Step, constants, value

LEVELS = (1, 2, 3)

_NAMES = {INT: ("n", "a"), STR: ("s", "w"), LIST: ("x", "z")}
_SECOND_NAMES = {INT: "k", STR: "u", LIST: "y"}
_TOLD_SHARE = 0.7
"""Programs whose hint has the constants."""
_WHOLE_SHARE = 0.35
"""Programs that are one of the whole forms, rather than a chain of steps."""
_MOST_REPEATS = 10_000
"""Known programs drawn in a row after which there are taken to be no others; half a second."""


@dataclass(frozen=True, slots=True)
class Generated:
    """A function with inputs that it was made for; nothing has run yet."""

    source: str
    inputs: tuple[str, ...]
    """Different from each other."""
    hint: str
    """What it does, with or without its constants."""
    steps: tuple[str, ...]
    """What each of its steps does, with the constants; a whole form is one step."""
    stages: tuple[str, ...]
    """The program up to each of its steps but the last: what they return lies between the steps."""
    level: int


def generate(seed: int, inputs: int, levels: int = len(LEVELS)) -> Iterator[Generated]:
    """Programs of levels 1 to ``levels`` alike, each source once; ``inputs`` is the most of each.

    Raises:
        GameError: all that there are have been generated.
    """
    rng = random.Random(seed)
    known: set[str] = set()
    repeats = 0
    while repeats < _MOST_REPEATS:
        level = rng.choice(LEVELS[:levels])
        told = rng.random() < _TOLD_SHARE
        draft = _whole(level, rng) if rng.random() < _WHOLE_SHARE else _steps(level, rng)
        if draft.sources[-1] in known:
            repeats += 1
            continue
        repeats = 0
        known.add(draft.sources[-1])
        yield Generated(
            draft.sources[-1],
            _inputs(draft.takes, inputs, rng),
            ", ".join(_hint(part, part.drawn if told else {}) for part in draft.parts),
            tuple(_hint(part, part.drawn) for part in draft.parts),
            draft.sources[:-1],
            level,
        )
    raise GameError(
        f"there are no more than about {len(known)} programs of levels 1 to {levels}: "
        "ask for fewer programs, or for more levels"
    )


class _Part(NamedTuple):
    """A step, or a whole form, with the constants that were drawn for it."""

    hint: str
    form: str
    drawn: Mapping[str, str]


class _Draft(NamedTuple):
    """A function before it has a hint and inputs."""

    takes: tuple[str, ...]
    parts: tuple[_Part, ...]
    sources: tuple[str, ...]
    """The function up to each of its parts; the last is all of it."""


def _whole(level: int, rng: random.Random) -> _Draft:
    """One of the whole forms."""
    form = rng.choice([form for form in WHOLES if form.level == level])
    names = _names(form.takes, rng)
    part = _Part(form.hint, form.body, constants(rng))
    body = form.body.format(**_variables(names), **part.drawn)
    return _Draft(form.takes, (part,), (_function(names, form.takes, form.gives, body),))


def _steps(level: int, rng: random.Random) -> _Draft:
    """A chain of as many steps as the level says."""
    steps = _chain(level, rng)
    takes, gives = (steps[0].takes,), steps[-1].gives
    names = _names(takes, rng)
    parts = tuple(_Part(step.hint, step.text, constants(rng)) for step in steps)
    bodies = _bodies(steps, [part.drawn for part in parts], names[0], rng)
    return _Draft(takes, parts, tuple(_function(names, takes, gives, body) for body in bodies))


def _chain(length: int, rng: random.Random) -> list[Step]:
    chain = [rng.choice(STEPS)]
    while len(chain) < length:
        following = [step for step in STEPS if step.takes == chain[-1].gives]
        if chain[-1].gives == BOOL or not following:
            chain = [rng.choice(STEPS)]
            continue
        chain.append(rng.choice(following))
    return chain


def _hint(part: _Part, shown: Mapping[str, str]) -> str:
    """``add`` becomes ``add 3`` if the form's constants are to be shown."""
    used = dict.fromkeys(name for name in re.findall(r"\{(\w)\}", part.form) if name in shown)
    return " ".join([part.hint, *(shown[name] for name in used)])


def _bodies(
    steps: list[Step], drawn_each: list[Mapping[str, str]], name: str, rng: random.Random
) -> list[str]:
    """The function up to each of its steps; a statement for each, and no variable changes type."""
    bodies: list[str] = []
    lines: list[str] = []
    at = name
    for number, (step, drawn) in enumerate(zip(steps, drawn_each, strict=True)):
        text = step.text.format(x=at, **drawn)
        bodies.append("\n".join([*lines, f"return {text}"]))
        if step.gives != step.takes or (at == name and rng.random() < 0.3):
            at = "pqr"[number]
        lines.append(f"{at} = {text}")
    return bodies


def _names(takes: tuple[str, ...], rng: random.Random) -> tuple[str, ...]:
    return (rng.choice(_NAMES[takes[0]]), *(_SECOND_NAMES[kind] for kind in takes[1:]))


def _variables(names: tuple[str, ...]) -> dict[str, str]:
    return dict(zip(("x", "y"), names, strict=False))


def _function(names: tuple[str, ...], takes: tuple[str, ...], gives: str, body: str) -> str:
    parameters = ", ".join(f"{name}: {kind}" for name, kind in zip(names, takes, strict=True))
    indented = "\n".join(f"    {line}" for line in body.split("\n"))
    return f"def f({parameters}) -> {gives}:\n{indented}"


def _inputs(takes: tuple[str, ...], count: int, rng: random.Random) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for _ in range(4 * count):
        found[", ".join(value(kind, rng) for kind in takes)] = None
        if len(found) == count:
            break
    return tuple(found)

"""docs/trainer.md says what the code has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from typer.main import get_command

from trainer.cli.app import app
from trainer.game.settings import AzrSettings, RewardFnSettings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "trainer.md").read_text()
CODE = set(re.findall(r"`([^`\n]+)`", TEXT))


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Leaves; the parts of a reward's settings are documented with it."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if name.endswith("_reward"):
            yield f"{prefix}{name}"
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from keys(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def is_named(key: str) -> bool:
    parts = key.split(".")
    return any(".".join(parts[start:]) in CODE for start in range(len(parts)))


@pytest.mark.parametrize(
    "key", [*keys(AzrSettings), *(f"reward_fn.{key}" for key in keys(RewardFnSettings))]
)
def test_every_key_of_the_game_is_documented(key: str) -> None:
    assert is_named(key)


def test_every_preset_is_documented_and_no_other() -> None:
    presets = {path.stem for path in (ROOT / "trainer" / "configs" / "preset").glob("*.yaml")}
    assert presets <= CODE
    assert set(re.findall(r"preset=([\w.]+)", TEXT)) <= presets


@pytest.mark.parametrize("document", ["README.md", "docs/trainer.md", "docs/learning.md"])
def test_commands_of_the_trainer_that_are_named_exist(document: str) -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    text = (ROOT / document).read_text()
    for first, second in re.findall(r"python -m trainer ([a-z-]+)(?: ([a-z-]+))?(?![\w=])", text):
        inner = getattr(commands[first], "commands", None)
        assert inner is None or second in inner

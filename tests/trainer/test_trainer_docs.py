"""docs/trainer.md says what the code has."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from trainer.game.settings import AzrSettings, RewardFnSettings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "trainer.md").read_text()
CODE = set(re.findall(r"`([^`\n]+)`", TEXT))


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Leaves; the parts of a reward's settings are documented with it."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        is_group = isinstance(kind, type) and issubclass(kind, BaseModel)
        if is_group and not name.endswith("_reward"):
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


def test_commands_and_files_that_are_named_exist() -> None:
    for module in set(re.findall(r"python -m ([\w.]+)", TEXT)):
        assert importlib.util.find_spec(module), module
    for name in set(re.findall(r"`((?:trainer|docs|scripts)/[\w./-]+)`", TEXT)):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"\]\(([\w.]+\.md)\)", TEXT):
        assert (ROOT / "docs" / name).exists(), name

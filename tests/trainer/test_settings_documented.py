"""The keys of the game have one source: the models in trainer/game/settings.py.

``azr.yaml`` and the tables in docs/trainer.md are made of them.

    PYTHONPATH=. python tests/trainer/test_settings_documented.py     writes both anew
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import yaml
from pydantic import BaseModel

from trainer.game.settings import AzrSettings, RewardFnSettings, RewardTerm

ROOT = Path(__file__).parents[2]
YAML = ROOT / "trainer" / "configs" / "azr.yaml"
DOCUMENT = ROOT / "docs" / "trainer.md"
START, END = "<!-- keys of the game -->\n", "<!-- end of the keys -->"

HEAD = """\
# The game: every key of `azr` and `reward_fn`. Names are those of Absolute Zero Reasoner (AZR), so
# that its users find their way; "New" marks keys that AZR does not have. Types and bounds are
# checked (trainer/game/settings.py, which this file is made of); an unknown key is an error.
"""
_WIDTH = 102


def azr_yaml() -> str:
    """The file of defaults, each key with its description."""
    return "\n".join([HEAD, *_mapping("azr", AzrSettings(), 0), "",
                      *_mapping("reward_fn", RewardFnSettings(), 0)]) + "\n"  # fmt: skip


def _mapping(name: str, model: BaseModel, depth: int) -> Iterator[str]:
    yield f"{'  ' * depth}{name}:"
    inner = "  " * (depth + 1)
    for number, (key, field) in enumerate(type(model).model_fields.items()):
        value = getattr(model, key)
        if number:
            yield ""
        if isinstance(value, BaseModel) and not isinstance(value, RewardTerm):
            yield from _mapping(key, value, depth + 1)
            continue
        start = f"{inner}# "
        yield from textwrap.wrap(
            _text(field.description), _WIDTH,
            initial_indent=start, subsequent_indent=start, break_on_hyphens=False,
        )  # fmt: skip
        yield from _pair(key, value, inner)


def _pair(key: str, value: object, indent: str) -> Iterator[str]:
    shown = _shown(value)
    if isinstance(value, tuple) and len(shown) > 60:
        yield f"{indent}{key}:"
        yield from (f"{indent}  - {item}" for item in value)
    else:
        yield f"{indent}{key}: {shown}"


def _shown(value: object) -> str:
    """A value as YAML writes it in one line."""
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return value if isinstance(value, str) else json.dumps(value)


def tables() -> str:
    """A table of the keys of each group, in Markdown."""
    parts: list[str] = []
    for place, model in (("azr", AzrSettings()), ("reward_fn", RewardFnSettings())):
        parts += _tables(place, model)
    return "\n".join(parts) + "\n"


def _tables(place: str, model: BaseModel) -> Iterator[str]:
    yield f"\n### `{place}`\n\n| key | default | meaning |\n|---|---|---|"
    groups = []
    for key, field in type(model).model_fields.items():
        value = getattr(model, key)
        if isinstance(value, BaseModel) and not isinstance(value, RewardTerm):
            groups.append((f"{place}.{key}", value))
            continue
        text = re.sub(r"^New\. ", "*new*. ", _text(field.description)).replace("|", "\\|")
        yield f"| `{key}` | {_default(value)} | {text} |"
    for name, group in groups:
        yield from _tables(name, group)


def _default(value: object) -> str:
    if isinstance(value, RewardTerm):
        return "off"
    shown = _shown(value)
    return f"`{shown}`" if len(shown) < 60 else "the original's list"


def _text(description: str | None) -> str:
    """A docstring in one line, as Markdown."""
    return " ".join((description or "").replace("``", "`").split())


def documented(text: str) -> str:
    """The document with the tables of today between its two marks."""
    head, _, rest = text.partition(START)
    return head + START + tables() + "\n" + END + rest.partition(END)[2]


def described(model: BaseModel, place: str = "") -> Iterator[tuple[str, str | None]]:
    for key, field in type(model).model_fields.items():
        value = getattr(model, key)
        if isinstance(value, BaseModel):
            yield from described(value, f"{place}{key}.")
        else:
            yield f"{place}{key}", field.description


def test_every_key_has_a_description() -> None:
    found = [*described(AzrSettings()), *described(RewardFnSettings())]
    assert [key for key, text in found if not text] == []


def test_the_file_of_defaults_is_that_of_the_models() -> None:
    assert YAML.read_text() == azr_yaml(), f"run: python {Path(__file__).relative_to(ROOT)}"
    loaded = yaml.safe_load(azr_yaml())
    assert AzrSettings.model_validate(loaded["azr"]) == AzrSettings()
    assert RewardFnSettings.model_validate(loaded["reward_fn"]) == RewardFnSettings()


def test_the_tables_of_the_docs_are_those_of_the_models() -> None:
    text = DOCUMENT.read_text()
    assert text == documented(text), f"run: python {Path(__file__).relative_to(ROOT)}"


if __name__ == "__main__":
    YAML.write_text(azr_yaml())
    DOCUMENT.write_text(documented(DOCUMENT.read_text()))

"""The configuration of a run: veRL's own, the game's, a preset and the command line, in one."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from trainer.configs.old_keys import ported
from trainer.configs.sizes import conflicts
from trainer.game.settings import GameSettings

__all__ = ["compose", "game_settings", "presets"]

_HERE = Path(__file__).resolve().parent

BASES = ("paper", "main")
"""Branches of the original; presets of published runs can have the settings of either."""


def presets() -> tuple[str, ...]:
    """Names of the presets, sorted."""
    return tuple(sorted(path.stem for path in (_HERE / "preset").glob("*.yaml")))


def compose(overrides: Sequence[str]) -> DictConfig:
    """The configuration that ``overrides`` (``preset=NAME``, ``key=value``) make.

    In struct mode: reading or setting an unknown key raises. Arguments of the original's scripts
    that have no counterpart are left out (:mod:`trainer.configs.old_keys`).

    Raises:
        ValueError: no or an unknown preset, an unknown key, a value that the game refuses, sizes
            that cannot go together, or no veRL installed; the text is one sentence for the user.
    """
    overrides = ported(overrides)
    _check_preset(overrides)
    _check_base(overrides)
    try:
        config = _compose(overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(_sentence(error, overrides)) from error
    game_settings(config)
    found = conflicts(config)
    if found:
        raise ValueError("; ".join(found))
    return config


def game_settings(config: DictConfig) -> GameSettings:
    """The typed settings of the game in a configuration.

    Raises:
        ValueError: an unknown key or a value that is refused, named with its place.
    """
    values = {
        "azr": OmegaConf.to_container(config.azr, resolve=True),
        "reward_fn": OmegaConf.to_container(config.reward_fn, resolve=True),
        "train_batch_size": config.data.train_batch_size,
        "max_prompt_length": config.data.max_prompt_length,
    }
    try:
        return GameSettings.model_validate(values)
    except ValidationError as error:
        raise ValueError("; ".join(_problems(error))) from error


def _check_preset(overrides: Sequence[str]) -> None:
    names = [text.partition("=")[2] for text in overrides if text.startswith("preset=")]
    listing = ", ".join(presets())
    if not names:
        raise ValueError(f"name a preset: preset=NAME, one of {listing}")
    for name in names:
        if name not in presets():
            raise ValueError(f"there is no preset {name!r}; there are {listing}")


def _check_base(overrides: Sequence[str]) -> None:
    for name in (text.partition("=")[2] for text in overrides if text.startswith("base=")):
        if name not in BASES:
            raise ValueError(f"base is {' or '.join(BASES)}, not {name!r}")


def _compose(overrides: Sequence[str]) -> DictConfig:
    search = f"hydra.searchpath=[file://{_verl_configs()}]"
    with initialize_config_dir(str(_HERE), version_base=None):
        return hydra_compose("trainer", overrides=[*overrides, search])


def _verl_configs() -> Path:
    """The folder of veRL's configuration. veRL itself is not imported: that takes many seconds."""
    spec = importlib.util.find_spec("verl")
    if spec is None or not spec.submodule_search_locations:
        raise ValueError("veRL is not installed; install the extra: pip install -e '.[trainer]'")
    return Path(next(iter(spec.submodule_search_locations))) / "trainer" / "config"


def _sentence(error: Exception, overrides: Sequence[str]) -> str:
    """Hydra's message in one line, with the nearest known key where a key is unknown."""
    text = " ".join(str(error).split("See https://hydra.cc")[0].split())
    for override in overrides:
        key = override.partition("=")[0].lstrip("+~")
        if f"Could not override '{key}'" in text:
            if key == "base":
                return "base=... is for the presets of published runs: this one has no base"
            near = difflib.get_close_matches(key, list(_all_keys()), n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            return f"unknown key {key}{hint}"
        if f"An item is already at '{key}'" in text:
            return f"{key} has a value already: write {key}=... without the plus sign"
    return text


def _all_keys() -> Iterator[str]:
    config = _compose([f"preset={presets()[0]}"])
    pending: list[tuple[str, DictConfig]] = [("", config)]
    while pending:
        prefix, node = pending.pop()
        for name in node:
            key = f"{prefix}{name}"
            yield key
            child = node._get_node(name)
            if isinstance(child, DictConfig) and not child._is_none():
                pending.append((f"{key}.", child))


def _problems(error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            yield f"unknown key {place}"
        else:
            message = problem["msg"].removeprefix("Value error, ")
            given = problem["input"]
            got = "" if isinstance(given, dict) else f" (got {given!r})"
            yield f"{place}: {message}{got}"

"""Additions to a wandb run beside veRL's metrics: tags, and tables of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig

type Tables = Mapping[str, Sequence[Mapping[str, Any]]]

_LONGEST_CELL = 20_000
"""Characters; longer texts are cut, as wandb's pages would be slow with them."""


def tags(config: DictConfig) -> tuple[str, ...]:
    """The tags of a run: those that the original gives, and ``trainer.wandb_tags``."""
    azr = config.azr
    own = config.trainer.get("wandb_tags") or ()
    own = own.split(",") if isinstance(own, str) else list(own)
    found = [
        "codeio",
        str(azr.pred_data_mix_strategy),
        f"executor-{azr.executor}",
        str(azr.data_selection_strategy.valid_program_filter),
        str(azr.gen_data_probabilities_strategy),
        *map(str, azr.problem_types),
        *(str(tag).strip() for tag in own),
    ]
    return tuple(dict.fromkeys(tag for tag in found if tag))


def log_tables(wandb: Any, step: int, tables: Tables) -> None:
    """Log a step's samples, a table for each kind: ``samples/KIND``.

    ``wandb`` is the module, with a run under way.
    """
    logged = {}
    for name, rows in tables.items():
        if rows:
            columns = list(dict.fromkeys(column for row in rows for column in row))
            data = [[step, *(_cell(row.get(column)) for column in columns)] for row in rows]
            logged[f"samples/{name}"] = wandb.Table(columns=["step", *columns], data=data)
    if logged:
        wandb.log(logged, step=step)


def _cell(value: Any) -> Any:
    """A number, or a text without halves of characters, which wandb cannot send."""
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)[:_LONGEST_CELL].encode("utf-8", "replace").decode("utf-8")

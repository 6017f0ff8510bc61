"""What a checkpoint needs beside veRL's own files, and what keeps the last one safe.

A run directory holds ``global_step_N`` folders and ``latest_checkpointed_iteration.txt``, which
names the newest one. In each folder the game's whole state is one file, written before veRL names
the folder as the newest.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from trainer.files import write_atomically

GAME_FILE = "selfplay.json"
METRICS_FILE = "metrics.json"
TRACKER = "latest_checkpointed_iteration.txt"
_FORMAT = 1
_PREFIX = "global_step_"
_WRITTEN_LAST = "data.pt"
"""veRL's file that is written when all ranks have saved."""


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written or read; the text is for the user."""


def folder(run: Path, step: int) -> Path:
    """Where the checkpoint of a step is."""
    return run / f"{_PREFIX}{step}"


def write_game(run: Path, step: int, state: Any) -> None:
    """Write the game's state (JSON values) into the checkpoint of a step.

    Raises:
        OSError: there is no state file then.
    """
    place = folder(run, step)
    place.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"format": _FORMAT, "step": step, "game": state}, separators=(",", ":"))
    write_atomically(place / GAME_FILE, text)


def read_game(checkpoint: Path) -> Any:
    """The game's state in a checkpoint folder.

    Raises:
        CheckpointError: it is missing or not readable.
    """
    path = checkpoint / GAME_FILE
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing: not a checkpoint of a self-play run") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise CheckpointError(f"{path} is not of format {_FORMAT}")
    return content["game"]


def write_metrics(run: Path, step: int, metrics: Mapping[str, float | None]) -> None:
    """Write a step's metrics into its checkpoint, for a run that is killed before it logs them.

    Raises:
        OSError: there is no such file then.
    """
    write_atomically(folder(run, step) / METRICS_FILE, json.dumps(metrics))


def read_metrics(checkpoint: Path) -> dict[str, float | None] | None:
    """The metrics in a checkpoint, if it has any."""
    try:
        metrics: dict[str, float | None] = json.loads((checkpoint / METRICS_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return metrics


def complete_steps(run: Path) -> tuple[int, ...]:
    """Steps with a complete checkpoint, in ascending order."""
    return tuple(sorted(step for step, place in _folders(run) if _is_complete(place)))


def _folders(run: Path) -> Iterator[tuple[int, Path]]:
    for place in run.glob(f"{_PREFIX}*"):
        suffix = place.name.removeprefix(_PREFIX)
        if suffix.isdecimal() and place.is_dir():
            yield int(suffix), place


def _is_complete(place: Path) -> bool:
    return all((place / name).is_file() for name in (GAME_FILE, _WRITTEN_LAST))


def latest_step(run: Path) -> int | None:
    """The step that the tracker names, if it is a complete checkpoint."""
    try:
        step = int((run / TRACKER).read_text())
    except (OSError, ValueError):
        return None
    return step if _is_complete(folder(run, step)) else None


def repair(run: Path) -> int | None:
    """Let the tracker name the newest complete checkpoint, if what it names is not one.

    A crash can leave it empty, or leave a folder half written. Returns the step to resume from.
    """
    named = latest_step(run)
    if named is not None:
        return named
    complete = complete_steps(run)
    if complete:
        write_atomically(run / TRACKER, str(complete[-1]))
        return complete[-1]
    with suppress(FileNotFoundError):
        (run / TRACKER).unlink()
    return None


@contextmanager
def guarded(run: Path, step: int) -> Iterator[None]:
    """Around the saving of a step: if it fails, the run is as before.

    Raises:
        CheckpointError: saving failed; names the checkpoint that is intact.
    """
    tracker = run / TRACKER
    before = tracker.read_bytes() if tracker.exists() else None
    fresh = not folder(run, step).exists()
    try:
        yield
    except Exception as error:
        if fresh:
            # First: it frees the room that the tracker needs on a full disk.
            shutil.rmtree(folder(run, step), ignore_errors=True)
        if before is not None:
            write_atomically(tracker, before)
        else:
            tracker.unlink(missing_ok=True)
        raise CheckpointError(_failure(run, step, error)) from error


def _failure(run: Path, step: int, error: Exception) -> str:
    reason = str(error).strip().splitlines()
    intact = latest_step(run)
    kept = f"the checkpoint of step {intact} is intact" if intact else "there is no earlier one"
    free = shutil.disk_usage(run).free / 2**20
    return (
        f"the checkpoint of step {step} cannot be written to {run} ({free:.0f} MiB free): "
        f"{reason[-1] if reason else type(error).__name__}; {kept}. "
        "The same command goes on from there."
    )


def prune(run: Path, keep: int | None, spared: int | None = None) -> None:
    """Remove all complete checkpoints but the newest ``keep``; ``None`` keeps all.

    The one that the tracker names is never removed, nor is that of the step ``spared``.
    """
    if keep is None or keep < 1:
        return
    for step in complete_steps(run)[:-keep]:
        if step not in (latest_step(run), spared):
            shutil.rmtree(folder(run, step), ignore_errors=True)

"""A checkpoint as a Hugging Face model.

A checkpoint is named by a run directory (its newest one is taken), one of its ``global_step_N``,
or the ``actor`` folder in it. veRL's model merger does the work, on the processor.

Adapters (LoRA) are put into the weights. The tokenizer carries the chat template that the model was
trained with, and ``prompt_template.txt`` what the game put around every question (``{question}``).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from trainer.game.errors import TemplateError
from trainer.game.settings import GameSettings
from trainer.game.texts.prompts import PromptBook
from trainer.run.game import ABSOLUTE_ZERO
from trainer.tools import lora

_STEP = "global_step_"
ADAPTERS = "lora_adapter"
"""Folder in which veRL's merger puts adapters."""
PROMPT_FILE = "prompt_template.txt"


class ConversionError(ValueError):
    """No checkpoint where one was named, or it cannot be merged; the text says why."""


def find_actor(checkpoint: Path) -> Path:
    """The folder of the actor's shards that a path leads to.

    Raises:
        ConversionError: there is none.
    """
    steps = sorted(
        (int(path.name.removeprefix(_STEP)), path)
        for path in checkpoint.glob(f"{_STEP}*")
        if path.name.removeprefix(_STEP).isdecimal() and _has_shards(path / "actor")
    )
    candidates = [checkpoint, checkpoint / "actor", *(path / "actor" for _, path in steps[-1:])]
    for candidate in candidates:
        if _has_shards(candidate):
            return candidate
    raise ConversionError(
        f"{checkpoint} is no run directory with a checkpoint, and no checkpoint itself"
    )


def convert(actor: Path, out: Path) -> None:
    """Merge the shards of ``actor`` into the folder ``out``, which appears when it is whole.

    Raises:
        ConversionError: ``out`` exists, or veRL cannot merge the shards.
        OSError: ``out`` cannot be written.
    """
    if out.exists():
        raise ConversionError(f"{out} exists already")
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    command = [sys.executable, "-m", "verl.model_merger", "merge", "--backend", "fsdp"]
    command += ["--local_dir", str(actor), "--target_dir", str(unfinished)]
    try:
        done = subprocess.run(
            command,
            env=os.environ | {"TOKENIZERS_PARALLELISM": "false"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0 or not (unfinished / "config.json").is_file():
            lines = done.stdout.strip().splitlines()
            reason = lines[-1] if lines else f"exit code {done.returncode}"
            raise ConversionError(f"veRL cannot merge {actor}: {reason}")
        _merge_adapters(unfinished)
        _keep_prompt(actor, unfinished)
        unfinished.replace(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _merge_adapters(model: Path) -> None:
    """veRL's merger writes the weights that training started from, and the adapters beside them."""
    adapters = model / ADAPTERS
    if not adapters.is_dir():
        return
    try:
        lora.merge(model, adapters)
    except lora.AdapterError as error:
        raise ConversionError(str(error)) from error
    # Left beside the weights they would invite to be applied once more.
    shutil.rmtree(adapters)


def _keep_prompt(actor: Path, model: Path) -> None:
    """Write down what stood around a question in training, if the run directory still knows."""
    config = actor.parents[1] / "config.yaml"
    try:
        loaded = yaml.safe_load(config.read_text(encoding="utf-8"))
        if loaded["trainer"]["game_class"] != ABSOLUTE_ZERO:
            return  # another game has its own prompts
        settings = GameSettings(azr=loaded["azr"], reward_fn=loaded["reward_fn"])
        wrapper = PromptBook(settings).around("{question}")
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError, TemplateError):
        print(f"{config} does not say which prompts the model was trained with", file=sys.stderr)
        return
    (model / PROMPT_FILE).write_text(wrapper, encoding="utf-8")


def _has_shards(folder: Path) -> bool:
    return any(folder.glob("model_world_size_*_rank_*.pt"))

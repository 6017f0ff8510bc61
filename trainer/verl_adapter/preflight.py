"""Checks before Ray or a GPU is touched, and preparations of a run."""

from __future__ import annotations

import importlib.util
import io
import os
import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from trainer.evaluation import in_training
from trainer.game.errors import GameError
from trainer.run import checkpoints, own_models, wiring
from trainer.run.failures import ConfigurationProblem
from trainer.run.game import game_class
from trainer.verl_adapter import contract, dataset, gpu_needs


def prepare(config: DictConfig, console: Console) -> None:
    """Make the run directory and what belongs in it, and check everything that can be checked.

    Sets the model's path in the configuration to what veRL loads.

    Raises:
        ConfigurationProblem: one sentence that says what is wrong.
    """
    _interpreter()
    _run_directory(config)
    _model(config, console)
    _rollout_engine(config)
    if not wiring.on_cpu(config):
        gpu_needs.check(config)
        _say_whether_it_validates(config, console)
    _resume(config)
    _game(config, console)
    _evaluations(config)
    with _quiet():
        remark = _verl(config)
    if remark:
        _say(console, f"warning: {remark}")
    dataset.write(wiring.train_file(config), rows=int(config.data.train_batch_size))


def _interpreter() -> None:
    """Ray names it to bash as it stands; where that fails, it tries again for ever."""
    if shlex.quote(sys.executable) != sys.executable:
        raise ConfigurationProblem(
            f"Ray cannot start {sys.executable}: its path has characters that mean something to a "
            "shell; make the virtual environment in a folder without spaces"
        )


def _run_directory(config: DictConfig) -> None:
    run = wiring.run_directory(config)
    try:
        run.mkdir(parents=True, exist_ok=True)
        probe = run / f".probe.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigurationProblem(
            f"trainer.default_local_dir: {run} cannot be written: {error.strerror}"
        ) from error


def _model(config: DictConfig, console: Console) -> None:
    path = wiring.model_path(config)
    if not path:
        raise ConfigurationProblem("actor_rollout_ref.model.path names no model")
    own_models.provide(config, console)
    _check_model(path)
    tokenizer = _tokenizer(config, path)
    template = config.actor_rollout_ref.model.custom_chat_template
    if not template and tokenizer.chat_template is None:
        raise ConfigurationProblem(
            f"the tokenizer of {path} has no chat template; set "
            "actor_rollout_ref.model.custom_chat_template"
        )
    _think_tokens(config, path, tokenizer)


def _think_tokens(config: DictConfig, path: str, tokenizer: Any) -> None:
    keeps = config.trainer.think_tokens
    if keeps not in ("refuse", "keep"):
        raise ConfigurationProblem(f"trainer.think_tokens is {keeps!r}; it is refuse or keep")
    if keeps == "keep" or "<think>" not in tokenizer.get_vocab():
        return
    name = path.rpartition("/")[2]
    folder = path if Path(path).is_dir() else f"models/{name}"
    steps = [] if folder == path else [f"hf download {path} --local-dir {folder}"]
    steps += [f"python -m trainer tools remove-think-tokens {folder}"]
    steps += [] if folder == path else [f"actor_rollout_ref.model.path={folder}"]
    raise ConfigurationProblem(
        f"the tokenizer of {path} has <think> as one token, which base models never saw in "
        f"training: they produce nonsense then. Take it out ({', then '.join(steps)}), or say "
        "trainer.think_tokens=keep for a model that was trained with it"
    )


def _say_whether_it_validates(config: DictConfig, console: Console) -> None:
    if not wiring.validates(config):
        _say(console, wiring.NO_VALIDATION)


def _evaluations(config: DictConfig) -> None:
    try:
        in_training.check(config)
    except GameError as error:
        raise ConfigurationProblem(str(error)) from error


def _check_model(path: str) -> None:
    from transformers import AutoConfig

    looks_local = path.startswith(("/", ".", "~")) or path.count("/") != 1
    if looks_local and not Path(path).is_dir():
        raise ConfigurationProblem(f"actor_rollout_ref.model.path: there is no directory {path}")
    try:
        AutoConfig.from_pretrained(path)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigurationProblem(
            f"actor_rollout_ref.model.path: {path} cannot be loaded: {_first_line(error)}"
        ) from error


def _tokenizer(config: DictConfig, path: str) -> Any:
    from transformers import AutoTokenizer

    source = str(config.actor_rollout_ref.model.tokenizer_path or path)
    try:
        return AutoTokenizer.from_pretrained(source)
    except Exception as error:
        raise ConfigurationProblem(
            f"the tokenizer of {source} cannot be loaded: {_first_line(error)}"
        ) from error


def _rollout_engine(config: DictConfig) -> None:
    rollout = config.actor_rollout_ref.rollout
    if rollout.name == "hf":
        if not wiring.on_cpu(config):
            raise ConfigurationProblem("rollout.name=hf is for trainer.device=cpu only; use vllm")
        if rollout.top_p != 1 or rollout.top_k != -1:
            raise ConfigurationProblem(
                "rollout.name=hf samples from the whole distribution: top_p must be 1, top_k -1"
            )
    elif rollout.name == "vllm" and importlib.util.find_spec("vllm") is None:
        raise ConfigurationProblem(
            "rollout.name=vllm, but vLLM is not installed; on processors rollout.name=hf needs none"
        )
    if not wiring.on_cpu(config) and not wiring.joins_cluster(config):
        _gpus(config)


def _gpus(config: DictConfig) -> None:
    import torch

    wanted, there = int(config.trainer.n_gpus_per_node), torch.cuda.device_count()
    if there < wanted:
        raise ConfigurationProblem(
            f"trainer.n_gpus_per_node is {wanted}, but this machine shows {there} GPUs; "
            "without a GPU use preset=cpu_tiny"
        )


def _resume(config: DictConfig) -> None:
    mode = config.trainer.resume_mode
    if mode == "auto":
        checkpoints.repair(wiring.run_directory(config))
    elif mode == "resume_path":
        try:
            checkpoints.read_game(wiring.resume_folder(config))
        except checkpoints.CheckpointError as error:
            raise ConfigurationProblem(f"trainer.resume_from_path: {error}") from error
    elif mode != "disable":
        raise ConfigurationProblem(
            f"trainer.resume_mode is {mode!r}; it is auto, disable or resume_path"
        )


def _game(config: DictConfig, console: Console) -> None:
    try:
        game_class(config).check(config, partial(_say, console))
    except GameError as error:
        raise ConfigurationProblem(str(error)) from error


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _verl(config: DictConfig) -> str | None:
    """Check veRL and its view of the configuration; returns what is to be said of its version."""
    cpu = wiring.on_cpu(config)
    try:
        remark = None
        if not contract.is_tested():
            remark = contract.check(cpu=cpu, any_version=bool(config.trainer.any_verl))
        if cpu:
            import verl  # noqa: F401 - loads the plug-in

            contract.check_cpu_plugin()
        _validate(config)
    except contract.ContractError as error:
        raise ConfigurationProblem(str(error)) from error
    return remark


def _validate(config: DictConfig) -> None:
    """veRL's own checks of a configuration."""
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config

    probe = config.copy()
    # veRL wants a batch of prompts at least as large as a mini-batch; here prompts are not its own.
    probe.data.train_batch_size = probe.actor_rollout_ref.actor.ppo_mini_batch_size
    try:
        validate_config(probe, need_reference_policy(probe), need_critic(probe))
    except (AssertionError, ValueError) as error:
        raise ConfigurationProblem(f"veRL refuses the configuration: {error}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without veRL's remarks on engines that are not installed and on checks that passed."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__

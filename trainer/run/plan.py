"""The plan of a run: its configuration, the memory and GPUs it needs, what each step costs.

Nothing heavy is loaded. Memory is an estimate from the model's shape: good to tell whether a set-up
has a chance, not to fill a GPU to the brim.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass

from omegaconf import DictConfig, OmegaConf

from trainer.configs import game_settings
from trainer.configs.sizes import attention, gpus, longest_sequence, shards
from trainer.game.play.seed_sets import needed_sets
from trainer.game.settings import GameSettings
from trainer.game.tasks.task import TaskType
from trainer.models.shapes import ModelShape, find_shape
from trainer.run import wiring
from trainer.run.memory_advice import OUT_OF_MEMORY

_GIB = 2**30
_RUNS_PER_VALIDATION = 2
_LOGIT_BYTES = 10
"""Peak bytes per token and vocabulary entry: bfloat16 logits, a float32 copy, its gradient."""
_ENTROPY_BYTES = 4
"""More of them while an entropy bonus is trained: probabilities and their gradient."""
_FUSED_TOKENS = 512
"""With fused kernels logits are there for so many tokens at a time."""
_CONTEXT_BYTES = 2.5e9
"""CUDA's context, NCCL and fragments."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on each GPU (on CPUs: of each rank)."""

    weights: float
    """The weights in training, spread over the GPUs that share a copy."""
    gradients: float
    optimizer: float
    """Adam's two moments."""
    activations: float
    """Of one forward and backward pass, logits included."""
    rollout_weights: float
    """vLLM's copy in bfloat16."""
    cache: float
    """vLLM's key-value cache: what is left of its share."""
    cache_tokens: float
    """Tokens that the cache of one copy of the model holds."""
    kept: float
    """Of weights and optimizer, what stays on the GPU while vLLM generates: all without offload."""

    @property
    def training(self) -> float:
        """While the model is trained."""
        return self.weights + self.gradients + self.optimizer + self.activations + _CONTEXT_BYTES

    @property
    def generating(self) -> float:
        """While vLLM generates."""
        return self.kept + self.rollout_weights + self.cache + _CONTEXT_BYTES


@dataclass(frozen=True, slots=True)
class StepCost:
    """The most that a step costs: every proposal is valid and no answer is given twice."""

    trained: int
    """Sequences that are trained on."""
    estimates: int
    """Rollouts that estimate learnability; not trained on."""
    generated: int
    """All generations."""
    validation_runs: int
    """Runs of proposed programs: every input in two fresh processes."""
    judging_runs: int
    """Runs of programs on answers. Deduction's literal answers need none, and have none here."""


def describe(config: DictConfig) -> str:
    """The text of ``--dry-run`` for a complete configuration."""
    settings = game_settings(config)
    sections = [
        "# Configuration",
        OmegaConf.to_yaml(config, resolve=True).rstrip(),
        "",
        "# Plan",
        *_machine(config),
        *_memory_lines(config),
        *_cost_lines(config, settings),
        *_notes(config, settings),
    ]
    return "\n".join(sections)


def memory(config: DictConfig, shape: ModelShape) -> Memory:
    """Memory on each GPU for a model of this shape."""
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    spread = shards(config)
    trained = _trained_parameters(config, shape)
    tensor_parallel = int(rollout.tensor_model_parallel_size)
    copy = 2 * shape.parameters / tensor_parallel
    cache = max(0.0, float(rollout.gpu_memory_utilization) * gpu_bytes(config) - copy)
    adapters = trained if trained < shape.parameters else 0
    weights = 4 * (shape.parameters + adapters) / spread
    optimizer = 8 * trained / spread
    fsdp = actor.fsdp_config
    return Memory(
        weights=weights,
        gradients=4 * trained / spread,
        optimizer=optimizer,
        activations=_activations(config, shape),
        rollout_weights=copy,
        cache=cache,
        cache_tokens=cache * tensor_parallel / shape.cache_bytes_per_token(),
        kept=(0 if fsdp.param_offload else weights) + (0 if fsdp.optimizer_offload else optimizer),
    )


def gpu_bytes(config: DictConfig) -> float:
    """Memory of each GPU."""
    return float(config.trainer.gpu_memory_gb) * 1e9


def checkpoint_bytes(config: DictConfig, shape: ModelShape) -> float:
    """A checkpoint on disk: weights, adapters and Adam's two moments, in float32."""
    trained = _trained_parameters(config, shape)
    adapters = trained if trained < shape.parameters else 0
    return 4.0 * (shape.parameters + adapters) + 8.0 * trained


def _trained_parameters(config: DictConfig, shape: ModelShape) -> int:
    rank = int(config.actor_rollout_ref.model.lora_rank)
    return shape.lora_parameters(rank) if rank > 0 else shape.parameters


def step_cost(settings: GameSettings) -> StepCost:
    """Generations and executor runs of one step."""
    azr = settings.azr
    batch, samples = settings.train_batch_size, azr.reward.n_samples
    types = azr.task_types
    inputs = azr.data_selection_strategy.num_inputs
    estimates = batch * len(types) * samples
    proposals = batch * len(types)
    validations = sum(
        batch * _RUNS_PER_VALIDATION * (inputs if task is TaskType.INDUCTION else 1)
        for task in types
    )
    runs = {TaskType.ABDUCTION: 1, TaskType.INDUCTION: inputs - inputs // 2}
    judging = sum(batch * (1 + samples) * runs.get(task, 0) for task in types)
    trained = batch * len(types) * (2 if azr.train_propose else 1)
    return StepCost(
        trained=trained,
        estimates=estimates,
        generated=proposals + batch * len(types) + estimates,
        validation_runs=validations,
        judging_runs=judging,
    )


def _activations(config: DictConfig, shape: ModelShape) -> float:
    actor, model = config.actor_rollout_ref.actor, config.actor_rollout_ref.model
    tokens = int(actor.ppo_max_token_len_per_gpu)
    layer = tokens * 2 * (10 * shape.hidden + 4 * shape.intermediate)
    checkpointing = bool(model.enable_gradient_checkpointing)
    kept = tokens * 2 * shape.hidden * shape.layers + layer if checkpointing else 0
    gathered = 2 * 2 * shape.layer_parameters + 2 * shape.vocabulary * shape.hidden
    each = _LOGIT_BYTES + (_ENTROPY_BYTES if actor.entropy_coeff else 0)
    at_once = min(tokens, _FUSED_TOKENS) if model.use_fused_kernels else tokens
    return (kept or layer * shape.layers) + gathered + at_once * shape.vocabulary * each


def _machine(config: DictConfig) -> list[str]:
    trainer, rollout = config.trainer, config.actor_rollout_ref.rollout
    ranks = gpus(config)
    if trainer.device == "cpu":
        ulysses = ""
        where = f"CPU, {ranks} rank{'s' if ranks > 1 else ''}"
    else:
        size = int(config.actor_rollout_ref.actor.ulysses_sequence_parallel_size)
        ulysses = f", {size} share a sequence in training" if size > 1 else ""
        nodes = f"{trainer.nnodes} node{'s' if int(trainer.nnodes) > 1 else ''}"
        plural = "s" if ranks > 1 else ""
        size_gb = f"{float(trainer.gpu_memory_gb):g} GB"
        where = f"{ranks} GPU{plural} of {size_gb} ({nodes} with {trainer.n_gpus_per_node})"
    tensor_parallel = int(rollout.tensor_model_parallel_size)
    return [
        f"machine: {where}{ulysses}",
        f"rollout: {rollout.name}, copies of the model: {ranks // tensor_parallel}, on "
        f"{tensor_parallel} each",
        f"run directory: {trainer.default_local_dir}",
        f"steps: {trainer.total_training_steps}, a checkpoint every {trainer.save_freq}, resume "
        f"{trainer.resume_mode}",
        *_processors(config),
    ]


def _processors(config: DictConfig) -> list[str]:
    if config.trainer.device == "cpu":
        return []
    there = os.cpu_count() or 1
    needed = wiring.ray_processors(config)
    return [
        f"processors: Ray reserves {needed} for actors that mostly wait, beside those of the "
        f"executor; this machine has {there}"
    ]


def _memory_lines(config: DictConfig) -> list[str]:
    model = str(config.actor_rollout_ref.model.path)
    shape = find_shape(model)
    if shape is None:
        return [f"model: {model}; its shape is not known here, so memory is not estimated"]
    need = memory(config, shape)
    rank = int(config.actor_rollout_ref.model.lora_rank)
    adapters = (
        f", trained by adapters of rank {rank} ({shape.lora_parameters(rank) / 1e6:.3g} million)"
        if rank > 0
        else ""
    )
    lines = [f"model: {model}, {shape.parameters / 1e9:.3g} billion parameters{adapters}"]
    training = (
        f"weights {_gib(need.weights)}, gradients {_gib(need.gradients)}, optimizer "
        f"{_gib(need.optimizer)}, activations {_gib(need.activations)}"
    )
    if config.trainer.device == "cpu":
        total = need.weights + need.gradients + need.optimizer + need.activations
        return [
            *lines,
            f"memory of each rank: {training}; {_gib(total)} GiB, plus the processes themselves "
            "(measured: 5 to 6 GiB with rollout hf, 8 to 9 with vllm, about 5 more for each "
            "further rank)",
        ]
    sequences = need.cache_tokens / longest_sequence(config)
    return [
        *lines,
        f"GiB on each GPU while training: {training}; sum {_gib(need.training)} of "
        f"{_gib(gpu_bytes(config))}",
        f"GiB on each GPU while generating: vLLM's weights {_gib(need.rollout_weights)}, its cache "
        f"{_gib(need.cache)} ({need.cache_tokens:,.0f} tokens, {sequences:.0f} of the longest "
        f"sequences, for each copy), the trainer's {_gib(need.kept)}; sum {_gib(need.generating)} "
        f"of {_gib(gpu_bytes(config))}",
        _disk_line(config, shape),
    ]


def _disk_line(config: DictConfig, shape: ModelShape) -> str:
    each, kept = checkpoint_bytes(config, shape), config.trainer.max_actor_ckpt_to_keep
    if kept is None:
        return f"disk for each checkpoint: about {_gib(each)} GiB, all are kept"
    return (
        f"disk for each checkpoint: about {_gib(each)} GiB, {kept} are kept, and one more is there "
        f"while it is saved: {_gib(each * (int(kept) + 1))} GiB"
    )


def _cost_lines(config: DictConfig, settings: GameSettings) -> list[str]:
    cost = step_cost(settings)
    names = ", ".join(task.value for task in settings.azr.task_types)
    generated = cost.generated
    return [
        f"each step: {names}; {settings.train_batch_size} proposer and as many solver prompts each",
        f"  generations: {generated:,} at most ({cost.trained:,} are trained on, "
        f"{cost.estimates:,} estimate learnability), up to "
        f"{generated * int(config.data.max_response_length):,} tokens",
        f"  executor runs: about {cost.validation_runs:,} to validate and {cost.judging_runs:,} to "
        "judge at most; equal answers run once, deduction's literal answers not at all",
        f"  optimizer steps: 1, on {cost.trained:,} sequences",
        f"seeds wanted: {settings.seeds_wanted:,}",
    ]


def _notes(config: DictConfig, settings: GameSettings) -> list[str]:
    azr = settings.azr
    notes = []
    if azr.executor == "process":
        notes.append("azr.executor=process does NOT isolate the model's programs")
    if azr.executor == "sandboxfusion" and not azr.executor_url:
        notes.append("azr.executor_url is not set: the run starts the project's own service")
    if azr.executor == "nsjail" and int(config.trainer.nnodes) > 1:
        notes.append("programs run on the node of the trainer only: azr.executor=ray uses all")
    if not wiring.validates(config):
        notes.append(wiring.NO_VALIDATION)
    if config.trainer.device != "cpu":
        notes += _gpu_notes(config)
    if any(seeds.source(azr) is None for seeds in needed_sets(azr)):
        notes.append("seed sets without a file are made by the model before step 1")
    shape = find_shape(str(config.actor_rollout_ref.model.path))
    if shape is not None and config.trainer.device != "cpu":
        notes += _memory_notes(config, shape)
    return [f"note: {note}" for note in notes]


def _memory_notes(config: DictConfig, shape: ModelShape) -> list[str]:
    notes = []
    need = memory(config, shape)
    if max(need.training, need.generating) > gpu_bytes(config):
        size = f"{float(config.trainer.gpu_memory_gb):g} GB"
        notes.append(f"this does not fit into {size}. Use more GPUs, or: {OUT_OF_MEMORY}")
    if need.cache_tokens < longest_sequence(config):
        notes.append(
            "vLLM's share does not hold one of the longest sequences: raise "
            "rollout.gpu_memory_utilization or rollout.tensor_model_parallel_size"
        )
    return notes + _head_notes(config, shape)


def _gpu_notes(config: DictConfig) -> list[str]:
    model, notes = config.actor_rollout_ref.model, []
    if attention(config) == "flash_attention_2":
        if importlib.util.find_spec("flash_attn") is None:
            notes.append(
                "training needs the package flash-attn, which is not installed here: pip install "
                "--no-build-isolation flash-attn==2.8.3"
            )
    elif not model.use_fused_kernels and importlib.util.find_spec("flash_attn") is None:
        notes.append(
            "without the package flash-attn, log-probabilities are computed token by token: "
            "actor_rollout_ref.model.use_fused_kernels=true is faster and needs less memory"
        )
    if "qwen3" in str(model.path).lower() and config.trainer.think_tokens == "refuse":
        notes.append(
            "a run refuses the tokenizer of Qwen3's base models as it is: take its think tokens "
            "out of a local copy (python -m trainer tools remove-think-tokens FOLDER), and name "
            "that folder as actor_rollout_ref.model.path"
        )
    return notes


def _head_notes(config: DictConfig, shape: ModelShape) -> list[str]:
    notes = []
    for key, size in (
        (
            "rollout.tensor_model_parallel_size",
            config.actor_rollout_ref.rollout.tensor_model_parallel_size,
        ),
        (
            "actor.ulysses_sequence_parallel_size",
            config.actor_rollout_ref.actor.ulysses_sequence_parallel_size,
        ),
    ):
        if shape.heads % int(size):
            notes.append(
                f"{key} is {size}, which does not divide the {shape.heads} attention heads"
            )
    return notes


def _gib(number: float) -> str:
    return f"{number / _GIB:.1f}" if number < 100 * _GIB else f"{number / _GIB:.0f}"

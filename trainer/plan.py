"""What a run would be: its configuration, the memory and GPUs it needs, what each step costs.

Nothing heavy is loaded. Memory is an estimate from the model's shape: good to tell whether a set-up
has a chance, not to fill a GPU to the brim.
"""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import DictConfig, OmegaConf

from trainer.configs import game_settings
from trainer.configs.sizes import gpus, longest_sequence
from trainer.game.settings import GameSettings
from trainer.game.tasks import TaskType
from trainer.model_shapes import ModelShape, find_shape

GPU_BYTES = 80e9
"""The GPU that the presets are made for."""

_GIB = 2**30
_RUNS_PER_VALIDATION = 2
_LOGIT_BYTES = 10
"""Peak bytes per token and vocabulary entry: bfloat16 logits, a float32 copy, its gradient."""
_CONTEXT_BYTES = 2.5e9
"""CUDA's context, NCCL and fragments."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on each GPU (on CPUs: of each rank)."""

    weights: float
    """Float32 weights, sharded over all GPUs."""
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

    @property
    def training(self) -> float:
        """While the model is trained."""
        return self.weights + self.gradients + self.optimizer + self.activations + _CONTEXT_BYTES

    @property
    def generating(self) -> float:
        """While vLLM generates; the trainer's weights and optimizer stay."""
        rollout = self.rollout_weights + self.cache
        return self.weights + self.optimizer + rollout + _CONTEXT_BYTES


@dataclass(frozen=True, slots=True)
class StepCost:
    """What a step costs at most: when every proposal is valid and no answer is given twice."""

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
    shards = gpus(config)
    parameters = shape.parameters
    tensor_parallel = int(rollout.tensor_model_parallel_size)
    copy = 2 * parameters / tensor_parallel
    cache = max(0.0, float(rollout.gpu_memory_utilization) * GPU_BYTES - copy)
    return Memory(
        weights=4 * parameters / shards,
        gradients=4 * parameters / shards,
        optimizer=8 * parameters / shards,
        activations=_activations(
            shape,
            int(actor.ppo_max_token_len_per_gpu),
            checkpointing=bool(config.actor_rollout_ref.model.enable_gradient_checkpointing),
        ),
        rollout_weights=copy,
        cache=cache,
        cache_tokens=cache * tensor_parallel / shape.cache_bytes_per_token(),
    )


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


def _activations(shape: ModelShape, tokens: int, *, checkpointing: bool) -> float:
    layer = tokens * 2 * (10 * shape.hidden + 4 * shape.intermediate)
    kept = tokens * 2 * shape.hidden * shape.layers + layer if checkpointing else 0
    gathered = 2 * 2 * shape.layer_parameters + 2 * shape.vocabulary * shape.hidden
    logits = tokens * shape.vocabulary * _LOGIT_BYTES
    return (kept or layer * shape.layers) + gathered + logits


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
        where = f"{ranks} GPU{plural} of 80 GB ({nodes} with {trainer.n_gpus_per_node})"
    tensor_parallel = int(rollout.tensor_model_parallel_size)
    return [
        f"machine: {where}{ulysses}",
        f"rollout: {rollout.name}, copies of the model: {ranks // tensor_parallel}, on "
        f"{tensor_parallel} each",
        f"run directory: {trainer.default_local_dir}",
        f"steps: {trainer.total_training_steps}, a checkpoint every {trainer.save_freq}, resume "
        f"{trainer.resume_mode}",
    ]


def _memory_lines(config: DictConfig) -> list[str]:
    model = str(config.actor_rollout_ref.model.path)
    shape = find_shape(model)
    if shape is None:
        return [f"model: {model}; its shape is not known here, so memory is not estimated"]
    need = memory(config, shape)
    lines = [f"model: {model}, {shape.parameters / 1e9:.3g} billion parameters"]
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
        f"{_gib(GPU_BYTES)}",
        f"GiB on each GPU while generating: vLLM's weights {_gib(need.rollout_weights)}, its cache "
        f"{_gib(need.cache)} ({need.cache_tokens:,.0f} tokens, {sequences:.0f} of the longest "
        f"sequences, for each copy); sum {_gib(need.generating)} of {_gib(GPU_BYTES)}",
        f"disk for each checkpoint: about {_gib(12 * shape.parameters)} GiB, "
        f"{config.trainer.max_actor_ckpt_to_keep} are kept",
    ]


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
    if _model_makes_seeds(settings):
        notes.append("seed sets without a file are made by the model before step 1")
    shape = find_shape(str(config.actor_rollout_ref.model.path))
    if shape is not None and config.trainer.device != "cpu":
        need = memory(config, shape)
        if max(need.training, need.generating) > GPU_BYTES:
            notes.append("this does not fit into 80 GB: use more GPUs, or smaller sizes")
        if need.cache_tokens < longest_sequence(config):
            notes.append(
                "vLLM's share does not hold one of the longest sequences: raise "
                "rollout.gpu_memory_utilization or rollout.tensor_model_parallel_size"
            )
        notes += _head_notes(config, shape)
    return [f"note: {note}" for note in notes]


def _model_makes_seeds(settings: GameSettings) -> bool:
    azr, played = settings.azr, set(settings.azr.task_types)
    return (
        (bool(played - {TaskType.ERROR}) and azr.seed_dataset is None)
        or (TaskType.ERROR in played and azr.error_seed_dataset is None)
        or (TaskType.INDUCTION in played and azr.code_f_seed_dataset is None)
    )


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

"""Values of the configuration that follow from others, or that no user should have to choose."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from omegaconf import DictConfig, OmegaConf, open_dict

from trainer.configs.sizes import gpus, longest_sequence
from trainer.game.play.seed_sets import SEED_SETS

TRAINER_MODE: Final = "selfplay"
TINY_MODEL: Final = "tiny"
"""Value of ``actor_rollout_ref.model.path``: a tiny model that the run makes itself."""

WARM_MODEL: Final = "warm"
"""Likewise: a small model that has learned to propose and to solve a little. The run takes its
prompts, seeds and held-out tasks from beside it, unless the configuration names others."""

BUILT_IN: Final = "builtin"
"""Value of ``azr.seed_dataset`` and its like: the few seeds that come with the project."""

_PROCESSORS: Final = 16
"""Processors that Ray is told of at least, whether they are there or not."""

NO_VALIDATION: Final = (
    "this run does not validate: data.val_files is not set (python -m "
    "trainer tools prepare-validation --cruxeval hub --livecodebench hub --out val.parquet makes "
    "such a file)"
)

_SEEDS: Final = Path(__file__).parents[1] / "seeds"

AGENT_LOOPS: Final = Path(__file__).parents[1] / "verl_adapter" / "agent_loop.yaml"


def run_directory(config: DictConfig) -> Path:
    """The folder in which a run keeps everything."""
    return Path(config.trainer.default_local_dir).expanduser().absolute()


def resume_folder(config: DictConfig) -> Path:
    """The checkpoint that ``trainer.resume_mode=resume_path`` names."""
    return Path(str(config.trainer.resume_from_path)).expanduser().absolute()


def on_cpu(config: DictConfig) -> bool:
    """Whether the run uses processors alone."""
    return str(config.trainer.device) == "cpu"


def train_file(config: DictConfig) -> Path:
    """The data set that veRL insists on, made of the seeds."""
    return run_directory(config) / "data" / "train.parquet"


def model_path(config: DictConfig) -> str:
    """Path or name of the model, with ``~``, ``tiny`` and ``warm`` resolved."""
    path = str(config.actor_rollout_ref.model.path or "")
    if path == TINY_MODEL:
        return str(run_directory(config) / "model")
    if path == WARM_MODEL:
        return str(_warm_model(config))
    expanded = os.path.expanduser(path)
    return os.path.abspath(expanded) if os.path.exists(expanded) else path


def _warm_model(config: DictConfig) -> Path:
    """Beside the run directory, so that several runs share it."""
    from trainer.warmstart.settings import brief, model_key

    return run_directory(config).parent / "warmstart" / f"model-{model_key(brief())}"


def sequences_per_step(config: DictConfig) -> int:
    """Sequences that a step trains on when no rollout fails."""
    roles = 2 if config.azr.train_propose else 1
    return int(config.data.train_batch_size) * len(config.azr.problem_types) * roles


def joins_cluster(config: DictConfig) -> bool:
    """Whether the run joins a Ray cluster that runs already, rather than starting one."""
    address = config.ray_kwargs.ray_init.get("address") or os.environ.get("RAY_ADDRESS") or "local"
    return str(address) != "local"


def overlaps(config: DictConfig) -> bool:
    """Whether estimates of solve rates are generated beside the responses of the first round.

    ``hf`` decodes a batch to its end before it looks at new prompts, so it gets them together.
    """
    wanted = config.azr.overlap_estimates
    return bool(config.actor_rollout_ref.rollout.name != "hf" if wanted is None else wanted)


def wire(config: DictConfig) -> None:
    """Complete a composed configuration in place. Calling it again changes nothing."""
    with open_dict(config):
        if config.actor_rollout_ref.model.path == WARM_MODEL:
            _beside_warm_model(config, _warm_model(config))
        _game(config)
        _data(config)
        _lengths(config)
        if not joins_cluster(config):
            _own_ray(config)
        if on_cpu(config):
            _processors(config)


def _beside_warm_model(config: DictConfig, folder: Path) -> None:
    config.trainer.think_tokens = "keep"  # it learned with the tags as tokens
    _default(config.azr, "prompts_dir", str(folder / "prompts"))
    _default(config.azr, "seed_dataset", str(folder / "programs.jsonl"))
    _default(config.azr, "code_f_seed_dataset", str(folder / "inductions.jsonl"))
    _default(config.azr, "held_out_tasks", str(folder / "held_out.jsonl"))
    _default(config.data, "val_files", str(folder / "held_out.jsonl"))


def _game(config: DictConfig) -> None:
    config.trainer.use_v1 = True
    config.trainer.v1.trainer_mode = TRAINER_MODE
    config.trainer.default_local_dir = str(run_directory(config))
    config.reward.num_workers = 0  # the game rewards; each would hold 700 MB and never be asked
    config.algorithm.adv_estimator = "trrpp"
    config.algorithm.trrpp_weighting = config.azr.advantage.weighting
    config.algorithm.trrpp_baseline = config.azr.advantage.baseline
    config.algorithm.trrpp_loss_rows = config.azr.advantage.loss_rows
    config.algorithm.trrpp_loss_mode = config.actor_rollout_ref.actor.loss_agg_mode
    for seeds in SEED_SETS:
        if config.azr[seeds.read_by] == BUILT_IN:
            config.azr[seeds.read_by] = str(_SEEDS / seeds.file)
    actor_rollout = config.actor_rollout_ref
    actor_rollout.rollout.n = 1
    actor_rollout.rollout.agent.agent_loop_config_path = str(AGENT_LOOPS)
    actor_rollout.actor.ppo_mini_batch_size = _padded(
        sequences_per_step(config), _data_parallel_ranks(config)
    )
    actor_rollout.actor.ppo_epochs = 1


def _data_parallel_ranks(config: DictConfig) -> int:
    ranks = int(config.trainer.n_gpus_per_node) * int(config.trainer.nnodes)
    return max(1, ranks // int(config.actor_rollout_ref.actor.ulysses_sequence_parallel_size))


def _padded(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _data(config: DictConfig) -> None:
    config.data.train_files = str(train_file(config))
    config.data.return_raw_chat = True
    config.data.shuffle = False
    if not config.data.val_files:
        config.data.val_files = str(train_file(config))
        config.trainer.test_freq = -1
        config.trainer.val_before_train = False


def _lengths(config: DictConfig) -> None:
    """What no sequence is longer than. Without it vLLM makes sure that its cache holds one of the
    model's longest, up to 131,072 tokens, and does not start on a small GPU."""
    if config.actor_rollout_ref.rollout.max_model_len is None:
        config.actor_rollout_ref.rollout.max_model_len = longest_sequence(config)


def _own_ray(config: DictConfig) -> None:
    """A Ray for this run alone, also where another one runs that could be joined. It has the
    processors that its actors reserve, and which mostly wait: with fewer it would wait for ever,
    without a word."""
    ray_init = config.ray_kwargs.ray_init
    _default(ray_init, "address", "local")
    _default(ray_init, "num_cpus", max(_PROCESSORS, os.cpu_count() or 1, ray_processors(config)))


def ray_processors(config: DictConfig) -> int:
    """Processors that Ray reserves on all nodes for a run's actors: one for the trainer, one for
    the queue's controller, one for each of its storage units, three for each GPU, one that is
    free while actors are placed, and what ``azr.executor=ray`` reserves for programs."""
    units = int(config.transfer_queue.backend.SimpleStorage.num_data_storage_units)
    programs = int(config.azr.executor_cpus_per_node or 0) * int(config.trainer.nnodes)
    return 1 + 1 + units + 3 * gpus(config) + 1 + programs


def validates(config: DictConfig) -> bool:
    """Whether the run has benchmark rows to validate on."""
    return str(config.data.val_files) != str(train_file(config))


def validation_files(config: DictConfig) -> tuple[Path, ...]:
    """The files with benchmark rows; empty if the run does not validate."""
    if not validates(config):
        return ()
    files = config.data.val_files
    names = [files] if isinstance(files, str) else list(files)
    return tuple(Path(str(name)).expanduser() for name in names)


def _processors(config: DictConfig) -> None:
    ranks = int(config.trainer.n_gpus_per_node)
    if not joins_cluster(config):  # which has what it was started with
        ray_init = config.ray_kwargs.ray_init
        _default(ray_init, "num_gpus", ranks)  # logical ones: veRL places ranks on GPUs
        _default(ray_init, "include_dashboard", False)
        _default(ray_init, "object_store_memory", 500_000_000)
    model = config.actor_rollout_ref.model
    model.use_remove_padding = False
    _default(model.override_config, "attn_implementation", "sdpa")
    for engine in (config.actor_rollout_ref.actor, config.actor_rollout_ref.ref):
        _float32_engine(engine)
    _rollout(config)
    storage = config.transfer_queue.backend.SimpleStorage
    storage.num_data_storage_units = 1
    storage.total_storage_size = max(1000, 40 * sequences_per_step(config))
    config.data.dataloader_num_workers = 0


def _float32_engine(engine: DictConfig) -> None:
    engine.strategy = "fsdp2"
    engine.use_torch_compile = False
    engine.fsdp_config.strategy = "fsdp2"
    engine.fsdp_config.dtype = "float32"
    engine.fsdp_config.use_torch_compile = False
    precision = dict.fromkeys(("param_dtype", "reduce_dtype", "buffer_dtype"), "fp32")
    engine.fsdp_config.mixed_precision = OmegaConf.create(precision)


def _rollout(config: DictConfig) -> None:
    rollout = config.actor_rollout_ref.rollout
    rollout.dtype = "float32"
    rollout.enforce_eager = True
    if rollout.name == "vllm":  # which can free memory on GPUs only
        rollout.free_cache_engine = False
        rollout.enable_sleep_mode = False
    rollout.checkpoint_engine.update_weights_bucket_megabytes = 16
    vllm: dict[str, Any] = {"compilation_config": {"cudagraph_mode": "NONE"}}
    rollout.engine_kwargs.vllm = OmegaConf.merge(vllm, rollout.engine_kwargs.vllm)


def _default(node: DictConfig, key: str, value: Any) -> None:
    if node.get(key) is None:
        node[key] = value

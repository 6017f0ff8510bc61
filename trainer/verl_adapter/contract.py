"""The parts of veRL that are used, by name, and a clear error if one is not there.

veRL's trainer interface changes from release to release. All its uses are in this package; the
names it stands on are listed here, and :func:`check` compares them with the installed version. That
imports most of veRL: the command compares where the version is another one (:func:`is_tested`), the
process that trains, which has it imported, always.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path

VERL_VERSION = "0.9.1"

SIGNATURES: dict[str, tuple[str, ...]] = {
    "verl.trainer.ppo.v1:PPOTrainerSync.__init__": ("self", "config"),
    "verl.trainer.ppo.v1:PPOTrainerSync.init": ("self",),
    "verl.trainer.ppo.v1:PPOTrainerSync.fit": ("self", "agent_loop_manager"),
    "verl.trainer.ppo.v1:PPOTrainerSync.prepare_step": ("self",),
    "verl.trainer.ppo.v1:PPOTrainerSync._step_once": (
        "self", "metrics", "timing_raw", "sample_batch_size",
    ),
    "verl.trainer.ppo.v1:PPOTrainerSync.step": ("self", "metrics", "timing_raw"),
    "verl.trainer.ppo.v1:PPOTrainerSync._compute_metrics": (
        "self", "batch", "metrics", "timing_raw", "global_steps", "epoch",
    ),
    "verl.trainer.ppo.v1:PPOTrainerSync._submit_batch_to_rollout": ("self", "batch"),
    "verl.trainer.ppo.v1:PPOTrainerSync._balance_batch": ("self", "batch", "metrics"),
    "verl.trainer.ppo.v1:PPOTrainerSync._compute_old_log_prob": ("self", "batch", "metrics"),
    "verl.trainer.ppo.v1:PPOTrainerSync._compute_ref_log_prob": ("self", "batch", "metrics"),
    "verl.trainer.ppo.v1:PPOTrainerSync._compute_values": ("self", "batch", "metrics"),
    "verl.trainer.ppo.v1:PPOTrainerSync._compute_advantage": ("self", "batch", "metrics"),
    "verl.trainer.ppo.v1:PPOTrainerSync._update_critic": ("self", "batch", "metrics"),
    "verl.trainer.ppo.v1:PPOTrainerSync._update_actor": ("self", "batch", "metrics"),
    "verl.trainer.ppo.v1:PPOTrainerSync._save_checkpoint": ("self",),
    "verl.trainer.ppo.v1:PPOTrainerSync._load_checkpoint": ("self",),
    "verl.trainer.ppo.v1:PPOTrainerSync._validate": ("self",),
    "verl.trainer.ppo.v1:PPOTrainerSync.on_train_begin": ("self",),
    "verl.trainer.ppo.v1:PPOTrainerSync.on_sample_begin": ("self",),
    "verl.trainer.ppo.v1:PPOTrainerSync.on_sample_end": ("self",),
    "verl.trainer.ppo.v1:PPOTrainerSync.get_llm_client": ("self",),
    "verl.trainer.ppo.v1:PPOTrainerSync.get_reward_handles": ("self",),
    "verl.trainer.ppo.v1:PPOTrainerSync.get_teacher_client": ("self",),
    "verl.trainer.ppo.v1:PPOTrainerSync.on_step_end": ("self",),
    "verl.trainer.ppo.v1:PPOTrainerSync._consume_sync_metrics": ("self",),
    "verl.trainer.ppo.v1.replay_buffer:ReplayBuffer.__init__": ("self", "poll_interval"),
    "verl.checkpoint_engine.base:CheckpointEngineManager.abort_replicas": ("self",),
    "verl.trainer.ppo.core_algos:ADV_ESTIMATOR_REGISTRY": (),
    "verl.trainer.ppo.v1:AgentLoopManagerTQ.create": (),
    "verl.trainer.ppo.v1:register_trainer": ("name",),
    "verl.trainer.ppo.core_algos:register_adv_est": ("name_or_enum",),
    "verl.trainer.ppo.utils:need_critic": ("config",),
    "verl.trainer.ppo.utils:need_reference_policy": ("config",),
    "verl.trainer.constants_ppo:get_ppo_ray_runtime_env": ("config",),
    "verl.utils.config:validate_config": ("config", "use_reference_policy", "use_critic"),
    "verl.utils.debug:marked_timer": ("name", "timing_raw"),
    "verl.utils.logging_utils:configure_verl_logging": (),
    "verl.utils.tensordict_utils:get_tensordict": ("tensor_dict",),
    "verl.utils.tensordict_utils:assign_non_tensor_data": ("tensor_dict", "key", "val"),
    "verl.experimental.agent_loop.single_turn_agent_loop:SingleTurnAgentLoop.run": (
        "self", "sampling_params", "priority",
    ),
    "verl.experimental.agent_loop.agent_loop:AgentLoopOutput": ("reward_score",),
    "verl.experimental.agent_loop.agent_loop:hydra.utils.instantiate": ("config",),
    "transfer_queue:init": ("conf",),
    "transfer_queue:close": (),
    "transfer_queue:kv_list": ("partition_id",),
    "transfer_queue:kv_batch_get": ("keys", "partition_id", "select_fields"),
    "transfer_queue:kv_batch_put": ("keys", "partition_id", "fields", "tags"),
    "transfer_queue:kv_clear": ("keys", "partition_id"),
    "transfer_queue:KVBatchMeta": ("keys", "tags", "partition_id", "extra_info"),
}  # fmt: skip
"""``module:name`` and parameters that must be there, in any order, with others besides."""

CPU_SIGNATURES: dict[str, tuple[str, ...]] = {
    "verl.plugin.platform.platform_base:PlatformBase": (),
    "verl.plugin.platform.platform_manager:PlatformRegistry.register": ("platform",),
    "verl.utils.distributed:initialize_global_process_group_ray": ("timeout_second", "backend"),
    "verl.utils.model:load_valuehead_model": (
        "local_path", "torch_dtype", "model_config", "trust_remote_code",
    ),
    "verl.utils.fsdp_utils:CPUOffloadPolicy": ("pin_memory",),
    "verl.workers.rollout.base:BaseRollout.update_weights": ("self", "weights", "wire_format"),
    "verl.workers.rollout.base:BaseRollout.resume": ("self", "tags"),
    "verl.workers.rollout.base:BaseRollout.release": ("self",),
    "verl.workers.rollout.base:_ROLLOUT_REGISTRY": (),
    "verl.workers.rollout.replica:RolloutReplica.launch_servers": ("self",),
    "verl.workers.rollout.replica:RolloutReplica.sleep": ("self",),
    "verl.workers.rollout.replica:RolloutReplica.wake_up": ("self",),
    "verl.workers.rollout.replica:RolloutReplicaRegistry.register": ("name", "loader"),
    "verl.workers.rollout.replica:TokenOutput": (
        "token_ids", "log_probs", "stop_reason", "extra_fields",
    ),
}  # fmt: skip
"""As :data:`SIGNATURES`, used on processors only."""


CONVENTIONS: dict[str, tuple[str, ...]] = {
    "verl.trainer.ppo.v1.agent_loop_tq": (
        # Columns of a submitted batch.
        '"uid"', '"__rollout_n__"', "session_id=",
        # Keys and tags of prompts and responses in the store.
        'f"{uid}_{session_id}_', '"status"', '"finished"', '"failure"', '"response_len"',
    ),
    "verl.trainer.ppo.v1.trainer_base": (
        '"is_prompt"', '"global_steps"', '"rm_scores"', '"temperature"', '"calculate_entropy"',
        "self.checkpoint_manager", "self.replay_buffer", "self.tokenizer", "self.logger",
        "self.global_steps", "self.steps_per_epoch", "self.total_training_steps",
        "self.use_reference_policy", "self.use_critic",
    ),
    "verl.experimental.agent_loop.agent_loop": ('"agent_name"',),
    "verl.experimental.agent_loop.single_turn_agent_loop": ('"raw_prompt"',),
}  # fmt: skip
"""Texts of veRL's modules that stand for what has no signature: columns, tags, attributes."""


class ContractError(RuntimeError):
    """The installed veRL is not one that this project works with."""


def is_tested() -> bool:
    """Whether the installed veRL says that it is the tested version."""
    try:
        return importlib.metadata.version("verl") == VERL_VERSION
    except importlib.metadata.PackageNotFoundError:
        return False


def check(*, cpu: bool = False, any_version: bool = False) -> str | None:
    """Compare the installed veRL with what is used of it.

    Args:
        cpu: Also what is used on processors only.
        any_version: Return the sentence where one of another version would be refused.

    Raises:
        ContractError: says in one sentence which version is there and what is different.
    """
    try:
        version = importlib.metadata.version("verl")
    except importlib.metadata.PackageNotFoundError:
        raise ContractError(
            f"veRL is not installed: this trainer needs veRL {VERL_VERSION} "
            "(pip install -e '.[trainer]')"
        ) from None
    differences = list(_differences(SIGNATURES | (CPU_SIGNATURES if cpu else {})))
    differences += _other_conventions()
    if version == VERL_VERSION and not differences:
        return None
    what = "; ".join(differences) or "all names that are used are there, but it is not tested"
    if any_version:
        return f"going on with veRL {version}, though {VERL_VERSION} is what was tested: {what}"
    raise ContractError(
        f"this trainer needs veRL {VERL_VERSION}, but {version} is installed: {what} "
        "(trainer.any_verl=true goes on all the same)"
    )


def check_cpu_plugin() -> None:
    """Make sure that the plug-in for processors is in force in this process.

    Raises:
        ContractError: it is not; veRL itself says nothing when a plug-in fails to load.
    """
    try:
        from trainer.verl_adapter.cpu import patches, platform
    except ImportError as error:
        raise ContractError(f"the plug-in for processors cannot be loaded: {error}") from error
    if not (platform.is_registered() and patches.applied()):
        raise ContractError(
            "veRL has not loaded this project's plug-in for processors: is the project installed "
            "(pip install -e .), and is VERL_USE_EXTERNAL_PLUGINS unset?"
        )


def _differences(signatures: dict[str, tuple[str, ...]]) -> Iterator[str]:
    for name, parameters in signatures.items():
        try:
            found = pkgutil.resolve_name(name)
        except (ImportError, AttributeError):
            yield f"{name.replace(':', '.')} is missing"
            continue
        if not parameters:
            continue
        has = inspect.signature(found).parameters
        missing = [parameter for parameter in parameters if parameter not in has]
        if missing:
            yield f"{name.replace(':', '.')} has no parameter {', '.join(missing)}"


def _other_conventions() -> Iterator[str]:
    for module, texts in CONVENTIONS.items():
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            yield f"{module} is missing"
            continue
        source = Path(spec.origin).read_text(encoding="utf-8")
        missing = [text for text in texts if text not in source]
        if missing:
            yield f"{module} does not know {', '.join(missing)}"

"""The arguments of the original's scripts are understood: taken, or left out with the reason."""

from __future__ import annotations

import pytest

pytest.importorskip("hydra", reason="needs the extra 'trainer'")

from trainer.cli.app import main
from trainer.configs import compose, game_settings
from trainer.configs.old_keys import NOT_NEEDED, left_out, ported

SCRIPT = [
    "data.shuffle=True",
    "actor_rollout_ref.ref.include_ref=False",
    "algorithm.adv_estimator=reinforce_plus_plus",
    "data.train_files=data/code_reason/test_answer.parquet",
    "data.val_files=data/code_reason/test_answer.parquet",
    "data.train_batch_size=64",
    "data.val_batch_size=1312",
    "data.max_prompt_length=6144",
    "data.max_validation_prompt_length=6144",
    "data.max_response_length=8096",
    "actor_rollout_ref.model.path=Qwen/Qwen2.5-7B",
    "actor_rollout_ref.actor.optim.lr=1e-6",
    "actor_rollout_ref.model.use_remove_padding=True",
    "actor_rollout_ref.actor.ppo_mini_batch_size=128",
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=16",
    "actor_rollout_ref.actor.use_kl_loss=False",
    "actor_rollout_ref.actor.kl_loss_coef=0.0",
    "actor_rollout_ref.actor.kl_loss_type=low_var_kl",
    "actor_rollout_ref.actor.ulysses_sequence_parallel_size=4",
    "actor_rollout_ref.model.enable_gradient_checkpointing=True",
    "actor_rollout_ref.model.pretrained_tokenizer=True",
    "actor_rollout_ref.actor.fsdp_config.param_offload=False",
    "actor_rollout_ref.actor.fsdp_config.grad_offload=False",
    "actor_rollout_ref.actor.fsdp_config.optimizer_offload=False",
    "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu=64",
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=64",
    "actor_rollout_ref.rollout.tensor_model_parallel_size=2",
    "actor_rollout_ref.rollout.name=vllm",
    "actor_rollout_ref.rollout.max_num_batched_tokens=16384",
    "actor_rollout_ref.rollout.gpu_memory_utilization=0.4",
    "actor_rollout_ref.rollout.enforce_eager=False",
    "actor_rollout_ref.rollout.free_cache_engine=False",
    "actor_rollout_ref.rollout.n=1",
    "actor_rollout_ref.rollout.temperature=1.0",
    "actor_rollout_ref.ref.fsdp_config.param_offload=True",
    "algorithm.kl_ctrl.kl_coef=0.0",
    "trainer.critic_warmup=0",
    "trainer.logger=['console','wandb']",
    "trainer.project_name='azr'",
    "trainer.experiment_name='azr_7b'",
    "trainer.n_gpus_per_node=4",
    "trainer.nnodes=1",
    "trainer.save_freq=10",
    "trainer.remove_previous_ckpt_in_save=True",
    "trainer.del_local_ckpt_after_load=True",
    "trainer.test_freq=10",
    "+trainer.val_before_train=False",
    "reward_fn.extraction_type=answer_conditional",
    "reward_fn.math_metric=math_verify",
    "trainer.val_generations_to_log_to_wandb=0",
    "azr.data_selection_strategy.update_iteration=1",
    "azr.seed_dataset=data/7b_seed_io.jsonl",
    "azr.output_seed_path=data/7b_seed_io.jsonl",
    "azr.pretrain_pred_steps=-1",
    "azr.executor=qwq",
    "azr.ast_check=True",
    "azr.reward.n_samples=8",
    "azr.problem_types=['code_i','code_o','code_f']",
    "azr.data_selection_strategy.banned_keywords_for_errors_and_exceptions=['raise']",
    "trainer.debug=False",
    "azr.reward.generation_reward_config.complexity_reward.coef=0.0",
    "azr.reward.generation_reward_config.answer_diversity_reward.hierarchical=False",
    "azr.pred_data_mix_strategy=max_new",
    "azr.data_selection_strategy.seed_batch_factor=4",
    "azr.data_selection_strategy.valid_program_filter=all",
    "azr.data_selection_strategy.max_programs=16384",
    "azr.data_selection_strategy.batched_estimate=False",
    "azr.reward.generation_reward_config.intrinsic_combine_method=sum",
    "azr.gen_data_probabilities_strategy=uniform",
    "trainer.resume_mode=auto",
    "azr.data_selection_strategy.composite_start_step=-1",
    "azr.data_selection_strategy.composite_chance=0.0",
    "azr.reward.generation_reward_config.use_original_code_as_ref=True",
    "azr.data_selection_strategy.composite_function_n_min=0",
    "azr.data_selection_strategy.composite_function_n_max=0",
    "azr.reward.code_f_reward_type=binary",
    "trainer.wandb_run_id=null",
    "trainer.total_epochs=30",
]
"""The original's scripts/selfplay/7b.sh, without the rewards that it turns off one by one."""


def test_a_script_of_the_original_is_a_command_line() -> None:
    config = compose(["preset=qwen2.5_7b", *SCRIPT])
    azr = game_settings(config).azr
    assert azr.executor == "nsjail"
    assert azr.seed_dataset == "data/7b_seed_io.jsonl"
    assert config.trainer.val_before_train is False
    assert {text.partition("=")[0] for text, _ in left_out(SCRIPT)} == {
        "actor_rollout_ref.ref.include_ref",
        "data.max_validation_prompt_length",
        "actor_rollout_ref.model.pretrained_tokenizer",
        "actor_rollout_ref.actor.fsdp_config.grad_offload",
        "trainer.remove_previous_ckpt_in_save",
        "reward_fn.math_metric",
        "trainer.val_generations_to_log_to_wandb",
        "azr.executor",
        "trainer.debug",
    }


def test_what_is_left_out_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["preset=cpu_tiny", "--dry-run", "reward_fn.math_metric=math_verify"])
    assert code == 0
    assert capsys.readouterr().out.startswith(
        "note: reward_fn.math_metric=math_verify is not needed here: no task of the game"
    )


def test_only_these_arguments_are_left_out() -> None:
    kept = ["azr.executor=docker", "trainer.debugger=1", "reward_fn.math_metrics=x", "+azr.seed=2"]
    assert ported(kept) == kept
    assert ported(["+trainer.val_before_train=True"]) == ["trainer.val_before_train=True"]
    assert all(list(left_out([f"{key}=1"])) for key in NOT_NEEDED if "=" not in key)

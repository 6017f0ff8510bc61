"""The self-play trainer: veRL's synchronous PPO trainer with the game in place of a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, open_dict
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1 import PPOTrainerSync, register_trainer
from verl.utils.debug import marked_timer

from trainer.configs import game_settings
from trainer.evaluation import in_training
from trainer.game.errors import ExecutorLost
from trainer.game.play.selfplay import StepResult
from trainer.models.tokenizers import token_counter
from trainer.run import best, checkpoints, wiring
from trainer.run.game import Game, game_class
from trainer.run.run_log import RunLog, numbers
from trainer.verl_adapter import advantage, queue
from trainer.verl_adapter.rollout_policy import RolloutPolicy, Sampling, Stopped

assert advantage.is_registered()

type Metrics = dict[str, Any]
type Timing = dict[str, float]


class NothingToTrain(RuntimeError):
    """Not one sample of a step could be scored."""


@register_trainer(wiring.TRAINER_MODE)
class SelfPlayTrainer(PPOTrainerSync):
    """Propose, validate, solve, reward: one on-policy update on everything, each step.

    veRL keeps its loop (:meth:`fit`), models, weight updates, log-probabilities, loss, loggers and
    checkpoints. This class replaces where samples and rewards come from (:meth:`_step_once`), adds
    the game's state to checkpoints, and validates with the game's own prompts and judge.

    Args:
        config: Complete configuration, see :func:`trainer.run.wiring.wire`.
        say: Takes lines for the user.
        progress: Takes the number of steps done, and that of all.
        stopping: Whether the user wants the run to stop.
    """

    def __init__(
        self,
        config: DictConfig,
        say: Callable[[str], None] = print,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._run = wiring.run_directory(config)
        self._say, self._progress, self._stopping = say, progress, stopping
        self._keep = config.trainer.max_actor_ckpt_to_keep
        with open_dict(config):
            # veRL compares with this very text where it tells its trainers apart.
            config.trainer.v1.trainer_mode = "sync"
            # Whole checkpoints are removed here, not only the model's part of them.
            config.trainer.max_actor_ckpt_to_keep = None
            config.trainer.max_critic_ckpt_to_keep = None
        super().__init__(config)
        # For validation, which veRL polls itself: its 2 s are long beside a tiny model's step.
        self.replay_buffer.poll_interval = 0.1
        self._game: Game | None = None
        self._log: RunLog | None = None
        self._trained: tuple[KVBatchMeta, Metrics, Timing] | None = None

    # ---- start ----

    @property
    def game(self) -> Game:
        """The game; there after :meth:`init`."""
        assert self._game is not None
        return self._game

    @property
    def logger(self) -> RunLog:
        """The log of :meth:`fit`; veRL's own loggers are behind it."""
        assert self._log is not None
        return self._log

    @logger.setter
    def logger(self, tracking: Any) -> None:
        self._log = RunLog(self._run, self.global_steps, self.total_training_steps, self._say)
        self._log.attach(tracking)
        if self.global_steps:
            metrics = checkpoints.read_metrics(self._resumed_from())
            self._log.fill(self.global_steps, metrics or {})
        self._progress(self.global_steps, self.total_training_steps)

    def close(self, succeeded: bool) -> None:
        """End the executor, and flush the loggers."""
        if self._game is not None:
            self._game.close()
        if self._log is not None:
            self._log.finish(exit_code=0 if succeeded else 1)

    def _load_checkpoint(self) -> None:
        super()._load_checkpoint()
        self._game = game_class(self.config)(self.config, self.tokenizer, self._say)
        if self.global_steps:
            folder = self._resumed_from()
            self.game.restore(checkpoints.read_game(folder))
            self._say(f"going on from step {self.global_steps} ({folder})")

    def _resumed_from(self) -> Path:
        """The checkpoint's folder; only while ``global_steps`` is still its step."""
        if self.config.trainer.resume_mode == "resume_path":
            return wiring.resume_folder(self.config)
        return checkpoints.folder(self._run, self.global_steps)

    def fit(self, agent_loop_manager: Any) -> None:
        """Train until the last step, or until the user stops the run."""
        rollout = self.config.actor_rollout_ref.rollout
        self._policy = RolloutPolicy(
            submit=self._submit,
            tokenizer=self.tokenizer,
            sampling=Sampling(
                seed=int(self.config.azr.seed),
                seeded=rollout.name == "hf" or bool(rollout.full_determinism),
                response_length=int(rollout.response_length),
                overlap=wiring.overlaps(self.config),
            ),
            check=self._check,
        )
        super().fit(agent_loop_manager)

    def _submit(self, batch: TensorDict) -> None:
        self._submit_batch_to_rollout(batch)
        # veRL deals prompts out from the first worker on: small batches would all be its.
        workers = self.agent_loop_manager.agent_loop_workers
        dealt = len(batch) % len(workers)
        workers[:] = [*workers[dealt:], *workers[:dealt]]

    def _check(self) -> None:
        if self._stopping():
            raise Stopped

    def on_train_begin(self) -> None:
        """Make the seeds of a new run."""
        super().on_train_begin()
        if self.global_steps == 1:
            self._policy.begin(0)
            self.game.begin(self._policy, self._say)
            self._policy.forget(())

    # ---- one step ----

    def prepare_step(self) -> Metrics:
        """Nothing: veRL would submit rows of its data set here."""
        return {}

    def step(self, metrics: Metrics, timing_raw: Timing) -> KVBatchMeta:
        """Play and train a step."""
        self._trained = None
        batch = super().step(metrics, timing_raw)
        self._trained = batch, metrics, timing_raw
        return batch

    def _step_once(
        self, metrics: Metrics, timing_raw: Timing, sample_batch_size: int
    ) -> KVBatchMeta:
        with marked_timer("gen", timing_raw, color="red"):
            self.on_sample_begin()
            batch = self._sample(metrics)
            self.on_sample_end()
        batch.extra_info["temperature"] = self.config.actor_rollout_ref.rollout.temperature
        return self._update(self._balance_batch(batch, metrics=metrics), metrics, timing_raw)

    def _sample(self, metrics: Metrics) -> KVBatchMeta:
        """Play a step; the samples that are trained on, with their rewards in veRL's store."""
        self._policy.begin(self.global_steps)
        result = self._play()
        scored = [sample for sample in result.samples if not sample.masked]
        if not scored:
            raise NothingToTrain(
                f"not one of the {len(result.samples)} samples of step {self.global_steps} "
                "could be scored: the executor returned no verdicts"
            )
        rows = [cast(queue.StoredResponse, sample.response.handle) for sample in scored]
        queue.set_rewards(rows, [sample.reward for sample in scored])
        self._policy.forget(rows)
        metrics.update(result.metrics)
        metrics["rollout/waiting_s"] = self._policy.waiting_s
        metrics["rollout/missing"] = self._policy.missing
        metrics["rollout/masked"] = len(result.samples) - len(scored)
        self.logger.samples(self.global_steps, result.tables)
        return queue.meta_of(rows)

    def _play(self) -> StepResult:
        try:
            return self.game.step(self._policy, self.global_steps)
        except ExecutorLost:
            # Weights and game are still as the step before this one left them.
            self.global_steps -= 1
            self._save_now()
            raise

    def _save_now(self) -> None:
        """Save in the middle of a rollout, unless it is saved already."""
        self.checkpoint_manager.abort_replicas()
        self.on_sample_end()
        if self.global_steps and checkpoints.latest_step(self._run) != self.global_steps:
            self._save_checkpoint()

    def _update(self, batch: KVBatchMeta, metrics: Metrics, timing_raw: Timing) -> KVBatchMeta:
        """As in veRL: log-probabilities, advantages, one update."""
        with marked_timer("old_log_prob", timing_raw, color="blue"):
            batch = self._compute_old_log_prob(batch, metrics=metrics)
        if self.use_reference_policy:
            with marked_timer("ref", timing_raw, color="olive"):
                batch = self._compute_ref_log_prob(batch, metrics=metrics)
        if self.use_critic:
            with marked_timer("values", timing_raw, color="cyan"):
                batch = self._compute_values(batch, metrics=metrics)
        with marked_timer("adv", timing_raw, color="brown"):
            batch = self._compute_advantage(batch, metrics=metrics)
        if self.use_critic:
            with marked_timer("update_critic", timing_raw, color="pink"):
                batch = self._update_critic(batch, metrics=metrics)
        if self.config.trainer.critic_warmup <= self.global_steps:
            with marked_timer("update_actor", timing_raw, color="red"):
                batch = self._update_actor(batch, metrics=metrics)
        return batch

    def on_step_end(self) -> None:
        """Give the rollout engines the new weights."""
        super().on_step_end()
        self._progress(self.global_steps, self.total_training_steps)

    # ---- validation and checkpoints ----

    def _consume_sync_metrics(self) -> Metrics:
        """Also the figures on benchmarks, every so many steps: the engines have the new weights."""
        metrics: Metrics = super()._consume_sync_metrics()
        if in_training.is_due(self.config, self.global_steps):
            self.on_validate_begin()
            metrics |= self._evaluate()
            self.on_validate_end()
        return metrics

    def _evaluate(self) -> dict[str, float]:
        """pass@1 on subsets of published benchmarks, greedy."""
        self._policy.begin(self.global_steps)
        plan = in_training.plan_of(self.config, self.global_steps)
        longest = int(self.config.data.max_prompt_length)
        tokens = token_counter(self.tokenizer, self.config)
        engine = in_training.PolicyEngine(self._policy, lambda prompt: tokens(prompt) <= longest)
        azr = game_settings(self.config).azr
        metrics = in_training.metrics_of(
            plan, engine, lambda: in_training.judging(azr, plan), self._say
        )
        self._policy.forget(())
        self._note_best(metrics)
        return metrics

    def _note_best(self, metrics: Mapping[str, float]) -> None:
        """Keep the best checkpoint, and end the run if there was none for long."""
        step, metric = self.global_steps, self.config.trainer.best_by
        found = best.note(self._run, str(metric), step, metrics) if metric else None
        if found is None or not step:
            return
        is_over = 0 < int(self.config.trainer.patience) <= found.without
        is_saved = step in checkpoints.complete_steps(self._run)
        if (found.step == step or is_over) and not is_saved:
            self._save_checkpoint()
        if is_over:
            self._say(
                f"{metric} was not better than {found.value:.4f} of step {found.step} in "
                f"{found.without} validations: the run ends (trainer.patience)"
            )
            self.total_training_steps = step  # veRL's loop ends behind it

    def _validate(self) -> dict[str, float]:
        """Accuracy on the benchmark rows of ``data.val_files``: greedy, by the game's own judge."""
        self._policy.begin(self.global_steps)
        try:
            metrics = self.game.validate(self._policy, self.global_steps)
        except ExecutorLost:
            self._save_now()
            raise
        self._policy.forget(())
        self._note_best(metrics)
        return dict(metrics)

    def _save_checkpoint(self) -> None:
        step = self.global_steps
        with checkpoints.guarded(self._run, step):
            checkpoints.write_game(self._run, step, self.game.state())
            if self._trained is not None:
                checkpoints.write_metrics(self._run, step, self._metrics(*self._trained))
            super()._save_checkpoint()
        best.prune(self._run, self._keep)

    def _metrics(
        self, batch: KVBatchMeta, metrics: Metrics, timing_raw: Timing
    ) -> dict[str, float | None]:
        """Metrics that veRL will log of the step that is saved, but for those after saving."""
        own, epoch = dict(metrics), (self.global_steps - 1) // self.steps_per_epoch
        timing = {"step": sum(timing_raw.values()), **timing_raw}
        self._compute_metrics(batch, own, timing, global_steps=self.global_steps, epoch=epoch)
        return numbers(own)

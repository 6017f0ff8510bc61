"""Start Ray, train in an actor, show what it says, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Literal, NamedTuple

import ray
from omegaconf import DictConfig, OmegaConf
from ray.exceptions import RayError, RayTaskError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trainer.run import wandb_extras, wiring
from trainer.run.environment import WANDB_ID_FILE, carried, wandb_run_id
from trainer.run.failures import FAILURES, Interrupted, TrainingFailed
from trainer.verl_adapter import cluster, contract, shared_memory
from trainer.verl_adapter.mailbox import Mailbox, MailboxActor

_LOOK_EVERY_S = 0.25
_RAY_TRIES = 4
_GRACE_S = 30.0
"""Time that a run has to end after the user stopped it."""


class TrainingEnd(NamedTuple):
    """The end of the training, where it ended by itself or for a reason that it knows."""

    kind: Literal["done", "stopped", "failed"]
    sentence: str = ""


@ray.remote(num_cpus=1)
class TrainingActor:
    """The process that trains. veRL calls it the task runner."""

    def run(self, config: DictConfig, mailbox_actor: Any) -> TrainingEnd:
        """Train."""
        import transfer_queue as tq
        from verl.utils.logging_utils import configure_verl_logging

        from trainer.run.game import Finished
        from trainer.verl_adapter.rollout_policy import Stopped

        configure_verl_logging()
        config.transfer_queue.enable = True
        OmegaConf.resolve(config)
        tq.init(config.transfer_queue)
        try:
            _train(config, Mailbox(mailbox_actor))
        except Stopped:
            return TrainingEnd("stopped")
        except Finished as finished:
            return TrainingEnd("done", str(finished))
        except (*FAILURES, contract.ContractError) as error:
            return TrainingEnd("failed", str(error))
        finally:
            tq.close()
        return TrainingEnd("done", "the last step is trained")


def _train(config: DictConfig, mailbox: Mailbox) -> None:
    from verl.trainer.ppo.v1 import AgentLoopManagerTQ

    from trainer.verl_adapter.trainer import SelfPlayTrainer

    contract.check(any_version=bool(config.trainer.any_verl))
    trainer = SelfPlayTrainer(config, mailbox.say, mailbox.progress, mailbox.stopping)
    succeeded = False
    try:
        trainer.init()
        agent_loops = AgentLoopManagerTQ.create(
            config=config,
            llm_client=trainer.get_llm_client(),
            teacher_client=trainer.get_teacher_client(),
            reward_loop_worker_handles=trainer.get_reward_handles(),
        )
        with _wandb(config):
            trainer.fit(agent_loops)
        succeeded = True
    finally:
        trainer.close(succeeded)


@contextmanager
def _wandb(config: DictConfig) -> Iterator[None]:
    """Go on with the run that an earlier start of this run directory made."""
    if "wandb" not in config.trainer.logger:
        yield
        return
    import wandb

    run_id = wandb_run_id(config) or wandb.util.generate_id()
    os.environ.update(WANDB_RUN_ID=run_id, WANDB_RESUME="allow")
    os.environ.setdefault("WANDB_TAGS", ",".join(wandb_extras.tags(config)))
    (wiring.run_directory(config) / WANDB_ID_FILE).write_text(run_id)
    yield


def train(config: DictConfig, console: Console) -> None:
    """Train to the end. Everything that was started has ended when this returns or raises.

    Raises:
        Interrupted: the user stopped the run.
        TrainingFailed: the run ended early; says why.
    """
    before = shared_memory.segments()
    try:
        with _signals_interrupt():
            _start_ray(config)
            # Again: Ray has put a handler in front that aborts this process 3 s after a SIGTERM.
            with _signals_interrupt():
                if wiring.joins_cluster(config):
                    cluster.check(config)
                mailbox = MailboxActor.remote()  # type: ignore[attr-defined]
                actor = TrainingActor.options(**cluster.here()).remote()  # type: ignore[attr-defined]
                outcome = _attend(actor.run.remote(config, mailbox), mailbox, console)
    except KeyboardInterrupt:
        raise Interrupted from None
    except RayTaskError as error:
        raise TrainingFailed(_reason(error), _ray_logs()) from error
    except RayError as error:
        raise TrainingFailed(f"{type(error).__name__}: {error}", _ray_logs()) from error
    finally:
        with _signals_ignored():
            ray.shutdown()
            shared_memory.remove_new(before)
    if outcome.kind == "stopped":
        raise Interrupted
    if outcome.kind == "failed":
        raise TrainingFailed(outcome.sentence)
    console.print(outcome.sentence, markup=False, highlight=False, soft_wrap=True)


def _start_ray(config: DictConfig) -> None:
    from verl.trainer.constants_ppo import get_ppo_ray_runtime_env

    rollout = config.actor_rollout_ref.rollout
    if rollout.full_determinism:
        os.environ.update(
            VERL_FULL_DETERMINISM="1", VLLM_BATCH_INVARIANT="1", PYTHONHASHSEED=str(rollout.seed)
        )
    options = OmegaConf.to_container(config.ray_kwargs.ray_init, resolve=True)
    assert isinstance(options, dict)
    runtime_env = OmegaConf.merge(
        OmegaConf.create(get_ppo_ray_runtime_env(config)), options.pop("runtime_env", None) or {}
    )
    environment = OmegaConf.to_container(runtime_env)
    assert isinstance(environment, dict)
    environment.setdefault("env_vars", {})["TRANSFER_QUEUE_ENABLE"] = "1"
    if wiring.joins_cluster(config):
        environment["env_vars"] = carried() | environment["env_vars"]
    else:
        # By itself Ray would join whatever cluster was started on this machine.
        options["address"] = "local"
    options.setdefault("log_to_driver", False)
    options.setdefault("logging_level", "ERROR")
    for left in reversed(range(_RAY_TRIES)):
        try:
            ray.init(**options, runtime_env=environment)
        except Exception as error:
            # Of no class of its own: a busy machine does not bring Ray up within its 30 s.
            if not left:
                raise TrainingFailed(f"Ray does not start on this machine: {error}") from error
            ray.shutdown()
        else:
            return


def _attend(running: Any, mailbox: Any, console: Console) -> TrainingEnd:
    """Show what the trainer says until it ends; Ctrl-C once lets it end, twice does not wait."""
    columns = (
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)
        deadline = None
        while True:
            try:
                ended, _ = ray.wait([running], timeout=_LOOK_EVERY_S)
                updates = ray.get(mailbox.poll.remote())
                for line in updates.lines:
                    bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
                if updates.total:
                    bar.update(
                        task, description="training", completed=updates.done, total=updates.total
                    )
                if ended:
                    return ray.get(running)  # type: ignore[no-any-return]
                if deadline is not None and time.monotonic() > deadline:
                    raise KeyboardInterrupt
            except KeyboardInterrupt:
                if deadline is not None:
                    raise
                bar.console.print("stopping; press Ctrl-C again to stop at once")
                bar.update(task, description="stopping")
                mailbox.stop.remote()
                deadline = time.monotonic() + _GRACE_S


def _reason(error: RayTaskError) -> str:
    """The exception that ended the training, without Ray's wrapping."""
    cause = error.cause if getattr(error, "cause", None) is not None else error
    while isinstance(cause, RayTaskError) and getattr(cause, "cause", None) is not None:
        cause = cause.cause
    lines = str(cause).strip().splitlines()
    return f"{type(cause).__name__}: {lines[-1] if lines else ''}\n\n{error}"


def _ray_logs() -> Path | None:
    try:
        node = ray._private.worker._global_node
        return Path(node.get_logs_dir_path()) if node else None
    except AttributeError:
        return None


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM does what Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _signals_ignored() -> Iterator[None]:
    """Cleaning up is not interrupted."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)

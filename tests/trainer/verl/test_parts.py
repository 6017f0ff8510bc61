"""Parts of the adapter that need no run: advantages, the contract, wiring, environment."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.support.forked import process_class
from tests.trainer.support.runs import needs_verl

pytest.importorskip("omegaconf", reason="needs the extra 'trainer'")

from trainer.configs import compose
from trainer.run import environment, wiring
from trainer.verl_adapter import shared_memory

pytestmark = [needs_verl, pytest.mark.verl, pytest.mark.timeout(300)]


def wired(*overrides: str) -> Any:
    config = compose(overrides)
    wiring.wire(config)
    return config


def in_verl(code: str, *, cpu: bool = True, anew: bool = False) -> str:
    """Run code in a process of its own: veRL looks at the environment when it is imported.

    It has veRL imported already where it is for processors, unless it is to start ``anew``.
    """
    variables = {"PATH": "/usr/bin:/bin", "HOME": "/tmp"}
    if cpu:
        environment.prepare(wired("preset=cpu_tiny"), variables)
    starts = process_class(variables) if cpu and not anew else subprocess.Popen
    process = starts(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    output, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    return output


def test_estimator_gives_the_games_advantages_and_leaves_padding_out() -> None:
    output = in_verl(
        """
        import torch
        from trainer.verl_adapter.advantage import trrpp_advantages
        from trainer.game.rules.trrpp import advantages
        uids = ["propose-deduction-1", "solve-deduction-2", "propose-deduction-3", "pad77",
                "propose-deduction-4", "solve-deduction-5"]
        lengths = [1, 3, 3, 0, 2, 2]
        rewards = [1.0, 0.5, -0.5, 9.0, -1.0, 1.0]
        mask = torch.tensor([[float(t < n) for t in range(3)] for n in lengths])
        scores = torch.zeros(6, 3)
        for i, n in enumerate(lengths):
            scores[i, max(n - 1, 0)] = rewards[i]
        for weighting in ("token", "sequence"):
            config = {"trrpp_weighting": weighting, "trrpp_baseline": "task_relative"}
            got, returns = trrpp_advantages(scores, mask, uids, config)
            real = [0, 1, 2, 4, 5]
            wanted = advantages([rewards[i] for i in real], [lengths[i] for i in real],
                                [uids[i].rsplit("-", 1)[0] for i in real], weighting=weighting)
            assert torch.allclose(got[real, 0].double(), torch.tensor(wanted), atol=1e-6), got
            assert (got * (1 - mask) == 0).all() and (got[3] == 0).all()
            assert torch.equal(returns[:, 0], torch.tensor([1.0, 0.5, -0.5, 0.0, -1.0, 1.0]))
            assert got.abs().sum() > 1
            config["trrpp_baseline"] = "global"
            got, _ = trrpp_advantages(scores, mask, uids, config)
            wanted = advantages([rewards[i] for i in real], [lengths[i] for i in real],
                                ["all"] * len(real), weighting=weighting)
            assert torch.allclose(got[real, 0].double(), torch.tensor(wanted), atol=1e-6), got
        print("equal")
        """
    )
    assert output.splitlines()[-1] == "equal"


def test_contract_holds_and_another_version_is_named() -> None:
    output = in_verl(
        """
        import importlib.metadata, verl
        from trainer.verl_adapter import contract
        contract.check(cpu=True)
        contract.check_cpu_plugin()
        from verl.trainer.ppo.v1 import PPOTrainerSync
        del PPOTrainerSync.prepare_step
        from verl.trainer.ppo.v1 import PPOTrainer
        del PPOTrainer.prepare_step
        version = importlib.metadata.version
        importlib.metadata.version = lambda name: "0.10.0" if name == "verl" else version(name)
        try:
            contract.check()
        except contract.ContractError as error:
            print(error)
        """.replace("        del PPOTrainerSync.prepare_step\n", "")
    )
    assert output.splitlines()[-1] == (
        "this trainer needs veRL 0.9.1, but 0.10.0 is installed: "
        "verl.trainer.ppo.v1.PPOTrainerSync.prepare_step is missing "
        "(trainer.any_verl=true goes on all the same)"
    )


def test_plugin_does_nothing_without_its_variable() -> None:
    output = in_verl(
        """
        import verl
        import trainer.verl_adapter.cpu.plugin
        from verl.plugin.platform.platform_manager import PlatformRegistry
        import functools, verl.utils.distributed as d
        print(PlatformRegistry.get("cpu"), isinstance(d.initialize_global_process_group_ray,
              functools.partial))
        """,
        cpu=False,
    )
    assert output.splitlines()[-1] == "None False"


def test_plugin_imports_nothing_of_veRL_and_is_in_force_where_that_is_imported() -> None:
    output = in_verl(
        """
        import sys, verl
        from trainer.verl_adapter import contract
        contract.check_cpu_plugin()
        late = ("peft", "verl.utils.fsdp_utils", "verl.workers.rollout.replica")
        print([name for name in late if name in sys.modules])
        from torch.distributed.fsdp import OffloadPolicy
        from verl.utils.fsdp_utils import CPUOffloadPolicy
        from verl.workers.rollout.base import get_rollout_class
        from verl.workers.rollout.replica import get_rollout_replica_class
        print(type(CPUOffloadPolicy()) is OffloadPolicy)
        print(get_rollout_class("hf").__name__, get_rollout_replica_class("hf").__name__)
        """,
        anew=True,
    )
    assert output.splitlines()[-3:] == ["[]", "True", "HfWeightSender HfReplica"]


def test_no_worker_of_veRL_waits_for_rewards() -> None:
    assert wired("preset=cpu_tiny").reward.num_workers == 0


def test_wiring_follows_the_batch_and_is_idempotent() -> None:
    config = wired("preset=qwen2.5_7b")
    assert config.actor_rollout_ref.actor.ppo_mini_batch_size == 384
    assert config.actor_rollout_ref.rollout.n == 1
    assert not wiring.validates(config)
    assert config.trainer.test_freq == -1
    again = config.copy()
    wiring.wire(again)
    assert again == config


@pytest.mark.parametrize(
    ("overrides", "sequences"),
    [
        ((), 12),
        (("azr.train_propose=False",), 6),
        (("azr.problem_types=[code_o]", "data.train_batch_size=5"), 10),
    ],
)
def test_one_update_is_made_of_a_whole_step(overrides: Sequence[str], sequences: int) -> None:
    config = wired("preset=cpu_tiny", *overrides)
    assert config.actor_rollout_ref.actor.ppo_mini_batch_size == sequences


def test_mini_batch_can_be_split_over_the_ranks() -> None:
    config = wired("preset=cpu_tiny", "trainer.n_gpus_per_node=5")
    assert config.actor_rollout_ref.actor.ppo_mini_batch_size == 15


def test_environment_for_processors_leaves_the_users_values() -> None:
    variables = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "7"}
    environment.prepare(wired("preset=cpu_tiny"), variables)
    assert variables["VERL_PLATFORM"] == "cpu"
    assert variables["OMP_NUM_THREADS"] == "7"
    assert "CUDA_VISIBLE_DEVICES" not in variables


def test_environment_for_gpus_chooses_no_platform() -> None:
    variables = {"CUDA_VISIBLE_DEVICES": "0"}
    environment.prepare(wired("preset=qwen2.5_7b"), variables)
    assert "VERL_PLATFORM" not in variables
    assert variables["CUDA_VISIBLE_DEVICES"] == "0"


def test_wandb_run_goes_on_with_the_directorys_id(tmp_path: Path) -> None:
    here = f"trainer.default_local_dir={tmp_path}"
    assert environment.wandb_run_id(wired("preset=cpu_tiny", here)) is None
    (tmp_path / environment.WANDB_ID_FILE).write_text("abc\n")
    assert environment.wandb_run_id(wired("preset=cpu_tiny", here)) == "abc"
    given = wired("preset=cpu_tiny", here, "trainer.wandb_run_id=xyz")
    assert environment.wandb_run_id(given) == "xyz"


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs /dev/shm")
def test_shared_memory_that_nobody_uses_is_removed() -> None:
    from multiprocessing import resource_tracker
    from multiprocessing import shared_memory as memory

    before = shared_memory.segments()
    used = memory.SharedMemory(create=True, size=4096)
    unused = memory.SharedMemory(f"verl_weights_{uuid.uuid4().hex}", create=True, size=4096)
    try:
        unused.close()
        assert {used.name, unused.name} <= {path.name for path in shared_memory.segments()}
        removed = {path.name for path in shared_memory.remove_new(before)}
        assert unused.name in removed
        assert used.name not in removed
        assert used.buf is not None
        used.buf[0] = 1
    finally:
        used.close()
        used.unlink()
        resource_tracker.unregister(f"/{unused.name}", "shared_memory")


def test_a_rollout_server_that_sleeps_takes_neither_prompts_nor_weights() -> None:
    output = in_verl(
        """
        import asyncio
        from types import SimpleNamespace as Some
        from trainer.verl_adapter.cpu import rollout
        from trainer.models.generation import Completion
        engine = Some(generate=lambda prompts: [Completion([2], [-1.0])] * len(prompts),
                      load=lambda weights: None)
        rollout.make_generator = lambda *_: engine
        limits = {"threads": 1, "sleeps": 1, "response_length": 5, "batch_size": 4}

        async def tried(asked):
            try:
                return bool(await asked) or "done"
            except RuntimeError as error:
                return str(error)

        async def main():
            server = rollout.HfServer("", "", 1, limits)
            for action in (server.sleep, lambda: server.wake_up(["weights"]),
                           lambda: server.wake_up(["kv_cache"])):
                await action()
                print(await tried(server.load_weights({}, 1)), end="; ")
                print(await tried(server.generate([1], {}, "r")))

        asyncio.run(main())
        """
    )
    assert output.splitlines()[-3:] == [
        "the rollout server sleeps, without weights; "
        "the rollout server sleeps, without kv_cache, weights",
        "done; the rollout server sleeps, without kv_cache",
        "done; True",
    ]


def test_agent_loops_of_the_game_are_made_without_hydra_and_others_with_it() -> None:
    output = in_verl(
        """
        import trainer.verl_adapter.agent_loop as ours
        from verl.experimental.agent_loop import agent_loop
        made = []
        ours.SelfPlayAgentLoop.__init__ = lambda self, **arguments: made.append(arguments)
        instantiate = agent_loop.hydra.utils.instantiate
        name = "trainer.verl_adapter.agent_loop.SelfPlayAgentLoop"
        loop = instantiate(config={"_target_": name}, tools=1)
        print(type(loop) is ours.SelfPlayAgentLoop, made)
        print(instantiate(config={"_target_": "builtins.dict"}, a=1))
        """
    )
    assert output.splitlines() == ["True [{'tools': 1}]", "{'a': 1}"]

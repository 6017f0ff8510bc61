"""``rollout.name=hf``, made known to veRL. What is behind it is imported where it is used."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from wrapt import register_post_import_hook

from trainer.verl_adapter.cpu import ROLLOUT

_MODULE = "trainer.verl_adapter.cpu.rollout"


def register() -> None:
    """Add the name to veRL's two registries, as soon as each is imported."""
    register_post_import_hook(_sender, "verl.workers.rollout.base")
    register_post_import_hook(_replica, "verl.workers.rollout.replica")


def _sender(base: ModuleType) -> None:
    base._ROLLOUT_REGISTRY[(ROLLOUT, "async")] = f"{_MODULE}.HfWeightSender"


def _replica(replica: ModuleType) -> None:
    replica.RolloutReplicaRegistry.register(ROLLOUT, _load_replica)


def _load_replica() -> Any:
    from trainer.verl_adapter.cpu.rollout import HfReplica

    return HfReplica

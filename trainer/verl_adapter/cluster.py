"""Where on a Ray cluster a run takes place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ray
from omegaconf import DictConfig
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from trainer.run import wiring
from trainer.run.failures import ConfigurationProblem

_STORE = ("TransferQueueController", "transfer_queue")
"""Name and namespace of the actor that veRL's store is found by."""


def here() -> dict[str, Any]:
    """Options of an actor that is to run on this process's node, which was checked.

    It takes a processor there if the node has any to give; heads of clusters often have none.
    """
    own = ray.get_runtime_context().get_node_id()
    processors = sum(
        node["Resources"].get("CPU", 0) for node in ray.nodes() if node["NodeID"] == own
    )
    return {
        "num_cpus": 1 if processors >= 1 else 0,
        "scheduling_strategy": NodeAffinitySchedulingStrategy(node_id=own, soft=False),
    }


def check(config: DictConfig) -> None:
    """The cluster has the machines and GPUs that the run wants, and no other run is on it.

    Raises:
        ConfigurationProblem: says what there is.
    """
    if _has_store():
        raise ConfigurationProblem(
            "another run is under way on this Ray cluster, and veRL's store would be shared with "
            "it; wait for its end, or start a cluster for each run"
        )
    problem = shortage(
        [node["Resources"] for node in ray.nodes() if node["Alive"]],
        machines=int(config.trainer.nnodes),
        gpus=int(config.trainer.n_gpus_per_node),
    )
    if problem:
        kind = "logical GPUs (ray start --num-gpus)" if wiring.on_cpu(config) else "GPUs"
        raise ConfigurationProblem(problem.replace("GPUs", kind, 1))


def _has_store() -> bool:
    try:
        ray.get_actor(*_STORE)
    except ValueError:
        return False
    return True


def shortage(nodes: Sequence[Mapping[str, float]], *, machines: int, gpus: int) -> str | None:
    """A sentence if a cluster has not ``machines`` nodes with ``gpus`` GPUs each.

    ``nodes`` are Ray's resources of each; nodes without GPUs, such as a head, do not count.
    """
    have = sorted((int(node.get("GPU", 0)) for node in nodes), reverse=True)
    fitting = sum(count >= gpus for count in have)
    if fitting >= machines:
        return None
    listed = ", ".join(map(str, have)) or "none"
    return (
        f"the Ray cluster has {fitting} nodes with {gpus} GPUs or more, and trainer.nnodes is "
        f"{machines} (on its nodes: {listed})"
    )

"""A Ray cluster that a run joins: whether it has what the run needs, and the place in it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ray
from omegaconf import DictConfig
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from trainer.run import wiring
from trainer.run.failures import ConfigurationProblem

_STORE = ("TransferQueueController", "transfer_queue")
"""Name and namespace of the actor that veRL's store is found by."""

_ANSWERS_WITHIN_S = 120.0


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
    """The cluster has the machines, GPUs and processors of the run, and its nodes see the files.

    Raises:
        ConfigurationProblem: what is missing, or that another run is on the cluster.
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
    for problem in resource_problems(config, ray.cluster_resources()):
        raise ConfigurationProblem(problem)
    nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    if len(nodes) > 1:
        for problem in sharing_problems(config, nodes, _look):
            raise ConfigurationProblem(problem)


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


class Seen(NamedTuple):
    """A node's view of the files of a run."""

    run_directory: bool
    model: bool


def resource_problems(config: DictConfig, there: Mapping[str, float]) -> Iterator[str]:
    """Resources that a cluster has too little of. Ray would wait for them for ever, silently."""
    needed = wiring.ray_processors(config)
    if there.get("CPU", 0) < needed:
        yield (
            f"the actors of this run reserve {needed} processors of Ray, and the cluster has "
            f"{there.get('CPU', 0):g} (ray start --num-cpus)"
        )


def sharing_problems(
    config: DictConfig,
    nodes: Mapping[str, str],
    look: Callable[[Iterable[str], Path, str, Path | None], Mapping[str, Seen]],
) -> Iterator[str]:
    """Nodes (id to address) that do not see what this one wrote into the run directory, or the
    folder of the model."""
    run = wiring.run_directory(config)
    model = Path(wiring.model_path(config))
    token = secrets.token_hex(16)
    probe = run / f".probe.{token}"
    probe.write_text(token)
    try:
        seen = look(nodes, probe, token, model if model.is_dir() else None)
    finally:
        probe.unlink()
    for node, address in nodes.items():
        if not seen[node].run_directory:
            yield (
                f"the node {address} does not see the run directory {run}: checkpoints of several "
                "nodes need trainer.default_local_dir on a file system that all of them share"
            )
        if not seen[node].model:
            yield f"the node {address} does not see the model {model}"


def _look(nodes: Iterable[str], probe: Path, token: str, model: Path | None) -> dict[str, Seen]:
    asked = {
        node: _see.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
        ).remote(probe, token, model)
        for node in nodes
    }
    answers: list[Any] = ray.get(list(asked.values()), timeout=_ANSWERS_WITHIN_S)
    return dict(zip(asked, answers, strict=True))


@ray.remote(num_cpus=0)
def _see(probe: Path, token: str, model: Path | None) -> Seen:
    try:
        found = probe.read_text() == token
    except OSError:
        found = False
    return Seen(found, model is None or model.is_dir())

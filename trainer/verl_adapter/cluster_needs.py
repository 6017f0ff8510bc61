"""A Ray that runs already: whether it has what a run waits for, and sees what the run writes."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ray
from omegaconf import DictConfig
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from trainer.run import wiring
from trainer.run.failures import ConfigurationProblem

_ANSWERS_WITHIN_S = 120.0


class Seen(NamedTuple):
    """What a node sees of the files of a run."""

    run_directory: bool
    model: bool


def check(config: DictConfig) -> None:
    """Look at the Ray that this process has joined.

    Raises:
        ConfigurationProblem: too few processors, or a node that does not see the run directory or
            the model.
    """
    for problem in resource_problems(config, ray.cluster_resources()):
        raise ConfigurationProblem(problem)
    nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    if len(nodes) > 1:
        for problem in sharing_problems(config, nodes, _look):
            raise ConfigurationProblem(problem)


def resource_problems(config: DictConfig, there: Mapping[str, float]) -> Iterator[str]:
    """What a cluster has too little of. Ray would wait for it for ever, without a word."""
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

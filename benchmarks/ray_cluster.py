"""A Ray cluster of simulated nodes on this machine, which does what lines of its input say.

    python -m benchmarks.ray_cluster NODES

The head has no processors, and each node two. Prints the address, then a line after each command:
``add``, ``kill NODE``, ``drain NODE``. It ends with its input.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]


class Simulated:
    """A cluster of another process, until it is closed."""

    def __init__(self, nodes: int) -> None:
        # Ray's workers yield to everything else by default, and here they are the work.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.ray_cluster", str(nodes)],
            cwd=ROOT,
            env=os.environ | {"RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self._until(":").strip()

    def _until(self, sign: str) -> str:
        assert self._process.stdout is not None
        return next(line for line in self._process.stdout if sign in line)

    def do(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        self._until("done")

    def workers(self) -> list[psutil.Process]:
        """The Ray workers that are actors of a fleet."""
        below = psutil.Process(self._process.pid).children(recursive=True)
        return [process for process in below if _is_actor(process)]

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


def _is_actor(process: psutil.Process) -> bool:
    try:
        return "NodeActor" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False


def drain(address: str, node_id: str) -> None:
    import ray  # noqa: PLC0415 - who uses Simulated needs none
    from ray.core.generated import autoscaler_pb2  # noqa: PLC0415

    reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    accepted, why = ray._raylet.GcsClient(address=address).drain_node(node_id, reason, "test", 0)
    assert accepted, why


def main() -> None:
    from ray._common.utils import get_ray_address_file  # noqa: PLC0415
    from ray.cluster_utils import Cluster  # noqa: PLC0415

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes: dict[str, Any] = {}

    def add() -> None:
        node = cluster.add_node(num_cpus=2, object_store_memory=80 * 2**20)
        nodes[node.node_id] = node

    for _ in range(int(sys.argv[1])):
        add()
    cluster.wait_for_nodes()
    # Whoever starts Ray on this machine meanwhile is not to find it.
    Path(get_ray_address_file(None)).unlink(missing_ok=True)
    print(cluster.address, flush=True)
    for line in sys.stdin:
        command, _, name = line.strip().partition(" ")
        if command == "add":
            add()
        elif command == "kill":
            cluster.remove_node(nodes.pop(name), allow_graceful=False)
        elif command == "drain":
            drain(cluster.address, name)
        print(f"done {command}", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()

"""A Ray cluster of simulated nodes on this machine, which does what lines of its input say.

    python -m tests.support.ray_cluster NODES

The head has no processors, and each node two. Prints the address, then a line after each command:
``add``, ``kill NODE``, ``drain NODE``. It ends with its input.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import ray
from ray._common.utils import get_ray_address_file
from ray.cluster_utils import Cluster
from ray.core.generated import autoscaler_pb2


def drain(address: str, node_id: str) -> None:
    reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    accepted, why = ray._raylet.GcsClient(address=address).drain_node(node_id, reason, "test", 0)
    assert accepted, why


def main() -> None:
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

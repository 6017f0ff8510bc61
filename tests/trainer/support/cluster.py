"""A Ray cluster of two simulated nodes, until standard input ends.

``python -m tests.trainer.support.cluster``

The head has processors and no GPU, the other one a (logical) GPU. Prints the address and the two
node ids; when asked (a line on standard input), the names of the actors that are alive.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ray._common.utils import get_ray_address_file
from ray.cluster_utils import Cluster
from ray.util.state import list_actors


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 4, "num_gpus": 0})
    worker = cluster.add_node(num_cpus=16, num_gpus=1, resources={"elsewhere": 1})
    cluster.wait_for_nodes()
    cluster.connect()
    # Whoever starts Ray on this machine meanwhile is not to find it.
    Path(get_ray_address_file(None)).unlink(missing_ok=True)
    print(cluster.address, cluster.head_node.node_id, worker.node_id, flush=True)
    for _ in sys.stdin:
        alive = [actor.class_name for actor in list_actors(filters=[("state", "=", "ALIVE")])]
        print(" ".join(alive), flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()

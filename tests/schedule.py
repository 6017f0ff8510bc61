"""How several processes share the tests: in which order, and what stays in one process.

For pytest-xdist with ``--dist loadfile --no-loadscope-reorder``, as scripts/test.sh calls it.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadFileScheduling

TRAINING_RUNS = "tests/trainer/verl/test_"
"""Files whose tests go one by one, beside those of other files: each run of the trainer takes
gigabytes, and looks for what is left in /dev/shm."""

LONGEST_FIRST = (
    TRAINING_RUNS,
    "tests/security/test_attacks",
    "tests/conformance",
    "tests/deployment",
    "tests/security",
    "tests/backends",
    "tests/service",
    "tests/trainer/test_seed_vllm",
    "tests/verification",
    "tests/pool",
    "tests/guest",
    "tests/cli",
    "tests/client",
)


def rank(node_id: str) -> int:
    """Where a test comes: nothing that takes long comes last."""
    found = [n for n, start in enumerate(LONGEST_FIRST) if node_id.startswith(start)]
    return found[0] if found else len(LONGEST_FIRST)


class Scheduler(LoadFileScheduling):
    """A file stays in one process, and all training runs do."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "training runs" if file.startswith(TRAINING_RUNS) else file


def scheduler(config: pytest.Config, log: object) -> Scheduler | None:
    """The hook's answer; None where the tests are not shared by file."""
    if config.getvalue("dist") != "loadfile":
        return None
    return Scheduler(config, log)

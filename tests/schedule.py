"""How several processes share the tests: in which order, and what stays in one process.

For pytest-xdist with ``--dist loadfile --no-loadscope-reorder``, as scripts/test.sh calls it.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadFileScheduling

TRAINING_RUNS = "tests/trainer/verl/test_"
"""Files whose tests train: two of them at a time, beside those of other files, since each run of
the trainer takes gigabytes and, while it starts, a whole core."""

FIRST_LANE = frozenset({"first_run", "operations", "vllm", "bad_input"})
"""About half of these files, by time; the others are the second lane. A lane has one process."""

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
    """A file stays in one process, and so does a lane of training runs."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        if not file.startswith(TRAINING_RUNS):
            return file
        name = file.removeprefix(TRAINING_RUNS).removesuffix(".py")
        return f"training runs, lane {1 if name in FIRST_LANE else 2}"


def scheduler(config: pytest.Config, log: object) -> Scheduler | None:
    """The hook's answer; None where the tests are not shared by file."""
    if config.getvalue("dist") != "loadfile":
        return None
    return Scheduler(config, log)

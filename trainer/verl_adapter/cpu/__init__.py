"""veRL on processors alone: a platform plug-in and a rollout engine made of transformers.

Loaded through entry points in every process that imports veRL or vLLM; without effect unless the
environment has ``VERL_PLATFORM=cpu``.
"""

from __future__ import annotations

import os

ROLLOUT = "hf"
"""Name of the rollout engine in ``actor_rollout_ref.rollout.name``."""


def enabled() -> bool:
    """Whether this process runs veRL on processors."""
    return os.environ.get("VERL_PLATFORM", "").strip().lower() == "cpu"

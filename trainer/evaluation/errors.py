"""What can be wrong with an evaluation, for people."""

from __future__ import annotations


class EvaluationError(ValueError):
    """It cannot begin or go on; the text says why, and what to do, in one sentence."""

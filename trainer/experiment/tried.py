"""Settings that were tried before the experiment, for its report."""

TRIED: tuple[tuple[str, str], ...] = ()
"""A setting, and what came of it. All on development programs, never on the test set."""

"""A run without veRL: its configuration completed, its directory, log, checkpoints and executor."""

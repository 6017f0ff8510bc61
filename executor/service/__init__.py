"""The HTTP service. It knows the public API of the executor, and nothing of isolation."""

"""The nodes of a Ray cluster as one executor. Nothing but this package imports Ray."""

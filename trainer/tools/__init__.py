"""Tools around training runs: ``trainer tools NAME``."""

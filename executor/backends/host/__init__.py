"""Processes, control groups and leftovers on this host, for all backends."""

"""Roles, task types, tasks, and the buffers that keep them."""

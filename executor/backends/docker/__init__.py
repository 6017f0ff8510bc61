"""The docker and gvisor backends: guests and scripts in containers."""

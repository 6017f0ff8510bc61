"""The system calls of general scripts."""

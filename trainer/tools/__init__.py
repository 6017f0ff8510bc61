"""What is done around training runs, once: ``trainer tools NAME``."""

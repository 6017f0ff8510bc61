"""The command line: ``python -m trainer``, or ``trainer``."""

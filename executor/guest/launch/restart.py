"""Begins the interpreter anew with a hash seed, without ``site`` and with a clean environment.

The text of this file is followed by a call of :func:`restart`.
"""

import os
import sys


def restart(hash_seed: int, program: str, *arguments: str) -> None:
    """Become an interpreter that runs the program's text."""
    kept = {
        name: os.environ[name] for name in ("LD_LIBRARY_PATH", "PYTHONHOME") if name in os.environ
    }
    kept["PYTHONHASHSEED"] = str(hash_seed)
    command = [sys.executable, "-S", "-s", "-B", "-c", program, *arguments]
    os.execve(sys.executable, command, kept)

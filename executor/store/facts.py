"""What a result may depend on besides its task, limits and rules."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from pathlib import Path
from typing import Any

from executor.version import version

_PACKAGE = Path(__file__).parents[1]
_DECIDE = (
    "grammar/*.py", "guest/*.py", "guest/core/*.[ch]", "pool/outcomes.py", "screening/*.py",
    "verification/*.py", "wire/*.py",
)  # fmt: skip
"""The code that makes verdicts."""
_FLOAT_FLAGS = ("avx2", "avx512f", "fma", "fma4")
"""The C library computes some functions of floats otherwise where the processor has these."""


def facts_of(backend: str, interpreter: str, image: str = "") -> dict[str, Any]:
    """The facts of an executor on this machine. The interpreter's name holds the library set's with
    its hash; the image is that of containers."""
    return {
        "version": version(),
        "code": code_digest(),
        "backend": backend,
        "interpreter": interpreter,
        "image": image,
        "machine": machine(),
    }


@cache
def code_digest() -> str:
    """A hash of the code that makes verdicts: a repair of it makes what is stored stale."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in _DECIDE for path in _PACKAGE.glob(pattern)):
        digest.update(str(path.relative_to(_PACKAGE)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:32]


@cache
def machine() -> str:
    """Architecture, C library, and what of the processor shows in floats."""
    flags: set[str] = set()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("flags"):
                    flags = set(line.split())
                    break
    except OSError:
        pass
    known = [flag for flag in _FLOAT_FLAGS if flag in flags]
    return " ".join([platform.machine(), *platform.libc_ver(), *known])

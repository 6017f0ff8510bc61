"""The guest's code: which files of this package every image holds below ``/guest/executor``."""

from __future__ import annotations

import hashlib
from pathlib import Path

PACKAGE = Path(__file__).parents[2]

PATTERNS = (
    "guest/*.py",
    "grammar/*.py",
    "screening/*.py",
    "wire/__init__.py",
    "wire/layout.py",
)
COMPILED = "guest/_core*.so"


def files() -> list[str]:
    """Paths below the package: of the sources, and of the compiled core if it could be built."""
    return sorted(
        str(path.relative_to(PACKAGE))
        for pattern in (*PATTERNS, COMPILED)
        for path in PACKAGE.glob(pattern)
    )


def digest() -> str:
    """Hash of the sources, as ``guest/launch/image_facts.py`` finds it in an image."""
    found = sorted(
        str(path.relative_to(PACKAGE)) for pattern in PATTERNS for path in PACKAGE.glob(pattern)
    )
    digest = hashlib.sha256()
    for path in found:
        digest.update(path.encode() + b"\0" + (PACKAGE / path).read_bytes())
    return digest.hexdigest()


def launcher(name: str) -> str:
    """The text of a program in ``guest/launch``."""
    return (PACKAGE / "guest/launch" / name).read_text("utf-8")

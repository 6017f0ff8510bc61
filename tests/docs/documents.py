"""The documents of the repository, and how Markdown names things."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (
        *ROOT.glob("*.md"),
        *ROOT.glob(".github/**/*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("executor/**/*.md"),
        *ROOT.glob("trainer/**/*.md"),
    )
)
_FENCE = re.compile(r"^```.*?^```", re.M | re.S)


def prose(document: str) -> str:
    """The text without blocks of code."""
    return _FENCE.sub("", (ROOT / document).read_text(encoding="utf-8"))


def links(document: str) -> list[str]:
    """Targets of links and images that are no addresses of the web."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(document))
    return [target for target in found if not re.match(r"\w+:", target)]


@cache
def anchors(document: str) -> frozenset[str]:
    """Names of the headings, as GitHub and the site make them."""
    names: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", prose(document), re.M):
        words = re.sub(r"[^\w\s-]", "", heading.strip().lower())
        names.append(re.sub(r"\s+", "-", words))
    return frozenset(names)

"""Pages of the site that lie outside ``docs/``, and links between them and the others.

The files stay where readers of a repository look for them. Their links, and links to them, are
those of the repository; they are turned into the site's while it is built.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PAGES = {
    "README.md": "index.md",
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "CODE_OF_CONDUCT.md": "code-of-conduct.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "licence.md",
    "executor/examples/README.md": "examples.md",
    "executor/guest/README.md": "guest.md",
}
"""Path in the repository, path in the site."""

_PLACES = {site: repository for repository, site in PAGES.items()}
_LINK = re.compile(r"\]\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside."""
    root = Path(config.config_file_path).parent
    for repository, site in PAGES.items():
        text = (root / repository).read_text(encoding="utf-8")
        if not repository.endswith(".md"):
            text = f"# Licence\n\n{text}"
        files.append(File.generated(config, site, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    here = page.file.src_uri
    place = _PLACES.get(here, f"docs/{here}")

    def in_site(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(place), link[1]))
        site = PAGES.get(target) or target.removeprefix("docs/")
        return f"]({posixpath.relpath(site, posixpath.dirname(here) or '.')}{link[2] or ''})"

    return _LINK.sub(in_site, markdown)

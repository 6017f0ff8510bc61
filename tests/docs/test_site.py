"""The site: built without a warning, and no link in it leads nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

from tests.docs.documents import ROOT

pytestmark = [pytest.mark.docs, pytest.mark.timeout(300)]  # a busy machine builds slowly
ELSEWHERE = ("http:", "https:", "mailto:", "data:", "javascript:")


class Page(HTMLParser):
    """What a page links to and loads, and the places in it that can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.places: set[str] = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.places.update(value for key in ("id", "name") if (value := values.get(key)))
        if tag == "a" and (href := values.get("href")):
            self.links.add(href)
        source = values.get("href") if tag == "link" else values.get("src")
        if source and values.get("rel") != "canonical":
            self.loads.add(source)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    """All pages, by their files."""
    pytest.importorskip("mkdocs", reason="needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return {path: Page(path.read_text()) for path in folder.rglob("*.html")}


def test_links_lead_to_pages_and_places(site: dict[Path, Page]) -> None:
    broken = [
        f"{path.name}: {link}"
        for path, page in site.items()
        if path.name != "404.html"  # its links are for a site at the root of a host
        for link in page.links | page.loads
        if not link.startswith(ELSEWHERE) and not is_in(site, path, link)
    ]
    assert broken == []


def is_in(site: dict[Path, Page], path: Path, link: str) -> bool:
    target, place = urldefrag(unquote(link))
    file = (path.parent / target).resolve() if target else path
    if file.is_dir():
        file /= "index.html"
    return file.exists() and (not place or file not in site or place in site[file].places)


def test_pages_load_nothing_from_elsewhere(site: dict[Path, Page]) -> None:
    loaded = set[str]().union(*(page.loads for page in site.values()))
    assert {source for source in loaded if source.startswith(("http:", "https:", "//"))} == set()


def test_the_api_is_described(site: dict[Path, Page]) -> None:
    places = set[str]().union(*(page.places for page in site.values()))
    assert {"executor.Executor.validate", "executor.SyncExecutor.judge"} <= places
    assert {"executor.Verdict.status", "executor.Triplet.inputs"} <= places
    assert {"executor.client.RemoteExecutor", "executor.errors.BackendUnavailable"} <= places

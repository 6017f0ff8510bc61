"""What the documents name is there: pages, headings, files, modules, options."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

import executor
import executor.client
import executor.errors
from tests.docs.documents import DOCUMENTS, ROOT, anchors, links, prose

BASES = (ROOT, ROOT / "executor", ROOT / "trainer")
FOLDERS = frozenset(path.name for base in BASES for path in base.iterdir() if path.is_dir())
NAMES = frozenset(
    path.name
    for folder in ("executor", "trainer", "tests", "scripts", "benchmarks", "docs", "monitoring")
    for path in (ROOT / folder).rglob("*.*")
)
CODE = re.compile(r"`([^`\n]+)`")
ENDING = r"\.(py|c|h|sh|md|ya?ml|jsonl?|toml|txt|png)"
IS_PATH = re.compile(rf"[\w.-]+(/[\w.*-]+)*/([\w.*-]+{ENDING})?")
IS_SOURCE = re.compile(r"\w+\.(py|c|h|sh)")
PLACEHOLDERS = re.compile(r"NAME|TARGET|VERSION")
HISTORY = ("CHANGELOG.md",)
"""Names what was, too."""
OWN_NAMES = {"my_script.py", "my_rewards.py", "shout.py", "count.sh", "run_evalplus.sh"}
"""Files of readers in examples, and of other projects."""


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_to_files_and_headings(document: str) -> None:
    broken = [target for target in links(document) if not leads_somewhere(document, target)]
    assert broken == []


def leads_somewhere(document: str, target: str) -> bool:
    path, _, heading = target.partition("#")
    place = ((ROOT / document).parent / path).resolve() if path else ROOT / document
    if not place.exists():
        return False
    return not heading or heading in anchors(place.relative_to(ROOT).as_posix())


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if name not in HISTORY])
def test_files_that_are_named_exist(document: str) -> None:
    missing = [name for name in CODE.findall(prose(document)) if not is_there(name)]
    assert missing == []


def is_there(name: str) -> bool:
    """True also for what is no name of a file in the repository."""
    if PLACEHOLDERS.search(name):
        return True
    if IS_PATH.fullmatch(name) and name.split("/", maxsplit=1)[0] in FOLDERS:
        return any(next(base.glob(name.rstrip("/")), None) for base in BASES)
    return not IS_SOURCE.fullmatch(name) or name in NAMES | OWN_NAMES


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if name not in HISTORY])
def test_modules_and_scripts_of_commands_exist(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    for module in set(re.findall(r"python -m ((?:executor|trainer|benchmarks)[\w.]*)", text)):
        assert importlib.util.find_spec(module.rstrip(".")), module
    for script in set(re.findall(r"(?:sh|python) ((?:scripts|tests)/[\w./-]+)", text)):
        assert (ROOT / script.rstrip(".")).is_file(), script


def test_what_does_not_exist_is_noticed(tmp_path: Path) -> None:
    assert not is_there("executor/no_such_file.py")
    assert not is_there("no_such_file.py")
    assert not leads_somewhere("README.md", "docs/no-such-page.md")
    assert not leads_somewhere("README.md", "docs/cli.md#no-such-heading")
    assert leads_somewhere("README.md", "docs/cli.md#exit-codes")


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1000


@pytest.mark.parametrize("module", [executor, executor.client])
def test_the_api_pages_have_every_public_name(module: ModuleType) -> None:
    pages = "\n".join(path.read_text() for path in (ROOT / "docs/api").glob("*.md"))
    described = {name.rpartition(".")[2] for name in re.findall(r"^::: ([\w.]+)$", pages, re.M)}
    described |= vars(executor.errors).keys()  # a page of its own, whole
    assert set(module.__all__) - described <= {"JUDGE_RULES"}

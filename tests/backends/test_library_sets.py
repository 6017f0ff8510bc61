"""Library sets: what is declared, how a set is built from wheels, and what is refused."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from executor import DockerSettings, GvisorSettings, SyncExecutor
from executor.backends.image import library_store
from executor.backends.image.library_build import build_library, lock_text
from executor.errors import ConfigurationError
from executor.libraries import declared
from executor.libraries.declared import LibrarySet, find, providers, read_requirements
from executor.libraries.missing import hint, hint_in, hint_of_stderr
from tests.support.libraries import wheel

pytestmark = pytest.mark.long

TEXT = "def shout(text):\n    return text.upper()\n"


def mine(**changes: object) -> LibrarySet:
    return LibrarySet.model_validate({"name": "mine", "requirements": ("loud",), **changes})


def test_declared_sets_have_what_they_say_and_a_lock_of_all_that_they_require() -> None:
    for one in declared.declared().values():
        assert {name.partition(".")[0] for name in one.preload} <= set(one.modules)
        locked = {line.partition("==")[0] for line in one.lock}
        wanted = {line.partition("==")[0] for line in one.requirements}
        assert wanted <= locked, f"{one.name}: executor image lock {one.name}"
        assert all("--hash=sha256:" in line for line in one.lock)


def test_sets_say_which_of_them_has_a_module() -> None:
    assert providers("sympy.core") == ["math", "data", "all"]
    assert providers("numpy") == ["data", "all"]
    assert providers("no_such_module") == []


def test_a_file_of_ones_own_adds_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sets.toml"
    path.write_text('[mine]\nrequirements = ["loud"]\nmodules = ["loud"]\n')
    monkeypatch.setenv(declared.VARIABLE, str(path))
    assert find("mine").modules == ("loud",)
    assert find("data").requirements
    path.with_name("broken.toml").write_text("[mine]\nrequirements = []\n")
    monkeypatch.setenv(declared.VARIABLE, str(path.with_name("broken.toml")))
    with pytest.raises(ConfigurationError, match=r"broken\.toml.*requirements"):
        find("mine")


@pytest.mark.parametrize(
    "line",
    [
        "-e .", "--index-url=x", "loud @ file:///tmp/loud", "./loud", "/tmp/loud.whl",
        "git+https://example.org/loud", "loud --no-binary=loud", "loud --config-settings=a=b",
    ],
)  # fmt: skip
def test_what_pip_would_build_is_no_requirement(line: str) -> None:
    with pytest.raises(ValidationError):
        mine(requirements=(line,))


def test_requirements_are_read_as_people_write_them() -> None:
    text = '# mine\nloud[all]>=1,<2 ; python_version < "4"  # loud\n\nquiet==1 \\\n  --hash=sha256:'
    lines = read_requirements(text + "a" * 64 + "\n")
    assert lines == (
        'loud[all]>=1,<2 ; python_version < "4"',
        "quiet==1 --hash=sha256:" + "a" * 64,
    )
    assert mine(requirements=lines).requirements == lines


def test_a_set_is_built_once_from_a_folder_of_wheels(tmp_path: Path) -> None:
    made = wheel(tmp_path / "wheels", "loud", {"loud/__init__.py": TEXT, "loud/tests/a.py": ""})
    wanted = mine(modules=("loud",), leave_out=("loud/tests",))
    first = build_library(tmp_path, wanted, wheels=tmp_path / "wheels")
    assert (first.tree / "loud/__init__.py").read_text() == TEXT
    assert list((first.tree / "loud/__pycache__").iterdir())
    assert not (first.tree / "loud/tests").exists()
    (package,) = first.manifest.packages
    assert package.sha256 == hashlib.sha256(made.read_bytes()).hexdigest()
    assert library_store.tree_hash(first.tree)[0] == first.manifest.tree
    written = (first.path / "manifest.json").stat().st_mtime_ns
    again = build_library(tmp_path, wanted, wheels=tmp_path / "wheels")
    assert again == first
    assert (again.path / "manifest.json").stat().st_mtime_ns == written
    assert library_store.open_library(tmp_path, "mine") == first


def test_a_wheel_that_is_not_the_locks_is_refused(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheel(wheels, "loud", {"loud.py": TEXT})
    first = build_library(tmp_path, mine(), wheels=wheels)
    locked = mine(requirements=read_requirements(lock_text(first.manifest.packages)))
    wheel(wheels, "loud", {"loud.py": "import os"})
    with pytest.raises(ConfigurationError, match=r"(?i)hash"):
        build_library(tmp_path, locked, wheels=wheels)
    assert library_store.open_library(tmp_path, "mine") == first
    assert not list((tmp_path / "libraries").glob("building-*"))


@pytest.mark.parametrize(
    ("file", "said"),
    [("json/__init__.py", "hide modules of Python.*json"), ("quiet.py", "loud, and has not")],
)
def test_a_set_that_would_not_work_is_refused(tmp_path: Path, file: str, said: str) -> None:
    wheel(tmp_path / "wheels", "loud", {file: ""})
    with pytest.raises(ConfigurationError, match=said):
        build_library(tmp_path, mine(modules=("loud",)), wheels=tmp_path / "wheels")


def built_by_hand(cache: Path, digest: str) -> library_store.Library:
    """What the store needs of a build."""
    building = cache / "libraries" / f"building-{digest}"
    (building / "tree").mkdir(parents=True)
    manifest = library_store.Manifest(
        name="mine", digest=digest, platform="", packages=(), modules=(), preload=(), leave_out=()
    )
    return library_store.publish(cache, building, manifest)


def test_only_sets_that_nobody_names_and_nobody_uses_are_pruned(tmp_path: Path) -> None:
    old, used, new = (built_by_hand(tmp_path, digest) for digest in "abc")
    held = library_store.hold(used)
    try:
        assert list(library_store.prune(tmp_path)) == [old.path]
    finally:
        os.close(held)
    assert list(library_store.prune(tmp_path)) == [used.path]
    assert [library for library, _ in library_store.built(tmp_path)] == [new]
    assert library_store.forget(tmp_path, "mine")
    assert list(library_store.prune(tmp_path)) == [new.path]


def test_a_set_that_is_not_built_or_not_declared_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="executor image build data"):
        library_store.open_library(tmp_path, "data")
    with pytest.raises(ConfigurationError, match=r"no library set is called 'date'.*math, data"):
        library_store.open_library(tmp_path, "date")
    with pytest.raises(ConfigurationError, match="can be called"):
        library_store.open_library(tmp_path, "../names")
    with pytest.raises(ConfigurationError, match="no library sets"):
        SyncExecutor("process", libraries="data")


@pytest.mark.parametrize(
    ("error", "message", "told"),
    [
        ("ModuleNotFoundError", "No module named 'numpy'", "; library sets with it: data, all"),
        ("ModuleNotFoundError", "No module named 'lxml.etree'", "; library set with it: all"),
        ("ModuleNotFoundError", "No module named 'no_such_module'", ""),
        ("ModuleNotFoundError", "No module named 'numpy'; 'numpy' is not a package", ""),
        ("ValueError", "No module named 'numpy'", ""),
    ],
)
def test_a_missing_module_is_told_with_the_sets_that_have_it(
    error: str, message: str, told: str
) -> None:
    assert hint(error, message) == told
    stderr = f"Traceback (most recent call last):\n{error}: {message}\n".encode()
    assert hint_of_stderr(stderr) == told
    assert hint_in(f"E   {error}: {message}\n1 error") == told.replace("; 'numpy' is", "")


def test_the_name_of_a_set_is_the_tag_of_the_image() -> None:
    assert DockerSettings(image="guest:latest", libraries="data").guest_image == "guest:data"
    assert DockerSettings(image="here:5000/guest", libraries="data").guest_image == (
        "here:5000/guest:data"
    )
    assert GvisorSettings(image="guest:latest").guest_image == "guest:latest"

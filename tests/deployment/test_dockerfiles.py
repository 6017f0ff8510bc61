"""Dockerfiles are as hadolint wants them."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HADOLINT = Path(sysconfig.get_path("scripts"), "hadolint")
DOCKERFILES = sorted(
    str(path.relative_to(ROOT)) for path in ROOT.glob("sandbox_images/*/Dockerfile")
)


def findings(path: Path) -> str:
    command = [str(HADOLINT), "--no-color", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def test_there_are_two_images() -> None:
    assert len(DOCKERFILES) == 2


@pytest.mark.parametrize("name", DOCKERFILES)
def test_hadolint_finds_nothing(name: str) -> None:
    assert findings(ROOT / name) == ""


def test_hadolint_finds_what_is_wrong(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM debian:latest\nRUN cd /tmp && ls | wc -l\n")
    assert "DL3007" in findings(bad)

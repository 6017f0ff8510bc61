"""Fixtures of several test modules: the real sandbox, started once where tests may share it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from executor import Limits, SyncExecutor
from tests.schedule import rank, scheduler
from tests.start_state import as_from_a_terminal
from tests.support.programs import OPEN_RULES

as_from_a_terminal()

# Tests look for files left behind: those that other processes of the tests hold are none.
_OWN_TEMPORARY = tempfile.mkdtemp(prefix="tests-") if "PYTEST_XDIST_WORKER" in os.environ else None
if _OWN_TEMPORARY:
    os.environ["TMPDIR"] = tempfile.tempdir = _OWN_TEMPORARY


def pytest_unconfigure() -> None:
    """Remove what this module has made."""
    if _OWN_TEMPORARY:
        shutil.rmtree(_OWN_TEMPORARY, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several processes share the tests, nothing long comes last."""
    items.sort(key=lambda item: rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Two training runs go at a time, beside the other tests."""
    return scheduler(config, log)


@pytest.fixture(scope="session")
def sandbox() -> Iterator[SyncExecutor]:
    """A warm nsjail pool without screening, without a cache, with short limits.

    Much more wall time than processor time: on a busy machine a second of work takes long.
    """
    limits = Limits(cpu_s=1, wall_s=30, memory_mib=256, output_kib=256)
    with SyncExecutor(limits=limits, rules=OPEN_RULES, cache=False) as executor:
        yield executor


@pytest.fixture
def compiled(sandbox: SyncExecutor) -> None:
    """Skip where the guest has no compiled core: only that watches the order of sets."""
    if any("compiled core" in warning for warning in sandbox.info.warnings):
        pytest.skip("the compiled core of the guest is missing (no C compiler at install)")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of its own for temporary files, so that what is left behind can be seen."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path

"""The unmodified scorer of veRL, for tests: from an installed veRL, or from its wheel alone."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import subprocess
import sys
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

VERSION = "0.9.1"
_SCORER = "verl.utils.reward_score.sandbox_fusion"
_PACKAGES = ("verl", "verl.utils", "verl.utils.reward_score")


@contextlib.contextmanager
def scorer() -> Iterator[ModuleType]:
    """The scorer's package; it is imported for a block.

    Importing all of veRL needs torch. Where it is not installed, the packages above the scorer are
    empty stand-ins whose path leads into the unpacked wheel.
    """
    if importlib.util.find_spec("verl") is not None:
        yield importlib.import_module(_SCORER)
        return
    root = _unpacked_wheel()
    before = set(sys.modules)
    try:
        for name in _PACKAGES:
            package = types.ModuleType(name)
            package.__path__ = [str(root.joinpath(*name.split(".")))]
            sys.modules[name] = package
        yield importlib.import_module(_SCORER)
    finally:
        for name in set(sys.modules) - before:
            if name.partition(".")[0] == "verl":
                del sys.modules[name]


def _unpacked_wheel() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(base) / "absolute-zero-executor-tests"
    root = cache / f"verl-{VERSION}"
    if not root.is_dir():
        wheel = _download(cache)
        partial = root.with_suffix(f".{os.getpid()}")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(partial)
        with contextlib.suppress(OSError):  # another process was faster
            partial.rename(root)
    return root


def _download(cache: Path) -> Path:
    cache.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", f"verl=={VERSION}"]
    done = subprocess.run(
        [*command, "--dest", str(cache)], capture_output=True, text=True, timeout=110, check=False
    )
    found = sorted(cache.glob(f"verl-{VERSION}-*.whl"))
    if not found:
        reason = f"veRL's wheel cannot be had: {done.stderr.strip()[-300:]}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found[0]

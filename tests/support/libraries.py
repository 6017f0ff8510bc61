"""Library sets for tests: those that are built or can be, and tiny wheels."""

from __future__ import annotations

import base64
import hashlib
import os
import zipfile
from functools import cache
from pathlib import Path

import pytest

from executor.backends.image.build import cache_directory
from executor.backends.image.library_build import build_library
from executor.backends.image.library_store import open_library
from executor.errors import BackendUnavailable, ConfigurationError
from executor.libraries.declared import find


@cache
def why_no_set(name: str) -> str:
    """Why a declared set cannot be had here; empty if it is built now."""
    cache_folder = cache_directory()
    try:
        open_library(cache_folder, name)
    except (BackendUnavailable, ConfigurationError):
        try:
            build_library(cache_folder, find(name))
        except (BackendUnavailable, ConfigurationError) as error:
            return str(error)
    return ""


def require_set(name: str) -> None:
    """Skip a test, or fail where all is to be there, if there is no such set."""
    reason = why_no_set(name)
    if reason and "CI" in os.environ:
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


def wheel(folder: Path, name: str, files: dict[str, str], version: str = "1.0") -> Path:
    """A wheel that was never a project, with these files."""
    about = f"{name}-{version}.dist-info"
    contents = {
        **files,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},{_hash(text)},{len(text)}\n" for path, text in contents.items())
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in contents.items():
            archive.writestr(inside, text)
        archive.writestr(f"{about}/RECORD", f"{record}{about}/RECORD,,\n")
    return path


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

"""Files of a request: their names stay where scripts can write, their content is base64."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping

from executor.service.fusion.reading import bad
from executor.wire.scripts import WRITABLE

_IGNORED = "IGNORE_THIS_FILE"
"""A file with this in its name is left out, as the original does."""
_WHITESPACE = str.maketrans("", "", " \t\r\n")


def decode_files(files: Mapping[str, str | None]) -> dict[str, bytes]:
    """Contents by plain relative path. Raises :class:`BadRequest`."""
    decoded: dict[str, bytes] = {}
    for name, content in files.items():
        if content is None or _IGNORED in name:
            continue
        path = plain_path(name, "files")
        if path in decoded:
            raise bad(f"two names mean the same file: {path!a}", "files", name)
        try:
            decoded[path] = base64.b64decode(content.translate(_WHITESPACE), validate=True)
        except (binascii.Error, ValueError):
            raise bad("the content is not base64", "files", name) from None
    return decoded


def wanted_files(names: Iterable[str]) -> dict[str, str]:
    """Path for :attr:`Script.collect` by name, as it was given. Raises :class:`BadRequest`."""
    return {name: _path_to_fetch(name) for name in names}


def _path_to_fetch(name: str) -> str:
    place = next((place for place in WRITABLE if name.startswith(f"{place}/")), None)
    if place is None:
        return plain_path(name, "fetch_files")
    path = plain_path(name.removeprefix(place).lstrip("/"), "fetch_files")
    return path if place == WRITABLE[0] else f"{place}/{path}"


def encode_files(files: Mapping[str, bytes], names: Mapping[str, str]) -> dict[str, str]:
    """Contents in base64 by name, for those of ``names`` whose path is in ``files``."""
    return {
        name: base64.b64encode(files[path]).decode("ascii")
        for name, path in names.items()
        if path in files
    }


def plain_path(name: str, field: str) -> str:
    """A relative path without ``.`` and empty parts.

    Raises:
        BadRequest: the path is absolute, leads upwards or is no path.
    """
    if name.startswith("/"):
        raise bad(f"a path must be relative to the working directory: {name!a}", field)
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise bad(f"a path must not lead upwards: {name!a}", field)
    if not parts or "\0" in name:
        raise bad(f"not the path of a file: {name!a}", field)
    return "/".join(parts)

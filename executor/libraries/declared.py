"""The sets that are declared: those of this package, and those of a file of one's own."""

from __future__ import annotations

import os
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from executor.errors import ConfigurationError
from executor.models import Model

VARIABLE = "EXECUTOR_LIBRARY_SETS"
"""Names a file with more sets."""

NAME = r"[a-z][a-z0-9_]{0,31}"
"""What a set may be called."""
_HERE = Path(__file__).parent
_OWN = _HERE / "sets.toml"

Name = Annotated[str, Field(pattern=rf"^{NAME}$")]
Module = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")]
_REQUIREMENT = (
    r"^[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9,._ -]*\])?"  # name and extras
    r"( *\(?(===?|[<>!~]=|[<>])[A-Za-z0-9<>=!~,.*+ ]*\)?)?"  # versions
    r"( *;[A-Za-z0-9_.'\"<>=!~ ()]*)?"  # markers
    r"( +--hash=sha256:[0-9a-f]{64})*$"
)
Requirement = Annotated[str, Field(pattern=_REQUIREMENT)]
"""Of a package in the index. Not an option, an address or a path: pip would build what it finds
there, and so run it."""


class LibrarySet(Model):
    """Packages that programs may import, under a name."""

    name: Name
    requirements: tuple[Requirement, ...] = Field(min_length=1)
    """As pip takes them."""
    modules: tuple[Module, ...] = ()
    """What programs can import, with it."""
    preload: tuple[Module, ...] = ()
    """What warm guests import before a program starts."""
    leave_out: tuple[str, ...] = ()
    """Patterns of paths in the installed tree that are removed."""
    about: str = ""
    lock: tuple[Requirement, ...] = ()
    """All packages with versions and hashes; empty: found out at the build."""


def declared() -> dict[str, LibrarySet]:
    """All declared sets by name; one's own hide those of this package.

    Raises:
        ConfigurationError: a file that cannot be read, or says what a set cannot have.
    """
    configured = os.environ.get(VARIABLE)
    return {**_read(_OWN), **(_read(Path(configured)) if configured else {})}


def find(name: str) -> LibrarySet:
    """A declared set.

    Raises:
        ConfigurationError: there is none of that name.
    """
    known = declared()
    if name not in known:
        raise ConfigurationError(
            f"no library set is called {name!r}; the sets are: {', '.join(known)}. "
            f"One of your own: python -m executor image build {name} --requirements FILE"
        )
    return known[name]


def read_requirements(text: str) -> tuple[str, ...]:
    """The lines of a file of requirements, without comments."""
    joined = re.sub(r"\\\n", " ", text)
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines())
    return tuple(re.sub(r"\s+", " ", line) for line in lines if line)


def providers(module: str) -> list[str]:
    """Names of the declared sets with which a module can be imported."""
    top = module.partition(".")[0]
    return [name for name, one in declared().items() if top in one.modules]


@cache
def _read(path: Path) -> dict[str, LibrarySet]:
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
        return {name: _set(path, name, table) for name, table in tables.items()}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError) as error:
        raise ConfigurationError(f"cannot read library sets from {path}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigurationError(f"{path}: {error.title} {where}: {first['msg']}") from error


def _set(path: Path, name: str, table: dict[str, object]) -> LibrarySet:
    lock = path.parent / "locks" / f"{name}.txt"
    locked = read_requirements(lock.read_text("utf-8")) if lock.is_file() else ()
    return LibrarySet.model_validate({**table, "name": name, "lock": locked})

"""Additions to the root file system of scripts: a shell, tools, packages.

    /usr/bin/..., /bin -> usr/bin             bash, sh and the usual text and file tools of the host
    /py/bin/python, /py/bin/python3           names for the interpreter
    /py/lib/python3.12/site-packages/         pytest and ipython with what they require
    /etc/passwd, /etc/group                   one user, nobody
    /mnt -> tmp                               for programs that write there
    /etc/hosts                                localhost
    /usr/lib/executor-streams.so              /dev/stdin, /dev/fd/N... (guest/_streams.c)
    /dev/zero, /dev/random, /dev/urandom      mount points

Tools and packages that the host does not have are left out.
"""

from __future__ import annotations

import compileall
import contextlib
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path, PurePosixPath

from executor.models import ScriptLanguage

DEVICES = ("zero", "random", "urandom")
"""Harmless devices that scripts get besides /dev/null."""

_STREAMS = "usr/lib/executor-streams.so"
_SITE_PACKAGES = "py/lib/python3.12/site-packages"
_PACKAGES = ("pytest", "ipython")
_TOOLS = (
    "bash", "sh", "env", "which", "grep", "egrep", "fgrep", "sed", "awk", "mawk", "gawk", "find",
    "xargs", "diff", "diff3", "cmp", "sdiff", "patch", "tar", "gzip", "gunzip", "zcat", "bzip2",
    "bunzip2", "xz", "unxz", "xzcat", "zip", "unzip", "jq", "bc", "dc", "file", "xxd", "hexdump",
    "getopt", "rev", "column", "time",
    # coreutils
    "[", "arch", "b2sum", "base32", "base64", "basename", "basenc", "cat", "chgrp", "chmod",
    "chown", "cksum", "comm", "cp", "csplit", "cut", "date", "dd", "df", "dir", "dircolors",
    "dirname", "du", "echo", "expand", "expr", "factor", "false", "fmt", "fold", "groups", "head",
    "hostid", "hostname", "id", "install", "join", "link", "ln", "logname", "ls", "md5sum", "mkdir",
    "mkfifo", "mktemp", "mv", "nice", "nl", "nohup", "nproc", "numfmt", "od", "paste", "pathchk",
    "pr", "printenv", "printf", "ptx", "pwd", "readlink", "realpath", "rm", "rmdir", "seq",
    "sha1sum", "sha224sum", "sha256sum", "sha384sum", "sha512sum", "shred", "shuf", "sleep", "sort",
    "split", "stat", "stdbuf", "sum", "sync", "tac", "tail", "tee", "test", "timeout", "touch",
    "tr", "true", "truncate", "tsort", "tty", "uname", "unexpand", "uniq", "unlink", "users",
    "vdir", "wc", "yes",
)  # fmt: skip
_SEARCH_PATH = "/usr/bin:/bin"
_SHELLS = ("sh", "bash")
_FILES = {
    "etc/passwd": "nobody:x:65534:65534:nobody:/box:/bin/bash\n",
    "etc/group": "nogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    # One address: for several, the C library asks the kernel which of them to prefer.
    "etc/hosts": "127.0.0.1 localhost\n",
}
_DATA = ("/usr/lib/locale/C.utf8", "/usr/lib/locale/C.UTF-8", "/usr/share/misc/magic.mgc")
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


def tools_key() -> str:
    """A text of what the additions are made of: it differs where they do."""
    facts = [f"{path} {path.stat().st_size} {int(path.stat().st_mtime)}" for path in _host_tools()]
    facts += [hashlib.sha256(path.read_bytes()).hexdigest() for path in _streams()]
    facts += [f"{name} {package.version}" for name, package in sorted(host_packages().items())]
    return "\n".join(facts)


def add_tools(image: Path) -> list[Path]:
    """Put tools, packages and small files into an image; returns what needs shared libraries."""
    programs = image / "usr/bin"
    programs.mkdir(parents=True, exist_ok=True)
    (image / "bin").symlink_to("usr/bin")
    copied = []
    for tool in _host_tools():
        target = programs / tool.name
        shutil.copy2(tool.resolve(), target)
        copied.append(target)
    (image / "mnt").symlink_to("tmp")  # what is written there is gone with the script, too
    for name in ("python", "python3"):
        (image / "py/bin" / name).symlink_to("python3.12")
    copied += _add_streams(image)
    for path, text in _FILES.items():
        target = image / path
        target.parent.mkdir(exist_ok=True)
        target.write_text(text)
    for source in filter(os.path.exists, _DATA):
        target = image / source.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if os.path.isdir(source) else shutil.copy2
        copy(os.path.realpath(source), target)
    for name in DEVICES:
        (image / "dev" / name).touch()
    return copied + _add_packages(image / _SITE_PACKAGES)


def _streams() -> list[Path]:
    """The library, if it could be built."""
    return sorted((Path(__file__).parents[2] / "guest").glob("_streams*.so"))[:1]


def _add_streams(image: Path) -> list[Path]:
    """Have each program load the library that gives it ``/dev/fd``."""
    for source in _streams():
        target = image / _STREAMS
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
        (image / "etc").mkdir(exist_ok=True)
        (image / "etc/ld.so.preload").write_text(f"/{_STREAMS}\n")
        return [target]
    return []


def languages(image: Path) -> frozenset[ScriptLanguage]:
    """The languages that a finished image has what it takes for."""
    needed: dict[ScriptLanguage, str] = {
        "python": "py/bin/python3.12",
        "bash": "usr/bin/bash",
        "pytest": f"{_SITE_PACKAGES}/pytest",
    }
    return frozenset(name for name, path in needed.items() if (image / path).exists())


def _host_tools() -> list[Path]:
    found = (shutil.which(name, path=_SEARCH_PATH) for name in _TOOLS)
    return [Path(path) for path in found if path is not None and _can_run(Path(path))]


def _can_run(path: Path) -> bool:
    """Whether it is a binary without privileges, or a script for one of our shells."""
    if stat.S_IMODE(path.stat().st_mode) & (stat.S_ISUID | stat.S_ISGID):
        return False
    with path.open("rb") as program:
        first = program.readline(256)
    if first.startswith(b"#!"):
        interpreter = first[2:].split()[0].decode(errors="replace")
        return PurePosixPath(interpreter).name in _SHELLS
    return first.startswith(b"\x7fELF")


def host_packages() -> dict[str, metadata.Distribution]:
    """The installed distributions that scripts get, with all that these require."""
    found: dict[str, metadata.Distribution] = {}
    wanted = list(_PACKAGES)
    while wanted:
        name = re.sub(r"[-_.]+", "-", wanted.pop()).lower()
        if name in found:
            continue
        # what a marker rules out is not installed, or does no harm
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.distribution(name)
            wanted += _requirements(found[name])
    return found


def _requirements(package: metadata.Distribution) -> Iterator[str]:
    for requirement in package.requires or ():
        specifier, _, marker = requirement.partition(";")
        name = _REQUIREMENT.match(specifier)
        if name and "extra" not in marker:
            yield name[1]


def _add_packages(target: Path) -> list[Path]:
    extensions = []
    for package in host_packages().values():
        for file in package.files or ():
            source = Path(str(package.locate_file(file)))
            inside = not file.is_absolute() and ".." not in file.parts
            if inside and "__pycache__" not in file.parts and source.is_file():
                copy = target / file
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, copy)
                if copy.suffix == ".so":
                    extensions.append(copy)
    if target.is_dir():
        compileall.compile_dir(target, quiet=2)
    return extensions

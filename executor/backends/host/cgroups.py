"""One control group per jail: a ceiling on memory and on processes, and counters of what was hit.

The limits of a jail's own processes (``RLIMIT_*``) are per process. A control group bounds the
jail as a whole and is the only reliable witness that the kernel's out-of-memory killer struck.
A group is made before the jail starts, outlives it, so that its counters can be read, and is then
removed by whoever made it.

Both hierarchy versions are served behind one interface: :class:`CgroupV1` (the ``memory`` and
``pids`` controllers, each with a tree of its own) and :class:`CgroupV2` (one tree).
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, override

from executor.backends.host.owner import is_gone, this_process
from executor.errors import BackendUnavailable

PARENT = "absolute-zero"
"""Name of the directory that holds the groups of all executors of a host."""

_SOCKET_BYTES = 32 << 20
_EMPTYING_S = 5.0
_CREATE_ATTEMPTS = 20
_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_counter = itertools.count(1)


class Cgroup(ABC):
    """A group for one jail. Made by :meth:`CgroupFactory.create`; blocking, not thread-safe."""

    CONTROLLERS: ClassVar[tuple[str, ...]] = ()
    """Directories below the root that each need a group; empty where there is one tree."""

    def __init__(self, directories: tuple[Path, ...]) -> None:
        self.directories = directories

    @classmethod
    @abstractmethod
    def prepare(cls, parent: Path) -> None:
        """Make groups below ``parent`` limitable (raises ``OSError`` if that is refused)."""

    @abstractmethod
    def limit(self, *, memory_bytes: int, processes: int) -> None:
        """Set the ceilings: bytes of memory and swap together, processes and threads.

        They can be set again, higher or lower.

        Raises:
            OSError: the kernel refused: there is more in use than that, for example.
        """

    @abstractmethod
    def memory_kills(self) -> int:
        """Processes that the out-of-memory killer has ended."""

    @abstractmethod
    def process_limit_hits(self) -> int:
        """Forks that failed because of the ceiling on processes."""

    @abstractmethod
    def memory_in_use_bytes(self) -> int:
        """Memory in use now, bytes; that of files on a tmpfs and of the page cache included."""

    @abstractmethod
    def kill(self) -> None:
        """SIGKILL everything in the group, forks under way included. Returns when it is empty.

        Raises:
            OSError: EBUSY, something is still there after 5 seconds.
        """

    def add(self, pid: int) -> None:
        """Move the process ``pid`` into the group; what it has started before stays behind."""
        for directory in self.directories:
            _write(directory / "cgroup.procs", pid)

    def wrap(self, argv: list[str]) -> list[str]:
        """Return a command that enters the group and then becomes ``argv``, with the same pid.

        It exits with 255 (nsjail's code for a failed set-up) if it cannot enter.
        """
        procs = [str(directory / "cgroup.procs") for directory in self.directories]
        enter = " && ".join(f'echo 0 > "${i}"' for i in range(1, len(procs) + 1))
        script = f'{{ {enter}; }} || exit 255; shift {len(procs)}; exec "$@"'
        return ["/bin/sh", "-c", script, "sh", *procs, *argv]

    def pids(self) -> list[int]:
        """Processes in the group now; empty once the group is removed."""
        found = set()
        for directory in self.directories:
            found.update(_read_pids(directory))
        return sorted(found)

    def remove(self) -> None:
        """Kill what is left and remove the group. Does nothing if it is gone already.

        Raises:
            OSError: EBUSY, something is still there after 5 seconds.
        """
        if self.pids():
            self.kill()
        for directory in self.directories:
            _remove_directory(directory)

    def _kill_each(self) -> None:
        for pid in self.pids():
            _kill_member(pid, self.pids)


class CgroupV1(Cgroup):
    """A group in the trees of the ``memory`` and ``pids`` controllers, in this order."""

    CONTROLLERS: ClassVar[tuple[str, ...]] = ("memory", "pids")

    @classmethod
    def prepare(cls, parent: Path) -> None:
        """Nothing to do: a version 1 tree has its controller in every group."""

    @property
    def _memory(self) -> Path:
        return self.directories[0]

    @property
    def _pids(self) -> Path:
        return self.directories[1]

    @override
    def limit(self, *, memory_bytes: int, processes: int) -> None:
        # The sum of memory and swap may not be below the memory limit at any time.
        both = self._memory / "memory.memsw.limit_in_bytes"
        if both.exists() and int(both.read_text()) < memory_bytes:
            _write(both, memory_bytes)
        _write(self._memory / "memory.limit_in_bytes", memory_bytes)
        _write_if_present(both, memory_bytes)
        self.limit_sockets()
        _write(self._pids / "pids.max", processes)

    def limit_sockets(self) -> None:
        """Bound what the buffers of sockets hold: it is not counted in the sum."""
        _write_if_present(self._memory / "memory.kmem.tcp.limit_in_bytes", _SOCKET_BYTES)

    @override
    def memory_kills(self) -> int:
        return _read_counter(self._memory / "memory.oom_control", "oom_kill")

    @override
    def process_limit_hits(self) -> int:
        return _read_counter(self._pids / "pids.events", "max")

    @override
    def memory_in_use_bytes(self) -> int:
        return int((self._memory / "memory.usage_in_bytes").read_text())

    @override
    def kill(self) -> None:
        # Nothing kills a version 1 group at one blow: stop the forks, then go through the members.
        _write_if_present(self._pids / "pids.max", 0)
        _until(self._is_killed, self._memory)

    def _is_killed(self) -> bool:
        self._kill_each()
        return not self.pids()


class CgroupV2(Cgroup):
    """A group in the unified tree."""

    KILL_FILE: ClassVar[str] = "cgroup.kill"
    """Kills all members at one blow; Linux 5.14 and later."""

    @classmethod
    def prepare(cls, parent: Path) -> None:
        """Turn the controllers on, from the root of the tree (or of our part of it) downwards."""
        for directory in (parent.parent, parent):
            control = directory / "cgroup.subtree_control"
            missing = {"memory", "pids"} - set(control.read_text().split())
            if missing:
                _write(control, " ".join(f"+{controller}" for controller in sorted(missing)))

    @property
    def _only(self) -> Path:
        return self.directories[0]

    @override
    def limit(self, *, memory_bytes: int, processes: int) -> None:
        _write(self._only / "memory.max", memory_bytes)
        _write_if_present(self._only / "memory.swap.max", 0)
        # The harness in the jail must outlive the death of the script, to report it.
        _write_if_present(self._only / "memory.oom.group", 0)
        _write(self._only / "pids.max", processes)

    @override
    def memory_kills(self) -> int:
        return _read_counter(self._only / "memory.events", "oom_kill")

    @override
    def process_limit_hits(self) -> int:
        return _read_counter(self._only / "pids.events", "max")

    @override
    def memory_in_use_bytes(self) -> int:
        return int((self._only / "memory.current").read_text())

    @override
    def kill(self) -> None:
        if not _write_if_present(self._only / self.KILL_FILE, 1):
            _write_if_present(self._only / "pids.max", 0)
        _until(self._is_killed, self._only)

    def _is_killed(self) -> bool:
        if not (self._only / self.KILL_FILE).exists():
            self._kill_each()
        return not self.pids()


class CgroupFactory:
    """Makes groups below a parent directory of our own, which several executors may share."""

    def __init__(self, root: Path, kind: type[Cgroup], parent: str = PARENT) -> None:
        """Serve the tree(s) below ``root``; use :func:`open_cgroups` to find out the kind."""
        self.kind = kind
        self.parents = tuple(root / c / parent for c in kind.CONTROLLERS or ("",))

    @property
    def version(self) -> int:
        """Version of the hierarchy, 1 or 2."""
        return 1 if self.kind is CgroupV1 else 2

    def create(self, name: str, *, memory_bytes: int, processes: int) -> Cgroup:
        """Make an empty group with its limits set.

        Args:
            name: for people; letters, digits, ``-`` and ``_``, at most 40. Need not be unique.
            memory_bytes: memory and swap of everything in the group, files on a tmpfs included.
            processes: processes and threads, the jailer's own included.

        Raises:
            ValueError: the name has other characters.
            OSError: the kernel refused; nothing is left behind.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be part of a group's name")
        unique = f"{this_process()}.{next(_counter)}.{name}"
        group = self.kind(tuple(parent / unique for parent in self.parents))
        try:
            for directory in group.directories:
                self._make_directory(directory)
            group.limit(memory_bytes=memory_bytes, processes=processes)
        except BaseException:
            group.remove()
            raise
        return group

    def reap_stale(self) -> int:
        """Remove the groups whose owner is dead, with all that runs in them; return how many.

        Owners in another pid namespace (a container sharing the hierarchy) cannot be judged from
        here: their groups are left alone.
        """
        names = {path.name for parent in self.parents for path in _children(parent)}
        stale = [name for name in sorted(names) if is_gone(_owner(name))]
        for name in stale:
            self.kind(tuple(parent / name for parent in self.parents)).remove()
        return len(stale)

    def close(self) -> None:
        """Remove the parent if it is ours and empty. Groups can be made again afterwards."""
        for parent in self.parents:
            try:
                if parent.stat().st_uid == os.geteuid():
                    os.rmdir(parent)
            except OSError:
                # Gone, in use by another executor, or delegated to us by someone else.
                continue

    def _make_directory(self, directory: Path) -> None:
        for attempts_left in reversed(range(_CREATE_ATTEMPTS)):
            try:
                _make_parent(directory.parent)
                self.kind.prepare(directory.parent)
                os.mkdir(directory)
                return
            except OSError as error:
                # Another executor closed, and took the shared parent away between two steps.
                if error.errno not in (errno.ENOENT, errno.ENODEV) or not attempts_left:
                    raise


def open_cgroups(root: Path = Path("/sys/fs/cgroup"), parent: str = PARENT) -> CgroupFactory:
    """Find out which hierarchy can be used below ``root``, by making a group and removing it.

    Args:
        root: where the hierarchy is mounted, or a directory that was delegated to us: with version
            1 the one that has ``memory`` and ``pids`` in it, with version 2 a group without
            processes of its own.
        parent: name of the directory below it for our groups.

    Raises:
        BackendUnavailable: no group can be made; the text says why.
    """
    factory = CgroupFactory(root, _kind_of(root), parent)
    try:
        factory.create("probe", memory_bytes=16 << 20, processes=1).remove()
    except OSError as error:
        raise BackendUnavailable(
            f"control groups (version {factory.version}) cannot be made below {root}: {error}"
        ) from error
    finally:
        factory.close()
    return factory


def find_cgroups(root: Path = Path("/sys/fs/cgroup")) -> CgroupFactory | None:
    """Return :func:`open_cgroups`, or ``None`` where it raises."""
    try:
        return open_cgroups(root)
    except BackendUnavailable:
        return None


def _kind_of(root: Path) -> type[Cgroup]:
    try:
        unified = set((root / "cgroup.controllers").read_text().split())
    except OSError:
        unified = None
    if unified is not None:
        missing = {"memory", "pids"} - unified
        if missing:
            raise BackendUnavailable(f"{root} lacks the controllers: {', '.join(sorted(missing))}")
        return CgroupV2
    missing = {c for c in CgroupV1.CONTROLLERS if not (root / c / "cgroup.procs").exists()}
    if missing:
        raise BackendUnavailable(
            f"no control groups below {root}: neither cgroup.controllers (version 2) nor the "
            f"version 1 controllers {', '.join(sorted(missing))}"
        )
    return CgroupV1


def _owner(name: str) -> str:
    """The process that made a group, by the group's name."""
    return ".".join(name.split(".")[:-2])


def _kill_member(pid: int, members: Callable[[], list[int]]) -> None:
    """Kill ``pid`` if it is among ``members``, looked up once the pid can no longer be reused."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if pid in members():
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)


def _remove_directory(directory: Path) -> None:
    def removed() -> bool:
        try:
            os.rmdir(directory)
        except FileNotFoundError:
            return True
        except OSError as error:
            # The last process left the list of members but is not yet accounted as gone.
            if error.errno != errno.EBUSY:
                raise
            return False
        return True

    _until(removed, directory)


def _until(done: Callable[[], bool], directory: Path) -> None:
    deadline = time.monotonic() + _EMPTYING_S
    pause = 0.0005
    while not done():
        if time.monotonic() > deadline:
            raise OSError(errno.EBUSY, "processes are left in the control group", str(directory))
        time.sleep(pause)
        pause = min(pause * 2, 0.02)


def _make_parent(directory: Path) -> None:
    try:
        os.mkdir(directory)
    except FileExistsError:
        return


def _children(directory: Path) -> list[Path]:
    try:
        return [path for path in directory.iterdir() if path.is_dir()]
    except FileNotFoundError:
        return []


def _read_pids(directory: Path) -> list[int]:
    try:
        text = (directory / "cgroup.procs").read_text()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV):  # removed, or being removed
            return []
        raise
    return [int(line) for line in text.split() if line != "0"]


def _read_counter(path: Path, key: str) -> int:
    for line in path.read_text().splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return int(value)
    return 0


def _write(path: Path, value: int | str) -> None:
    # No O_CREAT: on a wrong path the error should name what is missing.
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(handle, str(value).encode())
    finally:
        os.close(handle)


def _write_if_present(path: Path, value: int | str) -> bool:
    try:
        _write(path, value)
    except FileNotFoundError:
        return False
    return True

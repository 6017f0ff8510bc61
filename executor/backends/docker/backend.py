"""The docker backend: warm guests in containers of a Docker engine; gVisor is one of its runtimes.

The image holds the guest's code and its interpreter (``sandbox_images/guest``); what a container
may do is in :mod:`executor.backends.docker.options`. When the engine ends, its containers end: the
pool starts them again as soon as it answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from executor.backends.base import (
    GUEST_PROCESSES,
    PRELOAD,
    BaseBackend,
    Role,
    guest_environment,
)
from executor.backends.docker import options as policy
from executor.backends.docker.api import DockerApi
from executor.backends.docker.streams import (
    AttachStream,
    ContainerSocket,
    SocketDirectory,
    Stream,
    exchange,
)
from executor.backends.host.cgroups import Cgroup, CgroupV1, CgroupV2
from executor.backends.host.reached import Watched, may_use_network
from executor.backends.image import guest_code
from executor.backends.image.build import GUEST_MAIN, PYTHON, SCRIPT_MAIN
from executor.backends.settings import DockerSettings, GvisorSettings
from executor.errors import BackendUnavailable, ProtocolError
from executor.fds import read_exactly
from executor.models import Limits, Script, ScriptLanguage, ScriptResult, Status
from executor.tasks import end_all
from executor.wire.layout import READY
from executor.wire.scripts import (
    check_language,
    decode_reply,
    encode_request,
    jail_memory_bytes,
    jail_processes,
    max_reply_bytes,
    no_reply,
    script_result,
)

_START_TIMEOUT_S = 90.0
_CONNECT_TIMEOUT_S = 10.0
_PROBE_BYTES = 1 << 16
_SCRIPT_GRACE_S = 5.0
_STOCK = 2
"""Containers that wait for the next script, which saves it their start."""
_MOST_PROCESSES = 4096
_IMAGE_FACTS = guest_code.launcher("image_facts.py")
_SCRIPT_HOST = "script"


class _Image(NamedTuple):
    """Facts that an image tells about itself."""

    interpreter: str
    guest: str
    core: str | None
    ctypes: tuple[str, ...]
    languages: tuple[ScriptLanguage, ...]
    library: dict[str, Any] | None
    """The library set inside: its ``label`` for verdicts, and what guests ``preload``."""


class _Container:
    """A running container of ours with a stream to it."""

    def __init__(self, engine: DockerApi, name: str, stream: Stream, pid: int | None) -> None:
        self._engine = engine
        self.id = name
        self.stream = stream
        self.pid = pid or 0
        """Of its first process on this machine; 0 if that is not known."""
        self._group = _group_of(pid) if pid else None
        if isinstance(self._group, CgroupV1):
            with contextlib.suppress(OSError):  # the engine does not, and only root may
                self._group.limit_sockets()
        self._removal: asyncio.Task[None] | None = None

    def memory_kills(self) -> int:
        """Kills for memory so far; 0 when nothing can be told any more."""
        if self._group is not None:
            with contextlib.suppress(OSError):
                return self._group.memory_kills()
        return 0

    def counts_kills(self) -> bool:
        """Whether :meth:`memory_kills` can tell: not once the engine has removed the group."""
        try:
            return self._group is not None and self._group.memory_kills() >= 0
        except OSError:
            return False

    def process_limit_hits(self) -> int:
        """Forks that were refused so far; 0 when nothing can be told any more."""
        if self._group is not None:
            with contextlib.suppress(OSError):
                return self._group.process_limit_hits()
        return 0

    def kill(self) -> None:
        """Begin to end the container and all in it."""
        self.stream.shutdown()
        if self._removal is None:
            self._removal = asyncio.create_task(self._engine.remove(self.id))

    async def remove(self) -> None:
        """End the container and wait until nothing is left."""
        self.kill()
        assert self._removal is not None
        try:
            await asyncio.shield(self._removal)
        finally:
            self.stream.close()


class DockerGuest:
    """A warm guest in a container."""

    def __init__(self, container: _Container) -> None:
        self._container = container
        self.write_fd = container.stream.write_fd
        self.read_fd = container.stream.read_fd

    def memory_kills(self) -> int:
        """Processes of this guest that the kernel has killed for memory, so far."""
        return self._container.memory_kills()

    def kill(self) -> None:
        """Kill the guest and all below it. Does not wait."""
        self._container.kill()

    async def close(self) -> None:
        """Remove the container and wait until nothing is left. Safe to call twice."""
        await self._container.remove()


class DockerBackend(BaseBackend):
    """Guests in containers: no network, nothing writable, no capability, limits for all."""

    isolated = True

    def __init__(self, limits: Limits, settings: DockerSettings | GvisorSettings) -> None:
        self.name: str = settings.name
        self.interpreter = ""
        self._limits = limits
        self._settings = settings
        self._is_gvisor = isinstance(settings, GvisorSettings)
        self._engine = DockerApi()
        self._sockets: SocketDirectory | None = None
        self._image: _Image | None = None
        self._stock: list[tuple[Limits, _Container]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closing = False

    # ---- life ----------------------------------------------------------------------------------

    async def open(self) -> None:
        """Find engine, runtime and image; reap what killed executors left; start a trial."""
        about = await self._engine.open()
        runtime = self._settings.runtime
        if runtime is not None and runtime not in about.get("Runtimes", {}):
            raise BackendUnavailable(
                f"the Docker engine has no runtime {runtime!r}: docs/backends.md says how to add it"
            )
        image = self._settings.guest_image
        try:
            await self._engine.image(image)
        except BackendUnavailable as error:
            raise BackendUnavailable(
                f"the Docker engine has no image {image!r}. Build it: docker build -t {image} "
                f"-f sandbox_images/guest/Dockerfile {_target(self._settings.libraries)} ."
            ) from error
        await self._engine.reap()
        await asyncio.to_thread(SocketDirectory.reap)
        self._image = await self._examine()
        self.interpreter = self._image.interpreter
        if self._image.library is not None:
            self.interpreter += f" with {self._image.library['label']}"
        self.warnings = tuple(self._weaknesses())

    async def _examine(self) -> _Image:
        """Run a trial container: does the image fit, and which kind of stream works?"""
        if self._engine.is_local and not self._is_gvisor:
            self._sockets = SocketDirectory()
            with contextlib.suppress(BackendUnavailable, TimeoutError):
                return await self._ask_image(_CONNECT_TIMEOUT_S)
            self._sockets.close()
            self._sockets = None
        try:
            return await self._ask_image(_START_TIMEOUT_S)
        except TimeoutError:
            raise BackendUnavailable(
                f"a trial container did not answer within {_START_TIMEOUT_S:.0f} s"
            ) from None

    async def _ask_image(self, patience_s: float) -> _Image:
        async with asyncio.timeout(patience_s):
            container = await self._run(
                [PYTHON, "-I", "-S", "-B", "-c", _IMAGE_FACTS, *guest_code.PATTERNS],
                policy.guest_options(self._limits, core=None),
                profile=policy.guest_profile(),
                processes=GUEST_PROCESSES,
            )
            try:
                answer = await exchange(
                    container.stream, b"", max_reply=_PROBE_BYTES, deadline_s=patience_s
                )
            finally:
                await container.remove()
        try:
            image = _Image(**json.loads(answer))
        except (ValueError, TypeError) as error:
            raise BackendUnavailable(
                f"{self._settings.guest_image!r} is not a guest image of this project"
            ) from error
        if image.guest != guest_code.digest() or not image.interpreter.startswith("CPython 3.12."):
            raise BackendUnavailable(
                f"the image {self._settings.guest_image!r} was built from another version of this "
                "project: build it again (sandbox_images/guest/Dockerfile)"
            )
        return image

    def _weaknesses(self) -> list[str]:
        told = []
        if self._image is not None and self._image.core is None:
            told.append("the compiled core is missing in the image: slower")
        if self._sockets is None and not self._is_gvisor:
            told.append("containers cannot reach a socket of this machine: slower streams are used")
        if not self._engine.is_local:
            told.append("the engine is on another machine: memory kills cannot be told for sure")
        return told

    async def close(self) -> None:
        """Remove all containers and end all threads."""
        self._is_closing = True
        for task in self._tasks:
            if task.get_name() == "stock":
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(container.remove() for _, container in self._stock))
        self._stock.clear()
        await asyncio.shield(self._engine.close())
        if self._sockets is not None:
            self._sockets.close()
            self._sockets = None

    # ---- containers ----------------------------------------------------------------------------

    async def _run(
        self, command: Sequence[str], options: dict[str, Any], *, profile: str, processes: int,
        environment: dict[str, str] | None = None, hostname: str | None = None,
        masked: Sequence[str] = (), masked_files: Sequence[str] = (), working_dir: str = "/",
    ) -> _Container:  # fmt: skip
        """Start a container and return when there is a stream to it."""
        if self._is_gvisor:
            options = policy.own_kernel(options, masked)
        else:
            options = options | policy.confined(profile, processes=processes)
        listener = self._sockets.open() if self._sockets is not None else None
        name: str | None = None
        stream: Stream | None = None
        try:
            options |= {"binds": listener.binds if listener is not None else None}
            host = self._engine.host_config(**options, runtime=self._settings.runtime)
            host["MaskedPaths"] = [*policy.MASKED, *masked, *masked_files]
            name = await self._engine.create(
                host,
                image=self._settings.guest_image,
                command=list(command) if listener is None else ContainerSocket.command(command),
                user=policy.USER,
                environment=environment or {},
                hostname=hostname,
                working_dir=working_dir,
                # Of scripts, the engine then writes an /etc/hosts: they serve "localhost".
                network_disabled=hostname != _SCRIPT_HOST,
                stdin_open=listener is None,
                detach=False,
            )
            stream = await self._start(name, listener)
            return _Container(self._engine, name, stream, await self._pid(name, stream))
        except BaseException:
            if stream is not None:
                stream.close()
            if name is not None:
                await asyncio.shield(self._engine.remove(name))
            raise
        finally:
            if listener is not None:
                listener.close()

    async def _start(self, name: str, listener: ContainerSocket | None) -> Stream:
        if listener is not None:
            await self._engine.start(name)
            return await self._accept(listener, name)
        stream = AttachStream(await self._engine.call(self._engine.connect_stream, name))
        try:
            await self._engine.start(name)
        except BaseException:
            stream.close()
            raise
        return stream

    async def _pid(self, name: str, stream: Stream) -> int | None:
        """Process id of a container on this machine; None if it is on another one."""
        pid = stream.peer_pid()
        if pid is None and self._engine.is_local:
            pid = (await self._engine.state(name)).get("Pid")
        return pid

    async def _accept(self, listener: ContainerSocket, name: str) -> Stream:
        connecting = asyncio.ensure_future(listener.accept())
        try:
            for _ in range(int(_CONNECT_TIMEOUT_S)):
                done, _ = await asyncio.wait({connecting}, timeout=1.0)
                if done:
                    return connecting.result()
                if not (await self._engine.state(name)).get("Running"):
                    break
            raise BackendUnavailable("a container did not start, or could not reach its socket")
        finally:
            if not connecting.done():
                await end_all([connecting])

    async def launch(self, role: Role) -> DockerGuest:
        """Start a warm guest and return when it is ready."""
        image = self._image
        assert image is not None
        entry = "parser" if role.kind == "parser" else "zygote"
        options = ["root=/guest", "locked=1", f"token=guest-{role.number}"]
        if role.kind == "lib":
            libraries = image.library["preload"] if image.library is not None else ()
            options.append("preload=" + ",".join([*PRELOAD, *libraries]))
        container = None
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                container = await self._run(
                    [PYTHON, "-s", "-P", "-S", "-B", GUEST_MAIN, entry, *options],
                    policy.guest_options(
                        self._limits,
                        core=role.core if self._engine.is_local else None,
                        libraries=bool(image.library),
                    ),
                    profile=policy.guest_profile(),
                    processes=GUEST_PROCESSES,
                    environment=_guest_environment(image, role),
                    hostname=f"guest-{role.number}",
                    masked=policy.ONLY_FOR_SCRIPTS,
                    # A pure function has no use for raw memory. The pure-Python core needs it.
                    masked_files=image.ctypes if image.core is not None else (),
                )
                said = await read_exactly(container.stream.read_fd, len(READY))
            if len(said) < len(READY):
                raise BackendUnavailable("the container ended at once")
            if said != READY:
                raise BackendUnavailable(f"the guest started with {said!r}")
        except BaseException as error:
            if container is not None:
                await container.remove()
            if isinstance(error, TimeoutError):
                raise BackendUnavailable(
                    f"the guest was not ready within {_START_TIMEOUT_S:.0f} s"
                ) from None
            raise
        return DockerGuest(container)

    # ---- scripts -------------------------------------------------------------------------------

    async def run_script(self, script: Script, limits: Limits) -> ScriptResult:
        """Run a general script in a fresh container."""
        assert self._image is not None
        check_language(script, frozenset(self._image.languages))
        # The containers share a user id, so its process limit says nothing: pids_limit does.
        told = limits
        if not self._is_gvisor:
            told = limits.model_copy(update={"processes": _MOST_PROCESSES})
        request = encode_request(script, told, grouped=True)
        try:
            container = await self._script_container(script, limits)
        except BackendUnavailable as error:
            return ScriptResult(status=Status.INFRA, detail=str(error), backend=self.name)
        watched = Watched() if container.pid and may_use_network(script) else None
        try:
            if watched is not None:
                await watched.begin(container.pid)
            reply = await exchange(
                container.stream,
                request,
                max_reply=max_reply_bytes(script, limits),
                deadline_s=limits.wall_s + _SCRIPT_GRACE_S,
            )
            attempts = watched.attempts() if watched is not None else 0
            return await self._script_result(reply, script, limits, container, attempts)
        finally:
            if watched is not None:
                watched.close()
            container.kill()
            self._in_background(container.remove(), "removal")
            if limits.files_mib == self._limits.files_mib:
                self._refill(limits)

    async def _script_container(self, script: Script, limits: Limits) -> _Container:
        memory = jail_memory_bytes(script, limits)
        if memory > policy.script_memory(limits):
            return await self._start_script(limits, memory)
        while self._stock:
            known, container = self._stock.pop(0)
            if _same_container(known, limits) and not container.stream.is_ended():
                return container
            container.kill()
            self._in_background(container.remove(), "removal")
        return await self._start_script(limits, None)

    async def _start_script(self, limits: Limits, memory: int | None) -> _Container:
        # gVisor does not protect a first process from signals of the others.
        entry = [GUEST_MAIN, "shielded"] if self._is_gvisor else [SCRIPT_MAIN]
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                return await self._run(
                    [PYTHON, "-I", "-B", *entry],
                    policy.script_options(limits, memory_bytes=memory),
                    profile=policy.script_profile(),
                    processes=jail_processes(limits) - 1,  # no nsjail in there
                    hostname=_SCRIPT_HOST,
                    working_dir="/box",
                )
        except TimeoutError:
            raise BackendUnavailable("a script's container did not start in time") from None

    def _refill(self, limits: Limits) -> None:
        pending = sum(task.get_name() == "stock" for task in self._tasks)
        if not self._is_closing and len(self._stock) + pending < _STOCK:
            self._in_background(self._add_to_stock(limits), "stock")

    async def _add_to_stock(self, limits: Limits) -> None:
        with contextlib.suppress(BackendUnavailable):
            container = await self._start_script(limits, None)
            self._stock.append((limits, container))

    def _in_background(self, work: Any, name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _script_result(
        self,
        reply: bytes,
        script: Script,
        limits: Limits,
        container: _Container,
        attempts: int,
    ) -> ScriptResult:
        # At once: the engine removes the group soon after the last process.
        kills = container.memory_kills()
        hits = 0 if self._is_gvisor else container.process_limit_hits()
        try:
            decoded = replace(decode_reply(reply, script, limits), attempts=attempts)
        except ProtocolError:
            decoded = None
        killed = decoded is None or decoded.signal == signal.SIGKILL
        if not kills and (killed or not container.counts_kills()):
            kills = int(await self._engine.ended_for_memory(container.id))
        if decoded is None:
            return no_reply(limits, memory_kills=kills, backend=self.name)
        return script_result(
            decoded,
            limits,
            memory_kills=kills,
            process_limit_hits=hits,
            backend=self.name,
            interpreter=self.interpreter,
        )


def _target(libraries: str | None) -> str:
    """What to build, for people."""
    if libraries is None:
        return "--target stdlib"
    return f"--target libraries --build-arg LIBRARIES={libraries}"


def _same_container(a: Limits, b: Limits) -> bool:
    names = ("memory_mib", "files_mib", "processes", "output_kib")
    return all(getattr(a, name) == getattr(b, name) for name in names)


def _guest_environment(image: _Image, role: Role) -> dict[str, str]:
    return guest_environment(role, image.core)


def _group_of(pid: int) -> Cgroup | None:
    """The control group of a container's process, for its counters; ``None`` if not in sight."""
    root = Path("/sys/fs/cgroup")
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return None
    paths = {
        controller: path.lstrip("/")
        for _, controllers, path in (line.split(":", 2) for line in lines)
        for controller in controllers.split(",")
    }
    if "memory" in paths and "pids" in paths:
        found = tuple(root / name / paths[name] for name in ("memory", "pids"))
        return CgroupV1(found) if all(path.is_dir() for path in found) else None
    only = root / paths.get("", "")
    return CgroupV2((only,)) if paths.get("") and (only / "memory.events").exists() else None

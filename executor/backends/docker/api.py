"""The Docker engine's API for asyncio: calls in a few threads, errors as sentences, no leftovers.

Every container that is made here carries two labels: the process that owns it, and which engine
object of that process. So leftovers can be told from what is in use, also by other processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import docker
from docker.errors import APIError, DockerException, NotFound
from requests.exceptions import RequestException

from executor.backends.host.owner import is_gone, this_process
from executor.errors import BackendUnavailable

LABEL = "absolute-zero-executor.owner"
INSTANCE_LABEL = "absolute-zero-executor.instance"

_API_TIMEOUT_S = 20
_SOME_VERSION = "1.41"
_REMOVAL_S = 15.0
_LOOKS, _LOOK_S = 20, 0.05
"""How often, and how many seconds apart, it is asked whether it has heard of a container's end."""
_THREADS = 8
_CONFLICT = 409
_HELP = "Start Docker, or set DOCKER_HOST to the address of an engine"

_instances: set[str] = set()
"""Engines of this process that are open."""


class DockerApi:
    """One engine. Use :meth:`open` and :meth:`close`; on one event loop."""

    def __init__(self) -> None:
        self.instance = uuid.uuid4().hex
        self.labels = {LABEL: this_process(), INSTANCE_LABEL: self.instance}
        self.cores = 1
        """Processor cores of the engine's machine."""
        self._api: Any = None
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="docker")
        self._address = ""

    @property
    def is_local(self) -> bool:
        """Whether the engine is reached through a socket of this machine."""
        return self._address.startswith("unix:")

    async def open(self) -> dict[str, Any]:
        """Connect, and return what the engine says about itself."""
        _instances.add(self.instance)
        try:
            self._api = await self.call(self._connect)
            about: dict[str, Any] = await self.call(self._api.info)
        except BackendUnavailable as error:
            raise BackendUnavailable(f"no Docker engine can be used: {error}. {_HELP}") from error
        self.cores = int(about.get("NCPU") or 1)
        return about

    def _connect(self) -> Any:
        settings = docker.utils.kwargs_from_env()
        if settings.get("tls"):
            raise BackendUnavailable("the docker backend knows unix:// and plain tcp:// only")
        self._address = settings.get("base_url") or "unix:///var/run/docker.sock"
        if self._address.startswith("http://"):  # what docker makes of tcp://
            self._address = "tcp://" + self._address.removeprefix("http://")
        self._address = self._address.replace("http+unix:", "unix:")
        if not self._address.startswith(("unix:", "tcp:")):
            raise BackendUnavailable("the docker backend knows unix:// and plain tcp:// only")
        # Not version="auto": where nothing answers, that leaves a connection open.
        asking = docker.APIClient(**settings, version=_SOME_VERSION, timeout=_API_TIMEOUT_S)
        with contextlib.closing(asking):
            version = asking.version(api_version=False).get("ApiVersion", _SOME_VERSION)
        return docker.APIClient(**settings, version=version, timeout=_API_TIMEOUT_S)

    async def call[T](self, function: Callable[..., T], *args: object, **options: object) -> T:
        """Call a blocking function in a thread. A cancelled caller waits for the call to end.

        Raises:
            BackendUnavailable: the engine refused, or did not answer.
        """
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(
            self._threads, lambda: _translate_errors(function, args, options)
        )
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            with contextlib.suppress(BackendUnavailable):
                await work
            raise

    async def image(self, name: str) -> dict[str, Any]:
        """The engine's record of an image. Raises :class:`BackendUnavailable` if there is none."""
        found: dict[str, Any] = await self.call(self._api.inspect_image, name)
        return found

    async def create(self, host_config: Mapping[str, object], **options: object) -> str:
        """Make a container with our labels; returns its id. Nothing stays if cancelled."""
        creating = asyncio.ensure_future(
            self.call(
                self._api.create_container, host_config=host_config, labels=self.labels, **options
            )
        )
        try:
            made = await asyncio.shield(creating)
        except asyncio.CancelledError:
            with contextlib.suppress(BackendUnavailable):
                await self.remove((await creating)["Id"])
            raise
        return str(made["Id"])

    def host_config(self, **options: object) -> dict[str, Any]:
        """The part of a container's settings that depends on the host."""
        made: dict[str, Any] = self._api.create_host_config(**options)
        return made

    async def start(self, container: str) -> None:
        """Start a container."""
        await self.call(self._api.start, container)

    async def state(self, container: str) -> dict[str, Any]:
        """The ``State`` of a container; empty if there is no such container."""
        try:
            found = await self.call(self._inspect, container)
        except BackendUnavailable:
            return {}
        return dict(found.get("State", {}))

    async def ended_for_memory(self, container: str) -> bool:
        """Whether the kernel killed a process of a container for memory, as the engine has it: it
        hears of that, and of the end, some time after."""
        for _ in range(_LOOKS):
            state = await self.state(container)
            if not state.get("Running"):
                break
            await asyncio.sleep(_LOOK_S)
        return bool(state.get("OOMKilled", False))

    def _inspect(self, container: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self._api.inspect_container(container)
        except NotFound:
            return {}
        return found

    async def remove(self, container: str) -> None:
        """End and remove a container; gone is gone. An engine that does not answer is forgiven:
        what it leaves is reaped later, by its labels."""
        with contextlib.suppress(BackendUnavailable):
            await asyncio.shield(self.call(self._remove, container))

    def _remove(self, container: str) -> None:
        until = time.monotonic() + _REMOVAL_S
        while True:
            try:
                self._api.remove_container(container, force=True, v=True)
                return
            except NotFound:
                return
            except APIError as error:
                # "removal already in progress": by the engine itself, at the container's end
                if error.status_code != _CONFLICT or time.monotonic() > until:
                    raise
            time.sleep(0.05)

    async def reap(self) -> int:
        """Remove containers whose owner has ended; never those of a living executor."""
        found = await self.call(self._api.containers, all=True, filters={"label": LABEL})
        stale = [entry["Id"] for entry in found if _is_stale(entry["Labels"])]
        await asyncio.gather(*map(self.remove, stale))
        return len(stale)

    def connect_stream(self, container: str) -> socket.socket:
        """Attach to a container that was not started yet: raw in, frames of Docker's out. Blocking.

        The HTTP client has no public way to the bare socket, so this speaks the few lines itself.
        """
        stream = self._socket()
        try:
            stream.settimeout(_API_TIMEOUT_S)
            path = f"/containers/{container}/attach?stream=1&stdin=1&stdout=1"
            stream.sendall(
                f"POST {path} HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n"
                "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode()
            )
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                part = stream.recv(1)
                if not part or len(head) > 8192:
                    raise BackendUnavailable("the engine broke off an attach request")
                head += part
            if b" 101 " not in head.split(b"\r\n", 1)[0]:
                raise BackendUnavailable(f"the engine refused to attach: {head[:200]!r}")
            stream.setblocking(False)
        except BaseException:
            stream.close()
            raise
        return stream

    def _socket(self) -> socket.socket:
        if self.is_local:
            stream = socket.socket(socket.AF_UNIX)
            try:
                stream.connect(self._address.removeprefix("unix:").replace("//", "", 1))
            except BaseException:
                stream.close()
                raise
            return stream
        where = urlsplit(self._address)
        return socket.create_connection((where.hostname or "", where.port or 2375), timeout=5)

    async def close(self) -> None:
        """Remove every container of this object and end the threads."""
        if self._api is not None:
            with contextlib.suppress(BackendUnavailable):
                mine = f"{INSTANCE_LABEL}={self.instance}"
                found = await self.call(self._api.containers, all=True, filters={"label": mine})
                await asyncio.gather(*(self.remove(entry["Id"]) for entry in found))
        await asyncio.to_thread(self._threads.shutdown)
        if self._api is not None:
            self._api.close()
            self._api = None
        _instances.discard(self.instance)


def _is_stale(labels: Mapping[str, str]) -> bool:
    owner = labels.get(LABEL, "")
    if owner == this_process():
        return labels.get(INSTANCE_LABEL) not in _instances
    return is_gone(owner)


def _translate_errors[T](
    function: Callable[..., T], args: tuple[object, ...], options: Mapping[str, object]
) -> T:
    try:
        return function(*args, **options)
    except NotFound as error:
        raise BackendUnavailable(_sentence(error)) from error
    except APIError as error:
        raise BackendUnavailable(f"the Docker engine refused: {_sentence(error)}") from error
    except (DockerException, RequestException, OSError) as error:
        where = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
        raise BackendUnavailable(f"nothing answers at {where} ({type(error).__name__})") from error


def _sentence(error: APIError) -> str:
    return str(error.explanation or error).strip().rstrip(".")

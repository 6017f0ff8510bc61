"""The executor that ``azr.executor`` names: a local one, a server, or a service started here."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from executor import (
    BackendUnavailable,
    Executor,
    Limits,
    RayFleet,
    SandboxFusionSettings,
    StoreSettings,
)
from trainer.game.play.batch_stream import Verifier
from trainer.game.settings import AzrSettings
from trainer.run.lifetime import bound

_READY_WITHIN_S = 60.0
_END_WITHIN_S = 15.0


def make_executor(settings: AzrSettings, say: Callable[[str], None] = print) -> Verifier:
    """The executor, not open yet. ``say`` is told if a service is started on opening it.

    Raises:
        executor.ConfigurationError: settings that no executor can have.
    """
    urls = settings.executor_url
    if settings.executor == "http":
        return remote(
            urls, patience_s=settings.executor_patience_s, libraries=settings.executor_libraries
        )
    if settings.executor == "sandboxfusion":
        if not urls:
            return OwnService(settings, say)
        return Executor(
            SandboxFusionSettings(url=urls[0]),
            workers=settings.executor_max_workers,
            limits=limits(settings),
            store=store(settings),
        )
    if settings.executor == "ray":
        return RayFleet(
            cpus_per_node=settings.executor_cpus_per_node,
            workers=settings.executor_max_workers,
            limits=limits(settings),
            store=store(settings),
            libraries=settings.executor_libraries,
        )
    return Executor(
        settings.executor,
        workers=settings.executor_max_workers,
        limits=limits(settings),
        store=store(settings),
        libraries=settings.executor_libraries,
    )


def store(settings: AzrSettings) -> StoreSettings | None:
    """Where proven results are shared."""
    if settings.executor_store is None:
        return None
    return StoreSettings(url=settings.executor_store, key_file=settings.executor_store_key)


def limits(settings: AzrSettings) -> Limits:
    """What each run may use."""
    return Limits(
        wall_s=settings.execute_max_timeout,
        cpu_s=settings.execute_max_cpu_s,
        memory_mib=settings.execute_max_memory_mib,
    )


def remote(
    urls: tuple[str, ...],
    token: str | None = None,
    *,
    patience_s: float,
    libraries: str | None = None,
) -> Verifier:
    """The executors that run behind some URLs, with the limits that they have there.

    What they do not answer in ``patience_s`` seconds, however often they are asked, is ``infra``.
    """
    from executor.client import RemoteExecutor, Retries

    verifier: Verifier = RemoteExecutor(
        urls, token=token, retries=Retries(give_up_s=patience_s), libraries=libraries
    )
    return verifier


class OwnService:
    """``python -m executor serve`` on this machine, for as long as the executor is open.

    Its port is a free one, and its token is made up: nobody else uses it.
    """

    def __init__(self, settings: AzrSettings, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._say = say
        self._service: subprocess.Popen[bytes] | None = None
        self._client: Any = None

    async def __aenter__(self) -> Any:
        port, token = _free_port(), secrets.token_urlsafe(24)
        self._say(f"starting the project's own executor service on http://127.0.0.1:{port}")
        self._service = self._start(port, token)
        try:
            await asyncio.to_thread(self._wait_until_ready, f"http://127.0.0.1:{port}/readyz")
            self._client = remote(
                (f"http://127.0.0.1:{port}",), token, patience_s=self._settings.executor_patience_s
            )
            return await self._client.__aenter__()
        except BaseException:
            await self.close()
            raise

    def _start(self, port: int, token: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "executor", "serve", "--port", str(port)]
        return subprocess.Popen(
            bound([*command, *self._options()]),
            env=os.environ | {"EXECUTOR_TOKEN": token},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _options(self) -> list[str]:
        settings = self._settings
        options = [
            *("--wall-s", f"{settings.execute_max_timeout:g}"),
            *("--cpu-s", str(settings.execute_max_cpu_s)),
            *("--memory-mib", str(settings.execute_max_memory_mib)),
        ]
        if settings.executor_libraries is not None:
            options += ["--libraries", settings.executor_libraries]
        if settings.executor_max_workers is not None:
            options += ["--workers", str(settings.executor_max_workers)]
        if settings.executor_store is not None:
            options += ["--store", settings.executor_store]
        if settings.executor_store_key is not None:
            options += ["--store-key", settings.executor_store_key]
        return options

    def _wait_until_ready(self, url: str) -> None:
        assert self._service is not None
        deadline = time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < deadline:
            if self._service.poll() is not None:
                raise BackendUnavailable(
                    f"python -m executor serve ended with code {self._service.returncode}; "
                    "started by hand it says why"
                )
            try:
                with urllib.request.urlopen(url, timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise BackendUnavailable(f"python -m executor serve is not ready in {_READY_WITHIN_S:g} s")

    def stats(self) -> Any:
        """As :meth:`executor.client.RemoteExecutor.stats`."""
        return self._client.stats()

    def validate_many(self, *arguments: Any, **options: Any) -> Any:
        """As :meth:`executor.Executor.validate_many`."""
        return self._client.validate_many(*arguments, **options)

    def judge_many(self, *arguments: Any, **options: Any) -> Any:
        """As :meth:`executor.Executor.judge_many`."""
        return self._client.judge_many(*arguments, **options)

    async def close(self) -> None:
        """End the service."""
        if self._client is not None:
            await self._client.close()
            self._client = None
        service, self._service = self._service, None
        if service is not None:
            await asyncio.to_thread(_end, service)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _end(service: subprocess.Popen[bytes]) -> None:
    service.terminate()
    try:
        service.wait(_END_WITHIN_S)
    except subprocess.TimeoutExpired:
        service.kill()
        service.wait()

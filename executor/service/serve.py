"""A server from its start to its end: sockets, signals, draining."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator

import structlog
import uvicorn
import uvloop

from executor.api.protocol import ObservedExecutor
from executor.errors import ConfigurationError
from executor.service.app import create_app
from executor.service.errors import unavailable
from executor.service.http.slow_clients import make_protocol
from executor.service.http.state import Service
from executor.service.settings import ServiceSettings, check_exposure

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LAST_ANSWERS_S = 5
_BACKLOG = 2048
_log = structlog.get_logger("executor.service")


def serve(settings: ServiceSettings, make_executor: Callable[[], ObservedExecutor]) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code: 0, or 128 and the second signal.

    The first signal drains: no new work, what is in hand may finish. The second one ends all.

    Raises:
        ConfigurationError: the settings cannot work, or the address cannot be had.
        BackendUnavailable: this machine cannot run the backend.
    """
    check_exposure(settings)
    with _bound_socket(settings) as listener:
        return uvloop.run(_Serving(settings, make_executor, listener).run())


class _Serving:
    def __init__(
        self,
        settings: ServiceSettings,
        make_executor: Callable[[], ObservedExecutor],
        listener: socket.socket,
    ) -> None:
        self._settings = settings
        self._make_executor = make_executor
        self._listener = listener
        self._signals: list[int] = []
        self._stop = asyncio.Event()
        self._up = False

    async def run(self) -> int:
        """The whole life; returns the exit code."""
        loop = asyncio.get_running_loop()
        main = asyncio.current_task()
        assert main is not None

        def on_signal(number: int) -> None:
            self._signals.append(number)
            self._stop.set()
            if len(self._signals) > 1 or not self._up:
                main.cancel()

        for number in _SIGNALS:
            loop.add_signal_handler(number, on_signal, number)
        try:
            async with self._make_executor() as executor:
                for warning in executor.info.warnings:
                    _log.warning("backend", warning=warning)
                await self._serve(executor)
        except asyncio.CancelledError:
            if not self._signals:
                raise
        return 128 + self._signals[-1] if len(self._signals) > 1 else 0

    async def _serve(self, executor: ObservedExecutor) -> None:
        app = create_app(self._settings, executor)
        server = _Server(self._config(app))
        serving = asyncio.create_task(server.serve(sockets=[self._listener]))
        stopped = asyncio.create_task(self._stop.wait())
        try:
            self._up = True
            host, port = self._listener.getsockname()[:2]
            _log.info("listening", host=host, port=port, backend=executor.info.backend)
            await asyncio.wait([serving, stopped], return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                await self._drain(app.state.service)
                server.should_exit = True
            await serving
        finally:
            for task in (serving, stopped):
                task.cancel()
            await asyncio.wait([serving, stopped])

    async def _drain(self, service: Service) -> None:
        _log.info(
            "draining", in_hand=len(service.admission.in_flight), seconds=self._settings.drain_s
        )
        service.readiness.drain()
        try:
            async with asyncio.timeout(self._settings.drain_s):
                await service.admission.idle()
        except TimeoutError:
            _log.warning("ending what is in hand", in_hand=len(service.admission.in_flight))
            service.admission.end_all(
                unavailable("the service stopped before this was done", "draining")
            )
        _log.info("drained")

    def _config(self, app: object) -> uvicorn.Config:
        return uvicorn.Config(
            app,  # type: ignore[arg-type]
            http=make_protocol(self._settings),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=_LAST_ANSWERS_S,
            backlog=_BACKLOG,
        )


class _Server(uvicorn.Server):
    """Uvicorn's server, which leaves signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing: :class:`_Serving` has the signals."""
        yield


def _bound_socket(settings: ServiceSettings) -> socket.socket:
    """A socket at the address, not listening yet."""
    try:
        found = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {settings.host}, port {settings.port}: {error.strerror or error}"
        ) from None
    return listener

"""One address of a service: requests to it, how busy it is, and whether it is well."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal, NamedTuple

import httpx
from pydantic import ValidationError

from executor.backends.base import ProcessReuse
from executor.client.faults import Fault, refusal
from executor.client.settings import Retries, Timeouts
from executor.errors import ConfigurationError
from executor.models import Limits

Lane = Literal["single", "batch"]

PLACES: dict[Lane, int] = {"single": 64, "batch": 8}
"""Requests of a kind that one client has at one endpoint at a time, at most."""

_SUCCESSES_TO_GROW = 16.0
"""After a refusal for too much work, an endpoint gets half as many requests, and one more at a time
after so many successes of each of them: what it can take is found without a storm of refusals."""

_KEEP_ALIVE_S = 3.0
"""Shorter than servers keep idle connections: else a request could meet one that is just closed."""
_KEEP_ALIVE_PROBES = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
_MAX_REFUSAL_BYTES = 64 << 10
_NEVER_STARTED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class EndpointInfo(NamedTuple):
    """Facts that an endpoint tells about itself."""

    backend: str
    interpreter: str
    isolated: bool
    workers: int
    warnings: tuple[str, ...]
    limits: Limits
    process_reuse: ProcessReuse


class Endpoint:
    """One address. :meth:`watch` must run as long as it is used.

    Args:
        url: Base address.
        token: Bearer token, if any.
        on_change: Called when it may have become usable.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        timeouts: Timeouts,
        retries: Retries,
        on_change: Callable[[], None],
    ) -> None:
        self.url = url
        self.ready = False
        self.reason = "not asked yet"
        """The reason why it is not ready."""
        self.refusal: ConfigurationError | None = None
        """It will not serve this client, whoever asks again."""
        self.info: EndpointInfo | None = None
        self.load = 0
        """Items of ours that it has in hand."""
        self._in_flight: dict[Lane, int] = dict.fromkeys(PLACES, 0)
        self._places: dict[Lane, float] = {lane: float(most) for lane, most in PLACES.items()}
        self._not_before: dict[Lane, float] = dict.fromkeys(PLACES, 0.0)
        """It has asked to be left alone until then (monotonic seconds)."""
        self.asked = asyncio.Event()
        """It has been asked about itself at least once."""
        self._timeouts = timeouts
        self._retries = retries
        self._on_change = on_change
        self._alarm = asyncio.Event()
        self._scopes: set[asyncio.Timeout] = set()
        self._heard_at = time.monotonic()
        self._client = _make_client(url, token, timeouts)

    @property
    def weight(self) -> int:
        """Items that it can work on at a time."""
        return self.info.workers if self.info is not None else 1

    def usable(self, lane: Lane, now: float) -> bool:
        """Whether a request may be sent now."""
        free = self._in_flight[lane] < int(self._places[lane])
        return self.ready and free and now >= self._not_before[lane]

    def take(self, lane: Lane, cost: int) -> None:
        """Count a request with ``cost`` items that is about to be sent."""
        self._in_flight[lane] += 1
        self.load += cost

    def give(self, lane: Lane, cost: int) -> None:
        """Count its end."""
        self._in_flight[lane] -= 1
        self.load -= cost

    def succeeded(self, lane: Lane) -> None:
        """A request was served: there may be more of them."""
        places = self._places[lane]
        grown = places + 1.0 / (_SUCCESSES_TO_GROW * places)
        self._places[lane] = min(float(PLACES[lane]), grown)

    def refused(self, lane: Lane, fault: Fault) -> None:
        """A request was not served: leave the endpoint alone as long as it asks for."""
        if fault.too_much:
            self._places[lane] = max(1.0, min(self._places[lane], self._in_flight[lane]) / 2)
        if fault.retry_after_s is None:
            return
        # Some more, at random: all who were sent away would else come back at the same moment.
        pause = fault.retry_after_s * random.uniform(1.0, 1.3)
        self._not_before[lane] = max(self._not_before[lane], time.monotonic() + pause)
        asyncio.get_running_loop().call_later(pause + 0.001, self._on_change)

    # ---- requests ------------------------------------------------------------------------------

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """A block of requests that ends with a :class:`Fault` when the endpoint is given up."""
        scope = asyncio.timeout(None)
        if not self._scopes:
            self._heard_at = time.monotonic()
        try:
            async with scope:
                self._scopes.add(scope)
                yield
        except TimeoutError:
            if not scope.expired():
                raise
            raise Fault(f"{self.url}: does not answer any more", started=True) from None
        finally:
            self._scopes.discard(scope)

    def cut(self) -> None:
        """End all requests in hand."""
        for scope in self._scopes:
            scope.reschedule(asyncio.get_running_loop().time())

    async def post(self, path: str, body: bytes) -> bytes:
        """Send JSON; returns the body of the answer.

        Raises:
            Fault: the platform failed, or is busy.
            InputError, ConfigurationError, ServiceError: the request is refused.
        """
        parts: list[bytes] = []
        await self.post_streamed(path, body, parts.append, content_type="application/json")
        return b"".join(parts)

    async def post_streamed(
        self,
        path: str,
        body: bytes,
        take: Callable[[bytes], None],
        *,
        content_type: str = "application/x-ndjson",
    ) -> None:
        """Send a body; ``take`` is called with each part of the answer. Raises as :meth:`post`."""
        try:
            async with self._client.stream(
                "POST", path, content=body, headers={"content-type": content_type}
            ) as response:
                self._heard_at = time.monotonic()
                if response.status_code != 200:
                    raise await self._refused(response)
                async for part in response.aiter_bytes():
                    self._heard_at = time.monotonic()
                    take(part)
        except httpx.HTTPError as error:
            reason = f"{self.url}: {_sentence(error)}"
            self.suspect(reason)
            raise Fault(reason, started=not isinstance(error, _NEVER_STARTED)) from error

    async def _refused(self, response: httpx.Response) -> Exception:
        body = b""
        async for part in response.aiter_bytes():
            body += part
            if len(body) > _MAX_REFUSAL_BYTES:
                break
        error = refusal(self.url, response.status_code, response.headers, body)
        if isinstance(error, Fault) and not error.too_much:
            self.suspect(str(error))
        return error

    # ---- health --------------------------------------------------------------------------------

    def suspect(self, reason: str) -> None:
        """Send nothing more until it has said that it is ready."""
        self.ready = False
        self.reason = reason
        self._alarm.set()

    async def watch(self) -> None:
        """Keep ``ready`` true to the facts, until cancelled."""
        unanswered = failures = 0
        while True:
            if self.ready:
                failures = 0
            if not unanswered:
                await self._quiet()
            answered = await self._ask()
            unanswered = 0 if answered else unanswered + 1
            if unanswered >= 2:
                self.ready = False
                self.cut()
            self.asked.set()
            if self.ready or self.refusal is not None:
                self._on_change()
            if not self.ready:
                failures += 1
                await asyncio.sleep(pause_s(self._retries, failures))

    async def _quiet(self) -> None:
        """Wait until there is a reason to ask: a fault, or silence where there is work."""
        while self.ready:
            self._alarm.clear()
            try:
                async with asyncio.timeout(self._timeouts.check_s):
                    await self._alarm.wait()
            except TimeoutError:
                silent = time.monotonic() - self._heard_at
                if self._scopes and silent >= self._timeouts.check_s:
                    return

    async def _ask(self) -> bool:
        """Ask whether it is ready; returns whether it answered at all."""
        self._alarm.clear()
        try:
            response = await self._get("/readyz")
            if response.status_code != 200:
                self.reason = f"{self.url}: {_status(response)}"
                self.ready = False
                return True
            response = await self._get("/v1/info")
        except httpx.HTTPError as error:
            self.reason = f"{self.url}: {_sentence(error)}"
            return False
        self._understand(response)
        return True

    async def _get(self, path: str) -> httpx.Response:
        return await self._client.get(path, timeout=self._timeouts.probe_s)

    def _understand(self, response: httpx.Response) -> None:
        self.refusal = None
        if response.status_code == 200:
            try:
                self.info = _read_info(response.content)
            except ValueError:
                self.refusal = ConfigurationError(f"{self.url} is not an executor service")
        else:
            error = refusal(self.url, response.status_code, response.headers, response.content)
            self.reason = str(error)
            self.refusal = error if isinstance(error, ConfigurationError) else None
        if self.refusal is not None:
            self.reason = str(self.refusal)
        self.ready = response.status_code == 200 and self.refusal is None

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()


def pause_s(retries: Retries, failures: int) -> float:
    """A pause after so many failures in a row, with full jitter."""
    bound = min(retries.longest_pause_s, retries.first_pause_s * 2.0 ** min(failures - 1, 30))
    return random.uniform(0.0, bound)


def _make_client(url: str, token: str | None, timeouts: Timeouts) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=url,
        headers={"authorization": f"Bearer {token}"} if token else None,
        timeout=httpx.Timeout(
            connect=timeouts.connect_s,
            read=timeouts.silence_s,
            write=timeouts.send_s,
            pool=timeouts.connect_s,
        ),
        transport=httpx.AsyncHTTPTransport(
            limits=httpx.Limits(max_connections=None, keepalive_expiry=_KEEP_ALIVE_S),
            socket_options=_KEEP_ALIVE_PROBES,
        ),
    )


def _read_info(body: bytes) -> EndpointInfo:
    try:
        told = json.loads(body)
        known = {name: told["limits"][name] for name in Limits.model_fields}
        return EndpointInfo(
            backend=str(told["backend"]),
            interpreter=str(told["interpreter"]),
            isolated=told["isolated"] is True,
            workers=max(1, int(told["workers"])),
            warnings=(*map(str, told["warnings"]), *_waived(told)),
            limits=Limits.model_validate(known),
            process_reuse="reset" if told.get("process_reuse") == "reset" else "fork",
        )
    except (KeyError, TypeError, ValidationError, RecursionError) as error:
        raise ValueError(str(error)) from error


def _waived(told: dict[str, Any]) -> list[str]:
    """A warning of what the service waives, unless all of it is known to hold."""
    probes = [(str(probe["name"]), str(probe["state"])) for probe in told.get("waived", ())]
    weak = [f"{name} ({state})" for name, state in probes if state != "holds"]
    return [f"the service waives probes of its sandbox: {', '.join(weak)}"] if weak else []


def _status(response: httpx.Response) -> str:
    try:
        return str(response.json()["status"])[:200]
    except (ValueError, KeyError, TypeError, RecursionError):
        return f"not ready (HTTP status {response.status_code})"


def _sentence(error: httpx.HTTPError) -> str:
    names: dict[type[httpx.HTTPError], str] = {
        httpx.ConnectTimeout: "no connection in time",
        httpx.ReadTimeout: "no answer in time",
        httpx.WriteTimeout: "does not take what is sent",
        httpx.PoolTimeout: "no free connection",
    }
    return names.get(type(error)) or str(error) or type(error).__name__

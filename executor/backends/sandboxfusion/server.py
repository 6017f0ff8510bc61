"""A SandboxFusion server: one ``/run_code`` at a time, bounded, and again if it was not done."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import Mapping
from typing import Any, NamedTuple

import httpx

from executor.errors import BackendUnavailable

MAX_ANSWER = 256 << 20
_GRACE_S = 15.0
"""Seconds that an answer may take beyond the script's own."""
_CONNECT_S = 5.0
_ATTEMPTS = 6
_LONGEST_PAUSE_S = 5.0
_BUSY = (429, 502, 503, 504)


class ServerFault(Exception):
    """The server did not do what it was asked, in spite of retries. Says nothing about a script."""


class Ran(NamedTuple):
    """A server's answer about a script."""

    status: str
    """``Finished`` or ``TimeLimitExceeded``."""
    return_code: int | None
    stdout: bytes
    stderr: bytes
    files: dict[str, bytes]
    message: str
    seconds: float


class Server:
    """The server at one address. Close it."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url.rstrip("/").removesuffix("/run_code")
        try:
            parsed = httpx.URL(self.url)
        except httpx.InvalidURL as error:
            raise BackendUnavailable(f"{url!r} is no address: {error}") from None
        if parsed.scheme not in ("http", "https") or not parsed.host or "," in url:
            raise BackendUnavailable(f"{url!r} is not the address of one server")
        self._client = httpx.AsyncClient(
            headers={"authorization": f"Bearer {token}"} if token else None,
            limits=httpx.Limits(max_connections=None, keepalive_expiry=3.0),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def run(self, fields: Mapping[str, Any], run_timeout: float) -> Ran:
        """Run a script; again as long as the server is busy or fails.

        Raises:
            ServerFault: it was not run.
        """
        body = json.dumps({**fields, "run_timeout": run_timeout}).encode()
        pause = 0.1
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(random.uniform(pause / 2, pause))
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            try:
                return await self._run(body, run_timeout + _GRACE_S)
            except _NotNow as error:
                failure = error
        raise ServerFault(f"{self.url}: {failure}")

    async def _run(self, body: bytes, timeout_s: float) -> Ran:
        timeout = httpx.Timeout(timeout_s, connect=_CONNECT_S)
        headers = {"content-type": "application/json"}
        data = bytearray()
        try:
            async with (
                asyncio.timeout(2 * timeout_s),
                self._client.stream(
                    "POST", f"{self.url}/run_code", content=body, headers=headers, timeout=timeout
                ) as response,
            ):
                async for chunk in response.aiter_bytes():
                    data += chunk
                    if len(data) > MAX_ANSWER:
                        raise ServerFault(f"{self.url}: the answer is too large")
        except (httpx.HTTPError, TimeoutError) as error:
            raise _NotNow(f"{type(error).__name__}: {error}") from error
        if response.status_code in _BUSY or response.status_code == 500:
            raise _NotNow(f"HTTP {response.status_code}")
        if response.status_code != 200:
            said = bytes(data[:300]).decode("utf-8", "replace")
            raise ServerFault(f"{self.url}: HTTP {response.status_code}: {said}")
        return _read(self.url, bytes(data))


class _NotNow(Exception):
    """Worth another attempt."""


def _read(url: str, data: bytes) -> Ran:
    try:
        answer = json.loads(data)
        status, message = answer["status"], str(answer.get("message") or "")
        if status == "SandboxError":
            if "unsupported language" in message:
                raise ServerFault(message)
            raise _NotNow(f"SandboxError: {message[:300]}")
        run = answer["run_result"]
        return Ran(
            status=str(run["status"]),
            return_code=None if run.get("return_code") is None else int(run["return_code"]),
            stdout=_bytes(run.get("stdout")),
            stderr=_bytes(run.get("stderr")),
            files={
                str(name): base64.b64decode(content)
                for name, content in (answer.get("files") or {}).items()
            },
            message=message,
            seconds=float(run.get("execution_time") or 0),
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ServerFault(f"{url}: the answer is not one of /run_code") from error


def _bytes(text: object) -> bytes:
    return str(text or "").encode("utf-8", "surrogatepass")

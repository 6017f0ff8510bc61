"""The executor behind the HTTP service, with the methods of the one in this process."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import NamedTuple, Self

from pydantic import BaseModel

from executor.api.base import Closing, ExecutorInfo
from executor.api.blocking import Blocking
from executor.client.batches import CHUNK_ITEMS, Batches
from executor.client.bodies import (
    JUDGE,
    VALIDATE,
    ItemKind,
    item_json,
    options_json,
    script_json,
)
from executor.client.endpoint import Endpoint, EndpointInfo
from executor.client.faults import Fault
from executor.client.fleet import Fleet, Patience, check_urls
from executor.client.settings import Retries, Timeouts
from executor.errors import ConfigurationError, ExecutorClosed, ServiceError, ServiceUnavailable
from executor.models import (
    Judgement,
    JudgeTask,
    Limits,
    Options,
    Rules,
    Script,
    ScriptResult,
    Triplet,
    Verdict,
)

_ITEMS_PER_WORKER = 48
"""Items of a batch in hand per worker of the service: twice what a local executor has, since some
of them are on their way."""
_TOKEN_VARIABLE = "EXECUTOR_TOKEN"


class EndpointStats(NamedTuple):
    """One endpoint at one moment."""

    url: str
    ready: bool
    reason: str
    """The reason why it is not ready; empty if it is."""
    in_flight: int
    """Items of this client that it has in hand."""
    weight: int
    """Its workers."""


class RemoteStats(NamedTuple):
    """A remote executor at one moment, for monitoring."""

    endpoints: tuple[EndpointStats, ...]
    retries: int
    """Requests that were repeated."""


class RemoteExecutor(Closing):
    """Validates triplets, judges answers and runs scripts on one or several services.

    A drop-in for :class:`executor.Executor`: same methods, arguments, results and errors. Use it as
    an asynchronous context manager, on one event loop.

    Work goes to the endpoint that is least busy for its size. One that fails gets nothing more
    until it says that it is ready; what it had in hand is repeated elsewhere. Scripts have effects
    that cannot be known, so a script is repeated only if it surely was not started.

    An infrastructure failure is never a score. Where it outlives the retries, a single call raises
    :class:`executor.errors.ServiceUnavailable`, and an item of a stream has the outcome ``infra``.

    Args:
        urls: Base addresses, such as ``http://host:8080``.
        token: Bearer token; by default that of ``$EXECUTOR_TOKEN``, if it is set.
        limits: For all calls that do not say otherwise; by default the service's.
        rules: Of validation, likewise.
        judge_rules: Of judging, likewise.
        runs: Fresh processes of a validation, likewise.
        libraries: Library set of all calls that do not name another, likewise.
        timeouts: How long to wait for a service.
        retries: How long to go on.

    Raises:
        ConfigurationError: from the constructor, for addresses that cannot be used; on entering,
            if no service accepts the token, or if the limits are above the services'.
        ServiceUnavailable: on entering, if no service is ready in time.
        InputError: from calls, with the service's own sentence.
        ExecutorClosed: from methods, outside the context.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        *,
        token: str | None = None,
        limits: Limits | None = None,
        rules: Rules | None = None,
        judge_rules: Rules | None = None,
        runs: int | None = None,
        libraries: str | None = None,
        timeouts: Timeouts = Timeouts(),
        retries: Retries = Retries(),
    ) -> None:
        self._urls = check_urls(urls)
        self._token = token if token is not None else os.environ.get(_TOKEN_VARIABLE)
        if self._token and not (self._token.isascii() and self._token.isprintable()):
            raise ConfigurationError("the token holds characters that a header cannot")
        if runs is not None and runs < 2:
            raise ConfigurationError(f"a validation takes at least 2 runs, not {runs}")
        self._defaults = Options(
            limits=limits, rules=rules, judge_rules=judge_rules, runs=runs, libraries=libraries
        )
        self._timeouts = timeouts
        self._retries = retries
        self._fleet: Fleet | None = None

    async def __aenter__(self) -> Self:
        fleet = Fleet(self._urls, self._token, self._timeouts, self._retries)
        try:
            await fleet.open()
            self._fleet = fleet
            self.limits.within(self._ceiling())
        except BaseException:
            self._fleet = None
            await fleet.close()
            raise
        return self

    async def close(self) -> None:
        """End all requests. Calls in flight get :class:`ExecutorClosed`. Safe to call twice."""
        if self._fleet is not None:
            await self._fleet.close()

    @property
    def info(self) -> ExecutorInfo:
        """Facts about the services together, once it is open."""
        known = self._known()
        warnings = dict.fromkeys(warning for info in known for warning in info.warnings)
        different = _differences(known)
        return ExecutorInfo(
            backend=known[0].backend,
            interpreter=known[0].interpreter,
            isolated=all(info.isolated for info in known),
            workers=sum(info.workers for info in known),
            warnings=(*different, *warnings),
            process_reuse="reset" if all(i.process_reuse == "reset" for i in known) else "fork",
        )

    @property
    def limits(self) -> Limits:
        """Limits of each run, and the most that :class:`Options` of a call may ask for."""
        return self._defaults.limits or self._ceiling()

    def _ceiling(self) -> Limits:
        return Limits.least(info.limits for info in self._known())

    def stats(self) -> RemoteStats:
        """Counts of the present moment, for monitoring."""
        fleet = self._open_fleet()
        return RemoteStats(tuple(map(_endpoint_stats, fleet.endpoints)), fleet.retries)

    async def validate(self, triplet: Triplet, *, options: Options = Options()) -> Verdict:
        """See :meth:`executor.Executor.validate`."""
        return await self._single(VALIDATE, triplet, options)

    async def judge(self, task: JudgeTask, *, options: Options = Options()) -> Judgement:
        """See :meth:`executor.Executor.judge`."""
        return await self._single(JUDGE, task, options)

    async def run(self, script: Script, *, limits: Limits | None = None) -> ScriptResult:
        """See :meth:`executor.Executor.run`. Repeated only if it surely was not started."""
        self._open_fleet()
        if limits is not None:
            limits.within(self.limits)
        wanted = limits or self._defaults.limits
        if script.libraries is None and self._defaults.libraries is not None:
            script = script.model_copy(update={"libraries": self._defaults.libraries})
        body = script_json(script, wanted)
        return await self._call("/v1/run", body, ScriptResult.model_validate_json, pure=False)

    def validate_many(
        self,
        triplets: Iterable[Triplet] | AsyncIterable[Triplet],
        *,
        ordered: bool = True,
        window: int | None = None,
        options: Options = Options(),
    ) -> AsyncGenerator[Verdict, None]:
        """See :meth:`executor.Executor.validate_many`."""
        return self._many(VALIDATE, triplets, ordered=ordered, window=window, options=options)

    def judge_many(
        self,
        tasks: Iterable[JudgeTask] | AsyncIterable[JudgeTask],
        *,
        ordered: bool = True,
        window: int | None = None,
        options: Options = Options(),
    ) -> AsyncGenerator[Judgement, None]:
        """See :meth:`executor.Executor.judge_many`."""
        return self._many(JUDGE, tasks, ordered=ordered, window=window, options=options)

    async def _many[Item: BaseModel, Result: BaseModel](
        self,
        kind: ItemKind[Item, Result],
        items: Iterable[Item] | AsyncIterable[Item],
        *,
        ordered: bool,
        window: int | None,
        options: Options,
    ) -> AsyncGenerator[Result, None]:
        fleet = self._open_fleet()
        batches = Batches(
            fleet,
            kind,
            self._options(options),
            self._retries,
            window=window or self._window(),
            ordered=ordered,
        )
        async with aclosing(batches.results(items)) as results:
            async for result in results:
                yield result

    def _window(self) -> int:
        workers = sum(endpoint.weight for endpoint in self._open_fleet().endpoints)
        return max(_ITEMS_PER_WORKER * workers, 4 * CHUNK_ITEMS * len(self._urls))

    async def _single[Item: BaseModel, Result: BaseModel](
        self, kind: ItemKind[Item, Result], item: Item, options: Options
    ) -> Result:
        self._open_fleet()
        body = item_json(item, self._options(options))
        return await self._call(kind.path, body, kind.read, pure=True)

    async def _call[Result](
        self, path: str, body: bytes, read: Callable[[bytes], Result], *, pure: bool
    ) -> Result:
        fleet = self._open_fleet()
        patience = Patience(self._retries)
        avoid: Endpoint | None = None
        while True:
            try:
                async with fleet.endpoint("single", 1, patience.deadline, avoid) as endpoint:
                    avoid = endpoint
                    return _answer(endpoint.url, await endpoint.post(path, body), read)
            except Fault as fault:
                if fault.started and not pure:
                    raise ServiceUnavailable(f"{fault}; the script may have been run") from fault
                await fleet.pause(patience.pause(fault))

    def _options(self, options: Options) -> bytes:
        """The JSON of the options of a call. Raises :class:`ConfigurationError`."""
        if options.limits is not None:
            options.limits.within(self.limits)
        return options_json(options.over(self._defaults))

    def _known(self) -> list[EndpointInfo]:
        return [e.info for e in self._open_fleet().endpoints if e.info is not None]

    def _open_fleet(self) -> Fleet:
        if self._fleet is None or self._fleet.closed:
            raise ExecutorClosed(
                "the executor is not open: use it as 'async with RemoteExecutor(...)'"
            )
        return self._fleet


class SyncRemoteExecutor(Blocking[RemoteExecutor]):
    """:class:`RemoteExecutor` behind blocking calls; may be used from several threads.

    A drop-in for :class:`executor.SyncExecutor`. Arguments, errors and results are those of
    :class:`RemoteExecutor`.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        *,
        token: str | None = None,
        limits: Limits | None = None,
        rules: Rules | None = None,
        judge_rules: Rules | None = None,
        runs: int | None = None,
        libraries: str | None = None,
        timeouts: Timeouts = Timeouts(),
        retries: Retries = Retries(),
    ) -> None:
        executor = RemoteExecutor(
            urls,
            token=token,
            limits=limits,
            rules=rules,
            judge_rules=judge_rules,
            runs=runs,
            libraries=libraries,
            timeouts=timeouts,
            retries=retries,
        )
        super().__init__(executor)

    def stats(self) -> RemoteStats:
        """Counts of the present moment, for monitoring."""
        return self._executor.stats()


def _answer[Result](url: str, data: bytes, read: Callable[[bytes], Result]) -> Result:
    try:
        return read(data)
    except (ValueError, RecursionError) as error:
        raise ServiceError(f"{url}: the answer is no result") from error


def _endpoint_stats(endpoint: Endpoint) -> EndpointStats:
    return EndpointStats(
        url=endpoint.url,
        ready=endpoint.ready,
        reason="" if endpoint.ready else endpoint.reason,
        in_flight=endpoint.load,
        weight=endpoint.weight,
    )


def _differences(known: list[EndpointInfo]) -> list[str]:
    """Differences that make it matter which of the services does an item."""
    return [
        f"the services differ in their {name}"
        for name in ("backend", "interpreter", "limits")
        if len({getattr(info, name) for info in known}) > 1
    ]

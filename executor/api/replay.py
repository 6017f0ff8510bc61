"""Runs what a store holds once more, and compares."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, NamedTuple

from executor.api.protocol import ObservedExecutor
from executor.api.streaming import stream
from executor.errors import ConfigurationError
from executor.models import Limits, Options, Rules, Status, Triplet, Verdict
from executor.store.facts import facts_of
from executor.store.seal import Sealed, read_situation
from executor.store.settings import StoreSettings
from executor.store.store import Store
from executor.verification.stored import read_computed
from executor.verification.values import Value

_WINDOW = 64


class Replayed(NamedTuple):
    """What became of one entry."""

    name: str
    """What it is kept under, in hexadecimal."""
    same: bool | None
    """Whether its result came again; ``None``: it was not run, or the platform failed."""
    detail: str
    expected: tuple[str, ...] = ()
    """The outputs that it holds."""
    outputs: tuple[str | None, ...] = ()
    """Those of now."""
    elsewhere: tuple[str, ...] = ()
    """What was different where it was made: ``version``, ``machine``, ...; of a judgement
    ``conditions``: limits, rules or the interpreter."""
    id: str = ""
    """The task's own name, if it has one."""


async def replay(
    settings: StoreSettings, make: Callable[[Limits], ObservedExecutor], most: int | None = None
) -> AsyncGenerator[Replayed, None]:
    """Run the entries of a store again, and say of each whether its result is the same.

    Args:
        settings: the store; it is only read.
        make: makes an executor with these limits, without a cache and a store.
        most: entries, if not all.

    Raises:
        ConfigurationError: the store cannot be used, or it is empty.
    """
    store = Store(settings, {})
    await store.open()
    try:
        ceiling = await _ceiling(store)
        async with make(ceiling) as executor:
            here = facts_of(executor.info.backend, executor.info.interpreter)

            async def work(_: int, entry: tuple[bytes, Sealed | None]) -> Replayed:
                return await _again(executor, here, *entry)

            entries = _some(store, most)
            async with aclosing(stream(entries, work, window=_WINDOW, ordered=False)) as results:
                async for result in results:
                    yield result
    finally:
        await store.close()


async def _some(
    store: Store, most: int | None
) -> AsyncGenerator[tuple[bytes, Sealed | None], None]:
    count = 0
    async for entry in store.entries():
        if count == most:
            return
        count += 1
        yield entry


async def _ceiling(store: Store) -> Limits:
    """The most that any entry was made with."""
    situations = {sealed.situation async for _, sealed in store.entries() if sealed is not None}
    if not situations:
        raise ConfigurationError("the store holds no entry that was made with this key")
    known = [Limits.model_validate(read_situation(one)["limits"]) for one in situations]
    return Limits(
        **{name: max(getattr(one, name) for one in known) for name in Limits.model_fields}
    )


async def _again(
    executor: ObservedExecutor, here: Mapping[str, Any], name: bytes, sealed: Sealed | None
) -> Replayed:
    told = name.hex()
    if sealed is None:
        return Replayed(told, None, "it was not made with this key, or has been changed")
    try:
        facts = read_situation(sealed.situation)
        options = Options(
            limits=Limits.model_validate(facts["limits"]),
            rules=Rules.model_validate(facts["rules"]),
            runs=facts["runs"],
        )
        triplet = Triplet.model_validate_json(sealed.task)
        expected = tuple(
            result.text if isinstance(result, Value) else str(result)
            for result in read_computed(sealed).results
        )
    except (ValueError, KeyError, TypeError) as error:
        return Replayed(told, None, f"it cannot be read: {type(error).__name__}")
    elsewhere = tuple(sorted(name for name, fact in here.items() if facts.get(name) != fact))
    verdict = await executor.validate(triplet, options=options)
    return Replayed(
        told, _same(verdict, expected), verdict.detail, expected, verdict.outputs, elsewhere
    )


def _same(verdict: Verdict, expected: tuple[str, ...]) -> bool | None:
    if verdict.status is Status.INFRA:
        return None
    return verdict.status is Status.OK and verdict.outputs == expected

"""The two longest messages to a process of a fleet: what its executor is, and an item."""

from __future__ import annotations

import json
import struct
from typing import Any, TypedDict, Unpack

from pydantic import BaseModel, Field

from executor.api.local import Executor
from executor.backends.settings import BackendSettings
from executor.fleet.work import ITEMS, Kind, Work, decode, encode
from executor.lru import Lru
from executor.models import JUDGE_RULES, Limits, Model, Options, Rules
from executor.store.settings import StoreSettings

_HEAD = struct.Struct("<QBdI")
_KINDS: tuple[Kind, ...] = ("validate", "judge", "run")


class ExecutorSettings(Model):
    """The arguments of :class:`executor.Executor`."""

    backend: str | BackendSettings = Field("nsjail")
    workers: int | None = None
    limits: Limits = Limits()
    rules: Rules = Rules()
    judge_rules: Rules = JUDGE_RULES
    runs: int = 2
    cache: bool = True
    store: StoreSettings | None = None
    libraries: str | None = None

    def make(self) -> Executor:
        """The executor, not open yet. Raises :class:`executor.errors.ConfigurationError`."""
        return Executor(**self.arguments())

    def arguments(self) -> dict[str, Any]:
        """By name, as the constructor takes them."""
        return {name: getattr(self, name) for name in type(self).model_fields}


class Alike(TypedDict, total=False):
    """What is the same in all executors of a fleet; defaults are those of an executor."""

    limits: Limits
    rules: Rules
    judge_rules: Rules
    runs: int
    cache: bool
    store: str | StoreSettings | None
    libraries: str | None


def settings_of(
    backend: str | BackendSettings, workers: int | None, **alike: Unpack[Alike]
) -> ExecutorSettings:
    """The settings of a fleet's executors.

    Raises:
        ConfigurationError: no executor can have them.
        TypeError: an argument is none of an executor.
    """
    if unknown := alike.keys() - Alike.__annotations__.keys():
        raise TypeError(f"an executor has no argument '{min(unknown)}'")
    store = alike.get("store")
    known: dict[str, Any] = {
        **alike,
        "store": StoreSettings(url=store) if isinstance(store, str) else store,
    }
    settings = ExecutorSettings(backend=backend, workers=workers, **known)
    settings.make()
    return settings


def work_bytes(number: int, work: Work) -> bytes:
    """An item with its number."""
    settings = encode(work.settings) if work.settings is not None else b""
    head = _HEAD.pack(number, _KINDS.index(work.kind), work.yields_s, len(settings))
    return b"".join((head, settings, encode(work.item, ITEMS[work.kind])))


def read_work(
    body: bytes, known: Lru[bytes, BaseModel]
) -> tuple[int, Kind, BaseModel | None, float, BaseModel]:
    """Number, kind, settings, yielding and item. Settings that are ``known`` are the same object,
    which an executor recognises."""
    number, which, yields_s, size = _HEAD.unpack_from(body)
    kind = _KINDS[which]
    told, item = body[_HEAD.size : _HEAD.size + size], body[_HEAD.size + size :]
    settings = known.get(told) if told else None
    if told and settings is None:
        settings = decode(Limits if kind == "run" else Options, told)
        known.put(told, settings)
    return number, kind, settings, yields_s, decode(ITEMS[kind], item)


def number_of(body: bytes) -> int:
    """The number of an item that may be unreadable otherwise."""
    number: int = _HEAD.unpack_from(body)[0]
    return number


def settings_bytes(settings: ExecutorSettings) -> bytes:
    """The settings with every secret that belongs to them."""
    return json.dumps(settings.model_dump(mode="json")).encode()

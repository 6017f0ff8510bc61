"""Executors can be swapped for one another."""

from __future__ import annotations

import inspect

import pytest

from executor import Executor, SyncExecutor
from executor.api.protocol import ExecutorProtocol, SyncExecutorProtocol
from executor.client import RemoteExecutor, SyncRemoteExecutor

METHODS = ("validate", "judge", "run", "validate_many", "judge_many", "close")
PROPERTIES = ("info", "limits")


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    ("protocol", "implementation"),
    [
        (ExecutorProtocol, Executor),
        (ExecutorProtocol, RemoteExecutor),
        (SyncExecutorProtocol, SyncExecutor),
        (SyncExecutorProtocol, SyncRemoteExecutor),
    ],
)
def test_methods_have_the_same_signature(protocol: type, implementation: type, name: str) -> None:
    wanted = inspect.signature(getattr(protocol, name))
    assert inspect.signature(getattr(implementation, name)) == wanted
    coroutine = inspect.iscoroutinefunction
    assert coroutine(getattr(implementation, name)) == coroutine(getattr(protocol, name))


@pytest.mark.parametrize("name", PROPERTIES)
@pytest.mark.parametrize("kind", [Executor, RemoteExecutor, SyncExecutor, SyncRemoteExecutor])
def test_properties_are_there(kind: type, name: str) -> None:
    assert isinstance(inspect.getattr_static(kind, name), property)


def test_nothing_public_is_missing_in_the_protocols() -> None:
    for protocol, kinds in (
        (ExecutorProtocol, (Executor, RemoteExecutor)),
        (SyncExecutorProtocol, (SyncExecutor, SyncRemoteExecutor)),
    ):
        public = [{n for n in dir(kind) if not n.startswith("_")} for kind in kinds]
        common = set.intersection(*public) - {"stats"}  # their statistics are of different things
        assert common == {n for n in dir(protocol) if not n.startswith("_")}

"""From options to an executor: the one place where the command line makes one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from executor.errors import ConfigurationError
from executor.models import JUDGE_RULES, Limits, Rules

if TYPE_CHECKING:
    from executor.api.protocol import ExecutorProtocol, ObservedExecutor
    from executor.backends.settings import BackendSettings
    from executor.store.settings import StoreSettings

HTTP = "http"
"""Stands for a service of ``executor serve`` where a backend is named."""

RAY = "ray"
"""Stands for nsjail on every node of a Ray cluster."""

_TAKES = {
    "url": (HTTP, "sandboxfusion", RAY),
    "image": ("docker", "gvisor"),
    "runtime": ("docker", "gvisor"),
    "libraries": ("nsjail", "docker", "gvisor", RAY, HTTP),
}
"""Options, and the backends that have use for them."""


@dataclass(frozen=True, slots=True)
class ExecutorOptions:
    """Options that an executor is made from."""

    backend: str
    """A name; several with commas between them: all do every item, and are compared."""
    workers: int | None
    """``None``: as many as there are cores; of a cluster: of each node."""
    limits: Limits
    rules: Rules = field(default_factory=Rules)
    judge_rules: Rules = JUDGE_RULES
    runs: int = 2
    """Fresh processes that must agree on a value."""
    url: str | None = None
    """Address of a remote backend or a cluster; for ``http`` several, with commas between them."""
    image: str | None = None
    """Guest image of containers."""
    runtime: str | None = None
    """OCI runtime of containers."""
    host_processes: int | None = None
    """Host processes; ``None``: one for every four cores."""
    store: str | None = None
    """Where proven results are shared."""
    store_key: str | None = None
    """File with the secret of the store."""
    cache: bool = True
    """Whether results are remembered in memory."""
    libraries: str | None = None
    """Library set that programs may import."""

    @property
    def names(self) -> tuple[str, ...]:
        """The backends' names."""
        return tuple(name.strip() for name in self.backend.split(","))


def create_executor(options: ExecutorOptions) -> ExecutorProtocol:
    """Make an executor; it starts when it is entered.

    Raises:
        ConfigurationError: the options cannot work.
    """
    _check(options)
    made = [_create(options, name) for name in options.names]
    if len(made) == 1:
        return made[0]
    from executor.api.differential import DifferentialExecutor  # noqa: PLC0415

    return DifferentialExecutor(*made)


def create_local_executor(options: ExecutorOptions) -> ObservedExecutor:
    """Make an executor of this machine, on one backend.

    Raises:
        ConfigurationError: the options cannot work.
    """
    _check(options)
    if len(options.names) > 1 or options.names[0] == HTTP:
        raise ConfigurationError(f"--backend {options.backend} cannot be served: name one sandbox")
    return _local(options, options.names[0])


def _create(options: ExecutorOptions, name: str) -> ExecutorProtocol:
    return _remote(options) if name == HTTP else _local(options, name)


def _local(options: ExecutorOptions, name: str) -> ObservedExecutor:
    return _kind(options, name)(
        workers=options.workers,
        limits=options.limits,
        rules=options.rules,
        judge_rules=options.judge_rules,
        runs=options.runs,
        cache=options.cache,
        store=store_settings(options.store, options.store_key),
    )


def _kind(options: ExecutorOptions, name: str) -> Callable[..., ObservedExecutor]:
    """What makes the executor, with all that is its own: of one process, of several, of nodes."""
    # Here, for help and usage errors need no backend.
    from executor.api.local import Executor  # noqa: PLC0415
    from executor.fleet.processes import ProcessFleet, default_processes  # noqa: PLC0415

    if name == RAY:
        from executor.fleet.ray.fleet import RayFleet  # noqa: PLC0415

        return partial(
            RayFleet,
            address=options.url,
            processes=options.host_processes,
            libraries=options.libraries,
        )
    processes = default_processes() if options.host_processes is None else options.host_processes
    if options.host_processes is None and options.workers is not None:
        processes = min(processes, options.workers)
    settings = _settings(options, name)
    if processes > 1:
        return partial(ProcessFleet, settings, processes=processes)
    return partial(Executor, settings)


def store_settings(url: str | None, key_file: str | None) -> StoreSettings | None:
    """The store that two options name.

    Raises:
        ConfigurationError: a key without a store.
    """
    from executor.store.settings import StoreSettings  # noqa: PLC0415

    if url is None:
        if key_file is not None:
            raise ConfigurationError("--store-key is given, but no --store")
        return None
    return StoreSettings(url=url, key_file=key_file)


def _settings(options: ExecutorOptions, name: str) -> str | BackendSettings:
    from executor.backends.settings import SETTINGS  # noqa: PLC0415

    given = {
        option: value
        for option, backends in _TAKES.items()
        if name in backends and (value := getattr(options, option)) is not None
    }
    return SETTINGS[name](**given) if given else name


def _remote(options: ExecutorOptions) -> ExecutorProtocol:
    if options.url is None:
        raise ConfigurationError("--backend http needs --url: the address of a service")
    try:
        from executor.client import RemoteExecutor  # noqa: PLC0415 - others do without httpx
    except ImportError as error:
        raise ConfigurationError(
            f"--backend http needs {error.name}: pip install 'absolute-zero-executor[client]'"
        ) from None
    return RemoteExecutor(
        [url.strip() for url in options.url.split(",")],
        limits=options.limits if options.limits != Limits() else None,  # else the service's own
        rules=options.rules,
        judge_rules=options.judge_rules,
        runs=options.runs,
        libraries=options.libraries,
    )


def _check(options: ExecutorOptions) -> None:
    """Refuse what would be ignored."""
    names = options.names
    if options.store is not None and set(names) == {HTTP}:
        raise ConfigurationError("--store is for executors of this process: give it to the service")
    if len(set(names)) < len(names):
        raise ConfigurationError(f"--backend {options.backend} names a backend twice")
    for option, backends in _TAKES.items():
        if getattr(options, option) is not None and not set(names) & set(backends):
            raise ConfigurationError(
                f"--{option} is for --backend {' and '.join(backends)}, not {options.backend}"
            )

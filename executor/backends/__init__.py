"""Backends: ways to isolate what is run. See :mod:`executor.backends.base` for the interface."""

from __future__ import annotations

from executor.backends.base import Backend
from executor.backends.settings import (
    SETTINGS,
    BackendSettings,
    DockerSettings,
    GvisorSettings,
    NsjailSettings,
    ProcessSettings,
)
from executor.errors import BackendUnavailable, ConfigurationError, UnknownBackend
from executor.models import Limits

BACKENDS = tuple(SETTINGS)
"""Names that :func:`open_backend` knows."""


def open_backend(backend: str | BackendSettings, limits: Limits) -> Backend:
    """Make a backend by name, or from its settings; it is not started yet.

    Raises:
        UnknownBackend: no backend has that name.
        BackendUnavailable: a library that it needs is not installed.
    """
    settings = backend_settings(backend)
    # Imports here: each backend needs libraries or systems that others do without.
    if isinstance(settings, NsjailSettings):
        from executor.backends.nsjail.backend import NsjailBackend  # noqa: PLC0415

        return NsjailBackend(limits, settings)
    if isinstance(settings, ProcessSettings):
        from executor.backends.process import ProcessBackend  # noqa: PLC0415

        return ProcessBackend(limits)
    if isinstance(settings, DockerSettings | GvisorSettings):
        try:
            from executor.backends.docker.backend import DockerBackend  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise BackendUnavailable(
                f"the {settings.name} backend needs the package 'docker': "
                "pip install 'absolute-zero-executor[docker]'"
            ) from error
        return DockerBackend(limits, settings)
    try:
        from executor.backends.sandboxfusion.backend import SandboxFusionBackend  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise BackendUnavailable(
            f"the {settings.name} backend needs the package 'httpx': "
            "pip install 'absolute-zero-executor[client]'"
        ) from error
    return SandboxFusionBackend(limits, settings)


def backend_settings(
    backend: str | BackendSettings, libraries: str | None = None
) -> BackendSettings:
    """Settings of a backend, from its name or with a library set.

    Raises:
        UnknownBackend: no backend has that name.
        ConfigurationError: the backend has no library sets, or there is no such set.
    """
    settings = _settings(backend) if isinstance(backend, str) else backend
    if libraries is None:
        return settings
    if "libraries" not in type(settings).model_fields:
        raise ConfigurationError(f"the {settings.name} backend has no library sets")
    return settings.model_copy(update={"libraries": libraries})


def _settings(name: str) -> BackendSettings:
    if name not in SETTINGS:
        raise UnknownBackend(f"unknown backend {name!r}; the backends are: {', '.join(BACKENDS)}")
    return SETTINGS[name]()

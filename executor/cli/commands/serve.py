"""``executor serve``: the HTTP service."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Annotated

import typer
from pydantic import SecretStr

from executor.cli import make_executor
from executor.cli import options as opt
from executor.cli.failure import CommandError
from executor.cli.model_options import Field, takes
from executor.errors import ConfigurationError
from executor.models import Limits
from executor.service.settings import ServiceSettings
from executor.service.work.tenants import read_tenants

_TOKEN_VARIABLE = "EXECUTOR_TOKEN"
_SERVICE_PANEL = "Service"


class LogLevel(StrEnum):
    """Levels of the log."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        help="What callers must show; seen by others in the list of processes. "
        f"${_TOKEN_VARIABLE} and --token-file are not.",
        rich_help_panel=_SERVICE_PANEL,
        show_default=False,
    ),
]
TokenFile = Annotated[
    str | None,
    typer.Option("--token-file", help="File that holds the token.", rich_help_panel=_SERVICE_PANEL),
]
TenantsFile = Annotated[
    str | None,
    typer.Option(
        "--tenants",
        metavar="FILE",
        help="TOML file of callers that share the service: a table for each, with a token, a "
        "weight and quotas. Instead of a token.",
        rich_help_panel=_SERVICE_PANEL,
        envvar="EXECUTOR_TENANTS",
    ),
]
Level = Annotated[
    LogLevel,
    typer.Option("--log-level", help="How much is logged.", rich_help_panel=_SERVICE_PANEL),
]
Places = Annotated[
    int | None,
    typer.Option(
        "--workers",
        help="Warm sandboxes; two per core if not given.",
        rich_help_panel=_SERVICE_PANEL,
        min=1,
        metavar="N",
        envvar="EXECUTOR_WORKERS",
    ),
]

_SETTINGS = {
    _SERVICE_PANEL: (
        Field("host"),
        Field("port"),
        Field("allow_anonymous"),
        Field("exposed_host", envvar="EXECUTOR_EXPOSED_HOST"),
        Field("allowed_hosts", envvar="EXECUTOR_ALLOWED_HOSTS", option="allowed-host"),
        Field("open_metrics", envvar="EXECUTOR_OPEN_METRICS"),
        Field("waive", envvar="EXECUTOR_WAIVE"),
    ),
    "Load and time": tuple(
        Field(name)
        for name in (
            "queue", "batches", "requests", "max_body_mib", "max_line_mib", "max_bodies_mib",
            "unread_results_mib", "header_s", "body_s", "idle_s", "stall_s", "drain_s",
        )
    ),
}  # fmt: skip
"""Fields of :class:`executor.service.settings.ServiceSettings` by panel of the help."""


@takes("settings", ServiceSettings, _SETTINGS)
@opt.with_served_limits
def serve(
    *,
    token: Token = None,
    token_file: TokenFile = None,
    tenants: TenantsFile = None,
    log_level: Level = LogLevel.INFO,
    backend: opt.Backend = "nsjail",
    url: opt.FusionUrl = None,
    image: opt.Image = None,
    runtime: opt.Runtime = None,
    libraries: opt.Libraries = None,
    workers: Places = None,
    host_processes: opt.HostProcesses = None,
    store: opt.Store = None,
    store_key: opt.StoreKey = None,
    runs: opt.Runs = 2,
    settings: ServiceSettings,
    limits: Limits,
) -> int:
    """Serve the executor over HTTP, until SIGTERM or Ctrl-C.

    The limits are what each run may use, and the most that a call may ask for. A token is needed
    to listen on anything but a loopback address.

    **Example:** `executor serve --port 8080 --token-file token.txt`
    """
    options = make_executor.ExecutorOptions(
        backend=backend,
        workers=workers,
        limits=limits,
        host_processes=host_processes,
        store=store,
        store_key=store_key,
        runs=runs,
        url=url,
        image=image,
        runtime=runtime,
        libraries=libraries,
    )
    secret = _token(token, token_file)
    if tenants is not None and secret is not None:
        raise ConfigurationError("--tenants and a token are both given: each tenant has its own")
    shared = read_tenants(tenants) if tenants is not None else ()
    settings = settings.model_copy(update={"token": secret, "tenants": shared})
    return _serve(settings, options, log_level)


def _serve(
    settings: ServiceSettings, options: make_executor.ExecutorOptions, log_level: LogLevel
) -> int:
    try:
        from executor.service import logs  # noqa: PLC0415 - other commands do without the service
        from executor.service.serve import serve as run_server  # noqa: PLC0415
    except ImportError as error:
        raise CommandError(
            f"the service needs {error.name}: pip install 'absolute-zero-executor[service]'"
        ) from None
    logs.configure(log_level)
    return run_server(settings, lambda: make_executor.create_local_executor(options))


def _token(given: str | None, path: str | None) -> SecretStr | None:
    """The token, from wherever it is said; out of the environment of what we start.

    Raises:
        ConfigurationError: it is said twice, or empty, or the file cannot be read.
    """
    environment = os.environ.pop(_TOKEN_VARIABLE, None) or None
    if given is not None and path is not None:
        raise ConfigurationError("--token and --token-file are both given")
    token = given if given is not None else environment
    if path is not None:
        try:
            with open(path, encoding="utf-8") as file:
                token = file.read()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            raise ConfigurationError(f"cannot use {path}: {reason}") from None
    if token is None:
        return None
    token = token.strip()
    if not token:
        raise ConfigurationError("the token is empty")
    return SecretStr(token)

"""``executor serve``: the HTTP service."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Annotated, Any

import typer
from pydantic import SecretStr, ValidationError

from executor.cli import make_executor
from executor.cli import options as opt
from executor.cli.failure import CommandError
from executor.errors import ConfigurationError

_TOKEN_VARIABLE = "EXECUTOR_TOKEN"
_SERVICE_PANEL = "Service"
_LOAD_PANEL = "Load and time"


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _option(name: str, text: str, panel: str, **more: Any) -> Any:
    return typer.Option(name, help=text, rich_help_panel=panel, **more)


Host = Annotated[str, _option("--host", "Address to listen on.", _SERVICE_PANEL)]
Port = Annotated[int, _option("--port", "0: any free port.", _SERVICE_PANEL, min=0, max=65535)]
Token = Annotated[
    str | None,
    _option(
        "--token",
        f"What callers must show; seen by others in the list of processes. ${_TOKEN_VARIABLE} and "
        "--token-file are not.",
        _SERVICE_PANEL,
        show_default=False,
    ),
]
TokenFile = Annotated[
    str | None, _option("--token-file", "File that holds the token.", _SERVICE_PANEL)
]
AllowAnonymous = Annotated[
    bool,
    _option("--allow-anonymous", "Serve other machines without a token.", _SERVICE_PANEL),
]
ExposedHost = Annotated[
    str | None,
    _option(
        "--exposed-host",
        "Address the port is published on, if that differs (containers): decides whether a token "
        "is needed.",
        _SERVICE_PANEL,
        envvar="EXECUTOR_EXPOSED_HOST",
    ),
]
AllowedHost = Annotated[
    list[str] | None,
    _option(
        "--allowed-host",
        "Name by which callers reach a service without a token, if it is not a loopback one. "
        "Repeatable, or names with commas between them.",
        _SERVICE_PANEL,
        metavar="NAME",
        envvar="EXECUTOR_ALLOWED_HOSTS",
    ),
]
OpenMetrics = Annotated[
    bool,
    _option(
        "--open-metrics",
        "Serve /metrics without a token.",
        _SERVICE_PANEL,
        envvar="EXECUTOR_OPEN_METRICS",
    ),
]
Waive = Annotated[
    list[str] | None,
    _option(
        "--waive",
        "Serve although this probe of the sandbox fails; every result says so. Repeatable, or "
        "names with commas between them.",
        _SERVICE_PANEL,
        metavar="NAME",
        envvar="EXECUTOR_WAIVE",
    ),
]
Places = Annotated[
    int | None,
    _option(
        "--workers",
        "Warm sandboxes; two per core if not given.",
        _SERVICE_PANEL,
        min=1,
        metavar="N",
        envvar="EXECUTOR_WORKERS",
    ),
]
Level = Annotated[LogLevel, _option("--log-level", "How much is logged.", _SERVICE_PANEL)]
Queue = Annotated[
    int, _option("--queue", "Single calls that may wait; more get 429.", _LOAD_PANEL, min=1)
]
Batches = Annotated[int, _option("--batches", "Batches at a time.", _LOAD_PANEL, min=1)]
MaxBodyMib = Annotated[
    int, _option("--max-body-mib", "MiB of a request for one item.", _LOAD_PANEL, min=1)
]
MaxLineMib = Annotated[
    int, _option("--max-line-mib", "MiB of a line of a batch.", _LOAD_PANEL, min=1)
]
HeaderS = Annotated[float, _option("--header-s", "Seconds for a request's head.", _LOAD_PANEL)]
BodyS = Annotated[float, _option("--body-s", "Seconds for the body of one item.", _LOAD_PANEL)]
IdleS = Annotated[float, _option("--idle-s", "Seconds a batch may send nothing.", _LOAD_PANEL)]
StallS = Annotated[float, _option("--stall-s", "Seconds a client may read nothing.", _LOAD_PANEL)]
DrainS = Annotated[
    float, _option("--drain-s", "Seconds for running work to finish at the end.", _LOAD_PANEL)
]


def serve(
    *,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    token: Token = None,
    token_file: TokenFile = None,
    allow_anonymous: AllowAnonymous = False,
    exposed_host: ExposedHost = None,
    allowed_host: AllowedHost = None,
    open_metrics: OpenMetrics = False,
    waive: Waive = None,
    log_level: Level = LogLevel.INFO,
    backend: opt.Backend = "nsjail",
    url: opt.FusionUrl = None,
    image: opt.Image = None,
    runtime: opt.Runtime = None,
    workers: Places = None,
    runs: opt.Runs = 2,
    queue: Queue = 1024,
    batches: Batches = 32,
    max_body_mib: MaxBodyMib = 32,
    max_line_mib: MaxLineMib = 8,
    header_s: HeaderS = 20,
    body_s: BodyS = 60,
    idle_s: IdleS = 600,
    stall_s: StallS = 60,
    drain_s: DrainS = 30,
    wall_s: opt.ServedWallS = opt.DEFAULTS.wall_s,
    cpu_s: opt.ServedCpuS = opt.DEFAULTS.cpu_s,
    memory_mib: opt.MemoryMib = opt.DEFAULTS.memory_mib,
    output_kib: opt.OutputKib = opt.DEFAULTS.output_kib,
    processes: opt.Processes = opt.DEFAULTS.processes,
    files_mib: opt.FilesMib = opt.DEFAULTS.files_mib,
    row_texts: opt.RowTexts = opt.DEFAULTS.row_texts,
    row_s: opt.RowS = opt.DEFAULTS.row_s,
    row_mib: opt.RowMib = opt.DEFAULTS.row_mib,
) -> int:
    """Serve the executor over HTTP, until SIGTERM or Ctrl-C.

    The limits are what each run may use, and the most that a call may ask for. A token is needed
    to listen on anything but a loopback address.

    **Example:** `executor serve --port 8080 --token-file token.txt`
    """
    secret = _token(token, token_file)
    limits = opt.limits(
        wall_s=wall_s,
        cpu_s=cpu_s,
        memory_mib=memory_mib,
        output_kib=output_kib,
        processes=processes,
        files_mib=files_mib,
        row_texts=row_texts,
        row_s=row_s,
        row_mib=row_mib,
    )
    given = {
        "host": host,
        "port": port,
        "token": secret,
        "allow_anonymous": allow_anonymous,
        "exposed_host": exposed_host,
        "allowed_hosts": opt.names(allowed_host),
        "open_metrics": open_metrics,
        "waive": opt.names(waive),
        "queue": queue,
        "batches": batches,
        "max_body": max_body_mib << 20,
        "max_line": max_line_mib << 20,
        "header_s": header_s,
        "body_s": body_s,
        "idle_s": idle_s,
        "stall_s": stall_s,
        "drain_s": drain_s,
    }
    return _serve(
        given,
        make_executor.EngineOptions(
            backend=backend,
            workers=workers,
            limits=limits,
            runs=runs,
            url=url,
            image=image,
            runtime=runtime,
        ),
        log_level,
    )


def _serve(given: dict[str, Any], options: make_executor.EngineOptions, log_level: LogLevel) -> int:
    try:
        from executor.service import logs  # noqa: PLC0415 - other commands do without the service
        from executor.service.serve import serve as run_server  # noqa: PLC0415
        from executor.service.settings import ServiceSettings  # noqa: PLC0415
    except ImportError as error:
        raise CommandError(
            f"the service needs {error.name}: pip install 'absolute-zero-executor[service]'"
        ) from None
    try:
        settings = ServiceSettings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-")
        raise CommandError(f"{option} {first['msg'].removeprefix('Input ')}") from None
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

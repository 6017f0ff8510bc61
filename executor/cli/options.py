"""The options that commands share, and how they become limits and rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from executor.cli.failure import CommandError
from executor.cli.make_executor import ExecutorOptions
from executor.cli.model_options import Field, shares, takes
from executor.models import JUDGE_RULES, Limits, Rules

RULES = Rules()

_SCREENING_PANEL = "Screening of programs"
_BACKEND_PANEL = "Sandbox"


class Keyword(StrEnum):
    """Statements that can be banned."""

    RAISE = "raise"
    ASSERT = "assert"
    TRY = "try"


class Scoring(StrEnum):
    """Scoring of an induction answer."""

    BINARY = "binary"
    FRACTION = "fraction"
    ANY = "any"


Rows = Annotated[str, typer.Argument(metavar="FILE", help="JSON lines to read; - is stdin.")]
Out = Annotated[
    str | None,
    typer.Option("--out", "-o", metavar="FILE", help="Where results go; stdout if not given."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors on stderr.")]
_BACKENDS = (
    "nsjail, docker, gvisor, sandboxfusion, ray (nsjail on all nodes of a cluster), or process (no "
    "isolation: trusted code only)"
)
Backend = Annotated[
    str,
    typer.Option("--backend", metavar="NAME", help=f"{_BACKENDS}.", rich_help_panel=_BACKEND_PANEL),
]
Backends = Annotated[
    str,
    typer.Option(
        "--backend",
        metavar="NAME[,NAME]",
        help=f"{_BACKENDS}; http: a service of 'executor serve'. Several names: all do every row, "
        "the first one's results are written, and disagreement is reported (exit code 4).",
        rich_help_panel=_BACKEND_PANEL,
    ),
]
OneBackend = Annotated[
    str,
    typer.Option(
        "--backend",
        metavar="NAME",
        help=f"{_BACKENDS}; http: a service of 'executor serve'.",
        rich_help_panel=_BACKEND_PANEL,
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL[,URL]",
        help="Address for --backend http (token: $EXECUTOR_TOKEN), sandboxfusion (token: "
        "$SANDBOX_FUSION_TOKEN) or ray ($RAY_ADDRESS if not given). Several: for http.",
        rich_help_panel=_BACKEND_PANEL,
    ),
]
FusionUrl = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="Address for --backend sandboxfusion (token: $SANDBOX_FUSION_TOKEN) or ray "
        "($RAY_ADDRESS if not given).",
        rich_help_panel=_BACKEND_PANEL,
    ),
]
Image = Annotated[
    str | None,
    typer.Option(
        "--image",
        metavar="NAME",
        help="Guest image for --backend docker or gvisor; $EXECUTOR_GUEST_IMAGE if not given.",
        rich_help_panel=_BACKEND_PANEL,
    ),
]
Runtime = Annotated[
    str | None,
    typer.Option(
        "--runtime",
        metavar="NAME",
        help="OCI runtime for --backend docker or gvisor.",
        rich_help_panel=_BACKEND_PANEL,
    ),
]
Libraries = Annotated[
    str | None,
    typer.Option(
        "--libraries",
        metavar="SET",
        help="Library set that programs may import ('executor image list'); else the standard "
        "library only.",
        rich_help_panel=_BACKEND_PANEL,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, metavar="N", help="Warm sandboxes; two per core if not given."
    ),
]
Runs = Annotated[
    int, typer.Option("--runs", min=2, help="Fresh processes that must agree on every value.")
]
HostProcesses = Annotated[
    int | None,
    typer.Option(
        "--host-processes",
        min=1,
        metavar="N",
        help="Host processes that share cores and guests; one for every 4 cores if not given.",
        envvar="EXECUTOR_HOST_PROCESSES",
    ),
]
Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="PATH|redis://HOST",
        help="Where proven results are shared with other processes, machines and later runs.",
        envvar="EXECUTOR_STORE",
        show_envvar=True,
    ),
]
StoreKey = Annotated[
    str | None,
    typer.Option(
        "--store-key",
        metavar="FILE",
        help="File with the secret that the store's entries are signed with; PATH.key if not "
        "given, made at the first use. Redis needs one.",
        envvar="EXECUTOR_STORE_KEY_FILE",
        show_envvar=True,
    ),
]
ErrorTask = Annotated[
    bool,
    typer.Option(
        "--error-task",
        help="All rows are error deduction: the outcome is an exception's name, or NoError.",
    ),
]
DefaultScoring = Annotated[
    Scoring,
    typer.Option("--scoring", help="Induction: all hidden pairs, their share, or at least one."),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Also want equal types: 1 is not 1.0, nor True.")
]
BanModule = Annotated[
    list[str] | None,
    typer.Option(
        "--ban-module",
        metavar="NAME",
        help="Also refuse programs that use this module, or module.attribute. Repeatable.",
        rich_help_panel=_SCREENING_PANEL,
    ),
]
NoDefaultBans = Annotated[
    bool,
    typer.Option(
        "--no-default-bans",
        help="Drop the default list of banned modules.",
        rich_help_panel=_SCREENING_PANEL,
    ),
]
MinParameters = Annotated[
    int,
    typer.Option(
        "--min-parameters",
        min=0,
        help="Parameters that f must at least have.",
        rich_help_panel=_SCREENING_PANEL,
    ),
]
MaxSourceBytes = Annotated[
    int,
    typer.Option(
        "--max-source-bytes",
        min=1,
        metavar="N",
        help="Bytes that a program may have, its imports included.",
        rich_help_panel=_SCREENING_PANEL,
    ),
]
MaxDepth = Annotated[
    int,
    typer.Option(
        "--max-depth",
        min=1,
        max=200,
        metavar="N",
        help="Levels that a program may be nested.",
        rich_help_panel=_SCREENING_PANEL,
    ),
]
BanKeyword = Annotated[
    list[Keyword] | None,
    typer.Option(
        "--ban-keyword",
        help="Refuse programs with this statement. Repeatable.",
        rich_help_panel=_SCREENING_PANEL,
    ),
]


_ONE_RUN = ("wall_s", "cpu_s", "memory_mib", "output_kib")
_SCRIPT = ("processes", "files_mib")
_ROW = ("row_texts", "row_s", "row_mib")


def _limits(*names: str, **variables: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    fields = [Field(name, envvar=variables.get(name)) for name in names]
    return takes("limits", Limits, {"Limits of one run": fields})


with_row_limits = _limits(*_ONE_RUN, *_ROW)
"""Of commands for rows: options for limits, as the parameter ``limits``."""
with_script_limits = _limits(*_ONE_RUN, *_SCRIPT)
with_served_limits = _limits(
    *_ONE_RUN, *_SCRIPT, *_ROW, wall_s="EXECUTOR_WALL_S", cpu_s="EXECUTOR_CPU_S"
)


@dataclass(frozen=True, slots=True)
class RowOptions:
    """Options that ``verify`` and ``judge`` share."""

    file: Rows
    out: Out = None
    quiet: Quiet = False
    backend: Backends = "nsjail"
    url: Url = None
    image: Image = None
    runtime: Runtime = None
    libraries: Libraries = None
    workers: Workers = None
    host_processes: HostProcesses = None
    store: Store = None
    store_key: StoreKey = None
    ban_module: BanModule = None
    ban_keyword: BanKeyword = None
    max_source_bytes: MaxSourceBytes = RULES.max_source_bytes
    max_depth: MaxDepth = RULES.max_depth

    def rules(self, base: Rules) -> Rules:
        """The screening rules: some to begin with, the bounds, and what is banned in addition.

        Raises:
            CommandError: a banned module has no name of a module.
        """
        for name in self.ban_module or ():
            if not all(part.isidentifier() for part in name.split(".")):
                raise CommandError(f"--ban-module {name!r} is not the name of a module")
        return base.model_copy(
            update={
                "banned_modules": (*base.banned_modules, *(self.ban_module or ())),
                "banned_keywords": tuple(keyword.value for keyword in self.ban_keyword or ()),
                "max_source_bytes": self.max_source_bytes,
                "max_depth": self.max_depth,
            }
        )

    def executor(
        self,
        limits: Limits,
        *,
        rules: Rules = RULES,
        judge_rules: Rules = JUDGE_RULES,
        runs: int = 2,
    ) -> ExecutorOptions:
        """The options of the executor that does the rows."""
        return ExecutorOptions(
            backend=self.backend,
            url=self.url,
            image=self.image,
            runtime=self.runtime,
            libraries=self.libraries,
            workers=self.workers,
            host_processes=self.host_processes,
            store=self.store,
            store_key=self.store_key,
            limits=limits,
            rules=rules,
            judge_rules=judge_rules,
            runs=runs,
        )


with_row_options = shares("given", RowOptions)
"""Of commands for rows: what they are told alike, as the parameter ``given``."""

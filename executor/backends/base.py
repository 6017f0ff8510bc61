"""The isolation seam: what the pool needs of a sandbox. Every backend meets this and no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from executor.models import Limits, Script, ScriptResult

GuestKind = Literal["parser", "bare", "lib", "script"]
"""What a warm guest is for: parsing and compiling; running programs that import nothing; running
programs that import the common modules, which are preloaded; running scripts that need no more than
an interpreter."""

PROGRAM_KINDS: tuple[GuestKind, ...] = ("bare", "lib")
VERIFY_KINDS: frozenset[GuestKind] = frozenset({"parser", *PROGRAM_KINDS})
"""Guests that every backend can launch."""

HASH_SEEDS = (104_729, 1_299_709)
"""``PYTHONHASHSEED`` by variant. Fixed, so that a verdict can be had again."""

CLOCK_SHIFTS_S = (0, 40_217_371.375)
"""How far all clocks are ahead, by variant: 465 days, 11 hours, 29 minutes and
31 seconds and a part of one, so that date and time differ in every part."""

PID_SHIFTS = (0, 1_000_001)
"""Added to the process numbers that a program sees, by variant."""

PRELOAD = (
    "math", "re", "collections", "itertools", "functools", "operator", "string", "copy", "heapq",
    "bisect", "typing", "datetime", "executor.grammar.decode",
)  # fmt: skip
"""Modules that ``lib`` guests have in memory. None may keep random state: a fork would share it."""


SCRIPT_PRELOAD = (
    "math", "re", "collections", "collections.abc", "itertools", "functools", "operator", "string",
    "copy", "heapq", "bisect", "typing", "datetime", "json", "dataclasses", "enum", "types",
    "contextlib", "textwrap", "linecache", "warnings", "decimal", "numbers", "random",
)  # fmt: skip
"""Modules that ``script`` guests have in memory. None but ``random`` may keep random state."""


ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
}
"""Libraries for numbers start no threads of their own: sums come out in one order, and a fork would
leave the threads behind. Scripts may set others."""


@dataclass(frozen=True)
class Role:
    """One warm guest to start."""

    kind: GuestKind
    variant: int
    """0 or 1: guests of different variant differ in hash seed and clock."""
    number: int
    """Different for each guest that is started; part of its environment."""
    core: int | None = None
    """The processor core to stay on; ``None`` for any."""


GUEST_PROCESSES = 16
"""Processes and threads of a guest, its jailer's included."""

OVERHEAD_BYTES = 256 << 20
"""Room in a guest's memory group for the interpreter and for the pages that forks copy."""


LIBRARY_BYTES = 768 << 20
"""Room besides, where libraries are preloaded: for them, and for the copy of what its slots began
with that a guest keeps."""


def guest_environment(role: Role, core: str | None) -> dict[str, str]:
    """The environment of a guest; ``core``: path of the compiled core, inside."""
    environment = {"PYTHONHASHSEED": str(HASH_SEEDS[role.variant]), "LD_BIND_NOW": "1"}
    environment |= ONE_THREAD
    if core is not None and role.kind != "parser":
        environment |= {
            "LD_PRELOAD": core,
            "EXECUTOR_CLOCK_SHIFT_S": str(CLOCK_SHIFTS_S[role.variant]),
            "EXECUTOR_PID_SHIFT": str(PID_SHIFTS[role.variant]),
        }
    return environment


ProcessReuse = Literal["reset", "fork"]
"""What becomes of a run's process: it is put back to what it was and serves the next run, or it
ends and the next run has a new one."""


class Pace(NamedTuple):
    """Usual properties of a backend's guests."""

    slow_s: float = 0.1
    """A request that takes longer loses its followers to other guests."""
    patience_s: float = 0.0
    """Seconds beyond those of a local guest after which a silent one is taken for dead."""
    ahead_s: float = 0.006
    """About so much work is inside a guest's pipe, and one frame at least: it goes before a request
    that comes later and is to go first. Of short runs it is many, so that a guest need not wait.
    Infinite for guests that send all that they have together."""


WITH_LIBRARIES = Pace(slow_s=0.5, patience_s=3.0)
"""Of guests with libraries in memory: a first use of one takes long, and so does a new guest."""


class Guest(Protocol):
    """A running warm guest: frames go in by one descriptor and come out by the other."""

    @property
    def write_fd(self) -> int:
        """Non-blocking; the guest's descriptor 0."""

    @property
    def read_fd(self) -> int:
        """Non-blocking; the guest's descriptor 1. End of file means that the guest is gone."""

    def memory_kills(self) -> int:
        """Processes of this guest that the kernel has killed for memory, so far."""

    def kill(self) -> None:
        """Kill the guest and all below it, now. Does not wait."""

    async def close(self) -> None:
        """Kill if needed, wait for the end, release everything. Safe to call twice."""


class Backend(Protocol):
    """A way to isolate guests. All attributes are known once it is open; :class:`BaseBackend` has
    what is usual."""

    name: str
    isolated: bool
    warnings: tuple[str, ...]
    """Weaknesses on this host, for people."""
    interpreter: str
    """Implementation and version that programs run on."""
    kinds: frozenset[GuestKind]
    """Guests that it can launch. Without ``script`` all scripts go to :meth:`run_script`."""
    pace: Pace
    process_reuse: ProcessReuse

    @property
    def script_jails(self) -> Mapping[str, int]:
        """Warm sandboxes that it keeps for :meth:`run_script`, by state: ``idle``, ``busy``,
        ``starting``. Empty if it keeps none."""

    async def open(self) -> None:
        """Get ready. Raises :class:`executor.errors.BackendUnavailable`, saying what is missing."""

    async def launch(self, role: Role) -> Guest:
        """Start a warm guest and return when it is ready."""

    async def run_script(self, script: Script, limits: Limits) -> ScriptResult:
        """Run a general script in a fresh sandbox. Cancelling ends the sandbox."""

    async def close(self) -> None:
        """Release what :meth:`open` took. All guests have been closed before."""


class BaseBackend:
    """Defaults that suit most backends."""

    warnings: tuple[str, ...] = ()
    kinds = VERIFY_KINDS
    pace = Pace()
    process_reuse: ProcessReuse = "fork"

    @property
    def script_jails(self) -> Mapping[str, int]:
        """None is kept."""
        return {}

"""Programs for tests, and verdicts on them."""

from __future__ import annotations

from executor import Options, Rules, Status, SyncExecutor, Triplet, Verdict

OPEN_RULES = Rules(banned_modules=(), min_parameters=0)
"""Screening out of the way: what is tested is the sandbox."""

ENDLESS = "def f(x):\n    while True:\n        pass"

PATIENT_FLAGS = ("--cpu-s", "60", "--wall-s", "120")
"""Limits that an endless loop does not reach within a test, for a command."""


def triplet(program: str, *inputs: str, imports: tuple[str, ...] = ()) -> Triplet:
    return Triplet(program=program, inputs=inputs or ("0",), imports=imports)


def body(*lines: str) -> str:
    """A program whose ``f(x)`` has these lines."""
    return "def f(x):\n" + "\n".join(f"    {line}" for line in lines)


def verdict(
    sandbox: SyncExecutor, program: str, *inputs: str, wall_s: float | None = None
) -> Verdict:
    limits = sandbox.limits.model_copy(update={"wall_s": wall_s} if wall_s else {})
    return sandbox.validate(triplet(program, *inputs), options=Options(limits=limits))


def ending(sandbox: SyncExecutor, program: str, status: Status) -> Verdict:
    """The verdict on a program that ends badly; only what is to wait too long is told so soon."""
    return verdict(sandbox, program, wall_s=2 if status is Status.WALL_LIMIT else None)


def value(sandbox: SyncExecutor, program: str, *inputs: str) -> str:
    """The output of a program that must be valid."""
    result = verdict(sandbox, program, *inputs)
    assert result.status is Status.OK, result.detail
    assert result.outputs[0] is not None
    return result.outputs[0]

"""Scripts in warm guests: no program can tell them from a jail, and each limit has its status."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from script_samples import HINTED, JAILED, WARM

from executor import Limits, Script, ScriptResult, SyncExecutor

LIMITS = Limits(cpu_s=2, wall_s=8, memory_mib=256, output_kib=8192, processes=16)
STDIN = "erste ü\nzweite\n\nlast"
ARGUMENTS = ("a b", "", "é", "-c")


@pytest.fixture(scope="module")
def executor() -> Iterator[SyncExecutor]:
    with SyncExecutor(workers=2, limits=LIMITS) as opened:
        if "script" not in opened._executor.pool.backend.kinds:
            pytest.skip("no warm guests for scripts here (no C compiler at install)")
        yield opened


def warm(executor: SyncExecutor, script: Script, limits: Limits = LIMITS) -> ScriptResult | None:
    return executor._call(executor._executor._warm_scripts.run(script, limits))


def jailed(executor: SyncExecutor, script: Script, limits: Limits = LIMITS) -> ScriptResult:
    return executor._call(executor._executor._run_in_jail(script, limits))


def facts(result: ScriptResult) -> dict[str, object]:
    """All that is told, without what differs between any two runs: addresses and durations."""
    told = result.model_dump(exclude={"usage"})
    for name in ("stdout", "stderr"):
        told[name] = re.sub(rb"0x[0-9a-f]+|in \d+\.\d+s", b"...", told[name])
    return told


@pytest.mark.parametrize("what", WARM)
def test_a_warm_run_cannot_be_told_from_a_jail(executor: SyncExecutor, what: str) -> None:
    script = Script(source=WARM[what], stdin=STDIN, argv=ARGUMENTS)
    result = warm(executor, script)
    assert result is not None, "a warm guest could not run it"
    assert facts(result) == facts(jailed(executor, script))


@pytest.mark.parametrize("what", JAILED)
def test_what_a_warm_guest_denies_runs_in_a_jail(executor: SyncExecutor, what: str) -> None:
    script = Script(source=JAILED[what])
    assert warm(executor, script) is None
    assert facts(executor.run(script)) == facts(jailed(executor, script))


@pytest.mark.parametrize("what", HINTED)
def test_what_says_that_it_needs_a_jail_is_not_tried(executor: SyncExecutor, what: str) -> None:
    before = executor._executor._warm_scripts._number
    assert executor.run(Script(source=HINTED[what])).backend == "nsjail"
    assert executor._executor._warm_scripts._number == before


def test_a_script_that_needed_a_jail_is_remembered(executor: SyncExecutor) -> None:
    script = Script(source="import os\ngetattr(os, 'mkdir')('x')\nprint('once')")
    assert executor.run(script).stdout == b"once\n"
    before = executor._executor._warm_scripts._number
    assert executor.run(script).stdout == b"once\n"
    assert executor._executor._warm_scripts._number == before

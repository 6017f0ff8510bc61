"""The probes notice what is missing; what a backend promises holds in the real sandbox."""

from __future__ import annotations

import asyncio
import re
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from executor import Executor, Limits, Script, ScriptResult, Status, Triplet
from executor.backends.nsjail import backend as nsjail
from executor.backends.nsjail.backend import NsjailBackend
from executor.backends.seccomp.run_policy import RUN_POLICY
from executor.doctor import EXEMPTIONS, PROBES, Probe, ProbeResult, State, prove
from executor.doctor.base import LIMITS as PROBE_LIMITS
from executor.doctor.base import Step, fixed, says, script
from executor.doctor.canaries import Canaries, planted
from executor.doctor.promises import exemption
from tests.support import engines

LIMITS = Limits(wall_s=20, cpu_s=10)
SHARING = tuple(probe for probe in PROBES if probe.shares)


def named(*names: str) -> tuple[Probe, ...]:
    found = tuple(probe for probe in PROBES if probe.name in names)
    assert len(found) == len(names)
    return found


def states(results: Sequence[ProbeResult]) -> dict[str, State]:
    return {result.name: result.state for result in results}


def test_names_are_unique_and_every_exemption_is_of_a_probe() -> None:
    names = [probe.name for probe in PROBES]
    assert len(set(names)) == len(names)
    assert {name for entry in EXEMPTIONS for name in entry.probes} <= set(names)
    assert exemption("nsjail", "script-network") is None
    assert exemption("nsjail", "a-name-to-come") is None


def test_scripts_probes_run_scripts_and_no_others_do() -> None:
    canaries = Canaries(1, "socket", "file", "package", "host", "kernel")
    for probe in SHARING:
        (step,) = probe.steps(canaries)
        assert (type(step.item), step.limits) == (Script, PROBE_LIMITS), probe.name
    for probe in PROBES:
        kind = Script if probe.name.startswith("script") else Triplet
        assert all(isinstance(step.item, kind) for step in probe.steps(canaries)), probe.name


async def test_a_promise_that_is_too_strong_is_noticed() -> None:
    own_kernel = named("script-own-kernel")
    async with Executor("nsjail", limits=LIMITS, workers=1) as executor:
        (excused,) = await prove(executor, own_kernel)
        (held,) = await prove(executor, own_kernel, promises="gvisor")
    assert (excused.state, excused.happened) == (State.NOT_PROMISED, "ok: True")
    assert (held.state, held.expected) == (State.FAILS, "ok: False")
    assert held.advice == own_kernel[0].mend


async def test_missing_walls_fail_and_say_how_to_mend_them() -> None:
    probes = named("system-calls", "user", "script-read-only", "script-no-new-privileges", "output")
    async with Executor("process", limits=LIMITS, workers=1) as executor:
        excused = await prove(executor, probes)
        held = await prove(executor, probes, promises="nsjail")
    assert states(excused)["output"] is State.HOLDS
    assert not any(result.state is State.FAILS for result in excused)
    found = states(held)
    assert found.pop("output") is State.HOLDS
    assert found["script-no-new-privileges"] is State.FAILS
    assert all(result.advice for result in held if result.state is State.FAILS)


async def test_a_missing_system_call_filter_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_all = struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000)
    monkeypatch.setattr(nsjail, "compile_policy", lambda _: allow_all)
    probes = named("script", "script-system-calls", "script-sockets")
    async with Executor("nsjail", limits=LIMITS, workers=1) as executor:
        results = await prove(executor, probes)
    assert states(results) == {
        "script": State.HOLDS,
        "script-system-calls": State.FAILS,
        "script-sockets": State.FAILS,
    }


class Unlimited:
    """An executor whose sandbox is told limits a hundred times those that were asked for."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def __getattr__(self, name: str) -> object:
        return getattr(self._executor, name)

    async def run(self, script: Script, *, limits: Limits) -> object:
        raised = {"output_kib": 8192, "files_mib": 64, "processes": 64, "memory_mib": 1024}
        return await self._executor.run(script, limits=limits.model_copy(update=raised))


async def test_limits_that_are_not_kept_are_noticed() -> None:
    probes = named("script-memory", "script-processes", "script-output", "script-files", "memory")
    ceiling = Limits(
        wall_s=20, cpu_s=10, output_kib=8192, files_mib=64, processes=64, memory_mib=1024
    )
    async with Executor("nsjail", limits=ceiling, workers=2) as executor:
        results = await prove(Unlimited(executor), probes)  # type: ignore[arg-type]
    found = states(results)
    assert found.pop("memory") is State.HOLDS
    assert set(found.values()) == {State.FAILS}


async def test_too_little_time_is_no_proof_of_weakness() -> None:
    (sleeps,) = named("script-wall")

    def steps(canaries: Canaries) -> tuple[Step, ...]:
        return tuple(replace(step, expect=says("done")) for step in sleeps.steps(canaries))

    async with Executor("nsjail", limits=LIMITS, workers=1) as executor:
        (result,) = await prove(executor, (replace(sleeps, steps=steps),))
    assert result.state is State.UNKNOWN
    assert result.happened.startswith(Status.WALL_LIMIT)


async def test_a_promise_that_is_no_longer_kept_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policy = RUN_POLICY
    changed = policy.replace("#define AF_UNIX 1\n", "#define AF_UNIX 16\n")
    assert changed != policy
    monkeypatch.setattr(nsjail, "RUN_POLICY", changed)
    async with Executor("nsjail", limits=LIMITS, workers=1) as executor:
        (result,) = await prove(executor, named("script-sockets"))
    assert (result.state, result.happened) == (State.FAILS, "ok: ['netlink']")


class Counting:
    """An executor that counts the scripts that it is given."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.scripts = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._executor, name)

    async def run(self, script: Script, *, limits: Limits) -> object:
        self.scripts += 1
        return await self._executor.run(script, limits=limits)


@pytest.mark.parametrize("backend", ["nsjail", "process"])
async def test_probes_that_share_a_run_find_what_they_find_alone(backend: str) -> None:
    async with Executor(backend, limits=LIMITS, workers=1) as executor:
        counting = Counting(executor)
        shared = await prove(counting, SHARING, promises="nsjail")  # type: ignore[arg-type]
        assert counting.scripts == len({probe.shares for probe in SHARING})
        alone = [
            result
            for probe in SHARING
            for result in await prove(executor, (probe,), promises="nsjail")
        ]
    found_names = re.compile("executor-canaries-[a-z0-9_.-]+")
    assert found_names.sub("", str(shared)) == found_names.sub("", str(tuple(alone)))
    failing = [result for result in shared if result.state is State.FAILS]
    assert bool(failing) is (backend == "process")


KILLED = """
import asyncio, os, signal
from executor.doctor.canaries import planted
async def main():
    async with planted() as canaries:
        print(canaries.file, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


def test_the_file_of_a_killed_process_is_removed_by_the_next() -> None:
    left = subprocess.run(
        [sys.executable, "-c", KILLED], capture_output=True, text=True, timeout=60, check=False
    ).stdout.strip()
    assert Path(left).read_text() == "canaries"

    async def files() -> list[str]:
        # The second one must not take the first one's file for left behind.
        async with planted() as one, planted() as other:
            known = (left, one.file, other.file)
            return [file for file in known if Path(file).exists()]  # noqa: ASYNC240

    remaining = asyncio.run(files())
    assert len(remaining) == 2
    assert left not in remaining
    assert not any(Path(file).exists() for file in remaining)


async def test_what_is_not_promised_is_not_tried_together_either() -> None:
    async with Executor("process", limits=LIMITS, workers=1) as executor:
        counting = Counting(executor)
        results = await prove(counting, SHARING)  # type: ignore[arg-type]
    tried = {result.name for result in results if result.happened}
    assert tried == {"script-descriptors", "script-environment", "script-core-dumps",
                     "script-own-kernel"}  # fmt: skip
    assert counting.scripts == 1


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def short_of_time() -> AsyncIterator[Executor]:
    limits = LIMITS.model_copy(update={"wall_s": 4.0, "output_kib": 64})
    async with Executor("nsjail", limits=limits, workers=1) as executor:
        yield executor


@pytest.mark.parametrize(
    ("source", "state"),
    [
        ("1 / 0", State.FAILS),
        ("raise SystemExit", State.FAILS),
        ("import os; os._exit(0)", State.FAILS),
        ("import os; os.kill(os.getpid(), 9)", State.FAILS),
        ("import ctypes; ctypes.CDLL(None).unshare(0)", State.FAILS),
        ("import builtins; builtins.print = None", State.FAILS),
        ("print('x' * 99_999)", State.FAILS),
        ("import time; time.sleep(60)", State.UNKNOWN),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_script_that_ends_a_shared_run_spoils_no_other(
    source: str, state: State, short_of_time: Executor
) -> None:
    first, *others = (probe for probe in SHARING if probe.shares == SHARING[-1].shares)
    spoiler = replace(first, name="spoiler", steps=fixed(script(source, expect=says("well"))))
    spoiled, *results = await prove(short_of_time, (spoiler, *others))
    assert spoiled.state is state
    assert set(states(results).values()) <= {State.HOLDS, State.NOT_PROMISED}
    assert all(result.happened.startswith("ok") for result in results)


async def test_scripts_that_only_look_do_so_in_a_warm_guest_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where most scripts run that do no more. The other scripts that share a run need a jail."""
    jailed: list[Script] = []
    run_script = NsjailBackend.run_script

    async def noting(self: NsjailBackend, script: Script, limits: Limits) -> ScriptResult:
        jailed.append(script)
        return await run_script(self, script, limits)

    monkeypatch.setattr(NsjailBackend, "run_script", noting)
    async with Executor("nsjail", limits=LIMITS, workers=1) as executor:
        results = await prove(executor, SHARING)
    assert State.FAILS not in states(results).values()
    (together,) = jailed
    assert "unshare" in together.stdin


@pytest.mark.docker
async def test_what_docker_promises_holds() -> None:
    engines.require(engines.why_no_engine())
    async with Executor("docker", limits=LIMITS, workers=2) as executor:
        results = await prove(executor, PROBES)
    bad = [result for result in results if result.state in (State.FAILS, State.UNKNOWN)]
    assert bad == []

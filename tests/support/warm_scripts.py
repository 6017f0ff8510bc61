"""Scripts by each of their two ways: in a warm guest, and in a jail of their own."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from executor import Limits, Script, ScriptResult, SyncExecutor
from executor.wire.frames import Reply, decode_reply, encode_script, split_streams


class Attempt(NamedTuple):
    """What a warm guest says of a script, before anyone decides what to make of it."""

    reply: Reply
    signal: int
    stdout: bytes
    stderr: bytes


def warm(executor: SyncExecutor, script: Script, limits: Limits) -> ScriptResult | None:
    return executor._call(executor._executor._warm_scripts.run(script, limits))


def jailed(executor: SyncExecutor, script: Script, limits: Limits) -> ScriptResult:
    return executor._call(executor._executor._run_in_jail(script, limits))


def warm_tries(executor: SyncExecutor) -> int:
    """How many scripts have been given to warm guests so far."""
    return executor._executor._warm_scripts._number


def attempt(executor: SyncExecutor, source: str, limits: Limits) -> Attempt:
    """Run a script in a warm guest whatever its text says."""
    frame = encode_script(
        1,
        wall_ms=round(limits.wall_s * 1000),
        cpu_s=limits.cpu_s,
        memory_bytes=limits.memory_mib << 20,
        output_bytes=limits.output_kib << 10,
        source=source.encode(),
        stdin=b"",
        arguments=[],
    )
    pool = executor._executor.pool
    answer = executor._call(pool.request(frame, "script", limits.wall_s + 5))
    assert answer is not None, "no warm guest could answer"
    reply = decode_reply(answer.payload)
    streams = split_streams(reply.records, limits.output_kib << 10)
    return Attempt(reply, reply.wait_status & 0x7F, *streams)


def facts(result: ScriptResult) -> dict[str, Any]:
    """All that is told, without what differs between any two runs: addresses and durations."""
    told = result.model_dump(exclude={"usage"})
    for name in ("stdout", "stderr"):
        told[name] = re.sub(rb"0x[0-9a-f]+|in \d+\.\d+s", b"...", told[name])
    return told

"""Runs scripts in warm guests where that cannot be told from a jail of their own.

A warm guest denies what a fresh jail allows: writing files, processes, threads, sockets. A script
that tries dies of the attempt, which has had no effect outside its process, and is run again in a
jail. Such scripts are remembered, and those whose text says as much are not tried.
"""

from __future__ import annotations

import hashlib
import re
import signal
import time

from executor.errors import ProtocolError
from executor.lru import Lru
from executor.models import Limits, Script, ScriptResult, Status
from executor.pool.pool import Pool
from executor.pool.worker import RawReply
from executor.wire.frames import Outcome, Reply, decode_reply, encode_script, split_streams
from executor.wire.scripts import ScriptReply, check_arguments, script_result
from executor.wire.source_text import encode_source

MAX_SOURCE_BYTES = 256 * 1024
MAX_STDIN_BYTES = 64 * 1024
"""Bytes that a pipe holds."""

_REMEMBERED = 10_000
_REST_S = 30.0
"""Seconds without asking a warm guest after the pool gave up: perhaps none can be started."""
_GRACE_S = 2.0
_TRIAL_S, _TRIAL_SHARE = 1.0, 0.25
"""How long a script may run warm before it is run in a jail all the same: at least so many
seconds, or so much of its wall time."""
_LIMITS = {
    Outcome.WALL_LIMIT: Status.WALL_LIMIT,
    Outcome.CPU_LIMIT: Status.CPU_LIMIT,
    Outcome.OUTPUT_LIMIT: Status.OUTPUT_LIMIT,
}
_DOUBTFUL = frozenset({
    signal.SIGSYS, signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL,
})  # fmt: skip
_NEEDS_JAIL = re.compile(
    r"""
    \b(?: subprocess | multiprocessing | asyncio | socket | socketserver | tempfile | ctypes
        | sqlite3 | shelve | dbm | pty | fcntl | mmap | curses | shutil | concurrent | threading
        | _thread | aiohttp | requests | urllib\.request | http\.server )\b
    | \bos\s*\.\s*(?: system | popen | fork | exec[lv]\w* | spawn\w* | posix_spawn\w* | kill | abort
        | mkdir | makedirs | remove | unlink | rmdir | removedirs | rename | replace | symlink
        | link | chdir | chmod | pipe | truncate | utime | setsid | umask )\b
    | \bopen \s* \( [^()\n]* , \s* (?:mode \s* = \s*)? ['"] [rbt]* [wax+]
    | \. (?: write_text | write_bytes | touch | mkdir ) \s* \(
    """,
    re.VERBOSE,
)
"""Words of scripts that would most likely be denied. A wrong guess costs time, no more."""


class WarmScripts:
    """Scripts on the warm guests of a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._number = 0
        self._refused: Lru[bytes, None] = Lru(_REMEMBERED)
        self._rest_until = 0.0

    async def run(self, script: Script, limits: Limits) -> ScriptResult | None:
        """Run a script; ``None`` if it must be run in a jail: it may have run, without effect.

        Raises:
            InputError: an argument that cannot be passed.
        """
        source = encode_source(script.source, script.language)
        stdin = script.stdin.encode("utf-8", "surrogatepass")
        key = hashlib.blake2b(source, digest_size=16).digest()
        if (
            not _suits(script, source, stdin)
            or key in self._refused
            or time.monotonic() < self._rest_until
            or not self._pool.start_script_guests()
        ):
            return None
        check_arguments(script.argv)
        # What is denied after all is run again, with all of its time: so this may not take long.
        trial_s = min(limits.wall_s, max(_TRIAL_S, limits.wall_s * _TRIAL_SHARE))
        self._number = number = (self._number + 1) & 0xFFFFFFFF
        frame = encode_script(
            number,
            wall_ms=round(trial_s * 1000),
            cpu_s=limits.cpu_s,
            memory_bytes=limits.memory_mib << 20,
            output_bytes=limits.output_kib << 10,
            source=source,
            stdin=stdin,
            arguments=[argument.encode() for argument in script.argv],
        )
        answer = await self._pool.request(frame, "script", limits.wall_s + _GRACE_S)
        if answer is None:
            self._rest_until = time.monotonic() + _REST_S
            return None
        result = self._understand(answer, number, limits)
        if result is not None and result.status is Status.WALL_LIMIT and trial_s < limits.wall_s:
            result = None
        if result is None:
            self._refused.put(key, None)
        return result

    def _understand(self, answer: RawReply, number: int, limits: Limits) -> ScriptResult | None:
        try:
            reply = decode_reply(answer.payload)
            stdout, stderr = split_streams(reply.records, limits.output_kib << 10)
        except ProtocolError:
            return None
        if reply.number != number or not _ended_by_itself(reply):
            return None
        signalled = reply.wait_status & 0x7F
        return script_result(
            ScriptReply(
                exit_code=None if signalled else reply.wait_status >> 8 & 0xFF,
                signal=signalled or None,
                limit=_LIMITS.get(reply.outcome),
                failure=None,
                wall_us=reply.wall_us,
                cpu_us=reply.cpu_us,
                peak_kib=reply.peak_kib,
                stdout=stdout,
                stderr=stderr,
                files={},
                omitted={},
            ),
            limits,
            backend=self._pool.backend.name,
            interpreter=self._pool.backend.interpreter,
        )


def _suits(script: Script, source: bytes, stdin: bytes) -> bool:
    return (
        script.language == "python"
        and not script.files
        and not script.collect
        and len(source) <= MAX_SOURCE_BYTES
        and len(stdin) <= MAX_STDIN_BYTES
        and _NEEDS_JAIL.search(script.source) is None
    )


def _ended_by_itself(reply: Reply) -> bool:
    """Not by a denied call, a kill from outside (for memory, say) or a crash."""
    if reply.outcome in _LIMITS:
        return True
    return reply.outcome is Outcome.RESULT and reply.wait_status & 0x7F not in _DOUBTFUL

"""One warm guest that resets its process, spoken to frame by frame: so that a test sees in which
process a run was."""

from __future__ import annotations

import asyncio
import marshal
import os
from typing import Any, NamedTuple

import pytest

from executor import Limits
from executor.backends import nsjail
from executor.backends.base import Kind, Role
from executor.backends.settings import NsjailSettings
from executor.frames import (
    Call,
    How,
    Order,
    Outcome,
    Record,
    Reply,
    decode_reply,
    decode_result,
    encode_job,
)
from executor.frames import Kind as RecordKind

MODULES = (
    "atexit", "codecs", "contextvars", "decimal", "gc", "locale", "random", "resource", "select",
    "linecache", "signal", "socket", "threading", "warnings", "weakref", "mmap",
)  # fmt: skip
"""What programs here import, besides what a guest has in memory anyway."""

LIMITS = Limits(cpu_s=5, wall_s=20, memory_mib=256, output_kib=1024)


class Ran(NamedTuple):
    """What came of a run."""

    pid: int
    outcome: Outcome
    record: Record | None
    reply: Reply

    @property
    def value(self) -> Any:
        """The value: of a program of the tests, so that it may be read by marshal."""
        assert self.record is not None, self.outcome
        assert self.record.kind is RecordKind.VALUE, self.record
        return self.record.payload


class SlotGuest:
    """A guest with slots, each reset of which is checked byte for byte; or as ``options`` say."""

    def __init__(self, *options: str, kind: Kind = "lib", colour: int = 0) -> None:
        self._loop = asyncio.new_event_loop()
        self._backend = nsjail.NsjailBackend(LIMITS, NsjailSettings(process_reuse="reset"))
        self._loop.run_until_complete(self._backend.open())
        self._backend._slot_options = lambda _: [*nsjail._SLOTS, *options]  # type: ignore[method-assign]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(nsjail, "PRELOAD", (*nsjail.PRELOAD, *MODULES))
            role = Role(kind, colour, 1)
            self.guest = self._loop.run_until_complete(self._backend.launch(role))
        os.set_blocking(self.guest.read_fd, True)
        os.set_blocking(self.guest.write_fd, True)
        self._number = 0

    def run(self, source: str, *arguments: object, limits: Limits = LIMITS) -> Ran:
        """Run the program's ``f``. Fails if the guest ends, as it does if a reset left a trace."""
        self._number += 1
        call = Call(How.VALUES, marshal.dumps((arguments, {}), 2))
        frame = encode_job(
            self._number,
            wall_ms=round(limits.wall_s * 1000),
            cpu_s=limits.cpu_s,
            memory_bytes=limits.memory_mib << 20,
            output_bytes=limits.output_kib << 10,
            fresh_namespace=False,
            order=Order.NATURAL,
            code=marshal.dumps(compile(source, "<program>", "exec")),
            calls=[call],
        )
        while frame:
            frame = frame[os.write(self.guest.write_fd, frame) :]
        reply = decode_reply(self._read(int.from_bytes(self._read(4), "little")))
        result = decode_result(reply.records, 1) if reply.outcome is Outcome.RESULT else None
        return Ran(reply.pid, reply.outcome, result.records[0] if result else None, reply)

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = os.read(self.guest.read_fd, size - len(data))
            assert chunk, f"the guest ended: {self.guest.errors()}"
            data += chunk
        return data

    def log(self) -> str:
        """All that the guest has written about itself."""
        with open(os.dup(self.guest._errors_fd), "rb") as log:
            log.seek(0)
            return log.read().decode()

    def finish(self) -> str:
        """End the guest; its log."""
        self.guest._process.stdin.close()  # type: ignore[union-attr]
        self.guest._process.wait(10)
        return self.log()

    def close(self) -> None:
        """End the guest and release everything."""
        self._loop.run_until_complete(self.guest.close())
        self._loop.run_until_complete(self._backend.close())
        self._loop.close()

"""One warm guest of nsjail, spoken to frame by frame: what each run was, and in which process."""

from __future__ import annotations

import asyncio
import marshal
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import psutil

from executor import Limits
from executor.backends.base import GuestKind, Role
from executor.backends.nsjail import backend as nsjail
from executor.backends.settings import NsjailSettings
from executor.wire.frames import (
    Call,
    How,
    Order,
    Outcome,
    Record,
    RecordKind,
    Reply,
    decode_reply,
    decode_result,
    encode_jobs,
)

LIMITS = Limits(cpu_s=5, wall_s=20, memory_mib=256, output_kib=1024)


class Ran(NamedTuple):
    """What came of a run."""

    reply: Reply
    record: Record | None

    @property
    def pid(self) -> int:
        """The process's number in the jail."""
        return self.reply.pid

    @property
    def outcome(self) -> Outcome:
        """How it ended."""
        return self.reply.outcome

    @property
    def value(self) -> bytes:
        """The encoded value. Fails if there is none."""
        assert self.record is not None, self.outcome
        assert self.record.kind is RecordKind.VALUE, self.record
        return self.record.payload


def compiled(source: str) -> bytes:
    """The code of a program that is trusted to be compiled here."""
    return marshal.dumps(compile(source, "<program>", "exec"))


def call_of(*arguments: Any) -> Call:
    """A call of the program's ``f``."""
    return Call(How.VALUES, marshal.dumps((arguments, {}), 2))


class OneGuest:
    """A warm guest. ``options`` are more of the zygote's; ``preload`` more modules of its."""

    def __init__(
        self,
        reuse: Literal["reset", "fork"],
        options: Sequence[str] = (),
        *,
        kind: GuestKind = "lib",
        variant: int = 0,
        preload: Sequence[str] = (),
    ) -> None:
        self._loop = asyncio.new_event_loop()
        self._backend = nsjail.NsjailBackend(LIMITS, NsjailSettings(process_reuse=reuse))
        self._loop.run_until_complete(self._backend.open())
        self._backend.options = (*options,)
        self._backend.preload += (*preload,)
        role = Role(kind, variant, 1)
        self.guest = self._loop.run_until_complete(self._backend.launch(role))
        os.set_blocking(self.guest.read_fd, True)
        os.set_blocking(self.guest.write_fd, True)
        self._number = 0

    def run(self, source: str, *arguments: object, limits: Limits = LIMITS) -> Ran:
        """Run the program's ``f``. Fails if the guest ends, as it does if a reset left a trace."""
        return self.run_compiled(compiled(source), call_of(*arguments), limits)

    def run_compiled(self, code: bytes, call: Call, limits: Limits = LIMITS) -> Ran:
        """:meth:`run`, prepared."""
        self._number += 1
        (frame,) = encode_jobs(
            self._number,
            wall_ms=round(limits.wall_s * 1000),
            cpu_s=limits.cpu_s,
            memory_bytes=limits.memory_mib << 20,
            output_bytes=limits.output_kib << 10,
            order=Order.NATURAL,
            code=code,
            calls=[call],
        )
        while frame:
            frame = frame[os.write(self.guest.write_fd, frame) :]
        reply = decode_reply(self._read(int.from_bytes(self._read(4), "little")))
        result = decode_result(reply.records) if reply.outcome is Outcome.RESULT else None
        return Ran(reply, result.record if result else None)

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = os.read(self.guest.read_fd, size - len(data))
            assert chunk, f"the guest ended: {self.guest.errors()}"
            data += chunk
        return data

    def zygote(self) -> psutil.Process:
        """The guest's first process."""
        below = psutil.Process(self.guest.pid).children()
        assert len(below) == 1, below
        return below[0]

    def cpu_ns(self) -> int:
        """What the zygote alone has used."""
        return int(Path(f"/proc/{self.zygote().pid}/schedstat").read_text().split()[0])

    def finish(self) -> dict[str, int]:
        """End the guest; what its slots have cost, if the option ``costs=1`` was given."""
        process = self.guest._process
        assert process.stdin is not None
        process.stdin.close()
        process.wait(10)
        with open(os.dup(self.guest._errors_fd), "rb") as log:
            log.seek(0)
            lines = [line.split() for line in log.read().decode().splitlines()]
        return {line[1]: int(line[2]) for line in lines if line[:1] == ["costs"]}

    def close(self) -> None:
        """End the guest and release everything."""
        self._loop.run_until_complete(self.guest.close())
        self._loop.run_until_complete(self._backend.close())
        self._loop.close()

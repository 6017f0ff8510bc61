"""Layouts and numbers that host and warm guests share: declared here, once.

The compiled core declares its own (``guest/core/core.h``, ``refusals.c``), and a test compares.
Layouts are formats of :mod:`struct`, all little-endian. Guests import this module: no other import,
no class, nothing that costs memory.
"""

from __future__ import annotations

READY = b"ready\n"
"""A guest's first bytes, unframed, when it is warm and locked down."""

JOB = "<IIIQIB"
"""Head of a job or a script: number, wall clock in ms, CPU in s, memory in bytes (0: no limit),
output in bytes, flags."""
SCRIPT = "<II"
"""After the head of a script: bytes of its source, bytes of its standard input."""
REPORT = "<IBiIQQQI"
"""Head of a reply: the job's number, how its child ended (below), its wait status, pid, CPU and
wall clock in us, peak memory in KiB, processes that it had left behind."""
RESULT_HEAD = "<8sI"
"""Head of a child's message: its nonce and the number of bytes that follow."""
REFUSED = "<HI"
"""A system call that was refused: its number, and the program's line (0: unknown)."""

RESULT, WALL_LIMIT, OUTPUT_LIMIT, NO_RESULT, FORGED, CLOSED, SPAWN_FAILED, CPU_LIMIT = range(8)
"""How a child ended. RESULT: of a script: it ended. NO_RESULT: it ended without one. CLOSED: it
closed its pipe and went on running. CPU_LIMIT: of scripts only, those of others end by a signal."""

VALUES, ENCODED, EXPRESSION, NAMED = range(4)
"""What the data of a call are: the marshalled ``(args, kwargs)``; the same in the value grammar,
for values that marshal does not know; marshalled code to evaluate in the program's namespace; one
of the first two, and the name of what is called with it."""

VALUE, ERROR, UNSERIALIZABLE, TOO_LARGE, NO_MEMORY, LOAD_ERROR, OBJECT = range(7)
"""What a record says about a call. OBJECT: unserializable, an instance of a class of the
program."""

NATURAL, ROTATED, REVERSED, SHUFFLED = range(4)
"""Ways to show a run what may differ between processes (see ``guest/core/notes.c``)."""
ORDER_SHIFT = 1
"""Place of these two bits in a job's flags."""

HASH_ORDER, ENTROPY, CLOCK, TAMPERING, IDENTITY, REFUSAL, END_OF_RUN = (1 << n for n in range(7))
"""Bits of a result's first byte: sources of nondeterminism that the calls used (IDENTITY: a hash,
an address or a number of the process); whether names that checkers rest on were changed; whether
a call was refused; whether the run ended with that."""
ALL_SOURCES = HASH_ORDER | ENTROPY | CLOCK | IDENTITY

SLACK = 1 << 16
"""Bytes that records and messages may add to the values."""

OVERFLOW = "executor.frames"
"""Of a pack: the file, in the working directory, for a line too long for standard output."""
END = -1
"""Of a pack: the number of its last line."""
MAC_BYTES = 16
"""Of a pack: length of the hash that authenticates a line."""

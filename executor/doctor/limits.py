"""Probes of the limits: each is exceeded by a program, and by a script."""

from __future__ import annotations

from executor.doctor.base import LIMITS, Probe, ends, fixed, program, says, script
from executor.models import Limits, Status

_SHORT = Limits(**{**LIMITS.model_dump(), "wall_s": 0.5})
_LITTLE = Limits(**{**LIMITS.model_dump(), "cpu_s": 1})
_GROUPS = (
    "the backend needs control groups: run as root, or delegate a group to this user; without "
    "them every process is limited, but not their sum (docs/backends.md)"
)
_HARNESS = "this is the harness's own doing, on every host: please report it (SECURITY.md)"

_CHILDREN = """\
import os, time
for _ in range(6):
    if os.fork() == 0:
        held = bytearray(b'x' * (60 << 20))
        time.sleep(5)
        os._exit(0)
while True:
    pid, status = os.wait()
    if status:
        os.kill(os.getpid(), 9)
"""
"""Six children of 60 MiB each; none is above 128 MiB alone."""

_FORKS = """\
import os, time
for _ in range(24):
    if os.fork() == 0:
        time.sleep(5)
        os._exit(0)
"""

_THREADS = """\
import threading, time
for _ in range(24):
    threading.Thread(target=time.sleep, args=(2,), daemon=True).start()
"""

_LONG_FILE = """\
import errno, os
handle = os.open('long', os.O_CREAT | os.O_WRONLY)
try:
    os.ftruncate(handle, 1 << 40)
    print('a file of', os.fstat(handle).st_size, 'bytes')
except OSError as error:
    print(errno.errorcode[error.errno])
finally:
    os.unlink('long')
"""

_MANY_BYTES = """\
import errno, os
names = [f'part-{number}' for number in range(16)]
try:
    for name in names:
        open(name, 'wb').write(bytes(1 << 20))
    print('16 MiB of files')
except OSError as error:
    print(errno.errorcode[error.errno])
finally:
    for name in os.listdir('.'):
        if name.startswith('part-'):
            os.unlink(name)
"""

_MANY_FILES = """\
import errno, os
os.mkdir('many')
try:
    for number in range(20_000):
        os.close(os.open(f'many/{number}', os.O_CREAT | os.O_WRONLY))
    print('20000 files')
except OSError as error:
    print(errno.errorcode[error.errno])
finally:
    for name in os.listdir('many'):
        os.unlink(f'many/{name}')
    os.rmdir('many')
"""

_MANY_DESCRIPTORS = """\
import errno, os
held = []
try:
    while len(held) < 2_000:
        held.append(os.open('/dev/null', os.O_RDONLY))
    print(len(held), 'descriptors')
except OSError as error:
    print(errno.errorcode[error.errno])
"""

_WORKS = "open('a', 'w').write('a'); print(open('a').read())"

PROBES = (
    Probe(
        "program",
        "an honest program",
        fixed(program("return x + 1", expect=says("2"))),
        "no program can be run: the detail of what happened says why",
    ),
    Probe(
        "cpu",
        "a loop of 4 s of processor time, where 1 s is allowed",
        fixed(
            program(
                "import time",
                "while time.process_time() < 4: pass",
                expect=ends(Status.CPU_LIMIT),
                limits=_LITTLE,
            )
        ),
        _HARNESS,
        slow=True,
    ),
    Probe(
        "wall",
        "to sleep for 3 s, where half a second is allowed",
        fixed(
            program("import time", "time.sleep(3)", expect=ends(Status.WALL_LIMIT), limits=_SHORT)
        ),
        _HARNESS,
    ),
    Probe(
        "memory",
        "512 MiB, where 128 MiB are allowed: bit by bit, and at once",
        fixed(
            program(
                "held = []",
                "for _ in range(512): held.append(b'x' * (1 << 20))",
                "return len(held)",
                expect=ends(Status.MEMORY_LIMIT),
            ),
            program("return len(bytearray(1 << 29))", expect=ends(Status.MEMORY_LIMIT)),
        ),
        _HARNESS,
    ),
    Probe(
        "output",
        "to return 1 MiB where 64 KiB are allowed",
        fixed(program("return 'x' * (1 << 20)", expect=ends(Status.OUTPUT_LIMIT))),
        _HARNESS,
    ),
    Probe(
        "script",
        "an honest script that writes a file and reads it",
        fixed(script(_WORKS, expect=says("a"))),
        "no script can be run: the detail of what happened says why",
    ),
    Probe(
        "script-cpu",
        "a loop of 4 s of processor time, where 1 s is allowed",
        fixed(
            script(
                "import time\nwhile time.process_time() < 4: pass",
                expect=ends(Status.CPU_LIMIT),
                limits=_LITTLE,
            )
        ),
        _HARNESS,
        slow=True,
    ),
    Probe(
        "script-wall",
        "to sleep for 3 s, where half a second is allowed",
        fixed(script("import time; time.sleep(3)", expect=ends(Status.WALL_LIMIT), limits=_SHORT)),
        _HARNESS,
    ),
    Probe(
        "script-memory",
        "512 MiB bit by bit in one process, where 128 MiB are allowed",
        fixed(
            script(
                "held = []\nfor _ in range(512): held.append(b'x' * (1 << 20))",
                expect=ends(Status.MEMORY_LIMIT),
            )
        ),
        _HARNESS,
    ),
    Probe(
        "script-memory-sum",
        "six children with 60 MiB each, where 128 MiB are allowed",
        fixed(script(_CHILDREN, expect=ends(Status.MEMORY_LIMIT))),
        _GROUPS,
        slow=True,
    ),
    Probe(
        "script-processes",
        "24 child processes, and 24 threads, where 16 are allowed",
        fixed(
            script(_FORKS, expect=ends(Status.PROCESS_LIMIT)),
            script(_THREADS, expect=ends(Status.PROCESS_LIMIT)),
        ),
        _GROUPS,
    ),
    Probe(
        "script-output",
        "to print 2 MB, where 64 KiB are allowed",
        fixed(script("for _ in range(2_000): print('x' * 999)", expect=ends(Status.OUTPUT_LIMIT))),
        _HARNESS,
    ),
    Probe(
        "script-file-size",
        "one file of 1 TiB",
        fixed(script(_LONG_FILE, expect=says("EFBIG"))),
        _HARNESS,
    ),
    Probe(
        "script-files",
        "16 MiB of files, where 8 MiB are allowed",
        fixed(script(_MANY_BYTES, expect=says("ENOSPC"))),
        "the backend must give scripts a file system in memory (tmpfs) with a size",
    ),
    Probe(
        "script-inodes",
        "20,000 files without content",
        fixed(script(_MANY_FILES, expect=says("ENOSPC"))),
        "the backend must give scripts a file system in memory (tmpfs) with a number of inodes",
    ),
    Probe(
        "script-open-files",
        "2,000 descriptors",
        fixed(script(_MANY_DESCRIPTORS, expect=says("EMFILE"))),
        _HARNESS,
    ),
)
"""Each takes two seconds at most where the machine is not busy."""

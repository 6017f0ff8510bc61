"""Category A: using up what the machine has."""

from __future__ import annotations

from security_cases import Case, prints, script, verify

from executor import Status

CASES: tuple[Case, ...] = (
    verify("A", 1, "endless-loop", "Never ends.", """
        def f(x):
            while True:
                pass
        """, Status.CPU_LIMIT),
    script("A", 7, "fork-bomb", "Forks without end.", """
        import os
        while True:
            os.fork()
        """, Status.PROCESS_LIMIT, Status.CPU_LIMIT),
    script("A", 13, "full-file-system", "Fills the writable file system.", """
        try:
            with open("big", "wb") as file:
                while True:
                    file.write(bytes(1 << 20))
        except OSError as error:
            print(error.errno)
        """, Status.OK, check=prints("28")),
)  # fmt: skip

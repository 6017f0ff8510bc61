"""Category E: the surface that the kernel shows."""

# ruff: noqa: E501 - the sentences of the table

from __future__ import annotations

from functools import partial

from executor import ScriptResult, Status
from tests.security.cases.base import Case, explain, outputs, prints, script, verify

v = partial(verify, "E")
s = partial(script, "E")

_RAW = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments))
    return result if result >= 0 else -ctypes.get_errno()
def tell(result):
    print("refused" if result < 0 else f"allowed: {result}")
"""
_OK = frozenset({Status.OK})


def _refused_if_it_went_on(result: ScriptResult) -> None:
    if result.status is Status.OK:
        assert result.stdout == b"refused\n", explain(result)


def raw(
    number: int, name: str, why: str, call: str, *, docker: bool = False, gvisor: bool = False
) -> Case:
    """A script that makes one system call. nsjail kills it; ``docker``: there it gets an error.

    gVisor's own kernel answers with an error or (``gvisor``) serves it by itself.
    """
    on = {"gvisor": _OK} | ({"docker": _OK} if docker else {})
    return s(
        number,
        name,
        why,
        f"tell(call({call}))",
        Status.FORBIDDEN,
        prelude=_RAW,
        expected_on=on,
        check=_refused_if_it_went_on,
        check_on={"gvisor": None} if gvisor else {},
    )


CASES: tuple[Case, ...] = (
    raw(84, "ptrace", "Traces the process that started it.", "101, 16, os.getppid(), 0, 0"),
    raw(84, "trace-me", "Asks to be traced.", "101, 0, 0, 0, 0", gvisor=True),
    raw(85, "read-foreign-memory", "Reads another process's memory.", "310, os.getppid(), 0, 0, 0, 0, 0", gvisor=True),
    raw(85, "write-foreign-memory", "Writes another process's memory.", "311, os.getppid(), 0, 0, 0, 0, 0", gvisor=True),
    s(86, "memory-files", "Opens the memory of processes as files.", """
        import os
        opened = []
        for name in ("1", str(os.getppid()), "self"):
            try:
                opened.append(os.open(f"/proc/{name}/mem", os.O_RDWR) and name)
            except OSError:
                pass
        print(opened)
        """, Status.OK, check_on={"nsjail": prints("[]"), "docker": prints("['self']"), "gvisor": prints("[]")}),
    raw(87, "io-uring", "Makes a ring that does system calls past the filter.", "425, 8, 0"),
    raw(88, "userfaultfd", "Handles its own page faults, to stop the kernel half-way.", "323, 1"),
    raw(89, "bpf", "Loads a program into the kernel.", "321, 5, 0, 0"),
    raw(90, "perf-events", "Reads the processor's counters.", "298, 0, 0, -1, -1, 0"),
    raw(91, "user-namespace", "Becomes root in a namespace of its own.", "272, 0x10000000", gvisor=True),
    raw(91, "mount-namespace", "Takes a copy of all mounts.", "272, 0x00020000", gvisor=True),
    raw(98, "fork-into-a-namespace", "Forks a child into namespaces of its own.", "56, 0x10000000 | 17, 0, 0, 0, 0", gvisor=True),
    s(98, "clone3", "Forks by the call whose flags a filter cannot see.", "print(call(435, 0, 0))", Status.OK, prelude=_RAW,
      check=prints("-38"), check_on={"gvisor": None}),
    raw(92, "add-key", "Puts a key where the next run may find it.", "248, 0, 0, 0, 0, -3"),
    raw(92, "keyctl", "Joins another session's keys.", "250, 1, 0"),
    raw(92, "request-key", "Asks the host to make a key.", "249, 0, 0, 0, -3"),
    raw(93, "setns", "Enters another namespace.", "308, 0, 0"),
    raw(94, "open-by-handle", "Opens a file of the host by its number.", "304, -100, 0, 0"),
    raw(94, "name-to-handle", "Finds the numbers of files.", "303, -100, 0, 0, 0, 0"),
    raw(95, "load-module", "Loads a module into the kernel.", "313, 0, 0, 0"),
    raw(95, "remove-module", "Removes a module from the kernel.", "176, 0, 0"),
    raw(95, "new-kernel", "Loads another kernel.", "246, 0, 0, 0, 0"),
    raw(96, "personality", "Turns the randomization of addresses off.", "135, 0x0040000", gvisor=True),
    s(96, "calls-of-32-bits", "Makes a system call the old way, by numbers that mean others.", """
        import ctypes, mmap
        code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        code.write(bytes.fromhex("53b814000000cd805bc3"))  # push rbx; mov eax, 20; int 0x80; pop rbx; ret
        address = ctypes.addressof(ctypes.c_char.from_buffer(code))
        print("allowed" if ctypes.CFUNCTYPE(ctypes.c_int)(address)() > 0 else "refused")
        """, Status.FORBIDDEN, Status.CRASHED, expected_on={
            "gvisor": frozenset({Status.FORBIDDEN, Status.CRASHED, Status.OK})}),
    s(97, "x32-calls", "Makes a system call by its number in another interface.", "print(call(0x40000000 | 39))",
      Status.FORBIDDEN, prelude=_RAW, expected_on={"gvisor": _OK, "docker": frozenset({Status.FORBIDDEN, Status.OK})},
      check_on={"gvisor": prints("-38"), "docker": None}),
    raw(99, "steal-a-descriptor", "Takes a descriptor from another process.", "438, 0, 0, 0"),
    s(100, "typing-for-the-terminal", "Types into the terminal of whoever started the sandbox.", """
        import fcntl
        outcomes = set()
        for number in range(3):
            try:
                fcntl.ioctl(number, 0x5412, b"x")
                outcomes.add("typed")
            except OSError:
                outcomes.add("refused")
        print(*outcomes)
        """, Status.OK, check=prints("refused")),
    s(102, "inherited-descriptors", "Looks for descriptors that were left open for it.", """
        import os, stat
        found = []
        for number in range(1024):
            try:
                found.append((number, stat.S_ISFIFO(os.fstat(number).st_mode)))
            except OSError:
                pass
        print(found)
        """, Status.OK, check=prints("[(0, True), (1, True), (2, True)]")),
    v(102, "descriptors-of-a-run", "A pure function looks for descriptors that were left open.", """
        import os
        def f(x):
            found = []
            for number in range(1024):
                try:
                    os.fstat(number)
                    found.append(number)
                except OSError:
                    pass
            return len(found)
        """, Status.OK, check=outputs("4")),
    s(103, "overwritten-interpreter", "Overwrites the program that runs it.", """
        import os, sys
        written = []
        for path in ("/proc/self/exe", "/proc/1/exe", sys.executable, os.path.realpath(sys.executable)):
            try:
                os.write(os.open(path, os.O_RDWR), b"x")
                written.append(path)
            except OSError:
                pass
        print(written)
        """, Status.OK, check=prints("[]")),
    s(104, "written-page-cache", "Writes to pages of a file that it may only read, by way of a pipe.", """
        opened = os.open(os.__file__, os.O_RDONLY)
        before = os.pread(opened, 64, 0)
        reader, writer = os.pipe()
        moved = call(275, opened, 0, writer, 0, 1, 0)
        if moved > 0:
            os.write(writer, b"planted")
        print(os.pread(opened, 64, 0) == before)
        """, Status.OK, prelude=_RAW, check=prints("True")),
    s(104, "private-mapping", "Writes to a private copy of the interpreter's pages.", """
        import mmap, os
        opened = os.open(os.__file__, os.O_RDONLY)
        copy = mmap.mmap(opened, 0, access=mmap.ACCESS_COPY)
        copy[:7] = b"planted"
        try:
            mmap.mmap(opened, 0, access=mmap.ACCESS_WRITE)
            print("writable")
        except OSError:
            print(os.pread(opened, 7, 0) != b"planted")
        """, Status.OK, check=prints("True")),
    raw(0, "mount", "Mounts a file system.", "165, 0, 0, 0, 0, 0"),
    raw(0, "unmount", "Takes a mount away, to see what lies under it.", "166, 0, 0"),
    raw(0, "pivot-root", "Swaps its root.", "155, 0, 0"),
    raw(0, "new-mount-calls", "Mounts by the new calls.", "430, 0, 0"),
    raw(0, "open-tree", "Copies a tree of mounts.", "428, -100, 0, 1"),
    raw(0, "mount-settings", "Makes a read-only mount writable.", "442, -100, 0, 0, 0, 0"),
    raw(0, "ports", "Reads and writes the machine's ports.", "172, 3"),
    raw(0, "kernel-log", "Reads the kernel's log.", "103, 3, 0, 0", gvisor=True),
    raw(0, "host-name", "Renames the machine.", "170, 0, 0", gvisor=True),
    raw(0, "clock", "Sets the machine's clock.", "227, 99, 0"),
    raw(0, "clock-of-old", "Sets the machine's clock the old way.", "164, 0, 0", gvisor=True),
    raw(0, "swap", "Turns swapping off.", "168, 0"),
    raw(0, "process-accounting", "Has the kernel write a file about all processes.", "163, 1"),
    raw(0, "terminal-hang-up", "Hangs up the terminal.", "153", gvisor=True),
    raw(0, "compare-processes", "Finds out what processes share.", "312, 1, 1, 0, 0, 0"),
    raw(0, "become-root", "Becomes root.", "105, 0", gvisor=True),
    raw(0, "groups-of-root", "Joins root's group.", "116, 0, 0", gvisor=True),
    raw(0, "file-monitor", "Watches all files of the machine.", "300, 0, 0", docker=True),
    raw(0, "secret-memory", "Takes memory that nobody else can see.", "447, 0", docker=True),
    raw(0, "local-descriptor-table", "Changes the processor's table of segments.", "154, 0, 0, 0", docker=True, gvisor=True),
    raw(0, "foreign-limits", "Changes the limits of the process that watches it.", "302, 1, 7, 0, 0", gvisor=True),
    raw(0, "foreign-processor", "Moves the process that watches it to another core.", "203, 1, 8, 0", gvisor=True),
    s(0, "capabilities", "Counts its privileges.", """
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        data = (ctypes.c_uint32 * 6)()
        libc.capget(header, data)
        print(list(data))
        """, Status.OK, prelude=_RAW, check=prints("[0, 0, 0, 0, 0, 0]")),
    s(0, "new-privileges", "Asks whether a program could give it privileges.", """
        print(libc.prctl(39, 0, 0, 0, 0))
        """, Status.OK, prelude=_RAW, check=prints("1"), check_on={"gvisor": None}),
    s(0, "user-id", "Asks who it is.", """
        import os
        print(os.getresuid(), os.getresgid(), [group for group in os.getgroups() if group != 65534])
        """, Status.OK, check=prints("(65534, 65534, 65534) (65534, 65534, 65534) []")),
    s(0, "dumpable-again", "Opens its memory to others.", "tell(libc.prctl(4, 1, 0, 0, 0))", Status.FORBIDDEN, prelude=_RAW,
      expected_on={"gvisor": _OK, "docker": _OK}, check_on={"docker": prints("refused"), "gvisor": None}),
    v(0, "machine-code-in-a-function", "A pure function calls the C library.", """
        def f(x):
            import ctypes
            return ctypes.CDLL(None).getpid() and 1
        """, Status.ERROR, expected_on={"gvisor": frozenset({Status.OK})}),
    v(0, "unknown-call-in-a-function", "A pure function changes its own address layout.", """
        import os
        def f(x):
            return os.unshare(os.CLONE_NEWUSER)
        """, Status.FORBIDDEN),
    v(0, "namespace-of-the-zygote", "A pure function enters another namespace.", """
        import os
        def f(x):
            return os.setns(0)
        """, Status.FORBIDDEN),
    v(0, "event-descriptor", "A pure function asks for descriptors of rarer kinds.", """
        import os
        def f(x):
            return os.eventfd(0)
        """, Status.FORBIDDEN),
    v(0, "splice-in-a-function", "A pure function moves pages between files.", """
        import os
        def f(x):
            return os.splice(0, 1, 1)
        """, Status.FORBIDDEN),
    v(0, "extended-attributes", "A pure function reads attributes of files.", """
        import os
        def f(x):
            return os.getxattr("/", "user.x")
        """, Status.FORBIDDEN),
    v(0, "terminal-in-a-function", "A pure function opens a terminal.", """
        import os
        def f(x):
            return os.openpty()
        """, Status.FORBIDDEN, Status.ERROR),
)  # fmt: skip

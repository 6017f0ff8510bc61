"""Probes of the walls: each tries to reach what is outside, or what is above it."""

from __future__ import annotations

from dataclasses import replace

from executor.backends.base import ONE_THREAD
from executor.doctor.base import Probe, Step, ends, fixed, program, says, script
from executor.doctor.canaries import Canaries
from executor.models import Status

_FORBIDDEN = ends(Status.FORBIDDEN)
_NOT_MADE = ends(Status.FORBIDDEN, Status.ERROR)
_FILTER = (
    "the kernel must have seccomp (CONFIG_SECCOMP_FILTER), and the backend must use it: docker "
    "must not run with seccomp=unconfined"
)
_NAMESPACES = (
    "the backend must make namespaces: user namespaces may be off on this host "
    "(kernel.unprivileged_userns_clone, user.max_user_namespaces, AppArmor)"
)
_IMAGE = "the backend must give guests a root file system of their own, mounted read-only"
_LOOKS = "looks"
"""Scripts that read what is around them, no more: a warm guest runs them, where there is one."""
_REACHES = "reaches"
"""Scripts that try what takes a jail; what they may be killed for they try in a child process."""
_NO_CORE = "the backend must set RLIMIT_CORE to 0"
_HARNESS = "this is the harness's own doing, on every host: please report it (SECURITY.md)"

_DESCRIPTORS = """\
import os, stat
def held():
    found = []
    for number in range(256):
        try:
            found.append((number, os.fstat(number)))
        except OSError:
            pass
    return found
"""

_ATTEMPT = """\
import ctypes, os
def succeeds(attempt):
    child = os.fork()  # in a child: it may be killed for it
    if not child:
        try:
            os._exit(0 if attempt() else 1)
        except BaseException:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0
libc = ctypes.CDLL(None, use_errno=True)
def answered(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(number, *map(ctypes.c_long, arguments))
    return result != -1 or ctypes.get_errno() not in (1, 38)  # EPERM, ENOSYS
"""

_CALLS = f"""\
{_ATTEMPT}
me = os.getpid()
calls = {{
    'ptrace': (101, 0), 'process_vm_readv': (310, me, 0, 0, 0, 0, 0), 'kcmp': (312, me, me, 0),
    'unshare': (272, 0x10000000), 'setns': (308, -1, 0), 'mount': (165, 0, 0, 0, 0, 0),
    'keyctl': (250, 0, -3, 0), 'add_key': (248, 0, 0, 0, 0, -3), 'bpf': (321, 0, 0, 0),
    'perf_event_open': (298, 0, 0, -1, -1, 0), 'io_uring_setup': (425, 1, 0),
    'userfaultfd': (323, 1), 'personality': (135, 0xffffffff), 'shmget': (29, 0x5eed1e55, 0, 0),
    'msgget': (68, 0x5eed1e55, 0), 'name_to_handle_at': (303, -1, 0, 0, 0, 0),
    'init_module': (175, 0, 0, 0), 'set_mempolicy': (238, 0, 0, 0),
}}
print([name for name, call in calls.items() if succeeds(lambda: answered(*call))])
"""
"""Calls that the kernel would serve for anybody, with arguments that do no harm."""

_SOCKETS = f"""\
{_ATTEMPT}
import socket
families = {{'raw': (2, 3), 'raw (6)': (10, 3), 'netlink': (16, 3), 'packet': (17, 2),
            'alg': (38, 5), 'vsock': (40, 1), 'bluetooth': (31, 5)}}
print([n for n, (family, kind) in families.items()
       if succeeds(lambda: socket.socket(family, kind))])
"""


def _network(canaries: Canaries) -> tuple[Step, ...]:
    # Connecting a datagram socket sends nothing: it asks for a route.
    source = f"""{_ATTEMPT}
import socket
def connects(family, kind, address):
    with socket.socket(family, kind) as made:
        made.settimeout(1)
        made.connect(address)
    return True
ways = {{
    'a route to the internet': (2, 2, ('192.0.2.1', 53)),
    'a route to the internet (6)': (10, 2, ('2001:db8::1', 53)),
    'the host\\'s loopback device': (2, 1, ('127.0.0.1', {canaries.port})),
}}
print([name for name, way in ways.items() if succeeds(lambda: connects(*way))])
"""
    return (script(source, expect=says("[]")),)


def _local_socket(canaries: Canaries) -> tuple[Step, ...]:
    source = f"""\
import socket
made = socket.socket(socket.AF_UNIX)
try:
    made.connect('\\0{canaries.socket}')
    print('connected')
except OSError as error:
    print('refused')
"""
    return (script(source, expect=says("refused")),)


def _host_paths(canaries: Canaries) -> str:
    paths = (
        canaries.file, canaries.package, "/etc/shadow", "/var/run/docker.sock", "/run/docker.sock",
        "/root/.ssh", "/proc/kcore", "/proc/kallsyms", "/proc/meminfo", "/sys/kernel",
    )  # fmt: skip
    return repr(list(paths))


_READS = """\
import os
def reads(path):
    try:
        if os.path.isdir(path):
            return bool(os.listdir(path))
        with open(path, 'rb') as file:
            return bool(file.read(1))
    except OSError:
        return False
"""


def _host_files(canaries: Canaries) -> tuple[Step, ...]:
    found = f"[path for path in {_host_paths(canaries)} if reads(path)]"
    return (program(f"return {found}", head=_READS, expect=says("[]")),)


def _script_host_files(canaries: Canaries) -> tuple[Step, ...]:
    found = f"[path for path in {_host_paths(canaries)} if reads(path)]"
    return (script(f"{_READS}print({found})", expect=says("[]")),)


_READ_ONLY = """\
import os
written = []
for directory in ('/', '/etc', '/usr', '/usr/bin', '/usr/lib', '/lib', '/py', '/py/lib',
                  '/guest', '/guest/executor', '/dev', '/var', '/home', '/root', '/opt', '/run'):
    path = os.path.join(directory, 'executor-probe')
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL))
    except OSError:
        continue
    written.append(directory)
    os.unlink(path)
print(written)
"""

_WRITABLE = """\
import os
found = set()
for top, folders, _ in os.walk('/'):
    if top.count('/') > 1 or top in ('/proc', '/sys'):
        folders.clear()
    if top not in ('/proc', '/sys') and os.access(top, os.W_OK):
        found.add(top)
print(sorted(found - {'/box', '/tmp', '/dev/shm'}))
"""

_DEVICES = """\
import os, stat
harmless = {'null', 'zero', 'full', 'random', 'urandom', 'tty', 'console', 'ptmx'}
def is_device(name):
    mode = os.lstat('/dev/' + name).st_mode
    return stat.S_ISBLK(mode) or stat.S_ISCHR(mode)
print(sorted(name for name in os.listdir('/dev') if is_device(name) and name not in harmless))
"""

_PRIVILEGES = """\
import ctypes
libc = ctypes.CDLL(None)
header, held = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
libc.syscall(125, header, held)
print(list(held))
"""

_NO_NEW_PRIVILEGES = "import ctypes\nprint(ctypes.CDLL(None).prctl(39, 0, 0, 0, 0))"

_PROCESSES = """\
import os
def exists(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
print(sum(map(exists, range(1, 2048))) <= 3)
"""

_ENVIRONMENT = f"""\
import os
known = {{'PATH', 'LANG', 'HOME', 'USER', 'PYTHONDONTWRITEBYTECODE', 'MALLOC_ARENA_MAX'}}
known |= {{*{sorted(ONE_THREAD)}}}
print(sorted(set(os.environ) - known))
"""

_CORE = "import resource"
_CORE_LIMIT = "resource.getrlimit(resource.RLIMIT_CORE)"


def _host_name(canaries: Canaries) -> tuple[Step, ...]:
    source = f"import os\nprint(os.uname().nodename == {canaries.host_name!r})"
    return (script(source, expect=says("False")),)


def _kernel(canaries: Canaries) -> tuple[Step, ...]:
    source = f"import os\nprint(os.uname().release == {canaries.kernel!r})"
    return (script(source, expect=says("False")),)


def _forbidden(name: str, tries: str, *programs: tuple[str, ...]) -> Probe:
    """A probe of programs that are all ended for a call that they make."""
    steps = (program(*lines, expect=_FORBIDDEN) for lines in programs)
    return Probe(name, tries, fixed(*steps), _FILTER)


def _look(name: str, tries: str, source: str, text: str, mend: str) -> Probe:
    """A probe by a script that looks around and has to print this text."""
    return Probe(name, tries, fixed(script(source, expect=says(text))), mend, shares=_LOOKS)


def _reach(name: str, tries: str, source: str, text: str, mend: str) -> Probe:
    """The same by a script that tries what takes a jail."""
    return replace(_look(name, tries, source, text, mend), shares=_REACHES)


PROBES = (
    _forbidden(
        "system-calls",
        "calls that the kernel serves for anybody: a pipe, a file in memory, a session",
        ("import os", "return os.pipe()"),
        ("import os", "return os.memfd_create('x')"),
        ("import os", "os.setsid()"),
    ),
    _forbidden(
        "processes",
        "to fork, to start a thread and to become another program",
        ("import os", "os.fork() or os._exit(0)"),
        ("import _thread", "_thread.start_new_thread(print, ())"),
        ("import os", "os.execv('/bin/true', ['true'])"),
    ),
    _forbidden(
        "network",
        "sockets: internet, local, netlink, and a pair",
        ("import socket", "socket.socket()"),
        ("import socket", "socket.socket(socket.AF_UNIX)"),
        ("import socket", "socket.socket(16, 3)"),
        ("import socket", "socket.socketpair()"),
    ),
    Probe(
        "files",
        "to write a file in /tmp, in / and in the working directory",
        fixed(
            *(
                program(
                    "import os", f"open({path!r}, 'x')", f"os.unlink({path!r})", expect=_NOT_MADE
                )
                for path in ("/tmp/executor-probe", "/executor-probe", "executor-probe")
            )
        ),
        _IMAGE,
    ),
    Probe(
        "host-files",
        "to read files of the host: its shadow passwords, an open file, this package",
        _host_files,
        _IMAGE,
    ),
    Probe(
        "user",
        "which user and group it is",
        fixed(
            program(
                "import os",
                "return os.getuid(), os.geteuid(), os.getgid(), os.getegid()",
                expect=says("(65534, 65534, 65534, 65534)"),
            )
        ),
        _NAMESPACES,
    ),
    _forbidden(
        "privileges",
        "to become root, to change the root directory, to raise a limit",
        ("import os", "os.setuid(0)"),
        ("import os", "os.chroot('/')"),
        ("import resource", "resource.setrlimit(7, resource.getrlimit(7))"),
    ),
    Probe(
        "descriptors",
        "which descriptors are open: /dev/null three times, and a pipe for the result",
        fixed(
            program(
                "null = os.stat('/dev/null').st_rdev",
                "kinds = [about.st_rdev == null for _, about in held()[:3]]",
                "return kinds, [stat.S_ISFIFO(about.st_mode) for _, about in held()[3:]]",
                head=_DESCRIPTORS,
                expect=says("([True, True, True], [True])"),
            )
        ),
        _HARNESS,
    ),
    Probe(
        "environment",
        "which variables the environment has",
        fixed(
            program(
                "import os", "return sorted(os.environ)", expect=says("['HOME', 'PATH', 'USER']")
            )
        ),
        _HARNESS,
    ),
    Probe(
        "core-dumps",
        "how large a core dump may be",
        fixed(program("import resource", f"return {_CORE_LIMIT}", expect=says("(0, 0)"))),
        _NO_CORE,
    ),
    _reach(
        "script-system-calls",
        "18 calls that lead to other processes or deep into the kernel: ptrace, unshare, bpf, ...",
        _CALLS,
        "[]",
        _FILTER,
    ),
    _reach(
        "script-sockets",
        "sockets of seven kinds beyond TCP, UDP and local ones",
        _SOCKETS,
        "[]",
        _FILTER,
    ),
    Probe(
        "script-network",
        "a route to the internet, and a listener on the host's loopback device",
        _network,
        "the backend must give guests a network of their own, with no interface but loopback",
        shares=_REACHES,
    ),
    Probe(
        "script-local-sockets",
        "a listener of the host in the abstract name space of local sockets",
        _local_socket,
        "the backend must give guests a network of their own",
        shares=_REACHES,
    ),
    _reach(
        "script-read-only",
        "to make a file in 16 directories of the system",
        _READ_ONLY,
        "[]",
        _IMAGE,
    ),
    _look(
        "script-writable-places",
        "which directories can be written besides /box, /tmp and /dev/shm",
        _WRITABLE,
        "[]",
        _IMAGE,
    ),
    Probe(
        "script-host-files",
        "to read files of the host: its shadow passwords, an open file, this package",
        _script_host_files,
        _IMAGE,
        shares=_LOOKS,
    ),
    _look(
        "script-devices",
        "which devices there are besides null, zero, random and terminals",
        _DEVICES,
        "[]",
        _IMAGE,
    ),
    _look(
        "script-user",
        "which user and group it is, real, effective and saved",
        "import os\nprint({*os.getresuid(), *os.getresgid()}, 0 in os.getgroups())",
        "{65534} False",
        _NAMESPACES,
    ),
    _reach(
        "script-capabilities",
        "which capabilities it has: effective, permitted and inheritable",
        _PRIVILEGES,
        "[0, 0, 0, 0, 0, 0]",
        "the backend must drop all capabilities",
    ),
    _reach(
        "script-no-new-privileges",
        "whether a program that is set-user-id would make it another user",
        _NO_NEW_PRIVILEGES,
        "1",
        "the backend must set no_new_privs",
    ),
    _reach(
        "script-processes-of-others",
        "whether processes can be seen that are not its own",
        _PROCESSES,
        "True",
        "the backend must give guests process numbers of their own (a pid namespace)",
    ),
    _look(
        "script-descriptors",
        "which descriptors are open: three pipes",
        f"{_DESCRIPTORS}print([stat.S_ISFIFO(about.st_mode) for _, about in held()])",
        "[True, True, True]",
        _HARNESS,
    ),
    _look(
        "script-environment",
        "which variables the environment has that are not the harness's",
        _ENVIRONMENT,
        "[]",
        _HARNESS,
    ),
    Probe(
        "script-host-name",
        "whether it sees the host's name",
        _host_name,
        "the backend must give guests a host name of their own (a UTS namespace)",
        shares=_LOOKS,
    ),
    _look(
        "script-core-dumps",
        "how large a core dump may be",
        f"{_CORE}\nprint({_CORE_LIMIT})",
        "(0, 0)",
        _NO_CORE,
    ),
    Probe(
        "script-own-kernel",
        "whether the kernel that it talks to is the host's",
        _kernel,
        "the engine's runtime of that name is not gVisor: see its entry in daemon.json",
        shares=_LOOKS,
    ),
)

"""Scripts in warm jails: as in a jail of their own, and none sees anything of another."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from executor import Executor, InputError, Limits, Script, Status
from executor.backends.nsjail import backend as nsjail
from executor.backends.nsjail import warm_jails as nsjail_jails
from tests.cases.scripts import HINTED, JAILED, LIMITED, WARM
from tests.support.jails import CEILING, Jails, open_jails
from tests.support.leftovers import children, nothing_left
from tests.support.waiting import wait_until
from tests.support.warm_scripts import facts

pytestmark = pytest.mark.long

LIMITS = Limits(cpu_s=8, wall_s=40, memory_mib=256, output_kib=8192, processes=16, files_mib=16)
TIGHT = Limits(cpu_s=1, wall_s=20, memory_mib=128, output_kib=64, processes=16, files_mib=16)
MIB = 1 << 20


@pytest.fixture(scope="module", params=["grouped", "ungrouped"])
def jails(request: pytest.FixtureRequest) -> Iterator[Jails]:
    yield from open_jails(grouped=request.param == "grouped")


@pytest.fixture(scope="module")
def ungrouped() -> Iterator[Jails]:
    yield from open_jails(grouped=False)


@pytest.fixture(scope="module")
def grouped() -> Iterator[Jails]:
    yield from open_jails(grouped=True)


def told(jails: Jails, source: str, limits: Limits = LIMITS, **options: object) -> str:
    """What a script prints that must end well, in a warm jail."""
    result = jails.warm(Script(source=source, **options), limits)
    assert (result.status, result.stderr) == (Status.OK, b""), result
    return result.stdout.decode()


# ---- as in a jail of its own -------------------------------------------------------------------

SAMPLES = {
    **{f"warm/{name}": source for name, source in WARM.items()},
    **{f"jailed/{name}": source for name, source in JAILED.items()},
    **{f"hinted/{name}": source for name, source in HINTED.items()},
}


@pytest.mark.parametrize("what", SAMPLES)
def test_a_script_cannot_be_told_from_one_in_a_new_jail(ungrouped: Jails, what: str) -> None:
    script = Script(
        source=SAMPLES[what], stdin="erste ü\nzweite\n\nlast", argv=("a b", "", "é", "-c")
    )
    warm, new = ungrouped.warm_and_new(script, LIMITS)
    assert facts(warm) == facts(new)


@pytest.mark.parametrize("what", LIMITED)
def test_each_limit_ends_a_script_as_in_a_new_jail(jails: Jails, what: str) -> None:
    source, status = LIMITED[what]
    limits = TIGHT.model_copy(update={"wall_s": 1}) if status is Status.WALL_LIMIT else TIGHT
    script = Script(source=source)
    result, expected = jails.warm_and_new(script, limits)
    assert result.status is status
    if status is Status.OUTPUT_LIMIT:  # it may end before it is killed
        expected = expected.model_copy(update={"signal": result.signal})
    assert facts(result) == facts(expected)


LOOK = """
import ctypes, os, resource, signal, stat, sys, threading, time
print(sys.flags, sys.path, sys.argv, sys.orig_argv, sorted(sys.modules), sys.executable)
print(dict(os.environ), os.getcwd(), os.getpid(), os.getppid(), os.uname(), os.umask(0o22))
print(os.getsid(0), os.getsid(1), os.getpgid(0), os.getpgid(1))
print(os.getresuid(), os.getresgid(), os.getgroups())
for name in sorted(name for name in dir(resource) if name.startswith('RLIMIT')):
    if name != 'RLIMIT_NPROC':  # one more: the process that the warm jail has for all scripts
        print(name, resource.getrlimit(getattr(resource, name)))
print([(number, str(signal.getsignal(number))) for number in signal.valid_signals()])
print(signal.pthread_sigmask(signal.SIG_BLOCK, []), threading.active_count(), time.tzname)
print(os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0))
def look(path):
    about = os.lstat(path)
    size = None if stat.S_ISDIR(about.st_mode) else about.st_size
    # Devices lose their name outside of the jail when it has started.
    links = None if stat.S_ISCHR(about.st_mode) else about.st_nlink
    print(path, oct(about.st_mode), about.st_uid, about.st_gid, links, about.st_rdev, size)
for folder, folders, files in os.walk('/'):
    if folder in ('/guest', '/py', '/usr', '/lib'): folders.clear()
    look(folder)
    for name in sorted(folders + files): look(os.path.join(folder, name))
for folder in ('/', '/box', '/tmp', '/dev/shm', '/dev/null'):
    about = os.statvfs(folder)
    print(folder, about.f_bsize, about.f_flag, about.f_namemax)
    if about.f_blocks < 1 << 20: print(about.f_blocks, about.f_bfree, about.f_files, about.f_ffree)
for number in range(600):
    try: print(number, oct(os.fstat(number).st_mode), os.get_inheritable(number))
    except OSError: pass
libc = ctypes.CDLL(None, use_errno=True)
for pid in (0, 1):
    head, data = (ctypes.c_uint32 * 2)(0x20080522, pid), (ctypes.c_uint32 * 6)(*[7] * 6)
    print('capabilities', libc.syscall(125, head, data), list(data))
print('no new privileges', libc.prctl(39, 0, 0, 0, 0), 'dumpable', libc.prctl(3, 0, 0, 0, 0))
for pid in (-1, 0, 1, 2, 3):
    try: print(pid, os.kill(pid, 0))
    except OSError as error: print(pid, error)
for name in ('/x', '/py/x', '/etc/passwd', '/guest/x', '/dev/x', '/proc', '/sys'):
    try: print(open(name, 'a'))
    except OSError as error: print(error)
"""


def test_all_that_a_script_can_look_at_is_as_in_a_new_jail(jails: Jails) -> None:
    script = Script(source=LOOK, files={"a/b": b"c"})
    expected = jails.new(script, LIMITS)
    assert expected.status is Status.OK, expected.stderr
    for _ in range(2):
        result = jails.warm(script, LIMITS)
        assert result.stdout.decode().splitlines() == expected.stdout.decode().splitlines()


@pytest.mark.parametrize("language", ["bash", "pytest"])
def test_other_languages_run_as_in_a_new_jail(jails: Jails, language: str) -> None:
    sources = {
        "bash": "echo $0 $$ $PPID $# $*; ulimit -n -f -c -t; set -o; umask; trap; id; pwd; ls -la\n"
        "env | sort; echo x > /tmp/a; cat < /dev/stdin; sleep 0 & wait; exit 7",
        "pytest": "import os\ndef test_a(tmp_path): (tmp_path / 'a').write_text('x')\n"
        "def test_b(): assert os.getpid() == 3\n",
    }
    script = Script(
        source=sources[language], language=language, stdin="in\n", argv=(), files={"d/e": b"f"},
        collect=("d/e",),
    )  # fmt: skip
    if language not in (jails.backend._image.languages if jails.backend._image else ()):
        pytest.skip(f"no {language} here")
    result, expected = facts(jails.warm(script, LIMITS)), facts(jails.new(script, LIMITS))
    for told in (result, expected):
        lines = told["stdout"].splitlines()
        told["stdout"] = [line for line in lines if not line.startswith(b"drwx")]  # with times
        told["stdout"] = [line for line in told["stdout"] if b"script.sh" not in line]
    assert result == expected


HOLD = """
import os, sys, time
size = int(sys.argv[1]) << 20
readable, writable = os.pipe()
for _ in range(4):
    if not os.fork():
        held = bytearray(size)
        os.write(writable, b'x')
        time.sleep(60)
os.set_blocking(readable, False)
holding = dead = 0
while holding + dead < 4:
    time.sleep(0.02)
    try: holding += len(os.read(readable, 4))
    except BlockingIOError: pass
    dead += os.waitpid(-1, os.WNOHANG)[0] != 0
time.sleep(0.3)
dead += os.waitpid(-1, os.WNOHANG)[0] != 0
raise SystemExit(dead != 0)
"""


@pytest.mark.parametrize(("mib", "fits"), [(36, True), (39, True), (42, False), (45, False)])
def test_the_ceiling_on_memory_is_where_it_is_in_a_new_jail(
    grouped: Jails, mib: int, fits: bool
) -> None:
    # 128, 16 for files, twice 16 for interpreters: 176 MiB for four processes and some 12 besides
    limits = LIMITS.model_copy(update={"memory_mib": 128, "output_kib": 64})
    script = Script(source=HOLD, argv=(str(mib),))
    assert (grouped.new(script, limits).status is Status.OK) is fits
    answer = grouped.loop.run(grouped.backend._jails.run(script, limits))
    assert (answer is not None) is fits
    assert grouped.run(script, limits).status is (Status.OK if fits else Status.MEMORY_LIMIT)


def test_requests_have_limits_of_their_own_in_one_jail(jails: Jails) -> None:
    source = (
        "import os, resource\nprint(os.statvfs('/tmp').f_blocks >> 8,"
        " resource.getrlimit(resource.RLIMIT_FSIZE)[0] >> 20,"
        " resource.getrlimit(resource.RLIMIT_AS)[0] >> 20)"
    )
    for files_mib, memory_mib in ((4, 64), (64, 1024), (16, 100), (64, 32)):
        limits = LIMITS.model_copy(update={"files_mib": files_mib, "memory_mib": memory_mib})
        assert told(jails, source, limits) == f"{files_mib} {files_mib} {memory_mib + 16}\n"
    assert len(jails.idle) == 1


FORKS = """
import os, sys, time
started = 0
try:
    while started < 100:
        if not os.fork():
            time.sleep(60)
            os._exit(0)
        started += 1
except OSError: pass
print(started)
sys.exit(3)
"""


def test_the_ceiling_on_processes_is_where_it_is_in_a_new_jail(jails: Jails) -> None:
    for processes in (4, 16, 7):
        limits = LIMITS.model_copy(update={"processes": processes})
        result, expected = (way(Script(source=FORKS), limits) for way in (jails.warm, jails.new))
        assert facts(result) == facts(expected)
        assert result.stdout == f"{processes - 1}\n".encode()
    assert told(jails, "print('on')", LIMITS) == "on\n"


# ---- nothing of one script is there for the next -----------------------------------------------

LEAVE = {
    "files": (
        "import os\nfor d in ('/box', '/tmp', '/dev/shm'):\n    os.makedirs(f'{d}/a/b')\n"
        "    open(f'{d}/left', 'w').write('left')\nos.chmod('/box', 0o700)\nos.mkfifo('/tmp/fifo')"
    ),
    "full file systems": (
        "for d in ('/box', '/tmp', '/dev/shm'):\n"
        "    try: open(f'{d}/full', 'wb').write(bytes(99 << 20))\n    except OSError: pass"
    ),
    "processes": (
        "import os, signal, time\nfor _ in range(8):\n    if not os.fork():\n        os.setsid()\n"
        "        for n in (1, 2, 13, 15): signal.signal(n, signal.SIG_IGN)\n"
        "        if os.fork(): os._exit(0)\n        time.sleep(60)"
    ),
    "shared memory": (
        "from multiprocessing import shared_memory\n"
        "kept = shared_memory.SharedMemory('left', create=True, size=1000)\nimport os\nos._exit(0)"
    ),
    "a socket with an abstract name": (
        "import socket\nkept = socket.socket(socket.AF_UNIX)\nkept.bind('\\0left')\nkept.listen()"
    ),
    "a socket that holds itself": (
        "import array, os, socket\n"
        "for number in range(20):\n"
        "    kept = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "    kept.bind('\\0left' + str(number or ''))\n"
        "    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "    all = array.array('i', [a.fileno(), b.fileno(), kept.fileno()])\n"
        "    for way in (a, b):\n"
        "        way.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, all)])\n"
        "os._exit(0)"
    ),
    "locks": (
        "import fcntl, os\nkept = open('/etc/passwd')\nfcntl.flock(kept, fcntl.LOCK_EX)\n"
        "if not os.fork():\n    import time; time.sleep(60)"
    ),
    "limits and priorities": (
        "import os, resource, signal\nresource.setrlimit(resource.RLIMIT_NOFILE, (9, 9))\n"
        "os.nice(9)\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\nos.umask(0)\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.chdir('/tmp')"
    ),
    "signals to all": "import os\nos.kill(-1, 9)",
    "signals to pid 1": "import os\nfor n in range(1, 65):\n    os.kill(1, n)\n    os.kill(0, 0)",
    "closed streams": "import os\nos.closerange(0, 512)",
}

FIND = """
import fcntl, os, resource, signal, socket
print([sorted(os.listdir(d)) for d in ('/box', '/tmp', '/dev/shm')], oct(os.stat('/box').st_mode))
print([os.statvfs(d).f_bfree for d in ('/box', '/tmp', '/dev/shm')])
there = []
for pid in range(1, 300):
    try: os.kill(pid, 0); there.append(pid)
    except ProcessLookupError: pass
print(there)
free = []
for number in range(20):
    name = '\\0left' + str(number or '')
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        one = socket.socket(socket.AF_UNIX, kind)
        try: one.connect(name); print('connected')
        except ConnectionRefusedError: pass
        one.bind(name)
        one.close()
fcntl.flock(open('/etc/passwd'), fcntl.LOCK_EX | fcntl.LOCK_NB)
print(resource.getrlimit(resource.RLIMIT_NOFILE), os.nice(0), len(os.sched_getaffinity(0)))
print(oct(os.umask(0)), signal.getsignal(signal.SIGTERM), os.getcwd(), os.times()[0] < 1)
"""


@pytest.mark.parametrize("what", LEAVE)
def test_what_a_script_leaves_is_gone_before_the_next(jails: Jails, what: str) -> None:
    expected = jails.new(Script(source=FIND), LIMITS)
    assert (expected.status, expected.stderr) == (Status.OK, b"")
    told(jails, "print(1)")
    served = jails.idle[-1].served
    jails.warm(Script(source=LEAVE[what]), LIMITS)
    assert told(jails, FIND) == expected.stdout.decode()
    assert jails.idle[-1].served == served + 2, "it was not the same jail"


DENIED = {
    "System V shared memory": "libc.shmget(1, 4096, 0o1600)",
    "System V messages": "libc.msgget(1, 0o1600)",
    "System V semaphores": "libc.semget(1, 1, 0o1600)",
    "message queues": "libc.syscall(240, b'left', 0o102, 0o600, 0)",
    "keys": "libc.syscall(248, b'user', b'left', b'x', 1, -3)",
    "another host name": "socket.sethostname('left')",
    "another root": "libc.chroot(b'/box')",
    "a mount": "libc.mount(b'/box', b'/tmp', 0, 4096, 0)",
    "no mount": "libc.umount2(b'/box', 2)",
    "a writable root": "libc.mount(0, b'/', 0, 32 | 4096, 0)",
    "namespaces": "libc.unshare(0x7e020000)",
    "namespaces of a child": "libc.syscall(56, 0x20000011, 0, 0, 0, 0)",
    "namespaces of another": "libc.setns(os.pidfd_open(1), 0x20000000)",
    "capabilities": "libc.syscall(126, (ctypes.c_uint32 * 2)(0x20080522, 0), bytes(24))",
    "tracing": "libc.ptrace(16, 1, 0, 0)",
    "memory of another": "libc.process_vm_readv(1, 0, 0, 0, 0, 0)",
    "descriptors of another": "libc.syscall(438, os.pidfd_open(1), 0, 0)",
    "being traced": "libc.prctl(4, 1, 0, 0, 0)",
    "limits of another": "resource.prlimit(1, resource.RLIMIT_CPU, (1, 1))",
}


@pytest.mark.parametrize("what", DENIED)
def test_what_could_outlive_or_reach_others_is_forbidden(ungrouped: Jails, what: str) -> None:
    source = (
        "import ctypes, os, resource, socket\nlibc = ctypes.CDLL(None)\n"
        f"print('begin', flush=True)\n{DENIED[what]}\nprint('survived')"
    )
    script = Script(source=source)
    result = ungrouped.warm(script, LIMITS)
    assert (result.status, result.stdout) == (Status.FORBIDDEN, b"begin\n"), result.stderr
    assert facts(result) == facts(ungrouped.new(script, LIMITS))


def test_a_script_gains_nothing_by_starting_programs(jails: Jails) -> None:
    source = """
import ctypes, os, subprocess, sys
code = '''
import ctypes
libc = ctypes.CDLL(None)
data = (ctypes.c_uint32 * 6)(*[7] * 6)
print(libc.syscall(125, (ctypes.c_uint32 * 2)(0x20080522, 0), data), list(data),
      libc.prctl(39, 0, 0, 0, 0), flush=True)
libc.mount(b'x', b'/tmp', b'tmpfs', 0, 0)
print('survived')
'''
print(subprocess.run([sys.executable, '-c', code], capture_output=True))
"""
    out = told(jails, source)
    assert "returncode=-31" in out
    assert "0 [0, 0, 0, 0, 0, 0] 1" in out
    assert "survived\\n'" not in out


def processes_of(jails: Jails) -> list[psutil.Process]:
    """Of the one idle jail: those inside, without nsjail itself."""
    (idle,) = jails.idle
    inside: list[psutil.Process] = psutil.Process(idle._guest.pid).children(recursive=True)
    return inside


def test_the_process_that_lives_on_holds_no_byte_of_a_script(jails: Jails) -> None:
    if os.geteuid() != 0:
        pytest.skip("reading another process's memory takes root")
    secret = "-".join(["of", "one", "script"])
    source = f"# {secret * 50}\nimport sys\nprint(sys.stdin.read(), sys.argv)"
    told(jails, source, stdin=secret * 99, argv=(secret,) * 9, files={"f": secret.encode() * 99})
    (inside,) = processes_of(jails)
    found = pages = 0
    maps = Path(f"/proc/{inside.pid}/maps").read_text().splitlines()
    with Path(f"/proc/{inside.pid}/mem").open("rb", buffering=0) as memory:
        for line in maps:
            area, rights, *_, name = f"{line} -".split(maxsplit=5)
            if not rights.startswith("rw") or "[v" in name:
                continue
            low, high = (int(end, 16) for end in area.split("-"))
            memory.seek(low)
            data = memory.read(high - low)
            pages += len(data) // 4096
            found += data.count(secret.encode())
    assert pages > 200
    assert found == 0


def test_between_scripts_a_jail_is_one_process_that_cannot_be_dumped(jails: Jails) -> None:
    told(jails, "import os\nfor _ in range(3): os.fork()")
    (inside,) = processes_of(jails)
    assert inside.num_threads() == 1
    status = Path(f"/proc/{inside.pid}/status").read_text()
    kept = next(line for line in status.splitlines() if line.startswith("CapEff"))
    # Of its own namespaces: CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_SETPCAP.
    assert int(kept.split()[1], 16) == 1 << 21 | 1 << 12 | 1 << 8
    if os.geteuid() == 0:  # its files in /proc belong to root: it is not dumpable
        assert Path(f"/proc/{inside.pid}/fd").stat().st_uid == 0
        assert inside.uids().real != 0


# ---- faults ------------------------------------------------------------------------------------


def test_a_script_whose_jail_dies_runs_in_a_new_one(jails: Jails) -> None:
    told(jails, "print(1)")
    (doomed,) = jails.idle

    async def main() -> None:
        source = "import time\ntime.sleep(1)\nprint('done')"
        running = asyncio.create_task(jails.backend.run_script(Script(source=source), LIMITS))
        await asyncio.sleep(0.5)
        os.kill(doomed._guest.pid, signal.SIGKILL)
        result = await running
        assert (result.status, result.stdout) == (Status.OK, b"done\n")

    jails.loop.run(main())
    assert doomed not in jails.idle
    assert told(jails, "print('on')") == "on\n"


def test_a_dead_idle_jail_is_not_noticed_by_the_next_script(jails: Jails) -> None:
    told(jails, "print(1)")
    os.kill(jails.idle[-1]._guest.pid, signal.SIGKILL)
    assert jails.run(Script(source="print('fine')"), LIMITS).stdout == b"fine\n"
    assert told(jails, "print('on')") == "on\n"


def test_after_a_kill_for_memory_a_new_jail_decides(grouped: Jails) -> None:
    source = (
        "import os, time\nfor _ in range(3):\n    if not os.fork():\n"
        "        held = bytearray(200 << 20)\n        time.sleep(60)\n"
        "raise SystemExit(any(os.wait()[1] for _ in range(3)))"
    )
    told(grouped, "print(1)")
    before = list(grouped.idle)
    script = Script(source=source)
    result = grouped.run(script, LIMITS)
    assert result.status is Status.MEMORY_LIMIT
    assert facts(result) == facts(grouped.new(script, LIMITS))
    assert not set(before) & set(grouped.idle), "the jail lives on"
    assert told(grouped, "print('on')") == "on\n"


def test_a_cancelled_script_ends_with_its_jail(jails: Jails) -> None:
    told(jails, "print(1)")
    (jail,) = jails.idle

    async def main() -> None:
        script = Script(source="import time\ntime.sleep(60)")
        running = asyncio.create_task(jails.backend.run_script(script, LIMITS))
        await asyncio.sleep(0.5)
        running.cancel()
        start = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert time.monotonic() - start < 20

    jails.loop.run(main())
    wait_until(lambda: jail._guest._process.poll() is not None)
    assert jail not in jails.idle


def test_what_cannot_be_served_leaves_the_jail_as_it_is(jails: Jails) -> None:
    told(jails, "print(1)")
    (jail,) = jails.idle
    with pytest.raises(InputError):
        jails.run(Script(source="", argv=("a\0b",)), LIMITS)
    assert jails.idle == [jail]


def test_a_jail_retires(jails: Jails, monkeypatch: pytest.MonkeyPatch) -> None:
    told(jails, "print(1)")
    (jail,) = jails.idle
    monkeypatch.setattr(nsjail_jails, "RETIRE_AFTER", jail.served + 1)
    assert told(jails, "print(2)") == "2\n"
    assert jails.idle == []
    assert told(jails, "print(3)") == "3\n"


def test_a_reply_that_is_none_is_not_believed(jails: Jails) -> None:
    """A script that could write to the host would gain nothing: it runs again, elsewhere."""
    told(jails, "print(1)")
    (jail,) = jails.idle
    reader, writer = os.pipe()
    own = os.dup(jail._guest.read_fd)
    os.set_blocking(reader, False)
    os.dup2(reader, jail._guest.read_fd)
    os.write(writer, b"\x05\0\0\0hello" + b"x" * 99)
    assert jails.run(Script(source="print('right')"), LIMITS).stdout == b"right\n"
    assert jail not in jails.idle
    for descriptor in (reader, writer, own):
        os.close(descriptor)


def test_where_jails_get_no_capabilities_scripts_run_and_a_warning_says_so(
    monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    monkeypatch.setattr(nsjail, "_JAIL_CAPABILITIES", [])
    with nothing_left(temporary):
        jails = Jails(LIMITS)
        for _ in range(2):
            assert jails.run(Script(source="print('ran')"), LIMITS).stdout == b"ran\n"
        assert jails.idle == []
        (warning,) = [text for text in jails.backend.warnings if "no warm jails" in text]
        assert "Operation not permitted" in warning
        jails.close()


WITHOUT_ROOT = """
import ctypes, os
from tests.support.jails import CEILING, Jails
from executor.models import Script
jails = Jails(grouped=False)
scripts = [
    Script(source="import os\\nprint(os.getuid(), os.getpid(), os.listdir('/box'))\\n"
                  "print(open('/tmp/a', 'x').write('x'), os.system('echo sub'))"),
    Script(source="import socket\\nprint(1, flush=True)\\nsocket.socket(type=socket.SOCK_RAW)"),
    Script(source="import os, sys\\nsys.stdout.write('x' * 100)\\nif os.fork(): os.wait()"),
    Script(source="echo $$ > /tmp/b; cat /tmp/*", language="bash"),
]
for script in scripts:  # as root: all that is needed is loaded, all of the image is there
    jails.warm(script, CEILING), jails.new(script, CEILING)
jails.loop.run(jails.backend._jails.close())
libc = ctypes.CDLL(None)
for capability in range(41):
    libc.prctl(24, capability, 0, 0, 0)
os.setgroups([])
os.setresgid(1000, 1000, 1000)
os.setresuid(1000, 1000, 1000)
assert libc.prctl(38, 1, 0, 0, 0) == 0
for script in scripts * 2:
    warm, new = (way(script, CEILING) for way in (jails.warm, jails.new))
    for name in ("status", "exit_code", "signal", "stdout", "stderr", "detail"):
        assert getattr(warm, name) == getattr(new, name), (warm, new)
    print(warm.status)
assert len(jails.idle) == 1
jails.close()
"""


def test_neither_root_nor_capabilities_are_needed() -> None:
    if os.geteuid() != 0:
        pytest.skip("not root anyway: all tests show it")
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_ROOT],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    assert done.stdout.split() == ["ok", "forbidden", "ok", "ok"] * 2, done.stderr


def test_scripts_at_the_same_time_have_jails_of_their_own(temporary: Path) -> None:
    async def main() -> None:
        async with Executor(workers=3, limits=LIMITS) as executor:
            sources = [
                f"import os, subprocess\nopen('x', 'w').write('{i}')\n"
                f"print(subprocess.check_output(['cat', 'x'], text=True), os.listdir('/box'))"
                for i in range(40)
            ]
            results = await asyncio.gather(*(executor.run(Script(source=s)) for s in sources))
            expected = [f"{i} ['x', 'script.py']" for i in range(40)]
            told = [result.stdout.decode().strip() for result in results]
            assert [" ".join(sorted(set(text))) for text in told] == [
                " ".join(sorted(set(text))) for text in expected
            ]

    with nothing_left(temporary):
        asyncio.run(main())


def test_closing_leaves_nothing(temporary: Path) -> None:
    before = children()
    with nothing_left(temporary):
        jails = Jails(CEILING)
        for _ in range(3):
            jails.warm(Script(source="import os\nos.fork()\nprint(1)"), LIMITS)
        assert children() > before
        jails.close()


def test_after_a_kill_for_memory_nobody_waits_for_the_rest_of_the_script(grouped: Jails) -> None:
    source = (
        "import os, time\nfor _ in range(3):\n    if not os.fork():\n"
        "        held = bytearray(200 << 20)\n        time.sleep(60)\ntime.sleep(8)\nos._exit(1)"
    )
    start = time.monotonic()
    result = grouped.run(Script(source=source), LIMITS.model_copy(update={"wall_s": 20}))
    assert result.status is Status.MEMORY_LIMIT
    assert time.monotonic() - start < 15

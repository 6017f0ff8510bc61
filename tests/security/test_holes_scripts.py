"""What scripts could tell one another, or do to the host, by files and devices that all share; and
the network that each has to itself."""

# ruff: noqa: E501 - sources are quoted as they are
from __future__ import annotations

import asyncio
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from executor import Limits, Options, Script, ScriptResult, Signal, Status, SyncExecutor
from tests.support.engines import each, require, why_no_engine, why_no_gvisor
from tests.support.jails import CEILING, Jails
from tests.support.programs import OPEN_RULES, body, triplet

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

LIMITS = Limits(wall_s=60, cpu_s=20, memory_mib=256, processes=32, files_mib=16)
DEVICES = ("null", "zero", "random", "urandom")
Run = Callable[[Script], ScriptResult]


def _engine(name: str) -> Callable[[], str]:
    return {"docker": why_no_engine, "gvisor": why_no_gvisor}.get(name, str)


@pytest.fixture(scope="module", params=each("warm", "new", "docker", "gvisor"))
def way(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Each way to run a script that needs a jail."""
    name: str = request.param
    require(_engine(name)())
    if name in ("docker", "gvisor"):
        with SyncExecutor(name, workers=2, limits=LIMITS) as executor:
            yield executor.run
        return
    jails = Jails(CEILING)
    run = jails.warm if name == "warm" else jails.new
    yield lambda script: run(script, LIMITS)
    jails.close()


def told(run: Run, source: str, **more: object) -> str:
    result = run(Script.model_validate({"source": source, **more}))
    assert (result.status, result.signals) == (Status.OK, {}), (result.detail, result.stderr)
    return result.stdout.decode()


# ---- locks -------------------------------------------------------------------------------------

SHARED = ("/dev/null", "/dev/zero", "/dev/urandom", "/py/bin/python3.12", "/", "/py/lib/python3.12")
LOCK = f"""
import fcntl, os, struct, sys, time
open('x', 'w').close()
def attempts(path):
    writable = path.startswith('/dev/')
    fd = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
    yield 'flock', lambda: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if os.path.isdir(path):
        return
    asked = struct.pack('hhqqi', fcntl.F_WRLCK, 0, 0, 0, 0)
    def free():
        for command in (fcntl.F_GETLK, fcntl.F_OFD_GETLK):
            answer = struct.unpack('hhqqi', fcntl.fcntl(fd, command, asked))
            if answer[0] != fcntl.F_UNLCK:
                raise BlockingIOError
    yield 'unseen', free
    kind = fcntl.LOCK_EX if writable else fcntl.LOCK_SH
    yield 'posix', lambda: fcntl.lockf(fd, kind | fcntl.LOCK_NB, 4, 987654)
    ofd = struct.pack('hhqqi', fcntl.F_WRLCK if writable else fcntl.F_RDLCK, 0, 5, 9, 0)
    yield 'ofd', lambda: fcntl.fcntl(fd, fcntl.F_OFD_SETLK, ofd)
for path in {SHARED}:
    for name, attempt in attempts(path):
        try:
            attempt()
        except BlockingIOError:
            print('seen', path, name)
        except OSError:
            pass
print('locked', flush=True)
time.sleep(float(sys.argv[1]))
"""


def test_no_lock_is_seen_by_another_script_or_by_the_host() -> None:
    jails = [Jails(CEILING), Jails(CEILING)]
    try:
        script = Script(source=LOCK, argv=("3",))
        found: list[ScriptResult] = []
        threads = [
            threading.Thread(target=lambda run=run: found.append(run(script, LIMITS)))
            for run in (jails[0].warm, jails[1].new)
        ]
        for thread in threads:
            thread.start()
        host: list[str] = []
        while any(thread.is_alive() for thread in threads):
            host += [name for name in DEVICES if not _lockable(Path("/dev", name))]
            threads[0].join(0.05)
        for result in found:
            assert result.stdout == b"locked\n", (result.stdout, result.stderr)
        assert (len(found), host) == (2, [])
    finally:
        for each in jails:
            each.close()


def _lockable(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def test_scripts_of_one_executor_lock_beside_each_other(way: Run) -> None:
    assert told(way, LOCK, argv=("0",)) == "locked\n"
    assert told(way, LOCK, argv=("0",)) == "locked\n"


OWN_LOCKS = """
import fcntl, os, sqlite3, subprocess, sys
for folder in ('/box', '/tmp', '/dev/shm'):
    one, other = open(folder + '/lock', 'w'), open(folder + '/lock', 'w')
    fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        print('no lock')
    except BlockingIOError:
        pass
    fcntl.flock(one, fcntl.LOCK_UN)
    fcntl.flock(other, fcntl.LOCK_SH)
    fcntl.lockf(one, fcntl.LOCK_EX)
    child = ("import fcntl\\n"
             f"try: fcntl.lockf(open({folder!r} + '/lock', 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)\\n"
             "except BlockingIOError: print('held')")
    print(subprocess.run([sys.executable, '-c', child], capture_output=True, text=True).stdout, end='')
    data = sqlite3.connect(folder + '/a.db')
    data.execute('create table t (a)')
    with data:
        data.execute('insert into t values (1)')
    data.execute('pragma journal_mode=wal')
    print(sqlite3.connect(folder + '/a.db').execute('select * from t').fetchall())
"""


def test_locks_on_files_of_its_own_work(way: Run) -> None:
    assert told(way, OWN_LOCKS) == "held\n[(1,)]\n" * 3


# ---- devices -----------------------------------------------------------------------------------

TIMES = f"""
import ctypes, os
open('x', 'w').close()
for name in {DEVICES}:
    path = '/dev/' + name
    fd = os.open(path, os.O_RDWR)
    for attempt in (lambda: os.utime(path), lambda: os.utime(path, (1234567, 7654321)),
                    lambda: os.utime(fd, (1, 2)), lambda: os.chmod(path, 0), lambda: os.fchmod(fd, 0),
                    lambda: os.chown(path, 65534, 65534), lambda: os.rename(path, '/dev/x'),
                    lambda: os.unlink(path), lambda: os.setxattr(path, 'user.a', b'1')):
        try:
            attempt()
        except OSError:
            pass
"""
USES = """
import os
open('x', 'w').close()
with open('/dev/null', 'r+b', buffering=0) as null:
    print(null.write(b'lost'), null.read())
print(open('/dev/zero', 'rb').read(4), len(open('/dev/urandom', 'rb').read(16)))
print(len(os.urandom(8)), os.system('echo lost > /dev/null; cat /dev/null'))
"""


def host_devices() -> list[tuple[object, ...]]:
    found = [os.stat(f"/dev/{name}") for name in DEVICES]
    return [(each.st_mode, each.st_uid, each.st_mtime_ns, each.st_ino) for each in found]


def test_a_device_is_used_and_not_changed(way: Run) -> None:
    before = host_devices()
    assert told(way, USES) == "4 b''\nb'\\x00\\x00\\x00\\x00' 16\n8 0\n"
    told(way, TIMES)
    assert host_devices() == before
    assert told(way, USES) == "4 b''\nb'\\x00\\x00\\x00\\x00' 16\n8 0\n"


def test_the_next_script_in_a_jail_finds_devices_as_they_were() -> None:
    jails = Jails(CEILING)
    try:
        look = f"""
import os
open('x', 'w').close()
print([tuple(os.stat('/dev/' + n))[:7] + (os.stat('/dev/' + n).st_mtime_ns,) for n in {DEVICES}])
"""
        seen = [jails.warm(Script(source=each), LIMITS).stdout for each in (look, TIMES, look)]
        assert seen[0] == seen[2] != b""
    finally:
        jails.close()


def test_devices_of_jails_leave_nothing_on_the_host() -> None:
    jails = Jails(CEILING)
    try:
        for run in (jails.warm, jails.new):
            run(Script(source=USES), LIMITS)
        assert jails.backend._image is not None
        cache = jails.backend._image.root.parent
        assert [each for each in cache.glob("devices-*") if f".{os.getpid()}." in each.name] == []
    finally:
        jails.close()


# ---- notes of what others read -----------------------------------------------------------------

LISTEN = """
import fcntl, os, signal, time
open('x', 'w').close()
hits = []
signal.signal(signal.SIGIO, lambda *_: hits.append(1))
def refused(command, argument=0, path='/py/lib/python3.12/email'):
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.fcntl(fd, command, argument)
        return False
    except OSError:
        return True
NOTIFY = 1026
print(refused(NOTIFY, -0x80000000 | 0x3F), refused(NOTIFY, 1, '/box'))
print([refused(command) for command in (1024, 1025, 8, 10, 15, 1036, 1038)])
"""


def test_a_script_hears_of_nobody(way: Run) -> None:
    result = way(Script(source=LISTEN))
    if result.backend == "gvisor":  # its own kernel: what it grants lies in one sandbox
        assert result.status is Status.OK
    else:
        assert result.stdout == b"True True\n[True, True, True, True, True, True, True]\n"


ADVISE = """
import os
open('x', 'w').close()
for path in ('/py/bin/python3.12', '/py/lib/python3.12/email/mime/audio.py', 'x'):
    fd = os.open(path, os.O_RDONLY)
    for advice in (os.POSIX_FADV_SEQUENTIAL, os.POSIX_FADV_WILLNEED, os.POSIX_FADV_DONTNEED):
        try:
            os.posix_fadvise(fd, 0, 0, advice)
        except PermissionError:
            assert advice == os.POSIX_FADV_DONTNEED
print('advised')
"""


def test_advice_on_files_does_no_harm(way: Run) -> None:
    assert told(way, ADVISE) == "advised\n"


# ---- the network -------------------------------------------------------------------------------

SERVE = """
import http.server, socket, socketserver, sys, threading, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'from ' + self.path.encode())
    def log_message(self, *args):
        pass
for bind, name in (('127.0.0.1', '127.0.0.1'), ('localhost', 'localhost'), ('0.0.0.0', 'localhost'),
                   ('', '127.0.0.1')):
    with http.server.ThreadingHTTPServer((bind, 8765), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(urllib.request.urlopen(f'http://{name}:8765/a').read().decode())
        server.shutdown()
"""
DATAGRAMS = """
import socket
for family, address in ((socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1')):
    one, other = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
    one.bind((address, 0))
    other.sendto(b'hello', one.getsockname())
    print(one.recvfrom(10)[0])
"""
ASYNCIO = """
import asyncio
async def serve(reader, writer):
    writer.write((await reader.readline()).upper())
    writer.close()
async def main():
    server = await asyncio.start_server(serve, 'localhost', 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection('localhost', port)
    writer.write(b'hello\\n')
    print((await reader.read()).decode(), end='')
    writer.close()
    server.close()
asyncio.run(main())
"""


def test_a_script_serves_itself(way: Run) -> None:
    assert told(way, SERVE) == "from /a\n" * 4
    assert told(way, ASYNCIO) == "HELLO\n"
    if way(Script(source="open('/x', 'w')")).backend != "gvisor":  # has no ::1
        assert told(way, DATAGRAMS) == "b'hello'\n" * 2


def test_two_scripts_serve_the_same_port_at_once() -> None:
    with SyncExecutor(workers=2, limits=LIMITS) as executor:
        script = Script(source=SERVE + "import time; time.sleep(0.5)")

        async def both() -> list[ScriptResult]:
            run = executor._executor.run
            return list(await asyncio.gather(run(script), run(script)))

        for result in executor._call(both()):
            assert (result.status, result.signals) == (Status.OK, {}), result.stderr
            assert result.stdout == b"from /a\n" * 4


OUT = {
    "a machine": "socket.create_connection(('192.0.2.1', 80), 5)",
    "a machine (6)": "socket.create_connection(('2001:db8::1', 80), 5)",
    "a datagram": "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
    "a datagram (6)": "socket.socket(10, socket.SOCK_DGRAM).sendto(b'x', ('2001:db8::1', 53))",
    "a message": "socket.socket(type=socket.SOCK_DGRAM).sendmsg([b'x'], [], 0, ('10.1.2.3', 53))",
    "the cloud": "urllib.request.urlopen('http://169.254.169.254/', timeout=5)",
    "a connected datagram": "socket.socket(type=socket.SOCK_DGRAM).connect(('198.51.100.1', 9))",
    "asyncio": "asyncio.run(asyncio.open_connection('203.0.113.1', 443))",
}


@pytest.mark.parametrize("what", OUT)
def test_nothing_else_is_reached_and_the_attempt_is_a_sign(way: Run, what: str) -> None:
    source = f"import asyncio, socket, urllib.request\ntry:\n    {OUT[what]}\nexcept OSError as e:\n    print('caught')"
    result = way(Script(source=source))
    assert (result.status, result.stdout) == (Status.OK, b"caught\n"), result.stderr
    if result.backend != "gvisor":  # has a network stack of its own, out of sight
        assert result.signals == {Signal.FORBIDDEN_CALL: 1}


def test_names_are_looked_up_in_the_jail_only(way: Run) -> None:
    source = "import socket\ntry:\n    socket.getaddrinfo('example.com', 80)\nexcept socket.gaierror:\n    print('unknown')"
    assert told(way, source) == "unknown\n"


def test_a_sign_of_a_shell() -> None:
    jails = Jails(CEILING)
    try:
        for run in (jails.warm, jails.new):
            script = Script(
                source="(echo > /dev/tcp/192.0.2.1/80) 2> /dev/null; echo on", language="bash"
            )
            result = run(script, LIMITS)
            assert (result.stdout, result.signals) == (b"on\n", {Signal.FORBIDDEN_CALL: 1})
    finally:
        jails.close()


def test_what_sockets_hold_is_bounded(way: Run) -> None:
    source = """
import socket
held, sockets = 0, []
server = socket.create_server(('127.0.0.1', 0))
try:
    for _ in range(200):
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
        sockets += [one, other]
        for each in (one, other):
            each.setblocking(False)
            while True:
                try:
                    held += each.send(bytes(1 << 20))
                except BlockingIOError:
                    break
except OSError:
    pass
print(held < 400 << 20)
"""
    result = way(Script(source=source))
    if result.status is Status.OK and result.backend != "gvisor":
        assert result.stdout == b"True\n"


# ---- limits of its own -------------------------------------------------------------------------

STACK = """
import resource, sys, threading
open('x', 'w').close()
soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
print(soft >> 20)
resource.setrlimit(resource.RLIMIT_STACK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
threading.stack_size(64 << 20)
sys.setrecursionlimit(1 << 20)
def depth(n):
    return 0 if n == 0 else 1 + depth(n - 1)
thread = threading.Thread(target=lambda: print(depth(50_000)))
thread.start()
thread.join()
"""


def test_a_script_raises_the_limit_of_its_stack(way: Run) -> None:
    assert told(way, STACK) == "8\n50000\n"


def test_a_program_that_asks_for_a_larger_stack_goes_on() -> None:
    program = """
import resource
try:
    resource.setrlimit(resource.RLIMIT_STACK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
except ValueError:
    pass
def f(x):
    try:
        resource.setrlimit(resource.RLIMIT_STACK, (1 << 30, 1 << 30))
    except ValueError:
        return x + 1
    return x + 1
"""
    with SyncExecutor(workers=2) as executor:
        options = Options(rules=OPEN_RULES)
        verdict = executor.validate(triplet(program, "1"), options=options)
        assert (verdict.status, verdict.outputs, verdict.signals) == (Status.OK, ("2",), {})
        other = body("import resource", "resource.setrlimit(resource.RLIMIT_NPROC, (9, 9))")
        assert executor.validate(triplet(other, "1"), options=options).status is Status.FORBIDDEN

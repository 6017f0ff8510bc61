"""Walls that an attack alone does not show, because another wall stands before or behind them:
seen from the host, on every process of a pool."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from executor import Limits, Script, Status, SyncExecutor
from tests.cases.forbidden import OPEN_DESCRIPTORS
from tests.support.programs import OPEN_RULES, body, value, verdict
from tests.support.waiting import wait_until

MAIN = "/guest/executor/guest/main.py"
NAMESPACES = ("user", "pid", "net", "ipc", "uts", "mnt", "cgroup")
SLEEPER = "import time\nopen('x', 'w').close()\ntime.sleep({seconds})"
"""A script that needs a jail, because it writes a file, and lives long enough to be looked at."""


@pytest.fixture(scope="module")
def pool() -> Iterator[SyncExecutor]:
    limits = Limits(cpu_s=2, wall_s=20, memory_mib=128, output_kib=64, files_mib=4, processes=8)
    with SyncExecutor(workers=1, limits=limits, rules=OPEN_RULES, cache=False) as executor:
        yield executor


INNER = {"jail": "pid 1", "zygote": "slot"}
"""What a warm jail makes for each script; what a zygote runs programs in, where it is reset."""


def guests() -> dict[str, psutil.Process]:
    """The warm guests of this process by role, and ``run``, a script at work."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        try:
            command = process.cmdline()
            above = process.parent()
            is_inner = above is not None and MAIN in above.cmdline()
        except psutil.Error:
            continue
        if MAIN in command:
            role = command[command.index(MAIN) + 1]
            # What a guest forks has its command line.
            found[INNER[role] if is_inner else role] = process
        elif "/box/script.py" in command:
            found["run"] = process
    return found


class Seen(NamedTuple):
    """What the host sees of one process."""

    namespaces: dict[str, str]
    status: dict[str, str]
    mounts: list[str]
    devices: list[str]
    routes: str
    groups: dict[str, int]
    """Ceilings of its control groups."""
    limits: dict[int, tuple[int, int]]


KINDS = (psutil.RLIMIT_NPROC, psutil.RLIMIT_NOFILE, psutil.RLIMIT_FSIZE, psutil.RLIMIT_CORE,
         psutil.RLIMIT_AS, psutil.RLIMIT_CPU)  # fmt: skip


def look(process: psutil.Process) -> Seen:
    about = Path(f"/proc/{process.pid}")
    status = (line.partition(":") for line in (about / "status").read_text().splitlines())
    return Seen(
        namespaces={name: os.readlink(about / "ns" / name) for name in NAMESPACES},
        status={name: told.strip() for name, _, told in status},
        mounts=(about / "mountinfo").read_text().splitlines(),
        devices=(about / "net/dev").read_text().splitlines()[2:],
        routes=(about / "net/fib_trie").read_text(),
        groups=ceilings((about / "cgroup").read_text()),
        limits={kind: process.rlimit(kind) for kind in KINDS},
    )


def starting(pool: SyncExecutor) -> int:
    """How many jails do not have all of their walls yet."""
    return pool.stats().pool.script_jails["starting"]


@pytest.fixture(scope="module")
def seen(pool: SyncExecutor) -> dict[str, Seen]:
    """All kinds of guests, and a script at work in a jail, by role."""
    if os.geteuid() != 0:
        pytest.skip("only root may look at processes that hide from their own user")
    assert value(pool, body("import json", "return x")) == "0"
    script = Script(source=SLEEPER.format(seconds=8))
    at_work = threading.Thread(target=pool.run, args=(script,))
    at_work.start()
    try:
        wait_until(lambda: "run" in guests() and not starting(pool))
        found = {role: look(process) for role, process in guests().items()}
    finally:
        at_work.join()
    slots = {"slot"} if pool.info.process_reuse == "reset" else set()
    assert found.keys() == {"zygote", "parser", "script", "jail", "pid 1", "run"} | slots
    return found


def limit(process: Seen, kind: int) -> int:
    soft, hard = process.limits[kind]
    assert soft == hard
    return soft


def test_an_honest_program_and_an_honest_script_run(pool: SyncExecutor) -> None:
    """Also the control of the mutation check: it must pass whatever protection is off."""
    assert value(pool, body("return x + 1"), "1") == "2"
    assert value(pool, body("import math", "return math.floor(math.pi)")) == "3"
    assert pool.run(Script(source="print(1)")).stdout == b"1\n"
    saved = pool.run(Script(source="open('a', 'w').write('b')", collect=("a",)))
    assert saved.files == {"a": b"b"}


def test_every_guest_has_namespaces_of_its_own(seen: dict[str, Seen]) -> None:
    for name in NAMESPACES:
        own = os.readlink(f"/proc/self/ns/{name}")
        inside = {role: each.namespaces[name] for role, each in seen.items()}
        assert own not in inside.values(), (name, inside)
        roles = inside.keys() - {"run", "slot"}
        if name in ("user", "cgroup"):  # of which there is one for all scripts of a warm jail
            roles -= {"pid 1"}
        assert len({inside[role] for role in roles}) == len(roles), (name, inside)


def test_every_guest_is_filtered_and_cannot_gain_privileges(
    seen: dict[str, Seen],
) -> None:
    for role, process in seen.items():
        about = process.status
        assert about["NoNewPrivs"] == "1", role
        assert about["Seccomp"] == ("0" if role == "jail" else "2"), role
        # A warm jail makes namespaces and mounts, and switches on loopback, in its own user
        # namespace: nothing else.
        held = "0000000000201100" if role == "jail" else "0000000000000000"
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert about[name] in ("0000000000000000", held), (role, name, about[name])
        assert int(about["Uid"].split()[0]) >= 1_900_000_000, role
        assert int(about["Gid"].split()[0]) >= 1_900_000_000, role


def test_the_root_of_every_guest_is_read_only(seen: dict[str, Seen]) -> None:
    for role, process in seen.items():
        mounts = process.mounts
        roots = [line.split()[5] for line in mounts if line.split()[4] == "/"]
        assert roots, role
        assert "ro" in roots[-1].split(","), (role, roots)
        assert all("nosuid" in line.split()[5] for line in mounts), role
        kinds = {line.partition(" - ")[2].split()[0] for line in mounts}
        assert not kinds & {"proc", "sysfs", "cgroup", "cgroup2"}, (role, kinds)


def test_every_guest_has_limits_of_its_own(seen: dict[str, Seen]) -> None:
    for role, process in seen.items():
        assert limit(process, psutil.RLIMIT_NPROC) <= 16, role
        assert limit(process, psutil.RLIMIT_NOFILE) <= 512, role
        assert limit(process, psutil.RLIMIT_FSIZE) <= 4 << 20, role
        assert limit(process, psutil.RLIMIT_CORE) == 0, role
    script = seen["run"]
    assert limit(script, psutil.RLIMIT_AS) <= 160 << 20
    assert limit(script, psutil.RLIMIT_CPU) <= 5


def test_a_function_has_the_limits_of_its_run(pool: SyncExecutor) -> None:
    program = body(
        "import resource as r",
        "kinds = r.RLIMIT_NPROC, r.RLIMIT_CPU, r.RLIMIT_CORE",
        "return [r.getrlimit(kind) for kind in kinds]",
    )
    assert value(pool, program) == "[(0, 0), (2, 2), (0, 0)]"


def test_a_function_is_told_no_limit_of_memory(pool: SyncExecutor) -> None:
    """What it has depends on what its guest has loaded; attacks that grow show that it holds."""
    program = body("import resource as r", "return r.getrlimit(r.RLIMIT_AS)")
    assert value(pool, program) == "(-1, -1)"


FORGED = (
    OPEN_DESCRIPTORS
    + """
def f(x):
    value = b'i' + (666).to_bytes(4, 'little')
    records = b'\\0' + b'\\0' + len(value).to_bytes(4, 'little') + value
    frame = {nonce} + len(records).to_bytes(4, 'little') + records
    os.write(descriptors()[-1][0], frame)
    os._exit(0)
"""
)


@pytest.mark.parametrize("nonce", ["bytes(8)", "os.urandom(8)", "b''"])
def test_a_complete_frame_without_the_nonce_is_forged(pool: SyncExecutor, nonce: str) -> None:
    result = verdict(pool, FORGED.replace("{nonce}", nonce))
    assert result.status is Status.CRASHED, result.outputs
    assert not result.outputs or result.outputs[0] is None


def test_no_guest_has_the_environment_of_the_host(
    pool: SyncExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may look at processes that hide from their own user")
    monkeypatch.setenv("HOST_SECRET", "hunter2")
    with SyncExecutor(workers=1, rules=OPEN_RULES) as executor:
        shown = executor.run(Script(source="import os\nprint(os.environ)", files={"a": b""}))
        assert b"hunter2" not in shown.stdout
        processes = psutil.Process().children(recursive=True)
        assert len(processes) > 8
        for process in processes:
            try:
                environment = Path(f"/proc/{process.pid}/environ").read_bytes()
            except OSError:  # it has ended
                continue
            assert b"hunter2" not in environment, process


RESTLESS = """
import os, time
with open('n0', 'wb') as file:
    file.write(bytes(2000))
for number in range(1, 400):
    os.link('n0', f'n{number}')
if not os.fork():
    os.setsid()
    handle, count = os.open('n0', os.O_WRONLY), 0
    while True:
        count += 1
        os.pwrite(handle, str(count).encode() * 200, 0)
time.sleep(0.05)
"""


def test_what_a_script_left_running_is_gone_before_files_are_collected(pool: SyncExecutor) -> None:
    """A file that is never at rest while its writer lives, under many names: all must be alike."""
    names = tuple(f"n{number}" for number in range(400))
    result = pool.run(Script(source=RESTLESS, collect=names))
    assert result.status is Status.OK, result.detail
    assert set(result.files) == set(names)
    assert len(set(result.files.values())) == 1


def test_what_a_run_sees_of_the_clock_and_the_process_differs(pool: SyncExecutor) -> None:
    for what in ("time.time() // 86400", "os.getpid()"):
        assert verdict(pool, body("import os, time", f"return {what}")).status is (
            Status.NONDETERMINISTIC
        )


def test_no_network_device_is_up_but_the_loopback_device_of_a_script(
    seen: dict[str, Seen],
) -> None:
    for role, process in seen.items():
        assert {line.split(":")[0].strip() for line in process.devices} <= {"lo"}, role
        assert ("127.0.0.1" in process.routes) == (role in ("pid 1", "run")), role
        addresses = re.findall(r"\|-- (\d\S*)", process.routes)
        assert {each.split(".")[0] for each in addresses} <= {"127"}, role


def test_every_guest_is_in_a_control_group_with_ceilings(
    pool: SyncExecutor, seen: dict[str, Seen]
) -> None:
    if any("control groups" in warning for warning in pool.info.warnings):
        pytest.skip("no control groups can be made here")
    for role, process in seen.items():
        assert process.groups["processes"] <= 24, role
        assert process.groups["memory"] <= 640 << 20, role


def ceilings(groups: str) -> dict[str, int]:
    """The limits of the control groups of a process; of either version."""
    found = {}
    root = Path("/sys/fs/cgroup")
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        for name, tree, v1, v2 in (
            ("memory", "memory", "memory.limit_in_bytes", "memory.max"),
            ("processes", "pids", "pids.max", "pids.max"),
        ):
            if tree in controllers.split(","):
                file = root / tree / path.lstrip("/") / v1
            else:
                file = root / path.lstrip("/") / v2
            if (controllers in ("", tree)) and file.is_file():
                text = file.read_text().strip()
                found[name] = 1 << 62 if text == "max" else int(text)
    return found

"""Control groups: real processes in real groups where the machine has them."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from executor.backends.host import cgroups
from executor.backends.host.cgroups import (
    Cgroup,
    CgroupFactory,
    CgroupV1,
    CgroupV2,
    find_cgroups,
    open_cgroups,
)
from executor.backends.host.owner import is_gone
from executor.errors import BackendUnavailable
from tests.support.waiting import wait_until

MIB = 1 << 20
PARENT = f"absolute-zero-test-{os.getpid()}"
SLEEP = ["/bin/sleep", "600"]


@pytest.fixture
def factory() -> Iterator[CgroupFactory]:
    if find_cgroups() is None:
        with pytest.raises(BackendUnavailable, match=r"(denied|Read-only|lacks|neither)") as raised:
            open_cgroups(parent=PARENT)
        pytest.skip(str(raised.value))
    factory = open_cgroups(parent=PARENT)
    yield factory
    left = [child for parent in factory.parents for child in cgroups._children(parent)]
    factory.close()
    assert left == []
    assert not any(parent.exists() for parent in factory.parents)


@pytest.fixture
def group(factory: CgroupFactory) -> Iterator[Cgroup]:
    group = factory.create("test", memory_bytes=64 * MIB, processes=8)
    yield group
    group.remove()


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def run_python(group: Cgroup, code: str) -> subprocess.CompletedProcess[str]:
    command = group.wrap([sys.executable, "-I", "-S", "-c", code])
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_wrapped_command_keeps_its_arguments_and_its_pid(group: Cgroup) -> None:
    code = "import os, sys; print(os.getpid(), sys.argv[1:])"
    arguments = ["a b", "", "$HOME", "'\"", "*", "-n"]
    command = group.wrap([sys.executable, "-c", code, *arguments])
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    out, _ = process.communicate(timeout=30)
    assert out == f"{process.pid} {arguments}\n"


def test_wrapped_command_is_in_the_group_from_its_first_instruction(group: Cgroup) -> None:
    process = subprocess.Popen(group.wrap(["/bin/sh", "-c", "sleep 600 & wait"]))
    wait_until(lambda: len(group.pids()) == 2)
    assert process.pid in group.pids()
    group.kill()
    assert process.wait(60) == -signal.SIGKILL


def test_wrap_fails_with_255_when_the_group_is_gone(factory: CgroupFactory) -> None:
    group = factory.create("gone", memory_bytes=64 * MIB, processes=8)
    group.remove()
    done = subprocess.run(group.wrap(["/bin/echo", "ran"]), capture_output=True, check=False)
    assert done.returncode == 255
    assert done.stdout == b""


def test_added_process_is_a_member(group: Cgroup) -> None:
    process = subprocess.Popen(SLEEP)
    assert group.pids() == []
    group.add(process.pid)
    assert group.pids() == [process.pid]
    group.kill()
    assert process.wait(60) == -signal.SIGKILL


def peak_kib(group: Cgroup) -> int:
    """The most memory in use at once."""
    memory = group.directories[0]
    files = (memory / "memory.max_usage_in_bytes", memory / "memory.peak")
    return next(int(file.read_text()) for file in files if file.exists()) // 1024


def test_memory_hog_is_killed_and_counted(group: Cgroup) -> None:
    assert group.memory_kills() == 0
    assert run_python(group, "bytearray(256 << 20)").returncode == -signal.SIGKILL
    assert group.memory_kills() == 1
    assert peak_kib(group) == 64 * 1024


def test_memory_below_the_limit_is_no_kill(group: Cgroup) -> None:
    assert run_python(group, "bytearray(32 << 20)").returncode == 0
    assert group.memory_kills() == 0
    assert 32 * 1024 <= peak_kib(group) < 64 * 1024


def test_hog_in_a_child_process_is_counted_and_its_parent_lives(group: Cgroup) -> None:
    code = """
import os
pid = os.fork()
if not pid:
    bytearray(256 << 20)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert run_python(group, code).stdout == "-9\n"
    assert group.memory_kills() == 1


def test_process_limit_is_counted(group: Cgroup) -> None:
    assert group.process_limit_hits() == 0
    code = """
import os, time
forks = 0
try:
    while os.fork():
        forks += 1
    time.sleep(600)
except BlockingIOError:
    print(forks)
"""
    command = group.wrap([sys.executable, "-I", "-S", "-c", code])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "7\n"
        assert group.process_limit_hits() == 1
        group.kill()


def test_kill_ends_a_fork_bomb(factory: CgroupFactory) -> None:
    group = factory.create("bomb", memory_bytes=256 * MIB, processes=64)
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    process = subprocess.Popen(group.wrap([sys.executable, "-I", "-S", "-c", bomb]))
    wait_until(lambda: group.process_limit_hits() > 10)
    pids = group.pids()
    group.kill()
    assert group.pids() == []
    assert not any(alive(pid) for pid in pids)
    assert process.wait(60) == -signal.SIGKILL
    group.remove()


def test_kill_reaches_a_process_that_left_its_session(group: Cgroup) -> None:
    code = """
import os, time
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
time.sleep(600)
"""
    assert run_daemon(group, code) == 0
    daemon = group.pids()
    assert len(daemon) == 1
    group.kill()
    assert not alive(daemon[0])


def run_daemon(group: Cgroup, code: str) -> int:
    returncode = subprocess.call(group.wrap([sys.executable, "-I", "-S", "-c", code]))
    wait_until(lambda: len(group.pids()) == 1)
    return returncode


def test_remove_kills_leaves_no_directory_and_can_be_repeated(factory: CgroupFactory) -> None:
    group = factory.create("again", memory_bytes=64 * MIB, processes=8)
    process = subprocess.Popen(group.wrap(SLEEP))
    wait_until(lambda: group.pids() == [process.pid])
    group.remove()
    assert process.wait(60) == -signal.SIGKILL
    assert not any(directory.exists() for directory in group.directories)
    group.remove()
    assert group.pids() == []


def test_remove_is_not_confused_by_a_zombie(factory: CgroupFactory) -> None:
    group = factory.create("zombie", memory_bytes=64 * MIB, processes=8)
    process = subprocess.Popen(group.wrap(["/bin/true"]))
    wait_until(lambda: not alive(process.pid))
    group.remove()
    assert not any(directory.exists() for directory in group.directories)
    assert process.wait(60) == 0


def test_groups_of_the_same_name_are_distinct(factory: CgroupFactory) -> None:
    groups = [factory.create("same", memory_bytes=64 * MIB, processes=8) for _ in range(3)]
    assert len({directory for group in groups for directory in group.directories}) == 3 * len(
        groups[0].directories
    )
    for group in groups:
        group.remove()


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "a\n", "x" * 41])
def test_bad_name_is_refused(factory: CgroupFactory, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be part"):
        factory.create(name, memory_bytes=64 * MIB, processes=8)


def test_failed_create_leaves_nothing(factory: CgroupFactory) -> None:
    with pytest.raises(OSError, match=r"pids\.max|memory\.|Invalid"):
        factory.create("bad", memory_bytes=64 * MIB, processes=-7)
    assert [child for parent in factory.parents for child in cgroups._children(parent)] == []


def test_stale_group_of_a_dead_owner_is_reaped_with_its_processes(factory: CgroupFactory) -> None:
    code = f"""
import os, subprocess
from executor.backends.host.cgroups import open_cgroups
group = open_cgroups(parent={PARENT!r}).create("orphan", memory_bytes=64 << 20, processes=8)
process = subprocess.Popen(group.wrap(["/bin/sleep", "600"]), stdout=-3, stderr=-3)  # -3: DEVNULL
while process.pid not in group.pids():
    pass
print(process.pid, *group.directories, flush=True)
os._exit(0)
"""
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    orphan, directories = int(out[0]), [Path(path) for path in out[1:]]
    assert alive(orphan)
    assert all(directory.exists() for directory in directories)
    assert factory.reap_stale() == 1
    assert not alive(orphan)
    assert not any(directory.exists() for directory in directories)
    assert factory.reap_stale() == 0


def test_group_of_a_living_owner_is_not_reaped(factory: CgroupFactory, group: Cgroup) -> None:
    process = subprocess.Popen(group.wrap(SLEEP))
    wait_until(lambda: group.pids() == [process.pid])
    assert factory.reap_stale() == 0
    assert group.pids() == [process.pid]
    group.kill()
    process.wait(60)


def test_reused_pid_does_not_protect_a_stale_group(factory: CgroupFactory, group: Cgroup) -> None:
    name = group.directories[0].name
    owner = cgroups._owner(name)
    host, pid, start = owner.rsplit(".", 2)
    assert not is_gone(owner)
    assert is_gone(f"{host}.{pid}.{int(start) - 1}")


@pytest.mark.parametrize("name", ["", "other", "1.2.3", "system.slice", "1.1.1.1.x"])
def test_foreign_directory_is_never_stale(name: str) -> None:
    assert not is_gone(cgroups._owner(name))


def test_executors_that_share_a_parent_do_not_disturb_each_other(factory: CgroupFactory) -> None:
    errors: list[Exception] = []

    def work() -> None:
        try:
            for _ in range(25):
                group = factory.create("race", memory_bytes=64 * MIB, processes=8)
                group.remove()
                factory.close()
                factory.reap_stale()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_nothing_to_serve_is_said(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match=r"neither cgroup\.controllers .* memory, pids"):
        open_cgroups(tmp_path)
    assert find_cgroups(tmp_path) is None


def test_missing_controller_of_version_2_is_named(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu io memory\n")
    with pytest.raises(BackendUnavailable, match="lacks the controllers: pids"):
        open_cgroups(tmp_path)


def test_refusal_of_the_kernel_is_quoted(tmp_path: Path) -> None:
    for controller in CgroupV1.CONTROLLERS:
        (tmp_path / controller).mkdir()
        (tmp_path / controller / "cgroup.procs").touch()
    # An ordinary directory: groups can be made but have none of the kernel's files.
    with pytest.raises(BackendUnavailable, match=r"version 1.*No such file"):
        open_cgroups(tmp_path)
    assert not list(tmp_path.glob("*/absolute-zero"))


# --- Version 2. Its memory and pids controllers cannot be had on a version 1 machine: what is
# --- written to them is checked on a tree of ordinary files that imitates the kernel's.

V2_FILES = {
    "cgroup.procs": "",
    "cgroup.subtree_control": "",
    "memory.max": "max\n",
    "memory.swap.max": "max\n",
    "memory.oom.group": "1\n",
    "memory.events": "low 0\nhigh 0\nmax 9\noom 3\noom_kill 2\noom_group_kill 0\n",
    "memory.peak": f"{5 * MIB}\n",
    "pids.max": "max\n",
    "pids.events": "max 4\n",
}


@pytest.fixture
def unified_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make, remove = os.mkdir, os.rmdir

    def mkdir(path: Path) -> None:
        make(path)
        for name, text in V2_FILES.items():
            (path / name).write_text(text)

    def rmdir(path: Path) -> None:
        if not any(child.is_dir() for child in path.iterdir()):
            for child in path.iterdir():  # the kernel's files vanish with their group
                child.unlink()
        remove(path)

    root = tmp_path / "cgroup"
    mkdir(root)
    (root / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids\n")
    monkeypatch.setattr(os, "mkdir", mkdir)
    monkeypatch.setattr(os, "rmdir", rmdir)
    return root


def test_version_2_limits_are_written(unified_tree: Path) -> None:
    factory = open_cgroups(unified_tree)
    assert factory.version == 2
    group = factory.create("jail", memory_bytes=64 * MIB, processes=8)
    (directory,) = group.directories
    assert directory.parent == unified_tree / "absolute-zero"
    written = {name: (directory / name).read_text().split("\n")[0] for name in V2_FILES}
    assert written["memory.max"] == str(64 * MIB)
    assert written["memory.swap.max"].startswith("0")
    assert written["memory.oom.group"] == "0"
    assert written["pids.max"].startswith("8")


def test_version_2_controllers_are_enabled_downwards(unified_tree: Path) -> None:
    group = open_cgroups(unified_tree).create("jail", memory_bytes=MIB, processes=8)
    for directory in (unified_tree, unified_tree / "absolute-zero"):
        assert (directory / "cgroup.subtree_control").read_text() == "+memory +pids"
    # A group with processes may not have controllers for children: ours is a leaf.
    assert (group.directories[0] / "cgroup.subtree_control").read_text() == ""


def test_version_2_counters_are_read(unified_tree: Path) -> None:
    group = open_cgroups(unified_tree).create("jail", memory_bytes=MIB, processes=8)
    assert group.memory_kills() == 2
    assert group.process_limit_hits() == 4


def test_version_2_groups_and_parent_are_removed(unified_tree: Path) -> None:
    factory = open_cgroups(unified_tree)
    first, second = (factory.create("jail", memory_bytes=MIB, processes=8) for _ in range(2))
    first.remove()
    factory.close()
    assert second.directories[0].exists()
    second.remove()
    factory.close()
    assert not (unified_tree / "absolute-zero").exists()


@pytest.fixture(params=["cgroup.kill", "each process"])
def unified_group(request: pytest.FixtureRequest) -> Iterator[CgroupV2]:
    """A real version 2 group; of it everything but the limits works without controllers."""
    mounted = [
        Path(line.split()[1])
        for line in Path("/proc/mounts").read_text().splitlines()
        if line.split()[2] == "cgroup2"
    ]
    if not mounted or not os.access(mounted[0], os.W_OK):
        assert not mounted or os.geteuid() != 0 or os.statvfs(mounted[0]).f_flag & os.ST_RDONLY
        pytest.skip("no writable version 2 hierarchy is mounted")
    path = mounted[0] / f"{PARENT}-{next(itertools.count())}"
    path.mkdir()
    group = (CgroupV2 if request.param == "cgroup.kill" else WithoutKillFile)((path,))
    yield group
    group.remove()
    assert not path.exists()


class WithoutKillFile(CgroupV2):
    """As on Linux before 5.14."""

    KILL_FILE = "absent"


def test_version_2_kill_ends_everything(unified_group: CgroupV2) -> None:
    process = subprocess.Popen(unified_group.wrap(["/bin/sh", "-c", "sleep 600 & sleep 600"]))
    wait_until(lambda: len(unified_group.pids()) == 3)
    pids = unified_group.pids()
    unified_group.kill()
    assert unified_group.pids() == []
    assert not any(alive(pid) for pid in pids)
    assert process.wait(60) == -signal.SIGKILL


def test_version_2_remove_kills_a_member_that_was_added(unified_group: CgroupV2) -> None:
    process = subprocess.Popen(SLEEP)
    unified_group.add(process.pid)
    assert unified_group.pids() == [process.pid]
    unified_group.remove()
    assert process.wait(60) == -signal.SIGKILL
    assert not unified_group.directories[0].exists()

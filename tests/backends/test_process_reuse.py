"""Whether processes are put back or forked: chosen at the start, told, and the same verdicts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from executor import BackendUnavailable, Limits, Status, SyncExecutor
from executor.backends.base import ProcessReuse
from executor.backends.nsjail import backend as nsjail
from executor.backends.settings import NsjailSettings, ProcessSettings
from tests.support.programs import OPEN_RULES, body, ending, triplet

pytestmark = pytest.mark.long


def opened(reuse: str) -> SyncExecutor:
    settings = NsjailSettings.model_validate({"process_reuse": reuse})
    limits = Limits(cpu_s=1, wall_s=30, memory_mib=256, output_kib=64)
    return SyncExecutor(settings, workers=2, limits=limits, rules=OPEN_RULES, cache=False)


@pytest.fixture
def no_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host on which the trial at the start fails."""
    monkeypatch.setattr(nsjail, "_PROVEN", dict[Path, bool]())
    monkeypatch.setattr(nsjail, "_AUDIT", "proc=/nowhere")


def test_forks_can_be_asked_for() -> None:
    with opened("fork") as executor:
        assert executor.info.process_reuse == "fork"
        assert not any("reset" in warning for warning in executor.info.warnings)


def test_the_environment_sets_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for wanted in ("fork", "reset", "auto"):
        monkeypatch.setenv("EXECUTOR_PROCESS_REUSE", wanted)
        assert NsjailSettings().process_reuse == wanted
    monkeypatch.setenv("EXECUTOR_PROCESS_REUSE", "sometimes")
    with pytest.raises(ValueError, match="process_reuse"):
        NsjailSettings()


@pytest.mark.usefixtures("no_reset")
def test_where_none_can_be_reset_each_run_is_a_fork_and_a_warning_says_why() -> None:
    with opened("auto") as executor:
        assert executor.info.process_reuse == "fork"
        (warning,) = [text for text in executor.info.warnings if "reset" in text]
        assert "/nowhere" in warning
        assert executor.validate(triplet(body("return x"))).valid


@pytest.mark.usefixtures("no_reset")
def test_who_insists_on_a_reset_is_told_what_is_missing() -> None:
    with pytest.raises(BackendUnavailable, match="/nowhere"), opened("reset"):
        pass


_IN_A_CONTAINER = """
from executor import SyncExecutor, Triplet
from executor.backends.settings import NsjailSettings
program = '''
import os
def f(count):
    found = []
    for number in range(count):
        try:
            os.fstat(number)
            found.append(number)
        except OSError:
            pass
    return found, os.access('/proc/self', 0)
'''
with SyncExecutor(NsjailSettings(process_reuse="reset"), workers=2) as executor:
    run = executor.validate(Triplet(program="def f(x):\\n    return -x", inputs=("1",)))
    print(run.outputs, executor.validate(Triplet(program=program, inputs=("99",))).outputs)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="hides a part of /proc")
def test_processes_are_reset_where_parts_of_proc_are_hidden_and_programs_do_not_find_it() -> None:
    """As in a container: no other procfs can be mounted, so guests get a descriptor of this one."""
    hidden = 'mount -t tmpfs none /proc/irq && exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", hidden, "sh", sys.executable, "-c", _IN_A_CONTAINER],
        capture_output=True, text=True, check=False, cwd=Path(nsjail.__file__).parents[2],
    )  # fmt: skip
    assert done.stdout == "('-1',) ('([0, 1, 2, 3], False)',)\n", done.stderr


def test_the_reason_is_short() -> None:
    log = "the guest did not start. Its log: [E] Failed to mount mandatory point: '/tmp' | [E] more"
    assert nsjail._why(log).startswith("no procfs can be mounted")
    assert nsjail._why("Its log: Traceback | OSError: ptrace: not permitted") == (
        "ptrace: not permitted"
    )


def test_a_backend_without_isolation_forks() -> None:
    with SyncExecutor(ProcessSettings(), workers=2) as executor:
        assert executor.info.process_reuse == "fork"


ENDINGS = {
    "a value": (body("return [x, {'a': (1.5, None)}]"), Status.OK),
    "an error": (body("return [][x]"), Status.ERROR),
    "an exit": (body("exit()"), Status.ERROR),
    "a direct exit": (body("import os", "os._exit(0)"), Status.CRASHED),
    "endless recursion": (body("return f(x)"), Status.ERROR),
    "deep recursion that ends": (
        "import sys\nsys.setrecursionlimit(10**5)\n" + body("return x if x > 20_000 else f(x + 1)"),
        Status.OK,
    ),
    "CPU time": (body("while True: pass"), Status.CPU_LIMIT),
    "wall time": (body("import time", "time.sleep(99)"), Status.WALL_LIMIT),
    "memory": (body("return len(bytearray(1 << 30))"), Status.MEMORY_LIMIT),
    "much memory, but enough": (body("return len(bytearray(100 << 20))"), Status.OK),
    "a large value": (body("return 'x' * (1 << 20)"), Status.OUTPUT_LIMIT),
    "an object": (body("return object()"), Status.UNSERIALIZABLE),
    "a socket": (body("import socket", "socket.socket()"), Status.FORBIDDEN),
    "a fork": (body("import os", "os.fork()"), Status.FORBIDDEN),
    "a module from disk": (body("import json", "return json.dumps([x])"), Status.OK),
    "a late module from disk": (
        body("import time", "time.sleep(1.5)", "import csv", "return len(csv.__name__)"),
        Status.OK,
    ),
    "a late call after much time": (
        body("import time", "time.sleep(1.9)", "open('/dev/null').close()", "return 1"),
        Status.OK,
    ),
    "what was used": (body("import resource", "return resource.getrlimit(0)[0]"), Status.OK),
    "tampering": (body("import builtins", "builtins.len = None", "return 1"), Status.OK),
    "chance": (body("import os", "return os.urandom(4)"), Status.NONDETERMINISTIC),
}


@pytest.mark.parametrize("what", ENDINGS)
def test_both_ways_end_alike(both: dict[ProcessReuse, SyncExecutor], what: str) -> None:
    program, status = ENDINGS[what]
    reset, forked = (ending(both[reuse], program, status) for reuse in ("reset", "fork"))
    assert reset.status is status, reset.detail
    volatile = {"usage", "detail"} if status is Status.NONDETERMINISTIC else {"usage"}
    assert reset.model_dump(exclude=volatile) == forked.model_dump(exclude=volatile)


@pytest.fixture(scope="module")
def both() -> Iterator[dict[ProcessReuse, SyncExecutor]]:
    """An executor of each kind."""
    try:
        with opened("reset") as reset, opened("fork") as forked:
            yield {"reset": reset, "fork": forked}
    except BackendUnavailable as error:
        if "a run: " in str(error):  # a slot was made, and could not be put back
            raise
        pytest.skip(str(error))

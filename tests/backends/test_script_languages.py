"""Scripts in bash and pytest: what they get from the image, and how they end."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from executor import InputError, Limits, Script, ScriptResult, Status, SyncExecutor
from executor.backends.image import build as images
from executor.wire.scripts import check_language

pytestmark = pytest.mark.long


def bash(sandbox: SyncExecutor, source: str, **options: object) -> ScriptResult:
    return sandbox.run(Script(source=source, language="bash", **options))


def test_bash_runs_with_arguments_input_and_exit_code(sandbox: SyncExecutor) -> None:
    source = 'read -r line; echo "$line $1 $# ${BASH_VERSION:+bash}"; echo oops >&2; exit 3'
    result = bash(sandbox, source, argv=("a b", "c"), stdin="in\n")
    assert (result.status, result.exit_code) == (Status.ERROR, 3)
    assert (result.stdout, result.stderr) == (b"in a b 2 bash\n", b"oops\n")


TOOLS = {
    "text": ("printf 'b 2\\na 1\\n' | sort | sed s/a/x/ | awk '{print $2, $1}'", b"1 x\n2 b\n"),
    "files": ("mkdir -p d/e; echo hi > d/e/f; find . -name f; cp d/e/f g; cat g", b"./d/e/f\nhi\n"),
    "archives": (
        "echo hi > f; tar czf f.tgz f; rm f; tar xzf f.tgz; grep -c hi f; gzip f; zcat f.gz",
        b"1\nhi\n",
    ),
    "differences": ("echo a > x; echo b > y; diff x y | head -1; cmp -s x y; echo $?", b"1c1\n1\n"),
    "pipes": ("yes | head -1; (sleep 0.1; echo late) & echo early; wait", b"y\nearly\nlate\n"),
    "python": ("python3 -c 'print(6 * 7)'; python - <<< 'print(1)'", b"42\n1\n"),
    "sh": ("sh -c 'echo $0 $1' a b; which sh", b"a b\n/usr/bin/sh\n"),
    "a shebang": (
        "printf '#!/usr/bin/env python3\\nprint(5)' > t; chmod +x t; ./t; timeout 5 ./t", b"5\n5\n",
    ),
    "characters": ("x=äöü; echo ${#x}; printf äöü | wc -m", b"3\n3\n"),
    "randomness": ("head -c 9 /dev/urandom | wc -c; head -c 9 /dev/zero | wc -c", b"9\n9\n"),
    "the user": ("id -un; cd; pwd; [ -w . ] && echo w", b"nobody\n/box\nw\n"),
}  # fmt: skip


@pytest.mark.parametrize("what", TOOLS)
def test_the_usual_tools_are_there(sandbox: SyncExecutor, what: str) -> None:
    source, expected = TOOLS[what]
    result = bash(sandbox, source)
    assert (result.status, result.stdout, result.stderr) == (Status.OK, expected, b"")


def test_the_image_of_scripts_cannot_be_written(sandbox: SyncExecutor) -> None:
    result = bash(sandbox, "touch /usr/bin/x /py/x /etc/passwd 2>/dev/null; echo $?; ls /")
    assert result.stdout.split() == [
        b"1", b"bin", b"box", b"dev", b"etc", b"guest", b"lib", b"lib64", b"mnt", b"py", b"tmp",
        b"usr",
    ]  # fmt: skip


TESTS = """
import sys
import helper

def test_good():
    assert helper.value == 1

def test_input():
    assert sys.stdin is not None
"""
FILES = {"helper.py": b"value = 1"}


def test_passing_tests_are_ok(sandbox: SyncExecutor) -> None:
    result = sandbox.run(Script(source=TESTS, language="pytest", files=FILES))
    assert (result.status, result.exit_code) == (Status.OK, 0)
    assert b"2 passed" in result.stdout


def test_failing_tests_are_told_and_have_exit_code_1(sandbox: SyncExecutor) -> None:
    source = "def test_bad():\n    assert [1, 2] == [1, 3]\ndef test_good(): pass"
    result = sandbox.run(Script(source=source, language="pytest"))
    assert (result.status, result.exit_code) == (Status.ERROR, 1)
    assert b"assert [1, 2] == [1, 3]" in result.stdout
    assert b"1 failed, 1 passed" in result.stdout


def test_a_file_without_tests_has_pytests_own_exit_code(sandbox: SyncExecutor) -> None:
    result = sandbox.run(Script(source="pass", language="pytest"))
    assert (result.status, result.exit_code) == (Status.ERROR, 5)


def test_arguments_go_to_pytest(sandbox: SyncExecutor) -> None:
    source = "def test_a(): pass\ndef test_b(): assert 0"
    result = sandbox.run(Script(source=source, language="pytest", argv=("-k", "test_a")))
    assert b"1 passed, 1 deselected" in result.stdout


def test_pytest_leaves_no_cache_behind(sandbox: SyncExecutor) -> None:
    script = Script(
        source="import os\ndef test_a(): print(sorted(os.listdir())); assert 0", language="pytest"
    )
    assert b"['test_script.py']" in sandbox.run(script).stdout


LIMITS = {
    "wall": ("echo seen; echo too >&2; sleep 60", Limits(wall_s=2), Status.WALL_LIMIT),
    "cpu": ("echo seen; echo too >&2; while :; do :; done", Limits(cpu_s=1, wall_s=30),
            Status.CPU_LIMIT),
    "output": ("echo seen; echo too >&2; sleep 0.1; yes", Limits(), Status.OUTPUT_LIMIT),
    "processes": (
        "echo seen; echo too >&2; for i in {1..99}; do sleep 9 & done 2>/dev/null; wait",
        Limits(processes=8, wall_s=3), None,
    ),
    "memory": (
        "echo seen; echo too >&2; exec python3 -c 'x = bytearray(1 << 33)'",
        Limits(memory_mib=64, wall_s=30), Status.MEMORY_LIMIT,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", LIMITS)
def test_what_was_written_before_a_limit_is_kept(what: str) -> None:
    source, limits, status = LIMITS[what]
    with SyncExecutor(workers=1, limits=limits) as executor:
        result = bash(executor, source)
    assert result.stdout.startswith(b"seen\n")
    assert result.stderr.startswith(b"too\n")
    assert status is None or result.status is status, result.detail


def test_what_is_not_installed_is_refused_with_a_sentence() -> None:
    with pytest.raises(InputError, match="pytest is not installed"):
        check_language(Script(source="", language="pytest"), frozenset({"python"}))


def test_an_image_without_packages_knows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.backends.image.script_tools.host_packages", dict)
    image = images.open_image(tmp_path)
    image.close()
    assert image.languages == {"python", "bash"}


def test_images_open_in_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    image = images.open_image(cache)
    image.close()
    if os.geteuid() != 0:
        pytest.skip("needs root, for a read-only mount")
    at = shlex.quote(str(cache))
    command = f'mount --bind {at} {at} && mount -o remount,bind,ro {at} && exec "$0" "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", command, sys.executable, "-m", "executor", "image"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "EXECUTOR_CACHE": str(cache)},
    )  # fmt: skip
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(done.stderr)
    assert done.stderr == ""
    assert done.stdout.split() == [str(image.root), str(image.script_root)]

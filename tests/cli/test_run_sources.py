"""Scripts as their interpreter reads them: languages and encodings of ``executor run``."""

# ruff: noqa: E501 - sources are quoted as they are
from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from executor import Limits, Script, Status, SyncExecutor

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]


def run(path: Path, *options: str, before: str = "") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "executor", "run", *options, str(path)]
    if before:
        command = ["/bin/sh", "-c", f'{before}; exec "$@"', "sh", *command]
    return subprocess.run(command, capture_output=True, cwd=Path(__file__).parents[2], check=False)


def written(tmp_path: Path, content: bytes, name: str = "t.py") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def test_a_shell_script_runs(tmp_path: Path) -> None:
    path = written(tmp_path, b'for x in 1 2; do echo "got $x $1"; done\nexit 3', "t.sh")
    ended = run(path, "--language", "bash")
    assert (ended.returncode, ended.stdout) == (3, b"got 1 \ngot 2 \n"), ended.stderr


def test_tests_run(tmp_path: Path) -> None:
    good = run(written(tmp_path, b"def test_a(): pass"), "--language", "pytest")
    assert good.returncode == 0, good.stdout
    left = run(written(tmp_path, b"import os; os._exit(0)"), "--language=pytest")
    assert left.returncode == 1, left.stdout


def test_an_unknown_language_is_an_error(tmp_path: Path) -> None:
    assert run(written(tmp_path, b""), "--language", "perl").returncode == 2


SOURCES = {
    "latin-1": "# -*- coding: latin-1 -*-\nprint(ascii('\u00fc'))".encode("latin-1"),
    "second line": "#!/usr/bin/python\n# vim: set fileencoding=cp1251 :\nprint(ascii('\u0416'))".encode("cp1251"),
    "a mark": b"\xef\xbb\xbfprint(ascii('\xc3\xbc'))",
    "a mark and a cookie": b"\xef\xbb\xbf# coding: utf-8\nprint(ascii('\xc3\xbc'))",
    "shift_jis": "# coding: shift_jis\nprint(ascii('\u3042'))".encode("shift_jis"),
    "utf-8": "print(ascii('\u00fc'))".encode(),
}  # fmt: skip
TOLD = {"second line": b"'\\u0416'\n", "shift_jis": b"'\\u3042'\n"}


@pytest.mark.parametrize("what", SOURCES)
def test_a_source_is_read_in_its_own_encoding(tmp_path: Path, what: str) -> None:
    ended = run(written(tmp_path, SOURCES[what]))
    assert (ended.returncode, ended.stdout) == (0, TOLD.get(what, b"'\\xfc'\n")), ended.stderr


def test_bytes_that_are_not_in_their_encoding_are_an_error(tmp_path: Path) -> None:
    for source, encoding in ((b"print('\xfc')", b"UTF-8"), (b"# coding: ascii\n'\xfc'", b"ASCII")):
        ended = run(written(tmp_path, source))
        assert ended.returncode == 2
        assert b"not " + encoding in ended.stderr.upper().replace(b"NOT", b"not")


def test_a_text_is_the_same_text_whatever_it_declares() -> None:
    with SyncExecutor(workers=2, limits=Limits(wall_s=60)) as executor:
        for more in ("", "open('x', 'w').close()\n"):
            for cookie in ("latin-1", "utf-8", "cp1252", "ascii", "punycode", "no-such", "utf-16"):
                source = f"# coding: {cookie}\n{more}print(ascii('\u00fc'))"
                result = executor.run(Script(source=source))
                if cookie in ("latin-1", "utf-8", "cp1252"):
                    assert result.stdout == b"'\\xfc'\n", (cookie, result.stderr)
                else:  # as a file that declares this and is not in it
                    assert result.status is not Status.INFRA
            marked = executor.run(Script(source="\ufeffprint('on')\n" + more))
            assert marked.stdout == b"on\n", marked.stderr


LOOKS = """
import signal
{jail}
print([n for n in range(1, 65) if signal.getsignal(n) == signal.SIG_IGN], signal.pthread_sigmask(0, ()))
"""


@pytest.mark.parametrize("jail", ["", "open('x', 'w').close()"])
def test_what_the_caller_ignores_is_no_matter(tmp_path: Path, jail: str) -> None:
    path = written(tmp_path, LOOKS.format(jail=jail).encode())
    plain = run(path)
    ignoring = run(path, before="trap '' HUP QUIT USR1 USR2 TERM ALRM")
    usual = [int(signal.SIGPIPE), int(signal.SIGXFSZ)]
    assert plain.stdout == ignoring.stdout == f"{usual} set()\n".encode(), ignoring.stderr


def test_a_script_that_is_denied_late_is_not_run_twice_as_long() -> None:
    limits = Limits(wall_s=6, cpu_s=5)
    source = "import time\ntime.sleep(4)\ngetattr(__import__('os'), 'mkdir')('x')\nprint('made')"
    with SyncExecutor(workers=2, limits=limits) as executor:
        executor.run(Script(source="print(1)"))
        executor.run(Script(source="open('x', 'w')"))
        before = os.times().elapsed
        assert executor.run(Script(source=source)).stdout == b"made\n"
        assert os.times().elapsed - before < 7.5  # 4 s, after at most 1.5 s of trying

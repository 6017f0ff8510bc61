"""/dev/fd and time zones: what scripts find on any Linux, on every backend."""

# ruff: noqa: E501 - sources are quoted as they are
from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from executor import Limits, Options, Script, ScriptResult, Status, SyncExecutor
from tests.support.engines import each, require, why_no_engine, why_no_gvisor
from tests.support.jails import CEILING, Jails
from tests.support.programs import OPEN_RULES, triplet

pytestmark = pytest.mark.timeout(300)
LIMITS = Limits(wall_s=60, cpu_s=20, memory_mib=256, files_mib=16)
Run = Callable[[Script], ScriptResult]


@pytest.fixture(scope="module", params=each("warm", "new", "executor", "docker", "gvisor"))
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    name: str = request.param
    require({"docker": why_no_engine, "gvisor": why_no_gvisor}.get(name, str)())
    if name in ("warm", "new"):
        jails = Jails(CEILING)
        way = jails.warm if name == "warm" else jails.new
        yield lambda script: way(script, LIMITS)
        jails.close()
        return
    backend = "nsjail" if name == "executor" else name
    with SyncExecutor(backend, workers=2, limits=LIMITS) as executor:
        yield executor.run


BASH = {
    "a loop over a substitution": ("total=0; while read x; do total=$((total + x)); done < <(seq 4); echo total $total", "total 10\n"),
    "two substitutions": ("diff <(seq 2) <(seq 3)", "2a3\n> 3\n"),
    "a source": ("source <(echo 'echo sourced')", "sourced\n"),
    "standard input by name": ("cat /dev/stdin; wc -l /dev/stdin <<< x; sort /dev/fd/0 <<< b", "given\n1 /dev/stdin\nb\n"),
    "standard output by name": ("echo a > /dev/stdout; echo b > /dev/fd/1; seq 2 | tee /dev/stdout | tail -1", "a\nb\n2\n"),
    "standard error by name": ("echo a > /dev/stderr; (echo b > /dev/stderr) 2>&1; echo c >> /dev/fd/2", "b\n"),
    "a descriptor of its own": ("exec 7> k; echo k > /dev/fd/7; cat k; exec 8< k; cat /dev/fd/8", "k\nk\n"),
    "tests of files": ("for f in stdin stdout stderr fd/0 fd/2; do [ -e /dev/$f ] && echo yes; done; [ -e /dev/fd/99 ] || echo no", "yes\nyes\nyes\nyes\nyes\nno\n"),
    "tools": ("cp /dev/stdin c <<< x; cat c; awk '{print $1}' /dev/stdin <<< 'a b'; grep -c x /dev/stdin <<< x; head -c 1 /dev/stdin <<< yz", "x\na\n1\ny"),
    "an interpreter": ("python3 /dev/stdin <<< 'print(5)'; python3 <(echo 'print(6)')", "5\n6\n"),
}  # fmt: skip


@pytest.mark.parametrize("what", BASH)
def test_a_shell_finds_its_descriptors(run: Run, what: str) -> None:
    source, expected = BASH[what]
    result = run(Script(source=source, language="bash", stdin="given\n"))
    assert result.stdout.decode() == expected, (result.detail, result.stderr)
    assert result.signals == {}


PYTHON = """
import os, subprocess, sys
{jail}
print(repr(open('/dev/stdin').read()), os.path.exists('/dev/stdin'), os.path.exists('/dev/fd/77'))
with open('/dev/stdout', 'w') as out: print('out', file=out)
with open('/dev/stderr', 'wb') as err: err.write(b'err')
os.close(os.open('/dev/fd/1', os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
reader, writer = os.pipe()
os.write(writer, b'through')
os.close(writer)
print(open(f'/dev/fd/{reader}').read(), open(f'/dev/fd/{os.dup(0)}').read() == '')
try:
    open('/dev/fd/77')
except FileNotFoundError:
    print('none')
"""


@pytest.mark.parametrize("jail", ["", "open('x', 'w').close()"])
def test_python_finds_its_descriptors(run: Run, jail: str) -> None:
    result = run(Script(source=PYTHON.replace("{jail}", jail), stdin="text"))
    expected = "'text' True False\nout\nthrough True\nnone\n"
    assert sorted(result.stdout.decode().splitlines()) == sorted(expected.splitlines()), (
        result.stderr
    )
    assert result.stderr == b"err"


def test_a_child_has_its_own_descriptors(run: Run) -> None:
    source = """
import subprocess, sys
told = subprocess.run(['cat', '/dev/stdin'], input=b'child', capture_output=True).stdout
code = "open('/dev/stdout', 'w').write('of the child')"
print(told, subprocess.run([sys.executable, '-c', code], capture_output=True).stdout)
"""
    assert run(Script(source=source, stdin="parent")).stdout == b"b'child' b'of the child'\n"


ZONES = """
import datetime, os, time
from zoneinfo import ZoneInfo, available_timezones
noon = datetime.datetime(2024, 7, 1, 12)
print(*(noon.replace(tzinfo=ZoneInfo(name)).utcoffset() for name in ('UTC', 'Europe/Berlin', 'Asia/Kolkata')))
print(len(available_timezones()) > 400)
os.environ['TZ'] = 'America/New_York'
time.tzset()
print(time.tzname, time.localtime(1719835200).tm_hour)
"""


def test_a_script_knows_the_time_zones(run: Run) -> None:
    result = run(Script(source=ZONES))
    assert result.stdout == b"0:00:00 2:00:00 5:30:00\nTrue\n('EST', 'EDT') 8\n", result.stderr
    shell = run(Script(source="TZ=Asia/Tokyo date -d @0 +%H:%M", language="bash"))
    assert shell.stdout == b"09:00\n"


def test_a_program_knows_the_time_zones() -> None:
    program = """
from zoneinfo import ZoneInfo
import datetime
def f(name):
    return str(datetime.datetime(2024, 7, 1, 12, tzinfo=ZoneInfo(name)).utcoffset())
"""
    with SyncExecutor(workers=2) as executor:
        verdict = executor.validate(
            triplet(program, "'Europe/Berlin'", "'UTC'"), options=Options(rules=OPEN_RULES)
        )
    assert (verdict.status, verdict.outputs) == (Status.OK, ("'2:00:00'", "'0:00:00'"))

"""The pure-Python core of the zygote: the same verdicts and the same walls, without a compiler."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from executor import JudgeTask, Limits, Signal, Status, SyncExecutor, TaskType
from executor.backends.image import guest_code
from tests.cases.forbidden import FORBIDDEN, OPEN_DESCRIPTORS, REFUSED
from tests.cases.programs import ENDINGS
from tests.support.programs import OPEN_RULES, body, ending, triplet, value, verdict

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyncExecutor]:
    """An executor whose image was built where nothing had been compiled."""
    cache = tmp_path_factory.mktemp("cache")
    for folder in (cache, *cache.parents):
        if folder.stat().st_mode & 0o001 == 0 and Path("/tmp") in folder.parents:
            folder.chmod(folder.stat().st_mode | 0o011)  # the jail's user must get through
    limits = Limits(cpu_s=1, wall_s=30, memory_mib=64, output_kib=256)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXECUTOR_CACHE", str(cache))
        patch.setattr(guest_code, "COMPILED", "guest/no_core*.so")
        with SyncExecutor(workers=2, limits=limits, rules=OPEN_RULES, cache=False) as executor:
            yield executor


def test_the_missing_core_is_told(plain: SyncExecutor) -> None:
    assert any("compiled core" in warning for warning in plain.info.warnings)
    assert plain.info.isolated


VALUES = {
    "a sum": (body("return sum(range(x))"), "10", "45"),
    "a module": (body("import math", "return math.comb(x, 2)"), "10", "45"),
    "a structure": (body("return {'a': [x, (x,)], 'b': {x}}"), "1", "{'a': [1, (1,)], 'b': {1}}"),
    "an expression": (body("return x"), "[i * i for i in range(4)]", "[0, 1, 4, 9]"),
    "a large output": (body("print('x' * 200_000)", "return len(str(x))"), "10", "2"),
}


@pytest.mark.parametrize("what", VALUES)
def test_values_are_right(plain: SyncExecutor, what: str) -> None:
    program, given, expected = VALUES[what]
    assert value(plain, program, given) == expected


SIGNS = {
    "nothing": (body("return x"), {}),
    "leaving": (body("exit()"), {Signal.EARLY_EXIT: 1}),
    "a replaced builtin": (body("import builtins", "builtins.len = 1"), {Signal.TAMPERING: 1}),
    "an object": ("class E: pass\n" + body("return E()"), {Signal.OBJECT_RESULT: 1}),
}


@pytest.mark.parametrize("what", SIGNS)
def test_signs_of_cheating_are_seen(plain: SyncExecutor, what: str) -> None:
    program, expected = SIGNS[what]
    assert plain.validate(triplet(program)).signals == expected


SHARED = (
    "os._exit", "an endless loop", "an endless sleep", "memory bit by bit", "a large value",
    "a generator", "a closed result",
)  # fmt: skip
ENDS = {name: ENDINGS[name] for name in SHARED} | {
    "an error": (body("return 1 // 0"), Status.ERROR),
    "a syntax error": ("def f(x:", Status.SYNTAX_ERROR),
    "hashes": (body("return hash('a')"), Status.NONDETERMINISTIC),
    "a large set": (body("return list(set('abcdefghijklmnop'))"), Status.NONDETERMINISTIC),
    "randomness": (body("import random", "return random.random()"), Status.NONDETERMINISTIC),
    "the time": (body("import time", "return time.time()"), Status.NONDETERMINISTIC),
    "a forged result": (
        OPEN_DESCRIPTORS + body("os.write(descriptors()[-1][0], bytes(64))"),
        Status.CRASHED,
    ),
}


@pytest.mark.parametrize("what", ENDS)
def test_an_end_has_its_own_status(plain: SyncExecutor, what: str) -> None:
    program, status = ENDS[what]
    result = ending(plain, program, status)
    assert result.status is status, result.detail


@pytest.mark.parametrize("what", FORBIDDEN)
def test_a_call_outside_the_policy_is_forbidden(plain: SyncExecutor, what: str) -> None:
    result = verdict(plain, FORBIDDEN[what])
    assert result.status is Status.FORBIDDEN, result.detail


@pytest.mark.parametrize("what", REFUSED)
def test_what_ordinary_code_tries_is_no_sign(plain: SyncExecutor, what: str) -> None:
    program, error = REFUSED[what]
    result = verdict(plain, program)
    assert (result.status, result.signals) == (Status.FORBIDDEN, {}), result.detail
    assert error in result.detail


def test_attacks_do_not_reach_the_rows_beside_them(plain: SyncExecutor) -> None:
    rows = []
    for number, program in enumerate([*FORBIDDEN.values(), *(p for p, _ in ENDS.values())][::3]):
        rows += [triplet(program), triplet(body(f"return x + {number}"), "1")]
    verdicts = list(plain.validate_many(rows))
    assert [each.outputs[0] for each in verdicts[1::2]] == [
        str(number + 1) for number in range(len(rows) // 2)
    ]


def test_answers_are_judged(plain: SyncExecutor) -> None:
    task = JudgeTask(
        task=TaskType.ABDUCTION,
        program=body("return x * 2"),
        inputs=("2",),
        outputs=("4",),
        answers=("2", "3", "1 + 1", "2.0", "'2'"),
    )
    assert plain.judge(task).scores == (1.0, 0.0, 1.0, 1.0, 0.0)

"""The shared data sets, all rows: verdicts are right, and the same whenever they are asked for."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benchmarks.throughput import ANSWERS, variants
from executor import Executor, JudgeTask, Limits, Status, SyncExecutor, TaskType, Triplet, Verdict
from executor.backends.base import ProcessReuse
from executor.backends.settings import NsjailSettings
from executor.grammar.literals import Malformed, NotLiteral
from tests.support.programs import OPEN_RULES

DATA = Path(__file__).parents[3] / "shared/data"

pytestmark = [
    pytest.mark.data,
    pytest.mark.long,
    pytest.mark.skipif(
        not (DATA / "cruxeval.jsonl").exists(), reason="the shared data sets are not here"
    ),
]

AZR = (
    "7b_coder_code_f_seed_io",
    "7b_coder_seed_io",
    "7b_seed_io",
    "llama_64_code_f_seed_io",
    "llama_64_seed_io",
)
CRUXEVAL = "cruxeval"
LIMITS = Limits(cpu_s=4, wall_s=20)

# True in the data's own account, and yet not to be accepted here.
REFUSED_ON_PURPOSE = {
    ("7b_seed_io", 242, 0): Status.FORBIDDEN,  # it writes a file
}

# Valid rows whose input is a function, which cannot be handed to a solver's program as a value.
NO_INDUCTION = {(CRUXEVAL, 344, 0), (CRUXEVAL, 364, 0)}

# Refused by the default screening rules.
SCREENED_BY_DEFAULT = {
    ("7b_seed_io", 163): "uses os.path.isfile, which is banned (line 6)",
    (CRUXEVAL, 135): "f takes no arguments",
}


class Case(NamedTuple):
    """One input of one row."""

    file: str
    row: int
    input: int
    triplet: Triplet
    truth: str

    @property
    def place(self) -> tuple[str, int, int]:
        return self.file, self.row, self.input


def rows(file: str) -> list[dict[str, Any]]:
    folder = DATA if file == CRUXEVAL else DATA / "azr_seeds"
    return [json.loads(line) for line in (folder / f"{file}.jsonl").read_text().splitlines()]


def truths(file: str) -> list[list[str]]:
    if file == CRUXEVAL:
        return [["valid"]] * len(rows(file))
    truth: list[list[str]] = json.loads((DATA / f"azr_seeds/{file}.truth.json").read_text())
    return truth


def whole(row: dict[str, Any], **fields: Any) -> Triplet:
    return Triplet(
        program=row.get("snippet") or row["code"],
        imports=tuple(row.get("imports") or ()),
        inputs=tuple(row.get("inputs") or [row["input"]]),
        **fields,
    )


def cases(*files: str) -> list[Case]:
    found = []
    for file in files:
        for number, (row, truth) in enumerate(zip(rows(file), truths(file), strict=True)):
            triplet = whole(row)
            for place, (text, known) in enumerate(zip(triplet.inputs, truth, strict=True)):
                single = triplet.model_copy(update={"inputs": (text,)})
                found.append(Case(file, number, place, single, known))
    return found


def is_refused(truth: str) -> bool:
    return truth == "nondeterministic" or truth.endswith(":unstable") or truth.startswith("error:")


def validate(executor: SyncExecutor, chosen: Sequence[Case]) -> list[Verdict]:
    return list(executor.validate_many([case.triplet for case in chosen]))


@pytest.fixture(scope="module")
def executor() -> Iterator[SyncExecutor]:
    with SyncExecutor(rules=OPEN_RULES, limits=LIMITS, cache=False) as executor:
        if executor.info.warnings:
            pytest.skip(f"not the sandbox as it should be: {executor.info.warnings}")
        yield executor


@pytest.fixture(scope="module")
def judged(executor: SyncExecutor) -> list[tuple[Case, Verdict]]:
    """Every input of every file, with its verdict."""
    chosen = cases(*AZR, CRUXEVAL)
    return list(zip(chosen, validate(executor, chosen), strict=True))


def described(case: Case, verdict: Verdict) -> str:
    return f"{case.place}: {case.truth}, but {verdict.status}: {verdict.detail}"


def test_every_valid_input_is_valid(judged: list[tuple[Case, Verdict]]) -> None:
    wrong = [
        described(case, verdict)
        for case, verdict in judged
        if case.truth == "valid"
        and verdict.status is not REFUSED_ON_PURPOSE.get(case.place, Status.OK)
    ]
    assert wrong == []
    assert sum(verdict.valid for _, verdict in judged) > 4400


def test_every_unstable_or_failing_input_is_refused(judged: list[tuple[Case, Verdict]]) -> None:
    accepted = [
        described(case, verdict)
        for case, verdict in judged
        if is_refused(case.truth) and verdict.valid
    ]
    assert accepted == []
    assert sum(is_refused(case.truth) for case, _ in judged) > 90


PLAIN_PYTHON = """
import contextlib, io, json, sys
results = []
for program, arguments in json.load(sys.stdin):
    namespace = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(program, namespace)
        result = eval("f(" + arguments + "\\n)", namespace)
    results.append(repr(result))
json.dump(results, sys.stdout)
"""


def test_outputs_are_those_of_plain_python(
    judged: list[tuple[Case, Verdict]], tmp_path: Path
) -> None:
    """Compared where the output is a literal; the programs run in a process of their own."""
    valid = [
        (case, verdict)
        for case, verdict in judged
        if case.truth == "valid" and case.place not in REFUSED_ON_PURPOSE
    ]
    works = [
        ("\n".join([*case.triplet.imports, case.triplet.program]), case.triplet.inputs[0])
        for case, _ in valid
    ]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PLAIN_PYTHON],
        input=json.dumps(works).encode(),
        capture_output=True,
        cwd=tmp_path,
        check=True,
    )
    compared, wrong = 0, []
    for (case, verdict), text in zip(valid, json.loads(done.stdout), strict=True):
        try:
            expected = ast.literal_eval(text)
            got = ast.literal_eval(verdict.outputs[0] or "")
        except ValueError:  # a name such as inf or deque
            continue
        compared += 1
        if type(got) is not type(expected) or got != expected:
            wrong.append((case.place, text, verdict.outputs[0]))
    assert wrong == []
    assert compared > 0.95 * len(valid)


def facts(verdict: Verdict) -> tuple[Status, bool, tuple[str | None, ...]]:
    return verdict.status, verdict.valid, verdict.outputs


def test_three_times_in_a_row_the_verdicts_are_the_same(
    executor: SyncExecutor, judged: list[tuple[Case, Verdict]]
) -> None:
    first = [(case, verdict) for case, verdict in judged if case.file in AZR]
    for _ in range(2):
        again = validate(executor, [case for case, _ in first])
        changed = [
            (case.place, facts(verdict), facts(other))
            for (case, verdict), other in zip(first, again, strict=True)
            if facts(verdict) != facts(other)
        ]
        assert changed == []


def test_default_rules_refuse_the_rows_that_use_banned_modules() -> None:
    places = [(file, number) for file in (*AZR, CRUXEVAL) for number in range(len(rows(file)))]
    triplets = [whole(row) for file in (*AZR, CRUXEVAL) for row in rows(file)]
    with SyncExecutor() as executor:
        refused = {
            place: verdict.detail
            for place, verdict in zip(places, executor.validate_many(triplets), strict=True)
            if verdict.status is Status.SCREENED
        }
    assert refused == SCREENED_BY_DEFAULT


def judge_tasks(case: Case, output: str) -> dict[tuple[TaskType, float], JudgeTask]:
    """The gold answer of each task type, and the same with a changed value."""
    program, imports, inputs = case.triplet.program, case.triplet.imports, case.triplet.inputs
    changed = f'({output}, "changed")'
    tasks = {}
    for kind, gold in (
        (TaskType.DEDUCTION, output),
        (TaskType.ABDUCTION, inputs[0]),
        (TaskType.INDUCTION, program),
    ):
        for expected, score in ((output, 1.0), (changed, 0.0)):
            tasks[kind, score] = JudgeTask(
                task=kind,
                program=program,
                imports=imports,
                inputs=inputs,
                outputs=(expected,),
                answers=(gold,),
            )
    return tasks


def test_gold_answers_score_one_and_changed_ones_zero(
    executor: SyncExecutor, judged: list[tuple[Case, Verdict]]
) -> None:
    asked, tasks = [], []
    for case, verdict in [pair for pair in judged if pair[1].valid]:
        for (kind, score), task in judge_tasks(case, verdict.outputs[0] or "").items():
            if kind is TaskType.INDUCTION and case.place in NO_INDUCTION:
                continue
            asked.append((case.place, kind, score))
            tasks.append(task)
    wrong = [
        (*question, judgement.scores, judgement.details)
        for question, judgement in zip(asked, executor.judge_many(tasks), strict=True)
        if judgement.scores != (question[2],)
    ]
    assert wrong == []


def test_an_induction_row_on_a_function_says_why_it_cannot_be_used(executor: SyncExecutor) -> None:
    all_rows = rows(CRUXEVAL)
    for _, number, _ in sorted(NO_INDUCTION):
        row = all_rows[number]
        task = JudgeTask(
            task=TaskType.INDUCTION,
            inputs=(row["input"],),
            outputs=(row["output"],),
            answers=(row["code"],),
        )
        judgement = executor.judge(task)
        assert judgement.statuses == (Status.UNSERIALIZABLE,)
        assert "function" in judgement.details[0]


def test_a_row_of_many_inputs_gets_what_its_inputs_imply(
    executor: SyncExecutor, judged: list[tuple[Case, Verdict]]
) -> None:
    single: dict[tuple[str, int], list[Verdict]] = {}
    for case, verdict in judged:
        single.setdefault((case.file, case.row), []).append(verdict)
    for file in (name for name in AZR if "code_f" in name):
        verdicts = executor.validate_many(whole(row) for row in rows(file))
        for number, verdict in enumerate(verdicts):
            implied = single[file, number]
            assert verdict.valid == all(one.valid for one in implied), (file, number)
            outputs = tuple(one.outputs[0] for one in implied)
            assert verdict.outputs == outputs, (file, number)


def test_the_stored_outputs_match_exactly_where_they_are_right(
    executor: SyncExecutor, judged: list[tuple[Case, Verdict]]
) -> None:
    """The stored output is compared here as a literal; only literals are looked at."""
    stored: dict[tuple[str, int], list[str]] = {}
    for file in (*AZR, CRUXEVAL):
        for number, row in enumerate(rows(file)):
            stored[file, number] = row.get("outputs") or [row["output"]]
    asked, triplets = [], []
    for case, verdict in judged:
        text = stored[case.file, case.row][case.input]
        try:
            right = ast.literal_eval(text) == ast.literal_eval(verdict.outputs[0] or "")
        except (ValueError, SyntaxError):
            continue
        asked.append((case.place, right))
        triplets.append(case.triplet.model_copy(update={"outputs": (text,)}))
    wrong = [
        (place, right, verdict.matches)
        for (place, right), verdict in zip(asked, executor.validate_many(triplets), strict=True)
        if verdict.matches is not right
    ]
    assert wrong == []
    assert len(asked) > 4000


# ---- a reset process and a fork ------------------------------------------------------------------

REUSES: tuple[ProcessReuse, ...] = ("reset", "fork")


def abduction_tasks(judged: list[tuple[Case, Verdict]]) -> list[JudgeTask]:
    """Eight literal answers for each program; a row's first valid input is the gold one.

    Programs that draw random numbers are left out: their scores differ anyway.
    """
    tasks: dict[tuple[str, int], JudgeTask] = {}
    for case, verdict in judged:
        is_random = "import secrets" in case.triplet.program
        if not verdict.valid or is_random or (case.file, case.row) in tasks:
            continue
        try:
            answers = variants(case.triplet.inputs[0])
        except (Malformed, NotLiteral):
            continue
        tasks[case.file, case.row] = JudgeTask(
            task=TaskType.ABDUCTION,
            program=case.triplet.program,
            imports=case.triplet.imports,
            inputs=case.triplet.inputs,
            outputs=(verdict.outputs[0] or "",),
            answers=answers,
        )
    return list(tasks.values())


async def scores(tasks: list[JudgeTask], reuse: ProcessReuse) -> list[tuple[object, object]]:
    limits = Limits(cpu_s=1, wall_s=20)
    backend = NsjailSettings(process_reuse=reuse)
    async with Executor(backend, rules=OPEN_RULES, limits=limits) as executor:
        return [(each.scores, each.statuses) async for each in executor.judge_many(tasks)]


async def test_a_reset_process_changes_no_score(judged: list[tuple[Case, Verdict]]) -> None:
    """All programs, eight answers each, against one fork for each answer."""
    tasks = abduction_tasks(judged)
    assert sum(len(task.answers) == ANSWERS for task in tasks) > 1000
    reset, forked = [await scores(tasks, reuse) for reuse in REUSES]
    differing = [
        (task.program, task.answers, one, other)
        for task, one, other in zip(tasks, reset, forked, strict=True)
        if one != other
    ]
    assert differing == []


async def verdicts(
    triplets: list[Triplet], reuse: ProcessReuse
) -> list[tuple[Status, bool, tuple[str | None, ...]]]:
    backend = NsjailSettings(process_reuse=reuse)
    async with Executor(backend, rules=OPEN_RULES, limits=LIMITS) as executor:
        return [facts(each) async for each in executor.validate_many(triplets)]


async def test_a_reset_process_changes_no_verdict_on_many_inputs() -> None:
    triplets = [whole(row) for file in AZR if "code_f" in file for row in rows(file)]
    reset, forked = [await verdicts(triplets, reuse) for reuse in REUSES]
    assert reset == forked

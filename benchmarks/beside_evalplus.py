"""Our judgement of known programs beside EvalPlus' own: those that differ, one a line.

    python -m benchmarks.beside_evalplus [--evalplus PYTHON] [--data ../shared/data/grading]

``--evalplus`` is an interpreter that has the package evalplus 0.3.1; it is no dependency. Both get
the same programs (all solutions and mutants), the same arguments, and what the solution returns as
expected; of HumanEval, where we have the published assertions, EvalPlus has the calls that these
make. EvalPlus runs programs without isolation: none of these does harm.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.known_programs import Known, known
from executor import Judgement, JudgeTask, SyncExecutor, read_row
from trainer.evaluation.run import limits

_FORMATS = {"humaneval": "humaneval", "mbpp_plus": "evalplus"}
_DATASETS = {"humaneval": "humaneval", "mbpp_plus": "mbpp"}
_THEIRS = r"""
import copy, json, sys
from evalplus.data.mbpp import mbpp_deserialize_inputs
from evalplus.eval import untrusted_check
for line in sys.stdin:
    one = json.loads(line)
    inputs = one["inputs"]
    if one["dataset"] == "mbpp":
        inputs = mbpp_deserialize_inputs(one["id"], inputs)
    space = {}
    exec(one["programs"][0], space)
    expected = [space[one["entry_point"]](*copy.deepcopy(given)) for given in inputs]
    if one["entry_point"] in ("check_str", "text_match_three", "text_starta_endb"):
        expected = [value is not None for value in expected]  # as evalplus.gen.util has it
    found = []
    for program in one["programs"]:
        status, _ = untrusted_check(
            one["dataset"], program, copy.deepcopy(inputs), one["entry_point"], expected=expected,
            atol=one["atol"], ref_time=[one["seconds"] / 4] * len(inputs), fast_check=True)
        found.append(status)
    print(json.dumps(found), flush=True)
"""


def ours(problems: Sequence[Known]) -> list[Judgement]:
    """Our judgements, as an evaluation has them."""
    tasks = []
    for problem in problems:
        fields = dict(read_row(_FORMATS[problem.benchmark], problem.row))
        fields = {k: v for k, v in fields.items() if k not in ("prompt", "id") and v is not None}
        tasks.append(JudgeTask.model_validate({**fields, "answers": problem.programs}))
    with SyncExecutor(limits=limits(30, 20, 2048)) as executor:
        return list(executor.judge_many(tasks))


def theirs(python: str, problems: Sequence[Known], seconds: float) -> list[list[str]]:
    """EvalPlus' statuses: ``pass``, ``fail`` or ``timeout``."""
    asked = "".join(
        json.dumps(
            {
                "dataset": _DATASETS[problem.benchmark],
                "id": problem.id,
                "entry_point": problem.row["entry_point"],
                "programs": problem.programs,
                "inputs": _inputs(problem),
                "atol": problem.row.get("atol") or (1e-4 if _finds_zero(problem) else 0),
                "seconds": seconds,
            }
        )
        + "\n"
        for problem in problems
    )
    command = [python, "-c", _THEIRS]
    done = subprocess.run(command, input=asked, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def _finds_zero(problem: Known) -> bool:
    return bool(problem.row["entry_point"] == "find_zero")


def _inputs(problem: Known) -> list[list[Any]]:
    if problem.benchmark == "mbpp_plus":
        inputs: list[list[Any]] = problem.row["base_input"]
        return inputs
    return calls(problem.row, problem.solution)


def calls(row: dict[str, Any], solution: str) -> list[list[Any]]:
    """The arguments of the calls that the assertions of a problem of HumanEval make."""
    space: dict[str, Any] = {}
    random.seed(0)
    exec(f"{solution}\n{row['test']}", space)
    inputs: list[list[Any]] = []

    def recorded(*args: Any) -> Any:
        inputs.append(copy.deepcopy(list(args)))
        return space[row["entry_point"]](*args)

    space["check"](recorded)
    return inputs


def _has_evalplus(python: str) -> bool:
    command = [python, "-c", "import evalplus"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def main() -> int:
    """Compare and print; 1 if there is a difference."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/grading"))
    parser.add_argument("--evalplus", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--seconds", type=float, default=20, help="of a call, for EvalPlus")
    options = parser.parse_args()
    if not _has_evalplus(options.evalplus):
        print(
            f"skipped: {options.evalplus} has no evalplus; --evalplus names the interpreter of an "
            "environment with evalplus==0.3.1",
            file=sys.stderr,
        )
        return 0
    problems = known(options.data)
    different = programs = 0
    statuses = theirs(options.evalplus, problems, options.seconds)
    for problem, judgement, found in zip(problems, ours(problems), statuses, strict=True):
        programs += len(found)
        for place, their in enumerate(found):
            if (judgement.scores[place] == 1.0) != (their == "pass"):
                different += 1
                row = {
                    "id": problem.id,
                    "program": "the solution" if not place else f"mutant {place}",
                    "evalplus": their,
                    "status": judgement.statuses[place],
                    "detail": judgement.details[place][:300],
                }
                print(json.dumps(row))
    print(f"{programs - different} of {programs} programs of {len(problems)} problems alike")
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main())

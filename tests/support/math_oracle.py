"""How often the task ``math`` is right about generated pairs, with math-verify in plain use beside.

python -m tests.support.math_oracle ../shared/data/math [--pairs 2000]     lists what is wrong

Plain use is what trainers do: what is expected in a box, and the answer as it stands or in a box.
It runs in a sandbox too, in the main thread of a script, where its time-outs work.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from executor import JudgeTask, Limits, Script, SyncExecutor
from tests.support.math_pairs import Pair, golds, made

LIMITS = Limits(wall_s=60, cpu_s=10, memory_mib=1024)
_AT_ONCE = 50
_PLAIN = r"""
import json, sys
from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify
latex, both = [LatexExtractionConfig()], [ExprExtractionConfig(), LatexExtractionConfig()]
for gold, answer in json.load(sys.stdin):
    wanted = parse("\\boxed{" + gold.replace("$", "") + "}", latex)
    boxed = answer if "\\boxed" in answer else "\\boxed{" + answer + "}"
    print(json.dumps([verify(wanted, parse(text, both)) for text in (answer, boxed)]))
"""


def misjudged(
    executor: SyncExecutor, known: Sequence[Pair]
) -> list[tuple[Pair, float | None, str]]:
    """The pairs that are not judged as they should be, with score and detail."""
    tasks: dict[tuple[str, ...], list[Pair]] = {}
    for pair in known:
        tasks.setdefault(pair.gold, []).append(pair)
    rows = [
        JudgeTask(task="math", expected=gold, answers=tuple(pair.answer for pair in some))
        for gold, some in tasks.items()
    ]
    found = []
    for judgement, some in zip(executor.judge_many(rows), tasks.values(), strict=True):
        for pair, score, detail in zip(some, judgement.scores, judgement.details, strict=True):
            if score != float(pair.right):
                found.append((pair, score, detail))
    return found


def plainly(executor: SyncExecutor, known: Sequence[Pair]) -> tuple[int, int]:
    """How many pairs math-verify alone is right about: as they stand, and with all in boxes."""
    right = [0, 0]
    for start in range(0, len(known), _AT_ONCE):
        some = known[start : start + _AT_ONCE]
        asked = json.dumps([[", ".join(pair.gold), pair.answer] for pair in some])
        result = executor.run(Script(source=_PLAIN, stdin=asked, libraries="math"))
        lines = result.stdout.splitlines()
        if len(lines) != len(some):
            raise RuntimeError(f"math-verify ended with {result.status}: {result.stderr[-500:]!r}")
        for pair, line in zip(some, lines, strict=True):
            for way, verdict in enumerate(json.loads(line)):
                right[way] += verdict == pair.right
    return right[0], right[1]


def main() -> int:
    """Judge, and print what is not as it should be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, help="all, if it is not given")
    options = parser.parse_args()
    known = made(golds(options.folder), options.pairs)
    with SyncExecutor(workers=4, limits=LIMITS, libraries="math") as executor:
        bad = misjudged(executor, known)
        bare, boxed = plainly(executor, known)
    for pair, score, detail in bad:
        print(json.dumps({**pair._asdict(), "score": score, "detail": detail}))
    count = len(known)
    print(f"{count} pairs, {sum(pair.right for pair in known)} of them right answers")
    for way, right in (
        ("the task math", count - len(bad)),
        ("math-verify, answers as they stand", bare),
        ("math-verify, answers in boxes", boxed),
    ):
        print(f"{way}: {right} as they should be, {100 * right / count:.2f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())

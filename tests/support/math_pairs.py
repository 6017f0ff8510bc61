"""Mathematical answers with forms that mean the same, and near misses, all made here.

python -m tests.support.math_pairs ../shared/data/math    judges some of them, and lists the rest
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from executor import JudgeTask, Limits, SyncExecutor

_BOX = re.compile(r"\\boxed\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}")
_FRACTION = re.compile(r"(-?)\\d?frac\{(\d+)\}\{(\d+)\}")


class Pair(NamedTuple):
    """An answer, and whether it is right."""

    gold: tuple[str, ...]
    answer: str
    right: bool


def golds(folder: Path) -> list[tuple[str, ...]]:
    """The results of all problems of a folder."""
    found = []
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            if "final_answer" in row:
                found.append(tuple(row["final_answer"]))
            elif "answer" in row:
                value = row["answer"]
                whole = isinstance(value, float) and value.is_integer()
                found.append((str(int(value) if whole else value),))
            else:
                boxes = _BOX.findall(row["solution"])
                found += [(boxes[-1],)] if boxes else []
    return found


def pairs(gold: tuple[str, ...], chance: random.Random) -> Iterator[Pair]:
    """Right and wrong answers to one result."""
    text = ", ".join(gold)
    bare = text.replace("$", "")
    yield Pair(gold, text, True)
    yield Pair(gold, rf"\boxed{{{bare}}}", True)
    yield Pair(gold, rf"Thus it is $\boxed{{{bare}}}$.", True)
    yield Pair(gold, bare.replace(r"\frac", r"\dfrac"), True)
    yield Pair(gold, bare.replace(", ", ","), True)
    if re.fullmatch(r"-?\d+", bare):
        yield from _whole(gold, int(bare), chance)
    elif match := _FRACTION.fullmatch(bare):
        yield from _fraction(gold, Fraction(int(match[1] + match[2]), int(match[3])))
    if "=" not in bare and len(gold) == 1 and "," not in bare:
        yield Pair(gold, f"x={bare}", True)
    if r"^\circ" in bare:
        yield Pair(gold, bare.replace(r"^\circ", "°"), True)
        yield Pair(gold, bare.replace(r"^\circ", ""), True)


def _whole(gold: tuple[str, ...], value: int, chance: random.Random) -> Iterator[Pair]:
    yield Pair(gold, f"{value}.0", True)
    yield Pair(gold, rf"\frac{{{value * 6}}}{{6}}", True)
    yield Pair(gold, str(value + chance.choice([-1, 1])), False)
    yield Pair(gold, f"{value}.5", False)
    yield Pair(gold, str(value * 10 + 3), False)
    if abs(value) >= 1000:
        yield Pair(gold, f"{value:,}", True)
        yield Pair(gold, f"{value:,}".replace(",", "{,}"), True)
    if value:
        yield Pair(gold, str(-value), False)


def _fraction(gold: tuple[str, ...], value: Fraction) -> Iterator[Pair]:
    top, bottom = value.numerator, value.denominator
    yield Pair(gold, f"{top}/{bottom}", True)
    yield Pair(gold, rf"\frac{{{top * 3}}}{{{bottom * 3}}}", True)
    yield Pair(gold, f"{top + 1}/{bottom}", False)
    yield Pair(gold, rf"\frac{{{top}}}{{{bottom + 1}}}", False)
    if not 10**6 % bottom:
        yield Pair(gold, f"{float(value):.6f}".rstrip("0"), True)
        yield Pair(gold, f"{float(value) + 0.01:.6f}", False)


def made(folder: Path, wanted: int) -> list[Pair]:
    """So many pairs, of all results alike, and always the same."""
    chance = random.Random(0)
    every = [list(pairs(gold, chance)) for gold in dict.fromkeys(golds(folder))]
    known = [pair for some in every for pair in some]
    chance.shuffle(known)
    return known[:wanted]


def judged(executor: SyncExecutor, known: list[Pair]) -> list[tuple[Pair, float | None, str]]:
    """The pairs that are not judged as they should be."""
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


def main() -> int:
    """Judge, and print what is not as it should be."""
    wanted = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    known = made(Path(sys.argv[1]), wanted)
    limits = Limits(wall_s=60, cpu_s=10, memory_mib=1024)
    with SyncExecutor(workers=4, limits=limits, libraries="math") as executor:
        bad = judged(executor, known)
    for pair, score, detail in bad:
        print(pair, score, detail)
    print(f"{len(known) - len(bad)} of {len(known)} right")
    return 0


if __name__ == "__main__":
    sys.exit(main())

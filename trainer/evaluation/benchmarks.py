"""The benchmarks that there are: where their files come from, and how they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trainer.evaluation import code, mathematics
from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.files import rows
from trainer.evaluation.problems import Problem
from trainer.game.texts.prompts.render import PromptBook

type Group = Literal["code", "reasoning", "math"]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A published set of problems."""

    name: str
    title: str
    group: Group
    files: tuple[str, ...]
    """What its file may be called, without a suffix."""
    read: Callable[[str, Mapping[str, Any], PromptBook], Problem]
    source: str
    """Where the file is published."""
    licence: str
    size: int
    """Problems of the whole file."""
    hub: tuple[str, ...] = ()
    """The data set on the hub that holds the same rows, then patterns of its files."""
    averaged: bool = True
    """Counts in the averages of the original's tables (Code Avg, Math Avg, Total Avg)."""


_HUB = "https://huggingface.co/datasets/"
_HARNESS = "https://github.com/LeapLabTHU/Absolute-Zero-Reasoner, evaluation/math_eval/eval/data/"

BENCHMARKS: Mapping[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark(
            "humaneval", "HumanEval", "code", ("HumanEval",), code.humaneval,
            "https://github.com/openai/human-eval", "MIT", 164,
            ("openai/openai_humaneval", "openai_humaneval/test-*.parquet"), averaged=False,
        ),
        Benchmark(
            "humaneval_plus", "HumanEval+", "code", ("HumanEvalPlus", "humaneval_plus"),
            code.humaneval_plus,
            "https://github.com/evalplus/humanevalplus_release", "Apache-2.0", 164,
            ("evalplus/humanevalplus", "data/test-*.parquet"),
        ),
        Benchmark(
            "mbpp_plus", "MBPP+", "code", ("MbppPlus", "mbpp_plus"), code.mbpp_plus,
            "https://github.com/evalplus/mbppplus_release", "Apache-2.0", 378,
        ),
        Benchmark(
            "lcb", "LiveCodeBench", "code",
            ("lcb", "livecodebench", "lcb/test", "livecodebench/test", "code_generation_lite/test"),
            code.livecodebench, f"{_HUB}livecodebench/code_generation_lite",
            "CC (texts of LeetCode, AtCoder, Codeforces)", 880,
            ("livecodebench/code_generation_lite", "test.jsonl", "test[2-5].jsonl"),
        ),
        Benchmark(
            "cruxeval_i", "CRUXEval-I", "reasoning", ("cruxeval",), code.cruxeval_input,
            "https://github.com/facebookresearch/cruxeval", "MIT", 800,
            ("cruxeval-org/cruxeval", "test.jsonl"), averaged=False,
        ),
        Benchmark(
            "cruxeval_o", "CRUXEval-O", "reasoning", ("cruxeval",), code.cruxeval_output,
            "https://github.com/facebookresearch/cruxeval", "MIT", 800,
            ("cruxeval-org/cruxeval", "test.jsonl"), averaged=False,
        ),
        Benchmark(
            "aime24", "AIME 2024", "math", ("aime24", "aime24/test"), mathematics.competition,
            f"{_HARNESS}aime24", "texts: Mathematical Association of America", 30,
            ("HuggingFaceH4/aime_2024", "data/train-*.parquet"),
        ),
        Benchmark(
            "aime25", "AIME 2025", "math", ("aime25", "aime25/test"), mathematics.competition,
            f"{_HARNESS}aime25", "texts: Mathematical Association of America", 30,
            ("math-ai/aime25", "test.jsonl"),
        ),
        Benchmark(
            "amc23", "AMC 2023", "math", ("amc23", "amc23/test"), mathematics.competition,
            f"{_HARNESS}amc23", "texts: Mathematical Association of America", 40,
        ),
        Benchmark(
            "math500", "MATH-500", "math", ("math500", "math500/test"), mathematics.math500,
            f"{_HUB}HuggingFaceH4/MATH-500", "MIT (MATH; texts: their competitions)", 500,
            ("HuggingFaceH4/MATH-500", "test.jsonl"),
        ),
        Benchmark(
            "minerva", "Minerva", "math", ("minerva", "minerva_math", "minerva_math/test"),
            mathematics.minerva, f"{_HARNESS}minerva_math",
            "CC BY-NC-SA (MIT OpenCourseWare)", 272,
        ),
        Benchmark(
            "olympiadbench", "OlympiadBench", "math", ("olympiadbench", "olympiadbench/test"),
            mathematics.olympiadbench, "https://github.com/OpenBMB/OlympiadBench",
            "Apache-2.0 (texts: their competitions)", 675,
            ("Hothan/OlympiadBench", "OlympiadBench/OE_TO_maths_en_COMP/*.parquet"),
        ),
    )
}  # fmt: skip
"""By name."""


def named(names: Sequence[str]) -> list[Benchmark]:
    """Benchmarks by name, each once.

    Raises:
        EvaluationError: there is no such benchmark, or none is named.
    """
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown or not names:
        listing = ", ".join(BENCHMARKS)
        what = f"there is no benchmark {unknown[0]!r}" if unknown else "name a benchmark"
        raise EvaluationError(f"{what}; there are {listing}")
    return [BENCHMARKS[name] for name in dict.fromkeys(names)]


def problems(benchmark: Benchmark, paths: Sequence[Path], book: PromptBook) -> Iterator[Problem]:
    """The problems in a benchmark's files, one after the other: a file is read as they are taken.

    Raises:
        EvaluationError: a file cannot be read, or a row is no problem; names the row.
    """
    seen: set[str] = set()
    for path in paths:
        for number, row in rows(path):
            problem = _problem(benchmark, path, number, row, book)
            if problem.id in seen:
                raise EvaluationError(f"{path}, row {number}: {problem.id} is there twice")
            seen.add(problem.id)
            yield problem
    if not seen:
        raise EvaluationError(f"{paths[0]} has no problems")


def _problem(
    benchmark: Benchmark, path: Path, number: int, row: Mapping[str, Any], book: PromptBook
) -> Problem:
    try:
        return benchmark.read(benchmark.name, row, book)
    except (KeyError, TypeError, ValueError) as error:
        reason = str(error) if isinstance(error, EvaluationError) else repr(error)
        raise EvaluationError(
            f"{path}, row {number} is no problem of {benchmark.title}: {reason}"
        ) from None

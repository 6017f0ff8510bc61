"""Files of benchmarks from the Hugging Face hub, kept in its own cache on this machine."""

from __future__ import annotations

import re
from pathlib import Path

from trainer.evaluation.benchmarks import Benchmark
from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.files import find
from trainer.models.tokenizers import first_line

HUB = "hub"
"""In the place of a folder. One of that name is ``./hub``."""


def source(data: Path, benchmark: Benchmark) -> tuple[Path, ...]:
    """The files of a benchmark, in a folder or from the hub.

    Raises:
        EvaluationError: they cannot be had.
    """
    if str(data) == HUB:
        return fetch(benchmark)
    return find(data, benchmark.files, benchmark.title)


def fetch(benchmark: Benchmark) -> tuple[Path, ...]:
    """Download what is not in the hub's cache; ``HF_HUB_OFFLINE``, ``HF_ENDPOINT`` and the others
    that its library reads mean what they always do.

    Raises:
        EvaluationError: the hub has no file in the form that is read here, or cannot be reached.
    """
    if not benchmark.hub:
        raise EvaluationError(
            f"{benchmark.title} is not on the hub as it is read here: "
            "docs/evaluation.md says where its file is from"
        )
    from huggingface_hub import snapshot_download

    repository, *patterns = benchmark.hub
    try:
        folder = Path(snapshot_download(repository, repo_type="dataset", allow_patterns=patterns))
    # The library's errors are of a dozen classes, from its own, httpx and the system.
    except Exception as error:
        raise EvaluationError(
            f"{benchmark.title}: {repository} cannot be read from the hub: {first_line(error)}"
        ) from error
    found = sorted({path for one in patterns for path in folder.glob(one)}, key=_in_order)
    if not found:
        raise EvaluationError(f"{benchmark.title}: {repository} has no file {patterns[0]} any more")
    return tuple(found)


def _in_order(path: Path) -> tuple[str, int]:
    """``test2`` comes before ``test10``, and ``test`` before both."""
    stem = path.name.partition(".")[0]
    number = re.search(r"\d*$", stem)
    assert number is not None
    return stem[: number.start()], int(number.group() or 0)

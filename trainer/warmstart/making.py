"""A warm start as a folder, made once for each content hash.

The folder holds the model and its tokenizer in Hugging Face format, ``prompts/`` (the templates it
was trained with), ``held_out.jsonl`` (tasks it never saw, as ``data.val_files`` takes them),
``programs.jsonl`` and ``inductions.jsonl`` (seeds, of training programs), ``settings.json``,
and ``measured.json``.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from executor import SyncExecutor
from trainer.game.play.seed_files import write_seeds
from trainer.game.tasks.task import AZR_NAMES, Task, TaskType
from trainer.warmstart import corpus as corpora
from trainer.warmstart.corpus import TASK_TYPES, Corpus, Problem
from trainer.warmstart.settings import PROMPTS, WarmStart, corpus_key, model_key

HELD_OUT, MEASURED, SETTINGS = "held_out.jsonl", "measured.json", "settings.json"
PROGRAMS, INDUCTIONS = "programs.jsonl", "inductions.jsonl"
_SEEDS = 256
"""Tasks of each seed file."""
_WORKERS = 2

type Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Made:
    """A warm start on disk."""

    folder: Path
    measured: dict[str, float]
    """Metrics of :func:`trainer.warmstart.measuring.measure`."""


def make(settings: WarmStart, cache: Path, backend: str, say: Say = print) -> Made:
    """The warm start of these settings; made unless ``cache`` holds it.

    Takes minutes. The corpus is kept apart from the model, since it does not depend on it.

    Raises:
        executor.ExecutorError: the executor ``backend`` cannot be used.
        GameError: there are not as many programs as the settings ask for.
    """
    folder = cache / f"model-{model_key(settings)}"
    if not folder.is_dir():
        corpus = cached_corpus(settings, cache, backend, say)
        with _built(folder) as building:
            _make(settings, corpus, building, backend, say)
    found = json.loads((folder / MEASURED).read_text(encoding="utf-8"))
    return Made(folder, found["metrics"])


def cached_corpus(settings: WarmStart, cache: Path, backend: str, say: Say) -> Corpus:
    """The generated tasks, with outputs of the executor."""
    folder = cache / f"corpus-{corpus_key(settings)}"
    if not folder.is_dir():
        say(f"{settings.corpus.programs} programs are generated and run")
        with (
            _built(folder) as building,
            SyncExecutor(backend, workers=_WORKERS, cache=False) as executor,
        ):
            corpora.write(corpora.make_corpus(settings.corpus, executor), building)
    found = corpora.read(folder)
    say(f"{len(found.training)} sound programs to learn from, {len(found.held_out)} held out")
    return found


def _make(settings: WarmStart, corpus: Corpus, folder: Path, backend: str, say: Say) -> None:
    from trainer.game.play import validation
    from trainer.warmstart import learning, measuring

    problems = corpora.held_out_problems(corpus, settings.corpus, settings.training.num_inputs)
    shutil.copytree(PROMPTS, folder / "prompts")
    _write_rows(folder / HELD_OUT, problems)
    for name, tasks in seeds(corpus, settings.training.num_inputs).items():
        write_seeds(folder / name, tasks)
    started = time.monotonic()
    learning.train(corpus, settings, folder, _teller(say))
    trained_s = time.monotonic() - started
    metrics: Mapping[str, float] = {}
    if settings.training.measured:
        metrics = measuring.measure(
            folder,
            corpus=corpus,
            problems=validation.read(folder / HELD_OUT),
            settings=settings,
            backend=backend,
            say=say,
        )
    measured = {"metrics": metrics, "training_s": trained_s, "versions": _versions()}
    (folder / MEASURED).write_text(json.dumps(measured, indent=1), encoding="utf-8")
    (folder / SETTINGS).write_text(json.dumps(asdict(settings), indent=1), encoding="utf-8")


def seeds(corpus: Corpus, num_inputs: int) -> dict[str, list[Task]]:
    """Tasks to start self-play from, all of training programs."""
    fitting = [one for one in corpus.training if len(one.inputs) >= num_inputs]
    programs: list[Task] = [one.program_task(0) for one in fitting[:_SEEDS]]
    inductions: list[Task] = [
        one.induction_task(range(num_inputs)) for one in fitting[_SEEDS : 2 * _SEEDS]
    ]
    return {PROGRAMS: programs, INDUCTIONS: inductions}


def averages(measured: dict[str, float]) -> dict[TaskType, float]:
    """Held-out accuracy of each task type, its levels weighted alike."""
    found = {}
    for task_type in TASK_TYPES:
        prefix = f"val/test_score/{AZR_NAMES[task_type]}_"
        scores = [value for name, value in measured.items() if name.startswith(prefix)]
        found[task_type] = sum(scores) / len(scores) if scores else 0.0
    return found


@contextmanager
def _built(folder: Path) -> Iterator[Path]:
    """A folder to fill, which appears under its name when it is whole."""
    building = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    try:
        yield building
        building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _write_rows(path: Path, problems: Sequence[Problem]) -> None:
    text = "".join(json.dumps(problem.to_json()) + "\n" for problem in problems)
    path.write_text(text, encoding="utf-8")


def _teller(say: Say) -> Callable[[Any], None]:
    """Make a function that reports progress at every tenth of each course."""
    told = 0

    def tell(progress: Any) -> None:
        nonlocal told
        tenth = 10 * progress.tokens // progress.wanted
        if tenth == told:
            return
        told = tenth  # less than before: another course has begun
        if tenth:
            say(
                f"{progress.tokens:,} of {progress.wanted:,} tokens, "
                f"loss {progress.loss:.3f}, {progress.seconds:.0f} s"
            )

    return tell


def _versions() -> dict[str, str]:
    names = ("torch", "transformers", "tokenizers")
    return {"python": platform.python_version()} | {name: version(name) for name in names}

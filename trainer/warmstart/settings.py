"""Settings of a warm start, and the cache keys that follow from them."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

from trainer.game.settings import (
    AzrSettings,
    DataSelectionStrategy,
    GameSettings,
    RewardSettings,
)

HERE = Path(__file__).parent
PROMPTS = HERE / "prompts"
_TOOLS = ("torch", "transformers", "tokenizers")


@dataclass(frozen=True, slots=True)
class CorpusSettings:
    """The generated tasks."""

    seed: int = 1
    programs: int = 9000
    """Generated; some are refused by the executor."""
    inputs: int = 6
    """Most inputs of a program."""
    levels: int = 3
    """Programs of levels 1 to this; of level 1 alone there are fewer than 400."""
    split: str = "test-4"
    """Which programs are held out: each name holds out others. ``development`` is for choosing
    settings. The test set gets the next number when a setting is changed after a look at it."""
    held_out_share: float = 0.15
    """Programs, chosen by their content hash, that training never sees."""
    held_out: int = 60
    """Tasks of each type and level in the held-out set."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The model: a Qwen2 of about 0.9 million parameters."""

    vocabulary: int = 512
    """Most entries of the tokenizer."""
    hidden: int = 128
    layers: int = 4
    heads: int = 4
    feed_forward: int = 384
    max_positions: int = 512


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Plain supervised learning."""

    seed: int = 1
    copied_tokens: int = 300_000
    """Of values that are said twice, learned first: a model that cannot copy learns little else."""
    copied_batch_tokens: int = 600
    deduced_tokens: int = 800_000
    """Of careful deductions, learned next: what each step does is all that they are about."""
    tokens: int = 2_500_000
    """Of careful examples of all kinds; padding left out. Decides how long it takes, and how good
    the model is."""
    mixed_tokens: int = 500_000
    """Of careful and careless examples, learned last."""
    batch_tokens: int = 512
    """Small batches: many steps matter more than steady ones."""
    learning_rate: float = 1e-3
    mixed_learning_rate: float = 5e-4
    threads: int = 2
    """Of torch; more hardly help with batches so small. Another number is other rounding, and so
    another model."""
    prompt_weight: float = 0.1
    """Weight of a prompt's tokens in the loss; those of short responses have about 1."""
    proposer_share: float = 0.25
    """Examples of proposals; the rest are answers."""
    careless_share: float = 0.6
    """Mixed examples by authors who do not think aloud; the others first say what the program
    does."""
    wrong_share: float = 0.4
    """Of the careless examples: answers that repeat what was given, proposals whose input belongs
    to another program."""
    references: int = 1
    """Example tasks in a proposer's prompt (``io_n``)."""
    num_inputs: int = 4
    """Inputs of an induction task."""
    measured: int = 48
    """Proposals, and answers, of each type that the finished model is measured on; 0: it is not."""
    max_response: int = 96
    """Tokens of the longest response."""


@dataclass(frozen=True, slots=True)
class WarmStart:
    """All settings of a warm start."""

    corpus: CorpusSettings = field(default_factory=CorpusSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)


def brief() -> WarmStart:
    """A minute or two: enough to propose and to solve a little (``first_run``).

    One thread: on a machine where anything else runs, two wait for each other most of the time (ten
    times as long was measured), and on a quiet one they hardly help.
    """
    return WarmStart(
        corpus=CorpusSettings(programs=800, levels=2, held_out=15),
        training=TrainingSettings(
            copied_tokens=80_000,
            deduced_tokens=80_000,
            tokens=300_000,
            mixed_tokens=80_000,
            measured=0,
            threads=1,
        ),
    )


def careful(settings: WarmStart) -> WarmStart:
    """These settings with examples of careful authors only."""
    return replace(settings, training=replace(settings.training, careless_share=0.0))


def game_settings(settings: WarmStart, prompts: Path = PROMPTS) -> GameSettings:
    """The game as the model is to play it: decides what the prompts look like."""
    return GameSettings(
        azr=AzrSettings(
            prompts_dir=str(prompts),
            data_selection_strategy=DataSelectionStrategy(
                io_n=settings.training.references,
                num_inputs=settings.training.num_inputs,
                banned_words=(),
            ),
            reward=RewardSettings(),
        )
    )


def corpus_key(settings: WarmStart) -> str:
    """Content hash of what decides the generated tasks."""
    sources = (HERE / "forms.py", HERE / "programs.py", HERE / "corpus.py")
    return _digest(asdict(settings.corpus), _contents(sources), settings.training.num_inputs)


def model_key(settings: WarmStart) -> str:
    """Content hash of what decides the model: corpus, prompts, code, settings, and libraries.

    Comments and docstrings do not count.
    """
    sources = (*sorted(HERE.glob("*.py")), *sorted(PROMPTS.glob("*.txt")))
    tools = {name: version(name) for name in _TOOLS}
    return _digest(asdict(settings), _contents(sources), tools, corpus_key(settings))


def _contents(paths: tuple[Path, ...]) -> dict[str, str]:
    return dict(_hashes(paths))


def _hashes(paths: tuple[Path, ...]) -> Iterator[tuple[str, str]]:
    for path in paths:
        text = path.read_text("utf-8")
        content = code_of(text) if path.suffix == ".py" else text
        yield path.name, hashlib.sha256(content.encode()).hexdigest()


def code_of(source: str) -> str:
    """A module without comments and strings that stand alone."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not _is_text(line)]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_text(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)


def _digest(*parts: object) -> str:
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]

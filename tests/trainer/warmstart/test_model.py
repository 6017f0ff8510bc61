"""A warm start from nothing to a folder, with a model that learns a little in seconds."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from trainer.game.play.seed_files import read_rows
from trainer.warmstart.examples import examples
from trainer.warmstart.making import HELD_OUT, PROGRAMS, averages, cached_corpus, make
from trainer.warmstart.settings import (
    CorpusSettings,
    ModelSettings,
    TrainingSettings,
    WarmStart,
)

pytestmark = [
    pytest.mark.verl,
    pytest.mark.skipif(
        importlib.util.find_spec("torch") is None, reason="torch is not installed (extra: trainer)"
    ),
]

SMALL = WarmStart(
    corpus=CorpusSettings(programs=150, held_out=2, held_out_share=0.2),
    model=ModelSettings(hidden=32, layers=1, heads=1, feed_forward=64),
    training=TrainingSettings(
        copied_tokens=3_000,
        deduced_tokens=3_000,
        tokens=20_000,
        mixed_tokens=3_000,
        batch_tokens=1024,
        max_response=24,
        threads=1,  # others use the cores too
        measured=6,
    ),
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("warmstart")


def test_a_warm_start_is_made_once(cache: Path) -> None:
    said: list[str] = []
    made = make(SMALL, cache, "nsjail", said.append)
    assert any("tokens, loss" in line for line in said)
    assert (made.folder / "model.safetensors").is_file()
    assert set(averages(made.measured).values()) <= {n / 6 for n in range(7)}
    assert 0 <= made.measured["gen_code_o/valid_rate"] <= 1
    said.clear()
    # A backend that does not exist: nothing is run.
    assert make(SMALL, cache, "no such backend", said.append) == made
    assert not said


def test_its_files_are_those_that_a_run_takes(cache: Path) -> None:
    from trainer.game.play import validation
    from trainer.game.texts.prompts import PromptBook
    from trainer.warmstart.settings import game_settings

    folder = make(SMALL, cache, "nsjail", print).folder
    problems = validation.read(folder / HELD_OUT)
    assert len(problems) == 18
    rows, refused = read_rows(folder / PROGRAMS)
    assert rows
    assert not refused
    PromptBook(game_settings(SMALL, folder / "prompts"))
    assert json.loads((folder / "measured.json").read_text())["versions"]["torch"]


def test_tokens_keep_every_example(cache: Path) -> None:
    from transformers import AutoTokenizer

    from trainer.warmstart.learning import encode

    folder = make(SMALL, cache, "nsjail", print).folder
    tokenizer = AutoTokenizer.from_pretrained(folder)
    corpus = cached_corpus(SMALL, cache, "nsjail", print)
    for one in islice(examples(corpus.training, SMALL, seed=5), 200):
        tokens, prompt = encode(one, tokenizer)
        assert tokens[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(tokens[prompt:], skip_special_tokens=True) == one.response
        assert max(tokens) < len(tokenizer)


def test_a_loaded_model_has_the_tokens_that_it_was_trained_on(cache: Path) -> None:
    """Whoever loads a Qwen2 gets transformers' Qwen2 tokenizer, with its way to cut up text."""
    from transformers import AutoTokenizer

    from trainer.warmstart.learning import encode, train_tokenizer

    loaded = AutoTokenizer.from_pretrained(make(SMALL, cache, "nsjail", print).folder)
    corpus = cached_corpus(SMALL, cache, "nsjail", print)
    trained = train_tokenizer(corpus, SMALL)
    assert len(loaded) == len(trained)
    for one in islice(examples(corpus.training, SMALL, seed=6), 200):
        assert encode(one, loaded) == encode(one, trained)


def test_digits_and_the_letters_of_strings_are_tokens_of_their_own(cache: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(make(SMALL, cache, "nsjail", print).folder)
    for text, pieces in {
        "'fade', [12, -3]": ["'", "f", "a", "d", "e", "'", ", ", "[", "1", "2", "]"],
        "def f(s: str) -> str:\n    return": ["def f(", "s", ": str", ") -> str:\n    ", "return"],
    }.items():
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        found = [tokenizer.decode([token]) for token in ids]
        assert "".join(found) == text
        assert [piece for piece in pieces if piece not in found] == []


def test_the_same_seed_gives_the_same_weights_and_learning_lowers_the_loss(
    cache: Path, tmp_path: Path
) -> None:
    from trainer.warmstart.learning import Progress, train

    corpus = cached_corpus(SMALL, cache, "nsjail", print)
    short = replace(SMALL, training=replace(SMALL.training, tokens=40_000))
    weights, losses = [], []
    for name in ("one", "two"):
        progress: list[Progress] = []
        (tmp_path / name).mkdir()
        train(corpus, short, tmp_path / name, progress.append)
        weights.append((tmp_path / name / "model.safetensors").read_bytes())
        losses = [step.loss for step in progress if step.wanted == short.training.tokens]
    assert weights[0] == weights[1]
    assert losses[-1] < 0.95 * losses[0]


def test_the_command_says_what_is_wrong_with_an_executor(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trainer", "warmstart", "--executor", "none", "--cache", tmp_path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())

"""An evaluation that was killed ends as one that was not, whatever was being written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainer.evaluation.support import data
from trainer.cli.app import main

pytestmark = pytest.mark.verl
pytest.importorskip("torch", reason="needs the extra trainer")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from trainer.models import tiny

    return tiny.make(tmp_path_factory.mktemp("models") / "tiny", max_positions=512)


def evaluate(folder: Path, model: Path, *options: str) -> bytes:
    arguments = [
        *("evaluate", str(model), "--benchmarks", "humaneval,cruxeval_o"),
        *("--data", str(data(folder / "data")), "--out", str(folder / "run")),
        *("--engine", "transformers", "--max-tokens", "8", "--workers", "2", *options),
    ]
    assert main(arguments) == 0
    return (folder / "run" / "model" / "generations.jsonl").read_bytes()


@pytest.mark.parametrize("options", [(), ("--n", "2", "--temperature", "1", "--top-p", "0.9")])
def test_answers_are_those_of_an_evaluation_in_one_go(
    tmp_path: Path, model: Path, options: tuple[str, ...]
) -> None:
    whole = evaluate(tmp_path / "whole", model, *options)
    assert whole.count(b"\n") == 6
    torn = tmp_path / "torn"
    torn.mkdir()
    assert evaluate(torn, model, *options) == whole
    path = torn / "run" / "model"
    (path / "generations.jsonl").write_bytes(whole[: len(whole) // 2])
    verdicts = (path / "verdicts.jsonl").read_bytes()
    (path / "verdicts.jsonl").write_bytes(verdicts[: len(verdicts) // 3])
    assert evaluate(torn, model, *options) == whole
    again = (path / "verdicts.jsonl").read_bytes()
    assert sorted(again.splitlines()) == sorted(verdicts.splitlines())
    for name in ("report.md", "report.html"):
        assert (torn / "run" / name).read_text() == (
            tmp_path / "whole" / "run" / name
        ).read_text().replace(str(tmp_path / "whole"), str(torn))


def test_a_model_without_a_chat_template_is_one_sentence(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    bare = tmp_path / "bare"
    shutil.copytree(model, bare)
    for name in ("chat_template.jinja",):
        (bare / name).unlink(missing_ok=True)
    arguments = [
        *("evaluate", str(bare), "--benchmarks", "cruxeval_o", "--engine", "transformers"),
        *("--data", str(data(tmp_path / "data")), "--out", str(tmp_path / "run")),
        *("--max-tokens", "4", "--workers", "2"),
    ]
    assert main(arguments) == 2
    assert "has no chat template: with --chat-template none" in capsys.readouterr().err
    assert main([*arguments, "--prompt", "original", "--out", str(tmp_path / "other")]) == 0

"""An evaluation that was killed ends as one that was not, whatever was being written."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.trainer.evaluation.support import CRUXEVAL, data, write
from tests.trainer.support.runs import leftovers, wait_for
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


KILLED = """
import os, signal, sys
from trainer.cli.app import main
from trainer.evaluation.store import Lines

left = int(sys.argv.pop(1))
append = Lines.append

def append_or_die(file, lines):
    global left
    append(file, lines)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    Lines.append = append_or_die
    sys.exit(main(sys.argv[1:]))
"""
"""The command, which is killed when it has appended to its files so many times; 0: never."""


@pytest.mark.timeout(900)  # each process loads the engine
@pytest.mark.parametrize(
    ("engine", "kills"),
    [
        ("transformers", ((20, 20), (21, 40))),
        pytest.param(
            *("vllm", ((20, 20),)),
            marks=pytest.mark.skipif(not find_spec("vllm"), reason="vLLM is not installed"),
        ),
    ],
)
def test_an_evaluation_that_was_killed_ends_as_one_that_was_not(
    tmp_path: Path, model: Path, engine: str, kills: tuple[tuple[int, int], ...]
) -> None:
    """Killed after so many lines, which leaves so many answers: also when some are judged."""
    rows = [{**CRUXEVAL[number % 2], "id": f"sample_{number}"} for number in range(40)]
    benchmarks = write(tmp_path / "data" / "cruxeval.jsonl", rows).parent

    def run(out: str, *killed: str) -> int:
        command = [
            *(sys.executable, "-c", KILLED, *(killed or ("0",)), "evaluate", str(model)),
            *("--benchmarks", "cruxeval_o", "--engine", engine, "--data", str(benchmarks)),
            *("--out", str(tmp_path / out), "--max-tokens", "24", "--temperature", "1"),
            *("--workers", "2", "--memory-mib", "256"),
        ]
        # No pipe: an engine's own process may hold it for a moment after the kill.
        with (tmp_path / "log").open("w+") as log:
            done = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
            code = done.wait()
        wait_for(lambda: not leftovers(done.pid), 30, "all of the engine has ended")
        assert code in (0, -9), (tmp_path / "log").read_text()
        return code

    def kept(out: str, name: str) -> list[bytes]:
        return (tmp_path / out / "model" / f"{name}.jsonl").read_bytes().splitlines()

    for lines, answers in kills:
        assert run("killed", str(lines)) == -9
        assert len(kept("killed", "generations")) == answers
    assert run("killed") == run("whole") == 0
    assert kept("killed", "generations") == kept("whole", "generations")
    assert sorted(kept("killed", "verdicts")) == sorted(kept("whole", "verdicts"))
    for name in ("report.md", "report.html"):
        texts = [(tmp_path / out / name).read_text() for out in ("killed", "whole")]
        assert texts[0] == texts[1]


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

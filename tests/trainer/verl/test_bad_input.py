"""What is wrong with a command is said in a sentence, before Ray or a GPU is touched."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.trainer.support.forked import process_class
from tests.trainer.support.runs import ROOT, command, finish, needs_ray, needs_verl

pytestmark = [needs_verl, needs_ray, pytest.mark.verl, pytest.mark.timeout(300)]


type Refuse = Callable[..., str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from trainer.models import tiny

    return tiny.make(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def refused(model: Path) -> Iterator[Refuse]:
    """Run a command that is refused; returns the sentence."""
    given = f"actor_rollout_ref.model.path={model}"
    with refusing() as answer:

        def refuse(run: Path, *overrides: str, preset: str = "cpu_tiny") -> str:
            code, output = answer(command(run, given, *overrides, preset=preset)[3:])
            assert code == 2, output
            assert "Traceback" not in output
            lines = [line for line in output.splitlines() if line.startswith("error: ")]
            assert len(lines) == 1, output
            assert not list(run.glob("global_step_*"))
            return lines[0].removeprefix("error: ")

        yield refuse


@contextmanager
def refusing() -> Iterator[Callable[[list[str]], tuple[int, str]]]:
    with process_class(os.environ)(
        [sys.executable, "-m", "tests.trainer.support.refusals"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        questions, answers = process.stdin, process.stdout

        def answer(arguments: list[str]) -> tuple[int, str]:
            print(json.dumps(arguments), file=questions, flush=True)
            reply = json.loads(answers.readline())
            return reply["code"], reply["output"]

        try:
            yield answer
        finally:
            process.kill()


def test_command_itself_says_what_is_wrong(tmp_path: Path) -> None:
    code, output = finish(tmp_path, "actor_rollout_ref.model.path=/no/such/model", within_s=200)
    assert code == 2, output
    sentence = "error: actor_rollout_ref.model.path: there is no directory /no/such/model"
    assert output.splitlines() == [sentence]


def test_an_interpreter_that_ray_would_never_start_is_named(tmp_path: Path) -> None:
    """A folder with a space: Ray's workers would not come up, and the run would hang."""
    (tmp_path / "a folder").symlink_to(sys.prefix)
    python = tmp_path / "a folder/bin/python"
    ended = subprocess.run(
        [python, *command(tmp_path / "run")[1:]], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (2, ""), ended.stdout
    (line,) = ended.stdout.splitlines()
    assert line.startswith(f"error: Ray cannot start {python}: ")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["actor_rollout_ref.model.path=/no/such/model"], "there is no directory /no/such/model"),
        (["azr.seed_dataset=/no/such.jsonl"], "the seed file /no/such.jsonl cannot be read"),
        (["azr.no_such_key=1"], "azr.no_such_key"),
        (["actor_rollout_ref.rollout.top_p=0.9"], "top_p must be 1"),
        (["trainer.resume_mode=resume_path", "trainer.resume_from_path=/no/global_step_1"],
         "selfplay.json is missing"),
        (["data.val_files=/no/such.parquet"], "the validation file /no/such.parquet cannot be"),
    ],
)  # fmt: skip
def test_refused(tmp_path: Path, refused: Refuse, overrides: Sequence[str], sentence: str) -> None:
    assert sentence in refused(tmp_path, *overrides)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "holds no task"),
        ("not json\n", "no JSON"),
        ('{"snippet": "def f(a):\\n    return 1"}\n', "'input' is missing"),
    ],
)
def test_bad_seed_file(tmp_path: Path, refused: Refuse, content: str, sentence: str) -> None:
    path = tmp_path / "seeds.jsonl"
    path.write_text(content)
    answer = refused(tmp_path / "run", f"azr.seed_dataset={path}")
    assert sentence in answer
    assert str(path) in answer


def test_seed_file_whose_every_row_the_executor_refuses(tmp_path: Path, refused: Refuse) -> None:
    row = {"snippet": "def f(a):\n    return a + 1", "input": "1", "output": "3"}
    path = tmp_path / "seeds.jsonl"
    path.write_text(json.dumps(row) + "\n")
    assert "holds no sound task" in refused(tmp_path / "run", f"azr.seed_dataset={path}")


def test_tokenizer_without_chat_template(tmp_path: Path, refused: Refuse, model: Path) -> None:
    bare = tmp_path / "model"
    shutil.copytree(model, bare)
    (bare / "chat_template.jinja").unlink()
    answer = refused(tmp_path / "run", f"actor_rollout_ref.model.path={bare}")
    assert answer == (
        f"the tokenizer of {bare} has no chat template; set "
        "actor_rollout_ref.model.custom_chat_template"
    )


def test_directory_that_is_no_model(tmp_path: Path, refused: Refuse) -> None:
    empty = tmp_path / "model"
    empty.mkdir()
    answer = refused(tmp_path / "run", f"actor_rollout_ref.model.path={empty}")
    assert f"{empty} cannot be loaded" in answer


def test_executor_that_does_not_answer(tmp_path: Path, refused: Refuse) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        answer = refused(tmp_path, "azr.executor=http", f"azr.executor_url={url}")
    assert "executor" in answer
    assert url in answer


def test_docker_engine_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    with refusing() as answer:
        given = (f"actor_rollout_ref.model.path={model}", "azr.executor=docker")
        code, output = answer(command(tmp_path, *given)[3:])
    assert code == 2, output
    assert f"nothing answers at unix://{tmp_path}/no.sock" in output


def test_run_directory_that_cannot_be_written(tmp_path: Path, refused: Refuse) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refused(tmp_path / "file" / "run")


def test_gpus_that_are_not_there(tmp_path: Path, refused: Refuse) -> None:
    import torch

    if torch.cuda.device_count() >= 4:
        pytest.skip("this machine has them")
    answer = refused(tmp_path / "run", preset="qwen2.5_7b")
    assert "GPUs" in answer or "vLLM is not installed" in answer

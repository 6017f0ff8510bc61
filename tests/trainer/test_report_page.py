"""The report: whole and unfinished runs, damaged files, and text that a model wrote."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.support.game import (
    Script,
    SelfPlay,
    fenced,
    new_buffers,
    open_judge,
    program_task,
    proposal,
    settings,
)

pytest.importorskip("matplotlib", reason="needs the extra 'trainer'")

from trainer.cli.app import main
from trainer.game.tasks.task import TaskType
from trainer.report.charts import SECTIONS, Chart, draw, lines_of
from trainer.report.page import write_report
from trainer.report.run_files import NoRun, read_run

EVIL = "</pre><script>alert(1)</script><img src=x onerror=alert(2)>"


def write_run(folder: Path, steps: int = 5, **metrics: float) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"step": step, "metrics": {"actor/grad_norm": step / 2, "x/y": None, **metrics}})
        for step in range(1, steps + 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(line + "\n" for line in lines))
    (folder / "config.yaml").write_text(
        "trainer:\n  experiment_name: trial\n  total_training_steps: 5\nazr:\n  executor: nsjail\n"
    )
    (folder / "samples").mkdir(exist_ok=True)
    row = {"table": "answers", "kind": "pred_code_o", "reward": 1.0, "response": EVIL, "task": None}
    for step in range(1, steps + 1):
        (folder / "samples" / f"step_{step:06d}.jsonl").write_text(json.dumps(row) + "\n")
    (folder / f"global_step_{steps}").mkdir(exist_ok=True)
    return folder


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


def page(path: Path) -> Page:
    return Page(path.read_text())


def test_a_whole_run_lacks_nothing(tmp_path: Path) -> None:
    path, missing = write_report(write_run(tmp_path))
    assert path == tmp_path / "report.html"
    assert missing == ()
    found = page(path)
    assert "5 of 5 steps" in found.words
    assert "Missing in this run" not in found.words
    assert ("img", "Gradient norm") in [(tag, attrs.get("alt")) for tag, attrs in found.tags]


def test_the_page_needs_no_other_file_and_cannot_load_one(tmp_path: Path) -> None:
    found = page(write_report(write_run(tmp_path))[0])
    for tag, attributes in found.tags:
        assert tag not in {"script", "link", "iframe", "object"}
        for name in ("src", "href"):
            target = attributes.get(name) or "#"
            assert target.startswith(("data:image/svg+xml;base64,", "#")), target
    assert any(
        attributes.get("http-equiv") == "Content-Security-Policy" for _, attributes in found.tags
    )


def test_text_of_the_model_stays_text(tmp_path: Path) -> None:
    path, _ = write_report(write_run(tmp_path))
    assert EVIL not in path.read_text()
    assert EVIL in page(path).words


def test_an_unfinished_run_says_what_it_lacks(tmp_path: Path) -> None:
    run = write_run(tmp_path, steps=2)
    (run / "global_step_2").rmdir()
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "metr')
    found = page(write_report(run)[0])
    assert "steps 3 to 5: the run is not at its end" in found.words
    assert "1 line cannot be read" in found.words
    assert "checkpoints: none was saved yet" in found.words
    assert "2 of 5 steps" in found.words


@pytest.mark.parametrize(
    ("gone", "says"),
    [
        ("metrics.jsonl", "metrics.jsonl: no step was finished yet"),
        ("config.yaml", "config.yaml: the configuration of the run"),
        ("samples", "samples: no step has written proposals and answers yet"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, gone: str, says: str) -> None:
    run = write_run(tmp_path / "run")
    (run / gone).rename(tmp_path / gone)
    path, missing = write_report(run)
    assert says in missing
    assert says in page(path).words


def test_damaged_files_do_not_stop_the_report(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    (run / "config.yaml").write_text("a: [unclosed")
    (run / "samples" / "step_000005.jsonl").write_bytes(b'\xff\xfe\n[1]\n{"table": "answers"}\n')
    (run / "metrics.jsonl").write_text(
        '{"step": 1, "metrics": {"actor/grad_norm": 1}}\n[]\n{}\n\x00\n'
    )
    path, missing = write_report(run)
    assert "config.yaml cannot be read" in missing
    assert "metrics.jsonl: 3 lines cannot be read (cut off while written?)" in missing
    assert any(text.startswith("samples: 2 rows") for text in missing)
    assert path.is_file()


def test_gaps_in_the_metrics_are_named(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    lines = (run / "metrics.jsonl").read_text().splitlines()
    (run / "metrics.jsonl").write_text("\n".join([lines[0], lines[4]]))
    assert "metrics of 3 earlier steps, the first is step 2" in read_run(run).missing


def test_a_folder_without_a_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(NoRun):
        read_run(tmp_path)
    assert main(["report", str(tmp_path / "nowhere")]) == 2
    assert "there is no directory" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_command_names_the_page_and_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(write_run(tmp_path, steps=1))]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == str(tmp_path / "report.html")
    assert "missing: steps 2 to 5: the run is not at its end" in said


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    first = write_report(run)[0].read_text()
    assert write_report(run)[0].read_text() == first


def test_stacked_and_logarithmic_plots_take_holes_and_zeros(tmp_path: Path) -> None:
    metrics: dict[str, Any] = {"a/ok": 3.0, "a/error": 0.0, "diff": 0.0}
    run = read_run(write_run(tmp_path, **metrics))
    assert draw(Chart("stack", "", r"a/(\w+)", "stacked"), run)
    assert draw(Chart("log", "", r"diff", "log"), run)
    assert draw(Chart("none", "", r"nothing"), run) is None


def test_every_plot_of_the_game_finds_its_metrics(tmp_path: Path) -> None:
    """A step of the real game has what the charts look for: a renamed metric loses its plot."""
    run = read_run(write_run(tmp_path, steps=1, **played_metrics()))
    ours = {
        chart.title
        for title, charts in SECTIONS.items()
        for chart in charts
        if title not in {"Time", "Optimization"}
    } - {"Validation", "Prompt length"}
    empty = {c.title for charts in SECTIONS.values() for c in charts if not lines_of(c, run)}
    assert ours & empty == set()


def played_metrics() -> dict[str, Any]:
    wanted = settings(problem_types=("code_o",))
    buffers = new_buffers(wanted)
    buffers.add(TaskType.DEDUCTION, program_task("def f(x):\n    return x + 1", "1", "2"))
    model = Script(
        {
            "gen_code_o": [proposal("def f(x):\n    return x * 2", "4")],
            "pred_code_o": [fenced("output", "2")],
        },
        {"x * 2": [fenced("output", "8"), *[fenced("output", "9")] * 7]},
    )
    with open_judge(wanted.azr) as judge:
        result = SelfPlay(wanted, buffers, judge).step(model, 1)
    return {name: float(value) for name, value in result.metrics.items()}

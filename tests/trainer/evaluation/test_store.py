"""A run's files survive a kill at any byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.files import find, rows
from trainer.evaluation.store import Lines, keep_settings


def lines(count: int) -> list[dict[str, Any]]:
    return [{"benchmark": "b", "id": str(n), "texts": ["é" * n]} for n in range(count)]


def test_a_torn_line_is_cut_off_wherever_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with Lines(path) as file:
        file.append(lines(3))
    whole = path.read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    for end in (start, start + 1, len(whole) - 1, len(whole)):
        path.write_bytes(whole[:end])
        with Lines(path) as file:
            assert len(file) == (3 if end == len(whole) else 2)
            file.append(line for line in lines(3) if ("b", line["id"]) not in file)
        assert path.read_bytes() == whole


def test_lines_are_found_again(tmp_path: Path) -> None:
    with Lines(tmp_path / "x.jsonl") as file:
        file.append(lines(2))
        file.append(lines(5)[2:])
        assert file.get(("b", "3")) == lines(5)[3]
        assert file.get(("b", "9")) is None
        assert [line["id"] for line in file] == ["0", "1", "2", "3", "4"]


def test_other_settings_need_another_folder(tmp_path: Path) -> None:
    keep_settings(tmp_path, {"a": 1})
    keep_settings(tmp_path, {"a": 1})
    with pytest.raises(EvaluationError, match="a=1, not 2"):
        keep_settings(tmp_path, {"a": 2})


def test_files_are_found_with_their_further_parts(tmp_path: Path) -> None:
    for name in ("lcb/test.jsonl", "lcb/test2.jsonl", "lcb/test4.jsonl", "deep/er/AIME24.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"a": 1}\n')
    found = find(tmp_path, ["lcb", "lcb/test"], "LiveCodeBench")
    assert [path.name for path in found] == ["test.jsonl", "test2.jsonl"]
    assert find(tmp_path, ["aime24"], "AIME")[0].name == "AIME24.jsonl"
    with pytest.raises(EvaluationError, match=r"needs a file MbppPlus\.jsonl"):
        find(tmp_path, ["MbppPlus"], "MBPP+")


@pytest.mark.parametrize(
    ("text", "problem"), [("{", "line 1 is no JSON"), ("[1]", "row 1 is no object")]
)
def test_a_file_that_is_none_says_where(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    with pytest.raises(EvaluationError, match=problem):
        list(rows(path))

"""The mutation check itself: its rows fit the source, and it tells noticed from not noticed.

The whole of it is ``python -m tests.security.mutation``.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from tests.security.mutation import mutate
from tests.security.mutation.anchors import NoPlace, find
from tests.security.mutation.mutations import MUTATIONS, Change, Mutation


@pytest.mark.parametrize("row", MUTATIONS, ids=lambda row: row.name)
def test_a_mutation_fits_the_source_and_names_tests_that_exist(row: Mutation) -> None:
    for change in row.changes:
        text = (mutate.ROOT / "executor" / change.file).read_text()
        mutated = mutate.changed(text, change)
        assert mutated != text
        if change.file.endswith(".py"):
            ast.parse(mutated)
    for test in mutate.tests_of(row):
        path, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}" in (mutate.ROOT / path).read_text()
    assert row.tests or row.attacks or row.essential


def test_names_of_mutations_are_unique() -> None:
    assert len({row.name for row in MUTATIONS}) == len(MUTATIONS)


SOURCE = """
LIMIT = 1

class One:
    def size(self): return (
        LIMIT + 1)

class Two:
    def size(self):
        return LIMIT + 1
"""


def source(folder: Path, text: str = SOURCE) -> Path:
    file = folder / "executor/a.py"
    file.parent.mkdir()
    file.write_text(text)
    return file


def test_a_tree_is_as_before_after_a_mutation(tmp_path: Path) -> None:
    file = source(tmp_path)
    changes = Change("a.py", "One.size", "LIMIT+ 1", "2"), Change("a.py", "LIMIT", "1", "7")
    with mutate.mutated(tmp_path, Mutation("a", "b", changes)):
        names: dict[str, Any] = {}
        exec(file.read_text(), names)
        assert (names["One"]().size(), names["Two"]().size()) == (2, 8)
    assert file.read_text() == SOURCE


UNFIT = {
    "not there": ("Two.size", "LIMIT + 2"),
    "in another definition": ("LIMIT", "LIMIT + 1"),
    "twice": ("", "LIMIT + 1"),
    "no such definition": ("Three.size", "LIMIT + 1"),
}


@pytest.mark.parametrize("what", UNFIT)
def test_a_mutation_that_does_not_fit_is_an_error(tmp_path: Path, what: str) -> None:
    file = source(tmp_path)
    changes = Change("a.py", "LIMIT", "1", "7"), Change("a.py", *UNFIT[what], "0")
    row = Mutation("a", "b", changes)
    with pytest.raises(NoPlace, match="not 1"), mutate.mutated(tmp_path, row):
        pass
    assert file.read_text() == SOURCE
    assert "not 1" in mutate.check(tmp_path, row).problem


def test_a_function_of_c_ends_with_its_brace() -> None:
    text = "static int one(int x)\n{\n    if (x) {\n        y();\n    }\n    return 1;\n}\n"
    text += "int two(void)\n{\n    return one(1);\n}\n"
    assert find("a.c", text, "one", "return 1;").start == text.index("return 1;")
    with pytest.raises(NoPlace):
        find("a.c", text, "two", "return 1;")

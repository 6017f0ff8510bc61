"""The mutation check itself: its rows fit the source, and it tells noticed from not noticed.

The whole of it is ``python -m tests.security.mutation``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.security.mutation import mutate
from tests.security.mutation.mutations import MUTATIONS, Change, Mutation


@pytest.mark.parametrize("row", MUTATIONS, ids=lambda row: row.name)
def test_a_mutation_fits_the_source_and_names_tests_that_exist(row: Mutation) -> None:
    for change in row.changes:
        assert (mutate.ROOT / "executor" / change.file).read_text().count(change.old) == 1
    for test in mutate.tests_of(row):
        path, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}" in (mutate.ROOT / path).read_text()
    assert row.tests or row.attacks or row.essential


def test_names_of_mutations_are_unique() -> None:
    assert len({row.name for row in MUTATIONS}) == len(MUTATIONS)


def test_a_tree_is_as_before_after_a_mutation(tmp_path: Path) -> None:
    file = tmp_path / "executor/a.py"
    file.parent.mkdir()
    file.write_text("one two")
    row = Mutation("a", "b", (Change("a.py", "one", "1"), Change("a.py", "two", "2")))
    with mutate.mutated(tmp_path, row):
        assert file.read_text() == "1 2"
    assert file.read_text() == "one two"


def test_a_mutation_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "executor/a.py"
    file.parent.mkdir()
    file.write_text("one one two")
    for old in ("one", "three"):
        row = Mutation("a", "b", (Change("a.py", "two", "2"), Change("a.py", old, "1")))
        with pytest.raises(mutate.Broken, match="not 1"), mutate.mutated(tmp_path, row):
            pass
        assert file.read_text() == "one one two"
        assert mutate.check(tmp_path, row).problem

"""Hostile programs in a batch: they get their own status, their neighbours notice nothing."""

from __future__ import annotations

import pytest

from benchmarks import bombs
from executor import SyncExecutor


@pytest.fixture(scope="module")
def outcome() -> bombs.Outcome:
    """A thousand rows with at least three bombs of each kind."""
    return bombs.run(1000, every=25)


def test_every_bomb_gets_its_status_and_every_other_row_its_value(outcome: bombs.Outcome) -> None:
    assert outcome.wrong == []


def test_every_kind_of_bomb_went_off(outcome: bombs.Outcome) -> None:
    seen = {kind for kind, _ in outcome.statuses}
    assert seen == {*bombs.BOMBS, "honest"}


def test_the_host_process_stays_small(outcome: bombs.Outcome) -> None:
    assert outcome.memory.peak - outcome.memory.before < bombs.MAX_HOST_MIB


def test_a_wrong_verdict_would_be_noticed() -> None:
    honest, *_, bomb = bombs.rows(25, every=25)
    assert bomb.bomb is not None
    with SyncExecutor("process", workers=1) as executor:
        verdict = executor.validate(honest.triplet)
    assert honest.is_right(verdict)
    assert not honest.is_right(verdict.model_copy(update={"outputs": ("0",)}))
    assert not bomb.is_right(verdict)

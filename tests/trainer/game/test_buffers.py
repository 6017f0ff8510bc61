"""Buffers: what they hold, count, forget, and give back after a restore."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.game.errors import StateError
from trainer.game.play.sampling import draw_references, draw_solver_tasks
from trainer.game.tasks.buffers import Buffer, Buffers, TypeCounts
from trainer.game.tasks.task import (
    InductionTask,
    MalformedTask,
    ProgramTask,
    TaskType,
    task_from_json,
)


def task(number: int, step: int = 0) -> ProgramTask:
    return ProgramTask(
        f"def f(x):\n    return x + {number}", "1", str(number + 1), step=step,
        input_type="int", output_type="int",
    )  # fmt: skip


def induction(number: int, step: int = 0) -> InductionTask:
    texts = tuple(map(str, range(number, number + 4)))
    return InductionTask(
        "def f(x):\n    return x", texts, texts, f"m{number}", step=step,
        input_types=("int",) * 4, output_types=("int",) * 4,
    )  # fmt: skip


def test_a_duplicate_is_refused_however_it_is_spaced() -> None:
    buffer = Buffer()
    assert buffer.add(task(1)) == (True, ())
    again = ProgramTask(task(1).snippet.replace("\n", "  \n") + "\n\n", " 1 ", "anything", step=3)
    assert buffer.add(again) == (False, ())
    assert again in buffer
    assert len(buffer) == 1


def test_the_same_program_with_another_input_is_another_task() -> None:
    buffer = Buffer()
    buffer.add(task(1))
    assert buffer.add(ProgramTask(task(1).snippet, "2", "3"))[0]


def test_without_dedup_duplicates_are_kept() -> None:
    buffer = Buffer(dedup=False)
    buffer.add(task(1))
    assert buffer.add(task(1))[0]
    assert len(buffer) == 2


def test_a_full_buffer_loses_its_oldest_tasks() -> None:
    buffer = Buffer(capacity=3)
    gone = [buffer.add(task(number, step=number))[1] for number in range(5)]
    assert [list(tasks) for tasks in gone] == [[], [], [], [task(0, 0)], [task(1, 1)]]
    assert list(buffer) == [task(2, 2), task(3, 3), task(4, 4)]
    assert buffer.add(task(0, 5))[0], "what was lost is new again"


def test_steps_never_go_back() -> None:
    buffer = Buffer()
    buffer.add(task(1, step=4))
    with pytest.raises(ValueError, match="a task of step 3 after step 4"):
        buffer.add(task(2, step=3))


def test_recent_tasks_are_those_of_the_window() -> None:
    buffer = Buffer()
    for step in (0, 0, 1, 2, 2, 4):
        buffer.add(task(len(buffer), step))
    assert [t.step for t in buffer.recent(5, 1)] == [4]
    assert [t.step for t in buffer.recent(3, 1)] == [2, 2, 4]
    assert [t.step for t in buffer.recent(1, 1)] == [0, 0, 1, 2, 2, 4]


def test_references_of_induction_are_the_programs_of_the_other_types() -> None:
    buffers = Buffers(TaskType)
    buffers.add(TaskType.ABDUCTION, task(1))
    buffers.add(TaskType.DEDUCTION, task(2))
    buffers.add(TaskType.ERROR, task(3))
    assert buffers.references(TaskType.INDUCTION) == [task(1), task(2)]
    assert buffers.references(TaskType.ERROR) == [task(3)]


def test_seeds_stand_in_for_references_that_are_not_there() -> None:
    buffers = Buffers([TaskType.INDUCTION])
    buffers.keep_seeds([task(7)])
    assert buffers.references(TaskType.INDUCTION) == [task(7)]


def test_a_task_in_the_wrong_buffer_is_an_error() -> None:
    with pytest.raises(TypeError, match="InductionTask is no task of deduction"):
        Buffers(TaskType).add(TaskType.DEDUCTION, induction(1))


def test_rarity_as_worked_by_hand() -> None:
    counts = TypeCounts()
    for name, text in [("int", "1"), ("int", "1"), ("int", "2"), ("str", "'a'")]:
        counts.add(name, text)
    # P(1) = 2/4; P(int) = 3/4, P(1 | int) = 2/3
    assert counts.rarity("int", "1") == pytest.approx((0.5, (1 / 4 + 1 / 3) / 2))
    assert counts.rarity("int", "9") == pytest.approx((1.0, (1 / 4 + 1) / 2))
    assert counts.rarity("set", "{1}") == (1.0, 1.0)
    assert TypeCounts().rarity("int", "1") == (1.0, 1.0)


def test_statistics_are_those_of_what_is_held() -> None:
    buffers = Buffers(TaskType, capacity=2)
    for number in range(4):
        buffers.add(TaskType.DEDUCTION, task(number, number))
        buffers.add(TaskType.INDUCTION, induction(10 * number, number))
    assert buffers.output_types.statistics() == {"int": (10, 10)}
    assert buffers.input_types.statistics() == {"int": (8, 8)}


ADDITIONS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2), st.booleans()), max_size=40)


def _filled(additions: list[tuple[int, int, bool]], capacity: int | None) -> Buffers:
    buffers = Buffers([TaskType.ABDUCTION, TaskType.INDUCTION], capacity=capacity)
    step = 0
    for number, later, is_program in additions:
        step += later
        if is_program:
            buffers.add(TaskType.ABDUCTION, task(number, step))
        else:
            buffers.add(TaskType.INDUCTION, induction(number, step))
    return buffers


@given(ADDITIONS, st.sampled_from([None, 1, 3]))
def test_what_is_held_is_distinct_ordered_bounded_and_counted(
    additions: list[tuple[int, int, bool]], capacity: int | None
) -> None:
    buffers = _filled(additions, capacity)
    for kind in buffers.task_types:
        held = list(buffers[kind])
        assert len({t.key for t in held}) == len(held)
        assert [t.step for t in held] == sorted(t.step for t in held)
        assert capacity is None or len(held) <= capacity
    texts = Counter(t.input for t in buffers[TaskType.ABDUCTION] if isinstance(t, ProgramTask))
    for t in buffers[TaskType.INDUCTION]:
        assert isinstance(t, InductionTask)
        texts.update(t.inputs)
    expected = {"int": (len(texts), texts.total())} if texts else {}
    assert buffers.input_types.statistics() == expected


@given(ADDITIONS, st.sampled_from([None, 3]))
def test_a_restored_state_is_the_same_to_the_bit(
    additions: list[tuple[int, int, bool]], capacity: int | None
) -> None:
    buffers = _filled(additions, capacity)
    buffers.keep_seeds([task(99)])
    saved = json.dumps(buffers.state())
    other = _filled([(5, 1, True)], capacity)
    other.restore(json.loads(saved))
    assert json.dumps(other.state()) == saved
    assert other.input_types.statistics() == buffers.input_types.statistics()
    assert other.references(TaskType.INDUCTION) == buffers.references(TaskType.INDUCTION)
    for kind in buffers.task_types:
        assert list(other[kind]) == list(buffers[kind])


@pytest.mark.parametrize(
    "state",
    [{}, {"version": 2, "seeds": [], "tasks": {}}, {"version": 1, "seeds": 3, "tasks": {}},
     {"version": 1, "seeds": [], "tasks": {"code_i": [{"snippet": 1}]}}],
)  # fmt: skip
def test_a_broken_state_changes_nothing(state: dict[str, object]) -> None:
    buffers = _filled([(1, 1, True)], None)
    before = buffers.state()
    with pytest.raises(StateError):
        buffers.restore(state)
    assert buffers.state() == before


# -- Rows of AZR's files --


def test_rows_have_azrs_keys() -> None:
    assert task(1, 5).to_json() == {
        "snippet": "def f(x):\n    return x + 1", "input": "1", "output": "2", "imports": [],
        "original_snippet": "def f(x):\n    return x + 1", "composite_functions": [],
        "_input_type": "int", "_output_type": "int", "step": 5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ([], "a task is a JSON object, not list"),
        ({"snippet": "x", "input": 1, "output": "2"}, "'input' is int, not a text"),
        ({"input": "1", "output": "2"}, "'snippet' is missing, not a text"),
        ({"snippet": "x", "inputs": ["1"], "outputs": ["1"], "message": "m"}, "want as many"),
        ({"snippet": "x", "inputs": ["1", "2"], "outputs": ["1"], "message": "m"}, "want as many"),
        ({"snippet": "x", "input": "1", "output": "2", "step": -1}, "'step' is -1"),
        ({"snippet": "x", "input": "1", "output": "2", "imports": "os"}, "not a list of texts"),
    ],
)
def test_a_row_that_is_no_task_says_why(row: object, problem: str) -> None:
    with pytest.raises(MalformedTask, match=problem):
        task_from_json(row)


def test_given_pairs_are_the_first_half_rounded_down() -> None:
    five = InductionTask("s", tuple("12345"), tuple("12345"), "m")
    assert five.given == (("1", "1"), ("2", "2"))
    assert five.hidden == (("3", "3"), ("4", "4"), ("5", "5"))


# -- Drawing --


def _pool(count: int) -> Buffer:
    buffer = Buffer()
    for number in range(count):
        buffer.add(task(number, step=number))
    return buffer


def test_max_new_takes_what_is_new_and_fills_up_with_others() -> None:
    drawn = draw_solver_tasks(_pool(10), 6, "max_new", random.Random(1), now=10, window=2)
    assert {t.step for t in drawn} >= {8, 9}
    assert len({t.key for t in drawn}) == 6


def test_max_new_takes_at_random_where_more_is_new_than_wanted() -> None:
    drawn = draw_solver_tasks(_pool(10), 3, "max_new", random.Random(1), now=10, window=9)
    assert len({t.key for t in drawn}) == 3
    assert all(t.step >= 1 for t in drawn)


def test_half_new_takes_at_most_half() -> None:
    for seed in range(20):
        drawn = draw_solver_tasks(_pool(40), 8, "half_new", random.Random(seed), now=40, window=1)
        assert [t.step for t in drawn].count(39) == 1
        assert len({t.key for t in drawn}) == 8


def test_tasks_repeat_only_where_there_are_too_few() -> None:
    drawn = draw_solver_tasks(_pool(3), 8, "uniform_total", random.Random(1), now=1, window=1)
    assert len(drawn) == 8
    assert {t.step for t in drawn} == {0, 1, 2}


def test_step_weighs_by_age_and_still_shows_seeds() -> None:
    rng = random.Random(1)
    drawn = draw_solver_tasks(_pool(4), 4000, "step", rng, now=4, window=1)
    shares = Counter(t.step for t in drawn)
    for step in range(4):
        assert shares[step] / 4000 == pytest.approx((step + 1) / 10, abs=0.03)


def test_an_empty_buffer_is_an_error() -> None:
    with pytest.raises(ValueError, match="empty"):
        draw_solver_tasks(Buffer(), 1, "max_new", random.Random(1), now=1, window=1)


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from(["uniform", "step"]), st.integers())
def test_references_are_different_entries(pool: int, count: int, weights: str, seed: int) -> None:
    tasks = [t for t in _pool(pool) if isinstance(t, ProgramTask)]
    drawn = draw_references(tasks, count, weights, random.Random(seed))  # type: ignore[arg-type]
    assert len({t.key for t in drawn}) == min(pool, count)


def test_newer_references_are_drawn_more_often_by_step() -> None:
    tasks = [task(0, step=0), task(1, step=3)]
    rng = random.Random(1)
    first = Counter(draw_references(tasks, 1, "step", rng)[0].step for _ in range(4000))
    assert first[3] / 4000 == pytest.approx(0.8, abs=0.03)

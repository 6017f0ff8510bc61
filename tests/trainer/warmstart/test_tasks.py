"""The programs that a warm start learns from, and the examples made of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from executor import JudgeTask, SyncExecutor
from trainer.game.errors import GameError
from trainer.game.tasks.task import ALL_KINDS, InductionTask, Role, TaskType, task_from_json
from trainer.game.texts.parsing import (
    InductionProposal,
    ProgramProposal,
    extract_answer,
    is_well_formed,
    parse_induction_proposal,
    parse_program_proposal,
    parse_solution,
)
from trainer.warmstart.corpus import (
    Corpus,
    Sound,
    held_out_problems,
    make_corpus,
    read,
    renamed,
    write,
)
from trainer.warmstart.examples import Example, backwards, examples, forwards, plan
from trainer.warmstart.programs import LEVELS, generate
from trainer.warmstart.settings import (
    CorpusSettings,
    WarmStart,
    code_of,
    corpus_key,
    model_key,
)

SETTINGS = CorpusSettings(programs=240, held_out=6, held_out_share=0.3)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    with SyncExecutor(workers=2) as executor:
        return make_corpus(SETTINGS, executor)


def test_the_same_seed_gives_the_same_programs_and_another_one_others() -> None:
    first = list(islice(generate(7, 4), 300))
    assert first == list(islice(generate(7, 4), 300))
    assert first != list(islice(generate(8, 4), 300))


def test_programs_are_typed_functions_of_all_levels_and_none_comes_twice() -> None:
    drawn = list(islice(generate(1, 4), 1500))
    assert len({one.source for one in drawn}) == len(drawn)
    assert {one.level for one in drawn} == set(LEVELS)
    for one in drawn:
        (function,) = ast.parse(one.source).body
        assert isinstance(function, ast.FunctionDef)
        assert function.name == "f"
        assert function.returns is not None
        assert all(argument.annotation for argument in function.args.args)
        assert len(set(one.inputs)) == len(one.inputs)
        arity = len(function.args.args)
        assert all(len(ast.literal_eval(f"({text},)")) == arity for text in one.inputs)


def test_asking_for_more_programs_than_there_are_is_an_error() -> None:
    programs = generate(1, 4, levels=1)
    assert len(list(islice(programs, 300))) == 300
    with pytest.raises(GameError, match=r"no more than about 3\d\d programs of levels 1 to 1"):
        list(programs)


def test_the_executor_finds_most_programs_sound(corpus: Corpus) -> None:
    assert len(corpus.training) + len(corpus.held_out) > 0.8 * SETTINGS.programs
    (one, *_) = corpus.training
    assert len(one.outputs) == len(one.inputs)


def test_what_is_held_out_is_in_no_training_program(corpus: Corpus) -> None:
    assert corpus.held_out
    known = {one.source for one in corpus.training}
    assert not known & {one.source for one in corpus.held_out}


def test_programs_that_differ_in_names_only_are_on_the_same_side() -> None:
    one = "def f(n: int, k: int) -> int:\n    p = n + k\n    return max(p, 3)"
    other = "def f(a: int, k: int) -> int:\n    p = a + k\n    return max(p, 3)"
    assert renamed(one) == renamed(other)
    assert renamed(one) != renamed(one.replace("max", "min"))
    assert renamed("def f(s: str) -> str:\n    return s + 's'").endswith("return v0 + 's'")


def test_development_and_test_hold_out_other_programs(corpus: Corpus) -> None:
    with SyncExecutor(workers=2) as executor:
        other = make_corpus(replace(SETTINGS, split="development"), executor)
    assert {*corpus.training, *corpus.held_out} == {*other.training, *other.held_out}
    tested = {one.source for one in corpus.held_out}
    developed = {one.source for one in other.held_out}
    assert developed
    assert tested - developed
    assert developed - tested


def test_some_hints_have_the_constants_and_some_do_not() -> None:
    hints = {one.hint for one in islice(generate(3, 4), 1500)}
    assert "add" in hints
    assert {f"add {k}" for k in range(1, 7)} & hints


def test_a_corpus_is_kept_as_it_is(corpus: Corpus, tmp_path: Path) -> None:
    write(corpus, tmp_path)
    assert read(tmp_path) == corpus


def test_held_out_tasks_are_of_each_type_and_level_and_different(corpus: Corpus) -> None:
    problems = held_out_problems(corpus, SETTINGS, num_inputs=4)
    names = {problem.source for problem in problems}
    assert {f"code_{kind}_level2" for kind in "iof"} <= names
    keys = [(problem.task_type, problem.task.key) for problem in problems]
    assert len(set(keys)) == len(keys)
    row = problems[0].to_json()
    assert task_from_json({**row["extra_info"], "snippet": row["problem"]}) == problems[0].task


def test_held_out_induction_tasks_do_not_always_give_the_same(corpus: Corpus) -> None:
    tasks = [problem.task for problem in held_out_problems(corpus, SETTINGS, num_inputs=4)]
    outputs = [set(task.outputs) for task in tasks if isinstance(task, InductionTask)]
    assert outputs
    assert all(len(found) > 1 for found in outputs)


def test_examples_are_what_the_game_wants_of_every_kind(corpus: Corpus) -> None:
    drawn = list(islice(examples(corpus.training, WarmStart(), seed=3), 300))
    assert {one.kind for one in drawn} == {
        kind for kind in ALL_KINDS if kind.task is not TaskType.ERROR
    }
    for one in drawn:
        (message,) = one.messages
        assert message.content.endswith("<think>")
        assert is_well_formed(one.response, "answer")
        answer = extract_answer(one.response, "answer")
        if one.kind.role is Role.SOLVE:
            assert isinstance(parse_solution(answer, one.kind.task), str)
        elif one.kind.task is TaskType.INDUCTION:
            proposal = parse_induction_proposal(answer, num_inputs=4)
            assert isinstance(proposal, InductionProposal)
        else:
            assert isinstance(parse_program_proposal(answer), ProgramProposal)


def test_the_executor_agrees_with_the_corpus(corpus: Corpus) -> None:
    one = corpus.training[0]
    task = JudgeTask(
        task=TaskType.INDUCTION, answers=(one.source,), inputs=one.inputs, outputs=one.outputs
    )
    with SyncExecutor(workers=1) as executor:
        assert executor.judge(task).scores == (1.0,)


def test_careful_answers_are_those_of_the_corpus(corpus: Corpus) -> None:
    by_source = {one.source: one for one in corpus.training}
    for one in islice(_answers(corpus, wrong=0.0), 200):
        answer = str(parse_solution(extract_answer(one.response, "answer"), one.kind.task))
        if one.kind.task is TaskType.INDUCTION:
            assert answer in by_source
            continue
        prompt = one.messages[0].content
        (asked,) = [known for source, known in by_source.items() if f"\n{source}\n```" in prompt]
        pairs = zip(asked.inputs, asked.outputs, strict=True)
        if one.kind.task is TaskType.DEDUCTION:
            assert any(f"\n{given}\n" in prompt and answer == wanted for given, wanted in pairs)
        else:
            assert any(f"\n{wanted}\n" in prompt and answer == given for given, wanted in pairs)


def test_examples_can_be_of_some_task_types_only(corpus: Corpus) -> None:
    drawn = islice(examples(corpus.training, WarmStart(), 1, (TaskType.DEDUCTION,)), 60)
    assert {one.kind.task for one in drawn} == {TaskType.DEDUCTION}


def test_wrong_answers_repeat_what_was_given(corpus: Corpus) -> None:
    for one in islice(_answers(corpus, wrong=1.0), 60):
        assert one.response.startswith("</think>")
        answer = parse_solution(extract_answer(one.response, "answer"), one.kind.task)
        if one.kind.task is TaskType.INDUCTION:
            assert re.fullmatch(r"def f\((\w+): .*\n    return \1", str(answer))
        else:
            assert f"\n{answer}\n" in one.messages[0].content


def test_careful_authors_think_aloud_and_careless_ones_do_not(corpus: Corpus) -> None:
    plans = {plan(one) for one in corpus.training}
    traces = {
        trace(one, at)
        for one in corpus.training
        for at in range(len(one.inputs))
        for trace in (forwards, backwards)
    }
    drawn = list(islice(examples(corpus.training, _settings(wrong=0.5, careless=0.5), 2), 300))
    thoughts = [one.response.partition("</think>")[0] for one in drawn]
    assert {"", *thoughts} <= {"", *plans, *traces}
    assert 0.35 < thoughts.count("") / len(thoughts) < 0.65


CHAIN = Sound(
    source="def f(n: int) -> str:\n    p = n + 3\n    q = str(p)\n    return q * 2",
    inputs=("1", "9"),
    outputs=("'44'", "'1212'"),
    between=(("4", "'4'"), ("12", "'12'")),
    hint="add, as text, repeat",
    steps=("add 3", "as text", "repeat 2"),
    level=3,
)


def test_thoughts_have_the_values_between_the_steps() -> None:
    assert plan(CHAIN) == "add 3, as text, repeat 2"
    assert forwards(CHAIN, 1) == "add 3\n12\nas text\n'12'\nrepeat 2"
    assert backwards(CHAIN, 1) == "repeat 2\n'12'\nas text\n12\nadd 3"


def test_what_lies_between_the_steps_comes_from_the_executor(corpus: Corpus) -> None:
    chains = [one for one in (*corpus.training, *corpus.held_out) if len(one.steps) > 1]
    assert {len(one.steps) for one in chains} == {2, 3}
    for one in chains:
        assert {len(values) for values in one.between} == {len(one.steps) - 1}
        assert len(one.between) == len(one.inputs)
    # Reversing is its own inverse: what lies before it is the output, turned round.
    turned = [one for one in chains if one.steps[-1] == "reverse"]
    assert turned
    for one in turned:
        for values, output in zip(one.between, one.outputs, strict=True):
            assert ast.literal_eval(values[-1])[::-1] == ast.literal_eval(output)


def test_a_stage_is_the_program_up_to_a_step() -> None:
    for one in islice(generate(5, 2), 300):
        assert len(one.stages) == len(one.steps) - 1
        lines = one.source.split("\n")
        for number, stage in enumerate(one.stages, 1):
            *before, last = stage.split("\n")
            assert before == lines[:number]
            expression = last.removeprefix("    return ")
            assert lines[number].endswith(f" = {expression}")


def test_wrong_proposals_take_the_input_of_any_program(corpus: Corpus) -> None:
    known = {(one.source, given) for one in corpus.training for given in one.inputs}

    def fitting(wrong: float) -> float:
        found = []
        for one in islice(examples(corpus.training, _settings(wrong=wrong), seed=1), 300):
            if one.kind.role is Role.PROPOSE and one.kind.task is not TaskType.INDUCTION:
                proposal = parse_program_proposal(extract_answer(one.response, "answer"))
                assert isinstance(proposal, ProgramProposal)
                found.append((proposal.code, proposal.input) in known)
        return sum(found) / len(found)

    assert fitting(0.0) == 1
    assert 0.3 < fitting(0.5) < 0.8


def _settings(*, wrong: float, careless: float = 1.0) -> WarmStart:
    plain = WarmStart()
    training = replace(plain.training, careless_share=careless, wrong_share=wrong)
    return replace(plain, training=training)


def _answers(corpus: Corpus, *, wrong: float) -> Iterator[Example]:
    drawn = examples(corpus.training, _settings(wrong=wrong), seed=3)
    return (one for one in drawn if one.kind.role is Role.SOLVE)


def test_keys_depend_on_what_decides_the_result() -> None:
    pytest.importorskip("torch")
    plain = WarmStart()
    other = WarmStart(corpus=CorpusSettings(seed=2))
    assert corpus_key(plain) == corpus_key(WarmStart())
    assert corpus_key(plain) != corpus_key(other)
    assert model_key(plain) != model_key(other)


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        (
            '"""Another text."""\n\n\ndef f(x):\n    """And here."""\n    return x + 1  # why\n',
            True,
        ),
        ("def f(x):\n    return x + 2\n", False),
        ('def f(x):\n    return "x" + 1\n', False),
    ],
)
def test_texts_of_the_code_do_not_make_another_model(changed: str, same: bool) -> None:
    source = '"""A text."""\n\n\ndef f(x):\n    return x + 1\n'
    assert (code_of(changed) == code_of(source)) is same

"""The programs that a warm start learns from, and the examples made of them."""

from __future__ import annotations

import ast
from itertools import islice
from pathlib import Path

import pytest

from executor import JudgeTask, SyncExecutor
from trainer.game.parsing import (
    InductionProposal,
    ProgramProposal,
    extract_answer,
    is_well_formed,
    parse_induction_proposal,
    parse_program_proposal,
    parse_solution,
)
from trainer.game.tasks import ALL_KINDS, InductionTask, Role, TaskType, task_from_json
from trainer.warmstart.corpus import Corpus, held_out_problems, make_corpus, read, write
from trainer.warmstart.examples import examples
from trainer.warmstart.programs import LEVELS, generate
from trainer.warmstart.settings import CorpusSettings, WarmStart, corpus_key, model_key

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


def test_the_executor_finds_most_programs_sound(corpus: Corpus) -> None:
    assert len(corpus.training) + len(corpus.held_out) > 0.8 * SETTINGS.programs
    (one, *_) = corpus.training
    assert len(one.outputs) == len(one.inputs)


def test_what_is_held_out_is_in_no_training_program(corpus: Corpus) -> None:
    assert corpus.held_out
    known = {one.source for one in corpus.training}
    assert not known & {one.source for one in corpus.held_out}


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


def test_answers_to_learn_are_right(corpus: Corpus) -> None:
    one = corpus.training[0]
    deduction = one.program_task(0)
    task = JudgeTask(
        task=TaskType.INDUCTION,
        answers=(one.source,),
        inputs=one.inputs,
        outputs=one.outputs,
    )
    with SyncExecutor(workers=1) as executor:
        assert executor.judge(task).scores == (1.0,)
        abduction = JudgeTask(
            task=TaskType.ABDUCTION,
            answers=(deduction.input,),
            program=deduction.snippet,
            inputs=(deduction.input,),
            outputs=(deduction.output,),
        )
        assert executor.judge(abduction).scores == (1.0,)


def test_keys_depend_on_what_decides_the_result() -> None:
    pytest.importorskip("torch")
    plain = WarmStart()
    other = WarmStart(corpus=CorpusSettings(seed=2))
    assert corpus_key(plain) == corpus_key(WarmStart())
    assert corpus_key(plain) != corpus_key(other)
    assert model_key(plain) != model_key(other)

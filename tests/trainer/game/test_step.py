"""Whole steps with a scripted model and the real sandbox, against tables worked by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.trainer.support.game import (
    MISSING,
    Long,
    Script,
    SelfPlay,
    SometimesInfra,
    fenced,
    induction,
    new_buffers,
    open_judge,
    program_task,
    proposal,
    settings,
    tagged,
)
from trainer.game.errors import ExecutorLost
from trainer.game.play.selfplay import StepResult
from trainer.game.settings import (
    DataSelectionStrategy,
    GameSettings,
    RewardSettings,
)
from trainer.game.tasks.task import InductionTask, Kind, ProgramTask, Role, TaskType

SIZE = 6
LOST = "LOST"
"""The platform "fails" for programs and answers that hold this."""


def game(**azr: object) -> GameSettings:
    return settings(
        train_batch_size=SIZE,
        problem_types=("code_i", "code_o", "code_e", "code_f"),
        reward=RewardSettings(n_samples=4),
        data_selection_strategy=DataSelectionStrategy(
            num_inputs=4, io_n=2, banned_keywords_for_errors_and_exceptions=("raise",)
        ),
        **azr,
    )


def add(name: str) -> str:
    """A program that can be told from the others by its text."""
    return f"def f(x):\n    {name} = x + 1\n    return {name}"


def fail(name: str) -> str:
    return f"def f(x):\n    {name} = {{}}\n    return {name}[x]"


# What the buffers hold at the start; each solver gets its type's six tasks, in some order.
ABDUCTION = [program_task(add(f"abd{n}"), "1", "2") for n in range(SIZE)]
DEDUCTION = [program_task(add(f"ded{n}"), "1", "2") for n in range(SIZE)]
ERROR = [program_task(fail(f"err{n}"), "1", "KeyError") for n in range(SIZE)]
INDUCTION = [
    InductionTask(
        add(f"ind{n}"), ("1", "2", "3", "4"), ("2", "3", "4", "5"), f"message ind{n}",
        input_types=("int",) * 4, output_types=("int",) * 4,
    )
    for n in range(SIZE)
]  # fmt: skip

UNTAGGED = "I do not feel like tags"
NONDETERMINISTIC = "def f(x):\n    return list({'red', 'green', 'blue', 'black', x})"
UNSAFE = "import socket\ndef f(x):\n    socket.socket()\n    return x"

PROPOSALS = {
    "gen_code_i": [
        proposal(add("alfa"), "5"),
        proposal(add("bravo"), "5"),
        tagged(f"```python\n{add('charlie')}\n```"),
        proposal(f"import random\n{add('delta')}", "5"),
        proposal(add("abd0"), "1"),  # the buffer holds this one
        MISSING,
    ],
    "gen_code_o": [
        Long(proposal(add("echo"), "5"), 30),
        proposal(add("foxtrot"), "5"),
        proposal(add("golf"), "5").replace("</think>", ""),
        proposal(NONDETERMINISTIC, "'white'"),
        proposal(UNSAFE, "5"),
        proposal(add(LOST), "5"),
    ],
    "gen_code_e": [
        proposal(fail("hotel"), "5"),
        proposal(add("india"), "5"),
        proposal("def f(x:\n    return x", "5"),
        proposal(fail("juliett"), "5"),
        UNTAGGED,
        proposal("def f(x):\n    raise KeyError(x)", "5"),
    ],
    "gen_code_f": [
        induction(["5", "6", "7", "8"], "hint kilo"),
        induction(["5", "6", "7"], "hint too few inputs"),
        induction(["5", "6", "7", "'8'"], "hint an input that fails"),
        tagged("\n".join(f"```input\n{n}\n```" for n in range(4))),
        induction(["15", "16", "17", "18"], "hint lima"),
        induction(["25", "26", "27", "28"], "hint mike"),
    ],
}

RIGHT_PROGRAM = fenced("python", add("mine"))
WRONG_PROGRAM = fenced("python", "def f(x):\n    return -x")
ATTACK = "__import__('os').system('touch /tmp/owned') or 5"

ESTIMATES = {
    "alfa": [fenced("input", text) for text in ("5", "4", "3", "2")],
    "bravo": [fenced("input", text) for text in ("4", "nonsense(", ATTACK, "'6'")],
    "abd0": [fenced("input", text) for text in ("1", "1.0", "0", "2")],
    "echo": [fenced("output", text) for text in ("6", "5 + 1", "7", "0) or (True")],
    "foxtrot": [fenced("output", "6")] * 4,
    "golf": [fenced("output", "6"), fenced("output", "5"), UNTAGGED, MISSING],
    "hotel": [
        fenced("output", text) for text in ("KeyError", "KeyError: 5", "IndexError", "KeyError")
    ],
    "india": [fenced("output", "NoError")] * 4,
    "juliett": [fenced("output", LOST)] * 4,
    "kilo": [RIGHT_PROGRAM, RIGHT_PROGRAM, WRONG_PROGRAM, UNTAGGED],
    "lima": [RIGHT_PROGRAM] * 4,
    "mike": [WRONG_PROGRAM] * 3 + [fenced("python", UNSAFE)],
}

ANSWERS = {
    "pred_code_i": {
        "abd0": fenced("input", "1"),
        "abd1": fenced("input", "2 - 1"),
        "abd2": fenced("input", "7"),
        "abd3": UNTAGGED,
        "abd4": fenced("input", ATTACK),
        "abd5": fenced("input", f"'{LOST}'"),
    },
    "pred_code_o": {
        "ded0": Long(fenced("output", "2"), 40),
        "ded1": fenced("output", "2.0"),
        "ded2": fenced("output", "3"),
        "ded3": "</think> <answer>2",
        "ded4": tagged(""),
        "ded5": fenced("output", "eval(gold_output)"),
    },
    "pred_code_e": {
        "err0": fenced("output", "KeyError"),
        "err1": fenced("output", "'KeyError: 1'"),
        "err2": fenced("output", "ValueError"),
        "err3": fenced("output", "NoError"),
        "err4": UNTAGGED,
        "err5": MISSING,
    },
    "pred_code_f": {
        "ind0": RIGHT_PROGRAM,
        "ind1": WRONG_PROGRAM,
        "ind2": tagged("no fence"),
        "ind3": fenced("python", "import sys\ndef f(x):\n    sys.exit(0)"),
        "ind4": fenced("python", f"def f({LOST}):\n    return 1"),
        "ind5": fenced("python", "class A(int):\n    def __eq__(self, o): return True\n"
                                 "def f(x):\n    return A()"),
    },
}  # fmt: skip

# (reward, advantage) in the order of the tables above; None: masked. All texts have 10 tokens, but
# for two. With N tokens in a group, advantage = (r - mu) / sqrt(mean square * N / (N - 1)).
TABLE: dict[str, list[tuple[float, float] | None]] = {
    # p = 1/4, 0, -, -, 2/4. mu = -1/4, mean square 0.55, N = 50, sigma 0.74915
    "gen_code_i": [(0.75, 1.3348), (-0.5, -0.3337), (-1, -1.0011), (-1, -1.0011), (0.5, 1.0011)],
    # p = 2/4, 1, 1/3 (bad tags), -, -; masked. mu = (15 - 5 - 30) / 70, N = 70, sigma 0.70491
    "gen_code_o": [
        (0.5, 1.1146), (-0.5, -0.3040), (-1, -1.0133), (-1, -1.0133), (-1, -1.0133), None,
    ],
    # p = 3/4, 1, -, unknown, -, -. mu = -0.65, mean square 0.24, N = 50, sigma 0.49487
    "gen_code_e": [
        (0.25, 1.8187), (-0.5, 0.3031), (-1, -0.7073), None, (-1, -0.7073), (-1, -0.7073),
    ],
    # p = 2/4, -, -, -, 1, 0. mu = -7/12, mean square 0.28472, N = 60, sigma 0.53810
    "gen_code_f": [
        (0.5, 2.0133), (-1, -0.7743), (-1, -0.7743), (-1, -0.7743), (-0.5, 0.1549), (-0.5, 0.1549),
    ],
    # mu = 0, mean square 0.7, N = 50, sigma 0.84515
    "pred_code_i": [
        (1, 1.1832), (1, 1.1832), (-0.5, -0.5916), (-1, -1.1832), (-0.5, -0.5916), None,
    ],
    # 40 tokens, then 10 each. mu = 25 / 90, mean square 0.67284, N = 90, sigma 0.82486
    "pred_code_o": [
        (1, 0.8756), (1, 0.8756), (-0.5, -0.9429), (-1, -1.5491), (-0.5, -0.9429),
        (-0.5, -0.9429),
    ],
    # mu = 0, mean square 0.7, N = 50, sigma 0.84515
    "pred_code_e": [(1, 1.1832), (1, 1.1832), (-0.5, -0.5916), (-0.5, -0.5916), (-1, -1.1832)],
    # mu = -0.3, mean square 0.46, N = 50, sigma 0.68512
    "pred_code_f": [
        (1, 1.8975), (-0.5, -0.2919), (-1, -1.0217), (-0.5, -0.2919), None, (-0.5, -0.2919),
    ],
}  # fmt: skip

STATUSES = {
    "gen_code_i": ["valid", "valid", "malformed", "screened", "valid"],
    "gen_code_o": ["valid", "valid", "valid", "nondeterministic", "forbidden", "infra"],
    "gen_code_e": ["valid", "valid", "malformed", "valid", "malformed", "screened"],
    "gen_code_f": ["valid", "malformed", "error", "malformed", "valid", "valid"],
    "pred_code_i": ["ok", "ok", "mismatch", "malformed", "forbidden", "infra"],
    "pred_code_o": ["ok", "ok", "mismatch", "malformed", "malformed", "error"],
    "pred_code_e": ["ok", "ok", "mismatch", "mismatch", "malformed"],
    "pred_code_f": ["ok", "mismatch", "malformed", "error", "infra", "unserializable"],
}

STORED = {
    # the duplicate is not; the oldest are still there
    TaskType.ABDUCTION: [(add("alfa"), "5", "6"), (add("bravo"), "5", "6")],
    TaskType.DEDUCTION: [(add(name), "5", "6") for name in ("echo", "foxtrot", "golf")],
    TaskType.ERROR: [
        (fail("hotel"), "5", "KeyError"),
        (add("india"), "5", "NoError"),
        (fail("juliett"), "5", "KeyError"),
    ],
}


def play(wanted: GameSettings, *, backwards: bool = False) -> tuple[SelfPlay, Script, StepResult]:
    buffers = new_buffers(wanted)
    for task_type, tasks in (
        (TaskType.ABDUCTION, ABDUCTION),
        (TaskType.DEDUCTION, DEDUCTION),
        (TaskType.ERROR, ERROR),
        (TaskType.INDUCTION, INDUCTION),
    ):
        for task in tasks:
            buffers.add(task_type, task)
    script = Script({**PROPOSALS, **ANSWERS}, ESTIMATES, backwards=backwards)
    with open_judge(wanted.azr, SometimesInfra(LOST)) as judge:
        game = SelfPlay(wanted, buffers, judge)
        return game, script, game.step(script, 1)


def in_table_order(script: Script, result: StepResult) -> dict[str, list[Any]]:
    """The samples of each kind in the order of the tables above."""
    prompts = {request.id: request.messages[0].content for request in script.requests}

    def place(name: str, prompt: str) -> int:
        return next(at for at, part in enumerate(ANSWERS[name]) if part in prompt)

    found: dict[str, list[Any]] = {}
    for sample in result.samples:
        found.setdefault(sample.kind.name, []).append(sample)
    for name, samples in found.items():
        if name in ANSWERS:
            order = list(ANSWERS[name])
            samples.sort(
                key=lambda sample: next(
                    at
                    for at, part in enumerate(order)
                    if part in prompts[sample.response.request_id]
                )
            )
    return found


@pytest.fixture(scope="module", params=[False, True], ids=["in-order", "backwards"])
def played(request: pytest.FixtureRequest) -> tuple[SelfPlay, Script, StepResult]:
    """A step; the order in which responses come must not matter."""
    return play(game(), backwards=request.param)


def test_statuses_are_those_worked_by_hand(
    played: tuple[SelfPlay, Script, StepResult],
) -> None:
    _, script, result = played
    found = in_table_order(script, result)
    assert {name: [s.details["status"] for s in samples] for name, samples in found.items()} == (
        STATUSES
    )


def test_rewards_and_advantages_are_those_worked_by_hand(
    played: tuple[SelfPlay, Script, StepResult],
) -> None:
    _, script, result = played
    found = in_table_order(script, result)
    assert found.keys() == TABLE.keys()
    for name, rows in TABLE.items():
        got = [None if s.masked else (s.reward, s.advantage) for s in found[name]]
        expected = [row and (row[0], pytest.approx(row[1], abs=6e-5)) for row in rows]
        assert got == expected, name


def test_masked_samples_have_neither_reward_nor_advantage(
    played: tuple[SelfPlay, Script, StepResult],
) -> None:
    masked = [sample for sample in played[2].samples if sample.masked]
    assert len(masked) == 4
    assert all(sample.reward == sample.advantage == 0 for sample in masked)


def test_buffers_grow_by_the_valid_new_proposals(
    played: tuple[SelfPlay, Script, StepResult],
) -> None:
    buffers = played[0].buffers
    for task_type, expected in STORED.items():
        new = [task for task in buffers[task_type] if task.step == 1]
        programs = [task for task in new if isinstance(task, ProgramTask)]
        assert [(task.snippet, task.input, task.output) for task in programs] == expected
        assert len(programs) == len(new)
        assert len(buffers[task_type]) == SIZE + len(expected)


def test_induction_tasks_are_about_the_program_that_was_shown(
    played: tuple[SelfPlay, Script, StepResult],
) -> None:
    game, script, _ = played
    stored = game.buffers[TaskType.INDUCTION]
    new = [task for task in stored if isinstance(task, InductionTask) and task.step == 1]
    assert [(task.inputs, task.outputs, task.message) for task in new] == [
        (("5", "6", "7", "8"), ("6", "7", "8", "9"), "hint kilo"),
        (("15", "16", "17", "18"), ("16", "17", "18", "19"), "hint lima"),
        (("25", "26", "27", "28"), ("26", "27", "28", "29"), "hint mike"),
    ]
    kind = Kind(Role.PROPOSE, TaskType.INDUCTION)
    shown = [request.messages[0].content for request in script.requests if request.kind == kind]
    for task, prompt in zip(new, (shown[0], shown[4], shown[5]), strict=True):
        assert task.snippet in prompt


def test_samples_come_in_azrs_order(played: tuple[SelfPlay, Script, StepResult]) -> None:
    kinds = [sample.kind.name for sample in played[2].samples]
    order = [f"{role}_{name}" for name in ("code_i", "code_o", "code_e", "code_f")
             for role in ("gen", "pred")]  # fmt: skip
    assert list(dict.fromkeys(kinds)) == order
    assert kinds == sorted(kinds, key=order.index)


def test_estimates_are_sampled_at_temperature_one_and_not_trained_on(
    played: tuple[SelfPlay, Script, StepResult],
) -> None:
    _, script, result = played
    estimates = [request for request in script.requests if not request.train]
    assert len(estimates) == len(ESTIMATES)
    assert {(request.n, request.temperature) for request in estimates} == {(4, 1.0)}
    trained = {sample.response.request_id for sample in result.samples}
    assert trained.isdisjoint(request.id for request in estimates)


def test_metrics_are_those_worked_by_hand(
    played: tuple[SelfPlay, Script, StepResult],
) -> None:
    metrics = played[2].metrics
    expected = {
        "gen_code_i/accuracy": (0.75 + 0 + 0.5) / 3,
        "gen_code_i/solve_rate": (0.25 + 0 + 0.5) / 3,
        "gen_code_i/valid_rate": 3 / 5,
        "gen_code_i/duplicates": 1,
        "gen_code_i/stored": 2,
        "gen_code_o/valid_rate": 3 / 5,
        "gen_code_o/masked": 1,
        "gen_code_o/format_score": 5 / 6,
        "gen_code_o/response_length/max": 30,
        "gen_code_e/none_count": 4,
        "gen_code_f/num_valid_programs": 3,
        "gen_code_f/distinct_outputs": 4,
        "pred_code_i/accuracy": 2 / 5,
        "pred_code_i/none_count": 1,
        "pred_code_i/none_ratio": 1 / 6,
        "pred_code_o/critic/score/mean": -0.5 / 6,
        "pred_code_o/format_score": 5 / 6,
        "pred_code_f/format_score": 5 / 6,
        "rollout/missing_responses": 2,
        "buffers/code_i/size": 8,
        "buffers/code_f/size": 9,
        "executor/validate/nondeterministic": 1,
        "executor/validate/infra": 1,
        "executor/judge/infra": 6,
        "executor/suspicious/forbidden": 1 + 1 + 2,  # a proposal, an answer, two estimates
        "executor/signals/forged_frame": 0,
        "types/error_types/exception/unique_count": 2,
    }
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)
    assert 0 <= metrics["executor/waiting_share"] <= 1


def test_tables_hold_json_and_the_best_first(
    played: tuple[SelfPlay, Script, StepResult],
) -> None:
    tables = played[2].tables
    assert json.loads(json.dumps(tables["proposals"]))
    rows = [row for row in tables["proposals"] if row["kind"] == "gen_code_i"]
    assert [row["status"] for row in rows] == ["valid"] * 3
    assert rows[0]["task"]["output"] == "6"
    assert {row["kind"] for row in tables["answers"]} == set(ANSWERS)


def test_executor_that_decides_nothing_is_lost_and_the_step_never_was() -> None:
    wanted = game()
    buffers = new_buffers(wanted)
    for task in DEDUCTION:
        for task_type in (TaskType.ABDUCTION, TaskType.DEDUCTION):
            buffers.add(task_type, task)
    for task in ERROR:
        buffers.add(TaskType.ERROR, task)
    for pairs in INDUCTION:
        buffers.add(TaskType.INDUCTION, pairs)
    answers = dict(ANSWERS, pred_code_i=dict.fromkeys(ANSWERS["pred_code_o"], UNTAGGED))
    script = Script({**PROPOSALS, **answers}, ESTIMATES)
    everything = ""
    with open_judge(wanted.azr, SometimesInfra(everything)) as judge:
        play = SelfPlay(wanted, buffers, judge)
        before = json.dumps(play.state())
        with pytest.raises(ExecutorLost, match="decided on none of"):
            play.step(script, 1)
        assert json.dumps(play.state()) == before

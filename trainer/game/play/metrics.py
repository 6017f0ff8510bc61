"""Every number of a step, under the names that AZR's users know.

Per kind (``gen_code_i``, ``pred_code_o``...), as AZR: ``accuracy`` (a proposer's is the mean
learnability of its valid proposals), ``format_score``, ``critic/...``, ``response_length/...``,
``prompt_length/...`` and so on. Names that AZR lacks, or where its own mislead, are added:
``learnability``, ``solve_rate``, ``valid_rate``, ``masked``... ``critic`` numbers are per response;
all its tokens have the same. Means over nothing are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import fmean
from typing import NamedTuple

from executor import Signal, Status
from trainer.game.play.drawing import TokenCounter
from trainer.game.play.judging import Tally
from trainer.game.play.records import AnswerRecord, ProposalRecord, Record
from trainer.game.rules import measures
from trainer.game.tasks.buffers import Buffers
from trainer.game.tasks.task import AZR_NAMES, InductionTask, Kind, Task, TaskType

type Metrics = dict[str, float]

REFLECTION_WORDS = (
    "wait", "recheck", "retry", "rethink", "re-examine", "reexamine", "re-evaluate", "reevaluate",
    "reconsider", "double-check", "double check", "check again", "verify again", "try again",
    "think again", "look again", "go back", "step back", "start over", "on second thought",
    "however", "alternatively", "alternative", "instead", "maybe", "perhaps", "possibly", "confirm",
    "hmm", "actually", "but let me", "let me see", "not sure", "mistake", "wrong", "correction",
    "another way", "hold on", "oops", "revisit",
)  # fmt: skip
"""Signs that a response looks back on itself."""

SUSPICIOUS = (Status.FORBIDDEN, Status.CRASHED, Status.PROCESS_LIMIT, Status.OUTPUT_LIMIT)
"""Outcomes that honest programs hardly have: attempts on the sandbox or on the verdict."""


class StepNumbers(NamedTuple):
    """Facts that only the step itself knows."""

    prompts: int
    """Prompts that were asked, learnability estimates left out."""
    estimated_tokens: int
    """Tokens of the rollouts that estimate learnability."""
    waiting_s: float
    """Time that the step stood still for the executor."""
    seconds: float


def step_metrics(
    records: Sequence[Record],
    buffers: Buffers,
    tally: Tally,
    numbers: StepNumbers,
    *,
    count_tokens: TokenCounter | None,
    longest_prompt: int,
) -> Metrics:
    """All metrics of a step; ``buffers`` as the step leaves them."""
    groups: dict[Kind, list[Record]] = {}
    for record in records:
        groups.setdefault(record.prompt.kind, []).append(record)
    found: Metrics = {"rollout/missing_responses": numbers.prompts - len(records)}
    for kind, group in groups.items():
        own = _kind_metrics(group)
        if count_tokens is not None:
            lengths = [count_tokens(record.prompt.messages) for record in group]
            own |= _length("prompt_length", lengths)
            own["prompt_length/clip_ratio"] = _share(group, _at_least(lengths, longest_prompt))
        found |= {f"{kind.name}/{name}": value for name, value in own.items()}
    return found | _buffer_metrics(buffers) | _executor_metrics(tally, numbers)


def _kind_metrics(group: Sequence[Record]) -> Metrics:
    proposals = [record for record in group if isinstance(record, ProposalRecord)]
    answers = [record for record in group if isinstance(record, AnswerRecord)]
    own = _proposer(proposals) if proposals else _solver(answers)
    own["format_score"] = _share(group, [record.well_formed for record in group])
    own["masked"] = sum(record.masked for record in group)
    return own | _critic(group) | _responses(group)


class _Proposals(NamedTuple):
    """A step's proposals of one kind, and the parts of them that are counted."""

    all: Sequence[ProposalRecord]
    valid: Sequence[ProposalRecord]
    known: Sequence[ProposalRecord]
    """Valid, with a solve rate."""
    decided: Sequence[ProposalRecord]
    """Neither the platform failed, nor are they held out."""


_COUNTS: dict[str, Callable[[_Proposals], float]] = {
    "num_valid_programs": lambda own: len(own.valid),
    "valid_rate": lambda own: len(own.valid) / len(own.decided) if own.decided else 0.0,
    "stored": lambda own: sum(record.stored for record in own.all),
    "duplicates": lambda own: sum(record.duplicate for record in own.all),
    "none_count": lambda own: sum(
        scored.score is None for record in own.all for scored in record.estimates
    ),
}

_MEANS: dict[str, Callable[[_Proposals], Iterable[float]]] = {
    "accuracy": lambda own: (record.learnability for record in own.known),
    "learnability": lambda own: (record.learnability for record in own.known),
    "solve_rate": lambda own: (record.solve_rate or 0.0 for record in own.known),
    "solvable_rate": lambda own: (0 < (record.solve_rate or 0.0) < 1 for record in own.known),
    "avg_program_lines": lambda own: (measures.lines(task.snippet) for task in _tasks(own)),
    "distinct_outputs": lambda own: (
        len(set(task.outputs)) for task in _tasks(own) if isinstance(task, InductionTask)
    ),
}


def _tasks(own: _Proposals) -> Iterator[Task]:
    return (record.examined.task for record in own.valid if record.examined.task)


def _proposer(proposals: Sequence[ProposalRecord]) -> Metrics:
    valid = [record for record in proposals if record.valid]
    own = _Proposals(
        all=proposals,
        valid=valid,
        known=[record for record in valid if record.solve_rate is not None],
        decided=[record for record in proposals if not record.examined.masked],
    )
    found = {name: count(own) for name, count in _COUNTS.items()}
    for name, values in _MEANS.items():
        found |= _mean(name, values(own))
    found |= _statuses([record.examined.status for record in proposals])
    for name in sorted({name for record in valid for name in record.values}):
        values_of = [record.values[name] for record in valid if name in record.values]
        found |= _mean(name.removeprefix("f_"), values_of)
    return found


def _statuses(statuses: Sequence[str]) -> Metrics:
    """The share of each."""
    counted = Counter(statuses)
    return {f"status/{name}": counted[name] / len(statuses) for name in sorted(counted)}


def _solver(answers: Sequence[AnswerRecord]) -> Metrics:
    scores = [record.scored.score for record in answers]
    none = sum(score is None for score in scores)
    own: Metrics = {"none_count": none, "none_ratio": none / len(answers)}
    own |= _mean("accuracy", (score for score in scores if score is not None))
    own |= _statuses([record.scored.status for record in answers])
    tasks = [record.prompt.task for record in answers if record.prompt.task]
    return own | _mean("avg_program_lines", (measures.lines(task.snippet) for task in tasks))


def _critic(group: Sequence[Record]) -> Metrics:
    counted = [record for record in group if not record.masked]
    columns: dict[str, Callable[[Record], float]] = {
        "score": lambda record: record.reward,
        "rewards": lambda record: record.reward,
        "returns": lambda record: record.reward,
        "advantages": lambda record: record.advantage,
    }
    found: Metrics = {}
    for name, column in columns.items():
        found |= _length(f"critic/{name}", [column(record) for record in counted])
    return found


def _responses(group: Sequence[Record]) -> Metrics:
    right = [record.reward >= 1 for record in group]
    reflects = [_reflects(record.response.text) for record in group]
    tokens = [record.response.tokens for record in group]
    found = _length("response_length", tokens)
    found["response_length/clip_ratio"] = _share(group, [r.response.truncated for r in group])
    found["response_length/reflect_ratio"] = _share(group, reflects)
    reflecting = [good for good, looks in zip(right, reflects, strict=True) if looks]
    found |= _mean("response_length/correct_reflect_ratio", reflecting)
    pairs = list(zip(tokens, right, strict=True))
    found |= _mean("correct_response_length/mean", (length for length, good in pairs if good))
    found |= _mean("incorrect_response_length/mean", (length for length, good in pairs if not good))
    return found


def _reflects(text: str) -> bool:
    lowered = text.lower()
    return any(word in lowered for word in REFLECTION_WORDS)


def _buffer_metrics(buffers: Buffers) -> Metrics:
    found: Metrics = {}
    for task_type in buffers.task_types:
        found[f"buffers/{AZR_NAMES[task_type]}/size"] = len(buffers[task_type])
    counted = {
        "input_types": buffers.input_types,
        "output_types": buffers.output_types,
        "error_types": buffers.error_types,
    }
    for category, counts in counted.items():
        statistics = counts.statistics()
        if category == "error_types" and TaskType.ERROR not in buffers.task_types:
            continue
        found[f"types/{category}/distinct_types"] = len(statistics)
        found[f"types/{category}/total_unique_values"] = sum(u for u, _ in statistics.values())
        found[f"types/{category}/total_instances"] = sum(t for _, t in statistics.values())
        for name, (unique, total) in statistics.items():
            found[f"types/{category}/{name}/unique_count"] = unique
            found[f"types/{category}/{name}/total_count"] = total
    return found


def _executor_metrics(tally: Tally, numbers: StepNumbers) -> Metrics:
    found: Metrics = {
        "executor/validations": tally.validations.total(),
        "executor/answers": tally.answers.total(),
        "executor/wall_s": tally.usage.wall_ms / 1000,
        "executor/cpu_s": tally.usage.cpu_ms / 1000,
        "executor/peak_memory_mib": tally.usage.peak_memory_kib / 1024,
        "executor/retries": tally.retries,
        "executor/waiting_s": numbers.waiting_s,
        "executor/waiting_share": numbers.waiting_s / numbers.seconds if numbers.seconds else 0.0,
        "rollout/estimate_tokens": numbers.estimated_tokens,
        "timing_s/play": numbers.seconds,
    }
    for status in Status:
        for name, counter in (("validate", tally.validations), ("judge", tally.answers)):
            if counter[status.value] or status is Status.INFRA:
                found[f"executor/{name}/{status.value}"] = counter[status.value]
    for status in SUSPICIOUS:
        found[f"executor/suspicious/{status.value}"] = (
            tally.validations[status.value] + tally.answers[status.value]
        )
    for signal in Signal:
        found[f"executor/signals/{signal.value}"] = tally.signals[signal.value]
    return found


def _mean(name: str, values: Iterable[float]) -> Metrics:
    found = list(values)
    return {name: fmean(found)} if found else {}


def _length(name: str, values: Sequence[float]) -> Metrics:
    if not values:
        return {}
    return {f"{name}/mean": fmean(values), f"{name}/max": max(values), f"{name}/min": min(values)}


def _share(group: Sequence[Record], flags: Sequence[bool]) -> float:
    return sum(flags) / len(group)


def _at_least(lengths: Sequence[int], bound: int) -> list[bool]:
    return [length >= bound for length in lengths]

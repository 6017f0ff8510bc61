"""Benchmark rows for validation during training, in the parquet files that veRL reads.

A row is a task of abduction or deduction. Its columns are veRL's (``data_source``, ``prompt``,
``ability``, ``reward_model``, ``extra_info``) and AZR's ``problem``, with AZR's content.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from executor import TaskType
from trainer.files import replaced
from trainer.game.tasks.task import Kind, ProgramTask
from trainer.game.texts.prompts.render import PromptBook

CASES = {TaskType.ABDUCTION: "input", TaskType.DEDUCTION: "output"}
"""The task types of benchmarks, and what is asked for."""


@dataclass(frozen=True, slots=True)
class BenchmarkRow:
    """A task that the model is validated on."""

    data_source: str
    """Name of the benchmark; scores are reported for each."""
    kind: Kind
    task: ProgramTask


def write_rows(path: Path, rows: Sequence[BenchmarkRow], prompts: PromptBook) -> None:
    """Write a file for ``data.val_files``. It is there as a whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist(
        [_to_columns(index, row, prompts) for index, row in enumerate(rows)]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path) as temporary:
        pq.write_table(table, temporary)


def _to_columns(index: int, row: BenchmarkRow, prompts: PromptBook) -> dict[str, Any]:
    task = row.task
    truth = {"input": task.input, "output": task.output}[CASES[row.kind.task]]
    return {
        "data_source": row.data_source,
        "prompt": [
            {"role": message.role, "content": message.content}
            for message in prompts.solve(row.kind.task, task)
        ],
        "problem": task.snippet,
        "ability": "code",
        "reward_model": {"style": "rule", "ground_truth": truth},
        "extra_info": {
            "split": "test",
            "index": index,
            "metric": row.kind.name,
            "input": task.input,
            "output": task.output,
            "imports": list(task.imports),
        },
    }

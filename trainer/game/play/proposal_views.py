"""Views of proposals for intrinsic rewards."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.game.rules.intrinsic import ProposalView, Rarity
from trainer.game.tasks.buffers import Buffers
from trainer.game.tasks.task import InductionTask, Task, TaskType


def proposal_view(
    task_type: TaskType,
    task: Task,
    references: Sequence[Task],
    buffers: Buffers,
    *,
    original: bool,
) -> ProposalView:
    """The view of a task for intrinsic rewards; rarities are those before it is stored."""
    if isinstance(task, InductionTask):
        code, inputs, outputs = task.snippet, task.inputs, task.outputs
        input_types, output_types = task.input_types, task.output_types
    else:
        code = (task.original_snippet or task.snippet) if original else task.snippet
        inputs, outputs = (task.input,), (task.output,)
        input_types, output_types = (task.input_type,), (task.output_type,)
    counts = buffers.error_types if task_type is TaskType.ERROR else buffers.output_types
    return ProposalView(
        task_type=task_type,
        code=code,
        inputs=inputs,
        outputs=outputs,
        references=tuple(
            (getattr(reference, "original_snippet", "") or reference.snippet)
            if original
            else reference.snippet
            for reference in references
        ),
        input_rarity=tuple(
            Rarity(*buffers.input_types.rarity(name, text))
            for name, text in zip(input_types, inputs, strict=True)
        ),
        output_rarity=tuple(
            Rarity(*counts.rarity(name, text))
            for name, text in zip(output_types, outputs, strict=True)
        ),
    )

"""The answer in what a model wrote. Texts are only read as texts."""

from __future__ import annotations

import re

from trainer.evaluation.problems import Problem
from trainer.game.tasks.task import TaskType
from trainer.game.texts.parsing import Malformed, blocks, extract_answer, last_box, parse_solution

_PYTHON = frozenset({"python", "py", "python3", "py3"})
_TAG = "<answer>"
_TASKS = {"input": TaskType.ABDUCTION, "output": TaskType.DEDUCTION}
_CONTINUES = re.compile(r"(?:[ \t]*\n)*+[ \t]+\S")
_STATED = re.compile(r"answer\s*(?:is|:)", re.IGNORECASE)


def answer_of(problem: Problem, text: str) -> str | None:
    """What is judged of a response; ``None``: it has no answer.

    The text after the last answer tag counts, or all of it; in that the last block of Python, the
    last box, or what stands for an input or an output.
    """
    tagged = extract_answer(text, "answer") if _TAG in text else None
    said = text if tagged is None else tagged
    if problem.kind == "program":
        return _program(problem, said, tagged is not None)
    if problem.kind == "math":
        return _result(said, tagged is not None)
    solution = parse_solution(said, _TASKS[problem.kind])
    return None if isinstance(solution, Malformed) else solution


def _program(problem: Problem, said: str, tagged: bool) -> str | None:
    found = [block for block in blocks(said) if block.text.strip()]
    labelled = [block.text for block in found if block.label in _PYTHON]
    plain = [block.text for block in found if not block.label]
    programs = labelled or plain
    if programs:
        program = programs[-1]
    elif tagged or _looks_like_code(problem, said):
        program = said
    else:
        return None
    if problem.head and not _defines(program, problem.entry_point):
        program = problem.head + program  # it goes on where the prompt ended
    return program.strip("\n") or None


def _looks_like_code(problem: Problem, said: str) -> bool:
    """Whether a text without a block is a program: base models write nothing else."""
    if problem.entry_point is None:
        return False
    if _defines(said, problem.entry_point):
        return said.lstrip().startswith(("def ", "import ", "from ", "class ", "#", "@"))
    return bool(problem.head) and _CONTINUES.match(said) is not None


def _defines(program: str, name: str | None) -> bool:
    if name is None:
        return True
    wanted = rf"^(?:async[ \t]+)?(?:def|class)[ \t]+{re.escape(name)}\b|^{re.escape(name)}[ \t]*="
    return re.search(wanted, program, re.MULTILINE) is not None


def _result(said: str, tagged: bool) -> str | None:
    """The part of a text that a checker is to look at: the last box, what is tagged, or the end."""
    box = last_box(said)
    if box is not None:
        return rf"\boxed{{{box}}}"
    if tagged:
        return said.strip() or None
    stated = list(_STATED.finditer(said))
    return said[stated[-1].end() :].strip() or None if stated else None

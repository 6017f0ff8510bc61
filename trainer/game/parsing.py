"""What a model's text says: tags, fences, and the fallbacks for those who forget them.

Everything here reads text as text. Nothing is parsed as Python, and all scans are linear.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from trainer.game.tasks import TaskType

type Style = Literal["answer", "boxed"]

_THINK, _END_THINK = "<think>", "</think>"
_ANSWER, _END_ANSWER = "<answer>", "</answer>"


class Malformed(NamedTuple):
    """A text that lacks something; the reason is a short sentence."""

    reason: str


@dataclass(frozen=True, slots=True)
class ProgramProposal:
    """A proposed program with an input."""

    code: str
    input: str


@dataclass(frozen=True, slots=True)
class InductionProposal:
    """Proposed inputs for a given program, with a message."""

    inputs: tuple[str, ...]
    message: str


# -- Tags -----------------------------------------------------------------------------------------


def is_well_formed(response: str, style: Style) -> bool:
    """Whether a response is marked as asked: thoughts in think tags, then an answer in answer tags.

    The prompt ends with the opening think tag, so a response may lack it. Text after the answer is
    allowed. Style ``boxed``: a box is enough.
    """
    if style == "boxed":
        return last_box(response) is not None
    for thoughts_end in _places(response, _END_THINK):
        start = thoughts_end + len(_END_THINK)
        rest = response[start:].lstrip()
        if rest.startswith(_ANSWER):
            return _END_ANSWER in rest
    return False


def extract_answer(response: str, style: Style, *, boxed_retry: bool = False) -> str:
    """The answer in a response; empty if it has none.

    The text after the last opening answer tag, up to the next closing one or the end. With
    ``boxed_retry``, a response without the tag falls back to its last box, or to all of it.
    """
    if style == "answer" and _ANSWER in response:
        return response.rpartition(_ANSWER)[2].partition(_END_ANSWER)[0].strip()
    if style == "answer" and not boxed_retry:
        return ""
    box = last_box(response)
    if box is not None:
        return box.strip()
    return response.strip() if boxed_retry else ""


def extract_thought(response: str) -> str:
    """The thoughts before the answer; all of the text if they have no end."""
    return response.rpartition(_THINK)[2].partition(_END_THINK)[0].strip()


def last_box(text: str) -> str | None:
    r"""The content of the last ``\boxed{...}`` or ``\fbox{...}``, braces inside it balanced."""
    start = max(text.rfind("\\boxed{"), text.rfind("\\fbox{"))
    if start < 0:
        return None
    start = text.index("{", start) + 1
    depth = 1
    for brace in re.finditer(r"[{}]", text[start:]):
        depth += 1 if brace[0] == "{" else -1
        if not depth:
            return text[start : start + brace.start()]
    return None


def _places(text: str, part: str) -> Iterator[int]:
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + 1)


# -- Fences ---------------------------------------------------------------------------------------

_PYTHON_LABELS = frozenset({"python", "py", "python3", "py3"})
_KNOWN_LABELS = _PYTHON_LABELS | {"input", "output", "message", "error"}
_LABEL = re.compile(r"[ \t]*([A-Za-z_][\w+#.-]*)?[ \t]*(?:\r?\n|\Z)")
_INLINE_LABEL = re.compile(
    r"[ \t]*(python3?|py3?|input|output|message|error)\b(?!\s*=)[ \t]*", re.IGNORECASE
)
_FENCE = re.compile(r"`{3,}|~{3,}")


class Block(NamedTuple):
    """A fenced block."""

    label: str
    """The word after the opening fence, in lower case."""
    text: str


def blocks(text: str) -> list[Block]:
    """All fenced blocks; one that is never closed reaches to the end.

    A fence is three or more backticks or tildes, and the same kind, as many, closes it. Text may
    stand on the same line.
    """
    found = []
    at = 0
    while opening := _FENCE.search(text, at):
        start = opening.end()
        label = _LABEL.match(text, start) or _INLINE_LABEL.match(text, start)
        if label:
            start = label.end()
        name = (label[1] or "").lower() if label else ""
        end = text.find(opening[0], start)
        stop = end if end >= 0 else len(text)
        body = text[start:stop]
        if label and name not in _KNOWN_LABELS and not body.strip():
            name, body = "", label[1] or ""  # a single word that stands beside the fence
        found.append(Block(name, body))
        if end < 0:
            break
        at = end + len(opening[0])
    return found


def python_blocks(text: str) -> list[str]:
    """The blocks that hold Python: those labelled so; without any, those without a label."""
    fenced = blocks(text)
    labelled = [block.text for block in fenced if block.label in _PYTHON_LABELS]
    return labelled or [block.text for block in fenced if not block.label]


def _labelled(text: str, label: str) -> list[str]:
    return [block.text.strip() for block in blocks(text) if block.label == label]


# -- Proposals ------------------------------------------------------------------------------------

_HEADING = r"(?:^|\n)[ \t]*#+[ \t]*{name}[ \t]*:[ \t]*"
_END_OF_PART = re.compile(r"```|~~~|\n[ \t]*#")
_INPUT_HEADING = re.compile(_HEADING.format(name="Input"), re.IGNORECASE)
_OUTPUT_HEADING = re.compile(_HEADING.format(name="Output"), re.IGNORECASE)
_MESSAGE_HEADING = re.compile(_HEADING.format(name="Message"), re.IGNORECASE)


def parse_program_proposal(
    text: str, *, code_location: Literal["first", "last"] = "first"
) -> ProgramProposal | Malformed:
    """A program in a Python fence and its input in an input fence (or after ``# Input:``)."""
    programs = python_blocks(text)
    if not programs:
        return Malformed("there is no Python block")
    code = programs[0 if code_location == "first" else -1].strip("\n").rstrip()
    if not code.strip():
        return Malformed("the Python block is empty")
    inputs = _labelled(text, "input") or _under(_INPUT_HEADING, text)[:1]
    if not inputs:
        return Malformed("there is no input block")
    if not inputs[0]:
        return Malformed("the input block is empty")
    return ProgramProposal(code, inputs[0])


def parse_induction_proposal(text: str, *, num_inputs: int) -> InductionProposal | Malformed:
    """The last ``num_inputs`` inputs and the message.

    Inputs stand in input fences, else after ``# Input:``; the message in a message fence, else in
    message tags, else after ``# Message:``.
    """
    inputs = _labelled(text, "input") or _under(_INPUT_HEADING, text)
    if len(inputs) < num_inputs:
        return Malformed(f"there are {len(inputs)} inputs, wanted are {num_inputs}")
    inputs = inputs[-num_inputs:]
    if not all(inputs):
        return Malformed("an input block is empty")
    messages = (
        _labelled(text, "message") or _tagged("message", text) or _under(_MESSAGE_HEADING, text)
    )
    if not messages or not messages[0]:
        return Malformed("there is no message")
    return InductionProposal(tuple(inputs), messages[0])


# -- Answers --------------------------------------------------------------------------------------


def parse_solution(
    answer: str, task: TaskType, *, extract_code_block: bool = True
) -> str | Malformed:
    """What a solver's answer says: an input, an output, an exception's name, or a program.

    With ``extract_code_block`` off the answer is taken as it stands, except for a program.
    """
    if task is TaskType.INDUCTION:
        return _solution_program(answer)
    if extract_code_block:
        answer = _solution_value(answer, "input" if task is TaskType.ABDUCTION else "output")
    return answer.strip() or Malformed("the answer is empty")


def _solution_program(answer: str) -> str | Malformed:
    fenced = [block.text.strip("\n").rstrip() for block in blocks(answer)]
    if not fenced or not fenced[-1].strip():
        return Malformed("there is no fenced program")
    return fenced[-1]


def _solution_value(answer: str, label: Literal["input", "output"]) -> str:
    """The last of: a fence of this label, ``# Label:``, a call ``label(...)``, a tag, a sentence
    "the label is"; else a single fence of another label, else the answer as it stands."""
    heading = _INPUT_HEADING if label == "input" else _OUTPUT_HEADING
    found = (
        _labelled(answer, label)
        or _under(heading, answer)
        or _called(label, answer)
        or _tagged(label, answer)
        or _said(label, answer)
    )
    if found:
        return found[-1]
    fenced = blocks(answer)
    return fenced[0].text if len(fenced) == 1 else answer


def _under(heading: re.Pattern[str], text: str) -> list[str]:
    """What follows each heading: up to the next heading or fence, or the end."""
    found = []
    for match in heading.finditer(text):
        end = _END_OF_PART.search(text, match.end())
        found.append(text[match.end() : end.start() if end else len(text)].strip())
    return found


def _tagged(name: str, text: str) -> list[str]:
    opening, closing = f"<{name}>", f"</{name}>"
    parts = re.split(re.escape(opening), text, flags=re.IGNORECASE)[1:]
    return [
        re.split(re.escape(closing), part, maxsplit=1, flags=re.IGNORECASE)[0].strip()
        for part in parts
    ]


def _called(name: str, text: str) -> list[str]:
    """The arguments of calls ``name(...)`` that stand alone."""
    calls = re.finditer(rf"(?:^|\n)[ \t]*{name}[ \t]*\((.*)\)[ \t]*(?:$|\n)", text, re.IGNORECASE)
    return [call[1].strip() for call in calls]


def _said(name: str, text: str) -> list[str]:
    said = re.split(rf"\bthe {name} is:?", text, flags=re.IGNORECASE)
    return [said[-1].strip().strip("`").strip()] if len(said) > 1 else []

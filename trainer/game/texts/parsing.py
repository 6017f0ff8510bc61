"""Parsing of a model's text: tags, fences, and the fallbacks for those who forget them.

Everything here reads text as text. Nothing is parsed as Python, and all scans are linear.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from trainer.game.tasks.task import TaskType

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
_OPENING = re.compile(
    r"(?P<line>^[ \t]*)(?P<fence>`{3,}|~{3,})"
    r"|(?P<late>`{3,})(?=[ \t]*(?:python3?|py3?|input|output|message|error)[ \t]*\r?\n)"
    r"|(?<=[\s:])(?P<inline>`{3,})(?=[^`\n]+(?P=inline)(?:[\s.,;!]|\Z))",
    re.IGNORECASE | re.MULTILINE,
)
"""A fence begins a line of its own. Beside other text only one with a label that we ask for, and
one that ends on its line."""
_QUOTED = re.compile(
    r"#[^\n]*+"
    r'|(?P<double>"""(?:[^"\\]|\\.|"(?!""))*+(?:"""|\Z))'
    r"|(?P<single>'''(?:[^'\\]|\\.|'(?!''))*+(?:'''|\Z))"
    r'|"(?:[^"\\\n]|\\.)*+"?'
    r"|'(?:[^'\\\n]|\\.)*+'?",
    re.DOTALL,
)


class Block(NamedTuple):
    """A fenced block."""

    label: str
    """The word after the opening fence, in lower case."""
    text: str


def blocks(text: str) -> list[Block]:
    """All fenced blocks; one that is never closed reaches to the next that we ask for, or the end.

    A fence is three or more backticks or tildes at the beginning of a line; as many of the same
    kind, alone on a line, close it. What stands in a string over several lines is no fence. A block
    may also be closed at the end of a line, if that is the only place.
    """
    found = []
    at = 0
    while opening := _OPENING.search(text, at):
        fence = opening["fence"] or opening["late"] or opening["inline"]
        start = opening.end()
        label = _LABEL.match(text, start) or _INLINE_LABEL.match(text, start)
        if label:
            start = label.end()
        name = (label[1] or "").lower() if label else ""
        indent = len(opening["line"] or "")
        stop, at = _end_of_block(text, start, fence, indent)
        body = _dedented(text[start:stop], indent)
        if label and name not in _KNOWN_LABELS and not body.strip():
            name, body = "", label[1] or ""  # a single word that stands beside the fence
        found.append(Block(name, body))
    return found


class _Strings:
    """The strings of several lines in a text that is read as Python from somewhere on."""

    def __init__(self, text: str, start: int) -> None:
        self._text = text
        self._read_to = start

    def end_around(self, place: int) -> int | None:
        """End of the string that a place is in; places come in their order, at line starts."""
        if place < self._read_to:
            return self._read_to
        last = None
        for string in _QUOTED.finditer(self._text, self._read_to, place):
            last = string
        self._read_to = place
        if last is None or last.end() < place or not (last["double"] or last["single"]):
            return None
        whole = _QUOTED.match(self._text, last.start())
        if whole is None or whole.end() in (place, len(self._text)):  # perhaps never closed
            return None
        self._read_to = whole.end()
        return whole.end()


def _end_of_block(text: str, start: int, fence: str, indent: int) -> tuple[int, int]:
    """End of a block's text, and the place from which to look for the next one."""
    line_end = text.find("\n", start)
    line_end = line_end if line_end >= 0 else len(text)
    beside = text.find(fence, start, line_end)
    if beside >= 0 and text[start:beside].strip() and text.rfind("\n", 0, start) != start - 1:
        return beside, beside + len(fence)  # it began and ends on this line
    mark = re.escape(fence[0])
    lines = re.compile(
        rf"^[ \t]{{0,{indent + 3}}}{mark}{{{len(fence)},}}(?P<rest>[^\n]*)$", re.MULTILINE
    )
    strings = _Strings(text, start)
    limit = len(text)
    inner = False
    for line in lines.finditer(text, start):
        rest = line["rest"].strip().lower()
        string_end = strings.end_around(line.start())
        if string_end is not None:
            after = lines.search(text, line.end(), string_end)
            if rest or inner or after is None or not _is_asked_for(after["rest"]):
                inner = bool(rest)  # of a pair in a string
                continue
            # The string was never closed: another block begins before it would be.
        if not rest:
            return line.start(), line.end()
        if _is_asked_for(rest):
            limit = line.start()
            break
    late = re.compile(rf"(?<![{mark}'\"]){mark}{{{len(fence)}}}[ \t]*$", re.MULTILINE)
    closed = late.search(text, start, limit)
    return (closed.start(), closed.end()) if closed else (limit, limit)


def _is_asked_for(rest: str) -> bool:
    """Whether the rest of a fence's line begins with a label that we ask for."""
    return bool(rest.strip()) and rest.split(maxsplit=1)[0].lower() in _KNOWN_LABELS


def _dedented(body: str, indent: int) -> str:
    """Without the columns that the fence is indented by."""
    return re.sub(rf"^[ \t]{{1,{indent}}}", "", body, flags=re.MULTILINE) if indent else body


_DEFINES_F = re.compile(
    r"^[ \t]*def[ \t]+f[ \t]*[(\[](?:[^\n]*:|[^\n]*[,\\][ \t]*$|[ \t]*$)|^class[ \t]+f\b"
    r"|^f[ \t]*(?::[^=\n]*)?=(?!=)|^[ \t]*(?:from|import)[ \t][^\n]*\bas[ \t]+f[ \t]*$",
    re.MULTILINE,
)
"""Text that seems to bind ``f``: parsing hostile text is not for this process."""


def defines_f(code: str) -> bool:
    """Whether a text looks like a program that defines ``f``."""
    return _DEFINES_F.search(code) is not None


def python_blocks(text: str) -> list[str]:
    """The blocks that hold Python: those labelled so; without any, those without a label that
    define ``f``, else all without a label."""
    fenced = blocks(text)
    labelled = [block.text for block in fenced if block.label in _PYTHON_LABELS]
    plain = [block.text for block in fenced if not block.label]
    return labelled or list(filter(defines_f, plain)) or plain


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
    """The content of a solver's answer: an input, an output, an exception's name, or a program.

    With ``extract_code_block`` off the answer is taken as it stands, except for a program.
    """
    if task is TaskType.INDUCTION:
        return _solution_program(answer)
    if extract_code_block:
        answer = _solution_value(answer, "input" if task is TaskType.ABDUCTION else "output")
    return answer.strip() or Malformed("the answer is empty")


def _solution_program(answer: str) -> str | Malformed:
    """The last block labelled as Python that defines ``f``, else the last with that label; without
    any, the last block that defines ``f``, else the last one."""
    fenced = [Block(block.label, block.text.strip("\n").rstrip()) for block in blocks(answer)]
    filled = [block for block in fenced if block.text.strip()]
    if not filled:
        return Malformed("there is no fenced program")
    labelled = [block.text for block in filled if block.label in _PYTHON_LABELS]
    others = [block.text for block in filled if block.label not in _KNOWN_LABELS]
    candidates = labelled or others or [block.text for block in filled]
    return next(filter(defines_f, reversed(candidates)), candidates[-1])


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
    """The text after each heading: up to the next heading or fence, or the end."""
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

"""Prompts from templates.

A template is a text file; ``$name`` stands for what is put in. This folder has the project's own
(``azr.prompt_set=rewritten``), its sub-folder ``original`` those of Absolute Zero Reasoner, word
for word. A folder of one's own (``azr.prompts_dir``) may hold files of the same names, which take
the place of these. Their placeholders must be the same.

A proposer's prompt is ``propose_program`` with the goal and the difficulty of its task type, or one
template for the whole (:data:`WHOLE`), where a set has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

from trainer.game.errors import TemplateError
from trainer.game.policy import Message
from trainer.game.settings import GameSettings
from trainer.game.tasks.task import InductionTask, ProgramTask, Task, TaskType
from trainer.game.texts.parsing import Style

_HERE = Path(__file__).parent
_SETS: Mapping[str, Path] = {"rewritten": _HERE, "original": _HERE / "original"}

PLACEHOLDERS: Mapping[str, frozenset[str]] = {
    name: frozenset(placeholders.split())
    for name, placeholders in {
        "wrapper_answer": "question",
        "wrapper_boxed": "question",
        "propose_program": (
            "goal difficulty extra_rules banned_words extra_criteria references composite"
        ),
        "propose_abduction_goal": "",
        "propose_abduction_difficulty": "",
        "propose_deduction_goal": "",
        "propose_deduction_difficulty": "",
        "propose_error_goal": "",
        "propose_error_difficulty": "",
        "propose_error_rules": "",
        "banned_keywords_rule": "banned_keywords",
        "no_input_in_program_rule": "",
        "no_globals_rule": "",
        "reference": "number snippet input output output_label",
        "composite": "names functions",
        "propose_induction": "num_inputs snippet",
        "solve_abduction": "snippet output",
        "solve_deduction": "snippet input",
        "solve_error": "snippet input",
        "solve_induction": "pairs message",
        "pair": "number input output",
    }.items()
}
"""The templates and what each may, and must, contain."""

WHOLE: Mapping[str, frozenset[str]] = {
    f"propose_{task_type.value}": PLACEHOLDERS["propose_program"] - {"goal", "difficulty"}
    for task_type in (TaskType.ABDUCTION, TaskType.DEDUCTION, TaskType.ERROR)
}
"""Templates that a set may have in place of ``propose_program``."""


class PromptBook:
    """All prompts of the game.

    Raises:
        TemplateError: from the constructor; a template is missing or has wrong placeholders.
    """

    def __init__(self, settings: GameSettings) -> None:
        self._settings = settings
        own = settings.azr.prompts_dir
        folder = Path(own).expanduser() if own else None
        if folder is not None and not folder.is_dir():
            raise TemplateError(f"azr.prompts_dir is {folder}, which is no folder")
        built_in = _SETS[settings.azr.prompt_set]
        folders = [*([folder] if folder else []), built_in, _HERE]
        self._templates = {
            name: _load(_first(name, folders), wanted) for name, wanted in PLACEHOLDERS.items()
        }
        parts_are_own = folder is not None and (folder / "propose_program.txt").is_file()
        for name, wanted in WHOLE.items():
            path = _first(name, folders[:1] if parts_are_own else folders)
            if path.is_file():
                self._templates[name] = _load(path, wanted)

    def propose(
        self,
        task_type: TaskType,
        references: Sequence[ProgramTask],
        functions: Sequence[str] = (),
    ) -> tuple[Message, ...]:
        """A proposer's prompt.

        Args:
            task_type: What to propose. For induction the only reference is the program to use.
            references: Examples, in the order in which they are shown.
            functions: Sources of ``g_0``... for a composite program.
        """
        if task_type is TaskType.INDUCTION:
            (program,) = references
            strategy = self._settings.azr.data_selection_strategy
            return self._wrap(
                self._fill(
                    "propose_induction",
                    num_inputs=str(strategy.num_inputs),
                    snippet=program.snippet,
                )
            )
        return self._wrap(self._propose_program(task_type, references, functions))

    def solve(self, task_type: TaskType, task: Task) -> tuple[Message, ...]:
        """A solver's prompt."""
        return self._wrap(self.question(task_type, task))

    def question(self, task_type: TaskType, task: Task) -> str:
        """What a solver is asked, without what stands around every question."""
        if isinstance(task, InductionTask):
            pairs = "\n".join(
                self._fill("pair", number=str(number), input=given, output=output)
                for number, (given, output) in enumerate(task.given)
            )
            return self._fill("solve_induction", pairs=pairs, message=task.message)
        if task_type is TaskType.ABDUCTION:
            return self._fill("solve_abduction", snippet=task.snippet, output=task.output)
        return self._fill(f"solve_{task_type.value}", snippet=task.snippet, input=task.input)

    def around(self, question: str) -> str:
        """The text around every question."""
        return self._wrap(question)[0].content

    def _propose_program(
        self, task_type: TaskType, references: Sequence[ProgramTask], functions: Sequence[str]
    ) -> str:
        shown = [
            self._fill(
                "reference",
                number=str(number),
                snippet=task.snippet,
                input=task.input,
                output=task.output,
                output_label="error" if task_type is TaskType.ERROR else "output",
            )
            for number, task in enumerate(references)
        ]
        strategy = self._settings.azr.data_selection_strategy
        values = {
            "extra_rules": self._rules(),
            "banned_words": ", ".join(strategy.banned_words),
            "extra_criteria": self._criteria(task_type),
            "references": "\n".join(shown),
            "composite": self._composite(functions),
        }
        whole = f"propose_{task_type.value}"
        if whole in self._templates:
            return self._fill(whole, **values)
        return self._fill(
            "propose_program",
            goal=self._fill(f"{whole}_goal"),
            difficulty=self._fill(f"{whole}_difficulty"),
            **values,
        )

    def _rules(self) -> str:
        config = self._settings.azr.reward.generation_reward_config
        names = ["no_input_in_program_rule"] if config.remove_input_from_snippet else []
        names += ["no_globals_rule"] if config.remove_after_return else []
        return "".join("\n" + self._fill(name) for name in names)

    def _criteria(self, task_type: TaskType) -> str:
        if task_type is not TaskType.ERROR:
            return ""
        lines = [self._fill("propose_error_rules")]
        keywords = (
            self._settings.azr.data_selection_strategy.banned_keywords_for_errors_and_exceptions
        )
        if keywords:
            lines.append(self._fill("banned_keywords_rule", banned_keywords=", ".join(keywords)))
        return "".join("\n" + line for line in lines if line)

    def _composite(self, functions: Sequence[str]) -> str:
        if not functions:
            return ""
        names = ", ".join(f"`g_{number}`" for number in range(len(functions)))
        return "\n" + self._fill("composite", names=names, functions="\n\n".join(functions))

    def _fill(self, name: str, **values: str) -> str:
        return self._templates[name].substitute(values)

    def _wrap(self, question: str) -> tuple[Message, ...]:
        style: Style = self._settings.reward_fn.style
        return (Message("user", self._fill(f"wrapper_{style}", question=question)),)


def _first(name: str, folders: Sequence[Path]) -> Path:
    """The template in the first folder that has it; else where the last one would."""
    paths = [folder / f"{name}.txt" for folder in folders]
    return next((path for path in paths if path.is_file()), paths[-1])


def _load(path: Path, wanted: frozenset[str]) -> Template:
    try:
        template = Template(path.read_text(encoding="utf-8").removesuffix("\n"))
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(f"the template {path} cannot be read: {error}") from error
    if not template.is_valid():
        raise TemplateError(f"{path}: a '$' that stands for itself is written '$$'")
    found = frozenset(template.get_identifiers())
    for missing in sorted(wanted - found):
        raise TemplateError(f"{path}: the placeholder ${missing} is missing")
    for unknown in sorted(found - wanted):
        raise TemplateError(f"{path}: there is no ${unknown} to put in")
    return template

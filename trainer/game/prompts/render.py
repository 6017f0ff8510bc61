"""Prompts from templates.

A template is a text file of this folder; ``$name`` stands for what is put in. A folder of one's own
(``azr.prompts_dir``) may hold files of the same names, which take the place of these. Their
placeholders must be the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

from trainer.game.errors import TemplateError
from trainer.game.parsing import Style
from trainer.game.policy import Message
from trainer.game.settings import GameSettings
from trainer.game.tasks import InductionTask, ProgramTask, Task, TaskType

_HERE = Path(__file__).parent

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
        self._templates = {name: _load(name, folder) for name in PLACEHOLDERS}

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
        if isinstance(task, InductionTask):
            pairs = "\n".join(
                self._fill("pair", number=str(number), input=given, output=output)
                for number, (given, output) in enumerate(task.given)
            )
            question = self._fill("solve_induction", pairs=pairs, message=task.message)
        elif task_type is TaskType.ABDUCTION:
            question = self._fill("solve_abduction", snippet=task.snippet, output=task.output)
        else:
            name = f"solve_{task_type.value}"
            question = self._fill(name, snippet=task.snippet, input=task.input)
        return self._wrap(question)

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
        return self._fill(
            "propose_program",
            goal=self._fill(f"propose_{task_type.value}_goal"),
            difficulty=self._fill(f"propose_{task_type.value}_difficulty"),
            extra_rules=self._rules(),
            banned_words=", ".join(strategy.banned_words),
            extra_criteria=self._criteria(task_type),
            references="\n".join(shown),
            composite=self._composite(functions),
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
        return "".join("\n" + line for line in lines)

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


def _load(name: str, folder: Path | None) -> Template:
    path = _HERE / f"{name}.txt"
    if folder is not None and (folder / path.name).is_file():
        path = folder / path.name
    try:
        template = Template(path.read_text(encoding="utf-8").rstrip("\n"))
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(f"the template {path} cannot be read: {error}") from error
    if not template.is_valid():
        raise TemplateError(f"{path}: a '$' that stands for itself is written '$$'")
    found, wanted = frozenset(template.get_identifiers()), PLACEHOLDERS[name]
    for missing in sorted(wanted - found):
        raise TemplateError(f"{path}: the placeholder ${missing} is missing")
    for unknown in sorted(found - wanted):
        raise TemplateError(f"{path}: there is no ${unknown} to put in")
    return template

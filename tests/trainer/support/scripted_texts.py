"""Texts of a scripted model, and what each of them earns, worked by hand.

How hard a task is stands in it: the parameter of a program (``easy``, ``half``, ``hard``,
``mute``), and the message of an induction task. Which text answers a prompt follows from the prompt
and from the rollout's seed alone, so that a run can be repeated, and goes on after a resume.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

SETTINGS = (
    "trainer.game_class=tests.trainer.support.scripted_model:NotingGame",
    "+actor_rollout_ref.rollout.engine_kwargs.hf.generator=tests.trainer.support.scripted_model:ScriptedModel",
    "data.train_batch_size=4",
    "data.max_prompt_length=400",
    "data.max_response_length=200",
    "azr.data_selection_strategy.banned_words=[random]",
    "azr.data_selection_strategy.num_inputs=4",
    "azr.execute_max_timeout=60",
    # As many as there are: what a step draws are tasks of the step before.
    "azr.data_selection_strategy.seed_batch_factor=1",
)

REWARDS = {
    # The solver solves one of two samples: 1 - p.
    "propose half": 0.5,
    # Nothing to learn: p is 1, 0, 0 (all answers untagged).
    "propose easy": -0.5,
    "propose hard": -0.5,
    "propose mute": -0.5,
    "propose untagged": -1.0,
    "propose banned": -1.0,
    "propose nondeterministic": -1.0,
    "propose malformed": -1.0,
    "solve right": 1.0,
    "solve wrong": -0.5,
    "solve untagged": -1.0,
}
"""The reward of every text, worked by hand, by its first two words."""

_HARDNESS = ("easy", "half", "hard", "mute")


PROMPTS = {
    "wrapper_answer": "User: $question\nAssistant: <think>",
    "propose_program": (
        "Invent a program $goal $difficulty $extra_rules $banned_words $extra_criteria\n"
        "$references$composite"
    ),
    "propose_abduction_goal": "to find an input of.",
    "propose_abduction_difficulty": "",
    "propose_deduction_goal": "to find the output of.",
    "propose_deduction_difficulty": "",
    "propose_induction": "Invent $num_inputs inputs.\n$snippet",
    "solve_abduction": "Find one input.\n$snippet\n```output\n$output\n```",
    "solve_deduction": "Find the output.\n$snippet\n```input\n$input\n```",
    "solve_induction": "Find the program.\n$pairs\n$message",
}
"""Short prompts: long ones take a processor long. They take the place of the game's own."""


def files(folder: Path) -> tuple[str, ...]:
    """Seeds of every hardness, and prompts, as files; returns the overrides that name them."""
    (folder / "prompts").mkdir()
    for name, text in PROMPTS.items():
        (folder / "prompts" / f"{name}.txt").write_text(text + "\n")
    programs = [
        {"snippet": _program(name, 100 + n), "input": "1", "output": str(101 + n)}
        for n, name in enumerate(_HARDNESS)
    ]
    inductions = [
        {
            "snippet": _program(name, 200 + n),
            "inputs": ["1", "2", "3", "4"],
            "outputs": [str(200 + n + x) for x in (1, 2, 3, 4)],
            "message": f"It is {name}.",
        }
        for n, name in enumerate(_HARDNESS)
    ]
    for name, rows in (("programs", programs), ("inductions", inductions)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text)
    return (
        f"azr.prompts_dir={folder}/prompts",
        f"azr.seed_dataset={folder}/programs.jsonl",
        f"azr.code_f_seed_dataset={folder}/inductions.jsonl",
    )


def _program(name: str, number: int) -> str:
    return f"def f({name}):\n    return {name} + {number}"


def reply(prompt: str, seed: int) -> str:
    """The text that answers a prompt. Two seeds that follow each other differ in parity."""
    if "Invent a program" in prompt:
        return _propose_program(seed // 2)
    if re.search(r"Invent \d+ inputs", prompt):
        return _propose_induction(seed // 2)
    return _solve(prompt, right_at_half=seed % 2 == 0)


def _propose_program(choice: int) -> str:
    kinds = (*_HARDNESS, "half", "untagged", "banned", "nondeterministic")
    name, number = kinds[choice % len(kinds)], choice // len(kinds) % 50
    program = {
        "banned": f"import random\n{_program('x', number)}",
        "nondeterministic": "def f(x):\n    return list({'red', 'green', 'blue', 'black', str(x)})",
    }.get(name, _program(name, number))
    answer = f"```python\n{program}\n```\n```input\n{number % 7}\n```"
    return answer if name == "untagged" else _tagged(f"propose {name}", answer)


def _propose_induction(choice: int) -> str:
    kinds = (*_HARDNESS, "half", "malformed")
    name, first = kinds[choice % len(kinds)], choice // len(kinds) % 50
    count = 2 if name == "malformed" else 4
    inputs = "\n".join(f"```input\n{first + n}\n```" for n in range(count))
    return _tagged(f"propose {name}", f"{inputs}\n```message\nIt is {name}.\n```")


def _solve(question: str, *, right_at_half: bool) -> str:
    name = re.findall(r"def f\((\w+)\):|It is (\w+)\.", question)[-1]
    hardness = "".join(name)
    if hardness == "mute":
        return "I do not feel like tags"
    right = hardness == "easy" or (hardness == "half" and right_at_half)
    label, answer = _answer(question, 0 if right else 1)
    return _tagged(f"solve {'right' if right else 'wrong'}", f"```{label}\n{answer}\n```")


def _answer(question: str, error: int) -> tuple[str, str]:
    if "Find the program" in question:
        given, output = (
            int(re.findall(rf"```{name}_0\n(-?\d+)", question)[-1]) for name in ("input", "output")
        )
        return "python", _program("x", output - given + error)
    number = int(re.findall(r"return \w+ \+ (\d+)", question)[-1])
    if "Find one input" in question:
        return "input", str(int(re.findall(r"```output\n(-?\d+)", question)[-1]) - number + error)
    return "output", str(int(re.findall(r"```input\n(-?\d+)", question)[-1]) + number + error)


def _tagged(thought: str, answer: str) -> str:
    return f"{thought}</think>\n<answer>{answer}</answer>"


def label(text: str) -> str:
    """The key of a text in :data:`REWARDS`."""
    if "</think>" in text:
        return text.partition("</think>")[0]
    return "propose untagged" if "```" in text else "solve untagged"


def noted(run: Path, what: str, step: int) -> Any:
    """What the game noted of a step: ``samples`` or ``batch``."""
    return json.loads((run / "noted" / f"{what}_{step}.json").read_text())

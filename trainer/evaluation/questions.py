"""What a model is asked, from the templates beside this module: ``questions/NAME.txt``."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from string import Template

_FOLDER = Path(__file__).with_name("questions")


def question(name: str, **values: str) -> str:
    """The text of a template with values put in."""
    return _template(name).substitute(values)


@cache
def _template(name: str) -> Template:
    return Template((_FOLDER / f"{name}.txt").read_text(encoding="utf-8").removesuffix("\n"))

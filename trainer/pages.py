"""Pages made of templates: texts in them are escaped, so nothing in a page can run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def render(template: Path, filters: dict[str, Callable[[Any], str]], **values: Any) -> str:
    """The page that a Jinja template makes of values; a name that it lacks is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    page: str = environment.get_template(template.name).render(**values)
    return page

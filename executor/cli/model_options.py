"""Options that stand for the fields of a class: declared, and checked, there."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, NamedTuple

import typer
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from executor.cli.failure import CommandError


class Field(NamedTuple):
    """Differences between a field's option and what the model says."""

    name: str
    envvar: str | None = None
    option: str = ""
    """Without the dashes, if it is not the field's name."""
    help: str = ""
    """Instead of the field's docstring."""


type Command = Callable[..., int]


def takes[M: BaseModel](
    into: str, model: type[M], panels: Mapping[str, Iterable[Field]]
) -> Callable[[Command], Command]:
    """Give a command an option for each field, by panels of its help; ``into`` is the parameter
    that gets the model that they make."""
    parameters = [
        _parameter(field, model.model_fields[field.name], panel)
        for panel, fields in panels.items()
        for field in fields
    ]
    return _takes(into, parameters, lambda given: _checked(model, given))


def shares(into: str, group: type) -> Callable[[Command], Command]:
    """Give a command the options that are the fields of a dataclass, with the types and defaults
    that they have there; ``into`` is the parameter that gets the object that they make."""
    fields = inspect.signature(group, eval_str=True).parameters.values()
    parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in fields]
    return _takes(into, parameters, lambda given: group(**given))


def _takes(
    into: str, parameters: list[inspect.Parameter], make: Callable[[dict[str, Any]], object]
) -> Callable[[Command], Command]:
    """Put parameters in the place of the one that gets what is made of them."""

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)

        @functools.wraps(command)
        def called(**given: Any) -> int:
            made = make({each.name: given.pop(each.name) for each in parameters})
            return command(**given, **{into: made})

        del called.__wrapped__
        listed = [
            part
            for each in signature.parameters.values()
            for part in (parameters if each.name == into else [each])
        ]
        called.__signature__ = signature.replace(parameters=listed)  # type: ignore[attr-defined]
        called.__annotations__ = {each.name: each.annotation for each in listed}
        return called

    return decorate


def _parameter(field: Field, about: FieldInfo, panel: str) -> inspect.Parameter:
    kind: Any = about.annotation
    many = kind == tuple[str, ...]
    text = field.help or (about.description or "").replace("``", "")
    option = typer.Option(
        f"--{(field.option or field.name).replace('_', '-')}",
        help=" ".join(text.split()) + (" Repeatable, or with commas between." if many else ""),
        envvar=field.envvar,
        rich_help_panel=panel,
        metavar="NAME" if many else "N" if kind in (int, float) else None,
    )
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None if many else about.default,
        annotation=Annotated[list[str] | None if many else kind, option],
    )


def names(given: Iterable[str] | None) -> tuple[str, ...]:
    """The names in a list of options; each may hold several, with commas between them."""
    parts = [part.strip() for value in given or () for part in value.split(",")]
    return tuple(part for part in parts if part)


def _checked[M: BaseModel](model: type[M], given: Mapping[str, Any]) -> M:
    """The model.

    Raises:
        CommandError: a value is out of its range.
    """
    values = {
        name: names(value) if model.model_fields[name].annotation == tuple[str, ...] else value
        for name, value in given.items()
    }
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-")
        message = first["msg"].removeprefix("Input ")
        told = "" if first["type"] == "value_error" else f", not {first['input']}"
        raise CommandError(f"{option} {message}{told}") from None

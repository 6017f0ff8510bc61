"""Problems of EvalPlus (HumanEval+, MBPP+) as rows to judge.

Their files hold JSON, so what was a tuple, a set or a complex number is written as something else:
:data:`_SHAPES` says for which problems, and what it was. A few problems are not judged by equality
of values: :data:`_ORACLES` and what stands beside it say which, and how. Both follow EvalPlus 0.3.1
(``evalplus/data/mbpp.py``, ``evalplus/eval/__init__.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from executor.grammar.text import literal_text

type Problem = Mapping[str, Any]
type Fields = dict[str, Any]

RTOL = 1e-7
ATOL = 1e-6
"""Where a problem names no tolerance."""


def evalplus(problem: Problem) -> Fields:
    """HumanEval+ and MBPP+: inputs, and a solution whose results are what is expected."""
    solution = problem["prompt"] + problem["canonical_solution"]
    inputs = inputs_of(problem)
    atol = problem.get("atol") or ATOL
    return {
        "id": problem["task_id"],
        **(_by_oracle(problem, inputs, atol) or _by_calls(problem, solution, inputs, atol)),
        "answers": [solution],
        "prompt": problem["prompt"],
    }


def inputs_of(problem: Problem) -> list[Sequence[Any]]:
    """The arguments of each call, as values of the types that they had."""
    inputs = [*problem["base_input"], *(problem.get("plus_input") or ())]
    source, _, number = str(problem["task_id"]).partition("/")
    shape = _SHAPE_OF.get(number) if source == "Mbpp" else None
    if shape is None:
        return inputs
    shapes = shape.split()
    return [
        [_SHAPERS[shapes[min(at, len(shapes) - 1)]](value) for at, value in enumerate(given)]
        for given in inputs
    ]


def _by_calls(
    problem: Problem, solution: str, inputs: Iterable[Sequence[Any]], atol: float
) -> Fields:
    return {
        "task": "call",
        "entry_point": problem["entry_point"],
        "inputs": [_arguments(given) for given in inputs],
        "program": solution,
        "compare": {"atol": atol, "rtol": RTOL},
    }


def _by_oracle(problem: Problem, inputs: Iterable[Sequence[Any]], atol: float) -> Fields | None:
    """A task of assertions, where equality is not what is asked."""
    name = problem["entry_point"]
    source = "humaneval" if str(problem["task_id"]).startswith("HumanEval") else "mbpp"
    oracle = _ORACLES.get((source, name))
    if oracle is None:
        return None
    solution = problem["prompt"] + problem["canonical_solution"]
    # Only inside a function: names of the solution's are not to stand for those of the answer.
    lines = [
        "_space = {}",
        f"exec({literal_text(solution)}, _space)",
        f"_expected = _space[{name!r}]",
        f"_atol = {atol!r}",
        oracle,
        *(f"_check({_tuple(given)}, {name}({_arguments(given)}))" for given in inputs),
    ]
    found: Fields = {"task": "assert", "tests": "\n".join(lines), "entry_point": name}
    # A match of a pattern is no plain value: only beside the answer can it be asked whether it is.
    return {**found, "together": True} if oracle is _IS_SOMETHING else found


def _arguments(given: Sequence[Any]) -> str:
    return ", ".join(map(literal_text, given))


def _tuple(given: Sequence[Any]) -> str:
    return literal_text(tuple(given))


# ---- types that JSON does not have -----------------------------------------------------------


def _tuple_of(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _each(value: Any, shaper: Callable[[Any], Any]) -> Any:
    return [shaper(item) for item in value] if isinstance(value, list) else value


def _all_tuples(value: Any) -> Any:
    return tuple(map(_all_tuples, value)) if isinstance(value, list) else value


def _set_of(value: Any) -> Any:
    return set(value) if isinstance(value, list) and value else {}


_SHAPERS: dict[str, Callable[[Any], Any]] = {
    "-": lambda value: value,
    "tuple": _tuple_of,
    "tuples": lambda value: _each(value, _tuple_of),
    "tuple-of-tuples": lambda value: _tuple_of(_each(value, _tuple_of)),
    "dict-of-tuples": lambda value: {key: _tuple_of(item) for key, item in value.items()},
    "sets": lambda value: _each(value, _set_of),
    "float": float,
    "complex": complex,
    "all-tuples": _all_tuples,
}
"""What an argument is made into."""

_SHAPES = {
    "tuple": (
        "2 116 132 143 222 261 273 394 399 421 424 429 470 560 579 596 616 630 726 740 744 809"
    ),
    "tuples": "63 64 70 94 120 237 272 299 400 409 417 438 473 614 780",
    "tuples -": "75 413 444 753",
    "- tuple": "106 750",
    "tuple -": "250 307 405 446 617 720 763 808",
    "tuple-of-tuples": "259 278 401 445",
    "dict-of-tuples -": "722",
    "sets": "115",
    "float complex": "124",
    "complex": "252",
    "all-tuples": "580 615 791",
}
"""Shapes of arguments (the last one is that of all further ones) to numbers of MBPP+'s problems."""
_SHAPE_OF = {number: shape for shape, numbers in _SHAPES.items() for number in numbers.split()}

# ---- problems that are not judged by equality ------------------------------------------------

_SAME_SET = """\
def _check(given, found):
    assert set(found) == set(_expected(*given))"""
_IS_SOMETHING = """\
def _check(given, found):
    wanted = _expected(*given) is not None
    assert (found if isinstance(found, bool) else found is not None) == wanted"""
_ANYTHING = """\
def _check(given, found):
    assert True"""
_OR_NOTHING = """\
def _check(given, found):
    assert found == 0 or found == _expected(*given)"""
_OTHER_HEIGHT = """\
def _check(given, found):
    edge, height = given
    slant = ((edge / 2) ** 2 + height ** 2) ** 0.5
    other = round(edge ** 2 + 2 * edge * slant)
    assert found == _expected(*given) or abs(found - other) <= _atol"""
_DIGITS_ALIGNED = """\
def _check(given, found):
    first, second = map(str, given)
    width = max(len(first), len(second))
    pairs = zip(first.zfill(width), second.zfill(width))
    other = sum(abs(int(one) - int(two)) for one, two in pairs)
    assert found == _expected(*given) or found == other"""
_IS_ZERO = """\
def _check(given, found):
    (coefficients,) = given
    assert abs(sum(c * found ** n for n, c in enumerate(coefficients))) <= _atol"""

_ORACLES = {
    **dict.fromkeys(
        [
            ("mbpp", name)
            for name in (
                "similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly",
                "larg_nnum", "intersection_array", "find_dissimilar", "Diff",
            )
        ],
        _SAME_SET,
    ),
    **dict.fromkeys(
        [("mbpp", name) for name in ("check_str", "text_match_three", "text_starta_endb")],
        _IS_SOMETHING,
    ),
    ("mbpp", "are_equivalent"): _ANYTHING,
    ("mbpp", "sum_div"): _OR_NOTHING,
    ("mbpp", "surface_Area"): _OTHER_HEIGHT,
    ("mbpp", "digit_distance_nums"): _DIGITS_ALIGNED,
    ("humaneval", "find_zero"): _IS_ZERO,
}  # fmt: skip
"""What an answer's results are asked instead of equality."""

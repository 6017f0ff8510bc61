"""No answer changes another one's score, whatever the program tries to leave behind for the next
call: each gets what it gets when it is judged alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from executor import JudgeTask, SyncExecutor, TaskType, Triplet

DATA = Path(__file__).parents[3] / "shared/data/holes"
ATTEMPTS = 3


class Case(NamedTuple):
    """An abduction task, and what its answers are worth."""

    program: str
    input: str
    output: str
    answers: tuple[str, ...]
    scores: tuple[float, ...]


COUNT = """
    if hasattr({0}, 'n'):
        {0}.n += 1
    else:
        {0}.n = 1
    return {0}.n
"""
ONES = ("2", "3", "4", "5")


def counting(head: str, what: str, parameter: str = "x") -> str:
    """A program that counts its calls in an attribute of what it has got hold of."""
    return f"{head}\ndef f({parameter}):{COUNT.format(what)}"


def all_right(program: str, given: str = "1", answers: tuple[str, ...] = ONES) -> Case:
    return Case(program, given, "1", answers, (1.0,) * len(answers))


FRACTIONS = ("Fraction(1, 3)", "Fraction(1, 4)", "Fraction(1, 5)")
SIZED = "from collections.abc import Sized\n"
KEEPER = (
    "class K:\n    def __getitem__(self, c):\n        self.c = c\n        return int\n"
    "    __or__ = __getitem__\n    __ror__ = __getitem__\nk = K()\n"
)

CASES = {
    "walrus in an annotation": all_right(
        counting(SIZED + "def g(x: (S := Sized)): pass", "S"),
    ),
    "walrus in the annotation of a result": all_right(
        counting(SIZED + "def g(x) -> (S := Sized): pass", "S")
    ),
    "walrus in the annotation of a variable": all_right(
        counting("from typing import Any\ny: (S := Any) = 0", "S")
    ),
    "walrus in the annotation of an attribute": all_right(
        counting("from typing import Any\nclass A:\n    y: (S := Any) = 0", "A.S")
    ),
    "walrus within a subscript": all_right(
        counting("from typing import List\nfrom collections.abc import Sized\n"
                 "def g(x: List[(S := Sized)]): pass", "S")
    ),
    "annotation that calls": all_right(
        counting(SIZED + "kept = []\ndef keep(c):\n    kept.append(c)\n    return c\n"
                 "def g(x: keep(Sized)): pass", "kept[0]")
    ),
    "annotation in a conditional block": all_right(
        counting("from typing import Any\nif True:\n    y: (S := Any) = 0", "S")
    ),
    "annotation with an own subscript": all_right(
        counting(SIZED + KEEPER + "def g(x: k[Sized]): pass", "k.c")
    ),
    "annotation with an own operator": all_right(
        counting(SIZED + KEEPER + "def g(x: k | Sized): pass", "k.c")
    ),
    "annotation with an own operator on the right": all_right(
        counting(SIZED + KEEPER + "def g(x: Sized | k): pass", "k.c")
    ),
    "annotation of a decorated class": all_right(
        counting(SIZED + KEEPER + "def keep(c):\n    return k\n@keep\nclass A: pass\n"
                 "def g(x: A | Sized): pass", "k.c")
    ),
    "own object in the cache of typing": Case(
        "from typing import Literal\nclass K:\n    seen = 0\n    def __hash__(self): return 7\n"
        "    def __eq__(self, other):\n        K.seen += 1\n        other.met = True\n"
        "        return False\n    met = False\nk = K()\n"
        "def g(x: Literal[k]): pass\ndef f(x):\n    return k.met",
        "1", "False", ONES, (1.0,) * 4,
    ),
    "args of an exception": all_right(
        "def f(d):\n    try:\n        d / 0\n    except ArithmeticError as e:\n"
        "        c = e.args[0][0]\n"
        "        c.n = c.n + 1 if hasattr(c, 'n') else 1\n        return c.n",
        "Decimal('1')", ("Decimal('2')", "Decimal('3')", "Decimal('4')"),
    ),
    "args of an exception in a list": all_right(
        "def f(ds):\n    try:\n        ds[0] / 0\n    except ArithmeticError as e:\n"
        "        ((c,),) = e.args\n"
        "        c.n = c.n + 1 if hasattr(c, 'n') else 1\n        return c.n",
        "[Decimal('1')]", ("[Decimal('2')]", "[Decimal('3')]", "[Decimal('4')]"),
    ),
    "__new__ of an argument": all_right(
        counting("", "g").replace(":\n", ":\n    g = x.__new__\n", 1),
        "Fraction(1, 2)",
        FRACTIONS,
    ),
    "__new__ of a library type": all_right(
        "from fractions import Fraction\n"
        + counting("", "g").replace(":\n", ":\n    g = Fraction(x).__new__\n", 1)
    ),
    "__new__ through a false super": all_right(
        "from fractions import Fraction\ndef super():\n    return Fraction(1, 2)\n"
        + counting("", "g").replace(":\n", ":\n    g = super().__new__\n", 1)
    ),
    "slots of a fraction": Case(
        "from fractions import Fraction\ndef f(n):\n    x = Fraction(1, 3)\n"
        "    x._denominator = n\n    try:\n        return len({x: 1})\n"
        "    except ValueError:\n        return -1",
        "7", "1", ("1", "1.0"), (1.0, 0.0),
    ),
    "slots of a fraction, defined by a class too": Case(
        "from fractions import Fraction\nclass A:\n    def __init__(self):\n"
        "        self._denominator = 1\ndef f(n):\n    x = Fraction(1, 3)\n"
        "    x._denominator = n\n    try:\n        return len({x: 1})\n"
        "    except ValueError:\n        return -1",
        "7", "1", ("1", "1.0"), (1.0, 0.0),
    ),
    "a right answer beside a wrong one": Case(
        "from fractions import Fraction\ndef f(n):\n    x = Fraction(1, 2)\n"
        "    x._numerator = n\n    try:\n        {x: 1}\n        return 'warm'\n"
        "    except TypeError:\n        return 'cold'",
        "complex(3, 0)", "'cold'", ("complex(1, 0)", "1"), (1.0, 0.0),
    ),
    "a class that crosses calls": Case(
        "class K:\n    def __init__(self, v): self.v = v; self.seen = None\n"
        "    def __hash__(self): return 7\n    def __eq__(self, o):\n        o.seen = self.v\n"
        "        self.seen = o.v\n        return False\n    def __abs__(self): return 3\n"
        "    def __ge__(self, o): return True\ndef f(x, v):\n    k = K(v)\n    x._numerator = k\n"
        "    {x: 1}\n    return k.seen",
        "Fraction(1, 2), 1", "None",
        ("Fraction(1, 2), 2", "Fraction(1, 2), 3", "Fraction(1, 2), 4"), (1.0,) * 3,
    ),
    # Honest neighbours.
    "typing in annotations": Case(
        "from typing import Dict, List, Optional\nclass P:\n    x: Optional[int] = None\n"
        "def f(x: List[int] | None, p: Dict[str, List['P']] = {}) -> int:\n    return sum(x)",
        "[1, 2]", "3", ("[1, 2]", "[3]", "[4]"), (1.0, 1.0, 0.0),
    ),
    "decimals": Case(
        "def f(d):\n    try:\n        return d / 0\n    except ArithmeticError as e:\n"
        "        return str(type(e).__name__)",
        "Decimal('1')", "'DivisionByZero'", ("Decimal('2')", "Decimal('0')"), (1.0, 0.0),
    ),
    "fractions": Case(
        "def f(x):\n    return x + 1", "Fraction(1, 2)", "Fraction(3, 2)",
        ("Fraction(1, 2)", "Fraction(2, 4)", "Fraction(1, 3)", "0.5"), (1.0, 1.0, 0.0, 1.0),
    ),
    "private attributes": Case(
        "class A:\n    def __init__(self, x):\n        self._x = x\n"
        "    def _double(self):\n        return self._x * 2\n"
        "    def __new__(cls, x):\n        return super().__new__(cls)\n"
        "def f(x):\n    return A(x)._double()",
        "2", "4", ("2", "3", "2.0"), (1.0, 0.0, 1.0),
    ),
}  # fmt: skip


def judged(executor: SyncExecutor, case: Case, mark: str, answers: tuple[str, ...]) -> object:
    return executor.judge(
        JudgeTask(
            task=TaskType.ABDUCTION,
            program=f"{case.program}\n# {mark}",
            inputs=(case.input,),
            outputs=(case.output,),
            answers=answers,
        )
    ).scores


@pytest.mark.parametrize("what", CASES)
def test_an_answer_scores_in_company_what_it_scores_alone(sandbox: SyncExecutor, what: str) -> None:
    case = CASES[what]
    for attempt in range(ATTEMPTS):
        mark = f"{what} {attempt}"
        assert judged(sandbox, case, mark, case.answers) == case.scores
        assert judged(sandbox, case, mark, case.answers[::-1]) == case.scores[::-1]
        for answer, score in zip(case.answers, case.scores, strict=True):
            assert judged(sandbox, case, mark, (answer,)) == (score,)


ADDRESSES = (
    "class A:\n    pass\ndef f(n):\n    keep = [A() for i in range(n)]\n"
    "    return [repr(x)[-4:-2] for x in keep][:3]"
)


def test_a_value_made_of_addresses_is_no_task_and_no_answer_is_right(
    sandbox: SyncExecutor,
) -> None:
    case = Case(ADDRESSES, "20", "[0]", ("3", "40", "500", "6"), (0.0,) * 4)
    for attempt in range(ATTEMPTS):
        assert judged(sandbox, case, str(attempt), case.answers) == case.scores
        triplet = Triplet(program=f"{ADDRESSES}\n# {attempt}", inputs=("20", "3"))
        assert not sandbox.validate(triplet).valid


def test_inputs_of_one_triplet_do_not_meet(sandbox: SyncExecutor) -> None:
    for what, case in CASES.items():
        inputs = tuple(a for a, score in zip(case.answers, case.scores, strict=True) if score)
        verdict = sandbox.validate(
            Triplet(
                program=f"{case.program}\n# {what}",
                inputs=inputs,
                outputs=(case.output,) * len(inputs),
            )
        )
        assert verdict.valid, (what, verdict.detail)


HANDED = sorted(DATA.glob("0[1-5]-*/*.jsonl"))


@pytest.mark.data
@pytest.mark.skipif(not HANDED, reason="the shared data sets are not here")
def test_what_was_handed_in_scores_in_company_what_it_scores_alone(sandbox: SyncExecutor) -> None:
    rows = [json.loads(line) for path in HANDED for line in path.read_text().splitlines()]
    for row in [row for row in rows if "answers" in row]:
        answers = tuple(row["answers"])
        case = Case(row["program"], row["input"], row["output"], answers, ())
        for attempt in range(ATTEMPTS):
            mark = str(attempt)
            alone = [judged(sandbox, case, mark, (answer,)) for answer in answers]
            together = judged(sandbox, case, mark, answers)
            assert [(score,) for score in together] == alone, row["id"]  # type: ignore[attr-defined]

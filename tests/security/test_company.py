"""No answer may tell what ran before it: a short search; the long one is ``company.py``."""

from __future__ import annotations

import random

import pytest

from executor import Executor
from tests.security.fuzzing import company
from tests.security.fuzzing.company_programs import company_row

ROWS = 150


@pytest.mark.timeout(300)
async def test_a_short_search_finds_no_call_that_tells_its_company() -> None:
    numbers = random.Random(20)
    rows = [company_row(numbers) for _ in range(ROWS)]
    async with Executor(limits=company.LIMITS, rules=company.OPEN, cache=False) as executor:
        assert await company.compare(executor, rows) == []


def test_the_search_tries_what_has_worked_before() -> None:
    numbers = random.Random(0)
    programs = "\n".join(company_row(numbers).program for _ in range(2000))
    for known in (
        "(S := Sized)", "k[Sized]", "k | Sized", "k(List)", "(S := Any) = 0", "x / 0",
        "e.args[0][0]", "x.__new__", "Fraction(x).__new__", "x._denominator = n",
        "x._numerator = n",
    ):  # fmt: skip
        assert known in programs, known

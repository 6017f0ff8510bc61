"""The conformance suite's scripts have the same outcomes in a warm jail as in a new one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from executor.models import ScriptResult
from tests.cases.conformance import SCRIPTS
from tests.conformance.runs import LIMITS
from tests.support.jails import Jails, open_jails
from tests.support.warm_scripts import facts

pytestmark = pytest.mark.long


@pytest.fixture(scope="module", params=["grouped", "ungrouped"])
def jails(request: pytest.FixtureRequest) -> Iterator[Jails]:
    yield from open_jails(grouped=request.param == "grouped")


def comparable(result: ScriptResult) -> dict[str, object]:
    found = facts(result)
    if result.status.endswith("_limit"):
        del found["stdout"], found["stderr"]  # how far it came is a matter of time
        if result.status == "output_limit":
            del found["signal"]  # it may end before it is killed
    return found


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_outcome_is_that_of_a_new_jail(jails: Jails, name: str) -> None:
    script, status = SCRIPTS[name]
    limits = LIMITS.model_copy(update={"cpu_s": 1, "wall_s": 1.0 if name == "sleep" else 60})
    result, expected = jails.usual_and_new(script, limits)
    assert result.status == status, result
    assert comparable(result) == comparable(expected)

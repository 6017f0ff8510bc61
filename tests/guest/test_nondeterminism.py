"""Programs whose value depends on more than their input are refused; all others are not."""

from __future__ import annotations

import pytest

from executor import Status, SyncExecutor
from tests.support.programs import OPEN_RULES, body, triplet, value

pytestmark = pytest.mark.usefixtures("compiled")

SET_ORDER = {
    "list of two": "list({'a', 'b'})",
    "list of many": "list(set('abcdefghij'))",
    "pop": "{'a', 'b'}.pop()",
    "next": "next(iter({'a', 'b'}))",
    "join": "''.join({'a', 'b'})",
    "dict.fromkeys": "dict.fromkeys({'a', 'b'})",
    "keys of a dict": "{key: 1 for key in {'a', 'b'}}",
    "tuple": "tuple({'a', 'b'})",
    "unpacking": "[*{'a', 'b'}]",
    "starred call": "(lambda *args: args)(*{'a', 'b'})",
    "assignment": "[first for first, second in [{'a', 'b'}]]",
    "frozenset": "list(frozenset({'a', 'b'}))",
    "set difference": "list({'a', 'b', 'c'} - {'c'})",
    "sorted with ties": "sorted({'aa', 'bb', 'c'}, key=len)",
    "max with ties": "max({'aa', 'bb'}, key=len)",
    "min with ties": "min({'aa', 'bb'}, key=len)",
    "text of a set": "str({'a', 'b'})",
    "formatted": "f\"{ {'a', 'b'} }\"",
    "zip": "list(zip({'a', 'b'}, [1, 2]))",
    "map": "list(map(str.upper, {'a', 'b'}))",
    "enumerate": "dict(enumerate({'a', 'b'}))",
    "bytes": "list({b'a', b'b'})",
    "none and text": "list({None, 'b'})",
    "tuples of text": "list({('a', 1), ('b', 2)})",
    "extend": "(lambda out: (out.extend({'a', 'b'}), out))([])[1]",
    "slice": "(lambda out: (out.__setitem__(slice(0), {'a', 'b'}), out))([])[1]",
}


@pytest.mark.parametrize("what", SET_ORDER)
def test_the_order_of_a_set_is_always_found(sandbox: SyncExecutor, what: str) -> None:
    program = body(f"return {SET_ORDER[what]}")
    for attempt in range(3):
        result = sandbox.validate(triplet(f"{program}\n# {attempt}"))
        assert result.status is Status.NONDETERMINISTIC, result.outputs


@pytest.mark.parametrize("attempt", range(12))
def test_a_tie_between_two_elements_of_a_large_set_is_always_found(
    sandbox: SyncExecutor, attempt: int
) -> None:
    """All orders that are shown must not put the same one of the two first."""
    words = [f"w{number}" for number in range(attempt, attempt + 20)]
    words += [f"longest {attempt} one", f"longest {attempt} two"]
    program = body(f"return max({{*{words}}}, key=len)")
    assert sandbox.validate(triplet(program)).status is Status.NONDETERMINISTIC


DETERMINISTIC = {
    "sorted": ("sorted({'b', 'a'})", "['a', 'b']"),
    "len": ("len({'a', 'b'})", "2"),
    "sum": ("sum({1, 2, 3})", "6"),
    "sum of lengths": ("sum(len(x) for x in {'a', 'bb'})", "3"),
    "a set itself": ("{'b', 'a'}", "{'a', 'b'}"),
    "a set of sets": ("{frozenset({'a', 'b'})}", "{frozenset({'a', 'b'})}"),
    "set comprehension": ("{x + 'c' for x in {'a', 'b'}}", "{'ac', 'bc'}"),
    "integers": ("list({3, 1, 2})", "[1, 2, 3]"),
    "membership": ("'a' in {'a', 'b'}", "True"),
    "subset": ("{'a'} <= {'a', 'b'}", "True"),
    "one element": ("list({'a'})", "['a']"),
    "max": ("max({'a', 'b'})", "'b'"),
    "any": ("any(x == 'a' for x in {'a', 'b'})", "True"),
    "counting": ("{x: 'abca'.count(x) for x in 'abc'}", "{'a': 2, 'b': 1, 'c': 1}"),
    "a dict's order": ("list({'b': 1, 'a': 2})", "['b', 'a']"),
    "unique in order": ("list(dict.fromkeys('abca'))", "['a', 'b', 'c']"),
    "floats": ("list({1.0, 2.0})", "[1.0, 2.0]"),
    "equal hashes": ("hash('a') == hash('a')", "True"),
    "identity": ("id(x) == id(x)", "True"),
    "the length of an address": ("len(str(type(id(x))))", "13"),
}


@pytest.mark.parametrize("what", DETERMINISTIC)
def test_uses_that_do_not_show_an_order_are_accepted(sandbox: SyncExecutor, what: str) -> None:
    expression, expected = DETERMINISTIC[what]
    assert value(sandbox, body(f"return {expression}")) == expected


SEEDED = body("import random", "random.seed(x)", "return random.randint(0, 10**9)")


def test_seeded_randomness_is_deterministic(sandbox: SyncExecutor) -> None:
    assert sandbox.validate(triplet(SEEDED, "7")).valid


DEPENDENT = {
    "hash of text": "hash('a')",
    "an address": "id(object())",
    "a repr with an address": "repr(object())",
    "random.random": "__import__('random').random()",
    "shuffled": "__import__('random').sample(range(50), 50)",
    "secrets": "__import__('secrets').token_hex(8)",
    "urandom": "__import__('os').urandom(8)",
    "uuid4": "str(__import__('uuid').uuid4())",
    "system random": "__import__('random').SystemRandom().random()",
    "time": "__import__('time').time()",
    "the day": "__import__('time').time() // 86400",
    "the year": "__import__('datetime').date.today().year",
    "the month": "__import__('datetime').date.today().month",
    "the hour": "__import__('datetime').datetime.now().hour",
    "the weekday": "__import__('time').strftime('%A')",
    "nanoseconds": "__import__('time').time_ns()",
    "a performance counter": "__import__('time').perf_counter()",
    "the user's name": "__import__('os').environ['USER']",
    "the home": "__import__('os').path.expanduser('~')",
    "the host's name": "__import__('os').uname().nodename",
    "processor time": "__import__('time').process_time_ns()",
}


@pytest.mark.parametrize("what", DEPENDENT)
def test_a_value_that_depends_on_the_process_is_refused(sandbox: SyncExecutor, what: str) -> None:
    program = body(f"return {DEPENDENT[what]}")
    for attempt in range(3):
        result = sandbox.validate(triplet(f"{program}\n# {attempt}"))
        assert result.status is Status.NONDETERMINISTIC, result.outputs


def test_the_number_of_the_process_is_refused_by_a_fresh_pool_too() -> None:
    """Where all guests count their children alike, two runs must not get the same number."""
    with SyncExecutor(workers=1, rules=OPEN_RULES, cache=False) as executor:
        for attempt in range(5):
            program = body("import os", f"return os.getpid() + {attempt}")
            result = executor.validate(triplet(program))
            assert result.status is Status.NONDETERMINISTIC, result.outputs


def test_a_random_digit_is_never_accepted(sandbox: SyncExecutor) -> None:
    coin = body("import secrets", "return secrets.randbelow(10)")
    verdicts = sandbox.validate_many(triplet(f"{coin}\n# {number}") for number in range(10))
    assert [each.valid for each in verdicts] == [False] * 10


def test_a_coin_is_hardly_ever_accepted(sandbox: SyncExecutor) -> None:
    """Eight runs of a coin agree once in 128 times."""
    coin = body("import secrets", "return secrets.choice([0, 1])")
    verdicts = sandbox.validate_many(triplet(f"{coin}\n# {number}") for number in range(30))
    assert sum(each.valid for each in verdicts) <= 4


def test_differences_are_told_where_they_first_are(sandbox: SyncExecutor) -> None:
    result = sandbox.validate(triplet(body("return [1, {'key': hash('a')}]")))
    assert result.status is Status.NONDETERMINISTIC
    assert "'key'" in result.detail


def test_state_between_calls_cannot_hide_or_fake_a_difference(sandbox: SyncExecutor) -> None:
    program = "state = []\ndef f(x):\n    state.append(x)\n    return len(state)"
    result = sandbox.validate(triplet(program, "1", "2", "3"))
    assert result.outputs == ("1", "1", "1")


def test_an_exception_of_changing_type_is_nondeterministic(sandbox: SyncExecutor) -> None:
    program = body("raise (KeyError if hash('b') % 2 else ValueError)(x)")
    seen = {sandbox.validate(triplet(program.replace("'b'", f"'b{n}'"))).status for n in range(12)}
    assert Status.NONDETERMINISTIC in seen
    assert seen <= {Status.NONDETERMINISTIC, Status.ERROR}

"""What is answered without a parser process is what the parser would answer."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from executor import Rules
from executor.guest import parser
from executor.pool.parse_cache import ParseCache
from executor.verification.prepare import argument_items, program_item, value_items
from executor.wire.frames import Parsed, ParseItem

PROGRAM = "def f(x):\n    return x"


class Parser:
    """The parser's own code, in this process, and a list of what it was asked."""

    def __init__(self) -> None:
        self.asked: list[ParseItem] = []

    async def __call__(self, items: Sequence[ParseItem]) -> list[Parsed]:
        self.asked += items
        return [
            Parsed(str(facts[0]), facts[1:], blobs) for facts, blobs in map(parser.answer, items)
        ]


@pytest.fixture
def asked() -> Parser:
    return Parser()


TEXTS = ["1", "[1, 2.5, 'a']", "1, 2", "{'a': [None, True]}", "", "1,", "'it''s'", "-0", "1e999"]


@pytest.mark.parametrize("text", TEXTS)
async def test_a_short_text_gets_the_parsers_answer(asked: Parser, text: str) -> None:
    items = [*argument_items([text]), *value_items([text])]
    assert await ParseCache(asked).parse(items) == await asked(items)


async def test_json_like_texts_are_not_asked_about(asked: Parser) -> None:
    await ParseCache(asked).parse([*argument_items(["1, 'a'"]), *value_items(["[1]"])])
    assert asked.asked == []


async def test_a_program_is_asked_about_once(asked: Parser) -> None:
    front = ParseCache(asked)
    item = program_item(PROGRAM, Rules())
    first, second = await front.parse([item]), await front.parse([item])
    assert first == second
    assert asked.asked == [item]


async def test_rules_that_ask_less_are_met_as_well(asked: Parser) -> None:
    front = ParseCache(asked)
    await front.parse([program_item(PROGRAM, Rules())])
    await front.parse([program_item(PROGRAM, Rules(banned_modules=(), min_parameters=0))])
    await front.parse([program_item(PROGRAM, None)])
    assert len(asked.asked) == 1


@pytest.mark.parametrize(
    "stricter",
    [
        Rules(banned_modules=("re",)),
        Rules(banned_keywords=("try",)),
        Rules(min_parameters=2),
        Rules(max_source_bytes=10),
        Rules(max_depth=2),
    ],
)
async def test_stricter_rules_are_asked_about_again(asked: Parser, stricter: Rules) -> None:
    front = ParseCache(asked)
    loose = Rules(banned_modules=(), min_parameters=0)
    await front.parse([program_item(PROGRAM, loose)])
    await front.parse([program_item(PROGRAM, stricter)])
    assert len(asked.asked) == 2


async def test_a_refused_program_is_asked_about_again_under_other_rules(asked: Parser) -> None:
    front = ParseCache(asked)
    source = f"import random\n{PROGRAM}"
    (refused,) = await front.parse([program_item(source, Rules())])
    (accepted,) = await front.parse([program_item(source, Rules(banned_modules=()))])
    assert (refused.outcome, accepted.outcome) == ("screened", "ok")


async def test_memory_is_bounded_and_the_newest_is_kept(asked: Parser) -> None:
    front = ParseCache(asked, max_bytes=40_000)
    items = [program_item(f"{PROGRAM}  # {number}", Rules()) for number in range(200)]
    for item in items:
        await front.parse([item])
    await front.parse([items[-1]])
    assert len(asked.asked) == 200
    await front.parse([items[0]])
    assert len(asked.asked) == 201


async def test_a_parser_that_fails_is_asked_again() -> None:
    answers = [Parsed("infra", ["no parser"], []), Parsed("ok", [[]], [b"code"])]

    async def failing_once(_items: Sequence[ParseItem]) -> list[Parsed]:
        return [answers.pop(0)]

    front = ParseCache(failing_once)
    item = program_item(PROGRAM, Rules())
    assert [(await front.parse([item]))[0].outcome for _ in range(3)] == ["infra", "ok", "ok"]

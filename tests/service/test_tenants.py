"""Callers that share a service: who is served next, what each may have, what is told of them."""

from __future__ import annotations

import asyncio
import random
import re
from collections import deque
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from executor.errors import ConfigurationError
from executor.service.errors import ApiError
from executor.service.http.auth import BearerAuth
from executor.service.settings import ServiceSettings
from executor.service.work.admission import Admission, Lane
from executor.service.work.tenants import ANYONE, Shared, Tenant, read_tenants
from tests.support.server import running

FLOOD, QUIET = Tenant(name="flood", weight=3, most=1), Tenant(name="quiet", weight=1, most=1)
GOOD = {"program": "def f(x):\n    return x", "inputs": ["1"]}
TOKENS = {name: f"the token of {name}" for name in ("trainer", "guest")}
FILE = f"""
[trainer]
token = "{TOKENS["trainer"]}"
weight = 3

[guest]
token = "{TOKENS["guest"]}"
most = 0.5
queue = 7
"""


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_places_that_come_free_go_by_weight() -> None:
    lane = Lane("verify", places=4, queue=100)
    held: deque[Tenant] = deque()

    async def call(tenant: Tenant) -> None:
        await lane.enter(background=False, tenant=tenant)
        held.append(tenant)

    for _ in range(4):
        await call(FLOOD)
    async with asyncio.TaskGroup() as group:
        for tenant in (FLOOD,) * 12 + (QUIET,) * 4:
            group.create_task(call(tenant))
        await settle()
        assert (lane.of(FLOOD), lane.of(QUIET)) == ((4, 12), (0, 4))
        order = []
        for _ in range(16):
            lane.leave(background=False, ran_s=0.0, tenant=held.popleft())
            await settle()
            order.append(held[-1].name)
    # Though twelve others came first.
    assert order == ["quiet", "flood", "flood", "flood"] * 4


async def test_no_tenant_has_more_than_its_quota() -> None:
    lane = Lane("verify", places=8, queue=2)
    small = Tenant(name="small", most=0.25)
    held = [await lane.enter(background=False, tenant=small) for _ in range(2)]
    waiting = [asyncio.create_task(lane.enter(background=False, tenant=small)) for _ in range(2)]
    await settle()
    assert (held, lane.of(small)) == ([0.0, 0.0], (2, 2))
    with pytest.raises(ApiError, match="2 calls are waiting already"):
        await lane.enter(background=False, tenant=small)
    assert await lane.enter(background=False, tenant=QUIET) == 0.0  # the others' places are free
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert lane.waiting == 0


async def test_lines_of_batches_of_one_do_not_keep_anothers_waiting() -> None:
    lane = Lane("verify", places=8, queue=2)
    tasks = [
        asyncio.create_task(lane.enter(background=True, tenant=Tenant(name="many")))
        for _ in range(10)
    ]
    await settle()
    assert lane.of(Tenant(name="many")) == (6, 4)
    other = asyncio.create_task(lane.enter(background=True, tenant=QUIET))
    await settle()
    lane.leave(background=True, ran_s=0.0, tenant=Tenant(name="many"))
    await settle()
    assert other.done()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_who_has_much_in_hand_counts_as_later() -> None:
    lane = Lane("verify", places=8, queue=2)
    for _ in range(6):
        await lane.enter(background=False, tenant=FLOOD)
    assert lane.yields_s(FLOOD) == 0.0  # nobody else was ever there
    await lane.enter(background=False, tenant=QUIET)
    assert lane.yields_s(QUIET) == 0.0
    assert lane.yields_s(FLOOD) > 0.0


async def test_batches_have_quotas_too() -> None:
    admission = Admission(verify_places=8, run_places=8, queue=8, batches=4)
    admission.closed = None
    half = Tenant(name="half", most=0.5)
    with admission.batch(half), admission.batch(half):
        with pytest.raises(ApiError, match="2 batches"), admission.batch(half):
            pass
        with admission.batch(QUIET):
            assert admission.batches == 3
    assert admission.batches == 0


def test_one_is_kept_for_each_tenant_that_has_none() -> None:
    first, second, third = (Tenant(name=name, most=1) for name in ("first", "second", "third"))
    shared = Shared(6, (first, second, third))
    assert [shared.take(first) for _ in range(6)] == [True] * 4 + [False] * 2
    assert [shared.take(second) for _ in range(2)] == [True, False]
    assert [shared.take(third) for _ in range(2)] == [True, False]
    shared.give(first)
    assert [shared.take(third), shared.take(first)] == [True, False]
    assert (shared.of(third), shared.taken) == (2, 6)


def test_more_tenants_than_there_is_of_something() -> None:
    tenants = tuple(Tenant(name=str(n)) for n in range(3))
    shared = Shared(2, tenants)
    assert [shared.take(tenant) for tenant in tenants] == [True, True, False]
    shared.give(tenants[0])
    assert [shared.take(tenants[1]), shared.take(tenants[2])] == [False, True]


@pytest.mark.parametrize("weight", [1e-308, 0.0, -1.0, float("nan"), float("inf")])
def test_weights_with_which_nothing_can_be_counted_are_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="weight"):
        Tenant(name="a", weight=weight)


@pytest.mark.parametrize("header", [
    b"", b"Bearer", b"Bearer ", b"Bearer \xff\xfe", b"Basic ", b"Basic !!", b"Basic dXNlcg==",
    b"Bearer the token of trainer and more", b"Token the token of trainer",
    b"Bearer the token of Trainer", b"Bearer the\ttoken of trainer",
    b"Bearer\0the token of trainer",
])  # fmt: skip
def test_a_header_without_a_known_token_is_nobodys(header: bytes) -> None:
    tenants = tuple(Tenant(name=name, token=SecretStr(token)) for name, token in TOKENS.items())
    auth = BearerAuth(ServiceSettings(tenants=tenants), frozenset())
    with pytest.raises(ApiError) as refused:
        auth.check("/v1/validate", [(b"authorization", header)])
    assert refused.value.status == 401
    assert TOKENS["trainer"] not in str(refused.value)
    good = f"Bearer {TOKENS['trainer']}".encode()
    assert auth.check("/v1/validate", [(b"authorization", good)]).name == "trainer"


async def test_cancelled_calls_of_all_tenants_leave_nothing_behind() -> None:
    """Cancelled while they wait, in the moment in which they are admitted, and while they run."""
    lane = Lane("verify", places=3, queue=1000)
    tenants = [Tenant(name=f"t{n}", weight=n + 1, most=0.7) for n in range(4)]
    chooser = random.Random(0)

    async def call(tenant: Tenant, background: bool) -> None:
        await lane.enter(background=background, tenant=tenant)
        try:
            for _ in range(chooser.randrange(4)):
                await asyncio.sleep(0)
        finally:
            lane.leave(background=background, ran_s=0.01, tenant=tenant)

    tasks = set()
    for _ in range(2000):
        running = call(chooser.choice(tenants), chooser.random() < 0.5)
        tasks.add(asyncio.create_task(running))
        if chooser.random() < 0.5:
            chooser.choice(sorted(tasks, key=id)).cancel()
        if chooser.random() < 0.3:
            await asyncio.sleep(0)
        assert lane.running <= 3
        assert all(lane.of(tenant)[0] <= 2 for tenant in tenants)
        tasks = {task for task in tasks if not task.done()}
    await asyncio.wait(tasks, timeout=20)
    assert all(task.done() for task in tasks)
    assert [lane.of(tenant) for tenant in tenants] == [(0, 0)] * 4
    assert (lane.running, lane.waiting, lane._background_running) == (0, 0, 0)


def test_a_file_names_tenants(tmp_path: Path) -> None:
    path = tmp_path / "tenants.toml"
    path.write_text(FILE)
    trainer, guest = read_tenants(str(path))
    assert (trainer.name, trainer.weight, trainer.queue) == ("trainer", 3.0, None)
    assert (guest.part(10), guest.queue, ANYONE.part(10)) == (5, 7, 10)
    assert TOKENS["guest"] not in repr(guest)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no tenant"),
        ("x", "is not TOML"),
        ("[a]\nweight = 1", r"\[a\] must be a table with a token"),
        ('[a]\ntoken = "short"', "at least 16 characters"),
        ('[a]\ntoken = " "', "at least 16 characters|is empty"),
        ('[a]\ntoken = "0123456789abcdef"\nweight = 0', "weight"),
        ('[a]\ntoken = "0123456789abcdef"\n[b]\ntoken = "0123456789abcdef"', "same token twice"),
    ],
)
def test_a_file_that_cannot_be_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "tenants.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=said):
        read_tenants(str(path))


def test_each_tenant_has_a_token_and_metrics_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "tenants.toml"
    path.write_text(FILE)
    with running("--tenants", str(path), "--workers", "2") as server:

        def call(token: str) -> httpx.Response:
            head = {"authorization": f"Bearer {token}"}
            return httpx.post(f"{server.url}/v1/validate", json=GOOD, headers=head, timeout=60)

        assert call("another").status_code == 401
        answers = [call(TOKENS[name]) for name in ("trainer", "guest", "guest")]
        assert [answer.json()["status"] for answer in answers] == ["ok"] * 3
        head = {"authorization": f"Bearer {TOKENS['trainer']}"}
        text = httpx.get(f"{server.url}/metrics", headers=head, timeout=60).text
    found = dict(re.findall(r'^executor_tenant_items_total\{tenant="(\w+)"\} (\S+)$', text, re.M))
    assert found == {"trainer": "1.0", "guest": "2.0"}
    assert 'executor_tenant_seconds_count{tenant="guest"} 2.0' in text

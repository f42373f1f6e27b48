"""Writes tell that they are under way, and that they are over, whatever comes of them."""

from __future__ import annotations

import asyncio
from time import perf_counter

import pytest

from proxy.gateway.settling import UNKNOWN_S
from tests.peers import Exchange, asked, ok
from tests.rig import USERS, Rig, running
from tests.waiting import until

PUT = b"PUT /api/users/42 HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 2\r\n\r\nhi"
POST = b"POST /api/users HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 2\r\n\r\nhi"


def settled(rig: Rig, entity: bytes = b"42", later_s: float = 0.0) -> bool:
    return rig.gateway.settling.is_settled("users", entity, perf_counter() + later_s)


def said_by_side(status: int) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status


@pytest.mark.parametrize(
    ("said", "longer_s"),
    [
        (ok(), 0.0),
        (said_by_side(404), 0.0),
        (said_by_side(500), 0.0),
        (said_by_side(502), UNKNOWN_S),
        (said_by_side(504), UNKNOWN_S),
        (b"", UNKNOWN_S),
    ],
    ids=["ok", "404", "500", "502", "504", "cut"],
)
async def test_a_write_unsettles_its_entity_while_it_is_under_way_and_a_while_longer(said, longer_s):
    async with running(USERS) as rig:
        held = asyncio.Event()

        async def waits(exchange: Exchange) -> None:
            await exchange.read_body()
            await held.wait()
            await exchange.send(said)
            if not said:
                exchange.cut()

        rig.legacy.script = waits
        answer = asyncio.create_task(asked(rig.port, PUT))
        await until(lambda: rig.legacy.seen)
        assert not settled(rig, later_s=1_000)
        assert settled(rig, b"43")

        held.set()
        await answer
        assert not settled(rig, later_s=longer_s)
        assert settled(rig, later_s=longer_s + 2.5)


async def test_a_create_unsettles_all_entities():
    async with running(USERS) as rig:
        await asked(rig.port, POST)

        assert not settled(rig, b"1")
        assert settled(rig, b"1", later_s=2.5)


async def test_a_write_unsettles_what_it_affects():
    importing = {**USERS, "component": "imports", "routes": {"POST /import": {"affects": ["users"]}}}
    async with running(USERS, importing) as rig:
        await asked(rig.port, b"POST /import HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 2\r\n\r\nhi")

        assert not settled(rig, b"1")
        assert settled(rig, b"1", later_s=2.5)


async def test_a_read_unsettles_nothing():
    async with running(USERS) as rig:
        await asked(rig.port, b"GET /api/users/42 HTTP/1.1\r\nHost: shop.test\r\n\r\n")

        assert settled(rig)


async def test_a_client_that_leaves_ends_its_write_when_its_outcome_is_known():
    async with running(USERS) as rig:
        held = asyncio.Event()

        async def waits(exchange: Exchange) -> None:
            await exchange.read_body()
            await held.wait()
            await exchange.send(ok())

        rig.legacy.script = waits
        client = await rig.connect()
        await client.send(PUT)
        await until(lambda: rig.legacy.seen)
        client.reset()
        await until(lambda: not rig.listener.clients)
        assert not settled(rig, later_s=1_000)

        held.set()
        await until(lambda: settled(rig, later_s=2.5))


async def never(exchange: Exchange) -> None:
    await exchange.read_body()
    await asyncio.Event().wait()


async def test_a_write_of_which_nobody_knows_whether_it_will_still_be_done_unsettles_its_entity_for_longer():
    async with running(USERS) as rig:
        rig.legacy.script = never
        answer = asyncio.create_task(asked(rig.port, PUT))
        await until(lambda: rig.legacy.seen)
        rig.pass_s(20)

        assert (await answer).status == 504
        assert not settled(rig, later_s=UNKNOWN_S - 1)
        assert settled(rig, b"43")
        assert settled(rig, later_s=UNKNOWN_S + 2.5)


async def test_a_write_that_broke_off_half_sent_unsettles_its_entity_for_longer():
    async with running(USERS) as rig:
        rig.legacy.script = never
        client = await rig.connect()
        await client.send(PUT.replace(b"Length: 2", b"Length: 900000"))
        await until(lambda: rig.legacy.seen)
        client.reset()
        await until(lambda: not rig.listener.clients)

        assert not settled(rig, later_s=UNKNOWN_S - 1)


async def test_a_write_that_was_never_sent_is_over_at_once():
    async with running(USERS) as rig:
        await rig.legacy.stop()

        assert (await asked(rig.port, PUT)).status == 502
        assert settled(rig, later_s=2.5)

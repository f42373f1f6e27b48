"""Writes tell that they are under way, and that they are over, whatever comes of them."""

from __future__ import annotations

import asyncio
from time import perf_counter

import pytest

from tests.peers import Exchange, asked, ok
from tests.rig import USERS, Rig, running
from tests.waiting import until

PUT = b"PUT /api/users/42 HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 2\r\n\r\nhi"
POST = b"POST /api/users HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 2\r\n\r\nhi"


def settled(rig: Rig, entity: bytes = b"42", later_s: float = 0.0) -> bool:
    return rig.gateway.settling.is_settled("users", entity, perf_counter() + later_s)


@pytest.mark.parametrize("said", [ok(), b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n", b""], ids=["ok", "500", "cut"])
async def test_a_write_unsettles_its_entity_while_it_is_under_way_and_a_while_longer(said):
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
        assert not settled(rig)
        assert settled(rig, later_s=2.5)


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

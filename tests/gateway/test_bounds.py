"""`timeouts.exchange_s`: an exchange that takes longer is ended, visibly, wherever it stands."""

from __future__ import annotations

import asyncio

import pytest

from proxy.core.rules import Side, Timeouts
from proxy.gateway.bounds import Bound
from proxy.wire.wheel import Wheel
from tests.peers import Exchange, answering
from tests.rig import USERS, Clock, running
from tests.waiting import until

GET = b"GET /api/users/42 HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /api/users HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
FIVE = Timeouts(exchange_s=5)


async def hanging(exchange: Exchange) -> None:
    await exchange.read_body()
    await asyncio.Event().wait()


def test_a_bound_tells_once_unless_it_is_lifted():
    class Told:
        expired_s: float = 0

        def expired(self, after_s: float) -> None:
            self.expired_s += after_s

    clock = Clock()
    wheel = Wheel(clock)
    kept, lifted = Told(), Told()
    Bound(kept.expired, wheel, 5)
    Bound(lifted.expired, wheel, 5).lift()
    for now in (4.9, 5.3, 20):
        clock.now = now
        wheel.turn()

    assert (kept.expired_s, lifted.expired_s) == (5, 0)


@pytest.mark.parametrize("request_", [GET, POST])
async def test_before_the_head_was_passed_on_it_is_504_and_nobody_stands_in(request_):
    async with running(timeouts=FIVE) as rig:
        rig.legacy.script = rig.modern.script = hanging
        client = await rig.connect()
        await client.send(request_)
        await until(lambda: rig.legacy.seen or rig.modern.seen)
        if request_ is GET:
            rig.pass_s(3.2)
            await until(lambda: rig.legacy.seen)
        rig.pass_s(5.3)
        answer = await client.answer()

        assert (answer.status, b"http_response_timeout" in answer.value(b"proxy-status")) == (504, True)
        assert answer.value(b"connection") is None
        assert [pool.connections for pool in rig.pools.values()] == [0, 0]
        assert len(rig.legacy.seen) == 1
        assert rig.count() == 1


async def test_a_real_answer_that_is_held_back_is_better_than_504():
    async with running(timeouts=FIVE) as rig:
        rig.modern.script = answering(b"HTTP/1.1 503 X\r\nContent-Length: 3\r\n\r\nbad")
        rig.legacy.script = hanging
        client = await rig.connect()
        await client.send(GET)
        await until(lambda: rig.legacy.seen)
        rig.pass_s(5.3)
        answer = await client.answer()
        assert (answer.status, answer.body) == (503, b"bad")


async def test_after_the_head_was_passed_on_the_connection_is_cut():
    async def trickling(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await asyncio.Event().wait()

    async with running({**USERS, "weight": 0.0}, timeouts=FIVE) as rig:
        rig.legacy.script = trickling
        client = await rig.connect()
        await client.send(GET)
        await client.reader.readuntil(b"hello\r\n")
        rig.pass_s(5.3)
        assert await client.rest() == b""
        await until(lambda: rig.pools[Side.LEGACY].connections == 0)
        assert [cells[5] for cells in rig.gateway.records.requests.values() if any(cells)] == [1]


async def test_a_client_that_takes_too_long_for_its_body_is_told_so():
    async with running(timeouts=FIVE) as rig:
        for framing, body in ((b"Content-Length: 5", b"hel"), (b"Transfer-Encoding: chunked", b"3\r\nhel\r\n")):
            client = await rig.connect()
            await client.send(b"POST /api/users HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n" + body)
            await until(lambda: any(each._exchange for each in rig.listener.clients))
            await until(lambda: any(each.due for each in rig.listener.clients))
            rig.pass_s(5.3)
            answer = await client.answer()
            assert (answer.status, answer.value(b"connection")) == (408, b"close")
            client.close()
            await until(lambda: not rig.listener.clients)


async def test_an_answer_in_time_lifts_it_and_the_next_request_has_its_own():
    async with running(timeouts=FIVE) as rig:
        client = await rig.connect()
        for _ in range(4):
            await client.send(GET)
            assert (await client.answer()).status == 200
            rig.pass_s(4)
        rig.modern.script = hanging
        await client.send(GET)
        await until(lambda: len(rig.modern.seen) == 5)
        rig.pass_s(2.5)
        rig.pass_s(0.2)
        assert rig.legacy.seen == []
        client.close()


async def test_a_write_whose_client_left_is_not_awaited_for_longer():
    async with running(timeouts=FIVE) as rig:
        rig.legacy.script = hanging
        client = await rig.connect()
        await client.send(POST)
        await until(lambda: rig.legacy.seen and rig.legacy.seen[0].body)
        client.reset()
        await until(lambda: not rig.listener.clients)
        assert rig.pools[Side.LEGACY].connections == 1
        rig.pass_s(5.3)
        assert rig.pools[Side.LEGACY].connections == 0 and rig.count(kind="write") == 1


async def test_a_tunnel_is_not_bounded_once_it_stands():
    async def echo(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
        while data := await exchange.reader.read(100):
            await exchange.send(data)

    async with running(timeouts=FIVE) as rig:
        rig.legacy.script = echo
        client = await rig.connect()
        await client.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"))
        assert (await client.answer()).status == 101
        rig.pass_s(3600)
        await client.send(b"hello")
        assert await client.reader.readexactly(5) == b"hello"
        client.close()


async def test_a_route_may_have_its_own():
    rules = {**USERS, "weight": 0.0, "routes": {"/api/users/{id}": {"timeouts": {"exchange_s": 2.0}}}}
    async with running(rules) as rig:
        rig.legacy.script = hanging
        client = await rig.connect()
        await client.send(GET)
        await until(lambda: rig.legacy.seen)
        rig.pass_s(2.3)
        assert (await client.answer()).status == 504

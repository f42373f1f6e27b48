"""The bound of a whole exchange: tells once, unless lifted; and what a client sees of it."""

from __future__ import annotations

import asyncio

from proxy.core.rules import Timeouts
from proxy.gateway.bounds import Bound
from proxy.wire.wheel import Wheel
from tests.peers import Exchange, ok
from tests.rig import Clock, running
from tests.waiting import until

GET = b"GET /api/users/42 HTTP/1.1\r\nHost: a\r\n\r\n"


class Slow:
    """An exchange that remembers when it was told."""

    def __init__(self) -> None:
        self.told: list[float] = []

    def expired(self, after_s: float) -> None:
        self.told.append(after_s)


def test_it_tells_once_when_the_time_is_over():
    clock, slow = Clock(), Slow()
    wheel = Wheel(clock)
    Bound(slow, wheel, 2.0)
    for now in (1.9, 2.3, 9.0):
        clock.now = now
        wheel.turn()

    assert slow.told == [2.0]


def test_once_lifted_it_tells_nobody():
    clock, slow = Clock(), Slow()
    wheel = Wheel(clock)
    Bound(slow, wheel, 2.0).lift()
    clock.now = 9.0
    wheel.turn()

    assert slow.told == []


async def test_an_exchange_that_takes_too_long_is_504_before_its_head_and_cut_after_it():
    release = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        if b"/1 " in exchange.line:
            await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 70_000)
        await release.wait()

    async with running(timeouts=Timeouts(exchange_s=2.0, head_s=60.0, head_with_fallback_s=60.0)) as rig:
        rig.modern.script = script
        silent, torn = await rig.connect(), await rig.connect()
        await silent.send(GET)
        await torn.send(GET.replace(b"/42", b"/1"))
        assert await torn.reader.readuntil(b"\r\n\r\n")
        await until(lambda: len(rig.modern.seen) == 2)
        rig.pass_s(2.5)

        assert (await silent.answer()).status == 504
        assert len(await torn.rest()) < 100_000
        release.set()


async def test_an_exchange_in_time_is_left_alone():
    async def script(exchange: Exchange) -> None:
        await exchange.send(ok(b"in time"))

    async with running(timeouts=Timeouts(exchange_s=2.0)) as rig:
        rig.modern.script = script
        client = await rig.connect()
        await client.send(GET)
        assert (await client.answer()).body == b"in time"
        rig.pass_s(5)
        await client.send(GET)
        assert (await client.answer()).body == b"in time"

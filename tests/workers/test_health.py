"""Health checks: what is asked, what counts as an answer, and what is told to the pool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from proxy.core.instances import Change, HealthCheck, Roster, Turn
from proxy.core.limits import PoolLimits, WireLimits
from proxy.wire.instances import Place
from proxy.wire.pool import Pool
from proxy.wire.tls import Trust
from proxy.wire.wheel import Wheel
from proxy.workers.health import check_message, keep_checking, outcome
from tests import pki
from tests.peers import Exchange, Side
from tests.rig import Clock
from tests.scarcity import no_descriptors
from tests.waiting import until
from tests.wire.told import GET, WAITS, Told, bench

RULES = HealthCheck(interval_s=0.01, timeout_s=0.3, unhealthy_threshold=2, healthy_threshold=2)


@asynccontextmanager
async def checked(
    *sides: Side, connections: int = 64, trust: Trust | None = None
) -> AsyncIterator[tuple[Pool, list[Change]]]:
    """Run checks of scripted instances, and give their pool and what it told."""
    for side in sides:
        await side.start()
    places = [Place("127.0.0.1", side.port, trust) for side in sides]
    told: list[Change] = []
    roster = Roster(len(places), checks=RULES)
    pool = Pool("modern", places, Wheel(Clock()), WireLimits(), PoolLimits(connections), roster, told.append)
    messages = [check_message("/up?x=1", str(place).encode(), b"x-key: 1\r\n") for place in places]
    task = asyncio.create_task(keep_checking(pool, messages, RULES))
    try:
        yield pool, told
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await pool.close()
        for side in sides:
            await side.stop()


def answering(*statuses: int) -> Side:
    """An instance that answers with these statuses, the last one from then on."""
    left = list(statuses)

    async def script(exchange: Exchange) -> None:
        status = left.pop(0) if len(left) > 1 else left[0]
        await exchange.send(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)

    return Side(script)


async def test_each_instance_is_asked_again_and_again_in_so_many_words():
    first, second = answering(200), answering(204)
    async with checked(first, second) as (_, told):
        await until(lambda: len(first.seen) > 3 and len(second.seen) > 3)

        assert first.seen[0].head == (
            b"GET /up?x=1 HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nconnection: close\r\n"
            b"user-agent: banyan-health-check\r\nx-key: 1\r\n\r\n" % first.port
        )
        assert told == []


def test_a_configured_user_agent_is_not_doubled():
    message = check_message("/", b"a", b"user-agent: probe\r\n")
    assert message == b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nuser-agent: probe\r\n\r\n"


async def test_an_instance_that_fails_is_left_out_and_taken_back():
    bad = answering(200, 503, 503, 200)
    async with checked(answering(200), bad) as (pool, told):
        await until(lambda: len(told) == 2)

        assert [(change.index, change.turn) for change in told] == [(1, Turn.UNHEALTHY), (1, Turn.HEALTHY)]
        assert told[0].why == "its health check fails: it answers 503"
        assert pool.roster.asked == (0, 1)


async def test_an_instance_that_is_not_there_fails_its_checks_and_is_taken_back_when_it_is():
    gone = answering(200)
    async with checked(answering(200), gone) as (pool, told):
        await until(lambda: len(gone.seen) > 1)
        await gone.stop()
        await until(lambda: pool.roster.asked == (0,))
        assert "Connect" in told[0].why or "refused" in told[0].why

        await gone.start(gone.port)
        await until(lambda: pool.roster.asked == (0, 1))


async def test_an_instance_that_does_not_answer_in_time_fails():
    async def hanging(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    async with checked(Side(hanging)) as (pool, told):
        await until(lambda: pool.roster.is_down)
        assert told[0].why == "its health check fails: no answer within 0.3 s"


async def test_a_check_needs_no_place_in_a_pool_that_is_full():
    async def hanging(exchange: Exchange) -> None:
        if exchange.line == b"GET / HTTP/1.1":
            await asyncio.Event().wait()
        await exchange.send(b"HTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n")

    side = Side(hanging)
    async with checked(side, connections=1) as (pool, told):
        pool.send(GET, Told(), WAITS)
        await until(lambda: len(side.seen) > 5)

        assert told == []
        assert pool.connections == 1


async def test_a_check_for_which_there_is_no_descriptor_says_nothing():
    async with bench() as pool:
        with no_descriptors():
            passed, _ = await outcome(pool.pool, GET, 5)
        assert passed is None
        assert (await outcome(pool.pool, GET, 5)) == (True, "it answers 200")


async def test_checks_speak_tls_where_the_instance_does():
    good, other = answering(200), answering(200)
    good.tls = other.tls = pki.serving()
    trust = pki.trust()
    async with checked(good, trust=trust) as (_, told):
        await until(lambda: len(good.seen) > 1)
        assert told == []
    async with checked(other, trust=replace(trust, server_name="other.test")) as (pool, told):
        await until(lambda: pool.roster.is_down)
        assert "Hostname mismatch" in told[0].why

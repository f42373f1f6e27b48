"""The client of the load, before sides that lie: what it calls answered is right, and what is wrong it sees."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.faults.load import Fate, Load, Outcome
from tests.faults.tokens import ID_FIELD, answer_body, answer_message, digest_of, request_of
from tests.peers import Exchange, Script, Side
from tests.waiting import until


@asynccontextmanager
async def loaded(script: Script, rate: float = 200.0) -> AsyncIterator[Load]:
    side = Side(script)
    load = Load(await side.start(), rate)
    try:
        yield load
    finally:
        await load.stop()
        await side.stop()


async def right(exchange: Exchange, number: int | None = None) -> bytes:
    method = exchange.line.split(b" ")[0].decode()
    digest = digest_of(await exchange.read_body())
    own = int(exchange.value(ID_FIELD) or b"0")
    message = answer_message(number or own, "modern", method, digest)
    return message.replace(b"content-type: text/plain", b"x-banyan-side: modern")


async def fates_of(script: Script) -> list[Outcome]:
    async with loaded(script) as load:
        load.start()
        await until(lambda: len(load.outcomes) >= 30, 20)
    assert len(load.outcomes) == load.sent
    return load.outcomes


async def test_right_answers_of_every_size_and_framing_are_answered():
    async def script(exchange: Exchange) -> None:
        await exchange.send(await right(exchange))

    outcomes = await fates_of(script)
    assert {each.fate for each in outcomes} == {Fate.ANSWERED}
    assert {each.side for each in outcomes} == {"modern"}


async def one(load: Load) -> Outcome:
    load.start()
    await until(lambda: load.outcomes, 20)
    return load.outcomes[0]


async def torn_within(exchange: Exchange) -> None:
    await exchange.send((await right(exchange))[:-10])
    exchange.writer.close()


async def short(exchange: Exchange) -> None:
    await right(exchange)
    await exchange.send(b"HTTP/1.1 200 X\r\ncontent-length: 5\r\n\r\nshort")


async def flipped(exchange: Exchange) -> None:
    message = await right(exchange)
    await exchange.send(message[:-1] + bytes((message[-1] ^ 1,)))


async def another_s(exchange: Exchange) -> None:
    own = int(exchange.value(ID_FIELD) or b"0")
    await exchange.send(await right(exchange, own + 20))


async def nothing(exchange: Exchange) -> None:
    await exchange.read_body()
    exchange.writer.close()


async def half_a_head(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200")
    exchange.writer.close()


async def problem(exchange: Exchange) -> None:
    await exchange.read_body()
    await exchange.send(b"HTTP/1.1 502 X\r\ncontent-type: application/problem+json\r\ncontent-length: 2\r\n\r\n{}")


@pytest.mark.parametrize(
    ("script", "fate"),
    [
        (torn_within, Fate.ABORTED), (short, Fate.TORN), (flipped, Fate.TORN), (another_s, Fate.CROSSED),
        (nothing, Fate.LOST), (half_a_head, Fate.ABORTED), (problem, Fate.REFUSED),
    ],
)  # fmt: skip
async def test_each_way_to_go_wrong_has_its_name(script, fate):
    async with loaded(script) as load:
        assert (await one(load)).fate is fate


async def test_nobody_who_listens_is_a_refusal():
    load = Load(1, 200)
    try:
        outcome = await one(load)
        assert (outcome.fate, outcome.status) == (Fate.REFUSED, 0)
    finally:
        await load.stop()


async def test_latency_counts_from_when_a_request_was_due_and_nothing_waits_for_another():
    released = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await released.wait()
        await exchange.send(await right(exchange))

    async with loaded(script, rate=500) as load:
        load.start()
        begun = time.monotonic()
        await until(lambda: load.sent >= 20, 20)
        assert not load.outcomes  # an open loop: 20 are under way at once
        held_s = time.monotonic() - begun
        released.set()
        await until(lambda: len(load.outcomes) >= 20, 20)
        first = min(load.outcomes, key=lambda each: each.request.number)
        assert first.latency_s >= held_s - 0.01


def test_requests_are_the_same_for_the_same_number_and_a_fifth_are_writes():
    requests = [request_of(number) for number in range(1, 2001)]
    assert requests[:50] == [request_of(number) for number in range(1, 51)]
    assert requests[0] != request_of(1, seed=9)
    assert 0.75 < sum(each.is_read for each in requests) / 2000 < 0.85
    assert {each.method for each in requests} == {"GET", "POST", "PUT"}
    assert any(b"chunked" in each.message for each in requests)


def test_no_two_answers_are_alike():
    bodies = {answer_body(number, side, "GET", "") for number in range(1, 100) for side in ("legacy", "modern")}
    assert len(bodies) == 198
    assert answer_body(1, "legacy", "POST", "a") != answer_body(1, "legacy", "POST", "b")

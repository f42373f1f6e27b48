"""Who is let in when there is no more room, and who gives way: never somebody who is being served."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from proxy.core.limits import WireLimits
from proxy.wire.guests import CONNECTIONS, LOOKED_AT_A_TICK, PER_ADDRESS, Guests, home_of
from proxy.wire.wheel import Wheel
from tests import pki
from tests.peers import RawClient
from tests.rig import Clock
from tests.waiting import until
from tests.wire.lodge import Door, Guest, door

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
TWO = WireLimits(connections=2)
TWO_EACH = WireLimits(connections_per_address=2)


def at_once(guest: Guest) -> None:
    guest.answer()


async def served(opened: Door) -> RawClient:
    """A client that has been answered and keeps its connection; a second has passed since."""
    client = await opened.connect()
    await client.send(GET)
    assert (await client.answer()).status == 200
    opened.pass_s(1)
    return client


async def is_turned_away(opened: Door) -> bool:
    """Whether a newcomer is closed without a byte."""
    before = len(opened.lodge.crowds)
    client = None
    with suppress(ConnectionError):
        client = await opened.connect()  # a TLS client sees it in its handshake
    await until(lambda: len(opened.lodge.crowds) > before)
    assert opened.lodge.crowds[-1][1]
    return client is None or await client.rest() == b""


@pytest.mark.parametrize("limits", [TWO, TWO_EACH])
@pytest.mark.parametrize("tls", [None, pki.own_context])
async def test_the_connection_that_has_been_idle_the_longest_gives_way(limits, tls):
    async with door(at_once, limits, tls=tls) as opened:
        if tls is not None:
            connect = lambda: RawClient.connect(opened.port, pki.trusting())  # noqa: E731
            opened.connect = connect  # type: ignore[method-assign]
        first, second = await served(opened), await served(opened)
        await first.send(GET)  # now the second one is the older of the two
        await first.answer()
        opened.pass_s(1)
        third = await served(opened)

        assert await second.rest() == b""
        await until(lambda: len(opened.listener.clients) == 2)
        for client in (first, third):
            await client.send(GET)
            assert (await client.answer()).status == 200
            client.close()
        assert opened.lodge.crowds == [(CONNECTIONS if limits is TWO else PER_ADDRESS, False)]


@pytest.mark.parametrize("limits", [TWO, TWO_EACH])
async def test_when_none_is_idle_the_newcomer_is_closed_without_a_byte(limits):
    async with door(at_once, limits) as opened:
        busy, partial = await served(opened), await served(opened)
        opened.lodge.on_open = None
        await busy.send(GET)
        await partial.send(GET[:20])
        await until(lambda: len(opened.guests) == 3 and any(each._partial for each in opened.listener.clients))

        assert await is_turned_away(opened)
        opened.guests[2].answer()
        assert (await busy.answer()).status == 200
        await partial.send(GET[20:])
        await until(lambda: len(opened.guests) == 4)
        opened.guests[3].answer()
        assert (await partial.answer()).status == 200
        assert opened.lodge.crowds == [(CONNECTIONS if limits is TWO else PER_ADDRESS, True)]
        for client in (busy, partial):
            client.close()


async def test_one_that_has_asked_nothing_yet_does_not_give_way():
    """Nobody repeats the first request of a connection."""
    async with door(at_once, TWO) as opened:
        clients = [await opened.connect(), await opened.connect()]
        await until(lambda: len(opened.listener.clients) == 2)

        assert await is_turned_away(opened)
        for client in clients:
            await client.send(GET)
            assert (await client.answer()).status == 200
            client.close()


async def test_one_whose_next_request_is_there_and_only_unread_does_not_give_way():
    async with door(at_once, WireLimits(connections=1)) as opened:
        client = await served(opened)
        guests = opened.listener._guests
        os.write(client.writer.get_extra_info("socket").fileno(), GET)
        assert not guests.admit(next(iter(opened.listener.clients)), 1)  # no turn of the loop since: it is not read
        assert (await client.answer()).status == 200
        client.close()


async def test_one_that_has_not_taken_its_answer_yet_does_not_give_way():
    body = b"x" * 250_000  # less than what would block it
    async with door(lambda guest: guest.answer(body), WireLimits(connections=1)) as opened:
        client = await opened.connect()
        await until(lambda: opened.listener.clients)
        opened.client.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(GET)
        await until(lambda: opened.guests)
        assert opened.client.is_idle() and opened.client.transport.get_write_buffer_size()

        assert await is_turned_away(opened)
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert (await client.answer()).body == body
        client.close()


async def test_one_that_was_found_idle_and_was_used_since_is_not_the_next_to_go():
    async with door(at_once, WireLimits(connections=3)) as opened:
        first, second, third = [await served(opened) for _ in range(3)]
        fourth = await served(opened)
        assert await first.rest() == b""
        await second.send(GET)
        await second.answer()
        opened.pass_s(1)
        fifth = await served(opened)

        assert await third.rest() == b""
        for client in (second, fourth, fifth):
            await client.send(GET)
            assert (await client.answer()).status == 200
            client.close()


async def test_a_burst_of_newcomers_takes_one_place_each():
    async with door(at_once, WireLimits(connections=20)) as opened:
        old = [await served(opened) for _ in range(20)]
        new = await asyncio.gather(*(opened.connect() for _ in range(15)))
        for client in old[:15]:
            assert await client.rest() == b""
        await until(lambda: len(opened.listener.clients) == 20)
        for client in (*old[15:], *new):
            await client.send(GET)
            assert (await client.answer()).status == 200
            client.close()


async def test_trusted_peers_are_not_counted_by_address_but_among_all():
    async with door(at_once, WireLimits(connections=3, connections_per_address=1)) as opened:
        opened.lodge.trusted = True
        clients = [await opened.connect() for _ in range(3)]
        await until(lambda: len(opened.listener.clients) == 3)
        assert opened.lodge.crowds == []
        assert await is_turned_away(opened)
        assert opened.lodge.crowds == [(CONNECTIONS, True)]
        for client in clients:
            client.close()


async def test_who_has_left_is_counted_no_more():
    async with door(at_once, WireLimits(connections=2, connections_per_address=1)) as opened:
        for _ in range(5):
            client = await opened.connect()
            await until(lambda: opened.listener.clients)
            client.close()
            await until(lambda: not opened.listener.clients)
        assert opened.lodge.crowds == []
        assert (opened.listener._guests._home, opened.listener._guests._at) == ({}, {})


async def test_handshakes_that_do_not_come_to_an_end_count_too():
    async with door(at_once, WireLimits(connections=9, connections_per_address=2), tls=pki.own_context) as opened:
        silent = [await asyncio.open_connection("127.0.0.1", opened.port) for _ in range(2)]
        await until(lambda: len(opened.listener.arrivals) == 2)
        reader, writer = await asyncio.open_connection("127.0.0.1", opened.port)
        assert await reader.read() == b""
        writer.close()
        assert opened.lodge.crowds == [(PER_ADDRESS, True)]

        for _, writer in silent:
            writer.transport.abort()
        await until(lambda: not opened.listener.arrivals)
        client = await RawClient.connect(opened.port, pki.trusting())
        await client.send(GET)
        assert (await client.answer()).status == 200
        client.close()


@dataclass(eq=False)
class Standing:
    """A client that counts how often it was looked at."""

    due: int = 5
    looked_at: int = 0
    trusted: bool = False
    address: bytes = b"192.0.2.1"

    def is_idle(self) -> bool:
        self.looked_at += 1
        return False


@dataclass
class Crowd:
    guests: Guests = field(init=False)
    wheel: Wheel = field(init=False)
    clock: Clock = field(default_factory=Clock)
    clients: list[Standing] = field(default_factory=lambda: [Standing() for _ in range(1000)])

    def __post_init__(self) -> None:
        self.wheel = Wheel(self.clock)
        limits = WireLimits(connections=1000)
        self.guests = Guests(self.clients, limits, self.wheel, lambda key, away: None)  # type: ignore[arg-type]


def test_a_flood_of_newcomers_does_not_have_everybody_looked_at_each_time():
    crowd = Crowd()
    for _ in range(500):
        assert not crowd.guests.admit(Standing(), 1000)  # type: ignore[arg-type]
    looks = sum(each.looked_at for each in crowd.clients)
    assert looks <= LOOKED_AT_A_TICK + 1000

    crowd.clock.now += 0.2
    crowd.wheel.turn()
    crowd.guests.admit(Standing(), 1000)  # type: ignore[arg-type]
    assert sum(each.looked_at for each in crowd.clients) == looks + 1000


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b"192.0.2.1", b"192.0.2.1", True),
        (b"192.0.2.1", b"192.0.2.2", False),
        (b"::ffff:192.0.2.1", b"192.0.2.1", True),
        (b"::ffff:192.0.2.1", b"::ffff:192.0.2.2", False),
        (b"2001:db8::1", b"2001:db8::ffff:1", True),
        (b"2001:db8::1", b"2001:db8:0:1::1", False),
        (b"fe80::1%eth0", b"fe80::2", True),
        (b"what", b"what", True),
    ],
)
def test_whom_an_address_is_counted_as(one, other, same):
    assert (home_of(one) == home_of(other)) is same

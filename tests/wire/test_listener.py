"""The data port: who is on the books, and how a process takes its leave."""

from __future__ import annotations

import asyncio
import socket

import pytest

from proxy.core.limits import ClientDeadlines, WireLimits
from proxy.wire.client import LAST_CALL_S
from proxy.wire.listener import Listener, PortTaken, bound
from proxy.wire.wheel import Wheel
from tests.peers import RawClient
from tests.rig import Clock
from tests.waiting import until
from tests.wire.lodge import Door, Guest, Lodge, door

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


async def guest_of(opened: Door, number: int = 0) -> Guest:
    await until(lambda: len(opened.guests) > number)
    return opened.guests[number]


def test_a_port_that_somebody_has_is_said_to_be_taken():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(PortTaken) as taken:
            bound("127.0.0.1", other.getsockname()[1])
        assert str(other.getsockname()[1]) in str(taken.value)


async def test_a_port_that_was_taken_between_binding_and_listening():
    first = bound("127.0.0.1", 0)
    port = first.getsockname()[1]
    second = socket.socket()
    second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    second.bind(("127.0.0.1", port))
    second.listen()
    listener = Listener(Lodge(), Wheel(Clock()), WireLimits(), ClientDeadlines())
    with pytest.raises(PortTaken):
        await listener.start(first)
    first.close()
    second.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
async def test_it_listens_on_either_family(host):
    try:
        sock = bound(host, 0)
    except OSError:
        if host != "::1":
            raise
        return  # a machine without IPv6
    lodge = Lodge(on_open=lambda guest: guest.answer())
    listener = Listener(lodge, Wheel(Clock()), WireLimits(), ClientDeadlines())
    port = await listener.start(sock)
    reader, writer = await asyncio.open_connection(host, port)
    client = RawClient(reader, writer)
    await client.send(GET)
    assert (await client.answer()).status == 200
    assert lodge.guests[0].client.address in (b"127.0.0.1", b"::1")
    client.close()
    await listener.drain(1)


async def test_connections_are_counted_while_they_stand():
    async with door() as opened:
        clients = [await opened.connect() for _ in range(5)]
        await until(lambda: len(opened.listener.clients) == 5)
        for client in clients[:3]:
            client.reset()
        await until(lambda: len(opened.listener.clients) == 2)
        assert opened.listener.accepted == 5


async def test_a_connection_is_trusted_when_its_peer_is():
    async with door() as opened:
        opened.lodge.trusted = True
        client = await opened.connect()
        await until(lambda: opened.listener.clients)
        assert opened.client.trusted
        client.close()


async def test_a_drain_lets_what_is_under_way_end_and_gives_idle_ones_a_last_call():
    async with door() as opened:
        busy, idle = await opened.connect(), await opened.connect()
        await busy.send(GET)
        guest = await guest_of(opened)
        await until(lambda: len(opened.listener.clients) == 2)
        draining = asyncio.ensure_future(opened.listener.drain(30))
        await asyncio.sleep(0)
        with pytest.raises(OSError):
            await opened.connect()

        opened.lodge.on_open = lambda guest: guest.answer()
        await idle.send(GET)
        last = await idle.answer()
        assert (last.status, last.value(b"connection")) == (200, b"close")
        guest.answer()
        assert (await busy.answer()).value(b"connection") == b"close"
        idle.close()
        busy.close()
        assert await draining == 0


async def test_an_answer_that_began_before_the_drain_ends_its_connection_soon_after():
    async with door() as opened:
        client = await opened.connect()
        await client.send(GET)
        guest = await guest_of(opened)
        guest.begin(b"a")
        draining = asyncio.ensure_future(opened.listener.drain(30))
        await asyncio.sleep(0)
        guest.client.more([b"b"], True)
        assert (await client.answer()).body == b"ab"
        opened.pass_s(LAST_CALL_S + 0.3)
        assert await client.rest() == b""
        assert await draining == 0


async def test_a_drain_waits_for_uploads_and_tunnels_and_cuts_them_in_the_end():
    async with door() as opened:
        upload, tunnel, whole = [await opened.connect() for _ in range(3)]
        await upload.send(CHUNKED + b"2\r\nhe\r\n")
        await tunnel.send(GET)
        await whole.send(CHUNKED + b"2\r\nhe\r\n")
        await until(lambda: len(opened.guests) == 3)
        uploading, tunnelling, ending = opened.guests
        tunnelling.client.switch(b"", b"", b"")
        draining = asyncio.ensure_future(opened.listener.drain(0.5))
        await whole.send(b"3\r\nllo\r\n0\r\n\r\n")
        await until(lambda: ending.ended)
        ending.answer(b"whole")
        assert (await whole.answer()).body == b"whole"
        whole.close()

        assert await draining == 2
        await until(lambda: uploading.left and tunnelling.left)
        assert not uploading.ended


async def test_a_drain_of_nothing_is_over_at_once():
    async with door() as opened:
        assert await opened.listener.drain(30) == 0
        assert await opened.listener.drain(30) == 0

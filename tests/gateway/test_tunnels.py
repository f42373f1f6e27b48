"""Tunnels: bytes both ways after the side's 101, and an ordinary answer when it does not switch."""

from __future__ import annotations

import asyncio

from proxy.core.rules import Side
from tests.peers import Exchange, answering, ok
from tests.rig import running
from tests.waiting import until

ASK = (
    b"GET /api/users/live HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: x\r\n\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: y\r\n\r\n"
)


async def echo(exchange: Exchange) -> None:
    await exchange.send(SWITCH + b"hello")
    while data := await exchange.reader.read(65_536):
        await exchange.send(data)
    exchange.writer.close()


async def test_a_tunnel_carries_bytes_both_ways_and_ends_on_both_sides():
    async with running() as rig:
        rig.legacy.script = echo
        client = await rig.connect()
        await client.send(ASK)
        answer = await client.answer()
        assert answer.status == 101
        assert answer.value(b"upgrade") == b"websocket"
        assert answer.value(b"sec-websocket-accept") == b"y"
        assert answer.value(b"x-banyan-plan") == b"v1;tunnel"
        assert await client.reader.readexactly(5) == b"hello"

        data = bytes(range(256)) * 8192
        sending = asyncio.ensure_future(client.send(data))
        assert await client.reader.readexactly(len(data)) == data
        await sending
        client.writer.write_eof()
        assert await client.rest() == b""
        await until(lambda: rig.legacy.open_now == 0 and not rig.listener.clients)
        seen = rig.legacy.seen[0]
        assert (seen.value(b"upgrade"), seen.value(b"connection")) == (b"websocket", b"upgrade")
        assert rig.count(kind="tunnel") == 1


async def test_bytes_sent_behind_the_request_reach_the_side_only_after_its_101():
    async with running() as rig:
        rig.legacy.script = echo
        client = await rig.connect()
        await client.send(ASK + b"early")
        assert (await client.answer()).status == 101
        assert await client.reader.readexactly(10) == b"helloearly"
        client.close()


async def test_a_side_that_does_not_switch_is_answered_like_any_other():
    async with running() as rig:
        rig.legacy.script = answering(ok(b"no tunnel"))
        client = await rig.connect()
        await client.send(ASK)
        assert (await client.answer()).body == b"no tunnel"
        await client.send(ASK)
        assert (await client.answer()).body == b"no tunnel"


async def test_a_101_nobody_asked_for_is_a_bad_gateway():
    async with running() as rig:
        rig.modern.script = rig.legacy.script = answering(SWITCH)
        client = await rig.connect()
        await client.send(b"GET /api/users/1 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer()).status == 502


async def test_h2c_is_served_as_1_1_and_an_upgrade_with_a_body_is_refused():
    async with running() as rig:
        client = await rig.connect()
        await client.send(
            b"GET /api/users/1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
            b"HTTP2-Settings: AA\r\n\r\n"
        )
        assert (await client.answer()).status == 200
        assert rig.modern.seen[0].value(b"http2-settings") is None

        await client.send(ASK.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\nhi"))
        assert (await client.answer()).status == 400


async def test_a_client_that_is_gone_takes_its_tunnel_with_it():
    async with running() as rig:
        rig.legacy.script = echo
        client = await rig.connect()
        await client.send(ASK)
        await client.answer()
        client.close()
        await until(lambda: rig.pools[Side.LEGACY].connections == 0)

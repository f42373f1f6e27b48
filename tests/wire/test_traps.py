"""
The traps of parsers, each by its name: what llhttp and its kin get wrong in the hands of a proxy, and we must not.

Heads are read by a reader that ends where the head ends, bodies by counting or by our own decoder; here is shown that
none of the habits of a stream parser is left.
"""

from __future__ import annotations

import asyncio
import os

import pytest

from proxy.core.limits import WireLimits
from proxy.core.rules import Side
from tests.peers import Exchange, answering, asked, ok, open_connection
from tests.rig import running
from tests.waiting import until
from tests.wire.test_cases import GOOD, LEGACY_ONLY, chunks, get, post, seen_by

SWITCH = b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
ASK = get(b"Connection: Upgrade", b"Upgrade: websocket")


@pytest.mark.parametrize(
    ("framing", "connections"),
    [(b"Content-Length: 0", 1), (b"Content-Length: 5", 4), (b"Transfer-Encoding: chunked", 4)],
)
async def test_an_answer_to_head_ends_with_its_head_and_the_next_one_is_read_from_its_start(framing, connections):
    async with running(LEGACY_ONLY) as rig:
        client = await rig.connect()
        for _ in range(3):
            rig.legacy.script = answering(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % framing)
            await client.send(get(method=b"HEAD"))
            assert (await client.answer(head_only=True)).status == 200
            rig.legacy.script = answering(ok(b"whole"))
            await client.send(GOOD)
            assert (await client.answer()).body == b"whole"
        assert rig.legacy.connections == connections


async def test_any_byte_behind_an_answer_to_head_drops_the_connection():
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
        assert (await asked(rig.port, get(method=b"HEAD"), head_only=True)).status == 200
        await until(lambda: rig.pools[Side.LEGACY].connections == 0)


async def test_a_101_ends_with_its_head_and_not_one_byte_behind_it_is_lost_or_read_as_http():
    tail = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil\x00\n"

    async def script(exchange: Exchange) -> None:
        await exchange.send(SWITCH + tail)
        exchange.body = await exchange.reader.readexactly(len(GOOD) * 2)
        exchange.writer.close()

    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = script
        client = await rig.connect()
        await client.send(ASK + GOOD)
        assert (await client.answer()).status == 101
        assert await client.reader.readexactly(len(tail)) == tail
        await client.send(GOOD)
        await until(lambda: rig.legacy.seen[0].body == GOOD * 2)
        assert len(rig.legacy.seen) == 1


async def test_an_upgrade_that_is_not_taken_leaves_what_stands_behind_it_a_request():
    """A parser that stops at an upgrade forgets the offset; a request behind it would be lost or taken for a body."""
    async with running(LEGACY_ONLY) as rig:
        client = await rig.connect()
        await client.send(ASK + GOOD + ASK + GOOD)
        assert [(await client.answer()).status for _ in range(4)] == [200] * 4
        requests, behind = seen_by(rig.legacy)
        assert [bool(each.values(b"upgrade")) for each in requests] == [True, False] * 2 and behind == b""


async def test_trailers_are_never_fields_of_this_message_nor_of_the_next():
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = answering(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Late: 1\r\nSet-Cookie: a\r\n\r\n"
        )
        client = await rig.connect()
        for _ in range(2):
            await client.send(chunks(b"5\r\nhello\r\n0\r\nX-User-Id: 7\r\nX-Late: 1\r\n\r\n"))
            answer = await client.answer()
            assert (answer.body, answer.value(b"x-late"), answer.value(b"set-cookie")) == (b"ok", None, None)
        for each in seen_by(rig.legacy)[0]:
            assert each.values(b"x-late") == [] and each.values(b"x-user-id") == []
        assert rig.legacy.connections == 1


async def test_a_body_that_ends_with_its_connection_needs_no_finish():
    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n\r\n" + body)
        exchange.writer.close()

    body = os.urandom(300_000)
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = script
        assert (await asked(rig.port, get())).body == body


async def test_there_is_no_pause_to_miss_when_much_comes_at_once():
    """A parser cannot stop within what it was fed: bodies never pass through one, whatever the size of a read."""
    body = os.urandom(1 << 20) * 8
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = answering(ok(body))
        reader, writer = await open_connection(rig.port, limit=1024)
        writer.write(get())
        await until(lambda: any(line.paused for line in rig.pools[Side.LEGACY].instances[0].lines))
        (client,) = rig.listener.clients
        assert client.transport.get_write_buffer_size() < 1 << 20
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(len(body)) == body
        writer.close()


async def test_a_fault_within_one_message_poisons_no_other():
    """One reader for all heads: what one of them was left with must not be seen by the next."""
    async with running(LEGACY_ONLY) as rig:
        for bad in (
            get(b"X-Left: 1", b"X: \x00"),
            get(b"X-Left: 1", b"Host: b"),
            get(b"X-Left: 1", b"Content-Length: x"),
        ):
            assert (await asked(rig.port, bad)).status == 400
            assert (await asked(rig.port, GOOD)).status == 200
        assert all(not each.values(b"x-left") for each in seen_by(rig.legacy)[0])


async def test_there_are_limits_where_a_parser_has_none():
    limits = WireLimits(head_bytes=4096, line_bytes=1024, head_fields=20, target_bytes=512)
    async with running(LEGACY_ONLY, limits=limits) as rig:
        for request, status in (
            (get(b"X: " + b"y" * 2000), 431),
            (get(*[b"X: y"] * 30), 431),
            (get(*[b"X: " + b"y" * 500] * 10), 431),
            (get(target=b"/" + b"y" * 600), 414),
            (chunks(b"5;" + b"y" * 5000 + b"\r\nhello\r\n0\r\n\r\n"), 400),
            (chunks(b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 5000 + b"\r\n"), 400),
        ):
            assert (await asked(rig.port, request)).status == status
        rig.legacy.script = answering(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n")
        assert (await asked(rig.port, GOOD)).status == 502


@pytest.mark.parametrize(
    ("sent", "complete"),
    [
        (b"Content-Length: 5\r\n\r\nhello", True),
        (b"Content-Length: 5\r\n\r\nhell", False),
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", True),
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", False),
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", False),
    ],
)
async def test_our_own_count_tells_a_whole_message_from_a_torn_one_both_ways(sent, complete):
    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n" + sent)
        exchange.writer.close()

    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = script
        client = await rig.connect()
        await client.send(get())
        if complete:
            assert (await client.answer()).body == b"hello"
        else:
            with pytest.raises(asyncio.IncompleteReadError):
                await client.answer()

        rig.legacy.script = answering(ok())
        rig.legacy.raw.clear()
        client = await rig.connect()
        await client.send(post()[:-2] + sent)
        client.writer.write_eof()
        await client.rest()
        assert [each.body for each in seen_by(rig.legacy)[0]] == ([b"hello"] if complete else [])

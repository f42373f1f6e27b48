"""
Answers, case by case: what a lying, sloppy or dying side sends, what the client gets, and what becomes of both.

Table F of the cases that a gateway must get right, for a side that nobody can stand in for.
"""

from __future__ import annotations

import asyncio
import re

import pytest

from proxy.core.rules import Side
from tests.peers import Exchange, RawClient, Script, answering, ok
from tests.rig import Rig, running
from tests.waiting import until
from tests.wire.test_cases import GOOD, LEGACY_ONLY, get, post

GET = get()
WAYS = pytest.mark.parametrize("way", ["whole", "byte by byte"])


def sending(data: bytes, way: str = "whole", *, close: bool = False) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.read_body()
        if way == "whole" or len(data) > 2000:
            await exchange.send(data)
        else:
            for byte in data:
                await exchange.send(bytes((byte,)))
                await asyncio.sleep(0)
        if close:
            exchange.writer.close()

    return script


async def next_is_good(rig: Rig, client: RawClient, connections: int) -> None:
    """The client's connection goes on; the side is asked over this many connections in all."""
    rig.legacy.script = answering(ok(b"good"))
    await client.send(GOOD)
    answer = await client.answer()
    assert (answer.status, answer.body) == (200, b"good")
    assert rig.legacy.connections == connections


BAD = {
    "77 length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "77 chunked and length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "78 two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "78 two equal lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "78 list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
    "78 negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    "78 length too large": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
    "79 gzip": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
    "79 gzip, chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "79 chunked in 1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "85 101 nobody asked for": b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "86 NUL": b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 2\r\n\r\nok",
    "86 CR": b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: evil\r\nContent-Length: 2\r\n\r\nok",
    "86 LF": b"HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: evil\r\nContent-Length: 2\r\n\r\nok",
    "87 folded": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    "88 garbage": b"garbage\r\n\r\n",
    "88 status 99": b"HTTP/1.1 99 X\r\nContent-Length: 0\r\n\r\n",
    "88 status 600": b"HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n",
    "88 status 2000": b"HTTP/1.1 2000 X\r\nContent-Length: 0\r\n\r\n",
    "88 HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "95 a field of 100 KB": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
    "95 500 fields": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
}


@WAYS
@pytest.mark.parametrize("case", BAD)
async def test_an_answer_that_must_not_pass_is_502_and_costs_the_side_its_connection(case, way):
    if case == "bad chunk" and way != "whole":
        return  # its head was passed on by then: see the torn ones
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = sending(BAD[case], way)
        client = await rig.connect()
        await client.send(GET)
        answer = await client.answer()

        assert answer.status == 502
        assert answer.value(b"content-type") == b"application/problem+json"
        assert b"evil" not in answer.raw
        await until(lambda: rig.pools[Side.LEGACY].connections == 0)
        await next_is_good(rig, client, connections=2)


GOOD_ANSWERS = {
    # what the side sends: status, body, fields that must or must not be there, connections in all after the next one
    "80 204 with a length": (b"HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\n", 204, b"", {b"content-length": None}, 2),
    "80 204 with a body": (b"HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\nhello", 204, b"", {b"content-length": None}, 2),
    "80 204 and chunked": (
        b"HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        204,
        b"",
        {b"transfer-encoding": None},
        2,
    ),
    "81 304 with a length": (b"HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n", 304, b"", {b"content-length": b"5"}, 2),
    "84 100 nobody waits for": (b"HTTP/1.1 100 Continue\r\n\r\n" + ok(b"yes"), 200, b"yes", {}, 1),
    "93 bytes behind": (ok(b"hello") + b"!", 200, b"hello", {}, 2),
    "93 an answer behind": (ok(b"hello") + ok(b"evil"), 200, b"hello", {}, 2),
    "94 hop-by-hop": (
        ok(b"hello", b"Connection: X-Internal\r\nX-Internal: 1\r\nKeep-Alive: timeout=5\r\nX-Outer: 2\r\n"),
        200,
        b"hello",
        {b"x-internal": None, b"keep-alive": None, b"connection": None, b"x-outer": b"2"},
        1,
    ),
    "94 what only we say": (
        ok(b"hello", b"X-Banyan-Side: modern\r\nX-Banyan-Fallback: no\r\n"),
        200,
        b"hello",
        {b"x-banyan-side": b"legacy", b"x-banyan-fallback": None},
        1,
    ),
    "trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;a\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
        200,
        b"hello",
        {b"x-sum": None, b"trailer": None},
        1,
    ),
    "a trailer no request might have": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 1\r\n\r\n",
        200,
        b"hello",
        {},
        1,
    ),
    "says close": (ok(b"hello", b"Connection: close\r\n"), 200, b"hello", {b"connection": None}, 2),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello", {}, 2),
    "205": (b"HTTP/1.1 205 X\r\nContent-Length: 0\r\n\r\n", 205, b"", {b"content-length": b"0"}, 1),
    "500": (b"HTTP/1.1 500 X\r\nContent-Length: 3\r\n\r\nbad", 500, b"bad", {}, 1),
    "599": (b"HTTP/1.1 599 X\r\nContent-Length: 3\r\n\r\nbad", 599, b"bad", {}, 1),
}


@WAYS
@pytest.mark.parametrize("case", GOOD_ANSWERS)
async def test_an_answer_that_passes_and_what_it_costs(case, way):
    data, status, body, fields, connections = GOOD_ANSWERS[case]
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = sending(data, way)
        client = await rig.connect()
        await client.send(GET)
        answer = await client.answer()

        assert (answer.status, answer.body) == (status, body)
        assert {name: answer.value(name) for name in fields} == fields
        if connections == 2:
            await until(lambda: rig.pools[Side.LEGACY].connections == 0)
        rig.pass_s(0.5)
        await next_is_good(rig, client, connections)


@WAYS
async def test_82_an_answer_to_head_has_no_body_whatever_follows(way):
    for data, connections in (
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 1),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 2),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 2),
        (ok(b"hello"), 2),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 2),
    ):
        async with running(LEGACY_ONLY) as rig:
            rig.legacy.script = sending(data, way)
            client = await rig.connect()
            await client.send(get(method=b"HEAD"))
            answer = await client.answer(head_only=True)
            assert (answer.status, answer.value(b"transfer-encoding")) == (200, None)
            if connections == 2:
                await until(lambda rig=rig: rig.pools[Side.LEGACY].connections == 0)
            rig.pass_s(0.5)
            await next_is_good(rig, client, connections)


@WAYS
async def test_83_early_hints_pass_in_order_and_not_to_1_0(way):
    data = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + ok(b"yes")
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = sending(data, way)
        client = await rig.connect()
        await client.send(GET)
        first, second, last = [await client.answer() for _ in range(3)]
        assert first.raw == b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
        assert (second.raw, last.body) == (b"HTTP/1.1 102 Processing\r\n\r\n", b"yes")
        await client.send(b"GET /api/users/1 HTTP/1.0\r\nHost: a\r\n\r\n")
        assert (await client.answer()).body == b"yes"


TORN = {
    "89 length": (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nHELLO", b"HELLO"),
    "89 length, nothing of it": (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b""),
    "90 no last chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHELLO\r\n", b"5\r\nHELLO\r\n"),
    "90 half a chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nHELLO", b"5\r\nHELLO\r\n"),
    "90 half a last chunk": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHELLO\r\n0\r\n",
        b"5\r\nHELLO\r\n",
    ),
}


@WAYS
@pytest.mark.parametrize("case", TORN)
async def test_112_a_torn_answer_ends_the_connection_within_its_frame(case, way):
    data, received = TORN[case]
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = sending(data, way, close=True)
        client = await rig.connect()
        await client.send(GET + GOOD)
        head = await client.reader.readuntil(b"\r\n\r\n")
        rest = await client.rest()

        assert head.startswith(b"HTTP/1.1 200 ")
        assert re.sub(rb"[0-9a-f]+\r\n|\r\n", b"", rest) == re.sub(rb"[0-9a-f]+\r\n|\r\n", b"", received)
        assert b"HTTP/1.1" not in rest and not rest.endswith(b"0\r\n\r\n")
        assert rig.pools[Side.LEGACY].connections == 0
        assert len(rig.legacy.seen) == 1


@WAYS
async def test_112_a_bad_chunk_behind_good_ones_ends_the_connection_within_its_frame(way):
    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await passed.wait()
        await exchange.send(b"0x5\r\nworld\r\n0\r\n\r\n")

    passed = asyncio.Event()
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = script
        client = await rig.connect()
        await client.send(GET)
        assert b"chunked" in await client.reader.readuntil(b"\r\n\r\n")
        assert await client.reader.readexactly(10) == b"5\r\nhello\r\n"
        passed.set()
        assert await client.rest() == b""


async def test_91_a_side_that_closes_without_a_byte():
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = sending(b"", close=True)
        client = await rig.connect()
        for request in (GET, post(b"Content-Length: 2", body=b"hi")):
            rig.legacy.seen.clear()
            await client.send(request)
            assert (await client.answer()).status == 502
            assert len(rig.legacy.seen) == 1


@WAYS
async def test_92_an_answer_that_ends_with_its_connection_is_framed_anew(way):
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = sending(b"HTTP/1.1 200 OK\r\n\r\nhello", way, close=True)
        client = await rig.connect()
        await client.send(GET)
        answer = await client.answer()
        assert (answer.body, answer.value(b"transfer-encoding")) == (b"hello", b"chunked")
        await next_is_good(rig, client, connections=2)


async def test_92_to_a_1_0_client_it_ends_with_its_connection_too_and_a_torn_one_is_a_reset():
    async def cut(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await passed.wait()
        exchange.cut()

    passed = asyncio.Event()
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = sending(b"HTTP/1.1 200 OK\r\n\r\nhello", close=True)
        client = await rig.connect()
        await client.send(b"GET /api/users/1 HTTP/1.0\r\n\r\n")
        assert (await client.rest()).endswith(b"\r\n\r\nhello")

        rig.legacy.script = cut
        client = await rig.connect()
        await client.send(b"GET /api/users/1 HTTP/1.0\r\n\r\n")
        await client.reader.readuntil(b"\r\n\r\nhello")
        passed.set()
        with pytest.raises(ConnectionResetError):
            await client.reader.read()


@pytest.mark.parametrize("framing", [b"Content-Length: 1000000", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("close", [True, False])
async def test_96_and_107_an_answer_before_the_body_ended_is_relayed_at_once_and_ends_the_connection(framing, close):
    async def script(exchange: Exchange) -> None:
        await exchange.reader.readexactly(10)
        await exchange.send(b"HTTP/1.1 413 No\r\nContent-Length: 3\r\n\r\nno!")
        if close:
            exchange.writer.close()

    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = script
        client = await rig.connect()
        block = b"x" * 5000 if b"Length" in framing else b"1388\r\n" + b"x" * 5000 + b"\r\n"
        await client.send(post(framing) + block)
        answer = await client.answer()
        assert (answer.status, answer.body, answer.value(b"connection")) == (413, b"no!", b"close")
        await client.send(block * 20 + GOOD)
        assert await client.rest() == b""
        await until(lambda: rig.legacy.open_now == 0)
        assert len(rig.legacy.seen) == 1
        rig.legacy.script = answering(ok())
        assert (await (fresh := await rig.connect()).send(GOOD)) is None
        assert (await fresh.answer()).status == 200

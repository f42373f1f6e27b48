"""
Cases that only time shows: slow heads, slow bodies, slow readers, half-closed clients; and many connections at random.

Time is stepped by the wheel's clock.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import re
from contextlib import suppress

import pytest

from proxy.core.rules import Side
from tests.peers import Exchange, answering, ok, open_connection
from tests.rig import running
from tests.waiting import until
from tests.wire import grammar
from tests.wire.test_cases import BODY, BROKEN_BODIES, GOOD, LEGACY_ONLY, REFUSED, chunks, get, post, seen_by


async def endless(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await exchange.send(b"10000\r\n" + b"x" * 65_536 + b"\r\n")


async def test_97_a_head_that_dribbles_is_408_and_no_side_hears_of_it():
    async with running(LEGACY_ONLY) as rig:
        client = await rig.connect()
        await client.send(b"GET /api/users HTTP/1.1\r\nHost: a\r\n")
        await until(lambda: any(each._partial for each in rig.listener.clients))
        (connection,) = rig.listener.clients
        for n in range(4):
            await client.send(b"X-%d: y\r\n" % n)
            await until(lambda n=n: b"X-%d" % n in connection._partial.held)
            rig.pass_s(2)
        rig.pass_s(2.3)
        answer = await client.answer()
        assert (answer.status, answer.value(b"connection")) == (408, b"close")
        assert dict(rig.gateway.records.refused.items()) == {"head_timeout": 1}
        assert rig.legacy.raw == []


async def test_98_who_connects_and_says_nothing_is_let_go():
    async with running(LEGACY_ONLY) as rig:
        client = await rig.connect()
        await until(lambda: rig.listener.clients)
        rig.pass_s(10.3)
        assert await client.rest() == b""
        await until(lambda: not rig.listener.clients)


@pytest.mark.parametrize(
    ("framing", "part", "reaches"),
    [
        (b"Content-Length: 5", b"hel", False),
        (b"Content-Length: 70000", b"hel", True),
        (b"Transfer-Encoding: chunked", b"3\r\nhel\r\n", True),
    ],
)
async def test_99_a_body_that_stands_still_is_408_and_torn_for_the_side(framing, part, reaches):
    async with running(LEGACY_ONLY) as rig:
        client = await rig.connect()
        await client.send(post(framing, body=part))
        await until(lambda: any(each._body_left for each in rig.listener.clients))
        if reaches:
            await until(lambda: rig.legacy.raw and b"hel" in rig.legacy.raw[0])
        rig.pass_s(29)
        assert rig.pools[Side.LEGACY].connections == reaches
        rig.pass_s(1.3)
        answer = await client.answer()
        assert (answer.status, answer.value(b"connection")) == (408, b"close")
        await until(lambda: rig.legacy.open_now == 0)
        assert seen_by(rig.legacy)[0] == []


async def test_100_a_reader_that_takes_nothing_frees_the_side_in_the_end():
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = endless
        _, writer = await open_connection(rig.port, limit=1024)
        writer.write(get())
        await until(lambda: any(line.paused for line in rig.pools[Side.LEGACY].instances[0].lines))
        (client,) = rig.listener.clients
        assert client.transport.get_write_buffer_size() < 1 << 20
        for _ in range(3):  # the kernel may still take a little
            rig.pass_s(61)
        await until(lambda: rig.legacy.open_now == 0 and not rig.listener.clients)
        writer.close()


async def test_100_what_such_a_reader_did_not_take_is_not_left_to_the_kernel_for_minutes():
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = answering(ok(b"x" * 20_000_000))
        reader, writer = await open_connection(rig.port, limit=1024)
        writer.write(get())
        await until(lambda: any(line.paused for line in rig.pools[Side.LEGACY].instances[0].lines))
        for _ in range(3):
            rig.pass_s(61)
        await until(lambda: not rig.listener.clients)
        with pytest.raises(ConnectionResetError):  # an orderly end would come behind megabytes that nobody wants
            while await reader.read(65_536):
                pass
        writer.close()


async def test_103_a_script_that_half_closes_is_answered_also_when_that_takes_longer_than_a_second():
    async def slowly(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(30):
            await step.wait()
            step.clear()
            await exchange.send(b"1\r\nx\r\n")
        await exchange.send(b"0\r\n\r\n")

    step = asyncio.Event()
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = slowly
        client = await rig.connect()
        await client.send(get())
        client.writer.write_eof()
        await client.reader.readuntil(b"\r\n\r\n")
        for _ in range(30):
            step.set()
            assert await client.reader.readexactly(6) == b"1\r\nx\r\n"
            rig.pass_s(0.8)
        assert await client.rest() == b"0\r\n\r\n"


@pytest.mark.parametrize("kind", ["read", "write"])
async def test_103_a_half_closed_client_that_gets_nothing_is_taken_for_gone(kind):
    async def hanging(exchange: Exchange) -> None:
        await exchange.read_body()
        await release.wait()
        await exchange.send(ok())

    release = asyncio.Event()
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = hanging
        client = await rig.connect()
        await client.send(get() if kind == "read" else post(b"Content-Length: 2", body=b"hi"))
        await until(lambda: rig.legacy.seen)
        client.writer.write_eof()
        await until(lambda: any(each._eof for each in rig.listener.clients))
        rig.pass_s(1.3)
        await until(lambda: not rig.listener.clients)
        assert rig.pools[Side.LEGACY].connections == (kind == "write")  # what was sent is awaited
        release.set()
        await until(lambda: rig.count(kind=kind) == 1)


async def test_112_a_half_closed_1_0_client_whose_time_is_over_sees_a_reset_and_no_end_of_the_body():
    async def stopping(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await asyncio.Event().wait()

    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = stopping
        client = await rig.connect()
        await client.send(b"GET /api/users/1 HTTP/1.0\r\n\r\n")
        await client.reader.readuntil(b"\r\n\r\nhello")
        client.writer.write_eof()
        await until(lambda: any(each._eof for each in rig.listener.clients))
        rig.pass_s(1.3)
        with pytest.raises(ConnectionResetError):
            await client.reader.read()


@pytest.mark.parametrize("by", ["time", "drain"])
async def test_112_a_1_0_client_that_reads_too_slowly_sees_a_reset_and_no_end_of_the_body(by):
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = endless
        reader, writer = await open_connection(rig.port, limit=1024)
        writer.write(b"GET /api/users/1 HTTP/1.0\r\n\r\n")
        await until(lambda: any(line.paused for line in rig.pools[Side.LEGACY].instances[0].lines))
        if by == "drain":
            await rig.listener.drain(0)
        else:
            for _ in range(3):  # the kernel may still take a little
                rig.pass_s(61)
        await until(lambda: not rig.listener.clients)
        with pytest.raises(ConnectionResetError):
            while await reader.read(65_536):
                pass
        writer.close()


# At random


SEEDS = [
    *(request for request, _ in REFUSED.values() if len(request) < 1000),
    *(request for request, _ in BODY.values()),
    *(chunks(body) for body in BROKEN_BODIES.values() if len(body) < 1000),
    GOOD, get(method=b"HEAD"), post(b"Content-Length: 5", body=b"hello"), chunks(b"5\r\nhello\r\n0\r\n\r\n"),
]  # fmt: skip
ANSWERS = {b"%d" % status for status in (100, 200, 204, 400, 405, 408, 414, 417, 431, 501, 505, 508)}
BYTES = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b"0", b"5", b"f", b";", b"\r\n\r\n",
    b"GET /api/users/x HTTP/1.1\r\nHost: a\r\n\r\n",
]  # fmt: skip


def conversation(chance: random.Random) -> bytes:
    """Return a few requests behind each other, with a few bytes changed."""
    data = b"".join(chance.choice(SEEDS) for _ in range(chance.randrange(1, 5)))
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(data) + 1)
        data = data[:at] + chance.choice((b"", *BYTES)) + data[at + chance.randrange(3) :]
    return data


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_comes_the_side_sees_whole_requests_and_the_client_their_answers_in_order(seed):
    """What a stricter reader finds in the side's bytes are exactly the requests that were answered, in their order."""

    async def echo(exchange: Exchange) -> None:
        await exchange.read_body()
        body = b"" if exchange.line.startswith(b"HEAD") else exchange.line.split()[1]
        await exchange.send(b"HTTP/1.1 200 OK\r\nX-Target: %b\r\nContent-Length: %d\r\n\r\n%b" % (
            exchange.line.split()[1], len(body), body,
        ))  # fmt: skip

    chance = random.Random(seed)
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = echo
        good = await rig.connect()
        for _ in range(40):
            rig.legacy.raw.clear()
            await rig.pools[Side.LEGACY].close()
            data = conversation(chance)
            client = await rig.connect()
            cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(4)))
            with suppress(ConnectionError):
                edges = [0, *cuts, len(data)]
                await client.send(*(data[start:end] for start, end in itertools.pairwise(edges)))
                client.writer.write_eof()
            received = await client.rest()
            client.close()

            answered = re.findall(rb"(?i)\nx-target: (.*?)\r\n", received)
            requests, _ = seen_by(rig.legacy)
            assert [each.target for each in requests][: len(answered)] == answered, data
            assert len(requests) - len(answered) <= 1, data  # the last one's client may have been refused meanwhile
            heads = re.findall(rb"HTTP/1\.1 (\d{3})", received)
            assert set(heads) <= {
                b"100",
                b"200",
                b"204",
                b"400",
                b"405",
                b"408",
                b"414",
                b"417",
                b"431",
                b"501",
                b"505",
                b"508",
            }, data
            await good.send(GOOD)
            assert (await good.answer()).body == b"/api/users/good"


async def test_answers_at_random_never_reach_a_client_as_two_status_lines():
    """Whatever a side sends, a client gets one head for its request, or a cut; and the next client its own answer."""
    chance = random.Random(11)
    parts = [
        ok(b"hello"), b"HTTP/1.1 200 OK\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n",
        b"hello", b"5\r\nhello\r\n", b"0\r\n\r\n", b"\n", b"\0", b"HTTP/1.1 204 X\r\n\r\n", b"HTTP/1.1 103 X\r\n\r\n",
        b"Connection: close\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n", b"5;a\r\n",
        b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\n\r\n",
    ]  # fmt: skip

    async def script(exchange: Exchange) -> None:
        if b"good" in exchange.line:
            await exchange.send(ok(exchange.line.split()[1]))
            return
        await exchange.send(b"HTTP/1.1 200 OK\r\n" * chance.randrange(2))
        for _ in range(chance.randrange(1, 6)):
            await exchange.send(chance.choice(parts))
            await asyncio.sleep(0)
        exchange.writer.close()

    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = script
        good = await rig.connect()
        for n in range(300):
            client = await rig.connect()
            await client.send(get(b"Connection: close", target=b"/api/users/%d" % n))
            with suppress(asyncio.IncompleteReadError):  # cut
                while (await client.answer()).status < 200:
                    pass
                assert await client.rest() == b""
            client.close()
            await good.send(get(target=b"/api/users/good%d" % n))
            answer = await good.answer()
            assert answer.body == b"/api/users/good%d" % n


def test_the_stricter_reader_is_strict():
    for bad in (b"GET / HTTP/1.1\nHost: a\r\n\r\n", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
        with pytest.raises(AssertionError):
            grammar.requests(bad)
    whole = post(b"Content-Length: 2", body=b"hi") + chunks(b"2\r\nhi\r\n0\r\n\r\n")
    assert [each.body for each in grammar.requests(whole)[0]] == [b"hi", b"hi"]
    assert grammar.requests(whole[:-1])[0][1:] == [] and answering(b"")

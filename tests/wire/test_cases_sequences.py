"""
Sequences on one connection and over one pool: whatever one client or one side does, nobody gets another's bytes.

Requests behind refused ones, behind early answers and bodies; sides that send more than was asked; clients that leave.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket

import pytest

from proxy.core.limits import WireLimits
from proxy.core.rules import Side, Timeouts
from proxy.wire.pool import Opening
from tests.peers import Exchange, RawClient, answering, ok
from tests.rig import USERS, point, running
from tests.scarcity import fill_up
from tests.waiting import until
from tests.wire.test_cases import GOOD, LEGACY_ONLY, chunks, get, post, seen_by

FIND = {**USERS, "routes": {"/api/users": {}, "/api/users/{id}": {}, "POST /rpc/find": {"kind": "read"}}}


async def echo(exchange: Exchange) -> None:
    """Answer with the target and the body that were asked."""
    body = await exchange.read_body()
    await exchange.send(ok(exchange.line.split()[1] + b"|" + body))


async def asks(client: RawClient, target: bytes) -> None:
    await client.send(get(target=target))
    answer = await client.answer()
    assert (answer.status, answer.body) == (200, target + b"|")


# What stands behind something


@pytest.mark.parametrize(
    "first",
    [
        get(b"Content-Length: %d" % len(GOOD)) + GOOD,
        post(b"Content-Length: %d" % len(GOOD), body=GOOD),
        chunks(b"%x\r\n%b\r\n0\r\n\r\n" % (len(GOOD), GOOD)),
        chunks(b"5;a\r\nhello\r\n0\r\nX: y\r\n\r\n"),
        post(b"Content-Length: 0"),
        get(method=b"OPTIONS"),
        post(b"Content-Length: 100000", body=b"GET / HTTP/1.1\r\n" * 6250),
    ],
    ids=["GET body", "POST body", "chunked body", "chunked", "no body", "OPTIONS", "long body"],
)
@pytest.mark.parametrize("cut", [1, 50, 100_000_000])
async def test_a_body_is_a_body_and_what_follows_is_the_next_request(first, cut):
    data = first + get(target=b"/api/users/next")
    if len(data) > 10_000 and cut == 1:
        cut = 1000
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = echo
        client = await rig.connect()
        await client.send(*(data[at : at + cut] for at in range(0, len(data), cut)))
        assert (await client.answer()).status == 200
        assert (await client.answer()).body == b"/api/users/next|"
        requests, behind = seen_by(rig.legacy)
        assert len(requests) == 2 and behind == b""


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537])
async def test_around_the_limit_of_what_is_kept_the_next_request_is_still_the_next(size):
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = echo
        client = await rig.connect()
        body = os.urandom(size)
        await client.send(post(b"Content-Length: %d" % size, body=body) + get(target=b"/api/users/next") * 3)
        assert (await client.answer()).body == b"/api/users|" + body
        for _ in range(3):
            assert (await client.answer()).body == b"/api/users/next|"


async def test_a_client_that_pipelines_while_its_upload_is_paused_gets_all_its_answers():
    release = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await release.wait()
        await echo(exchange)

    body = os.urandom(8 << 20)
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = slow
        client = await rig.connect()
        data = post(b"Content-Length: %d" % len(body), body=body) + get(target=b"/api/users/next") * 3000
        sending = asyncio.ensure_future(client.send(data))
        await until(lambda: any(each.paused for each in rig.listener.clients))
        release.set()
        assert (await client.answer()).body == b"/api/users|" + body
        for _ in range(3000):
            assert (await client.answer()).body == b"/api/users/next|"
        await sending


# A side that sends more than was asked


async def test_a_second_answer_behind_the_first_is_nobody_s():
    """However late it comes: at once, in a segment of its own, or when the connection has been idle for long."""
    late = asyncio.Event()

    async def twice(exchange: Exchange) -> None:
        if exchange.connection == 0:
            await exchange.send(ok(exchange.line.split()[1] + b"|"))
            await late.wait()
            await exchange.send(ok(b"evil"))
        else:
            await echo(exchange)

    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = twice
        first, second = await rig.connect(), await rig.connect()
        await asks(first, b"/api/users/1")
        late.set()
        await until(lambda: rig.pools[Side.LEGACY].connections == 0)
        await asks(second, b"/api/users/2")
        await asks(first, b"/api/users/3")


async def test_a_second_answer_that_waits_in_the_socket_is_nobody_s():
    """Not heard yet when the next request comes: it must not be taken for that one's answer."""
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = echo
        first, second = await rig.connect(), await rig.connect()
        for n in range(20):
            await asks(first, b"/api/users/%d" % n)
            await second.send(get(target=b"/api/users/other")[:-2])
            await until(lambda: any(each._partial for each in rig.listener.clients))
            number = rig.legacy.seen[-1].connection
            second.writer.write(b"\r\n")
            writer = rig.legacy.seen[-1].writer
            os.write(writer.get_extra_info("socket").fileno(), ok(b"evil"))
            answer = await second.answer()
            assert answer.body == b"/api/users/other|"
            assert rig.legacy.seen[-1].connection != number


async def test_answers_of_a_lying_side_never_reach_a_good_client():
    """
    Good and hostile exchanges share one pool; each good answer is its own request's.

    No lie is cut exactly between two answers: the first is then whole and right, and if the connection has been taken
    for the next request when the second comes, it is that one's answer by all that HTTP/1.1 lets anybody see.
    """
    chance = random.Random(7)
    lies = [
        ok(b"evil") + ok(b"evil"),
        ok(b"evil", b"Connection: close\r\n") + b"junk",
        b"HTTP/1.1 204 X\r\nContent-Length: 60\r\n\r\n" + ok(b"evil"),
        b"HTTP/1.1 304 X\r\nContent-Length: 60\r\n\r\n" + ok(b"evil"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n" + ok(b"evil"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 70\r\n\r\n" + ok(b"evil"),
        b"HTTP/1.1 103 X\r\n\r\n" + ok(b"evil") + ok(b"evil"),
        b"evil\r\n\r\n" + ok(b"evil"),
    ]

    async def script(exchange: Exchange) -> None:
        if exchange.line.split()[1].startswith(b"/api/users/lie"):
            lie = chance.choice(lies)
            cut = chance.choice([at for at in range(len(lie)) if lie[at:] != ok(b"evil")])
            await exchange.send(lie[:cut])
            await asyncio.sleep(0)
            await exchange.send(lie[cut:])
        else:
            await echo(exchange)

    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = script

        async def good(name: int) -> None:
            client = await rig.connect()
            for n in range(40):
                await asks(client, b"/api/users/good-%d-%d" % (name, n))

        async def hostile(name: int) -> None:
            for n in range(25):
                client = await rig.connect()
                await client.send(get(target=b"/api/users/lie-%d-%d" % (name, n)))
                await asyncio.sleep(0)
                if n % 3:
                    await client.reader.read(1)
                client.close()

        await asyncio.gather(*(good(n) for n in range(6)), *(hostile(n) for n in range(6)))


async def test_requests_of_a_hostile_client_never_become_another_s():
    hostile = [
        post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + get(target=b"/evil")),
        chunks(b"0\r\n\r\n").replace(b"\r\n\r\n", b"\r\n\n\r\n", 1) + get(target=b"/evil"),
        post(b"Content-Length: 5\r", body=b"hello" + get(target=b"/evil")),
        get(b"Content-Length: %d" % len(GOOD)) + get(target=b"/evil-body"),
        chunks(b"5\r\nhello\r\n0\r\n" + get(target=b"/evil")),
        post(b"Transfer_Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n" + get(target=b"/next")),
    ]
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = echo
        good = await rig.connect()
        for n, data in enumerate(hostile * 3):
            client = await rig.connect()
            await client.send(data)
            await asks(good, b"/api/users/%d" % n)
            client.close()
        targets = {each.target for each in seen_by(rig.legacy)[0]}
        assert not any(target.startswith(b"/evil") for target in targets)


# Clients that leave


@pytest.mark.parametrize("framing", [b"Content-Length: 5000", b"Transfer-Encoding: chunked"])
async def test_the_body_of_a_request_that_is_refused_is_no_request_when_its_client_has_left(framing):
    """The refusal cannot be written any more, so there is no connection to linger on: its body is dropped anyway."""

    async def late(exchange: Exchange) -> None:
        await until(lambda: any(each._eof for each in rig.listener.clients))
        await echo(exchange)

    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = late
        client = await rig.connect()
        await client.send(get() + post(b"Via: 1.1 banyan", framing, body=get(target=b"/evil") * 3))
        await until(lambda: any(each._pending for each in rig.listener.clients))
        client.close()
        await until(lambda: not rig.listener.clients)
        rig.legacy.script = echo
        await asks(await rig.connect(), b"/api/users/2")
        assert [each.target for each in seen_by(rig.legacy)[0]] == [b"/api/users/1", b"/api/users/2"]


async def test_104_a_client_that_leaves_before_its_body_is_whole_is_never_heard_of():
    async with running(LEGACY_ONLY) as rig:
        client = await rig.connect()
        await client.send(post(b"Content-Length: 5", body=b"hell"))
        await until(lambda: any(each._body_left for each in rig.listener.clients))
        client.reset()
        await until(lambda: not rig.listener.clients)
        assert rig.legacy.raw == [] and rig.count() == 1


@pytest.mark.parametrize("request_", [get(), post(b"Content-Length: 2", body=b"hi")], ids=["read", "write"])
async def test_104_a_client_that_leaves_while_a_connection_is_opened_sends_nothing(request_):
    with socket.socket() as full:
        fill = fill_up(full)
        async with running(LEGACY_ONLY) as rig:
            point(rig.pools[Side.LEGACY], full.getsockname())
            client = await rig.connect()
            await client.send(request_)
            await until(lambda: rig.pools[Side.LEGACY].connections)
            client.reset()
            await until(lambda: not rig.listener.clients and not rig.pools[Side.LEGACY].connections)
            assert rig.count() == 1
        for sock in fill:
            sock.close()


async def test_105_a_client_that_leaves_within_an_answer_takes_the_side_s_connection_with_it():
    async def endless(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await exchange.send(b"5\r\nhello\r\n")
            await asyncio.sleep(0)

    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = endless
        client = await rig.connect()
        await client.send(get())
        await client.reader.readuntil(b"hello")
        client.reset()
        await until(lambda: rig.legacy.open_now == 0)
        assert rig.pools[Side.LEGACY].connections == 0


@pytest.mark.parametrize("framing", [b"Content-Length: 100000", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("how", ["close", "reset", "half"])
async def test_106_a_client_that_leaves_within_its_body_leaves_the_side_a_torn_request(framing, how):
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = echo
        client = await rig.connect()
        await client.send(post(framing, body=b"5\r\nhello\r\n"))
        await until(lambda: rig.legacy.raw and b"hello" in rig.legacy.raw[0])
        {"close": client.close, "reset": client.reset, "half": client.writer.write_eof}[how]()
        await until(lambda: rig.legacy.open_now == 0)
        requests, behind = seen_by(rig.legacy)
        assert requests == [] and behind
        assert rig.modern.raw == []


async def test_a_write_is_awaited_when_its_client_leaves_and_a_stream_of_events_is_not():
    release = asyncio.Event()
    stream = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def script(exchange: Exchange) -> None:
        await exchange.read_body()
        if early:
            await exchange.send(stream + b"5\r\ndata:\r\n")
        await release.wait()
        await exchange.send(stream + b"5\r\ndata:\r\n" if not early else b"5\r\ndata:\r\n")
        await exchange.reader.read()

    for early in (True, False):
        release.clear()
        async with running(LEGACY_ONLY) as rig:
            rig.legacy.script = script
            client = await rig.connect()
            await client.send(post(b"Content-Length: 2", body=b"hi"))
            await until(lambda rig=rig: rig.legacy.raw and rig.legacy.raw[0].endswith(b"hi"))
            if early:
                await client.reader.readuntil(b"data:")
            client.reset()
            await until(lambda rig=rig: not rig.listener.clients)
            assert early or rig.pools[Side.LEGACY].connections == 1
            release.set()
            await until(lambda rig=rig: rig.pools[Side.LEGACY].connections == 0 and rig.count(kind="write") == 1)


# Pressure both ways


async def test_while_a_connection_is_opened_an_upload_waits_instead_of_piling_up():
    with socket.socket() as full:
        fill = fill_up(full)
        async with running(LEGACY_ONLY) as rig:
            point(rig.pools[Side.LEGACY], full.getsockname())
            client = await rig.connect()
            block = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
            sending = asyncio.ensure_future(client.send(chunks(block * 1000)))
            await until(lambda: any(each.paused for each in rig.listener.clients))
            (connection,) = rig.listener.clients
            line = connection._exchange._line  # type: ignore[union-attr]
            assert isinstance(line, Opening)
            assert sum(map(len, line._kept)) < 2 * 262_144
            for _ in range(2):  # nothing was sent: the same side is asked once more
                assert connection.paused
                rig.pass_s(1.3)
            await until(lambda: connection._exchange is None)
            sending.cancel()
            assert (await client.answer()).status == 502
        for sock in fill:
            sock.close()


@pytest.mark.parametrize("framing", ["counted", "chunked"])
@pytest.mark.parametrize("kind", ["write", "read"])
async def test_a_long_body_of_which_nothing_was_sent_is_sent_all_the_same(framing, kind):
    """Connecting failed: a write goes to the same side once more, a read to the other one, however long it is."""
    body = os.urandom(200_000)
    target = b"/api/users" if kind == "write" else b"/rpc/find"
    request = (
        post(b"Content-Length: 200000", body=body, target=target)
        if framing == "counted"
        else chunks(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)).replace(b"/api/users", target, 1)
    )
    first = Side.LEGACY if kind == "write" else Side.MODERN
    with socket.socket() as full:
        fill = fill_up(full)
        async with running(FIND) as rig:
            rig.legacy.script = echo
            pool = rig.pools[first]
            address = point(pool, full.getsockname())
            client = await rig.connect()
            sending = asyncio.ensure_future(client.send(request))
            await until(lambda: any(each.paused for each in rig.listener.clients))
            point(pool, address)
            rig.pass_s(1.3)
            answer = await client.answer()
            await sending
            assert (answer.status, answer.body) == (200, target + b"|" + body)
            assert answer.value(b"x-banyan-fallback") == (b"modern;connect" if kind == "read" else None)
            assert len(rig.legacy.seen) == 1 and rig.modern.seen == []
            assert rig.gateway.records.unbuffered.items() == [("users", 1)]
        for sock in fill:
            sock.close()


async def test_a_side_that_takes_nothing_stops_the_upload_and_costs_no_memory():
    async def deaf(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = deaf
        client = await rig.connect()
        block = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
        sending = asyncio.ensure_future(client.send(chunks(block * 4000)))
        await until(lambda: any(line.blocked for line in rig.pools[Side.LEGACY].instances[0].lines))
        (line,) = rig.pools[Side.LEGACY].instances[0].lines
        await until(lambda: all(each.paused for each in rig.listener.clients))
        assert line.transport.get_write_buffer_size() < 1 << 20
        rig.pass_s(16)
        sending.cancel()
        assert (await client.answer()).status == 504


@pytest.mark.parametrize("reused", [False, True], ids=["fresh line", "pooled line"])
async def test_an_upload_that_was_paused_goes_on_to_the_side_that_stands_in(reused):
    """The first side stops reading and dies: the client, paused on its behalf, must be heard again."""

    async def dying(exchange: Exchange) -> None:
        await until(lambda: any(each.paused for each in rig.listener.clients))
        exchange.cut()

    limits = WireLimits(body_buffer_bytes=1 << 30)
    async with running(FIND, limits=limits) as rig:
        object.__setattr__(rig.gateway.manner, "body_buffer_bytes", 1 << 30)
        rig.legacy.script = echo
        if reused:
            rig.rules({**FIND, "weight": 0.0})
            await asks(await rig.connect(), b"/api/users/1")
            rig.rules(FIND)
        rig.modern.script = dying
        client = await rig.connect()
        block = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
        request = chunks(block * 1500 + b"0\r\n\r\n").replace(b"/api/users", b"/rpc/find", 1)
        sending = asyncio.ensure_future(client.send(request))
        answer = await client.answer()
        await sending
        assert (answer.status, len(answer.body)) == (200, len(b"/rpc/find|") + 1500 * 0x4000)
        assert answer.value(b"x-banyan-fallback") == b"modern;reset"


@pytest.mark.parametrize("reused", [False, True], ids=["fresh line", "pooled line"])
async def test_an_upload_that_waited_for_a_connection_goes_on_to_the_side_that_stands_in(reused):
    async with running(FIND) as rig:
        rig.legacy.script = echo
        if reused:
            rig.rules({**FIND, "weight": 0.0})
            await asks(await rig.connect(), b"/api/users/1")
            rig.rules(FIND)
        await rig.modern.stop()
        client = await rig.connect()
        await client.send(chunks(b"5\r\nhello\r\n").replace(b"/api/users", b"/rpc/find", 1))
        await until(lambda: rig.legacy.raw and b"hello" in rig.legacy.raw[-1])
        await client.send(b"5\r\nworld\r\n0\r\n\r\n")
        answer = await client.answer()
        assert (answer.body, answer.value(b"x-banyan-fallback")) == (b"/rpc/find|helloworld", b"modern;connect")


async def test_a_long_body_without_a_stand_in_gives_the_side_its_full_time():
    """The short deadline is for reads that another side could still answer."""

    async def slow(exchange: Exchange) -> None:
        await exchange.read_body()
        await release.wait()
        await exchange.send(ok(b"late"))

    release = asyncio.Event()
    async with running(FIND, timeouts=Timeouts(head_s=15, head_with_fallback_s=3)) as rig:
        rig.modern.script = slow
        client = await rig.connect()
        block = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
        await client.send(chunks(block * 8 + b"0\r\n\r\n").replace(b"/api/users", b"/rpc/find", 1))
        await until(lambda: rig.modern.seen and len(rig.modern.seen[0].body) == 8 * 0x4000)
        rig.pass_s(10)
        release.set()
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"late")


async def test_both_ways_at_once_an_echo_of_a_long_upload():
    async def echoing(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        left = size
        while left:
            data = await exchange.reader.read(65_536)
            left -= len(data)
            await exchange.send(data)

    size = 16 << 20
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = echoing
        client = await rig.connect()
        body = os.urandom(1 << 20) * 16
        sending = asyncio.ensure_future(client.send(post(b"Content-Length: %d" % size, body=body)))
        answer = await client.answer()
        await sending
        assert answer.body == body
        assert await client.rest() == b""  # it was told to close before the body had ended


async def test_a_pool_that_is_full_of_idle_connections_still_takes_a_write():
    async with running(LEGACY_ONLY, connections=1) as rig:
        rig.legacy.script = echo
        client = await rig.connect()
        await asks(client, b"/api/users/1")
        rig.pass_s(5)
        await client.send(post(b"Content-Length: 2", body=b"hi"))
        assert (await client.answer()).status == 200


async def test_108_an_idle_connection_that_the_side_closed_costs_neither_read_nor_write():
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = echo
        client = await rig.connect()
        for request in (get(), post(b"Content-Length: 2", body=b"hi")) * 5:
            await asks(client, b"/api/users/1")
            side = socket.socket(fileno=os.dup(rig.legacy.seen[-1].writer.get_extra_info("socket").fileno()))
            client.writer.write(request)
            side.shutdown(socket.SHUT_WR)
            side.close()
            assert (await client.answer()).status == 200


async def test_draining_within_an_upload():
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = echo
        upload = await rig.connect()
        await upload.send(chunks(b"5\r\nhello\r\n"))
        await until(lambda: rig.legacy.seen)
        draining = asyncio.ensure_future(rig.listener.drain(20))
        await upload.send(b"5\r\nworld\r\n0\r\n\r\n")
        answer = await upload.answer()
        assert (answer.body, answer.value(b"connection")) == (b"/api/users|helloworld", b"close")
        upload.close()
        assert await draining == 0


async def test_a_drain_that_runs_out_of_time_tells_what_it_cuts():
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = answering(b"")
        client = await rig.connect()
        await client.send(get())
        await until(lambda: rig.legacy.seen)
        assert await rig.listener.drain(0.05) == 1
        await until(lambda: rig.count() == 1 and rig.pools[Side.LEGACY].connections == 0)
        assert await client.rest() == b""

"""Writes and what all exchanges share: forwarding, framing, bodies both ways, clients that leave."""

from __future__ import annotations

import asyncio
from time import perf_counter

import pytest

from proxy.core.limits import WireLimits
from proxy.core.rules import Side
from proxy.gateway.outgoing import Manner
from tests import pki
from tests.peers import Exchange, RawClient, Script, answering, asked, ok, open_connection
from tests.rig import USERS, running
from tests.waiting import until

GET = b"GET /api/users/42?x=1&y=%20 HTTP/1.1\r\nHost: shop.test\r\n\r\n"
POST = b"POST /api/users HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\r\nhello"


async def test_a_get_is_forwarded_with_its_raw_target_and_answered_by_the_planned_side():
    async with running() as rig:
        answer = await asked(rig.port, GET)

        assert (answer.status, answer.body) == (200, b"ok")
        assert answer.value(b"x-banyan-side") == b"modern"
        assert answer.value(b"x-banyan-component") == b"users"
        assert answer.value(b"x-banyan-plan").startswith(b"v1;weight;b")
        seen = rig.modern.seen[0]
        assert seen.line == b"GET /api/users/42?x=1&y=%20 HTTP/1.1"
        assert seen.value(b"host") == b"shop.test"
        assert seen.value(b"via") == b"1.1 banyan"
        assert seen.value(b"x-forwarded-for") == b"127.0.0.1"
        assert seen.value(b"x-forwarded-proto") == pki.switch.scheme
        assert seen.value(b"x-forwarded-host") == b"shop.test"
        assert seen.value(b"x-request-id")
        assert rig.legacy.seen == []


async def test_without_expose_nothing_of_banyan_shows_but_via():
    async with running(manner=Manner(expose=False, access_log=False)) as rig:
        answer = await asked(rig.port, GET)

        assert b"x-banyan" not in answer.head.lower()
        assert answer.value(b"via") == b"1.1 banyan"


async def test_a_write_goes_to_legacy_whatever_the_weight_and_its_body_arrives_whole():
    async with running() as rig:
        answer = await asked(rig.port, POST)

        assert answer.value(b"x-banyan-side") == b"legacy"
        assert rig.legacy.seen[0].body == b"hello"
        assert rig.modern.seen == []


async def test_a_short_body_is_complete_before_a_side_is_asked():
    async with running() as rig:
        client = await rig.connect()
        await client.send(POST[:-2])
        await until(lambda: rig.listener.clients)
        assert rig.legacy.connections == 0

        await client.send(POST[-2:])
        assert (await client.answer()).status == 200
        assert rig.legacy.seen[0].body == b"hello"


async def test_a_chunked_body_is_framed_anew_and_streams_while_it_comes():
    async with running() as rig:
        client = await rig.connect()
        await client.send(
            b"PUT /api/users/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"5;ext=1\r\nhel", b"lo\r\n"
        )
        await until(lambda: rig.legacy.seen)
        await client.send(b"1\r\n!\r\n0\r\nX-Trailer: dropped\r\n\r\n")

        assert (await client.answer()).status == 200
        seen = rig.legacy.seen[0]
        assert seen.body == b"hello!"
        assert b"trailer" not in seen.head.lower()


async def test_an_upload_larger_than_any_buffer_arrives_byte_for_byte():
    body = bytes(range(256)) * 16_384  # 4 MiB
    async with running() as rig:
        client = await rig.connect()
        head = b"PUT /api/users/1 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
        sending = asyncio.ensure_future(client.send(head, body))

        assert (await client.answer()).status == 200
        await sending
        assert rig.legacy.seen[0].body == body
        assert rig.gateway.records.unbuffered.cell("users") == [1]


async def test_a_large_answer_arrives_byte_for_byte_and_the_connection_goes_on():
    body = bytes(range(256)) * 16_384
    async with running() as rig:
        rig.modern.script = answering(ok(body))
        client = await rig.connect()
        for _ in range(2):
            await client.send(GET)
            assert (await client.answer()).body == body
        assert rig.modern.connections == 1


async def test_a_slow_reader_stops_the_side_instead_of_filling_memory():
    body = b"x" * (32 << 20)
    sent = 0

    async def script(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        for at in range(0, len(body), 1 << 16):
            await exchange.send(body[at : at + (1 << 16)])
            sent = at + (1 << 16)

    async with running() as rig:
        rig.modern.script = script
        reader, writer = await open_connection(rig.port, limit=1024)
        writer.write(GET)
        await until(lambda: any(line.paused for line in rig.pools[Side.MODERN].instances[0].lines))
        assert sent < len(body)
        received = await reader.readuntil(b"\r\n\r\n")
        rest = await reader.readexactly(len(body))
        assert rest == body and received.startswith(b"HTTP/1.1 200")
        writer.close()


async def test_chunked_answers_are_framed_anew_and_a_close_delimited_one_becomes_chunked():
    async def chunked(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await exchange.send(b"2;x=y\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n")

    async def until_close(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.0 200 OK\r\n\r\nabc")
        await exchange.send(b"de")
        exchange.writer.close()

    async with running() as rig:
        for script in (chunked, until_close):
            rig.modern.script = script
            answer = await asked(rig.port, GET)
            assert (answer.status, answer.body) == (200, b"abcde")


async def test_a_1_0_client_gets_no_chunks_and_the_end_of_the_connection_ends_the_body():
    release = asyncio.Event()

    async def chunked(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await release.wait()
        await exchange.send(b"2\r\nde\r\n0\r\n\r\n")

    async with running() as rig:
        rig.modern.script = chunked
        client = await rig.connect()
        await client.send(b"GET /api/users/1 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
        head = await client.reader.readuntil(b"\r\n\r\n")
        release.set()

        assert b"chunked" not in head and b"connection: close" in head
        assert await client.rest() == b"abcde"


async def test_a_1_0_client_keeps_its_connection_when_it_asks_to_and_the_length_is_known():
    async with running() as rig:
        client = await rig.connect()
        for _ in range(2):
            await client.send(b"GET /api/users/1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            answer = await client.answer()
            assert answer.value(b"connection") == b"keep-alive"


async def test_pipelined_requests_are_answered_in_order():
    async def script(exchange: Exchange) -> None:
        await exchange.send(ok(exchange.line.split()[1]))

    async with running() as rig:
        rig.modern.script = rig.legacy.script = script
        client = await rig.connect()
        await client.send(b"".join(b"GET /api/users/%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(300)))

        assert [(await client.answer()).body for _ in range(300)] == [b"/api/users/%d" % n for n in range(300)]


async def test_bytes_behind_a_body_are_the_next_request():
    async with running() as rig:
        client = await rig.connect()
        chunked = b"POST /api/users HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
        await client.send(POST + GET + chunked + GET)

        sides = [(await client.answer()).value(b"x-banyan-side") for _ in range(4)]
        assert sides == [b"legacy", b"modern", b"legacy", b"modern"]
        assert [exchange.body for exchange in rig.legacy.seen] == [b"hello", b"hi"]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_a_request_in_tiny_pieces_is_the_same_request(size):
    data = POST + GET
    async with running() as rig:
        client = await rig.connect()
        await client.send(*(data[at : at + size] for at in range(0, len(data), size)))

        assert (await client.answer()).value(b"x-banyan-side") == b"legacy"
        assert (await client.answer()).value(b"x-banyan-side") == b"modern"


async def test_head_answers_keep_their_length_and_the_client_s_connection_stays_usable():
    async def script(exchange: Exchange) -> None:
        body = b"" if exchange.line.startswith(b"HEAD") else b"x" * 12
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n" + body)

    async with running() as rig:
        rig.modern.script = script
        client = await rig.connect()
        await client.send(GET.replace(b"GET", b"HEAD"))
        answer = await client.answer(head_only=True)
        assert answer.value(b"content-length") == b"12"
        await client.send(GET)
        assert (await client.answer()).body == b"x" * 12
        assert rig.modern.connections == 2  # the first may still bring the body that was declared


async def test_a_head_answered_with_a_body_costs_the_side_its_connection_and_the_client_nothing():
    async def script(exchange: Exchange) -> None:
        await exchange.send(ok(b"a body that HEAD must not have"))

    async with running() as rig:
        rig.modern.script = script
        client = await rig.connect()
        for _ in range(2):
            await client.send(GET.replace(b"GET", b"HEAD"))
            assert (await client.answer(head_only=True)).status == 200
        assert rig.modern.connections == 2


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_204_and_304_have_no_body_whatever_the_side_says(status):
    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 %b\r\nContent-Length: 5\r\n\r\n" % status)

    async with running() as rig:
        rig.modern.script = script
        client = await rig.connect()
        for _ in range(2):
            await client.send(GET)
            answer = await client.answer()
            assert answer.status == int(status[:3])
            assert answer.value(b"content-length") == (None if answer.status == 204 else b"5")


async def test_expect_continue_is_answered_here_and_stripped():
    async with running() as rig:
        client = await rig.connect()
        await client.send(POST[:-5].replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
        assert (await client.answer()).status == 100
        await client.send(b"hello")

        assert (await client.answer()).status == 200
        assert rig.legacy.seen[0].value(b"expect") is None


async def test_early_hints_pass_a_stray_100_does_not():
    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok())

    async with running() as rig:
        rig.modern.script = script
        client = await rig.connect()
        await client.send(GET)
        assert [(await client.answer()).status for _ in range(2)] == [103, 200]

        await client.send(b"GET /api/users/1 HTTP/1.0\r\n\r\n")
        assert (await client.answer()).status == 200


async def test_a_final_answer_before_the_end_of_the_body_is_relayed_and_ends_the_connection():
    async def script(exchange: Exchange) -> None:
        await exchange.reader.readexactly(1)
        await exchange.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno!")

    async with running() as rig:
        rig.legacy.script = script
        client = await rig.connect()
        await client.send(b"PUT /api/users/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", b"x" * 70_000)
        answer = await client.answer()

        assert (answer.status, answer.body, answer.value(b"connection")) == (413, b"no!", b"close")
        assert await client.rest() == b""
        await until(lambda: rig.legacy.open_now == 0)


async def test_a_client_that_leaves_within_a_body_leaves_the_side_an_abort_not_a_short_body():
    async with running() as rig:
        client = await rig.connect()
        await client.send(b"PUT /api/users/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await until(lambda: rig.legacy.seen)
        client.close()

        await until(lambda: rig.legacy.open_now == 0)
        assert rig.legacy.seen[0].writer.is_closing()


async def test_a_read_whose_client_left_is_cancelled_a_sent_write_is_awaited():
    release = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.read_body()
        await release.wait()
        await exchange.send(ok())

    async with running() as rig:
        rig.modern.script = rig.legacy.script = script
        reading, writing = await rig.connect(), await rig.connect()
        await reading.send(GET)
        await writing.send(POST)
        await until(lambda: rig.modern.seen and rig.legacy.seen)
        reading.reset()
        writing.reset()

        await until(lambda: rig.pools[Side.MODERN].connections == 0)
        assert rig.pools[Side.LEGACY].connections == 1
        release.set()
        await until(lambda: rig.count(component="users", kind="write") == 1)
        assert rig.legacy.connections == 1


async def test_a_half_closed_client_gets_its_answer_within_a_second_and_not_after():
    release = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await release.wait()
        await exchange.send(ok())

    async with running() as rig:
        rig.modern.script = script
        client = await rig.connect()
        await client.send(GET)
        client.writer.write_eof()
        await until(lambda: rig.modern.seen)
        release.set()
        assert (await client.answer()).body == b"ok"

        release.clear()
        late = await rig.connect()
        await late.send(GET)
        late.writer.write_eof()
        await until(lambda: len(rig.modern.seen) == 2)
        await until(lambda: any(each.due for each in rig.listener.clients))
        rig.pass_s(2)
        assert await late.rest() == b""


async def test_hop_by_hop_fields_are_dropped_both_ways_and_odd_names_are_dropped():
    extra = b"Connection: X-Inner, keep-alive\r\nX-Inner: 1\r\nKeep-Alive: timeout=5\r\nX-Banyan-Side: lie\r\n"
    async with running() as rig:
        rig.modern.script = answering(ok(extra=extra))
        answer = await asked(
            rig.port,
            b"GET /api/users/1 HTTP/1.1\r\nHost: a\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 1\r\n"
            b"TE: trailers\r\nProxy-Authorization: x\r\nX-Banyan-Plan: x\r\nX_Odd: 1\r\nX-Even: 2\r\n\r\n",
        )

        seen = rig.modern.seen[0].head.lower()
        for gone in (b"x-mine", b"keep-alive", b"\r\nte:", b"proxy-", b"x-banyan", b"x_odd", b"connection"):
            assert gone not in seen
        assert b"x-even: 2" in seen
        assert answer.value(b"x-inner") is None and answer.value(b"keep-alive") is None
        assert answer.value(b"x-banyan-side") == b"modern"


async def test_a_request_that_was_here_before_is_refused_as_a_loop():
    async with running() as rig:
        answer = await asked(rig.port, GET.replace(b"\r\n\r\n", b"\r\nVia: 1.0 first, 1.1 Banyan (x)\r\n\r\n"))

        assert answer.status == 508
        assert b"proxy_loop_detected" in answer.value(b"proxy-status")
        assert rig.modern.seen == []


async def test_forwarded_fields_of_strangers_are_replaced():
    async with running() as rig:
        said = b"\r\nX-Forwarded-For: 9.9.9.9\r\nX-Request-Id: evil\r\nForwarded: for=x\r\n\r\n"
        await asked(rig.port, GET.replace(b"\r\n\r\n", said))

        seen = rig.modern.seen[0]
        assert seen.value(b"x-forwarded-for") == b"127.0.0.1"
        assert seen.value(b"x-request-id") != b"evil"
        assert seen.value(b"forwarded") is None


async def test_a_location_that_names_a_side_names_the_client_s_address_instead():
    async with running() as rig:
        place = b"%b://127.0.0.1:%d/api/users/7" % (pki.switch.scheme, rig.legacy.port)
        rig.legacy.script = answering(b"HTTP/1.1 201 Created\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % place)
        answer = await asked(rig.port, POST)

        assert answer.value(b"location") == pki.switch.scheme + b"://shop.test/api/users/7"


async def test_validators_belong_to_the_write_primary():
    conditional = GET.replace(b"\r\n\r\n", b'\r\nIf-None-Match: "1"\r\nIf-Range: "1"\r\nRange: bytes=0-1\r\n\r\n')
    async with running() as rig:
        rig.modern.script = rig.legacy.script = answering(ok(extra=b'ETag: "1"\r\nLast-Modified: x\r\n'))
        answer = await asked(rig.port, conditional)
        assert answer.value(b"etag") is None and answer.value(b"last-modified") is None
        seen = rig.modern.seen[0]
        assert [seen.value(name) for name in (b"if-none-match", b"if-range", b"range")] == [None, None, None]

        rig.rules({**USERS, "weight": 0.0})
        answer = await asked(rig.port, conditional)
        assert answer.value(b"etag") == b'"1"'
        assert rig.legacy.seen[0].value(b"if-none-match") == b'"1"'


async def test_a_head_beyond_the_limits_is_refused_and_the_side_hears_nothing():
    async with running(limits=WireLimits(head_bytes=2048, head_fields=10, target_bytes=500)) as rig:
        for request, status in (
            (b"GET /api/users/1 HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * 11 + b"\r\n", 431),
            (b"GET /api/users/1 HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 3000 + b"\r\n\r\n", 431),
            (b"GET /" + b"y" * 600 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
            (b"GET /" + b"y" * 6000, 414),
        ):
            client = await rig.connect()
            await client.send(request)
            answer = await client.answer()
            assert (answer.status, answer.value(b"connection")) == (status, b"close")
            client.close()
        assert rig.modern.seen == [] and rig.legacy.seen == []


async def test_deadlines_of_a_client_a_slow_head_and_a_slow_body():
    async with running() as rig:
        slow_head, slow_body, idle = await rig.connect(), await rig.connect(), await rig.connect()
        await slow_head.send(b"GET /api/users/1 HTTP/1.1\r\nHo")
        await slow_body.send(POST[:-2])
        await until(lambda: rig.listener.accepted == 3 and sum(each.due > 0 for each in rig.listener.clients) == 3)
        await until(lambda: any(each._partial for each in rig.listener.clients))
        await until(lambda: any(each._body_left for each in rig.listener.clients))
        rig.pass_s(11)
        assert (await slow_head.answer()).status == 408
        assert await idle.rest() == b""
        rig.pass_s(20)
        assert (await slow_body.answer()).status == 408
        assert rig.legacy.seen == []


async def test_draining_lets_what_is_under_way_end_and_says_close():
    release = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await release.wait()
        await exchange.send(ok())

    async with running() as rig:
        rig.modern.script = script
        client, idle = await rig.connect(), await rig.connect()
        await client.send(GET)
        await until(lambda: rig.modern.seen and rig.listener.accepted == 2)
        draining = asyncio.ensure_future(rig.listener.drain(30))
        await asyncio.sleep(0)
        with pytest.raises(OSError):
            await RawClient.connect(rig.port)
        release.set()
        answer = await client.answer()
        assert (answer.body, answer.value(b"connection")) == (b"ok", b"close")
        rig.pass_s(2)
        assert await idle.rest() == b""
        client.close()
        assert await draining == 0


async def test_interim_answers_and_a_short_one_for_a_write_whose_client_left_are_heard_to_the_end():
    async def script(exchange: Exchange) -> None:
        await exchange.read_body()
        await release.wait()
        await exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        await exchange.send(ok(b"x" * 60_000)[:30_000])
        await until(lambda: [each for each in rig.pools[Side.LEGACY].instances[0].lines if each._head])
        await exchange.send(ok(b"x" * 60_000)[30_000:])

    release = asyncio.Event()
    async with running() as rig:
        rig.legacy.script = script
        client = await rig.connect()
        await client.send(POST)
        await until(lambda: rig.legacy.seen and rig.legacy.seen[0].body)
        client.reset()
        await until(lambda: not rig.listener.clients)
        release.set()
        await until(lambda: rig.count(kind="write") == 1)
        assert rig.pools[Side.LEGACY].connections == 1  # whole: it may be used again


@pytest.mark.parametrize("framing", [b"Transfer-Encoding: chunked", b"Content-Length: 100000000", b"X: until the end"])
@pytest.mark.parametrize("leaves", ["before", "after"])
async def test_a_write_whose_client_left_is_settled_by_its_head_and_holds_no_connection(framing, leaves):
    """What follows without end is for nobody; it would use up the pool."""
    release = asyncio.Event()

    async def endless(exchange: Exchange) -> None:
        await exchange.read_body()
        if leaves == "before":
            await release.wait()
        await exchange.send(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n5\r\nfirst\r\n" % framing)
        await exchange.reader.read()

    async with running() as rig:
        rig.legacy.script = endless
        client = await rig.connect()
        await client.send(POST)
        await (until(lambda: rig.legacy.seen) if leaves == "before" else client.reader.readuntil(b"\r\n\r\n"))
        client.reset()
        await until(lambda: not rig.listener.clients)
        release.set()
        await until(lambda: rig.pools[Side.LEGACY].connections == 0)
        assert rig.count(kind="write") == 1


async def test_many_interim_answers_before_a_slow_reader_keep_what_follows_back():
    async def script(exchange: Exchange) -> None:
        for _ in range(10):
            await exchange.send(b"HTTP/1.1 103 X\r\n" + b"Link: %b\r\n" % (b"x" * 10_000) * 4 + b"\r\n")
        await exchange.send(ok(b"y" * (32 << 20)))

    async with running() as rig:
        rig.modern.script = script
        reader, writer = await open_connection(rig.port, limit=1024)
        writer.write(GET)
        await until(lambda: any(line.paused for line in rig.pools[Side.MODERN].instances[0].lines))
        (client,) = rig.listener.clients
        assert client.transport.get_write_buffer_size() < 2 << 20
        received = 0
        while received < 32 << 20:
            received += len(await reader.read(1 << 20))
        writer.close()


def holding(release: asyncio.Event) -> Script:
    """Return a side that answers with the body it got, once it is let go."""

    async def script(exchange: Exchange) -> None:
        await exchange.read_body()
        await release.wait()
        await exchange.send(ok(exchange.body))

    return script


async def test_writes_wait_for_a_connection_in_order_and_each_arrives_once():
    release = asyncio.Event()

    async with running(connections=1) as rig:
        rig.legacy.script = holding(release)
        clients = [await rig.connect() for _ in range(4)]
        for index, client in enumerate(clients):
            await client.send(POST.replace(b"hello", b"nr. %d" % index))
            await until(lambda index=index: len(rig.legacy.seen) + rig.gateway.pools[Side.LEGACY].pending == index + 1)
        release.set()
        answers = [await client.answer() for client in clients]

        assert [(answer.status, answer.body) for answer in answers] == [(200, b"nr. %d" % nr) for nr in range(4)]
        assert [exchange.body for exchange in rig.legacy.seen] == [b"nr. 0", b"nr. 1", b"nr. 2", b"nr. 3"]
        assert rig.legacy.connections == 1


async def test_beyond_the_queue_a_write_gets_503_and_when_to_come_back_and_was_never_sent():
    release = asyncio.Event()

    async with running(connections=1, pending=1) as rig:
        rig.legacy.script = holding(release)
        first, second = await rig.connect(), await rig.connect()
        await first.send(POST)
        await until(lambda: rig.legacy.seen)
        await second.send(POST)
        await until(lambda: rig.gateway.pools[Side.LEGACY].pending)
        refused = await asked(rig.port, POST)
        release.set()

        assert (refused.status, refused.value(b"retry-after")) == (503, b"1")
        assert b"error=connection_limit_reached" in refused.value(b"proxy-status")
        assert [(await client.answer()).status for client in (first, second)] == [200, 200]
        assert len(rig.legacy.seen) == 2 and rig.trips == []
        assert dict(rig.gateway.records.alarms.items()) == {("", "legacy_pool_full"): 1}


async def test_a_write_whose_client_leaves_while_it_waits_is_never_sent():
    release = asyncio.Event()

    async with running(connections=1) as rig:
        rig.legacy.script = holding(release)
        first, leaving = await rig.connect(), await rig.connect()
        await first.send(POST)
        await until(lambda: rig.legacy.seen)
        await leaving.send(POST)
        await until(lambda: rig.gateway.pools[Side.LEGACY].pending)
        leaving.reset()
        await until(lambda: not rig.gateway.pools[Side.LEGACY].pending)
        release.set()

        assert (await first.answer()).status == 200
        assert len(rig.legacy.seen) == 1


async def test_a_long_upload_that_waits_is_held_back_and_then_arrives_whole():
    release = asyncio.Event()
    body = bytes(range(256)) * 2_000

    async with running(connections=1) as rig:
        rig.legacy.script = holding(release)
        first, uploading = await rig.connect(), await rig.connect()
        await first.send(POST)
        await until(lambda: rig.legacy.seen)
        sending = asyncio.ensure_future(
            uploading.send(b"POST /api/users HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        )
        await until(lambda: rig.gateway.pools[Side.LEGACY].pending)
        release.set()
        await sending

        assert [(await client.answer()).status for client in (first, uploading)] == [200, 200]
        assert rig.legacy.seen[1].body == body


async def test_what_waited_for_a_connection_does_not_make_its_side_slow(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("proxy.gateway.exchange.perf_counter", lambda: now[0])
    release = asyncio.Event()

    async with running(connections=1) as rig:
        rig.legacy.script = holding(release)
        first, second = await rig.connect(), await rig.connect()
        await first.send(POST)
        await until(lambda: rig.legacy.seen)
        await second.send(POST)
        await until(lambda: rig.gateway.pools[Side.LEGACY].pending)
        now[0] += 5.0
        release.set()
        assert [(await client.answer()).status for client in (first, second)] == [200, 200]

        breaker = rig.gateway.breakers.of("users", Side.LEGACY)
        assert breaker is not None and breaker.shares(now[0]) == (2, 0.0, 0.5)


async def test_a_request_whose_time_ends_while_it_waits_is_never_sent_and_no_side_is_to_blame():
    release = asyncio.Event()

    brief = {**USERS, "routes": {"/api/users": {}, "/api/users/{id}": {"timeouts": {"exchange_s": 0.5}}}}
    async with running(brief, connections=1) as rig:
        rig.legacy.script = holding(release)
        first, second = await rig.connect(), await rig.connect()
        await first.send(POST)
        await until(lambda: rig.legacy.seen)
        await second.send(POST.replace(b"/users", b"/users/42"))
        await until(lambda: rig.gateway.pools[Side.LEGACY].pending)
        rig.pass_s(0.7)
        refused = await second.answer()
        release.set()

        assert (refused.status, refused.value(b"retry-after")) == (503, b"1")
        assert (await first.answer()).status == 200
        breaker = rig.gateway.breakers.of("users", Side.LEGACY)
        assert breaker is not None and breaker.shares(perf_counter())[:2] == (1, 0.0)
        assert len(rig.legacy.seen) == 1


async def test_what_one_instance_refuses_another_one_gets_be_it_read_or_write():
    async with running({**USERS, "weight": 0.0}, instances=2) as rig:
        first, second = rig.peers[Side.LEGACY]
        await first.stop()
        for request in (POST, GET) * 4:  # fewer failures in a row than it takes to leave it out
            answer = await asked(rig.port, request)
            assert (answer.status, answer.body) == (200, b"ok")

        assert len(second.seen) == 8
        assert [each.body for each in second.seen[::2]] == [b"hello"] * 4


async def test_a_read_that_two_instances_refuse_falls_back_and_a_write_ends_with_502():
    async with running(instances=2) as rig:
        for peer in (*rig.peers[Side.MODERN], rig.peers[Side.LEGACY][1]):
            await peer.stop()
        answer = await asked(rig.port, GET)
        assert (answer.status, answer.value(b"x-banyan-side")) == (200, b"legacy")
        await rig.legacy.stop()
        assert (await asked(rig.port, POST)).status == 502


async def test_a_write_that_reached_an_instance_is_never_sent_to_another():
    async def cut(exchange: Exchange) -> None:
        await exchange.read_body()
        exchange.cut()

    async with running(instances=3) as rig:
        for peer in rig.peers[Side.LEGACY]:
            peer.script = cut
        answers = [await asked(rig.port, POST) for _ in range(6)]

        assert [answer.status for answer in answers] == [502] * 6
        assert sum(len(peer.seen) for peer in rig.peers[Side.LEGACY]) == 6


async def test_a_location_of_any_instance_is_the_client_s():
    async with running(instances=2) as rig:
        for peer in rig.peers[Side.LEGACY]:
            peer.script = answering(
                b"HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:%d/x\r\nContent-Length: 0\r\n\r\n"
                % rig.peers[Side.MODERN][1].port
            )
        answer = await asked(rig.port, POST)
        if pki.switch.on:  # another scheme is another origin
            return
        assert answer.value(b"location") == b"http://shop.test/x"


async def test_time_in_which_this_process_stood_still_does_not_make_a_side_slow():
    quick = {**USERS, "weight": 0.0, "breaker": {"slow_ms": 500}}
    release = asyncio.Event()
    async with running(quick) as rig:
        rig.legacy.script = holding(release)
        rig.wheel.start()
        client = await rig.connect()
        await client.send(GET)
        await until(lambda: rig.legacy.seen)
        stands_until_s = perf_counter() + 1.0
        while perf_counter() < stands_until_s:
            pass  # the loop stands still: that is what is tested
        release.set()
        assert (await client.answer()).status == 200
        rig.wheel.stop()

        breaker = rig.gateway.breakers.of("users", Side.LEGACY)
        assert breaker is not None and breaker.shares(perf_counter()) == (1, 0.0, 0.0)


@pytest.mark.parametrize("dies", ["in flight", "hangs"])
async def test_one_instance_of_several_that_dies_with_many_requests_opens_no_breaker_of_its_side(dies):
    release = asyncio.Event()
    async with running(instances=2) as rig:
        for peer in rig.peers[Side.MODERN]:
            peer.script = holding(release)
        first, second = rig.peers[Side.MODERN]
        clients = [await rig.connect() for _ in range(24)]
        for client in clients:
            await client.send(GET)
        await until(lambda: len(first.seen) + len(second.seen) == 24)
        assert len(first.seen) == 12
        if dies == "hangs":
            await until(lambda: len(first.seen) == 12)
            for exchange in second.seen:
                await exchange.send(ok())
            await until(lambda: rig.pools[Side.MODERN].instances[1].requests == 0)
            rig.pass_s(3.3)
        else:
            await first.stop()
            for exchange in first.seen:
                exchange.cut()
            release.set()
        answers = [await client.answer() for client in clients]

        assert [answer.status for answer in answers] == [200] * 24
        assert rig.trips == []
        assert rig.pools[Side.MODERN].roster.asked == (1,)


async def test_an_instance_whose_answers_others_stop_waiting_for_is_left_out():
    brief = {**USERS, "weight": 0.0, "timeouts": {"exchange_s": 0.5}}
    release = asyncio.Event()
    async with running(brief, instances=2) as rig:
        first, second = rig.peers[Side.LEGACY]
        first.script = second.script = holding(release)
        clients = [await rig.connect() for _ in range(20)]
        for client in clients:
            await client.send(GET)
        await until(lambda: (len(first.seen), len(second.seen)) == (10, 10))
        for exchange in second.seen:
            await exchange.send(ok())
        await until(lambda: rig.pools[Side.LEGACY].instances[1].requests == 0)
        rig.pass_s(0.7)
        assert sorted([(await client.answer()).status for client in clients]) == [200] * 10 + [504] * 10
        assert rig.pools[Side.LEGACY].roster.asked == (1,)
        release.set()

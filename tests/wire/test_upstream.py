"""Connections to a side: where each answer ends, what is told of it, and when a connection may be used again."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct

import pytest

from proxy.core.errors import Failure, Sent
from proxy.core.limits import WireLimits
from proxy.wire.paced import LINES_A_TURN
from proxy.wire.upstream import INTERIM_LIMIT
from tests.peers import Exchange, Script, answering, ok
from tests.waiting import until
from tests.wire.told import GET, Bench, Told, bench

PUT = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def pieces(*parts: bytes, close: bool = False, cut: bool = False) -> Script:
    """Send each part in a segment of its own."""

    async def script(exchange: Exchange) -> None:
        for part in parts:
            await exchange.send(part)
            for _ in range(4):
                await asyncio.sleep(0)
        if close:
            exchange.writer.close()
        if cut:
            exchange.cut()

    return script


async def ask(pool: Bench, message: bytes = GET, told: Told | None = None) -> Told:
    told = told or Told()
    pool.send(told, message)
    await until(lambda: told.over)
    return told


def single(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


ANSWERS = {
    # what the side sends, what the body is, whether the connection may be used again
    "length": (ok(b"hello"), b"hello", True),
    "length zero": (ok(b""), b"", True),
    "leading zeros": (b"HTTP/1.1 200 OK\r\nContent-Length: 005\r\n\r\nhello", b"hello", True),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello", True),
    "chunked, empty": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"", True),
    "chunked, extensions and trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nHost: x\r\n\r\n",
        b"hello",
        True,
    ),
    "says close": (ok(b"hello", b"Connection: close\r\n"), b"hello", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", b"hello", False),
    "bytes behind": (ok(b"hello") + b"!", b"hello", False),
    "a second answer behind": (ok(b"hello") + ok(b"evil"), b"hello", False),
    "bytes behind the last chunk": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nX",
        b"hello",
        False,
    ),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    "204, length 0": (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", b"", True),
    "204 with a length": (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", b"", False),
    "204 and chunked": (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", b"", False),
    "204 with a body": (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", b"", False),
    "304 with a length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b"", False),
    "304 with a body": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello", b"", False),
    "205 with a length of 0": (b"HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n", b"", True),
    "205 with a body all the same": (b"HTTP/1.1 205 Reset\r\nContent-Length: 5\r\n\r\nhello", b"hello", True),
}


@pytest.mark.parametrize("in_pieces", [False, True], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("case", ANSWERS)
async def test_where_an_answer_ends_and_whether_its_connection_stays(case, in_pieces):
    data, body, stays = ANSWERS[case]
    async with bench(pieces(*(single(data) if in_pieces else [data]))) as pool:
        told = await ask(pool)

        assert (told.body, told.error) == (body, None)
        if not stays:
            await until(lambda: pool.pool.connections == 0)
        assert pool.pool.connections == stays
        pool.pass_s(0.5)  # a body that must not come has time to come all the same
        pool.side.script = answering(ok(b"next"))
        assert (await ask(pool)).body == b"next"
        assert pool.side.connections == (1 if stays else 2)


@pytest.mark.parametrize("in_pieces", [False, True], ids=["whole", "byte by byte"])
async def test_an_answer_that_ends_with_its_connection(in_pieces):
    data = b"HTTP/1.1 200 OK\r\n\r\nhello"
    async with bench(pieces(*(single(data) if in_pieces else [data]), close=True)) as pool:
        told = await ask(pool)

        assert (told.body, told.error) == (b"hello", None)
        assert told.head is not None and told.head.length == -1
        assert pool.pool.connections == 0


TORN = {
    "within the head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "at the first byte": b"H",
    "within a counted body": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
    "before a counted body": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
    "within a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    "between chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "within the last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
}


@pytest.mark.parametrize("how", ["close", "cut"])
@pytest.mark.parametrize("case", TORN)
async def test_a_torn_answer_is_never_a_whole_one(case, how):
    async with bench(pieces(TORN[case], **{how: True})) as pool:
        told = await ask(pool)

        assert told.error is not None and not told.complete
        assert (told.error.failure, told.error.sent, told.error.stale) == (Failure.RESET, Sent.COMPLETE, False)
        assert pool.pool.connections == 0


async def test_an_answer_without_length_that_is_cut_by_a_reset_is_torn_too():
    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await until(lambda: told.body)
        sock = exchange.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        exchange.cut()

    told = Told()
    async with bench(script) as pool:
        await ask(pool, told=told)

        assert told.error is not None and not told.complete


async def test_an_answer_without_length_that_we_cut_ourselves_is_torn_too():
    async with bench(pieces(b"HTTP/1.1 200 OK\r\n\r\nhello")) as pool:
        told = Told()
        pool.send(told)
        await until(lambda: told.body)
        await pool.pool.close()
        await until(lambda: told.over)

        assert told.error is not None and not told.complete


async def test_closing_without_a_byte_is_stale_only_on_a_connection_that_served_before():
    async with bench(pieces(close=True)) as pool:
        fresh = await ask(pool)
        assert fresh.error is not None and not fresh.error.stale

        pool.side.script = answering(ok())
        await ask(pool)
        pool.side.script = pieces(close=True)
        used = await ask(pool)
        assert used.error is not None and used.error.stale


async def test_garbage_on_a_connection_that_served_before_is_not_stale():
    async with bench() as pool:
        await ask(pool)
        pool.side.script = pieces(b"garbage\r\n\r\n")
        told = await ask(pool)

        assert told.error is not None and not told.error.stale


BAD = {
    "garbage": b"what is this?\r\n\r\n",
    "garbage that does not end": b"what is this?",
    "LF only": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    "gzip": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
    "status 1000": b"HTTP/1.1 1000 OK\r\n\r\n",
    "splitting by CR": b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok",
    "splitting by NUL": b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 2\r\n\r\nok",
    "bad first chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
    "a 100 KB field": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
    "100 KB of fields": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 17_000 + b"\r\n",
    "101 nobody asked for": b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "101 without Upgrade": b"HTTP/1.1 101 X\r\n\r\n",
    "too many interim answers": b"HTTP/1.1 103 X\r\n\r\n" * (INTERIM_LIMIT + 1) + ok(),
    "a body behind an interim answer": b"HTTP/1.1 103 X\r\nContent-Length: 5\r\n\r\nhello" + ok(),
}


@pytest.mark.parametrize("case", BAD)
async def test_an_answer_that_is_none_fails_at_once_and_costs_the_connection(case):
    async with bench(pieces(BAD[case])) as pool:
        told = await ask(pool)

        assert told.error is not None and told.error.failure is Failure.RESET
        assert (told.status, told.body) == (0, b"")
        assert pool.pool.connections == 0
        pool.side.script = answering(ok())
        assert (await ask(pool)).body == b"ok"


@pytest.mark.parametrize("case", [case for case in BAD if case != "bad first chunk"])
async def test_the_same_byte_by_byte_or_as_early_as_it_can_be_seen(case):
    data = BAD[case]
    parts = single(data) if len(data) < 1000 else [data[at : at + 999] for at in range(0, len(data), 999)]
    async with bench(pieces(*parts)) as pool:
        told = await ask(pool)

        assert told.error is not None and told.error.failure is Failure.RESET
        assert (told.status, pool.pool.connections) == (0, 0)


async def test_a_bad_chunk_behind_good_ones_fails_after_them():
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    async with bench(pieces(data, b"5\r\nworld!\r\n")) as pool:
        told = await ask(pool)

        assert told.body.startswith(b"hello") and not told.complete
        assert told.error is not None and pool.pool.connections == 0


async def test_limits_of_a_head_from_a_side():
    async with bench(limits=WireLimits(head_bytes=400)) as pool:
        pool.side.script = pieces(ok(extra=b"X: " + b"y" * 300 + b"\r\n"))
        assert (await ask(pool)).error is None
        pool.side.script = pieces(ok(extra=b"X: " + b"y" * 400 + b"\r\n"))
        assert (await ask(pool)).error is not None


async def test_interim_answers_are_told_but_100_is_not():
    data = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 X\r\n\r\n" + ok()
    for parts in ([data], single(data)):
        async with bench(pieces(*parts)) as pool:
            told = await ask(pool)

            assert (told.interims, told.body) == ([103, 102], b"ok")
            assert pool.pool.connections == 1


async def test_an_answer_to_head_has_no_body_and_one_declared_or_any_byte_behind_it_costs_the_connection():
    for answer, stays in (
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", False),
    ):
        async with bench(pieces(answer)) as pool:
            told = await ask(pool, told=Told(head_only=True))
            assert (told.status, told.body) == (200, b"")
            assert pool.pool.connections == stays
            pool.side.script = answering(ok(b"next"))
            assert (await ask(pool)).body == b"next"


async def test_a_body_after_head_that_comes_late_is_nobody_s_answer():
    release = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n")
        await release.wait()
        await exchange.send(ok(b"poisoned"))

    async with bench(script) as pool:
        await ask(pool, told=Told(head_only=True))
        release.set()
        await until(lambda: pool.pool.connections == 0)
        pool.side.script = answering(ok(b"next"))

        assert (await ask(pool)).body == b"next"


SWITCH = b"HTTP/1.1 101 X\r\nUpgrade: %b\r\nConnection: Upgrade\r\n\r\n"


@pytest.mark.parametrize(
    ("asked", "given", "taken"),
    [
        (b"websocket", b"websocket", True),
        (b"websocket", b"WebSocket", True),
        (b"a/1, websocket", b"websocket", True),
        (b"websocket", b"web", False),
        (b"websocket", b"", False),
        (b"websocket", b"websocket, h2c", False),
        (b"websocket", b"h2c", False),
        (b"a/1, b/2", b"1, b", False),
        (b"", b"websocket", False),
        (b"", b"", False),
    ],
)
async def test_only_a_protocol_that_was_asked_for_is_switched_to(asked, given, taken):
    async with bench(pieces(SWITCH % given + b"early")) as pool:
        told = Told(upgrade=asked)
        pool.send(told)
        await until(lambda: told.status or told.error)

        assert (told.status == 101) is taken
        assert (told.error is None) is taken
        if taken:
            assert told.body == b"early"


async def test_a_tunnel_passes_bytes_and_ends_in_order():
    async def echo(exchange: Exchange) -> None:
        await exchange.send(SWITCH % b"x")
        while data := await exchange.reader.read(65_536):
            exchange.body += data
            await exchange.send(data)
        exchange.writer.close()

    async with bench(echo) as pool:
        told = Told(upgrade=b"x")
        line = pool.send(told)
        await until(lambda: told.status)
        line.write_body(b"hello")
        await until(lambda: told.body == b"hello")
        pool.pass_s(3600)
        line.write_body(b"!" * (4 << 20))
        line.end_body()
        await until(lambda: told.complete)
        assert len(told.body) == 5 + (4 << 20)
        line.finish()
        await until(lambda: pool.pool.connections == 0)


async def test_a_tunnel_that_is_finished_delivers_what_was_written():
    release = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await exchange.send(SWITCH % b"x")
        await release.wait()
        while data := await exchange.reader.read(65_536):
            exchange.body += data

    async with bench(slow) as pool:
        told = Told(upgrade=b"x")
        line = pool.send(told)
        await until(lambda: told.status)
        data = b"x" * (12 << 20)
        line.write_body(data)
        line.finish()
        release.set()
        await until(lambda: len(pool.side.seen[0].body) == len(data))
        await until(lambda: pool.pool.connections == 0)


async def test_a_tunnel_that_is_finished_but_not_taken_is_cut_in_the_end():
    async def deaf(exchange: Exchange) -> None:
        await exchange.send(SWITCH % b"x")
        await asyncio.Event().wait()

    async with bench(deaf) as pool:
        told = Told(upgrade=b"x")
        line = pool.send(told)
        await until(lambda: told.status)
        line.write_body(b"x" * (16 << 20))
        line.finish()
        assert pool.pool.connections == 1
        pool.pass_s(61)
        await until(lambda: pool.pool.connections == 0)


async def test_a_tunnel_whose_side_is_gone_has_failed():
    async with bench(pieces(SWITCH % b"x", cut=True)) as pool:
        told = Told(upgrade=b"x")
        pool.send(told)
        await until(lambda: told.over)
        assert told.status == 101


async def test_deadlines_of_a_head_and_of_a_body():
    async def hanging(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    async with bench(hanging) as pool:
        told = Told()
        pool.send(told)
        await until(lambda: pool.side.seen)
        pool.pass_s(14.8)
        assert told.error is None
        pool.pass_s(0.4)
        assert told.error is not None and (told.error.failure, told.error.sent) == (Failure.TIMEOUT, Sent.COMPLETE)

        pool.side.script = pieces(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nh")
        told = Told()
        pool.send(told)
        await until(lambda: told.body)
        pool.pass_s(59)
        assert told.error is None
        pool.pass_s(2)
        assert told.error is not None and told.error.failure is Failure.TIMEOUT
        assert pool.pool.connections == 0


async def test_a_head_that_trickles_has_one_deadline_for_all_of_it():
    async def trickling(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 103 X\r\n\r\nHTTP/1.1 200 OK\r\n")
        for n in range(100):
            await exchange.send(b"X-%d: y\r\n" % n)
            stepped.clear()
            await stepped.wait()

    stepped = asyncio.Event()
    async with bench(trickling) as pool:
        told = Told()
        pool.send(told)
        for n in range(14):
            await until(lambda n=n: pool.side.seen and not stepped.is_set())
            pool.pass_s(1)
            stepped.set()
            assert told.error is None, n
        pool.pass_s(1.3)
        assert told.error is not None and told.error.failure is Failure.TIMEOUT


async def test_while_the_receiver_pauses_the_side_is_not_late():
    async with bench(pieces(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nh")) as pool:
        told = Told()
        line = pool.send(told)
        await until(lambda: told.body)
        line.pause()
        pool.pass_s(600)
        assert told.error is None
        line.resume()
        pool.pass_s(61)
        assert told.error is not None


async def test_while_a_body_still_comes_the_side_is_not_late_but_one_that_takes_none_is():
    async def deaf(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    async with bench(deaf) as pool:
        told = Told(sending=-1)
        line = pool.send(told, CHUNKED)
        await until(lambda: pool.side.seen)
        pool.pass_s(100)
        assert told.error is None
        line.write_body(b"x" * (16 << 20))
        await until(lambda: told.blocked)
        pool.pass_s(16)
        assert told.error is not None and (told.error.failure, told.error.sent) == (Failure.TIMEOUT, Sent.PARTIAL)


async def test_when_the_body_has_ended_the_side_has_its_full_time_and_no_more():
    async def deaf(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    for message, sending in ((CHUNKED, -1), (PUT, 5)):
        async with bench(deaf) as pool:
            told = Told(sending=sending)
            line = pool.send(told, message)
            await until(lambda: pool.side.seen)
            pool.pass_s(100)
            line.write_body(b"hello")
            line.end_body()
            pool.pass_s(14)
            assert told.error is None
            pool.pass_s(1.3)
            assert told.error is not None and told.error.sent is Sent.COMPLETE


async def test_an_answer_before_the_end_of_the_request_costs_the_connection():
    async with bench(pieces(ok(b"too early"))) as pool:
        told = Told(sending=-1)
        line = pool.send(told, CHUNKED)
        line.write_body(b"x")
        await until(lambda: told.over)

        assert told.body == b"too early"
        assert pool.pool.connections == 0


async def test_an_answer_while_the_side_has_not_taken_the_request_costs_the_connection():
    """All of the body was written, but it still lies here: the next request would stand behind it."""

    async def script(exchange: Exchange) -> None:
        await until(lambda: told.blocked)
        await exchange.send(ok(b"enough"))

    body = b"x" * (16 << 20)
    told = Told(sending=len(body))
    async with bench(script) as pool:
        line = pool.send(told, PUT.replace(b"5", b"%d" % len(body), 1))
        line.write_body(body)
        line.end_body()
        await until(lambda: told.over)

        assert told.body == b"enough"
        assert pool.pool.connections == 0


async def test_what_was_cancelled_is_told_nothing_more():
    release = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        await release.wait()
        await exchange.send(b"world")

    async with bench(script) as pool:
        told = Told()
        line = pool.send(told)
        await until(lambda: told.body)
        line.cancel()
        release.set()
        await until(lambda: pool.side.open_now == 0)

        assert told.body == b"hello" and not told.over


async def test_a_side_that_reads_nothing_blocks_and_one_that_reads_again_is_writable():
    release = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await release.wait()
        await exchange.read_body()
        await exchange.send(ok())

    async with bench(script) as pool:
        told = Told(sending=-1)
        line = pool.send(told, CHUNKED)
        await until(line.is_sent)
        told.events.clear()
        line.write_body(b"x" * (16 << 20))
        assert told.blocked
        release.set()
        await until(lambda: "writable" in told.events)
        line.end_body()
        await until(lambda: told.over)
        assert told.body == b"ok"


@pytest.mark.parametrize("late", [b"POISON", ok(b"POISON")], ids=["a body", "an answer"])
@pytest.mark.parametrize("framing", [b"Content-Length: 6", b"Transfer-Encoding: chunked"])
async def test_what_comes_late_behind_an_answer_without_a_body_is_nobody_s_answer(late, framing):
    """Some applications send the body of a HEAD or 304 later: no connection is trusted again that declared one."""
    release = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 304 Not Modified\r\n%b\r\n\r\n" % framing)
        await release.wait()
        await exchange.send(late)

    async with bench(script) as pool:
        assert (await ask(pool)).body == b""
        assert pool.pool.connections == 0
        pool.side.script = answering(ok(b"next"))
        assert (await ask(pool)).body == b"next"
        release.set()
        assert (await ask(pool)).body == b"next"
        assert pool.side.connections == 2


async def test_an_answer_of_tiny_chunks_gives_way_and_arrives_whole():
    size = 40 * LINES_A_TURN
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * size + b"0\r\n\r\n"
    async with bench(answering(data)) as pool:
        told = Told()
        seen = [0]  # of the body, at each turn of the loop

        def turn() -> None:
            seen.append(len(told.body))
            if not told.over:
                asyncio.get_running_loop().call_soon(turn)

        pool.send(told)
        turn()
        await until(lambda: told.over)
        assert (told.body, told.error) == (b"x" * size, None)
        assert max(after - before for before, after in itertools.pairwise(seen)) <= LINES_A_TURN
        pool.side.script = answering(ok(b"next"))
        assert (await ask(pool)).body == b"next"
        assert pool.side.connections == 1  # read to its end, and clean


async def test_an_answer_that_was_read_but_not_decoded_waits_for_its_client():
    size = 40 * LINES_A_TURN
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * size + b"0\r\n\r\n"
    async with bench(answering(data)) as pool:
        told = Told()
        pool.send(told)
        await until(lambda: told.body, every_s=0)
        (line,) = pool.pool.instances[0].lines
        line.pause()
        body = told.body
        for _ in range(5):
            pool.pass_s(50)
            await asyncio.sleep(0)
        assert told.body == body and not told.over
        line.resume()
        await until(lambda: told.over)
        assert told.body == b"x" * size


async def test_an_answer_let_go_between_two_parts_of_it_costs_its_connection():
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 40 * LINES_A_TURN
    async with bench(answering(data)) as pool:
        told = Told()
        pool.send(told)
        await until(lambda: told.body, every_s=0)
        (line,) = pool.pool.instances[0].lines
        assert line.is_behind()
        line.cancel()
        body = told.body
        for _ in range(5):
            await asyncio.sleep(0)
        assert told.body == body and pool.pool.connections == 0

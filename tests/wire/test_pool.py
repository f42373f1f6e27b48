"""Pools: which connection a message takes, when one is opened, and what is never used again."""

from __future__ import annotations

import asyncio
import errno
import os
import socket

from proxy.core.errors import OUT_OF_DESCRIPTORS, Failure, Sent
from proxy.core.limits import WireLimits
from proxy.wire.pool import IDLE_S, JUST_USED_S, Pool, Waits, is_short
from proxy.wire.wheel import Wheel
from tests.peers import Exchange, ok
from tests.rig import Clock
from tests.scarcity import no_descriptors
from tests.waiting import until
from tests.wire.told import GET, WAITS, Bench, Told, bench


async def ask(pool: Bench, **how: bool) -> Told:
    told = Told()
    pool.send(told, **how)
    await until(lambda: told.over)
    return told


async def test_a_connection_is_opened_when_there_is_none_and_used_again():
    async with bench() as pool:
        answers = [await ask(pool) for _ in range(3)]

        assert [told.body for told in answers] == [b"ok"] * 3
        assert (pool.side.connections, pool.pool.connections) == (1, 1)


async def test_the_most_recently_used_connection_is_taken_first():
    release = asyncio.Event()

    async def waiting(exchange: Exchange) -> None:
        await release.wait()
        await exchange.send(ok(b"%d" % exchange.connection))

    async with bench(waiting) as pool:
        first, second = Told(), Told()
        pool.send(first)
        pool.send(second)
        await until(lambda: len(pool.side.seen) == 2)
        release.set()
        await until(lambda: first.over and second.over)
        last = pool.pool._idle[-1]
        await ask(pool)

        assert pool.pool._idle[-1] is last
        assert pool.side.connections == 2


async def test_fresh_takes_no_idle_connection():
    async with bench() as pool:
        await ask(pool)
        await ask(pool, fresh=True)

        assert pool.side.connections == 2


async def test_careful_takes_an_idle_connection_only_if_it_was_just_used():
    async with bench() as pool:
        await ask(pool)
        await ask(pool, careful=True)
        assert pool.side.connections == 1

        pool.pass_s(JUST_USED_S + 0.2)
        await ask(pool, careful=True)
        assert pool.side.connections == 2


async def test_at_its_limit_a_pool_says_so_and_nothing_was_sent():
    async with bench(connections=1) as pool:

        async def hanging(exchange: Exchange) -> None:
            await asyncio.Event().wait()

        pool.side.script = hanging
        pool.send(Told())
        refused = await ask(pool)

        assert refused.error is not None
        assert (refused.error.failure, refused.error.sent) == (Failure.CONNECT, Sent.NONE)
        assert "full" in refused.error.detail
        assert refused.error.is_ours


async def test_a_connection_for_which_we_have_no_descriptor_is_our_own_failure():
    async with bench() as pool:
        with no_descriptors():
            error = (await ask(pool)).error
        assert error is not None
        assert (error.failure, error.sent, error.kind) == (Failure.CONNECT, Sent.NONE, OUT_OF_DESCRIPTORS)
        assert (await ask(pool)).complete


def test_what_is_our_own_shortage_and_what_is_not():
    no_name = socket.gaierror(socket.EAI_AGAIN, "no name")
    assert [is_short(OSError(number, "")) for number in (errno.EMFILE, errno.ENFILE)] == [True, True]
    refusals: list[OSError | UnicodeError] = [ConnectionRefusedError(errno.ECONNREFUSED, ""), no_name, UnicodeError()]
    assert not any(map(is_short, refusals))
    with no_descriptors():
        assert is_short(no_name)
        assert not is_short(refusals[0])


async def test_idle_connections_make_room_for_a_message_that_may_not_use_them():
    """Else a pool full of idle connections would refuse every write."""
    async with bench(connections=1) as pool:
        await ask(pool)
        pool.pass_s(JUST_USED_S + 0.2)

        assert (await ask(pool, careful=True)).complete
        assert (await ask(pool, fresh=True)).complete
        assert (pool.side.connections, pool.pool.connections) == (3, 1)


async def test_an_idle_connection_that_the_side_closed_is_not_used():
    async with bench() as pool:
        await ask(pool)
        pool.side.seen[0].writer.close()
        await until(lambda: pool.pool.connections == 0)

        assert (await ask(pool)).complete
        assert pool.side.connections == 2


async def test_an_idle_connection_whose_end_was_not_heard_yet_is_not_used_either():
    """Closed in the same turn of the loop: what waits in the socket is looked at before it is used."""
    async with bench() as pool:
        await ask(pool)
        side = socket.socket(fileno=os.dup(pool.side.seen[0].writer.get_extra_info("socket").fileno()))
        side.shutdown(socket.SHUT_WR)
        side.close()
        told = await ask(pool, careful=True)

        assert told.complete and told.error is None
        assert pool.side.connections == 2


async def test_stray_bytes_on_an_idle_connection_are_never_anybody_s_answer():
    lie = ok(b"somebody else's")
    async with bench() as pool:
        for heard in (False, True):
            await ask(pool)
            line = pool.pool._idle[-1]
            os.write(pool.side.seen[-1].writer.get_extra_info("socket").fileno(), lie)
            if heard:
                await until(lambda line=line: line.transport.is_closing())
            told = await ask(pool)

            assert told.body == b"ok"
            assert line.transport.is_closing()


async def test_an_idle_connection_is_closed_before_the_side_would():
    async with bench() as pool:
        await ask(pool)
        pool.pass_s(IDLE_S - 1)
        assert pool.pool.connections == 1
        pool.pass_s(2)
        assert pool.pool.connections == 0
        await until(lambda: pool.side.open_now == 0)


async def test_refused_and_unresolved_are_connect_failures():
    async with bench() as pool:
        await pool.side.stop()
        refused = await ask(pool)
        assert refused.error is not None
        assert (refused.error.failure, refused.error.sent, refused.events) == (Failure.CONNECT, Sent.NONE, ["failed"])

    for name in ("no.such.name.invalid", "x" * 64 + ".invalid"):
        unresolved = Told()
        Pool("modern", (name, 1), Wheel(Clock()), WireLimits(), 1).send(GET, unresolved, WAITS)
        await until(lambda told=unresolved: told.over)
        assert unresolved.error is not None and unresolved.error.failure is Failure.CONNECT


async def test_a_side_that_does_not_accept_in_time_is_a_connect_failure():
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    filling = [socket.socket() for _ in range(8)]
    for sock in filling:
        sock.setblocking(False)
        sock.connect_ex(full.getsockname())
    clock = Clock()
    wheel = Wheel(clock)
    pool = Pool("modern", full.getsockname(), wheel, WireLimits(), 16)
    told = Told()
    pool.send(GET, told, Waits(connect_s=1, head_s=15, idle_s=60))
    clock.now += 1.3
    wheel.turn()

    assert told.error is not None and (told.error.failure, told.error.sent) == (Failure.CONNECT, Sent.NONE)
    await until(lambda: pool.connections == 0)
    for sock in (full, *filling):
        sock.close()


async def test_a_side_that_closes_at_once_leaves_no_connection_on_the_books():
    async def hurry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    server = await asyncio.start_server(hurry, "127.0.0.1", 0)
    pool = Pool("modern", server.sockets[0].getsockname(), Wheel(Clock()), WireLimits(), 16)
    for _ in range(20):
        told = Told()
        pool.send(GET, told, WAITS)
        await until(lambda told=told: told.over)
        assert told.error is not None and not told.error.stale
    await until(lambda: pool.connections == 0)
    server.close()


async def test_what_is_cancelled_while_it_opens_is_told_nothing_and_leaves_nothing():
    async with bench() as pool:
        told = Told()
        line = pool.send(told)
        line.write_body(b"x")
        line.cancel()
        line.cancel()
        await until(lambda: pool.pool.connections == 0)

        assert told.events == [] and pool.side.seen == []


async def test_a_body_that_comes_while_the_connection_opens_follows_the_head():
    async def script(exchange: Exchange) -> None:
        await exchange.read_body()
        await exchange.send(ok(exchange.body))

    async with bench(script) as pool:
        counted, chunked = Told(sending=6), Told(sending=-1)
        line = pool.send(counted, b"PUT / HTTP/1.1\r\nContent-Length: 6\r\n\r\n")
        assert not line.is_sent()
        line.write_body(b"abc")
        line.write_body(b"def")
        line.end_body()
        other = pool.send(chunked, b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        other.write_body(b"abc")
        await until(lambda: counted.over and other.is_sent())
        other.write_body(b"defg")
        other.end_body()
        await until(lambda: chunked.over)

        assert (counted.body, chunked.body) == (b"abcdef", b"abcdefg")
        assert counted.events[0] == "writable"


async def test_a_side_that_takes_nothing_is_not_called_writable():
    async def deaf(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    async with bench(deaf) as pool:
        told = Told(sending=-1)
        line = pool.send(told, b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        line.write_body(b"x" * (16 << 20))
        await until(lambda: told.blocked)

        assert told.events == []
        line.cancel()


async def test_closing_a_pool_closes_all_it_has():
    async with bench() as pool:
        await ask(pool)
        busy, opening = Told(), Told()
        pool.send(busy)
        pool.send(opening, fresh=True)
        await pool.pool.close()
        await until(lambda: pool.pool.connections == 0 and pool.side.open_now == 0)

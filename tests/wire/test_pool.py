"""Pools: which connection a message takes, when one is opened, and what is never used again."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import Any

from proxy.core.errors import OUT_OF_DESCRIPTORS, POOL_FULL, Failure, Sent
from proxy.core.limits import PoolLimits, WireLimits
from proxy.wire.instances import Place
from proxy.wire.pool import IDLE_S, JUST_USED_S, Pool, Waits, is_short
from proxy.wire.wheel import Wheel
from tests.peers import Exchange, ok
from tests.rig import Clock
from tests.scarcity import fill_up, no_descriptors
from tests.waiting import until
from tests.wire.told import ELSEWHERE, GET, WAITS, Bench, Told, bench

QUEUING = Waits(connect_s=1, head_s=15, idle_s=60, queue_s=2)


async def ask(pool: Bench, **how: Any) -> Told:
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
        last = pool.idle[-1]
        await ask(pool)

        assert pool.idle[-1] is last
        assert pool.side.connections == 2


async def test_fresh_takes_no_idle_connection():
    async with bench() as pool:
        await ask(pool)
        await ask(pool, after=ELSEWHERE)

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
        assert (await ask(pool, after=ELSEWHERE)).complete
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
            line = pool.idle[-1]
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
        Pool("modern", [Place(name, 1)], Wheel(Clock()), WireLimits(), PoolLimits(1)).send(GET, unresolved, WAITS)
        await until(lambda told=unresolved: told.over)
        assert unresolved.error is not None and unresolved.error.failure is Failure.CONNECT


async def test_a_side_that_does_not_accept_in_time_is_a_connect_failure():
    full = socket.socket()
    filling = fill_up(full)
    clock = Clock()
    wheel = Wheel(clock)
    pool = Pool("modern", [Place(*full.getsockname())], wheel, WireLimits(), PoolLimits(16))
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
    pool = Pool("modern", [Place(*server.sockets[0].getsockname())], Wheel(Clock()), WireLimits(), PoolLimits(16))
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
        pool.send(opening, after=ELSEWHERE)
        await pool.pool.close()
        await until(lambda: pool.pool.connections == 0 and pool.side.open_now == 0)


class Busy:
    """A side that holds its answers back until it is let go, one by one, and notes the order of what came."""

    def __init__(self) -> None:
        self.came: list[bytes] = []
        self.free = asyncio.Semaphore(0)

    async def __call__(self, exchange: Exchange) -> None:
        target = exchange.line.split()[1]
        self.came.append(target)
        await exchange.read_body()
        await self.free.acquire()
        await exchange.send(ok(target))


def get(target: bytes) -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target


async def crowd(pool: Bench, names: bytes, **how: Any) -> list[Told]:
    """Send one message of each name; the first is on its way when this returns."""
    crowded = [Told() for _ in names]
    for told, name in zip(crowded, names, strict=True):
        pool.send(told, get(b"/%c" % name), QUEUING, **how)
    await until(lambda: pool.side.seen)
    return crowded


async def test_messages_wait_for_a_connection_and_go_first_come_first_served():
    busy = Busy()
    async with bench(busy, connections=1) as pool:
        crowded = await crowd(pool, b"abcd")
        assert (pool.pool.pending, pool.pool.connections) == (3, 1)

        for _ in crowded:
            busy.free.release()
        await until(lambda: all(told.over for told in crowded))

        assert busy.came == [b"/a", b"/b", b"/c", b"/d"]
        assert [told.body for told in crowded] == [b"/a", b"/b", b"/c", b"/d"]
        assert (pool.side.connections, pool.pool.pending) == (1, 0)


async def test_who_comes_later_does_not_pass_those_who_wait():
    busy = Busy()
    async with bench(busy, connections=1) as pool:
        first, second = await crowd(pool, b"ab")
        late = Told()
        first.then = lambda: pool.send(late, get(b"/late"), QUEUING)  # the connection is idle at this very moment
        for _ in range(3):
            busy.free.release()
        await until(lambda: first.over and second.over and late.over)

        assert busy.came == [b"/a", b"/b", b"/late"]


async def test_a_full_queue_says_so_at_once_and_nothing_was_sent():
    busy = Busy()
    async with bench(busy, connections=1, pending=2) as pool:
        crowded = await crowd(pool, b"abcd")
        await until(lambda: crowded[3].over)

        error = crowded[3].error
        assert error is not None and error.is_ours
        assert (error.failure, error.sent, error.kind) == (Failure.CONNECT, Sent.NONE, POOL_FULL)
        assert [told.over for told in crowded[:3]] == [False] * 3


async def test_what_waits_too_long_fails_and_leaves_the_queue():
    busy = Busy()
    async with bench(busy, connections=1) as pool:
        first, second = await crowd(pool, b"ab")
        pool.pass_s(QUEUING.queue_s + 0.2)
        await until(lambda: second.over)

        assert second.error is not None and "within 2 s" in second.error.detail and second.error.is_ours
        assert pool.pool.pending == 0
        busy.free.release()
        await until(lambda: first.over)
        assert busy.came == [b"/a"] and first.body == b"/a"


async def test_what_is_cancelled_while_it_waits_is_never_sent():
    busy = Busy()
    async with bench(busy, connections=1) as pool:
        first, gone, last = Told(), Told(), Told()
        pool.send(first, get(b"/first"), QUEUING)
        line = pool.send(gone, get(b"/gone"), QUEUING)
        pool.send(last, get(b"/last"), QUEUING)
        line.cancel()
        busy.free.release()
        busy.free.release()
        await until(lambda: first.over and last.over)

        assert busy.came == [b"/first", b"/last"]
        assert not gone.over and gone.events == []


async def test_a_connection_that_ends_makes_room_for_one_who_waits():
    busy = Busy()
    async with bench(busy, connections=1) as pool:
        leaving, waiting = Told(), Told()
        line = pool.send(leaving, get(b"/leaving"), QUEUING)
        await until(lambda: pool.side.seen)
        pool.send(waiting, get(b"/waiting"), QUEUING)
        busy.free.release()
        busy.free.release()
        line.cancel()  # its answer would be somebody else's: the connection goes
        await until(lambda: waiting.over)

        assert waiting.body == b"/waiting"
        assert (pool.side.connections, pool.pool.connections) == (2, 1)


async def test_a_message_that_may_use_no_idle_connection_gets_its_own_when_its_turn_comes():
    busy = Busy()
    async with bench(busy, connections=1) as pool:
        first, second = await crowd(pool, b"ab", after=ELSEWHERE)
        busy.free.release()
        busy.free.release()
        await until(lambda: first.over and second.over)

        assert second.body == b"/b"
        assert (pool.side.connections, pool.pool.connections) == (2, 1)


async def test_a_side_that_refuses_is_told_to_all_who_wait():
    unused = socket.create_server(("127.0.0.1", 0))
    address = unused.getsockname()
    unused.close()
    pool = Pool("modern", [Place(*address)], Wheel(Clock()), WireLimits(), PoolLimits(1))
    crowded = [Told() for _ in range(5)]
    for told in crowded:
        pool.send(GET, told, QUEUING)
    await until(lambda: all(told.over for told in crowded))

    assert [told.error is not None and told.error.is_ours for told in crowded] == [False] * 5
    assert (pool.pending, pool.connections) == (0, 0)


async def test_a_body_that_comes_while_its_message_waits_follows_the_head():
    busy = Busy()
    async with bench(busy, connections=1) as pool:
        first, writer = Told(), Told(sending=6)
        pool.send(first, get(b"/first"), QUEUING)
        line = pool.send(writer, b"PUT /w HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n", QUEUING)
        line.write_body(b"abc")
        line.write_body(b"def")
        line.end_body()
        busy.free.release()
        busy.free.release()
        await until(lambda: first.over and writer.over)

        assert [seen.body for seen in pool.side.seen] == [b"", b"abcdef"]

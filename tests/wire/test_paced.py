"""Pacing: a connection is read from unless it is paused or gives way, and what it has read is looked at first."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from proxy.wire.paced import Paced
from tests.waiting import until


class Reader(asyncio.Protocol, Paced):
    """Reads a byte in each of its turns."""

    def __init__(self) -> None:
        Paced.__init__(self)
        self.waiting = b""
        self.turns = b""
        self.faulty = self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        self.take_turn()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True

    def is_behind(self) -> bool:
        return bool(self.waiting)

    def take_turn(self) -> None:
        if self.faulty:
            raise RuntimeError("a fault")
        if not self.paused:
            self.turns += self.waiting[:1]
            self.waiting = self.waiting[1:]
            if self.waiting:
                self.give_way()


@asynccontextmanager
async def reading() -> AsyncIterator[tuple[Reader, socket.socket]]:
    ours, theirs = socket.socketpair()
    transport, reader = await asyncio.get_running_loop().create_connection(Reader, sock=ours)
    try:
        yield reader, theirs
    finally:
        transport.abort()
        theirs.close()


async def test_a_connection_that_gives_way_takes_one_turn_at_a_time_and_reads_nothing_meanwhile():
    async with reading() as (reader, peer):
        peer.send(b"abcd")
        await until(lambda: reader.turns, every_s=0)
        peer.send(b"efgh")
        turns = [reader.turns]
        while reader.turns != b"abcdefgh":
            await asyncio.sleep(0)
            turns.append(reader.turns)
        assert all(len(after) - len(before) <= 2 for before, after in itertools.pairwise(turns))


async def test_a_pause_outlasts_the_turn_and_a_resume_begins_with_what_was_read():
    async with reading() as (reader, peer):
        peer.send(b"abcd")
        await until(lambda: reader.turns, every_s=0)
        reader.pause()
        reader.pause()
        peer.send(b"e")
        for _ in range(5):
            await asyncio.sleep(0)
        assert (reader.turns, reader.waiting) == (b"a", b"bcd")
        reader.resume()
        assert reader.turns == b"a"  # not from within
        reader.resume()
        await until(lambda: reader.turns == b"abcde")


async def test_pausing_and_resuming_before_the_turn_leaves_the_turn_to_come():
    async with reading() as (reader, peer):
        peer.send(b"abc")
        await until(lambda: reader.turns, every_s=0)
        reader.pause()
        reader.resume()
        assert reader.turns == b"a"
        await until(lambda: reader.turns == b"abc")


async def test_a_pause_while_nothing_waits_stops_reading():
    async with reading() as (reader, peer):
        reader.pause()
        peer.send(b"a")
        for _ in range(5):
            await asyncio.sleep(0)
        assert not reader.turns
        reader.resume()
        await until(lambda: reader.turns == b"a")


async def test_a_turn_of_a_connection_that_is_gone_is_not_taken():
    async with reading() as (reader, peer):
        peer.send(b"abc")
        await until(lambda: reader.turns, every_s=0)
        reader.transport.abort()
        reader.pause()
        reader.resume()
        reader.give_way()
        await until(lambda: reader.lost)
        assert reader.turns == b"a"


async def test_a_fault_within_a_turn_ends_the_connection_and_is_told():
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    async with reading() as (reader, peer):
        peer.send(b"abc")
        await until(lambda: reader.turns, every_s=0)
        reader.faulty = True
        await until(lambda: reader.lost)
        assert isinstance(told[0], RuntimeError)

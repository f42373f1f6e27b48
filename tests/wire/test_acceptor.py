"""Accepting on a socket that others accept on, too: nobody runs ahead, nobody waits for one that hangs."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.wire.acceptor import Acceptor
from tests.scarcity import no_descriptors
from tests.waiting import until


class Shares:
    """The board of a few acceptors in one process."""

    def __init__(self, slack: int = 4) -> None:
        self.slack = slack
        self.held: dict[int, int] = {}

    def of(self, place: int) -> Share:
        self.held[place] = 0
        return Share(self, place)


class Share:
    def __init__(self, shares: Shares, place: int) -> None:
        self._shares = shares
        self._place = place

    def hold(self, connections: int) -> None:
        self._shares.held[self._place] = connections

    def room(self, connections: int) -> int:
        others = [held for place, held in self._shares.held.items() if place != self._place]
        return min(others, default=connections) + self._shares.slack - connections


class House:
    """What an acceptor feeds: protocols that only stand."""

    def __init__(self, sock: socket.socket, share: Share | None) -> None:
        self.transports: list[asyncio.BaseTransport] = []
        self.pauses = 0
        self._share = share
        self.acceptor = Acceptor(sock, lambda: Standing(self), lambda: len(self.transports), share, self.ran_out)

    def ran_out(self) -> None:
        self.pauses += 1

    def stands(self, transport: asyncio.BaseTransport) -> None:
        self.transports.append(transport)
        if self._share is not None:
            self._share.hold(len(self.transports))


class Standing(asyncio.Protocol):
    def __init__(self, house: House) -> None:
        self._house = house

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._house.stands(transport)


@asynccontextmanager
async def listening() -> AsyncIterator[socket.socket]:
    sock = socket.create_server(("127.0.0.1", 0), backlog=512)
    sock.setblocking(False)
    try:
        yield sock
    finally:
        sock.close()


@asynccontextmanager
async def connected(sock: socket.socket, count: int) -> AsyncIterator[list[socket.socket]]:
    """Connections that stand in the kernel, whether anybody accepts them or not."""
    clients = [socket.create_connection(sock.getsockname()) for _ in range(count)]
    try:
        yield clients
    finally:
        for client in clients:
            client.close()


async def test_a_burst_is_shared():
    shares = Shares()
    async with listening() as sock, connected(sock, 100):
        houses = [House(sock.dup(), shares.of(place)) for place in range(4)]
        for house in houses:
            house.acceptor._sock.setblocking(False)
            house.acceptor.start()
        await until(lambda: sum(shares.held.values()) == 100)
        assert max(shares.held.values()) <= 25 * 1.5
        for house in houses:
            house.acceptor.stop()


async def test_who_is_ahead_leaves_what_waits_to_the_others(monkeypatch):
    monkeypatch.setattr("proxy.wire.acceptor.PAUSE_S", 3600)
    shares = Shares()
    async with listening() as sock, connected(sock, 6):
        ahead, behind = (House(sock.dup(), shares.of(place)) for place in range(2))
        shares.held[0] = 10
        ahead.acceptor._held = lambda: 10 + len(ahead.transports)
        for house in (ahead, behind):
            house.acceptor._sock.setblocking(False)
            house.acceptor.start()
        await until(lambda: shares.held[1] == 6)
        assert ahead.transports == []
        for house in (ahead, behind):
            house.acceptor.stop()


async def test_one_that_hangs_keeps_nobody_waiting():
    shares = Shares()
    shares.of(1)  # it never takes anything
    async with listening() as sock, connected(sock, 60):
        house = House(sock.dup(), shares.of(0))
        house.acceptor._sock.setblocking(False)
        house.acceptor.start()
        await until(lambda: shares.held[0] == 60)
        house.acceptor.stop()


@pytest.mark.parametrize("alone", [True, False])
async def test_what_waits_when_it_stops_is_taken_and_what_comes_later_refused(alone):
    async with listening() as sock:
        house = House(sock, None if alone else Shares().of(0))
        house.acceptor.start()
        async with connected(sock, 50) as clients:  # no turn of the loop since
            house.acceptor.stop()
            await house.acceptor.settled()
            assert len(house.transports) == 50
            for transport, client in zip(house.transports, clients, strict=True):
                transport.write(b"taken")
                transport.close()
                client.settimeout(5)
            await asyncio.sleep(0)
            assert [await asyncio.to_thread(client.recv, 10) for client in clients] == [b"taken"] * 50
        house.acceptor.stop()


async def test_others_go_on_when_one_stops():
    shares = Shares()
    async with listening() as sock:
        leaving, staying = (House(sock.dup(), shares.of(place)) for place in range(2))
        for house in (leaving, staying):
            house.acceptor._sock.setblocking(False)
            house.acceptor.start()
        leaving.acceptor.stop()
        del shares.held[0]
        async with connected(sock, 20):
            await until(lambda: shares.held[1] == 20)
        assert leaving.transports == []
        staying.acceptor.stop()


async def test_a_client_that_has_left_is_no_fault():
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    async with listening() as sock:
        for _ in range(5):
            gone = socket.create_connection(sock.getsockname())
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            gone.close()
        house = House(sock, Shares().of(0))
        house.acceptor.start()
        async with connected(sock, 1):
            await until(lambda: len(house.transports) >= 1)
        house.acceptor.stop()
        await house.acceptor.settled()
    assert faults == []


class Counting(socket.socket):
    """A listening socket that counts how often somebody asked it for a connection."""

    asked = 0

    def accept(self) -> tuple[socket.socket, object]:
        self.asked += 1
        return super().accept()


@asynccontextmanager
async def short_of_descriptors(alone: bool) -> AsyncIterator[tuple[Counting, House]]:
    """An acceptor before a socket on which a client waits that it has no descriptor for."""
    async with listening() as plain:
        sock = Counting(fileno=plain.dup().detach())
        sock.setblocking(False)
        house = House(sock, None if alone else Shares().of(0))
        async with connected(plain, 1):
            with no_descriptors():
                house.acceptor.start()
                await until(lambda: sock.asked)
                for _ in range(50):
                    await asyncio.sleep(0)
            yield sock, house
            house.acceptor.stop()
            await house.acceptor.settled()


async def test_who_has_no_descriptor_left_is_not_woken_for_nothing(monkeypatch):
    """The socket stays readable for as long as the client waits there: the process would do nothing else."""
    monkeypatch.setattr("proxy.wire.acceptor.SHORT_S", 3600)
    async with short_of_descriptors(alone=False) as (sock, house):
        assert (sock.asked, house.transports, house.pauses) == (1, [], 1)


async def test_who_had_no_descriptor_left_takes_what_waits_when_there_are_some(monkeypatch):
    monkeypatch.setattr("proxy.wire.acceptor.SHORT_S", 0.001)
    async with short_of_descriptors(alone=False) as (_, house):
        await until(lambda: len(house.transports) == 1)


async def test_who_is_alone_without_a_descriptor_turns_away_at_once_whoever_waits():
    async with short_of_descriptors(alone=True) as (sock, house):
        assert (house.transports, house.pauses) == ([], 1)
        assert sock.asked <= 4, "one that fails, one that is turned away, and as many that tell that nobody waits"
        async with connected(sock, 2):  # there are descriptors again
            await until(lambda: len(house.transports) == 2)


class Starved(Counting):
    """A listening socket of a system that has nothing left for anybody."""

    fault: int | None = errno.ENFILE

    def accept(self) -> tuple[socket.socket, object]:
        self.asked += 1
        if self.fault is not None:
            raise OSError(self.fault, os.strerror(self.fault))
        return socket.socket.accept(self)


@pytest.mark.parametrize("fault", [errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
async def test_where_the_whole_system_is_short_clients_wait_and_are_taken_later(fault, monkeypatch):
    monkeypatch.setattr("proxy.wire.acceptor.SHORT_S", 0.001)
    async with listening() as plain:
        sock = Starved(fileno=plain.dup().detach())
        sock.setblocking(False)
        sock.fault = fault
        house = House(sock, None)
        house.acceptor.start()
        async with connected(plain, 1):
            await until(lambda: house.pauses > 2)
            assert sock.asked <= 2 * house.pauses and house.transports == []
            sock.fault = None
            await until(lambda: len(house.transports) == 1)
        house.acceptor.stop()
        await house.acceptor.settled()

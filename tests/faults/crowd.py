"""
A crowd of slow clients: heads that dribble, bodies that stop, readers that take nothing; and how long each stays.

`python -m tests.faults.crowd PORT HEADS BODIES READERS`: one in a process of its own, where whoever is turned out comes
again; it says `there` when all are, and how many were turned out when its stdin ends.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from contextlib import suppress

from tests.faults.pace import pause
from tests.faults.tokens import ID_FIELD
from tests.waiting import until

DRIBBLE_S = 0.5
LOOK_S = 0.1
STEPS = 50  # in which a crowd dribbles: at once it would be a burst
ESTABLISHED = 1  # of Linux's TCP states
UNREAD = 400  # long answers that a slow reader asks for: far more than any buffer takes


class Crowd:
    """Slow clients of one gateway; `stayed_s` has, by kind, how long those stayed that were turned out."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.stayed_s: dict[str, list[float]] = {}
        self._there: dict[str, dict[socket.socket, float]] = {}
        self._first: dict[str, bytes] = {}  # what each kind sends
        self._dribbling: asyncio.Task[None] | None = None

    async def come(self, *, heads: int, bodies: int, readers: int) -> None:
        long = b"GET /api/users/20 HTTP/1.1\r\nhost: a\r\n%b: -20\r\n\r\n" % ID_FIELD
        post = b"POST /api/users HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nbeginning"
        for kind, count, first in (
            ("slow heads", heads, b"GET /api/users/1 HTTP/1.1\r\n"),
            ("slow bodies", bodies, post),
            ("slow readers", readers, long * UNREAD),
        ):
            self.stayed_s[kind] = []
            self._first[kind] = first
            self._there[kind] = {}
            for _ in range(count):
                await self._one(kind, first)
        self._dribbling = asyncio.create_task(self._dribble())

    async def _one(self, kind: str, first: bytes) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        with suppress(BlockingIOError):
            sock.send(first)
        self._there[kind][sock] = time.monotonic()

    async def come_again(self) -> int:
        """Let those come again who were turned out since; return how many they were."""
        turned_out = 0
        for kind, there in self._there.items():
            gone = [sock for sock in there if state_of(sock) != ESTABLISHED]
            turned_out += len(gone)
            for sock in gone:
                del there[sock]
                sock.close()
                await self._one(kind, self._first[kind])
        return turned_out

    def left(self, kind: str) -> int:
        """How many of a kind are still connected."""
        return len(self._there[kind])

    async def gone(self, within_s: float) -> None:
        """Wait until all were turned out; who was not stays in `left`."""
        with suppress(AssertionError):
            await until(self._all_gone, within_s, LOOK_S)

    def _all_gone(self) -> bool:
        now = time.monotonic()
        for kind, there in self._there.items():
            for sock in [sock for sock in there if state_of(sock) != ESTABLISHED]:
                self.stayed_s[kind].append(now - there.pop(sock))
                sock.close()
        return not any(self._there.values())

    async def _dribble(self) -> None:
        while True:
            heads = list(self._there["slow heads"])
            for step in range(STEPS):
                await pause(DRIBBLE_S / STEPS)
                for sock in heads[step::STEPS]:
                    with suppress(OSError):
                        sock.send(b"x")

    async def close(self) -> None:
        if self._dribbling is not None:
            self._dribbling.cancel()
            with suppress(asyncio.CancelledError):
                await self._dribbling
        for there in self._there.values():
            for sock in there:
                sock.close()


def state_of(sock: socket.socket) -> int:
    """
    Return the kernel's state of a connection; it tells of an end without anything being read.

    Of a reset, at least: an orderly end comes behind what was not read, and megabytes wait with it on the other side.
    """
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


async def main(port: int, heads: int, bodies: int, readers: int) -> None:
    crowd = Crowd(port)
    await crowd.come(heads=heads, bodies=bodies, readers=readers)
    print("there", flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    turned_out = 0
    while not reader.at_eof():
        turned_out += await crowd.come_again()
        with suppress(TimeoutError):
            await asyncio.wait_for(reader.read(), 1.0)
    await crowd.close()
    print(turned_out, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))

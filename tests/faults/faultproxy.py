"""
A TCP proxy that can be told to misbehave: late, slow, in crumbs, torn, silent, gone.

Knows bytes and connections, no HTTP. Toxics may be changed at any moment and combined, and hold for connections that
stand as well as for new ones; each direction has its own.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

from tests.faults.pace import moment, pause
from tests.scarcity import fill_up

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing resets the connection
BACKLOG = 1024  # with fewer, a crowd that comes at once would have to knock again after a second
READ_BYTES = 65_536
TURN_S = 0.05  # a bandwidth is kept to by writing what may pass in this time
QUEUED_READS = 16  # what waits in one direction; beyond that the sender has to wait


class CutBy(StrEnum):
    """How a connection is cut."""

    CLOSE = "close"  # an orderly end, in the middle of whatever was under way
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Toxics:
    """
    What one direction suffers from; nothing of it by default. Sizes count from the connection's first byte.

    A drip is `slice_bytes=1` with a `slice_pause_s`; a reset at the first byte is `cut_after=0`.
    """

    latency_s: float = 0.0
    jitter_s: float = 0.0  # the latency is off by up to this, either way
    bytes_per_s: float = 0.0  # 0: as fast as it goes
    slice_bytes: int = 0  # largest segment; 0: as it comes
    slice_pause_s: float = 0.0  # between two segments
    hang: bool = False  # taken and kept until this is over
    cut_after: int | None = None  # both directions end once this many bytes have passed
    cut_by: CutBy = CutBy.CLOSE
    half_close_after: int | None = None  # this direction ends then, what else comes is swallowed; the other one stays
    corrupt: frozenset[int] = frozenset()  # offsets of bytes that are flipped
    slow_close_s: float = 0.0  # an end of the sender is passed on this much later


HEALTHY = Toxics()


class _Cut(Exception):
    """The connection has to end now."""


class FaultProxy:
    """
    Passes connections on to `target` and whatever `toxics` say.

    `up` is the direction from whoever connected to the target, `down` the way back. `close` ends everything.
    """

    def __init__(self, target: int, seed: int = 0) -> None:
        self.target = target
        self.port = 0
        self.up = self.down = HEALTHY
        self.connections = 0  # so far
        self.chance = random.Random(seed)
        self.changed = asyncio.Event()
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._hole: list[socket.socket] = []

    async def start(self) -> int:
        """Listen, on the port of before if there was one, and return it."""
        self._close_hole()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=BACKLOG)
        self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    def stop_accepting(self) -> None:
        """Refuse connections until the next `start`; those that stand go on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def swallow(self) -> None:
        """Answer nothing any more, not even to who wants to connect, as if packets were lost; until `start`."""
        self.stop_accepting()
        self.poison(up=Toxics(hang=True), down=Toxics(hang=True))
        full = socket.socket()
        self._hole = [full, *fill_up(full, self.port)]

    def poison(self, up: Toxics = HEALTHY, down: Toxics = HEALTHY) -> None:
        """Put toxics in force, in place of all others."""
        self.up, self.down = up, down
        self.changed.set()
        self.changed = asyncio.Event()

    def heal(self) -> None:
        """Go back to passing everything on as it comes."""
        self.poison()

    def reset_all(self) -> None:
        """Reset every connection that stands."""
        for link in list(self._links):
            link.cut(CutBy.RESET)

    async def close(self) -> None:
        """End everything."""
        self.stop_accepting()
        self._close_hole()
        self.reset_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _close_hole(self) -> None:
        for sock in self._hole:
            sock.close()
        self._hole = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        link = Link(writer)
        self._links.add(link)
        how = CutBy.RESET  # unless it ends in any better way
        with suppress(OSError, asyncio.CancelledError):  # the task is the proxy's own and ends here
            back, onward = await asyncio.open_connection("127.0.0.1", self.target)
            link.ends.append(onward)
            how = await _both(Way(self, "up", reader, onward), Way(self, "down", back, writer))
        self._links.discard(link)
        link.cut(how)


async def _both(*ways: Way) -> CutBy:
    """Pass on both directions until they have ended; return how the connection is to end."""
    try:
        async with asyncio.TaskGroup() as steps:
            for way in ways:
                steps.create_task(way.take())
                steps.create_task(way.hand_on())
    except* _Cut as cuts:
        how = CutBy(str(cuts.exceptions[0]))
    except* OSError:
        how = CutBy.RESET
    else:
        how = CutBy.CLOSE
    return how


@dataclass(eq=False)
class Link:
    """Both ends of one connection."""

    first: asyncio.StreamWriter
    ends: list[asyncio.StreamWriter] = field(default_factory=list)

    def cut(self, how: CutBy) -> None:
        """End both ends; what was written before still arrives if they are closed in order."""
        for writer in (self.first, *self.ends):
            sock = writer.get_extra_info("socket")
            if how is CutBy.RESET:
                with suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                writer.transport.abort()
            else:
                writer.close()


class Way:
    """One direction of one connection: what was read waits in a queue until it is due."""

    def __init__(
        self, proxy: FaultProxy, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._proxy = proxy
        self._name = name
        self._reader = reader
        self._writer = writer
        self._queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUED_READS)
        self._passed = 0
        self._mute = False

    @property
    def toxics(self) -> Toxics:
        """What is in force now."""
        return self._proxy.up if self._name == "up" else self._proxy.down

    async def take(self) -> None:
        """Read until the sender has ended; nothing overtakes what came before it."""
        due, data = 0.0, b"."
        while data:
            data = await self._reader.read(READ_BYTES)
            toxics = self.toxics
            late_s = toxics.latency_s + toxics.jitter_s * self._proxy.chance.uniform(-1, 1)
            due = max(due, asyncio.get_running_loop().time() + late_s)
            await self._queue.put((due, data))

    async def hand_on(self) -> None:
        """Write what is due, as the toxics of that moment have it."""
        while True:
            due, data = await self._queue.get()
            await moment(due)
            while self.toxics.hang:
                await self._proxy.changed.wait()
            if not data:
                break
            await self._pass(data)
        await pause(self.toxics.slow_close_s)
        self._end()

    async def _pass(self, data: bytes) -> None:
        """Write a block as far as it may go, piece by piece; what is in force may change in between."""
        while data and not self._mute:
            toxics = self.toxics
            left = len(data)
            for limit in (toxics.cut_after, toxics.half_close_after):
                left = left if limit is None else max(0, min(left, limit - self._passed))
            turn = max(1, int(toxics.bytes_per_s * TURN_S)) if toxics.bytes_per_s else left
            size = min(left, toxics.slice_bytes or left, turn)
            await self._write(data[:size], toxics)
            data = data[size:]
            if toxics.cut_after is not None and self._passed >= toxics.cut_after:
                raise _Cut(toxics.cut_by)
            if toxics.half_close_after is not None and self._passed >= toxics.half_close_after:
                self._end()

    async def _write(self, piece: bytes, toxics: Toxics) -> None:
        self._writer.write(corrupted(piece, self._passed, toxics.corrupt))
        await self._writer.drain()
        self._passed += len(piece)
        await pause(toxics.slice_pause_s + (len(piece) / toxics.bytes_per_s if toxics.bytes_per_s else 0.0))

    def _end(self) -> None:
        if not self._mute and self._writer.can_write_eof() and not self._writer.is_closing():
            self._writer.write_eof()
        self._mute = True


def corrupted(data: bytes, offset: int, flips: frozenset[int]) -> bytes:
    """Return `data`, whose first byte is the `offset`th of the connection, with the bytes at `flips` inverted."""
    if not flips:
        return data
    return bytes(byte ^ 0xFF if offset + at in flips else byte for at, byte in enumerate(data))

"""
The two ends of a conversation: callers, who send what they are told to, and lines, on which a side replies as told.

Both remember every byte. They judge nothing; only where requests end on a line is read here, by the strictest grammar.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from tests.fuzz.conversation import TOKEN, WHOLE, Reply
from tests.fuzz.generate import pieces
from tests.fuzz.reader import GOOD, SWITCHED, Outcome, read_reply
from tests.wire import grammar

if TYPE_CHECKING:
    from tests.fuzz.world import World

_RESET = struct.pack("ii", 1, 0)
_NO_PORT = 24  # IP_BIND_ADDRESS_NO_PORT: the port is chosen when connecting, so that there are enough of them


def reset(transport: asyncio.BaseTransport) -> None:
    """Close with a reset."""
    transport = cast(asyncio.Transport, transport)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


class Caller(asyncio.Protocol):
    """One client, from an address of its own."""

    def __init__(self, world: World, number: int) -> None:
        self._world = world
        self.number = number
        self.address = b"127.0.0.%d" % (number + 2)
        self.sent = bytearray()
        self.received = bytearray()
        self.ended = ""  # by the gateway: `eof` or `reset`
        self.left = ""  # by itself: `half`, `close`, `reset`
        self.deaf = False
        self.was_deaf = False
        self.waited = False  # time passed since it sent something, or half-closed
        self.transport: asyncio.Transport

    @classmethod
    async def connect(cls, world: World, number: int, port: int) -> Caller:
        caller = cls(world, number)
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_IP, _NO_PORT, 1)
        sock.bind((caller.address.decode(), 0))
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
        await asyncio.get_running_loop().create_connection(lambda: caller, sock=sock)
        return caller

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self._world.moves += 1
        self.received += data

    def eof_received(self) -> bool:
        self._world.moves += 1
        self.ended = self.ended or "eof"
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._world.moves += 1
        if self.left not in ("close", "reset"):
            self.ended = self.ended or ("reset" if exc is not None else "eof")

    @property
    def is_over(self) -> bool:
        return bool(self.ended) or self.left in ("close", "reset")

    def send(self, data: bytes, at_once: bool = False) -> None:
        """Send a segment; `at_once`: it is on its way when this returns."""
        if not self.is_over and self.left != "half":
            self.sent += data
            self.waited = False
            if at_once and not self.transport.get_write_buffer_size():
                with suppress(OSError):
                    data = data[os.write(self.transport.get_extra_info("socket").fileno(), data) :]
            if data:
                self.transport.write(data)

    def leave(self, how: str) -> None:
        if self.is_over or self.left == how:
            return
        self.left = how
        self.waited = False
        if how == "half":
            self.transport.write_eof()
        elif how == "close":
            self.transport.abort()
        else:
            reset(self.transport)

    def listen(self, does: bool) -> None:
        if self.is_over or self.deaf is not does:
            return
        self.deaf = not does
        self.was_deaf = True
        if does:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()


class Asked:
    """One request as it came over a line, as far as it came, and what the side sent for it."""

    def __init__(self, line: Line, head: grammar.Head, reply: Reply, order: int) -> None:
        self.line = line
        self.head = head
        self.method = head.first[0]
        self.order = order
        self.length = cast(int, grammar.length_of(head, 1))
        self.rid = (head.values(b"x-request-id") or [b""])[0]
        self.address = (head.values(b"x-forwarded-for") or [b""])[0]
        self.body = bytearray()
        self.whole = self.length == 0
        self.reply = reply
        self.sent = bytearray()
        self.ended = ""
        self.done = False  # all of the reply was sent
        self.tunnel = bytearray()
        self.hurried = False  # the next request came before that

    @property
    def upgrade(self) -> bytes:
        return b", ".join(self.head.values(b"upgrade"))

    @property
    def token(self) -> bytes:
        found = re.fullmatch(rb"banyan-([0-9a-f]+)", self.rid)
        return b"~%08x~" % (int(found[1], 16) if found else 0)

    @property
    def is_tunnel(self) -> bool:
        return bool(self.upgrade) and self.outcome().kind == SWITCHED

    def outcome(self) -> Outcome:
        return read_reply(bytes(self.sent), self.ended, self.method, self.upgrade)

    def segments(self) -> list[bytes]:
        """
        Return the reply as it will be sent.

        What stands behind a whole answer goes out with its end: a little later it could not be told from the answer
        to the next request, by nobody. Only where the head speaks of a body that must not follow it may come alone.
        """
        reply = self.reply
        data = reply.data.replace(TOKEN, self.token)
        ended = {"": "", "reset": "reset"}.get(reply.end, "eof")
        outcome = read_reply(data, ended, self.method, self.upgrade)
        cuts = reply.cuts
        if outcome.kind == GOOD:
            if self.method == b"HEAD" and reply.bare:
                data = data[: outcome.minimum]
            if not outcome.declares:
                cuts = tuple(cut for cut in cuts if cut < outcome.minimum)
        return pieces(data, cuts)

    def take(self, data: bytearray) -> None:
        """Move what is body from `data`, which the gateway frames in the plainest way. AssertionError if not."""
        if self.length >= 0:
            missing = self.length - len(self.body)
            self.body += data[:missing]
            del data[:missing]
            self.whole = len(self.body) == self.length
            return
        while not self.whole and (end := data.find(b"\r\n")) >= 0:
            line = bytes(data[:end])
            assert re.fullmatch(rb"[1-9a-f][0-9a-f]*|0", line), line
            size = int(line, 16)
            if len(data) < end + 4 + size:
                return
            assert data[end + 2 + size : end + 4 + size] == b"\r\n", bytes(data[end + 2 + size :][:20])
            self.body += data[end + 2 : end + 2 + size]
            del data[: end + 4 + size]
            self.whole = not size


class Line(asyncio.Protocol):
    """One connection from the gateway to a side."""

    def __init__(self, world: World, side: str) -> None:
        self._world = world
        self.side = side
        self.asked: list[Asked] = []
        self.held = bytearray()  # of a head or a chunk that has not come whole
        self.greeted = b""
        self.lost = False
        self.asked_before_stray = -1  # how many requests it had got when it said something unasked
        self.odd = b""  # bytes that are no request
        self.over = False  # the side ended it
        self.held_back = False  # the rest of its reply waits until nothing moves any more
        self.deaf = False
        self.late = False  # time passed while it read nothing or had not said all
        self._segments: list[bytes] = []
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._world.moves += 1
        self._world.lines.append(self)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.greeted = self._world.greeting()
        if self.greeted:
            self.transport.write(self.greeted)

    def data_received(self, data: bytes) -> None:
        self._world.moves += 1
        if self.asked and self.asked[-1].is_tunnel:
            self.asked[-1].tunnel += data
            if not self.over:
                self.transport.write(data)
                self.asked[-1].sent += data
            return
        self.held += data
        try:
            while self.held and not self.odd:
                if (not self.asked or self.asked[-1].whole) and not self._next():
                    return
                self.asked[-1].take(self.held)
                self._consider(self.asked[-1])
                if not self.asked[-1].whole:
                    return
        except AssertionError as exc:
            self.odd = bytes(self.held) or str(exc).encode()

    def eof_received(self) -> bool:
        self._world.moves += 1
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._world.moves += 1
        self.lost = True
        self.deaf = self.held_back = False
        self._segments = []
        self._world.playing.pop(self, None)

    @property
    def is_idle(self) -> bool:
        if self.lost or self.deaf or not self.asked or self.transport.is_closing():
            return False
        last = self.asked[-1]
        return last.whole and last.done and not last.ended and last.outcome().kind == GOOD

    def say(self, data: bytes) -> None:
        """Say something unasked, at once, so that it is there before whatever the gateway is told next; or close."""
        descriptor = self.transport.get_extra_info("socket").fileno()
        with suppress(OSError):
            if data:
                os.write(descriptor, data)
                self.asked_before_stray = len(self.asked)
            else:
                with socket.socket(fileno=os.dup(descriptor)) as sock:
                    sock.shutdown(socket.SHUT_WR)
                self.transport.close()

    def go_on(self) -> bool:
        """Nothing moved any more: go on with what waited for that; say whether anything did."""
        waited = self.held_back or self.deaf
        self.held_back = False
        if self.deaf:
            self.deaf = False
            self.transport.resume_reading()
        return waited

    def _next(self) -> bool:
        """Open the next request if its head is whole."""
        end = self.held.find(b"\r\n\r\n") + 4
        if end < 4:
            return False
        head = grammar.read(bytes(self.held[:end]))
        assert head is not None and grammar.length_of(head, 1) is not None, "no head"
        assert head.first[2] == b"1" and len(head.values(b"host")) == 1, "no good head"
        del self.held[:end]
        if self.asked and self._segments:
            self.asked[-1].hurried = True
        asked = Asked(self, head, self._world.next_reply(), len(self._world.asked))
        if not self.asked:
            asked.sent += self.greeted
        self.asked.append(asked)
        self._world.asked.append(asked)
        if asked.reply.deaf and not self.lost:
            self.deaf = True
            self.transport.pause_reading()
        self._consider(asked)
        return True

    def _consider(self, asked: Asked) -> None:
        """Begin to reply if it is time to."""
        if self.over or self in self._world.playing or asked.done or asked is not self.asked[-1]:
            return
        if asked.whole or WHOLE < asked.reply.after <= len(asked.body):
            self._segments = asked.segments()
            self._world.playing[self] = asked

    def play(self, asked: Asked) -> None:
        """Send the next segment of a reply, or end it."""
        end = asked.reply.end
        if self._segments:
            segment = self._segments.pop(0)
            asked.sent += segment
            self.transport.write(segment)
            if self._segments or end:
                self.held_back = asked.reply.waits
                return
        asked.done = True
        del self._world.playing[self]
        if end:
            self.over = True
            for each in self.asked:  # another request may have come before the end did
                each.ended = each.ended or (
                    "" if each is not asked and each.done else "reset" if end == "reset" else "eof"
                )
        if end == "close":
            self.transport.close()
        elif end == "half":
            self.transport.write_eof()
        elif end == "reset":
            reset(self.transport)

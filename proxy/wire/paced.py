"""
When a connection is read from: not while whoever takes what it says is slower, and not before its turn has come again.

One read may bring work for a tenth of a second (a body of tiny chunks), in which nobody else would be served. So a
connection gives way after a bounded part of it, and goes on once the others had their turn. Knows no messages.
"""

from __future__ import annotations

import asyncio

from proxy.wire.wheel import Timed

LINES_A_TURN = 256  # of the chunked coding, read before the other connections have their turn: less than 1 ms


class Paced(Timed):
    """A connection that is read from unless it is `paused` from outside, or gives way of its own accord."""

    __slots__ = ("_gives_way", "paused", "transport")

    transport: asyncio.Transport

    def __init__(self) -> None:
        Timed.__init__(self)
        self.paused = False
        self._gives_way = False

    def is_behind(self) -> bool:
        """Say whether some of what was read is still to be looked at: nothing more is read before that."""
        raise NotImplementedError

    def take_turn(self) -> None:
        """Go on after having given way; it may be `paused` by now."""
        raise NotImplementedError

    def pause(self) -> None:
        """Stop reading until `resume`."""
        if not self.paused and not self.transport.is_closing():
            self.paused = True
            if not self._gives_way:
                self.transport.pause_reading()

    def resume(self) -> None:
        """Go on reading, after what is still to be looked at."""
        if self.paused and not self.transport.is_closing():
            self.paused = False
            if self._gives_way:
                return
            if self.is_behind():
                self._come_back()
            else:
                self.transport.resume_reading()

    def give_way(self) -> None:
        """Let the other connections have their turn before this one goes on: reading is what keeps it busy."""
        if not self._gives_way and not self.transport.is_closing():
            if not self.paused:
                self.transport.pause_reading()
            self._come_back()

    def _come_back(self) -> None:
        self._gives_way = True
        asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._gives_way = False
        if self.transport.is_closing():
            return
        if not self.paused:
            self.transport.resume_reading()
        try:
            self.take_turn()
        except Exception:
            self.transport.abort()  # as the event loop does when reading ends in a fault: it must not hang
            raise

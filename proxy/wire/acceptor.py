"""
Accepting from a listening socket: of several processes that share it each gets its part of the connections, and one
that has no descriptor left is not woken for nothing.

The kernel wakes every process for every connection, and whoever comes first takes all that wait: of 64 connections one
of 4 processes got 48 in the median of 15 bursts, and with a few accepted at each turn no less. So each takes a few at a
turn, and none while it is clearly ahead of the others; then one has 17 or 18. Knows sockets, not requests.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

MOST_WAITING = 4096  # connections taken in one go before the socket is closed
A_TURN = 4  # connections taken before the ones that stand have their turn
A_TURN_ALONE = 32
AFTER_PAUSE = 2
PAUSE_S = 0.001  # who is ahead leaves what waits to the others for so long, then takes some of it all the same
SHORT_S = 0.1  # who has no descriptor left tries again after so long: until then it would be woken for nothing
_SHORT = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class Share(Protocol):
    """What the other processes have."""

    def hold(self, connections: int) -> None:
        """Tell the others how many connections this process holds."""

    def room(self, connections: int) -> int:
        """Return how many more it may take before it is too far ahead; 0 or less: none."""


class Acceptor:
    """
    Takes connections from `sock`, which listens, and makes a protocol for each.

    `share` is None for a process that is alone. `held` says how many connections this process has on its books,
    `ran_out` is called whenever there is no descriptor for one who waits. Who is alone then turns it away at once, by
    a descriptor kept for that: waiting behind others that say nothing took newcomers 90 s. Of several another may
    have room. Not left to the event loop: uvloop spins on ENFILE, and took 150 us a connection where this takes 117.
    """

    def __init__(
        self,
        sock: socket.socket,
        make: Callable[[], asyncio.Protocol],
        held: Callable[[], int],
        share: Share | None,
        ran_out: Callable[[], None],
    ) -> None:
        self._sock = sock
        self._make = make
        self._held = held
        self._share = share
        self._ran_out = ran_out
        self._loop = asyncio.get_running_loop()
        self._reserve = -1  # a descriptor, if it is not
        self._coming: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._hold()

    def start(self) -> None:
        """Begin to accept."""
        self._loop.add_reader(self._sock.fileno(), self._ready)

    def stop(self) -> None:
        """Take what already waits, and close the socket: whoever is last to close it resets what is left."""
        self._take(MOST_WAITING)
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()
        if self._pause is not None:
            self._pause.cancel()
        self._release()

    async def settled(self) -> None:
        """Return when all that was taken is on the books."""
        if self._coming:
            await asyncio.wait(self._coming)

    def _ready(self) -> None:
        most = A_TURN_ALONE
        if self._share is not None:
            room = self._share.room(self._held() + len(self._coming))  # some of these are on the books by now: so be it
            if room <= 0:
                self._wait(PAUSE_S)
                return
            most = min(room, A_TURN)
        if not self._take(most):
            self._wait_for_descriptors()

    def _wait(self, for_s: float) -> None:
        self._loop.remove_reader(self._sock.fileno())
        self._pause = self._loop.call_later(for_s, self._go_on)

    def _wait_for_descriptors(self) -> None:
        self._ran_out()
        self._wait(SHORT_S)

    def _release(self) -> None:
        reserve, self._reserve = self._reserve, -1
        if reserve >= 0:
            os.close(reserve)

    def _hold(self) -> None:
        if self._share is None and self._reserve < 0:
            with suppress(OSError):
                self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _turn_away(self) -> int:
        """Close one that waits; return 0, or the errno that says why none was."""
        if self._reserve < 0:
            return errno.EMFILE
        self._release()
        try:
            self._sock.accept()[0].close()
        except OSError as exc:  # none waits any more; or the whole system is short, and another process was faster
            return exc.errno or errno.EMFILE
        finally:
            self._hold()
        self._ran_out()
        return 0

    def _go_on(self) -> None:
        """Whoever was to take what waits may be busy, or hang: nobody is to wait for that."""
        self._pause = None
        self._hold()
        if self._take(AFTER_PAUSE):
            self._loop.add_reader(self._sock.fileno(), self._ready)
        else:
            self._wait_for_descriptors()

    def _take(self, most: int) -> bool:
        """Take what waits, up to `most`; False if we have no descriptor left for it: others may."""
        for _ in range(most):
            try:
                connection, _ = self._sock.accept()
            except OSError as exc:  # nothing waits: another process was faster, or the client has left
                fault = self._turn_away() if exc.errno in _SHORT else exc.errno  # short even when none waits
                if fault:
                    return fault not in _SHORT
                continue
            task = self._loop.create_task(self._adopt(connection))
            self._coming.add(task)
            task.add_done_callback(self._coming.discard)
        return True

    async def _adopt(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        with suppress(OSError):  # it is gone by now
            await self._loop.connect_accepted_socket(self._make, connection)

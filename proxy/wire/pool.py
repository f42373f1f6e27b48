"""
The connections to one address: taken most recently used first, opened when there is none, dropped when in doubt.
When all that may stand are in use, messages wait in a short queue, first come, first served.

`send` never waits: the receiver is told what became of its message. Names are resolved anew for each connection.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections import OrderedDict
from contextlib import suppress

from proxy.core.errors import OUT_OF_DESCRIPTORS, POOL_FULL, Failure, Sent, UpstreamError
from proxy.core.limits import PoolLimits, WireLimits
from proxy.wire.tls import TlsFault, Trust, dialled
from proxy.wire.upstream import Line, Receiver, Upstream
from proxy.wire.wheel import TICK_S, Timed, Wheel, ticks_of

IDLE_S = 30.0  # an idle connection is closed after this, before most servers close theirs
IDLE_TICKS = ticks_of(IDLE_S)
JUST_USED_S = 1.0  # a write takes an idle connection only if it was in use this recently (RFC 9110 section 9.2.2)

_SHORT = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))  # of our own means, not of the side's


class Waits:
    """
    How long a side may take, in seconds: to accept a connection, to send a head, between two bytes.

    `queue_s`: how long a message waits for a connection when all are in use; 0: not at all.
    """

    __slots__ = ("connect_s", "head_s", "head_ticks", "idle_s", "queue_s")

    def __init__(self, connect_s: float, head_s: float, idle_s: float, queue_s: float = 0.0) -> None:
        self.connect_s = connect_s
        self.queue_s = queue_s
        self.head_s = head_s
        self.head_ticks = ticks_of(head_s)
        self.idle_s = idle_s


class Pool:
    """
    All connections to `host:port`.

    Owns them until `close`. `connections` counts those that stand or are being opened. When they are as many as may
    be, a message waits for one. Where the queue is full, or it may not wait, it fails with `Sent.NONE` at once.
    """

    def __init__(
        self, name: str, address: tuple[str, int], wheel: Wheel, limits: WireLimits, own_limits: PoolLimits
    ) -> None:
        self.name = name
        self.address = address
        self.wheel = wheel
        self.limits = limits
        self.tls: Trust | None = None  # how TLS is spoken there, if it is
        self._own_limits = own_limits
        self._idle: list[Upstream] = []
        self._all: set[Upstream] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._pending: OrderedDict[Opening, None] = OrderedDict()  # messages that wait for a connection
        self._is_serving = False

    @property
    def connections(self) -> int:
        """How many connections stand or are being opened."""
        return len(self._all) + len(self._opening)

    @property
    def pending(self) -> int:
        """How many messages wait for a connection."""
        return len(self._pending)

    def send(
        self, message: bytes, receiver: Receiver, waits: Waits, fresh: bool = False, careful: bool = False
    ) -> Line:
        """
        Send `message` and return the line it goes over; what comes of it is told to `receiver`.

        `fresh` takes no idle connection, `careful` (writes) only one that was in use a moment ago.
        """
        line = None if fresh or self._pending else self.take(careful)
        if line is None:
            return Opening(self, message, receiver, waits, fresh, careful)
        line.start(message, receiver, waits)
        return line

    def take(self, careful: bool) -> Upstream | None:
        """Return an idle connection that may be used; None if there is none."""
        idle = self._idle
        while idle:
            line = idle.pop()
            if careful and (self.wheel.tick - line.since) * TICK_S > JUST_USED_S:
                idle.append(line)
                break
            if line.transport.is_closing():
                continue
            if line.stirs(0):  # closed by the peer, or bytes that nobody asked for: its next answer would be a lie
                self.drop(line)
                continue
            return line
        return None

    def give_back(self, line: Upstream) -> None:
        """Take back a connection that is clean and idle."""
        wheel = self.wheel
        line.since = wheel.tick
        due = line.due = wheel.tick + IDLE_TICKS
        if not line.slot or due < line.slot:
            wheel.hold(line, due)
        self._idle.append(line)
        if self._pending:
            self._serve_soon()

    def drop(self, line: Upstream) -> None:
        """Close a connection now; whatever is still in its buffers is lost."""
        line.due = 0
        self.forget(line)
        line.transport.abort()

    def forget(self, line: Upstream) -> None:
        """Take a connection that is gone off the books."""
        if line in self._all:
            self._all.discard(line)
            with suppress(ValueError):
                self._idle.remove(line)
            if self._pending:
                self._serve_soon()

    def may_open(self) -> bool:
        """Say whether a further connection may be opened; an idle one that is in nobody's way gives way."""
        if self.connections < self._own_limits.connections:
            return True
        if not self._idle:
            return False
        self.drop(self._idle[0])  # too old for the message, or not fresh: nobody misses it
        return True

    def queue(self, opening: Opening) -> bool:
        """Let a message wait for its turn; return False if too many wait already."""
        if len(self._pending) >= self._own_limits.pending_requests:
            return False
        self._pending[opening] = None
        return True

    def leave(self, opening: Opening) -> None:
        """Take a message that waits no longer out of the queue."""
        self._pending.pop(opening, None)

    async def connect(self) -> Upstream:
        """Return a connection that stands and is on no books yet. Raises OSError, or UnicodeError for a bad name."""
        line = Upstream(self, self.limits)
        host, port = self.address
        if self.tls is None:
            await asyncio.get_running_loop().create_connection(lambda: line, host, port)
        else:
            secured = await dialled(line, self.tls, host, port)
            line.stirs = secured.stirs  # there is more in a socket with TLS than answers
        return line

    def add(self, line: Upstream) -> None:
        """Take a connection that stands now on the books."""
        self._all.add(line)

    def await_opening(self, task: asyncio.Task[None]) -> None:
        """Keep `task` alive and counted until it ends."""
        self._opening.add(task)
        task.add_done_callback(self._opened)

    async def close(self) -> None:
        """Close every connection."""
        self._pending.clear()
        for task in list(self._opening):
            task.cancel()
        for line in list(self._all):
            self.drop(line)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        if self._pending:
            self._serve_soon()

    def _serve_soon(self) -> None:
        """Not now: whoever gives a connection back has not passed its answer on yet."""
        if not self._is_serving:
            self._is_serving = True
            asyncio.get_running_loop().call_soon(self._serve)

    def _serve(self) -> None:
        """Let those go on who wait, as far as there is room."""
        self._is_serving = False
        while self._pending:
            opening = next(iter(self._pending))
            if not opening.proceed():
                return
            self._pending.pop(opening, None)


class Opening(Timed):
    """A line that does not stand yet: keeps what is written until it does, then passes everything on."""

    __slots__ = (
        "_careful", "_ended", "_fresh", "_kept", "_line", "_message", "_pool", "_receiver", "_task", "_waits",
        "receiver_gone",
    )  # fmt: skip

    def __init__(
        self, pool: Pool, message: bytes, receiver: Receiver, waits: Waits, fresh: bool, careful: bool
    ) -> None:
        super().__init__()
        self._pool = pool
        self._message = message
        self._receiver = receiver
        self._waits = waits
        self._fresh = fresh
        self._careful = careful
        self._kept: list[bytes] = []
        self._ended = False
        self._line: Upstream | None = None
        self._task: asyncio.Task[None] | None = None
        self.receiver_gone = False
        if not pool.pending and pool.may_open():
            self._begin()
        elif waits.queue_s and pool.queue(self):
            pool.wheel.arm(self, waits.queue_s)
        else:
            asyncio.get_running_loop().call_soon(self._fail, "the pool is full", POOL_FULL)

    def proceed(self) -> bool:
        """Go over an idle connection, or open one; return False, and wait on, if neither may be."""
        line = None if self._fresh else self._pool.take(self._careful)
        if line is None and not self._pool.may_open():
            return False
        self._receiver.turn_came()
        if line is not None:
            self._stands(line)
        else:
            self._begin()
        return True

    def write_body(self, data: bytes) -> None:
        """Keep a block until the connection stands; the receiver bounds them, for it was told to wait."""
        if self._line is not None:
            self._line.write_body(data)
        else:
            self._kept.append(data)

    def end_body(self) -> None:
        """End the body."""
        if self._line is not None:
            self._line.end_body()
        else:
            self._ended = True

    def pause(self) -> None:
        """Stop reading the answer."""
        if self._line is not None:
            self._line.pause()

    def resume(self) -> None:
        """Go on reading."""
        if self._line is not None:
            self._line.resume()

    def is_sent(self) -> bool:
        """Say whether a byte of the message may have reached the side."""
        return self._line is not None

    def is_pending(self) -> bool:
        """Say whether the message still waits for a connection that others have."""
        return self._line is None and self._task is None

    def allow(self, waits: Waits) -> None:
        """Let the side take longer, or less long."""
        self._waits = waits
        if self._line is not None:
            self._line.allow(waits)

    def cancel(self) -> None:
        """Let the answer go."""
        self.receiver_gone = True
        self.due = 0
        if self._line is not None:
            if self._line.receiver is self._receiver:
                self._line.cancel()
        elif self._task is not None:
            self._task.cancel()
        else:
            self._pool.leave(self)

    def finish(self) -> None:
        """End a tunnel in order."""
        if self._line is None:
            self.cancel()
        elif self._line.receiver is self._receiver:
            self._line.finish()

    def on_deadline(self) -> None:
        if self._line is not None:
            return
        if self._task is None:
            self._pool.leave(self)
            self._fail(f"none of its connections came free within {self._waits.queue_s:g} s", POOL_FULL)
            return
        self._task.cancel()
        self._fail("no connection within the deadline")

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._open())
        self._pool.wheel.arm(self, self._waits.connect_s)
        self._pool.await_opening(self._task)

    async def _open(self) -> None:
        try:
            line = await self._pool.connect()
        except TlsFault as exc:
            self._fail(f"no TLS connection: {exc}", exc.error)
            return
        except (OSError, UnicodeError) as exc:  # the latter for what cannot be a name at all
            kind = OUT_OF_DESCRIPTORS if is_short(exc) else ""
            self._fail(f"no connection: {getattr(exc, 'strerror', None) or exc}", kind)
            return
        if self.receiver_gone:
            line.transport.abort()
            return
        if line.transport.is_closing() or line.stirs(0):  # closed again, or talking before it was asked
            line.transport.abort()
            self._fail("the side closed the connection at once, or spoke before it was asked")
            return
        self._pool.add(line)
        self._stands(line)

    def _stands(self, line: Upstream) -> None:
        """Send over `line` what was kept."""
        self.due = 0
        self._line = line
        line.start(self._message, self._receiver, self._waits)
        for data in self._kept:
            line.write_body(data)
        self._kept = []
        if self._ended:
            line.end_body()
        if not line.blocked:
            self._receiver.side_writable()

    def _fail(self, detail: str, kind: str = "") -> None:
        if self.receiver_gone:
            return
        self.receiver_gone = True
        self.due = 0
        self._receiver.failed(self, UpstreamError(self._pool.name, Failure.CONNECT, Sent.NONE, detail, kind=kind))


def is_short(exc: OSError | UnicodeError) -> bool:
    """Say whether a connection failed for want of descriptors or memory here: that says nothing of the side."""
    if not isinstance(exc, socket.gaierror):
        return isinstance(exc, OSError) and exc.errno in _SHORT
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))  # the resolver does not tell why it could not ask
    except OSError as found:
        return found.errno in _SHORT
    return False

"""
The connections to the instances of one side: taken most recently used first, opened when there is none, dropped when
in doubt. When all that may stand are in use, messages wait in a short queue, first come, first served.

`send` never waits: the receiver is told what became of its message. Names are resolved anew for each connection.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress

from proxy.core.errors import OUT_OF_DESCRIPTORS, POOL_FULL, Failure, Sent, UpstreamError
from proxy.core.instances import Blame, Change, Roster
from proxy.core.limits import PoolLimits, WireLimits
from proxy.wire.instances import Instance, Place, least_busy
from proxy.wire.tls import TlsFault, dialled
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
    All connections to the instances of a side.

    Owns them until `close`. `connections` counts those that stand or are being opened. When they are as many as may
    be, a message waits for one. Where the queue is full, or it may not wait, it fails with `Sent.NONE` at once.
    """

    def __init__(
        self,
        name: str,
        places: Sequence[Place],
        wheel: Wheel,
        limits: WireLimits,
        own_limits: PoolLimits,
        roster: Roster | None = None,
        tell: Callable[[Change], None] | None = None,
    ) -> None:
        self.name = name
        self.wheel = wheel
        self.limits = limits
        self.roster = roster or Roster(len(places))
        self.instances = tuple(Instance(index, place, self._returned) for index, place in enumerate(places))
        self._asked: Sequence[Instance] = self.instances  # those of them that may be asked
        self._tell = tell
        self._own_limits = own_limits
        self._opening: dict[asyncio.Task[None], Instance] = {}
        self._pending: OrderedDict[Opening, None] = OrderedDict()  # messages that wait for a connection
        self._is_serving = False

    @property
    def connections(self) -> int:
        """How many connections stand or are being opened."""
        return sum(len(each.lines) + each.opening for each in self.instances)

    @property
    def pending(self) -> int:
        """How many messages wait for a connection."""
        return len(self._pending)

    def send(
        self, message: bytes, receiver: Receiver, waits: Waits, careful: bool = False, after: Line | None = None
    ) -> Line:
        """
        Send `message` and return the line it goes over; what comes of it is told to `receiver`.

        `careful` (writes) takes an idle connection only if it was in use a moment ago. `after` is the line on which
        the message failed before: it goes over none that is idle, and to another instance if there is one.
        """
        found = None if self._pending and after is None else self.find(careful, after)  # its turn had come before
        if isinstance(found, Upstream):
            found.start(message, receiver, waits)
            return found
        return Opening(self, message, receiver, waits, careful, after, found)

    def find(self, careful: bool, after: Line | None) -> Upstream | Instance | None:
        """Return the idle connection to use, or the instance to open one to, or None if neither may be."""
        asked = self._asked
        instance = asked[0] if len(asked) == 1 else least_busy(asked, None if after is None else after.instance)
        if after is None and instance.idle:
            line = self._idle_one(instance, careful)
            if line is not None:
                return line
        if self.connections < self._own_limits.connections:
            return instance
        for other in self._asked if after is None else ():
            line = self._idle_one(other, careful)
            if line is not None:
                return line
        idle = max((each.idle for each in self.instances), key=len)
        if not idle:
            return None
        self.drop(idle[0])  # too old for the message, or not fresh, or not to be asked: nobody misses it
        return instance

    def blame(self, line: Line | None) -> Blame:
        """Say whose failure it is that a message failed on `line`."""
        instance = None if line is None else line.instance
        return self.roster.blame(None if instance is None else instance.index)

    def give_back(self, line: Upstream) -> None:
        """Take back a connection that is clean and idle."""
        wheel = self.wheel
        line.since = wheel.tick
        due = line.due = wheel.tick + IDLE_TICKS
        if not line.slot or due < line.slot:
            wheel.hold(line, due)
        line.instance.idle.append(line)
        if self._pending:
            self._serve_soon()

    def drop(self, line: Upstream) -> None:
        """Close a connection now; whatever is still in its buffers is lost."""
        line.due = 0
        self.forget(line)
        line.transport.abort()

    def forget(self, line: Upstream) -> None:
        """Take a connection that is gone off the books."""
        instance = line.instance
        if line in instance.lines:
            instance.lines.discard(line)
            with suppress(ValueError):
                instance.idle.remove(line)
            if self._pending:
                self._serve_soon()

    def queue(self, opening: Opening) -> bool:
        """Let a message wait for its turn; return False if too many wait already."""
        if len(self._pending) >= self._own_limits.pending_requests:
            return False
        self._pending[opening] = None
        return True

    def leave(self, opening: Opening) -> None:
        """Take a message that waits no longer out of the queue."""
        self._pending.pop(opening, None)

    async def connect(self, instance: Instance) -> Upstream:
        """Return a connection that stands and is on no books yet. Raises OSError, or UnicodeError for a bad name."""
        line = Upstream(self, instance, self.limits)
        place = instance.place
        if place.tls is None:
            await asyncio.get_running_loop().create_connection(lambda: line, place.host, place.port)
        else:
            secured = await dialled(line, place.tls, place.host, place.port)
            line.stirs = secured.stirs  # there is more in a socket with TLS than answers
        return line

    def await_opening(self, task: asyncio.Task[None], instance: Instance) -> None:
        """Keep `task`, which opens a connection to `instance`, alive and counted until it ends, or has `ended`."""
        instance.opening += 1
        self._opening[task] = instance
        task.add_done_callback(self.ended)

    def ended(self, task: asyncio.Task[None]) -> None:
        """Count the opening no more: before its end is told, so that a next try does not find it in its way."""
        instance = self._opening.pop(task, None)
        if instance is not None:
            instance.opening -= 1
            if self._pending:
                self._serve_soon()

    def judge(self, instance: Instance, fine: bool) -> None:
        """Take the outcome of one request: an answer below 500, or anything worse."""
        instance.failing = not fine
        self._heed(self.roster.record(instance.index, fine, self.wheel.tick * TICK_S))

    def check(self, instance: Instance, passed: bool, says: str) -> None:
        """Take the outcome of one health check; `says` is what came back."""
        self._heed(self.roster.check(instance.index, passed, says))

    async def close(self) -> None:
        """Close every connection."""
        self._pending.clear()
        for task in list(self._opening):
            task.cancel()
        for instance in self.instances:
            instance.due = 0
            for line in list(instance.lines):
                self.drop(line)

    def _idle_one(self, instance: Instance, careful: bool) -> Upstream | None:
        """Return an idle connection that may be used; None if there is none."""
        idle = instance.idle
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

    def _returned(self, instance: Instance) -> None:
        self._heed(self.roster.end(instance.index, self.wheel.tick * TICK_S))

    def _heed(self, change: Change | None) -> None:
        """Ask whom the roster says from now on."""
        if change is None:
            return
        self._asked = [self.instances[index] for index in self.roster.asked]
        if change.ejected_s:
            self.wheel.arm(self.instances[change.index], change.ejected_s)
        if self._tell is not None:
            self._tell(change)

    def _serve_soon(self) -> None:
        """Not now: whoever gives a connection back has not passed its answer on yet."""
        if not self._is_serving:
            self._is_serving = True
            asyncio.get_running_loop().call_soon(self._serve)

    def _serve(self) -> None:
        """Let those go on who wait, as far as there is room."""
        self._is_serving = False
        while self._pending:
            opening, _ = self._pending.popitem(last=False)
            if not opening.proceed():
                self._pending[opening] = None
                self._pending.move_to_end(opening, last=False)
                return


class Opening(Timed):
    """A line that does not stand yet: keeps what is written until it does, then passes everything on."""

    __slots__ = (
        "_after", "_careful", "_ended", "_kept", "_line", "_message", "_pool", "_receiver", "_task", "_waits",
        "instance", "receiver_gone",
    )  # fmt: skip

    def __init__(
        self,
        pool: Pool,
        message: bytes,
        receiver: Receiver,
        waits: Waits,
        careful: bool,
        after: Line | None,
        instance: Instance | None,
    ) -> None:
        super().__init__()
        self._pool = pool
        self._message = message
        self._receiver = receiver
        self._waits = waits
        self._careful = careful
        self._after = after
        self._kept: list[bytes] = []
        self._ended = False
        self._line: Upstream | None = None
        self._task: asyncio.Task[None] | None = None
        self.instance = instance
        self.receiver_gone = False
        if instance is not None:
            self._begin(instance)
        elif waits.queue_s and pool.queue(self):
            pool.wheel.arm(self, waits.queue_s)
        else:
            asyncio.get_running_loop().call_soon(self._fail, "the pool is full", POOL_FULL)

    def proceed(self) -> bool:
        """Go over an idle connection, or open one; return False, and wait on, if neither may be."""
        found = self._pool.find(self._careful, self._after)
        if found is None:
            return False
        self._receiver.turn_came()
        if isinstance(found, Upstream):
            self._stands(found)
        else:
            self._begin(found)
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

    def blame(self) -> None:
        """Hold it against the instance that somebody waited in vain, unless the message was still in the queue."""
        if self.instance is not None and not self.is_pending():
            self._pool.judge(self.instance, fine=False)

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

    def _begin(self, instance: Instance) -> None:
        self.instance = instance
        self._task = asyncio.get_running_loop().create_task(self._open(instance))
        self._pool.wheel.arm(self, self._waits.connect_s)
        self._pool.await_opening(self._task, instance)

    async def _open(self, instance: Instance) -> None:
        try:
            line = await self._pool.connect(instance)
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
        instance.lines.add(line)
        self._stands(line)

    def _stands(self, line: Upstream) -> None:
        """Send over `line` what was kept."""
        self.due = 0
        self._line = line
        self.instance = line.instance
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
        error = UpstreamError(self._pool.name, Failure.CONNECT, Sent.NONE, detail, kind=kind)
        if self._task is not None:
            self._pool.ended(self._task)
        if self.instance is not None and not error.is_ours:
            self._pool.judge(self.instance, fine=False)
        self._receiver.failed(self, error)


def is_short(exc: OSError | UnicodeError) -> bool:
    """Say whether a connection failed for want of descriptors or memory here: that says nothing of the side."""
    if not isinstance(exc, socket.gaierror):
        return isinstance(exc, OSError) and exc.errno in _SHORT
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))  # the resolver does not tell why it could not ask
    except OSError as found:
        return found.errno in _SHORT
    return False

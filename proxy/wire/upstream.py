"""
Connections to a side: one message out, one answer in, told to whoever sent it as it comes.

Hot: an answer that arrives in one piece is one call of `answer(…, complete=True)`. Bodies are counted (known length)
or decoded by our own chunked decoder; only heads are parsed. Knows nothing of sides, rules or retries: it says what
happened, and how far the request had got.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

from proxy.core.errors import Failure, Sent, UpstreamError
from proxy.core.limits import WireLimits
from proxy.core.messages import UNKNOWN_LENGTH, AnswerHead, SawAnswer
from proxy.wire.chunked import BadChunk, ChunkedDecoder, chunk
from proxy.wire.heads import AnswerReader, BadAnswer
from proxy.wire.paced import LINES_A_TURN, Paced
from proxy.wire.tls import TlsFault

if TYPE_CHECKING:
    from proxy.wire.instances import Instance
    from proxy.wire.pool import Pool, Waits

INTERIM_LIMIT = 16  # 1xx answers before the real one; more is a side gone mad
_CHUNKED = -1  # in `_left`: a decoder tells the end
_UNTIL_CLOSE = -2  # in `_left`: the end of the connection is the end of the body
_NO_BODY = 0
_MANY = 16


class Receiver(Protocol):
    """
    Whoever sent a message: told of the answer as it comes, never from within `send`, except by `failed`.

    After `complete=True`, `failed` or `switched` the line is not its own any more (a tunnel's stays).
    """

    head_only: bool  # the method is HEAD: whatever the answer declares, it has no body
    upgrade: bytes  # the protocol asked for: only then a 101 is taken
    sending: int  # body still to come: 0 all is in the message, UNKNOWN_LENGTH chunked, else bytes of known length

    def answer(self, line: Line, head: AnswerHead, blocks: list[bytes], complete: bool) -> None: ...
    def more(self, line: Line, blocks: list[bytes], complete: bool) -> None: ...
    def interim(self, line: Line, head: AnswerHead) -> None: ...
    def switched(self, line: Line, head: AnswerHead, rest: bytes) -> None: ...
    def failed(self, line: Line, error: UpstreamError) -> None: ...
    def side_blocked(self) -> None: ...
    def side_writable(self) -> None: ...
    def turn_came(self) -> None: ...  # a message that waited in the pool's queue has waited long enough


class Line(Protocol):
    """What a receiver may do to the connection that carries its message, whether it stands already or not."""

    @property
    def instance(self) -> Instance | None: ...
    def write_body(self, data: bytes) -> None: ...
    def end_body(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def is_sent(self) -> bool: ...
    def is_pending(self) -> bool: ...
    def allow(self, waits: Waits) -> None: ...
    def cancel(self) -> None: ...
    def blame(self) -> None: ...
    def finish(self) -> None: ...


class Upstream(asyncio.Protocol, Paced):
    """One connection to a side. Idle in its pool, or carrying one message of one receiver, or a tunnel."""

    __slots__ = (
        "_decoder", "_eof", "_failing", "_head", "_held", "_interims", "_left", "_limits", "_reader", "_searched",
        "_streaming", "_tunnel", "blocked", "instance", "pool", "receiver", "served", "since", "stirs", "waits",
    )  # fmt: skip

    def __init__(self, pool: Pool, instance: Instance, limits: WireLimits) -> None:
        Paced.__init__(self)
        self.pool = pool
        self.instance: Instance = instance
        self._limits = limits
        self._reader = AnswerReader(limits)
        self.receiver: Receiver | None = None
        self._held: bytes | bytearray = b""  # a head that has not come whole
        self._searched = 0
        self._head: AnswerHead | None = None
        self._left = 0
        self._decoder: ChunkedDecoder | None = None
        self._streaming = 0
        self._tunnel = False
        self._eof = False
        self._interims = 0
        self._failing = ""
        self.served = 0  # answers that came whole on this connection
        self.since = 0  # tick of the wheel at which it became idle
        self.blocked = False  # the side takes no more of the request for now
        self.stirs: Callable[[int], object] = _is_quiet  # called with 0: whether there is anything to read
        self.waits: Waits

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            watch = select.poll()
            watch.register(sock.fileno(), select.POLLIN)
            self.stirs = watch.poll

    def data_received(self, data: bytes) -> None:
        receiver = self.receiver
        if receiver is None:
            self.pool.drop(self)  # bytes on an idle connection: nobody asked (RFC 9112 section 9.2)
            return
        if self._head is not None:
            self._body(receiver, data)
            return
        if self._tunnel:
            receiver.more(self, [data], False)
            return
        if self._held:
            self._held += data
            data = self._held  # type: ignore[assignment]
        end = data.find(b"\r\n\r\n", self._searched)
        if end < 0:
            self._wait_for_head(data)
            return
        if self._held:
            data = bytes(data)
            self._held = b""
            self._searched = 0
        self._on_head(receiver, data, end + 4)

    def pause_writing(self) -> None:
        self.blocked = True
        if self.receiver is not None:
            self.receiver.side_blocked()

    def resume_writing(self) -> None:
        self.blocked = False
        if self.receiver is not None:
            self.receiver.side_writable()

    def eof_received(self) -> bool:
        if self._tunnel and self.receiver is not None:
            self.receiver.more(self, [], True)
            return True
        self._eof = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.due = 0
        receiver = self.receiver
        self.pool.forget(self)
        if receiver is None:
            return
        if self._tunnel:
            self._fail(Failure.RESET, "the side closed the tunnel")
        elif self._left == _UNTIL_CLOSE and self._eof and exc is None and self._head is not None:
            self.receiver = None
            self.pool.judge(self.instance, fine=self._head.status < 500)
            receiver.more(self, [], True)
        else:
            untouched = self._head is None and not self._held and not self._interims
            detail = "the side closed the connection before its answer was complete"
            stale = untouched and self.served > 0
            if isinstance(exc, TlsFault):
                self._fail(Failure.RESET, f"TLS failed: {exc}", stale, exc.error)
            else:
                self._fail(Failure.RESET, detail, stale)

    def on_deadline(self) -> None:
        if self.receiver is None:
            self.pool.drop(self)
        elif self.paused or (self._streaming and not self.blocked):
            # Not the side's fault: the client is slow, and its own deadlines see to it.
            self.pool.wheel.arm(self, self.waits.idle_s)
        elif self._head is None:
            self._fail(Failure.TIMEOUT, "no head of an answer within the deadline")
        else:
            self._fail(Failure.TIMEOUT, "no further byte of the answer within the deadline")

    # What the pool calls

    def start(self, message: bytes, receiver: Receiver, waits: Waits) -> None:
        """Send `message` for `receiver`; its further body follows by `write_body`."""
        self.receiver = receiver
        self._streaming = receiver.sending
        self.waits = waits
        self._interims = 0
        wheel = self.pool.wheel
        due = self.due = wheel.tick + waits.head_ticks
        if not self.slot or due < self.slot:
            wheel.hold(self, due)
        self.transport.write(message)

    # What the receiver calls (Line)

    def write_body(self, data: bytes) -> None:
        """Send a block of the request's body, framed as the head said."""
        if self._tunnel:
            self.transport.write(data)
            return
        self.pool.wheel.arm(self, self.waits.head_s)
        if self._streaming == UNKNOWN_LENGTH:
            self.transport.writelines(chunk([data], False))
        else:
            self._streaming -= len(data)
            self.transport.write(data)

    def end_body(self) -> None:
        """End a chunked body; a counted one ends by itself, a tunnel by half-closing."""
        if self._tunnel:
            if self.transport.can_write_eof():
                self.transport.write_eof()
        elif self._streaming == UNKNOWN_LENGTH:
            self._streaming = 0
            self.pool.wheel.arm(self, self.waits.head_s)
            self.transport.write(b"0\r\n\r\n")

    def pause(self) -> None:
        """Stop reading the answer until `resume`: the client is slower than the side."""
        if self.receiver is not None:
            super().pause()

    def is_sent(self) -> bool:
        """Say whether a byte of the message may have reached the side."""
        return True

    def is_pending(self) -> bool:
        """Say whether the message still waits for a connection that others have."""
        return False

    def allow(self, waits: Waits) -> None:
        """Let the side take longer, or less long, from the next byte of the body on."""
        self.waits = waits

    def cancel(self) -> None:
        """Let the answer go; the connection goes with it, for its bytes would be somebody else's."""
        self.receiver = None
        self.pool.drop(self)

    def blame(self) -> None:
        """Hold it against the instance that somebody waited for its answer in vain."""
        self.pool.judge(self.instance, fine=False)

    def finish(self) -> None:
        """End a tunnel in order: what was written still goes out, as long as the side takes it."""
        self.receiver = None
        self.pool.wheel.arm(self, self.waits.idle_s)
        self.transport.close()

    # The answer

    def _wait_for_head(self, data: bytes | bytearray) -> None:
        if len(data) > self._limits.head_bytes:
            self._fail(Failure.RESET, f"a head of more than {self._limits.head_bytes} bytes")
            return
        if not self._held:
            self._held = bytearray(data)
        self._searched = max(0, len(data) - 3)
        start = bytes(data[:5])
        if start != b"HTTP/"[: len(start)] or (b"\n" in data and _has_bare_lf(data)):
            self._fail(Failure.RESET, "what came is not the head of an HTTP answer")

    def _on_head(self, receiver: Receiver, data: bytes, end: int) -> None:
        try:
            if end > self._limits.head_bytes:
                raise BadAnswer(f"a head of more than {self._limits.head_bytes} bytes")
            head = self._reader.read(data[:end] if end < len(data) else data)
            if head.length == len(data) - end and head.is_ordinary and not receiver.head_only:
                # Nearly every answer: in one piece, and nothing behind it.
                self._leave(head, rest=False)
                receiver.answer(self, head, [data[end:]], True)
                return
            if head.status < 200:
                self._on_interim(receiver, head, data[end:])
                return
        except BadAnswer as exc:
            self._fail(Failure.RESET, f"no usable answer: {exc}")
            return
        self._head = head
        self._frame(receiver, head)
        if self._left == 0:
            self._end(receiver, [], rest=end < len(data), bodyless=True)
        elif end == len(data):
            self.pool.wheel.arm(self, self.waits.idle_s)
            receiver.answer(self, head, [], False)
        else:
            self._first_body(receiver, head, data[end:])

    def _frame(self, receiver: Receiver, head: AnswerHead) -> None:
        """Where the body ends (RFC 9112 section 6.3)."""
        if receiver.head_only or head.status == 204 or head.status == 304:
            self._left = _NO_BODY
            if head.status == 204 and (head.length > 0 or head.saw & SawAnswer.CHUNKED):
                head.keep_alive = False  # RFC 9112 section 6.3 ends it here; the side may believe otherwise
        elif head.saw & SawAnswer.CHUNKED:
            self._left = _CHUNKED
            self._decoder = ChunkedDecoder(of_request=False)
        elif head.length == UNKNOWN_LENGTH:
            self._left = _UNTIL_CLOSE
            head.keep_alive = False
        else:
            self._left = head.length

    def _on_interim(self, receiver: Receiver, head: AnswerHead, rest: bytes) -> None:
        self._interims += 1
        if self._interims > INTERIM_LIMIT:
            raise BadAnswer("too many interim answers")
        if head.status == 101:
            if not head.upgrade or head.upgrade.lower() not in receiver.upgrade.split(b", "):
                raise BadAnswer("it switches to a protocol that was not asked for")
            self._tunnel = True
            self.due = 0
            self.pool.judge(self.instance, fine=True)
            receiver.switched(self, head, rest)
            return
        if head.status != 100:  # the gateway sent its own 100
            receiver.interim(self, head)
        if rest and self.receiver is receiver:
            self.data_received(rest)

    def _first_body(self, receiver: Receiver, head: AnswerHead, data: bytes) -> None:
        blocks, complete, rest = self._take(data)
        if self._failing:
            self._fail(Failure.RESET, self._failing)
        elif complete:
            self._end(receiver, blocks, rest)
        else:
            self.pool.wheel.arm(self, self.waits.idle_s)
            receiver.answer(self, head, blocks, False)

    def _body(self, receiver: Receiver, data: bytes) -> None:
        blocks, complete, rest = self._take(data)
        if self._failing:
            if blocks:
                receiver.more(self, blocks, False)
            if self.receiver is receiver:
                self._fail(Failure.RESET, self._failing)
        elif complete:
            assert self._head is not None
            self._leave(self._head, rest)
            receiver.more(self, blocks, True)
        else:
            self.pool.wheel.arm(self, self.waits.idle_s)
            if blocks:
                receiver.more(self, blocks, False)

    def is_behind(self) -> bool:
        """Say whether some of the answer's body has been read and not yet decoded."""
        return self._decoder is not None and self._decoder.stopped

    def take_turn(self) -> None:
        """Go on with the rest of a body that was read."""
        receiver = self.receiver
        if receiver is not None and self.is_behind() and not self.paused:
            self._body(receiver, b"")

    def _take(self, data: bytes) -> tuple[list[bytes], bool, bool]:
        """Return what of `data` is body, whether the body is complete now, and whether anything stands behind it."""
        left = self._left
        if left > 0:
            if len(data) < left:
                self._left = left - len(data)
                return [data], False, False
            self._left = 0
            if len(data) == left:
                return [data], True, False
            return [data[:left]], True, True
        if left == _UNTIL_CLOSE:
            return [data], False, False
        assert self._decoder is not None
        try:
            blocks = self._decoder.feed(data, LINES_A_TURN)
        except BadChunk as exc:
            self._failing = f"no usable answer: {exc}"
            return [], False, False
        if self._decoder.stopped:
            self.give_way()
        if len(blocks) > _MANY:
            blocks = [b"".join(blocks)]  # tiny chunks must not cost a buffer each
        return blocks, self._decoder.done, bool(self._decoder.rest)

    def _end(self, receiver: Receiver, blocks: list[bytes], rest: bool, bodyless: bool = False) -> None:
        head = self._head
        assert head is not None
        self._leave(head, rest, bodyless)
        receiver.answer(self, head, blocks, True)

    def _leave(self, head: AnswerHead, rest: bool, bodyless: bool = False) -> None:
        """Part from the receiver: back into the pool if nothing is doubtful, else closed."""
        self.receiver = None
        self._head = None
        self._decoder = None
        self.served += 1
        if head.status >= 500 or self.instance.failing:
            self.pool.judge(self.instance, fine=head.status < 500)
        # Bytes behind the answer, or a request whose body was not sent to its end, make the next answer doubtful.
        if rest or not head.keep_alive or self._streaming or self.paused or self.blocked:
            self.pool.drop(self)
        elif bodyless and (head.length > 0 or head.saw & SawAnswer.CHUNKED):
            # Some applications send the body that HEAD or 304 must not have, some time later: it would be the next
            # client's answer, and no waiting makes sure that it does not come.
            self.pool.drop(self)
        else:
            self.pool.give_back(self)

    def _fail(self, failure: Failure, detail: str, stale: bool = False, kind: str = "") -> None:
        receiver = self.receiver
        self.receiver = None
        sent = Sent.PARTIAL if self._streaming else Sent.COMPLETE
        error = UpstreamError(self.pool.name, failure, sent, detail, stale=stale, kind=kind)
        if not stale and not self._tunnel:
            self.pool.judge(self.instance, fine=False)
        self.pool.drop(self)
        if receiver is not None:
            receiver.failed(self, error)


def _has_bare_lf(data: bytes | bytearray) -> bool:
    return data.count(b"\n") != data.count(b"\r\n")


def _is_quiet(_: int) -> bool:
    return False

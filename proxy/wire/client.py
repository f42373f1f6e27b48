"""
Connections of clients: strict heads in, one exchange at a time, answers written in one piece and in order.

Hot: a request without a body is one call of `Front.open`, its answer one `transport.write`. Whoever serves the
request (an `Exchange`) is told of the body as it comes and answers by `answer`, `more`, `interim` and `abort`.
Bytes behind a request wait, undecoded, until its answer is complete: that is all there is to pipelining.
"""

from __future__ import annotations

import asyncio
import re
import socket
from typing import TYPE_CHECKING, cast

from proxy.core.messages import UNKNOWN_LENGTH
from proxy.wire.chunked import BadChunk, ChunkedDecoder, chunk
from proxy.wire.heads import Refused, RequestReader
from proxy.wire.paced import LINES_A_TURN, Paced
from proxy.wire.partial import PartialHead, too_long
from proxy.wire.statuses import CONTINUE, STATUS_LINE
from proxy.wire.unsent import reset, unsent_bytes

if TYPE_CHECKING:
    from proxy.wire.listener import Exchange, Front

HEADS_A_TURN = 32  # requests answered from within (refused, pipelined) before the other connections have their turn
HALF_CLOSED_S = 1.0  # a client that closed its sending half gets this long for its answer
LINGER_S = 2.0  # what still comes behind a final answer is read and thrown away for this long, so that no RST kills it
WRITE_HIGH_BYTES = 262_144
LAST_CALL_S = 1.0  # an idle keep-alive connection gets this long for one more request when the process drains
_COUNTED, _CHUNKED, _UNTIL_CLOSE = range(3)  # how the answer under way is framed
_BODYLESS = (204, 304)
_EMPTY_LINES = re.compile(rb"\A(?:\r\n)+")


class Client(asyncio.Protocol, Paced):
    """One client's connection: between requests, in an exchange, a tunnel, or lingering before its end."""

    __slots__ = (
        "_body_left", "_busy", "_closing", "_decoder", "_ended", "_eof", "_exchange", "_framing", "_front",
        "_lingering", "_minor", "_partial", "_pending", "_reader", "_tunnel", "_unsent", "address", "blocked",
        "forwarded", "forwarded_host", "keep_alive", "scheme", "trusted",
    )  # fmt: skip

    def __init__(self, front: Front) -> None:
        Paced.__init__(self)
        self._front = front
        self._reader = RequestReader(front.limits)
        self.address = b""
        self.scheme = b"http"  # as the client knows us; whoever puts TLS below says https
        self.trusted = False  # whether the peer's word on whom it serves is believed
        self.forwarded = b""  # memo of whoever writes heads for this connection, valid for `forwarded_host`
        self.forwarded_host = b""
        self._partial: PartialHead | None = None
        self._pending = b""  # what came behind a request whose answer is not complete
        self._exchange: Exchange | None = None
        self._ended = False
        self._body_left = 0  # of the request: bytes, or UNKNOWN_LENGTH while the decoder is at work
        self._decoder: ChunkedDecoder | None = None
        self._framing = _COUNTED
        self._minor = 1
        self.keep_alive = True
        self._closing = False
        self._busy = False
        self._eof = False
        self._lingering = False
        self._tunnel = False
        self._unsent = 0  # bytes that the client had not taken when it was last looked at, and what came since
        self.blocked = False

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        peer = transport.get_extra_info("peername")
        self.address = peer[0].encode() if peer else b""
        if not self._front.connected(self):
            self._closing = True
            transport.abort()
            return
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES)
        self._front.wheel.arm(self, self._front.deadlines.head_s)

    def data_received(self, data: bytes) -> None:
        """
        Serve what stands in `data` until something has to wait.

        Answers given from within (`_complete` while busy) are followed by the next head in this loop, not by
        recursion: a client may pipeline hundreds of requests.
        """
        self._busy = True
        heads = 0
        while data and not self._lingering and not self._closing:
            exchange = self._exchange
            if exchange is None:
                heads += 1
                if self.blocked or heads > HEADS_A_TURN:
                    self._wait_behind(data)
                    if not self.blocked:
                        self.give_way()
                    break
                data = self._next_head(data)
            elif self._tunnel:
                exchange.body(data)
                break
            elif self._body_left:
                data = self._on_body(exchange, data)
            else:
                self._wait_behind(data)
                break
        self._busy = False
        if self._eof:
            self._end_of_input()

    def eof_received(self) -> bool:
        if self._exchange is None and not self._pending:
            self._close()
        else:
            self._eof = True
            self._end_of_input()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.due = 0
        exchange, self._exchange = self._exchange, None
        self._closing = True
        self._pending = b""
        self._front.disconnected(self)
        if exchange is not None:
            exchange.gone()

    def pause_writing(self) -> None:
        self.blocked = True
        self._unsent = unsent_bytes(self.transport)
        self._front.wheel.arm(self, self._front.deadlines.idle_s)
        if self._exchange is not None:
            self._exchange.client_blocked()

    def resume_writing(self) -> None:
        self.blocked = False
        if self._exchange is None:
            self._go_on()
            return
        if self._tunnel or not (self._body_left or self._eof):
            self.due = 0
        elif self._eof:
            self._front.wheel.arm(self, HALF_CLOSED_S)
        self._exchange.client_writable()

    def on_deadline(self) -> None:
        front, exchange = self._front, self._exchange
        if self._lingering or self.blocked or self.transport.is_closing():
            self._cut_unless_taken()
        elif self._eof:
            self.cut()  # connection_lost tells the exchange
        elif exchange is None:
            if self._partial:
                self.refuse(Refused(408, f"no complete head within {front.deadlines.head_s:g} s", "head_timeout"))
            else:
                self._close()
        elif self._body_left:
            if self.paused:
                front.wheel.arm(self, front.deadlines.body_idle_s)  # the side is slow, not the client
            else:
                self._torn(exchange, 408, f"nothing more of the body within {front.deadlines.body_idle_s:g} s")

    def _end_of_input(self) -> None:
        """Serve what can still be served to a client that closed its sending half."""
        exchange = self._exchange
        if exchange is None:
            if not self._pending:
                self._close()
        elif self._tunnel:
            exchange.body_end()
        elif self._body_left:
            if not self.is_behind():
                self._torn(exchange, 400, "the connection ended before the request's body did")
        else:
            self._front.wheel.arm(self, HALF_CLOSED_S)

    def _cut_unless_taken(self) -> None:
        """Cut a client that takes nothing of what was written; a slow one, or the end of an answer, has time."""
        unsent = unsent_bytes(self.transport)
        if 0 < unsent < self._unsent:
            self._unsent = unsent
            self._front.wheel.arm(self, self._front.deadlines.idle_s)
        elif self.transport.get_write_buffer_size():
            reset(self.transport)  # else the kernel would hold megabytes for minutes, for somebody who takes nothing
        else:
            self.cut()

    def _close(self) -> None:
        """Close once what was written is out, as long as the client takes it."""
        self._unsent = unsent_bytes(self.transport)
        if self.transport.get_write_buffer_size():
            self._front.wheel.arm(self, self._front.deadlines.idle_s)
        self.transport.close()

    # Requests

    def _next_head(self, data: bytes) -> bytes:
        """Open an exchange for the head that `data` ends or holds; return what stands behind the head."""
        limits = self._front.limits
        try:
            if self._partial is not None:
                data = self._partial.add(data)
                if not data:
                    return b""
                self._partial = None
            if data[0] == 13:  # RFC 9112 section 2.2: empty lines before a request line are ignored
                data = _EMPTY_LINES.sub(b"", data)
            end = data.find(b"\r\n\r\n") + 4
            if end < 4:
                self._wait_for_head(data)
                return b""
            if end > limits.head_bytes:
                raise too_long(data, limits)
            request = self._reader.read(data[:end] if end < len(data) else data)
        except Refused as exc:
            self.refuse(exc, data)
            return b""
        rest = data[end:] if end < len(data) else b""
        self._minor = request.minor
        self.keep_alive = request.keep_alive
        if request.length:
            self._expect_body(request.length)
        else:
            self.due = 0
        self._ended = False
        exchange = self._front.open(request, self)
        if not self._ended:  # else it was answered from within `open`
            self._exchange = exchange
        return rest

    def _wait_for_head(self, data: bytes) -> None:
        """Keep the beginning of a head."""
        if data:
            if data[0] != 13:  # empty lines buy no time
                self._front.wheel.arm(self, self._front.deadlines.head_s)
            self._partial = PartialHead(data, self._front.limits)

    def _expect_body(self, length: int) -> None:
        self._body_left = length
        if length == UNKNOWN_LENGTH:
            self._decoder = ChunkedDecoder(True, self._front.limits.body_bytes)
        self._front.wheel.arm(self, self._front.deadlines.body_idle_s)

    def proceed(self) -> None:
        """Tell a client that expects it to go on and send its body."""
        self.transport.write(CONTINUE)

    def _on_body(self, exchange: Exchange, data: bytes) -> bytes:
        """Hand on what of `data` is body; return what stands behind it."""
        rest = b""
        left = self._body_left
        self._front.wheel.arm(self, self._front.deadlines.body_idle_s)
        if left > 0:
            if len(data) > left:
                data, rest = data[:left], data[left:]
            self._body_left = left - len(data)
        else:
            decoder = self._decoder
            assert decoder is not None
            try:
                data = b"".join(decoder.feed(data, LINES_A_TURN))  # tiny chunks must not cost a write each
            except BadChunk as exc:
                self._torn(exchange, exc.status, str(exc))
                return b""
            if decoder.stopped:
                self.give_way()
            elif decoder.done:
                self._body_left = 0
                self._decoder = None
                rest = decoder.rest
        if data:
            exchange.body(data)
        if not self._body_left and self._exchange is exchange:
            if not self.blocked:
                self.due = 0
            exchange.body_end()
        return rest

    def _wait_behind(self, data: bytes) -> None:
        """Keep what came behind a request until its answer is complete; beyond the limit the client has to wait."""
        self._pending += data
        if len(self._pending) > self._front.limits.body_buffer_bytes:
            self.pause()

    def _go_on(self) -> None:
        """Serve what has been waiting behind the last request."""
        self.resume()
        if self._pending and not self._busy and not self.blocked and not self.transport.is_closing():
            pending, self._pending = self._pending, b""
            self.data_received(pending)

    def is_behind(self) -> bool:
        """Say whether some of the request's body has been read and not yet decoded."""
        return self._decoder is not None and self._decoder.stopped

    def take_turn(self) -> None:
        """Go on with what waited: requests, or the rest of a body that was read."""
        exchange = self._exchange
        if exchange is None:
            self._go_on()
        elif self.is_behind() and not self.paused:
            self.data_received(self._on_body(exchange, b""))

    # Refusals and ends

    def refuse(self, refused: Refused, head: bytes = b"") -> None:
        """Answer a request that is no request to anybody, and end the connection; `head` is what there is of it."""
        if self._partial is not None:
            head = bytes(self._partial.held[:5])
            self._partial = None
        head_only = head[:5] == b"HEAD "
        self.keep_alive = False
        self._minor = 1
        fields, body = self._front.refusal(refused.status, str(refused), refused.key, self)
        self.answer(refused.status, b"", fields, len(body), [body], True, head_only)

    def _torn(self, exchange: Exchange, status: int, why: str) -> None:
        """The request's body will never be whole: whoever serves it must not take it for a short one."""
        self._body_left = UNKNOWN_LENGTH  # whatever is answered, this connection ends behind it
        exchange.torn(status, why)

    def _linger(self) -> None:
        """End the sending half, then read and drop what still comes, so that the answer is not lost to a reset."""
        self._pending = b""
        self._decoder = None
        self._lingering = True  # also without a connection: what is held of the request is no request
        transport, front = self.transport, self._front
        if self._closing or transport.is_closing():
            return
        self._unsent = unsent_bytes(transport)
        front.wheel.arm(self, front.deadlines.idle_s if transport.get_write_buffer_size() else LINGER_S)
        if self._eof:
            transport.close()
            return
        self.resume()
        if transport.can_write_eof():
            transport.write_eof()

    def is_idle(self) -> bool:
        """Say whether this is a kept connection with nothing under way, which may be closed at any time."""
        busy = self._partial or self._pending or self._eof or self._lingering or self._closing or self.blocked
        return self._ended and not busy and not self.transport.is_closing()

    def shut(self, within_s: float) -> None:
        """Close `within_s` if nothing is under way; otherwise the answer under way will be the last."""
        if self._exchange is None and not self._lingering:
            self._front.wheel.arm(self, within_s)

    def abort(self) -> None:
        """Cut the connection visibly: a torn answer must not look like a whole one. For the exchange to call."""
        self._exchange = None
        self._ended = True
        self.due = 0
        if self._closing:
            return
        self._closing = True
        if self._framing == _UNTIL_CLOSE:
            reset(self.transport)  # an orderly end would be the end of the body
        else:
            self.transport.abort()

    def cut(self) -> None:
        """Cut the connection from outside of the exchange, as visibly."""
        if self._framing == _UNTIL_CLOSE and (self._exchange is not None or self.transport.get_write_buffer_size()):
            reset(self.transport)
        else:
            self.transport.abort()

    # Answers

    def answer(
        self, status: int, fields: bytes, added: bytes, length: int, blocks: list[bytes], complete: bool,
        head_only: bool = False,
    ) -> None:  # fmt: skip
        """
        Send an answer's head and what there is of its body; with `complete` it is all.

        `fields` and `added` are ready-joined lines. `length` is that of the body, or UNKNOWN_LENGTH: then
        it is framed anew. `head_only` for HEAD: `length` is told, no body follows. 204 and 304 likewise.
        """
        keep_alive = self.keep_alive and not self._body_left and not self._front.draining
        is_bodyless = head_only or status in _BODYLESS
        if complete and keep_alive and length > 0 and self._minor and not (is_bodyless or self._eof):
            # Nearly every answer: all of it at once, on a connection that stays.
            framing = b"content-length: %d\r\n\r\n" % length
            self.transport.write(b"".join((STATUS_LINE[status], fields, added, framing, *blocks)))
            self._complete()
            return
        out = [STATUS_LINE[status], fields, added]
        if self._eof:
            keep_alive = keep_alive and bool(self._pending or self._busy)  # what was sent before is served
            self._still_there(complete)
        self._framing = _COUNTED
        if head_only or status == 304:
            if length >= 0:
                out.append(b"content-length: %d\r\n" % length)
            blocks = []
        elif status != 204:
            if length >= 0:
                out.append(b"content-length: %d\r\n" % length)
            elif complete:
                out.append(b"content-length: %d\r\n" % sum(map(len, blocks)))
            elif self._minor:
                self._framing = _CHUNKED
                out.append(b"transfer-encoding: chunked\r\n")
                blocks = chunk(blocks, False)
            else:
                self._framing = _UNTIL_CLOSE
                keep_alive = False
        if not keep_alive:
            self.keep_alive = False
            out.append(b"connection: close\r\n")
        elif not self._minor:
            out.append(b"connection: keep-alive\r\n")
        out.append(b"\r\n")
        if blocks:
            out += blocks
        self.transport.write(b"".join(out))
        if complete:
            self._complete()

    def more(self, blocks: list[bytes], complete: bool) -> None:
        """Send more of the body."""
        if self._framing == _CHUNKED:
            blocks = chunk(blocks, complete)
        if blocks:
            if self.blocked:
                self._unsent += sum(map(len, blocks))  # else it would hide what the client has taken
            self.transport.writelines(blocks)
        if self._eof:
            self._still_there(complete)
        if complete:
            self._complete()

    def interim(self, status: int, fields: bytes) -> None:
        """Send a 1xx answer; a 1.0 client never gets one (RFC 9110 section 15.2)."""
        if self._minor:
            self.transport.write(b"".join((STATUS_LINE[status], fields, b"\r\n")))

    def switch(self, fields: bytes, added: bytes, rest: bytes) -> None:
        """Become a tunnel: send the 101, and from now on hand every byte to the exchange."""
        self._tunnel = True
        self.due = 0
        self.transport.write(b"".join((STATUS_LINE[101], fields, added, b"\r\n", rest)))
        pending, self._pending = self._pending, b""
        self.resume()
        if pending and self._exchange is not None:
            self._exchange.body(pending)
        if self._eof and self._exchange is not None:
            self._exchange.body_end()

    def tunnel(self, data: bytes) -> None:
        """Send a tunnel's bytes."""
        if self.blocked:
            self._unsent += len(data)
        self.transport.write(data)

    def tunnel_close(self) -> None:
        """Close a tunnel once what was written is out."""
        self._exchange = None
        self._ended = True
        if not self.transport.is_closing():
            self._close()

    def tunnel_end(self) -> None:
        """End the sending half of a tunnel."""
        if not self.transport.is_closing() and self.transport.can_write_eof():
            self.transport.write_eof()

    def _complete(self) -> None:
        self._exchange = None
        self._ended = True
        if self._body_left or not self.keep_alive:
            self._linger()  # behind a request that has not ended, nothing can be read as a request
            return
        front = self._front
        if front.draining:
            front.wheel.arm(self, LAST_CALL_S)
        else:
            wheel = front.wheel
            due = self.due = wheel.tick + front.idle_ticks
            if not self.slot or due < self.slot:
                wheel.hold(self, due)
        if self._pending or self.paused:
            self._go_on()

    def _still_there(self, complete: bool) -> None:
        """An answer that is coming keeps a half-closed client: had it left for good, writing to it would tell."""
        if not complete and not self.blocked:
            self._front.wheel.arm(self, HALF_CLOSED_S)

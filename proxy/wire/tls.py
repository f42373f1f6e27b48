"""
TLS on a connection: bytes of the socket below, plain bytes above, and what its ends mean.

Records and handshakes are OpenSSL's; here they are tied to a transport, because those of the event loops lose what
was received but not yet read when the peer closes, and know no half-closed connection. For what is above it is a
transport like any other: `close_notify` is the end of the stream (`eof_received`), the end of the socket without one
is a torn connection (`connection_lost` with a TlsFault), never an end. Plain connections never come here.
"""

from __future__ import annotations

import asyncio
import os
import select
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from proxy.wire.certificates import PROTOCOL

RECORD_BYTES = 16_384  # the most that one read of OpenSSL returns
HEADER_BYTES = 5  # of a record: type, version, length
SOCKET_BYTES = 65_536
PLAIN_HTTP = "tls_plain_http"
_SHAKING, _OPEN, _OVER = range(3)
_CERTIFICATE = "tls_certificate_error"
_NOBODY = asyncio.Protocol()
_GONE = cast(ssl.SSLObject, None)


def _nobody_asks(_: object) -> None:
    """Whoever waited for a handshake was told."""


class TlsFault(ConnectionError):
    """
    TLS failed; the text says how.

    `error` is the proxy error type of RFC 9209 section 2.3, `key` the label under which a client is counted that was
    turned away for it (empty: one that left without a word).
    """

    def __init__(self, detail: str, error: str = "tls_protocol_error", key: str = "tls_handshake") -> None:
        super().__init__(detail)
        self.error = error
        self.key = key


@dataclass(frozen=True, slots=True)
class Trust:
    """How TLS is spoken to an address: the context in force, and whose certificate is expected there."""

    context: Callable[[], ssl.SSLContext]
    server_name: str  # a name is sent along (SNI), an address is not (RFC 6066 section 3)


class Secured(asyncio.Protocol, asyncio.Transport):
    """
    One connection: the protocol of a transport below, the transport of the protocol `above`.

    `shaken` is called once: with None when the handshake is done and `above` has its transport, else with what failed.
    Without a `server_name` this is the server's end.
    """

    __slots__ = (
        "_above", "_closed", "_context", "_end_due", "_ended", "_fault", "_header", "_incoming", "_mute", "_outgoing",
        "_paused", "_poll", "_record_left", "_said", "_server_name", "_shaken", "_state", "_tls", "raw",
    )  # fmt: skip

    def __init__(
        self,
        context: ssl.SSLContext,
        above: asyncio.Protocol,
        shaken: Callable[[TlsFault | None], None],
        server_name: str = "",
    ) -> None:
        super().__init__()
        self._context = context
        self._above = above
        self._shaken = shaken
        self._server_name = server_name
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = _GONE
        self.raw: asyncio.Transport | None = None
        self._state = _SHAKING
        self._paused = False
        self._ended = False  # the peer said close_notify
        self._end_due = False  # and what is above has not been told yet
        self._said = False  # we did
        self._mute = False  # the sending half of the socket is closed as well
        self._closed = False
        self._fault: TlsFault | None = None
        self._poll: Callable[[int], object] | None = None
        self._header = b""  # of a record, as far as it has come
        self._record_left = 0  # bytes of the record under way that are still to come

    # What the transport below calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.raw = cast(asyncio.Transport, transport)
        if self._closed:  # given up before it was there
            self.raw.abort()
            return
        name = self._server_name
        try:
            self._tls = self._context.wrap_bio(
                self._incoming, self._outgoing, server_side=not name, server_hostname=name or None
            )
        except (ssl.SSLError, ValueError) as exc:  # a name that cannot be one
            self.give_up(TlsFault(f"no TLS with the name {name}: {exc}"))
            return
        if name:
            self._shake()

    def data_received(self, data: bytes) -> None:
        if self._closed or self._ended:  # nothing counts behind the end (RFC 8446 section 6.1)
            return
        self._follow(data)
        self._incoming.write(data)
        if self._state == _SHAKING:
            self._shake(data)
        else:
            self._read()

    def eof_received(self) -> bool:
        if self._state == _SHAKING:
            self.give_up(TlsFault("the connection was closed in the middle of the handshake", key=""))
        elif not self._ended:
            self._lose(
                TlsFault("the connection ended without the end of TLS: what came may be cut", "connection_terminated")
            )
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        state, self._state = self._state, _OVER
        self._closed = True
        above, self._above = self._above, _NOBODY
        self._tls = _GONE  # what OpenSSL holds goes at once: others hold us a little longer
        if state == _SHAKING:
            self._tell(TlsFault("the connection was lost in the middle of the handshake", key=""))
        elif state == _OPEN:
            above.connection_lost(self._fault or (None if self._ended else exc))  # what was whole stays whole

    def pause_writing(self) -> None:
        if self._state == _OPEN:
            self._above.pause_writing()

    def resume_writing(self) -> None:
        if self._state == _OPEN:
            self._above.resume_writing()

    # The handshake

    def _shake(self, data: bytes = b"") -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as exc:
            self._give_up_on(exc, data)
        else:
            self._flush()
            chosen = self._tls.selected_alpn_protocol()
            if chosen not in (None, PROTOCOL):
                self.give_up(TlsFault(f"it chose a protocol that was not offered: {chosen}"))
                return
            self._state = _OPEN
            self._above.connection_made(self)
            self._tell(None)
            if self._incoming.pending:
                self._read()

    def _tell(self, fault: TlsFault | None) -> None:
        shaken, self._shaken = self._shaken, _nobody_asks
        shaken(fault)

    def _give_up_on(self, exc: ssl.SSLError, data: bytes) -> None:
        if not self._server_name and data[:1].isalpha():  # no record begins so (RFC 8446 section 5.1), any method does
            self.give_up(TlsFault("plain HTTP came where TLS is spoken", key=PLAIN_HTTP))
        else:
            self._flush()  # the alert that says why
            self.give_up(fault_of(exc))

    def give_up(self, fault: TlsFault) -> None:
        """End a connection whose handshake will not be completed."""
        if self._state != _SHAKING:
            return
        self._state = _OVER
        self._closed = True
        self._tell(fault)
        if self.raw is not None:
            self.raw.close()

    # What is above it calls: the transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closed or self._said:
            return
        write = self._tls.write
        try:
            written = write(data)
            if written < len(data):  # one record at a time
                rest = memoryview(data)
                while written < len(rest):
                    written += write(rest[written : written + RECORD_BYTES])
        except ssl.SSLError as exc:
            self._lose(fault_of(exc))
            return
        self._flush()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))  # few large records instead of many small ones

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._closed and self.raw is not None:
            self._say_end()
            self._mute = True
            self.raw.write_eof()

    def close(self) -> None:
        if not self._closed and self.raw is not None:
            self._closed = True
            self._say_end()
            self.raw.close()

    def abort(self) -> None:
        self._closed = True
        if self.raw is not None:
            self.raw.abort()

    def is_closing(self) -> bool:
        return self._closed or self.raw is None or self.raw.is_closing()

    def pause_reading(self) -> None:
        self._paused = True
        assert self.raw is not None
        self.raw.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        assert self.raw is not None
        self.raw.resume_reading()
        if self._end_due:
            asyncio.get_running_loop().call_soon(self._give_end)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert self.raw is not None
        self.raw.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return 0 if self.raw is None else self.raw.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object":
            return self._tls
        return default if self.raw is None else self.raw.get_extra_info(name, default)

    def stirs(self, timeout_ms: int) -> bool:
        """
        Say whether an idle connection is in doubt: closed, or with bytes that nobody asked for.

        What TLS itself has to say between two messages (tickets, key updates) is taken in here: it is no doubt.
        """
        if self.is_closing():
            return True
        poll = self._poll or self._watch()
        while not self.is_closing() and not self._ended:
            if not poll(timeout_ms):
                return bool(self._header or self._record_left)  # half a record: nobody knows yet what it will be
            assert self.raw is not None
            try:
                data = os.read(self.raw.get_extra_info("socket").fileno(), SOCKET_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                return True
            if not data:
                return True
            self.data_received(data)
        return True

    # Between the two

    def _watch(self) -> Callable[[int], object]:
        assert self.raw is not None
        watch = select.poll()
        watch.register(self.raw.get_extra_info("socket").fileno(), select.POLLIN)
        self._poll = watch.poll
        return watch.poll

    def _read(self) -> None:
        """Hand on all that can be read now, in one piece, and then the end if it has come."""
        incoming, tls, blocks = self._incoming, self._tls, []
        fault: TlsFault | None = None
        try:
            while incoming.pending or tls.pending():  # asking for more raises, which is dear
                block = tls.read(RECORD_BYTES)
                if not block:
                    self._ended = self._end_due = True
                    break
                blocks.append(block)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._ended = self._end_due = True
        except ssl.SSLError as exc:
            fault = fault_of(exc)
        if self._outgoing.pending:
            self._flush()
        if blocks:
            self._above.data_received(blocks[0] if len(blocks) == 1 else b"".join(blocks))
        if fault is not None:
            self._lose(fault)
        else:
            self._give_end()

    def _give_end(self) -> None:
        """Tell what is above of the end, if it has come, as soon as it reads; once."""
        if self._end_due and not self._paused and not self._closed:
            self._end_due = False
            if not self._above.eof_received():
                self.close()

    def _follow(self, data: bytes) -> None:
        """Keep count of where records begin and end (RFC 8446 section 5.1)."""
        at, length = self._record_left, len(data)
        while at < length:  # there a header begins, or goes on
            header = self._header + data[at : at + HEADER_BYTES - len(self._header)]
            at += HEADER_BYTES - len(self._header)
            if len(header) < HEADER_BYTES:
                self._header = header
                self._record_left = 0
                return
            self._header = b""
            at += header[3] << 8 | header[4]
        self._record_left = at - length

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data and not self._mute and self.raw is not None:
            self.raw.write(data)

    def _say_end(self) -> None:
        """Send close_notify; whether the peer answers it is its own affair."""
        if not self._said and self._state == _OPEN:
            self._said = True
            with suppress(ssl.SSLError):  # the peer has not said it yet, or nothing can be said any more
                self._tls.unwrap()
            self._flush()

    def _lose(self, fault: TlsFault) -> None:
        if self._fault is None:
            self._fault = fault
        self.abort()


def fault_of(exc: ssl.SSLError) -> TlsFault:
    """Return what an error of OpenSSL means, worded from the other end's point of view ("it")."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return TlsFault(f"its certificate is not accepted: {exc.verify_message}", _CERTIFICATE, "tls_certificate")
    reason = exc.reason or "unknown"
    words = reason.replace("_", " ").lower()
    if reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return TlsFault("it showed no certificate", _CERTIFICATE, "tls_certificate")
    if "ALERT" in reason:
        return TlsFault(f"it ended TLS: {words}", "tls_alert_received", "tls_alert")
    if reason in ("UNSUPPORTED_PROTOCOL", "VERSION_TOO_LOW"):
        return TlsFault(f"it speaks no version of TLS from 1.2 on: {words}", key="tls_version")
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST"):
        return TlsFault(f"it does not speak TLS: {words}")
    return TlsFault(f"TLS with it failed: {words}")


async def dialled(above: asyncio.Protocol, trust: Trust, host: str, port: int) -> Secured:
    """
    Connect to `host:port`, shake hands, and return the transport that `above` has by now.

    Raises TlsFault when the peer cannot be trusted or understood, OSError when there is no connection at all.
    """
    loop = asyncio.get_running_loop()
    shaken: asyncio.Future[None] = loop.create_future()

    def done(fault: TlsFault | None) -> None:
        if not shaken.done():
            shaken.set_result(None) if fault is None else shaken.set_exception(fault)

    secured = Secured(trust.context(), above, done, trust.server_name)
    try:
        await loop.create_connection(lambda: secured, host, port)
        await shaken
    except asyncio.CancelledError:
        shaken.cancel()
        secured.abort()
        raise
    return secured

"""
The heads of requests and answers as values, shared by the wire, the plan and the gateway.

Hot: built once per message. Fields are their lines, joined as they are written (name in lower case, `: `, value, CRLF
each): writing a head is one join, and a look-up is one search in C. No str in here.
"""

from __future__ import annotations

COLON = b": "
CRLF = b"\r\n"
_LF = 10
UNKNOWN_LENGTH = -1  # chunked, or delimited by the end of the connection


class Saw:
    """Bits of `RequestHead.saw`: fields that change what may be done with a request."""

    OVERRIDE = 1  # X-HTTP-Method-Override and its kin: whatever the method says, it is a write
    VALIDATOR = 2  # If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, If-Range
    RANGE = 4
    FORCE = 8  # X-Banyan-Force, kept in `RequestHead.force`, never forwarded
    FORWARDED = 16  # X-Forwarded-*, Forwarded or X-Request-Id sent by the client, kept in `RequestHead.forwarded`
    REROUTE = 32  # X-Original-URL, X-Rewrite-URL: kept in `RequestHead.forwarded`, too
    ODD = 64  # a name with `_`, dropped
    VIA = 128


class RequestHead:
    """One request's head after every check of the wire: framing settled, hop-by-hop fields gone."""

    __slots__ = (
        "expects_continue", "fields", "force", "forwarded", "host", "keep_alive", "length", "method", "minor", "path",
        "peer", "saw", "target", "upgrade",
    )  # fmt: skip

    def __init__(
        self, method: bytes, target: bytes, fields: bytes = b"", host: bytes = b"", saw: int = 0, peer: bytes = b""
    ) -> None:
        self.method = method
        self.target = target  # origin-form, the raw bytes that go to the side
        self.path = target.partition(b"?")[0]  # raw
        self.fields = fields  # end-to-end fields, without Host
        self.host = host  # as it is forwarded
        self.peer = peer  # the client's address, after `trusted_proxies`
        self.minor = 1  # of HTTP/1.x
        self.length = 0  # bytes of body; UNKNOWN_LENGTH when chunked
        self.upgrade = b""  # the protocol asked for, or empty
        self.saw = saw  # Saw bits
        self.force = b""
        self.forwarded = b""  # fields likewise: what only a trusted peer may say
        self.keep_alive = True
        self.expects_continue = False

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of the field `name` (lower case), or None."""
        return value_of(self.fields, name)

    def is_ordinary(self) -> bool:
        """Say whether `fields`, `host` and `saw` are all that its fields said: no body, nothing for this hop alone."""
        return not (self.length or self.upgrade or self.force or self.forwarded or self.expects_continue) and bool(
            self.minor and self.keep_alive
        )


class AnswerHead:
    """One answer's head from a side: framing settled, hop-by-hop fields gone."""

    __slots__ = ("fields", "is_ordinary", "keep_alive", "length", "minor", "named", "saw", "status", "upgrade")

    def __init__(self, status: int, fields: bytes, length: int) -> None:
        self.status = status
        self.fields = fields  # end-to-end fields
        self.length = length  # declared Content-Length (of the body it would have, for HEAD and 304) or UNKNOWN_LENGTH
        self.saw = 0  # SawAnswer bits
        self.minor = 1  # of HTTP/1.x
        self.keep_alive = True
        self.named: frozenset[bytes] = frozenset()  # what Connection named, already removed
        self.upgrade = b""
        self.is_ordinary = False  # a body of declared length follows on a connection that stays; HEAD aside

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of the field `name` (lower case), or None."""
        return value_of(self.fields, name)

    def settle(self) -> AnswerHead:
        """Find out, when all is known, whether a body of declared length follows on a connection that stays."""
        has_body = self.status >= 200 and self.status not in (204, 304)
        self.is_ordinary = self.length > 0 and self.keep_alive and has_body
        return self


class SawAnswer:
    """Bits of `AnswerHead.saw`: fields of an answer that need more than being passed on."""

    VALIDATOR = 1  # ETag, Last-Modified
    LOCATION = 2  # Location, Content-Location
    STREAM = 4  # Content-Type: text/event-stream
    CHUNKED = 16


def value_of(fields: bytes, name: bytes) -> bytes | None:
    """Return the first value of `name` (lower case), or None; values are not taken for names."""
    return value_behind(fields, name + COLON)


def value_behind(fields: bytes, start: bytes) -> bytes | None:
    """Return the value of the first line that begins with `start`, a name in lower case with COLON, or None."""
    at = fields.find(start)
    while at > 0 and fields[at - 1] != _LF:  # it stands within another line
        at = fields.find(start, at + 1)
    if at < 0:
        return None
    at += len(start)
    return fields[at : fields.find(b"\r", at)]


def values_of(fields: bytes, name: bytes) -> list[bytes]:
    """Return every value of `name` (lower case), in order."""
    start = name + COLON
    return [line[len(start) :] for line in fields.split(CRLF) if line.startswith(start)]


def without(fields: bytes, names: frozenset[bytes]) -> bytes:
    """Return the fields without those named; names in lower case."""
    return b"".join([line + CRLF for line in fields.split(CRLF)[:-1] if line.partition(COLON)[0] not in names])


def field(name: bytes, value: bytes) -> bytes:
    """Return one field's line as it stands among others; `name` in lower case."""
    return b"%b: %b\r\n" % (name, value)


def pairs_of(fields: bytes) -> list[tuple[bytes, bytes]]:
    """Return (name, value) of every field, in order."""
    return [(name, value) for name, _, value in (line.partition(COLON) for line in fields.split(CRLF)[:-1])]

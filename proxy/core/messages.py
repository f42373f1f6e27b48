"""
The heads of requests and answers as values, shared by the wire, the plan and the gateway.

Hot: built once per message. Fields are one flat list of four byte strings each (name in lower case, `: `, value,
CRLF), so that joining the list *is* writing the head, and a look-up is one `list.index` in C. No str in here.
"""

from __future__ import annotations

COLON = b": "
CRLF = b"\r\n"
STRIDE = 4  # items of a field list per field: name, COLON, value, CRLF
UNKNOWN_LENGTH = -1  # chunked, or delimited by the end of the connection


class Saw:
    """Bits of `RequestHead.saw`: fields that change what may be done with a request."""

    OVERRIDE = 1  # X-HTTP-Method-Override and its kin: whatever the method says, it is a write
    VALIDATOR = 2  # If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, If-Range
    RANGE = 4
    FORCE = 8  # X-Banyan-Force, kept in `RequestHead.force`, never forwarded
    FORWARDED = 16  # X-Forwarded-*, Forwarded or X-Request-Id sent by the client, kept in `RequestHead.forwarded`
    ODD = 64  # a name with `_`, dropped
    VIA = 128


class RequestHead:
    """One request's head after every check of the wire: framing settled, hop-by-hop fields gone."""

    __slots__ = (
        "expects_continue", "fields", "force", "forwarded", "host", "keep_alive", "length", "method", "minor", "path",
        "peer", "saw", "target", "upgrade",
    )  # fmt: skip

    def __init__(
        self,
        method: bytes,
        target: bytes,
        fields: list[bytes] | None = None,
        *,
        host: bytes = b"",
        peer: bytes = b"",
    ) -> None:
        self.method = method
        self.target = target  # origin-form, the raw bytes that go to the side
        self.path = target.partition(b"?")[0]  # raw
        self.fields: list[bytes] = fields if fields is not None else []  # end-to-end fields, without Host
        self.host = host  # as it is forwarded
        self.peer = peer  # the client's address, after `trusted_proxies`
        self.minor = 1  # of HTTP/1.x
        self.length = 0  # bytes of body; UNKNOWN_LENGTH when chunked
        self.upgrade = b""  # the protocol asked for, or empty
        self.saw = 0
        self.force = b""
        self.forwarded: list[bytes] = []  # flat list of the same form: what only a trusted peer may say
        self.keep_alive = True
        self.expects_continue = False

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of the field `name` (lower case), or None."""
        return value_of(self.fields, name)


class AnswerHead:
    """One answer's head from a side: framing settled, hop-by-hop fields gone."""

    __slots__ = ("fields", "keep_alive", "length", "minor", "named", "saw", "status", "upgrade")

    def __init__(self, status: int, fields: list[bytes], length: int) -> None:
        self.status = status
        self.fields = fields  # end-to-end fields, names as lower case
        self.length = length  # declared Content-Length (of the body it would have, for HEAD and 304) or UNKNOWN_LENGTH
        self.saw = 0  # SawAnswer bits
        self.minor = 1  # of HTTP/1.x
        self.keep_alive = True
        self.named: frozenset[bytes] = frozenset()  # what Connection named, already removed
        self.upgrade = b""

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of the field `name` (lower case), or None."""
        return value_of(self.fields, name)


class SawAnswer:
    """Bits of `AnswerHead.saw`: fields of an answer that need more than being passed on."""

    VALIDATOR = 1  # ETag, Last-Modified
    LOCATION = 2  # Location, Content-Location
    STREAM = 4  # Content-Type: text/event-stream
    CHUNKED = 16


def value_of(fields: list[bytes], name: bytes) -> bytes | None:
    """Return the first value of `name` in a flat field list, or None; values are not taken for names."""
    at = -1
    try:
        while True:
            at = fields.index(name, at + 1)
            if at % STRIDE == 0:
                return fields[at + 2]
    except ValueError:
        return None


def values_of(fields: list[bytes], name: bytes) -> list[bytes]:
    """Return every value of `name` in a flat field list, in order."""
    return [fields[at + 2] for at in range(0, len(fields), STRIDE) if fields[at] == name]


def without(fields: list[bytes], names: frozenset[bytes]) -> list[bytes]:
    """Return a flat field list without the fields named; names in lower case."""
    kept: list[bytes] = []
    for at in range(0, len(fields), STRIDE):
        if fields[at] not in names:
            kept += fields[at : at + STRIDE]
    return kept


def field(name: bytes, value: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Return one field as it stands in a flat field list."""
    return (name, COLON, value, CRLF)

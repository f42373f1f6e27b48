"""
The chunked coding (RFC 9112 section 7.1), decoded strictly, with the exact end of the body.

Ours rather than llhttp's, because that one is lax in extensions and goes on into the next message by itself; and
because large chunks are handed on as slices here without a call per chunk line. Knows bytes, no connection.
"""

from __future__ import annotations

import re

OVERHEAD_BYTES = 4096  # of extensions in one body, beside an eighth of the body itself: some sign each of their chunks
_EIGHTH = 3  # as a shift
TRAILER_BYTES = 8192
LINE_BYTES = OVERHEAD_BYTES + 64

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
_LINE = re.compile(
    rb"([0-9A-Fa-f]{1,16})((?:[ \t]*;[ \t]*" + _TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?)*)"
)
_NAME = re.compile(_TOKEN)
_ODD_BYTE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110 section 5.5
_BARE_LF = re.compile(rb"(?<!\r)\n")

# Fields that frame, route or authenticate a message must not come behind it (RFC 9110 section 6.5.1).
FORBIDDEN_TRAILERS = frozenset(
    (
        b"authorization", b"connection", b"content-encoding", b"content-length", b"content-range", b"content-type",
        b"cookie", b"expect", b"forwarded", b"host", b"max-forwards", b"proxy-authorization", b"set-cookie", b"te",
        b"trailer", b"transfer-encoding", b"upgrade", b"via", b"x-forwarded-for",
    )
)  # fmt: skip


class BadChunk(Exception):
    """The body breaks the coding; where it would end is unknown, so the connection must go."""

    status = 400


class TooLarge(BadChunk):
    """The body is larger than it may be."""

    status = 413


class ChunkedDecoder:
    """
    Takes bytes as they come and gives the body's blocks.

    Once `done`, `rest` holds the bytes behind the body. Trailers are checked and dropped; `of_request` refuses those
    that nobody sends in good faith. An answer, whose head was passed on, would only be torn by that. A body may have
    `most_bytes`, or any number if that is 0. When the decoder has `stopped` it keeps what it did not read: the next
    `feed`, of nothing, goes on with it.
    """

    __slots__ = (
        "_bytes", "_held", "_left", "_most_bytes", "_of_request", "_overhead", "_state", "done", "rest", "stopped",
    )  # fmt: skip

    def __init__(self, of_request: bool, most_bytes: int = 0) -> None:
        self._of_request = of_request
        self._most_bytes = most_bytes
        self._bytes = 0
        self._held = b""
        self._left = 0
        self._overhead = 0
        self._state = self._size
        self.done = False
        self.stopped = False  # the last `feed` came to its bound before its end
        self.rest = b""

    def feed(self, data: bytes, lines: int) -> list[bytes]:
        """
        Return the blocks of body in `data`, in order and none of them empty. Raises BadChunk.

        Reads at most so many `lines` of the coding: they are what costs time, blocks are handed on as they are.
        """
        blocks: list[bytes] = []
        self.stopped = False
        if self._held:
            data = self._held + data
            self._held = b""
        at = 0
        end = len(data)
        while at < end and not self.done:
            if self._left:
                block = data[at : at + self._left] if at or end > self._left else data
                blocks.append(block)
                at += len(block)
                self._left -= len(block)
                if not self._left:
                    self._state = self._after_data
                continue
            if not lines:
                self.stopped = True
                self._held = data[at:]
                return blocks
            lines -= 1
            following = self._state(data, at)
            if following < 0:
                self._hold(data[at:])
                return blocks
            at = following
        if self.done:
            self.rest = data[at:]
        return blocks

    def _hold(self, data: bytes) -> None:
        limit = TRAILER_BYTES if self._state == self._trailer else LINE_BYTES
        if len(data) > limit:
            raise BadChunk("a chunk line or trailer is too long")
        if _BARE_LF.search(data):
            raise BadChunk("a line of the chunked coding ends in a bare LF")
        if self._state == self._size and data[0] not in b"0123456789abcdefABCDEF":
            raise BadChunk("a chunk does not begin with its size")
        if self._state == self._after_data and data != b"\r":
            raise BadChunk("chunk data is longer than its size")
        self._held = data

    def _size(self, data: bytes, at: int) -> int:
        end = data.find(b"\r\n", at, at + LINE_BYTES)
        if end < 0:
            return -1
        found = _LINE.fullmatch(data, at, end)
        if found is None:
            raise BadChunk("a chunk line is not `size [;extension]`")
        self._overhead += len(found[2])
        if self._overhead > OVERHEAD_BYTES:
            raise BadChunk("the chunk extensions are too long")
        size = int(found[1], 16)
        if size >> 63:
            raise BadChunk("a chunk is larger than any body")
        self._bytes += size
        if self._bytes > self._most_bytes > 0:
            raise TooLarge(f"the body is larger than {self._most_bytes} bytes")
        self._left = size
        self._overhead = max(0, self._overhead - (size >> _EIGHTH))
        if not size:
            self._overhead = 0
            self._state = self._trailer
        return end + 2

    def _after_data(self, data: bytes, at: int) -> int:
        if len(data) - at < 2:
            return -1
        if data[at : at + 2] != b"\r\n":
            raise BadChunk("chunk data is longer than its size")
        self._state = self._size
        return at + 2

    def _trailer(self, data: bytes, at: int) -> int:
        end = data.find(b"\r\n", at)
        if end < 0:
            return -1
        if end == at:
            self.done = True
            return at + 2
        self._overhead += end - at
        if self._overhead > TRAILER_BYTES:
            raise BadChunk("the trailers are too long")
        name, colon, value = data[at:end].partition(b":")
        if not colon or _NAME.fullmatch(name) is None or _ODD_BYTE.search(value):
            raise BadChunk("a trailer is not `name: value`")
        if self._of_request and name.lower() in FORBIDDEN_TRAILERS:
            raise BadChunk("a trailer would frame, route or authenticate the message")
        return end + 2


def chunk(blocks: list[bytes], last: bool) -> list[bytes]:
    """Return `blocks` as one chunk of the coding, followed by the last chunk if `last`; no empty chunk ever."""
    size = sum(map(len, blocks))
    if not size:
        return [b"0\r\n\r\n"] if last else []
    return [b"%x\r\n" % size, *blocks, b"\r\n0\r\n\r\n" if last else b"\r\n"]

"""
A second reading of heads, straight from the grammar of RFC 9112 and stricter than it: what our own may accept.

Written for the tests alone, with nothing of the product in it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([!-\"$-~]+) HTTP/1\.([01])")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [\t -~\x80-\xff]*)?")
_FIELD = re.compile(rb"(" + _TOKEN + rb"):[ \t]*((?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?)[ \t]*")


class Head(NamedTuple):
    """A head that is well-formed: its first line in parts, names in lower case."""

    first: tuple[bytes, ...]
    fields: list[tuple[bytes, bytes]]

    def values(self, name: bytes) -> list[bytes]:
        return [value for found, value in self.fields if found == name]


def read(head: bytes, *, answer: bool = False) -> Head | None:
    """Return the head if every byte of it is where the grammar has it, else None."""
    if not head.endswith(b"\r\n\r\n"):
        return None
    first, *lines = head[:-4].split(b"\r\n")
    found = (_STATUS_LINE if answer else _REQUEST_LINE).fullmatch(first)
    fields = [_FIELD.fullmatch(line) for line in lines]
    if found is None or not all(fields):
        return None
    return Head(found.groups(), [(each[1].lower(), each[2]) for each in fields if each])


def length_of(head: Head, minor: int) -> int | None:
    """Return the body's length that a head declares (0 for none, -1 for chunked), or None if it is in any doubt."""
    lengths, codings = head.values(b"content-length"), head.values(b"transfer-encoding")
    if len(lengths) + len(codings) > 1:
        return None
    if codings:
        return -1 if minor == 1 and codings[0].lower() == b"chunked" else None
    if not lengths:
        return 0
    return int(lengths[0]) if re.fullmatch(rb"[0-9]+", lengths[0]) and int(lengths[0]) < 1 << 62 else None


class Request(NamedTuple):
    """One whole request as a stricter reader sees it."""

    method: bytes
    target: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes

    def values(self, name: bytes) -> list[bytes]:
        return [value for found, value in self.fields if found == name]


def requests(data: bytes) -> tuple[list[Request], bytes]:
    """Return the whole requests in what a side received, and the bytes behind them; AssertionError when one is bad."""
    found = []
    while True:
        head_bytes, _, rest = data.partition(b"\r\n\r\n")
        if len(head_bytes) == len(data):
            return found, data
        head = read(head_bytes + b"\r\n\r\n")
        assert head is not None, head_bytes
        length = length_of(head, 1)
        assert length is not None and len(head.values(b"host")) == 1, head_bytes
        body, taken = (rest[:length], length) if length >= 0 else _chunked(rest)
        if taken < 0 or len(rest) < taken:
            return found, data
        found.append(Request(head.first[0], head.first[1], head.fields, body))
        data = rest[taken:]


def _chunked(data: bytes) -> tuple[bytes, int]:
    """Return (body, bytes taken) of a chunked body without extensions and trailers, or -1 when it is not complete."""
    body, at = b"", 0
    while (end := data.find(b"\r\n", at)) >= 0:
        assert re.fullmatch(rb"[0-9a-f]+", data[at:end]), data[at:end]
        size = int(data[at:end], 16)
        block, at = data[end + 2 : end + 2 + size], end + 2 + size
        if len(data) < at + 2:
            break
        assert data[at : at + 2] == b"\r\n"
        at += 2
        if not size:
            return body, at
        body += block
    return body, -1

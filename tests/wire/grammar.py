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

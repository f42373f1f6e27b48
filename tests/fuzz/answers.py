"""
Answers as callers got them, read by the strictest grammar: whatever breaks it is a finding already.

Nothing is known here of requests and sides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.fuzz.reader import Fields
from tests.wire import grammar


class Finding(AssertionError):
    """Something that must never happen; `kind` in a word or two, for the same one to be known again."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail


@dataclass(slots=True)
class Answer:
    """One answer as a caller got it, as far as it came; `complete` by its own framing."""

    status: int
    fields: Fields
    body: bytes
    complete: bool
    taken: int
    counted: bool

    def values(self, name: bytes) -> list[bytes]:
        return [value for found, value in self.fields if found == name]

    @property
    def is_ours(self) -> bool:
        """Whether the gateway made it."""
        told = self.values(b"proxy-status")
        return self.values(b"content-type") == [b"application/problem+json"] and told[-1:] != [] and (
            told[-1].startswith(b"banyan;")
        )  # fmt: skip

    @property
    def closes(self) -> bool:
        return self.values(b"connection") == [b"close"]


def read_answer(data: bytes, head_only: bool, ended: str) -> Answer | None:
    """Read the answer that `data` begins with, by the strictest grammar; None when its head has not come."""
    end = data.find(b"\r\n\r\n") + 4
    if end < 4:
        if not b"HTTP/1.1 ".startswith(data[:9]):
            raise Finding("no answer", f"a caller got {data[:300]!r}")
        return None
    head = grammar.read(data[:end], answer=True)
    if head is None or head.first[0] != b"1":
        raise Finding("no answer", f"a caller got {data[:end]!r}")
    status, rest = int(head.first[1]), data[end:]
    length = grammar.length_of(head, 1)
    if length is None or len(head.values(b"connection")) > 1:
        raise Finding("two framings", f"a caller got {data[:end]!r}")
    if status < 200 or status in (204, 304) or head_only:
        if head.values(b"transfer-encoding") or (status < 200 and length):
            raise Finding("framed nothing", f"a caller got {data[:end]!r}")
        return Answer(status, head.fields, b"", True, end, True)
    if length >= 0 and head.values(b"content-length"):
        return Answer(status, head.fields, rest[:length], len(rest) >= length, end + min(length, len(rest)), True)
    if length < 0:
        body, taken, complete = _chunks(rest)
        return Answer(status, head.fields, body, complete, end + taken, False)
    return Answer(status, head.fields, rest, ended == "eof", len(data), False)


def _chunks(data: bytes) -> tuple[bytes, int, bool]:
    """Read the plainest chunked coding; what breaks it is a finding."""
    blocks, at = [], 0
    while (end := data.find(b"\r\n", at)) >= 0:
        if not re.fullmatch(rb"[1-9a-f][0-9a-f]*|0", data[at:end]):
            raise Finding("bad chunk", f"a caller got {data[at : end + 60]!r}")
        size = int(data[at:end], 16)
        at = end + 2
        if len(data) < at + size + 2:
            blocks.append(data[at : at + size])
            return b"".join(blocks), len(data), False
        if data[at + size : at + size + 2] != b"\r\n":
            raise Finding("bad chunk", f"a caller got {data[at : at + size + 60]!r}")
        if not size:
            return b"".join(blocks), at + 2, True
        blocks.append(data[at : at + size])
        at += size + 2
    return b"".join(blocks), len(data), False

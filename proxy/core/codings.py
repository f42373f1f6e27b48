"""
A body without its content codings (RFC 9110 section 8.4.1): as long as it may be, or the reason why it cannot be had.

Ground floor; the only room that knows zlib and brotli, which is imported once a body asks for it. A stream that is
torn, is none, or has something behind its end is undecodable: what a client would make of it nobody knows.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

from proxy.core.headers import tokens
from proxy.core.oddities import Oddity

MOST_CODINGS = 5  # one on another
_MOST_MEMBERS = 100  # of one gzip stream: each costs a copy of what follows
_GZIP, _ZLIB, _RAW = 31, 15, -15  # what zlib calls window bits


class _UnreadError(Exception):
    def __init__(self, why: Oddity) -> None:
        self.why = why


def decoded(body: bytes, codings: bytes, most_bytes: int) -> bytes | Oddity:
    """
    Return a body without the codings that a Content-Encoding names.

    No more than about twice `most_bytes` is ever held, whatever a few bytes would become. An empty body stays empty:
    answers to HEAD, and 304, name codings, too.
    """
    if not codings:
        return body if len(body) <= most_bytes else Oddity.TOO_LONG
    names = [name for name in tokens(codings) if name != b"identity"]
    if len(names) > MOST_CODINGS:
        return Oddity.UNDECODABLE
    try:
        for name in reversed(names):
            if not body:
                break
            body = _DECODERS.get(name, _unknown)(body, most_bytes)
    except _UnreadError as exc:
        return exc.why
    return body if len(body) <= most_bytes else Oddity.TOO_LONG


def _gzip(body: bytes, most_bytes: int) -> bytes:
    """Return what the members of a gzip stream hold (RFC 1952 section 2.2)."""
    found = b""
    for _ in range(_MOST_MEMBERS):
        part, body = _inflated(body, _GZIP, most_bytes - len(found))
        found = found + part if found else part
        if not body:
            return found
    raise _UnreadError(Oddity.UNDECODABLE)


def _deflate(body: bytes, most_bytes: int) -> bytes:
    """Return what a zlib stream holds, or a bare deflate stream, which many servers send under this name."""
    if int.from_bytes(body[:2], "big") % 31 == 0 and body[0] & 0x0F == 8:  # RFC 1950 section 2.2
        try:
            return _whole(body, _ZLIB, most_bytes)
        except _UnreadError as exc:
            if exc.why is not Oddity.UNDECODABLE:
                raise
    return _whole(body, _RAW, most_bytes)


def _whole(body: bytes, window: int, most_bytes: int) -> bytes:
    found, behind = _inflated(body, window, most_bytes)
    if behind:
        raise _UnreadError(Oddity.UNDECODABLE)
    return found


def _inflated(body: bytes, window: int, most_bytes: int) -> tuple[bytes, bytes]:
    """Return what one stream holds, and what stands behind its end."""
    stream = zlib.decompressobj(window)
    try:
        found = stream.decompress(body, most_bytes + 1)
    except zlib.error as exc:
        raise _UnreadError(Oddity.UNDECODABLE) from exc
    if len(found) > most_bytes:
        raise _UnreadError(Oddity.TOO_LONG)
    if not stream.eof:
        raise _UnreadError(Oddity.UNDECODABLE)
    return found, stream.unused_data


def _brotli(body: bytes, most_bytes: int) -> bytes:
    import brotli

    stream = brotli.Decompressor()
    try:
        found: bytes = stream.process(body, output_buffer_limit=most_bytes + 1)
    except brotli.error as exc:
        raise _UnreadError(Oddity.UNDECODABLE) from exc
    if len(found) > most_bytes:
        raise _UnreadError(Oddity.TOO_LONG)
    if not stream.is_finished():
        raise _UnreadError(Oddity.UNDECODABLE)
    return found


def _unknown(body: bytes, most_bytes: int) -> bytes:
    raise _UnreadError(Oddity.UNDECODABLE)


_DECODERS: dict[bytes, Callable[[bytes, int], bytes]] = {
    b"gzip": _gzip,
    b"x-gzip": _gzip,
    b"deflate": _deflate,
    b"br": _brotli,
}

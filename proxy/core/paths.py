"""
The normal form of a path, used only to find its route; what is forwarded are the raw bytes (RFC 9110 section 7.7).

Ground floor and hot: called once per request. Says also when applications may read a path in more than one way,
because then the route that matches says nothing certain about what the request touches. Never rewrites a request.
"""

from __future__ import annotations

import re
from collections.abc import Callable

# A path that is its own normal form: segments of plain characters that do not start with a dot. One test in C; whatever
# else comes takes the slow way, also where nothing is wrong with it (`/.well-known`).
is_plain = re.compile(
    rb"(?:/[a-zA-Z0-9_~:@$&+,=!*'()-][a-zA-Z0-9_~:@$&+,=!*'().-]*+)++/?+|/",
).fullmatch

# Escapes or segments of an ambiguous path, for each of its readings costs as much again. Nobody who means a path comes
# near it: 1,000 escapes are 333 letters of a script that takes three bytes for each.
TANGLED = 1_000
_ESCAPE = re.compile(rb"(%[0-9A-Fa-f]{2})")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")  # RFC 3986 section 2.3
_MISREAD = re.compile(  # some applications take these for what they stand for, and some do not; or a broken escape
    rb"%(?:2[Ff]|5[Cc]|00|25|(?![0-9A-Fa-f]{2}))"
)
_SLASHES = re.compile(rb"//+")
_DOTS = re.compile(rb"/\.\.?(?:/|\Z)")
_DOTS_THEN_PARAMETER = re.compile(rb"/\.\.?(?:;|%3B)")  # `/..;/`: a dot segment for those who cut parameters off first
_PARAMETER = re.compile(rb";[^/]*")


def _spellings(meaning: Callable[[int], bytes]) -> dict[bytes, bytes]:
    """Return what every escape, in every case of its digits, becomes."""
    digits = "0123456789ABCDEFabcdef"
    return {f"%{a}{b}".encode(): meaning(int(a + b, 16)) for a in digits for b in digits}


_ONCE = _spellings(lambda byte: bytes((byte,)) if byte in _UNRESERVED else b"%%%02X" % byte)
_FULLY = _spellings(lambda byte: bytes((byte,)))


def normal_form(path: bytes) -> tuple[bytes, bool]:
    """
    Return the normal form of a raw path, and whether the path is ambiguous.

    Unreserved characters are decoded once, other escapes get upper-case digits, slashes are merged and dot segments
    resolved (RFC 3986 section 6.2.2). Ambiguous: dot segments, `%2F`, `%5C`, `%00`, `%25`, `//`, a backslash,
    `;` after dots, a broken escape, and what does not start with a slash. One that is tangled in escapes stays raw.
    """
    if is_plain(path) or path == b"*":  # the latter is the server as a whole (RFC 9112 section 3.2.4), and no path
        return path, False
    misread = _MISREAD.search(path) is not None
    if misread and is_tangled(path):
        return path, True
    decoded = _decoded(path, _ONCE)
    ambiguous = (
        misread
        or decoded[:1] != b"/"
        or b"//" in decoded
        or b"\\" in decoded
        or _DOTS_THEN_PARAMETER.search(decoded) is not None
    )
    merged = _SLASHES.sub(b"/", b"/" + decoded)
    resolved = _without_dots(merged)
    return resolved, ambiguous or resolved != merged


def is_tangled(path: bytes) -> bool:
    """Say whether a path that is ambiguous has too many escapes or segments for anybody to mean it."""
    return path.count(b"%") > TANGLED or path.count(b"/") > TANGLED


def readings(path: bytes) -> tuple[bytes, ...]:
    """
    Return the ways in which applications may read an ambiguous path, distinct, the normal form first.

    The others: everything decoded twice, with backslashes for slashes and parameters cut off; the same before dots are
    resolved, as a prefix match reads it; and the raw bytes.
    """
    bold = _PARAMETER.sub(b"", _decoded(_decoded(path, _FULLY), _FULLY).replace(b"\\", b"/"))
    merged = _SLASHES.sub(b"/", b"/" + bold)
    return tuple(dict.fromkeys((normal_form(path)[0], _without_dots(merged), merged, path)))


def _decoded(path: bytes, spellings: dict[bytes, bytes]) -> bytes:
    """Return `path` with its escapes replaced; a percent that begins none stays. No call per escape."""
    parts = _ESCAPE.split(path)
    parts[1::2] = map(spellings.__getitem__, parts[1::2])
    return b"".join(parts)


def _without_dots(path: bytes) -> bytes:
    """Resolve dot segments (RFC 3986 section 5.2.4) of a path that starts with a slash."""
    if _DOTS.search(path) is None:
        return path
    segments = path.split(b"/")[1:]
    kept: list[bytes] = []
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)

"""
The normal form of a path, used only to find its route; what is forwarded are the raw bytes (RFC 9110 section 7.7).

Ground floor and hot: called once per request. Says also when applications may read a path in more than one way,
because then the route that matches says nothing certain about what the request touches. Never rewrites a request.
"""

from __future__ import annotations

import re

# A path that is its own normal form: segments of plain characters that do not start with a dot. One test in C; whatever
# else comes takes the slow way, also where nothing is wrong with it (`/.well-known`).
is_plain = re.compile(
    rb"(?:/[a-zA-Z0-9_~:@$&+,=!*'()-][a-zA-Z0-9_~:@$&+,=!*'().-]*+)++/?+|/",
).fullmatch

_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})?")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")  # RFC 3986 section 2.3
_MISREAD = frozenset(b"/\\\0%")  # escaped, some applications take them for what they stand for, and some do not
_SLASHES = re.compile(rb"//+")
_DOTS_THEN_PARAMETER = re.compile(rb"/\.\.?(?:;|%3B)")  # `/..;/`: a dot segment for those who cut parameters off first
_PARAMETER = re.compile(rb";[^/]*")


def normal_form(path: bytes) -> tuple[bytes, bool]:
    """
    Return the normal form of a raw path, and whether the path is ambiguous.

    Unreserved characters are decoded once, other escapes get upper-case digits, slashes are merged and dot segments
    resolved (RFC 3986 section 6.2.2). Ambiguous: dot segments, `%2F`, `%5C`, `%00`, `%25`, `//`, a backslash,
    `;` after dots, a broken escape, and what does not start with a slash.
    """
    if is_plain(path) or path == b"*":  # the latter is the server as a whole (RFC 9112 section 3.2.4), and no path
        return path, False
    decoded = _ESCAPE.sub(_decode, path)
    ambiguous = (
        decoded[:1] != b"/"
        or any(_is_misread(escape) for escape in _ESCAPE.finditer(path))
        or b"//" in decoded
        or b"\\" in decoded
        or _DOTS_THEN_PARAMETER.search(decoded) is not None
    )
    merged = _SLASHES.sub(b"/", b"/" + decoded)
    resolved = _without_dots(merged)
    return resolved, ambiguous or resolved != merged


def readings(path: bytes) -> tuple[bytes, ...]:
    """
    Return the ways in which applications may read an ambiguous path, distinct, the normal form first.

    The others: everything decoded twice, with backslashes for slashes and parameters cut off; the same before dots are
    resolved, as a prefix match reads it; and the raw bytes.
    """
    bold = _PARAMETER.sub(b"", _fully_decoded(_fully_decoded(path)).replace(b"\\", b"/"))
    merged = _SLASHES.sub(b"/", b"/" + bold)
    return tuple(dict.fromkeys((normal_form(path)[0], _without_dots(merged), merged, path)))


def _decode(escape: re.Match[bytes]) -> bytes:
    if escape[1] is None:
        return b"%"
    byte = int(escape[1], 16)
    return bytes((byte,)) if byte in _UNRESERVED else escape[0].upper()


def _is_misread(escape: re.Match[bytes]) -> bool:
    return escape[1] is None or int(escape[1], 16) in _MISREAD


def _fully_decoded(path: bytes) -> bytes:
    return _ESCAPE.sub(lambda escape: b"%" if escape[1] is None else bytes((int(escape[1], 16),)), path)


def _without_dots(path: bytes) -> bytes:
    """Resolve dot segments (RFC 3986 section 5.2.4) of a path that starts with a slash."""
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

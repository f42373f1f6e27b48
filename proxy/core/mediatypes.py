"""
What the values of header fields mean, where that is less than their bytes: media types, and lists.

Ground floor: bytes in, values out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# Pieces between separators that do not stand in a quoted string (RFC 9110 section 5.6.4).
_QUOTED = rb'"(?:[^"\\]|\\.)*+(?:"|\\?$)'
_BY_COMMA = re.compile(rb'(?:[^,"]|' + _QUOTED + rb")+", re.DOTALL)
_BY_SEMICOLON = re.compile(rb'(?:[^;"]|' + _QUOTED + rb")+", re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_SPACE = b" \t"

MediaType = tuple[bytes, tuple[tuple[bytes, bytes], ...]]


def is_json(value: bytes) -> bool:
    """Say whether a Content-Type says JSON, by its name or by its suffix (RFC 6839 section 3.1)."""
    name = value.partition(b";")[0].strip(_SPACE).lower()
    return name in (b"application/json", b"text/json") or name.endswith(b"+json")


def same_type(first: bytes, second: bytes) -> bool:
    """Say whether two Content-Types mean the same."""
    return media_type(first) == media_type(second)


def media_type(value: bytes) -> MediaType:
    """
    Return (name, parameters): names without case, parameters in the order of their names and without quotes.

    A charset has no case (RFC 9110 section 8.3.2) and, for JSON, no meaning (RFC 8259 section 11).
    """
    name, *pieces = [piece.strip(_SPACE) for piece in _BY_SEMICOLON.findall(value)] or [b""]
    parameters = []
    for piece in pieces:
        key, _, text = piece.partition(b"=")
        key, text = key.strip(_SPACE).lower(), _unquoted(text.strip(_SPACE))
        if key == b"charset":
            if is_json(name):
                continue
            text = text.lower()
        if key:
            parameters.append((key, text))
    return name.lower(), tuple(sorted(parameters))


def members(values: Iterable[bytes]) -> list[bytes]:
    """Return the members of a list over all lines of a field, in order, without empty ones (RFC 9110 section 5.6.1)."""
    found = [piece.strip(_SPACE) for value in values for piece in _BY_COMMA.findall(value)]
    return [member for member in found if member]


def _unquoted(text: bytes) -> bytes:
    if len(text) < 2 or not (text.startswith(b'"') and text.endswith(b'"')):
        return text
    return _ESCAPED.sub(rb"\1", text[1:-1])

"""
JSON as a side wrote it, as values that can be compared: fast where that is exact, exactly where it is not.

Ground floor. orjson rounds integers beyond 64 bits and long decimals, and of two members with one name it keeps the
last; what may be such a text is read once more, slowly. What no reader must take (NaN, broken UTF-8) is no JSON here
either (RFC 8259), and what stands in more than 254 levels is not read.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from proxy.core.oddities import Oddity

# What a text is made of, seen from afar: a search in this takes a hundredth of a regular expression's time.
_SHAPE = bytes(
    ord("0" if chr(byte) in "0123456789." else "e" if chr(byte) in "eE" else "-" if chr(byte) in "+-" else " ")
    for byte in range(256)
)
_SPACES = b" \t\r\n"
_LONG = b"0" * 16  # more digits than a double keeps for certain
_HUGE = b"e000", b"e-000"  # exponents
_NUMBER = re.compile(rb"[0-9.]+(?:[eE][+-]?[0-9]+)?")
_ALWAYS_64_BITS = 19  # digits
_SPACED_NAME = re.compile(rb'"[ \t\r\n]+:').search


class Document(NamedTuple):
    """One parsed text: objects are dicts, arrays lists, numbers int and float, or Decimal where `is_exact`."""

    value: Any
    is_exact: bool
    repeats: bool  # an object has two members of one name: readers may take either
    written: bytes = b""  # without spaces, if that keeps every number and every member


class _Repeated(Exception):
    """An object has two members of one name."""


def parse(text: bytes) -> Document | Oddity:
    """Return the document of a JSON text, or why there is none; long numbers may be rounded unless it `is_exact`."""
    try:
        value = orjson.loads(text)
        again = orjson.dumps(value)
    except orjson.JSONDecodeError as exc:
        return Oddity.NESTED if "limit" in exc.msg else Oddity.NOT_JSON  # of levels, of which it reads 1,024
    except orjson.JSONEncodeError:  # of levels, of which it writes 254
        return Oddity.NESTED
    # As most servers write it, spaces apart: every number is the shortest of its value, and no member was lost.
    if again == text or (len(again) < len(text) and text.translate(None, _SPACES) == again.translate(None, _SPACES)):
        return Document(value, is_exact=False, repeats=False, written=again)
    if _may_be_rounded(text):
        return _exact(text)
    return Document(value, is_exact=False, repeats=_repeats(text, again))


def exactly(text: bytes, document: Document) -> Document | Oddity:
    """Return the same document with every number as it stands there."""
    return document if document.is_exact else _exact(text)


def _exact(text: bytes) -> Document | Oddity:
    decoded = text.decode()  # orjson has read it: it is UTF-8
    try:
        value = json.loads(decoded, parse_float=_decimal, object_pairs_hook=_once)
    except _Repeated:
        return Document(json.loads(decoded, parse_float=_decimal), is_exact=True, repeats=True)
    except (ValueError, ArithmeticError):  # more digits than an int takes, or an exponent than a Decimal does
        return Oddity.NUMBERS
    except RecursionError:  # for the stack was deep before
        return Oddity.NESTED
    return Document(value, is_exact=True, repeats=False)


def _decimal(text: str) -> Decimal:
    """Return a number exactly. A step of Python for each, between which other threads may run; Decimal is none."""
    return Decimal(text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Repeated
    return found


def _may_be_rounded(text: bytes) -> bool:
    """Say whether a number may stand in a text that its value does not keep; numbers within strings count, too."""
    shape = text.translate(_SHAPE)
    if any(huge in shape for huge in _HUGE):
        return True
    at = shape.find(_LONG)
    while at >= 0:
        found = _NUMBER.match(text, at)
        assert found is not None
        begin = at - 1 if text[at - 1 : at] == b"-" else at
        if not _is_kept(text[begin : found.end()]):
            return True
        at = shape.find(_LONG, found.end())
    return False


def _is_kept(number: bytes) -> bool:
    """
    Say whether a double, or 64 bits, keep this number and no other.

    One that is the shortest for its double (as Python, JavaScript and Java write them) is: another one for the same
    double is as long and not the shortest, and is found not to be kept wherever it stands.
    """
    if number.isdigit() and len(number) <= _ALWAYS_64_BITS:
        return True
    try:
        return repr(float(number)).encode() == number
    except ValueError:  # a part of a text: no number has two points
        return True


def _repeats(text: bytes, again: bytes) -> bool:
    """
    Say whether an object has two members of one name; `again` is what was read of it, written without spaces.

    Every member leaves `":` in a text; in the second one it is missing for each member that was lost. Names with space
    behind them would not be counted: then it is read once more.
    """
    if _SPACED_NAME(text) is None and text.count(b'":') == again.count(b'":'):
        return False
    found = _exact(text)
    return isinstance(found, Document) and found.repeats

"""
When two values that are written differently mean the same: `equal_if` and `tolerance` of the rules.

Ground floor. Each way has a normal form: two values are alike if theirs are equal; None means that a value has none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit

_INSTANT = re.compile(  # RFC 3339 section 5.6, any precision, `t` and `z` in either case, a space instead of `T`
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(?:\.(\d+))?(?:([Zz])|([+-])(\d\d):(\d\d))",
    re.ASCII,
)
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)  # RFC 8259 section 6
_H4 = "-?([0-9a-fA-F]{4})"
_UUID = re.compile(rf"(?:urn:uuid:|\{{)?([0-9a-fA-F]{{8}}){_H4}{_H4}{_H4}-?([0-9a-fA-F]{{12}})\}}?")
_DIGITS_LIMIT = 1_000
_EXACT = Context(prec=2 * _DIGITS_LIMIT)


def instant(value: Any) -> object:
    """Return a moment of RFC 3339 as (seconds since 1970, decimals of a second)."""
    found = _INSTANT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    day, minute, second, decimals, zulu, sign, hours, minutes = found.groups()
    try:
        at = datetime.fromisoformat(f"{day}T{minute}").replace(tzinfo=UTC)
        offset = timedelta() if zulu else timedelta(hours=int(hours), minutes=int(minutes))
    except ValueError:
        return None
    if int(second) > 60 or offset >= timedelta(days=1):  # 60: a leap second
        return None
    seconds = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1) + int(second)
    seconds -= int(offset.total_seconds()) * (-1 if sign == "-" else 1)
    return seconds, (decimals or "").rstrip("0")


def number(value: Any) -> object:
    """Return a number as a Decimal, be it written as one or as text."""
    if isinstance(value, str):
        found = _decimal(value) if len(value) <= _DIGITS_LIMIT and _NUMBER.fullmatch(value) else None
    else:
        found = decimal_of(value)
    try:
        return None if found is None else _EXACT.normalize(found)
    except ArithmeticError:  # an exponent of millions
        return None


def decimal_of(value: Any) -> Decimal | None:
    """Return a number of a document as the decimal that stands there; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    return value if isinstance(value, Decimal) else _decimal(repr(value))  # repr: the shortest that is the same double


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except (InvalidOperation, ValueError):
        return None


def folded(value: Any) -> object:
    """Return a text without its case."""
    return value.casefold() if isinstance(value, str) else None


def uuid(value: Any) -> object:
    """Return a UUID in any of its spellings (RFC 9562 section 4) as a number."""
    found = _UUID.fullmatch(value) if isinstance(value, str) else None
    return None if found is None else int("".join(found.groups()), 16)


def url_path(value: Any) -> object:
    """Return path, query and fragment of a URL or of a path that begins with a slash."""
    if not isinstance(value, str):
        return None
    try:
        parts = urlsplit(value)
    except ValueError:
        return None
    if parts.scheme.lower() not in ("http", "https", "") or not (parts.netloc or value.startswith("/")):
        return None
    return parts.path or "/", parts.query, parts.fragment


NORMAL_FORMS: Mapping[str, Callable[[Any], object]] = {
    "same-instant": instant,
    "same-number": number,
    "case": folded,
    "uuid": uuid,
    "url-path": url_path,
}


def is_within(first: Any, second: Any, absolute: Decimal, relative: Decimal) -> bool:
    """Say whether two numbers are at most `absolute` apart, or at most `relative` of the larger one (0.01: 1 %)."""
    one, other = decimal_of(first), decimal_of(second)
    if one is None or other is None:
        return False
    try:
        apart = abs(_EXACT.subtract(one, other))
        return apart <= max(absolute, _EXACT.multiply(relative, max(abs(one), abs(other))))
    except ArithmeticError:
        return False

"""
What may be known of a value that nobody may see: its type, its length, its format; and why two of them may differ.

Ground floor. A shape is a phrase for people, such as `text of 12 characters`. Neither it nor a hint holds the value or
anything from which it follows: instants are apart by whole quarters of an hour, as zones are, or by a magnitude.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from proxy.core.documents import ABSENT
from proxy.core.likeness import NORMAL_FORMS, decimal_of, instant, is_within, number

NULL, BOOLEAN, NUMBER, TEXT, ARRAY, OBJECT, NOTHING, BYTES = (
    "null", "boolean", "number", "text", "array", "object", "nothing", "bytes"
)  # fmt: skip
_WORDS = {type(None): NULL, bool: BOOLEAN, int: NUMBER, float: NUMBER, Decimal: NUMBER, str: TEXT, bytes: BYTES}

_ZONED = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}")
_URL = re.compile(r"[a-z][a-z0-9+.-]{1,19}://\S+", re.IGNORECASE)
_HEX = re.compile(r"(?=.*\d)[0-9a-f]{16,}|(?=.*\d)[0-9A-F]{16,}", re.ASCII)
_PRECISIONS = {0: "seconds", 3: "milliseconds", 6: "microseconds", 9: "nanoseconds"}
_QUARTER_S, _WIDEST_ZONES_S = 900, 26 * 3600  # from UTC-12 to UTC+14
_MAGNITUDES = ((60, "seconds"), (3600, "minutes"), (86_400, "hours"))
_LAST_MS = 253_402_300_800_000  # the end of the year 9999
_FORMATS_LIMIT = 2_000  # of a text: what is longer is a text, whatever it looks like
_A_MILLIONTH = Decimal("0.000001")


def word_of(value: Any) -> str:
    """Return the type of a value in one word; `nothing` where there is none, `bytes` for what is no JSON."""
    if value is ABSENT:
        return NOTHING
    word = _WORDS.get(type(value))
    if word is not None:
        return word
    return OBJECT if isinstance(value, dict) else ARRAY


def shape_of(value: Any) -> str:
    """Return what may be known of a value, as a phrase."""
    word = word_of(value)
    if word == TEXT:
        return _of_text(value)
    if word == NUMBER:
        return _of_number(decimal_of(value))
    if word == ARRAY:
        return f"array of {_counted(len(value), 'item')}"
    if word == OBJECT:
        return f"object of {_counted(len(value), 'member')}"
    if word == BYTES:
        return f"no JSON, {_counted(len(value), 'byte')}"
    return word


def _of_text(text: str) -> str:
    if not text:
        return "empty text"
    found = _format_of(text) if len(text) <= _FORMATS_LIMIT else None
    if found is not None:
        return found
    blank = ", all of them space" if text.isspace() else ""
    ends = ", with space at its ends" if not blank and text != text.strip() else ""
    return f"text of {_counted(len(text), 'character')}{blank}{ends}"


def _format_of(text: str) -> str | None:
    """Return what a text is, if it is of a known format."""
    if NORMAL_FORMS["uuid"](text) is not None:
        spelt = "" if "-" in text else " without dashes"
        return f"UUID{spelt}" + (" in capitals" if text != text.lower() and text == text.upper() else "")
    zoned = _ZONED.fullmatch(text)
    if zoned is not None:
        digits = len(zoned[1] or "")
        precision = _PRECISIONS.get(digits, f"{digits} decimals")
        zone = "without a zone" if zoned[2] is None else "in UTC" if zoned[2] in "Zz" else f"in {zoned[2]}"
        return f"instant {zone}, to {precision}"
    if _DATE.fullmatch(text):
        return "date"
    found = number(text)
    if isinstance(found, Decimal):
        return f"{_of_number(found)}, as text"
    if text.lower() in ("true", "false"):
        return "boolean, as text"
    return _long_format_of(text)


def _long_format_of(text: str) -> str | None:
    length = _counted(len(text), "character")
    if _URL.fullmatch(text):
        return f"URL of {length}"
    if _MAIL.fullmatch(text):
        return f"e-mail address of {length}"
    return f"hexadecimal text of {length}" if _HEX.fullmatch(text) else None


def _of_number(value: Decimal | None) -> str:
    if value is None or not value.is_finite():
        return NUMBER
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    minus = "negative " if sign and any(digits) else ""
    before, behind = max(1, len(digits) + exponent), max(0, -exponent)
    if not behind:
        return f"{minus}integer of {_counted(before, 'digit')}"
    return f"{minus}number of {_counted(before, 'digit')} and {_counted(behind, 'decimal')}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def hints(first: Any, second: Any) -> tuple[str, ...]:
    """Return what may be the reason why two values differ; where a word of `equal_if` explains it, the word."""
    words = {word_of(first), word_of(second)}
    if words == {NULL, NOTHING}:
        return ("null on one side, nothing on the other: `equal_if` null-is-missing",)
    if words & {NOTHING, NULL, BYTES, OBJECT, ARRAY}:
        return ()
    return tuple(_hints(first, second))


def _hints(first: Any, second: Any) -> Iterator[str]:
    for word, said in _SAID.items():
        one, other = (NORMAL_FORMS[word](value) for value in (first, second))
        if one is not None and one == other:
            yield f"{said}: `equal_if` {word}"
            return
    if isinstance(first, str) and isinstance(second, str):
        yield from _of_texts(first, second)
    elif isinstance(first, str) or isinstance(second, str):
        text, value = (first, second) if isinstance(first, str) else (second, first)
        yield from _of_text_and_other(text, value)
    elif is_within(first, second, Decimal(0), _A_MILLIONTH):
        yield "apart by less than a millionth: a `tolerance`"
    elif bool in (type(first), type(second)) and type(first) is not type(second) and first == second:
        yield "the same, if 1 is true and 0 is false"


_SAID = {
    "same-instant": "the same instant, written differently (zone or precision)",
    "same-number": "the same number, as text on one side",
    "uuid": "the same UUID, spelt differently",
    "url-path": "the same path, on another host",
    "case": "they differ in case alone",
}


def _of_texts(first: str, second: str) -> Iterator[str]:
    one, other = _moment(first), _moment(second)
    if one is not None and other is not None:
        yield _apart(one, other) + _unless(first, second)
    elif first.split() == second.split():
        yield "they differ in spaces alone"
    elif first and second and (first.startswith(second) or second.startswith(first)):
        yield "one is the beginning of the other: it may be cut"


def _of_text_and_other(text: str, value: Any) -> Iterator[str]:
    if isinstance(value, bool):
        if text.lower() == str(value).lower():
            yield "the same, as text on one side"
        return
    at, since = _moment(text), decimal_of(value)
    if at is None or since is None or abs(since) > _LAST_MS:
        return
    for name, per_s in (("seconds", 1), ("milliseconds", 1000)):
        if int(since) // per_s == at[0]:
            yield f"the same instant, as {name} since 1970 on one side"


def _moment(text: str) -> tuple[int, str] | None:
    """Return an instant as `likeness` has it; one without a zone as if it were UTC."""
    found = _ZONED.fullmatch(text) if len(text) < 100 else None
    if found is None:
        return None
    at = instant(text if found[2] is not None else f"{text}Z")
    return at if isinstance(at, tuple) else None


def _apart(first: tuple[int, str], second: tuple[int, str]) -> str:
    apart_s = abs(first[0] - second[0])
    if first == second:
        return "the same instant"
    if not apart_s:
        is_cut = first[1].startswith(second[1]) or second[1].startswith(first[1])
        return "the same instant, with fewer decimals on one side" if is_cut else "less than a second apart"
    if apart_s % _QUARTER_S == 0 and apart_s <= _WIDEST_ZONES_S:
        hours, minutes = divmod(apart_s // 60, 60)
        return " ".join([f"{hours} h"] * bool(hours) + [f"{minutes} min"] * bool(minutes)) + " apart"
    return next((name for most_s, name in _MAGNITUDES if apart_s < most_s), "days") + " apart"


def _unless(first: str, second: str) -> str:
    zones = [_ZONED.fullmatch(text) for text in (first, second)]
    without = [found is not None and found[2] is None for found in zones]
    return ", if the one without a zone is UTC" if without[0] is not without[1] else ""

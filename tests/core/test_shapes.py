"""What is told of a value is never the value; why two may differ is told in words."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.documents import ABSENT
from proxy.core.shapes import hints, shape_of, word_of


@pytest.mark.parametrize(
    ("value", "word", "shape"),
    [
        (None, "null", "null"),
        (ABSENT, "nothing", "nothing"),
        (True, "boolean", "boolean"),
        (0, "number", "integer of 1 digit"),
        (-12345, "number", "negative integer of 5 digits"),
        (12.5, "number", "number of 2 digits and 1 decimal"),
        (0.05, "number", "number of 1 digit and 2 decimals"),
        (-0.5, "number", "negative number of 1 digit and 1 decimal"),
        (1e300, "number", "integer of 301 digits"),
        (Decimal("18446744073709551617"), "number", "integer of 20 digits"),
        (Decimal("1.20"), "number", "number of 1 digit and 2 decimals"),
        ("", "text", "empty text"),
        ("Ana", "text", "text of 3 characters"),
        ("   ", "text", "text of 3 characters, all of them space"),
        ("Ana ", "text", "text of 4 characters, with space at its ends"),
        ("12.50", "text", "number of 2 digits and 1 decimal, as text"),
        ("true", "text", "boolean, as text"),
        ("2026-01-01", "text", "date"),
        ("2026-01-01T10:00:00Z", "text", "instant in UTC, to seconds"),
        ("2026-01-01T10:00:00.123+02:00", "text", "instant in +02:00, to milliseconds"),
        ("2026-01-01 10:00:00.1234", "text", "instant without a zone, to 4 decimals"),
        ("0b4f9c1e-8a52-4d2e-9f62-0123456789ab", "text", "UUID"),
        ("0B4F9C1E8A524D2E9F620123456789AB", "text", "UUID without dashes in capitals"),
        ("https://example.com/a?b", "text", "URL of 23 characters"),
        ("ana@example.com", "text", "e-mail address of 15 characters"),
        ("00ff00ff00ff00ff00", "text", "hexadecimal text of 18 characters"),
        ([1, 2, 3], "array", "array of 3 items"),
        ({"a": 1}, "object", "object of 1 member"),
        (b"<html>", "bytes", "no JSON, 6 bytes"),
        ("9" * 5000, "text", "text of 5000 characters"),
    ],
)
def test_what_is_told_of_a_value(value, word, shape):
    assert (word_of(value), shape_of(value)) == (word, shape)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "the same instant, written differently"),
        ("2026-01-01T00:00:00Z", "2026-01-01T02:00:00Z", "2 h apart"),
        ("2026-01-01T00:00:00Z", "2026-01-01T05:30:00Z", "5 h 30 min apart"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:15:00Z", "15 min apart"),
        ("2026-01-01T00:00:00Z", "2026-01-01T02:00:01Z", "hours apart"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", "seconds apart"),
        ("0001-01-01T00:00:00Z", "1985-03-02T00:00:00Z", "days apart"),
        (
            "2026-01-01T00:00:00.123456Z",
            "2026-01-01T00:00:00.123Z",
            "the same instant, with fewer decimals on one side",
        ),
        ("2026-01-01T00:00:00.1Z", "2026-01-01T00:00:00.2Z", "less than a second apart"),
        ("2026-01-01T00:00:00", "2026-01-01T00:00:00Z", "the same instant, if the one without a zone is UTC"),
        ("2026-01-01 02:00:00", "2026-01-01T00:00:00Z", "2 h apart, if the one without a zone is UTC"),
        (1767225600, "2026-01-01T00:00:00Z", "the same instant, as seconds since 1970 on one side"),
        ("2026-01-01T00:00:00.5Z", 1767225600500, "the same instant, as milliseconds since 1970 on one side"),
        ("12", 12, "`equal_if` same-number"),
        ("Ana", "ANA", "they differ in case alone: `equal_if` case"),
        ("Ana ", "Ana", "they differ in spaces alone"),
        ("Ana Lopez", "Ana Lo", "one is the beginning of the other: it may be cut"),
        ("0B4F9C1E-8A52-4D2E-9F62-0123456789AB", "0b4f9c1e8a524d2e9f620123456789ab", "`equal_if` uuid"),
        ("http://a/x", "https://b/x", "`equal_if` url-path"),
        (None, ABSENT, "`equal_if` null-is-missing"),
        (0.1, 0.10000000000000009, "a `tolerance`"),
        (True, 1, "if 1 is true"),
        ("True", True, "the same, as text on one side"),
    ],
)
def test_what_may_be_the_reason(first, second, said):
    (hint,) = hints(first, second)

    assert said in hint


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Ana", "Bob"),
        (1, 2),
        (None, 1),
        ([1], [2]),
        (b"a", b"b"),
        ("no", False),
        ("", "a"),
        (1, "2026-01-01T00:00:00Z"),
    ],
)
def test_where_nothing_explains_it_nothing_is_said(first, second):
    assert hints(first, second) == ()


_SECRETS = (
    st.text(min_size=9, max_size=40) | st.integers(min_value=10**9) | st.uuids().map(str) | st.datetimes().map(str)
)


@given(_SECRETS, _SECRETS)
def test_no_value_stands_in_what_is_told(first: Any, second: Any):
    told = " ".join((shape_of(first), shape_of(second), *hints(first, second)))

    for value in (first, second):
        assert str(value) not in told
        assert orjson.dumps(str(value))[1:-1].decode() not in told

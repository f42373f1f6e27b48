"""When values that are written differently mean the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.likeness import NORMAL_FORMS, is_within, number


@pytest.mark.parametrize(
    ("word", "first", "second", "alike"),
    [
        ("same-instant", "2026-01-01T00:00:00Z", "2025-12-31T19:00:00.000000000-05:00", True),
        ("same-instant", "2026-01-01T00:00:00.1Z", "2026-01-01T00:00:00.100Z", True),
        ("same-instant", "2026-01-01t00:00:00z", "2026-01-01 00:00:00Z", True),
        ("same-instant", "2026-01-01T00:00:00.123456789Z", "2026-01-01T00:00:00.123456788Z", False),
        ("same-instant", "2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z", True),
        ("same-instant", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00", None),
        ("same-instant", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00Z", None),
        ("same-instant", "2026-01-01T00:00:00+25:00", "2026-01-01T00:00:00Z", None),
        ("same-number", "12", 12, True),
        ("same-number", "12.0", 12, True),
        ("same-number", "1e2", 100.0, True),
        ("same-number", "012", 12, None),
        ("same-number", "12 ", 12, None),
        ("same-number", True, 1, None),
        ("same-number", "18446744073709551617", "18446744073709551616", False),
        ("case", "Ana", "ANA", True),
        ("case", "straße", "STRASSE", True),
        ("case", "Ana", "Anna", False),
        ("uuid", "0B4F9C1E-8A52-4D2E-9F62-0123456789AB", "0b4f9c1e8a524d2e9f620123456789ab", True),
        ("uuid", "urn:uuid:0b4f9c1e-8a52-4d2e-9f62-0123456789ab", "{0b4f9c1e-8a52-4d2e-9f62-0123456789ab}", True),
        ("uuid", "0b4f9c1e-8a52-4d2e-9f62-0123456789ab", "0b4f9c1e-8a52-4d2e-9f62-0123456789ac", False),
        ("uuid", "no", "no", None),
        ("url-path", "http://a/x?y#z", "https://b:1/x?y#z", True),
        ("url-path", "http://a", "/", True),
        ("url-path", "/x", "http://a/x", True),
        ("url-path", "/x?a", "/x?b", False),
        ("url-path", "mailto:a@b", "/x", None),
    ],
)
def test_what_is_alike(word, first, second, alike):
    one, other = NORMAL_FORMS[word](first), NORMAL_FORMS[word](second)
    if alike is None:
        assert one is None or other is None
    else:
        assert one is not None and other is not None
        assert (one == other) is alike


zones = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 28)), zones, zones)
def test_one_moment_is_the_same_in_every_zone(moment, zone, other):
    at = moment.replace(tzinfo=UTC)
    texts = [at.astimezone(each).isoformat() for each in (zone, other)]
    one, two = map(NORMAL_FORMS["same-instant"], texts)
    assert one is not None and one == two


@pytest.mark.parametrize(
    ("first", "second", "absolute", "relative", "within"),
    [
        (1.1, 1.0, "0.1", "0", True),  # 1.1 - 1.0 is more than 0.1 in doubles
        (1.1000001, 1.0, "0.1", "0", False),
        (100, 101, "0", "0.01", True),
        (100, 102, "0", "0.01", False),
        (0, 0.0, "0", "0", True),
        (10**40, 10**40 + 1, "1", "0", True),
        (10**40, 10**40 + 2, "1", "0", False),
        (Decimal("0.3"), 0.1, "0.2", "0", True),
        ("1", 1, "9", "0", False),
        (True, 1, "9", "0", False),
        (None, None, "9", "0", False),
    ],
)
def test_numbers_within_a_tolerance(first, second, absolute, relative, within):
    assert is_within(first, second, Decimal(absolute), Decimal(relative)) is within
    assert is_within(second, first, Decimal(absolute), Decimal(relative)) is within


@pytest.mark.parametrize("text", ["1e9999999", "-1e9999999", "1e99999999999999999999"])
def test_a_number_beyond_all_measure_has_no_normal_form(text):
    assert number(text) is None

"""JSON texts as values: what is exact, what repeats a name, and what is no JSON."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.jsontext import Document, exactly, parse
from proxy.core.oddities import Oddity


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"NaN", b"[1,]", b'{"a":NaN}', b"Infinity", b'"\xff"', b'{"a":1}x', b"\xef\xbb\xbf{}", b"'a'",
        b"1e400",
    ],
)  # fmt: skip
def test_what_is_no_json_is_known(text):
    assert parse(text) is Oddity.NOT_JSON


@pytest.mark.parametrize("levels", [255, 500, 1_024, 1_025, 10_000])
def test_what_stands_in_too_many_levels_is_known(levels):
    assert parse(b"[" * levels + b"]" * levels) is Oddity.NESTED
    assert parse(b'{"a":' * levels + b"1" + b"}" * levels) is Oddity.NESTED


def test_254_levels_are_read():
    assert isinstance(parse(b"[" * 254 + b"]" * 254), Document)


@pytest.mark.parametrize("number", [b"1e-9999999999999999999", b"0.1e-99999999999999999999999"])
def test_numbers_that_nobody_keeps_are_known(number):
    assert parse(b'{"a":' + number + b"}") is Oddity.NUMBERS


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (b"18446744073709551617", b"18446744073709551616"),
        (b"123456789012345678901234567890", b"123456789012345678901234567891"),
        (b"0.12345678901234567", b"0.12345678901234568"),
        (b"1234567890.1234567", b"1234567890.12345671"),
        (b"1.0e-400", b"0"),
        (b"-99999999999999999999.5", b"-99999999999999999999.25"),
        (b"4.9406564584124654e-324", b"5e-324"),
    ],
)
def test_long_numbers_are_not_rounded_into_each_other(first, second):
    one, other = parse(b'{"a":%b}' % first), parse(b'{"a":%b}' % second)
    assert exactly(b'{"a":%b}' % first, one).value != exactly(b'{"a":%b}' % second, other).value  # type: ignore


@pytest.mark.parametrize(
    ("text", "repeats"),
    [
        (b'{"a":1,"a":2}', True),
        (b'{"a" : 1, "a" : 2}', True),
        (b'{"a":{"b":1,"b":1},"c":2}', True),
        (b'{"a":1,"\\u0061":2}', True),
        (b'{"a":[{"x":1},{"x":1}]}', False),
        (b'{"a":"\\":\\":","b":"\\u0022:"}', False),
        (b'{"a" : 1, "b": 2}', False),
        (b'{"a":"say \\"a\\": 1","b\\"":2}', False),
        (b'{"n":12345678901234567890123,"n":1}', True),
        (b'{"a":1,"a":2,"b" :3}', True),
    ],
)
def test_two_members_of_one_name_are_seen(text, repeats):
    found = parse(text)
    assert isinstance(found, Document) and found.repeats is repeats


def test_ordinary_numbers_take_the_fast_way_and_can_be_had_exactly():
    text = b'{"a":0.1,"b":9223372036854775807,"c":[1e3]}'
    found = parse(text)
    assert isinstance(found, Document) and found.value == {"a": 0.1, "b": 9223372036854775807, "c": [1000.0]}
    assert exactly(b'{"a":0.1}', parse(b'{"a":0.1}')).value == {"a": Decimal("0.1")}  # type: ignore[arg-type]


@pytest.mark.parametrize("digits", [4_400, 10_000])
def test_a_number_that_is_too_long_for_everybody_ends_nothing(digits):
    assert parse(b"[" + b"7" * digits + b"]") is Oddity.NOT_JSON


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(values, st.sampled_from(((",", ":"), (", ", ": "), (" , ", " : "))), st.booleans())
def test_whatever_python_writes_is_read_as_it_was_and_repeats_nothing(value, separators, ascii_only):
    text = json.dumps(value, separators=separators, ensure_ascii=ascii_only).encode("utf-8", "replace")
    found = parse(text)
    if isinstance(found, Oddity):  # lone surrogates are no UTF-8
        assert "\\ud" in text.decode().lower() or b"?" in text
        return
    assert not found.repeats
    assert exactly(text, found).value == json.loads(text, parse_float=Decimal)

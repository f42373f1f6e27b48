"""What header fields mean: media types that are written in different ways, and lists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.mediatypes import is_json, media_type, members, same_type


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (b"application/json", b"Application/JSON", True),
        (b"application/json", b"application/json; charset=utf-8", True),
        (b"application/json;charset=latin1", b"application/json; charset=utf-8", True),
        (b"application/hal+json", b"application/hal+json ; charset=utf-8", True),
        (b"application/hal+json", b"application/json", False),
        (b"application/json; v=1", b"application/json; v=2", False),
        (b"text/html; charset=UTF-8", b"text/html;Charset=utf-8", True),
        (b"text/html; charset=UTF-8", b'text/html; charset="utf-8"', True),
        (b"text/html; charset=UTF-8", b"text/html; charset=latin1", False),
        (b"text/html; charset=UTF-8", b"text/html", False),
        (b"a/b; x=1; y=2", b"a/b;y=2;x=1", True),
        (b"a/b; x=A", b"a/b; x=a", False),
        (b'a/b; x="1;2"', b"a/b; x=1", False),
        (b'a/b; x="a\\"b"', b'a/b; x="a\\b"', False),
        (b"a/b;", b"a/b", True),
        (b"", b"a/b", False),
    ],
)
def test_media_types_are_compared_by_what_they_mean(first, second, expected):
    assert same_type(first, second) is expected
    assert same_type(second, first) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"application/json", True), (b"Application/JSON; charset=x", True), (b"application/problem+json", True),
        (b"text/json", True), (b"application/x-ndjson", False), (b"text/html; x=application/json", False),
        (b"application/json-seq", False), (b"", False),
    ],
)  # fmt: skip
def test_json_is_known_by_name_and_suffix(value, expected):
    assert is_json(value) is expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([b"a, b"], [b"a", b"b"]),
        ([b"a", b"b"], [b"a", b"b"]),
        ([b"a ,\tb,,"], [b"a", b"b"]),
        ([b'"a , b", c'], [b'"a , b"', b"c"]),
        ([b'"a\\", b", c'], [b'"a\\", b"', b"c"]),
        ([b'"a, b'], [b'"a, b']),
        ([], []),
        ([b""], []),
    ],
)
def test_a_list_may_stand_in_one_line_or_in_several(values, expected):
    assert members(values) == expected


@given(st.binary(max_size=60))
def test_whatever_stands_there_it_means_the_same_as_itself(value):
    assert same_type(value, value)
    assert media_type(value) == media_type(value.swapcase()) or b"=" in value
    assert members([value]) == members([b",", value, b""])

"""Fields are the lines that are written, and a value is never taken for a name."""

from __future__ import annotations

from proxy.core.messages import (
    UNKNOWN_LENGTH,
    AnswerHead,
    RequestHead,
    field,
    pairs_of,
    value_behind,
    value_of,
    values_of,
    without,
)

FIELDS = field(b"accept", b"host") + field(b"host", b"a") + field(b"x", b"1") + field(b"x", b"2")


def test_fields_are_their_lines_as_they_are_written():
    assert FIELDS == b"accept: host\r\nhost: a\r\nx: 1\r\nx: 2\r\n"
    assert pairs_of(FIELDS) == [(b"accept", b"host"), (b"host", b"a"), (b"x", b"1"), (b"x", b"2")]
    assert pairs_of(b"") == []


def test_a_value_is_not_taken_for_a_name():
    assert value_of(FIELDS, b"host") == b"a"
    assert value_of(field(b"a", b"x") + field(b"x", b""), b"x") == b""
    assert value_of(field(b"a", b"b"), b"b") is None
    assert value_of(field(b"a", b"host: evil") + field(b"x-host", b"evil") + field(b"host", b"a"), b"host") == b"a"
    assert value_of(field(b"x-host", b"host: evil"), b"host") is None
    assert value_of(b"", b"host") is None
    assert values_of(field(b"x-host", b"host: evil") + field(b"host", b"a"), b"host") == [b"a"]
    assert value_behind(FIELDS, b"host: ") == b"a"


def test_the_first_value_and_all_values():
    assert value_of(FIELDS, b"x") == b"1"
    assert values_of(FIELDS, b"x") == [b"1", b"2"]
    assert values_of(FIELDS, b"y") == []


def test_fields_are_taken_out_by_name():
    assert without(FIELDS, frozenset((b"x", b"accept"))) == field(b"host", b"a")
    assert without(field(b"x", b"a: b"), frozenset((b"a",))) == field(b"x", b"a: b")
    assert without(FIELDS, frozenset((b"host: a",))) == FIELDS


def test_a_request_knows_its_path_and_starts_without_a_body():
    request = RequestHead(b"GET", b"/a?b?c", FIELDS, host=b"a", peer=b"1.2.3.4")

    assert (request.path, request.length, request.minor, request.keep_alive) == (b"/a", 0, 1, True)
    assert request.get(b"x") == b"1"
    assert request.get(b"none") is None


def test_an_answer_without_a_declared_length_is_of_unknown_length():
    answer = AnswerHead(200, FIELDS, UNKNOWN_LENGTH)

    assert (answer.status, answer.length, answer.keep_alive, answer.get(b"host")) == (200, -1, True, b"a")

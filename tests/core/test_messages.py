"""Field lists: joining one is writing the head, and a value is never taken for a name."""

from __future__ import annotations

from proxy.core.messages import (
    COLON,
    CRLF,
    UNKNOWN_LENGTH,
    AnswerHead,
    RequestHead,
    field,
    value_of,
    values_of,
    without,
)

FIELDS = [*field(b"accept", b"host"), *field(b"host", b"a"), *field(b"x", b"1"), *field(b"x", b"2")]


def test_joining_a_field_list_writes_the_head():
    assert b"".join(FIELDS) == b"accept: host\r\nhost: a\r\nx: 1\r\nx: 2\r\n"


def test_a_value_is_not_taken_for_a_name():
    assert value_of(FIELDS, b"host") == b"a"
    assert value_of([*field(b"a", b"x"), *field(b"x", b"")], b"x") == b""
    assert value_of(field_list := [*field(b"a", b"b")], b"b") is None
    assert value_of(field_list, CRLF) is None and value_of(field_list, COLON) is None


def test_the_first_value_and_all_values():
    assert value_of(FIELDS, b"x") == b"1"
    assert values_of(FIELDS, b"x") == [b"1", b"2"]
    assert values_of(FIELDS, b"y") == []


def test_fields_are_taken_out_by_name_and_the_list_stays_as_it_was():
    assert without(FIELDS, frozenset((b"x", b"accept"))) == [*field(b"host", b"a")]
    assert len(FIELDS) == 16


def test_a_request_knows_its_path_and_starts_without_a_body():
    request = RequestHead(b"GET", b"/a?b?c", FIELDS, host=b"a", peer=b"1.2.3.4")

    assert (request.path, request.length, request.minor, request.keep_alive) == (b"/a", 0, 1, True)
    assert request.get(b"x") == b"1"
    assert request.get(b"none") is None


def test_an_answer_without_a_declared_length_is_of_unknown_length():
    answer = AnswerHead(200, FIELDS, UNKNOWN_LENGTH)

    assert (answer.status, answer.length, answer.keep_alive, answer.get(b"host")) == (200, -1, True, b"a")

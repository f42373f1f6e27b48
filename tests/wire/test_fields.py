"""Field lines: what is one, what it says, and what of it is remembered."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.headers import CONNECTION, HOST, LENGTH, PLAIN, TRANSFER, meaning_in_answer, meaning_in_request
from proxy.core.messages import pairs_of
from proxy.wire.fields import (
    MEMO_LINE_BYTES,
    MEMO_LINES,
    OWN_LINE_BYTES,
    OWN_LINES,
    REQUEST_FIELDS,
    BadField,
    Field,
    FieldReader,
    body_length,
)
from tests.wire import grammar


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        (b"Accept: */*", b"accept", b"*/*"),
        (b"ACCEPT:*/*", b"accept", b"*/*"),
        (b"X-Empty:", b"x-empty", b""),
        (b"X-Blank: \t ", b"x-blank", b""),
        (b"X-Padded:\t a b \t", b"x-padded", b"a b"),
        (b"X: a: b", b"x", b"a: b"),
        (b"X: \xc3\xa4", b"x", b"\xc3\xa4"),
        (b"!#$%&'*+-.^_`|~9z: y", b"!#$%&'*+-.^_`|~9z", b"y"),
    ],
)
def test_a_field_as_it_is_written_again(line, name, value):
    for _ in range(2):
        assert FieldReader(meaning_in_answer).read(line, {}).line == name + b": " + value + b"\r\n"


@pytest.mark.parametrize(
    "line",
    [
        b"", b"X", b": a", b" X: a", b"X : a", b"X\t: a", b"X Y: a", b"X(A): a", b'"X": a', b"X@: a", b"X\xc3: a",
        b"\x00: a", b"X: a\x00", b"X: a\rb", b"X: a\nb", b"X: a\x0b", b"X: a\x0c", b"X: \x01", b"X: \x7f", b"X: a\r",
        b"X\r: a", b"X\n: a",
    ],
)  # fmt: skip
def test_what_is_no_field(line):
    reader = FieldReader(meaning_in_request)
    for _ in range(2):
        with pytest.raises(BadField):
            reader.read(line, {})
    assert reader.known(line) is None and reader.plain(line) is None


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=30) | st.builds(lambda name, value: name + b":" + value, st.binary(), st.binary()))
def test_a_field_is_what_the_grammar_says_and_nothing_else(line):
    if b"\r\n" in line:
        return
    other = grammar.read(b"GET / HTTP/1.1\r\n" + line + b"\r\n\r\n")
    try:
        again = FieldReader(meaning_in_request).read(line, {}).line
    except BadField:
        assert other is None
    else:
        assert other is not None and other.fields == pairs_of(again)


def test_what_the_wire_asks_of_its_own_fields():
    def read(line: bytes) -> Field:
        return FieldReader(meaning_in_request).read(line, {})

    host, bad_host = read(b"Host: a:80"), read(b"host: a/b")
    assert (host.meaning, host.is_good, bad_host.is_good) == (HOST, True, False)
    connection = read(b"Connection: Close, X-Mine ,,")
    assert (connection.meaning, connection.words) == (CONNECTION, [b"close", b"x-mine"])
    assert (read(b"Content-Length: 007").meaning, read(b"Content-Length: 007").number) == (LENGTH, 7)
    assert read(b"Content-Length: +7").number == -1
    coding = read(b"Transfer-Encoding: A, b")
    assert (coding.meaning, coding.words) == (TRANSFER, [b"a", b"b"])


@pytest.mark.parametrize(
    ("value", "length"),
    [
        (b"0", 0), (b"5", 5), (b"005", 5), (b"0" * 30 + b"7", 7), (b"0" * 30, 0), (b"9" * 18, 10**18 - 1),
        (b"9" * 19, -1), (b"", -1), (b"+5", -1), (b"-5", -1), (b"5 ", -1), (b"0x5", -1), (b"5_0", -1), (b"\xb2", -1),
        ("٥".encode(), -1),
    ],
)  # fmt: skip
def test_a_length_is_decimal_and_not_beyond_any_body(value, length):
    assert body_length(value) == length


def test_a_line_is_understood_once_unless_it_is_long_or_a_secret():
    reader = FieldReader(meaning_in_request)
    for line, kept in (
        (b"Accept: */*", True),
        (b"X: " + b"y" * MEMO_LINE_BYTES, False),
        (b"Cookie: session=1", False),
        (b"Authorization: Bearer x", False),
        (b"X-Banyan-Force: modern;secret", False),
    ):
        own: dict[bytes, Field] = {}
        field = reader.read(line, own)
        assert ((reader.plain(line) or reader.known(line)) in (field, field.line)) is kept
        assert own == ({} if kept else {line: field})


def test_what_is_kept_for_one_connection_is_little():
    reader, own = FieldReader(meaning_in_request), {}
    reader.read_all([b"Cookie: " + b"y" * OWN_LINE_BYTES, b"X-Banyan-Force: " + b"y" * 4_000], own)
    assert own == {}
    for n in range(10):
        lines = [b"Authorization: %d" % n, b"Cookie: session=%d" % n]
        assert reader.read_all(lines, own) == reader.read_all(lines, own) == reader.read_all(lines, {})
        assert 1 <= len(own) <= OWN_LINES


def test_lines_and_names_that_a_peer_invents_never_fill_the_memory_nor_keep_others_out():
    reader = FieldReader(meaning_in_request)
    for n in range(2 * MEMO_LINES + 10):
        reader.read(b"X-Invented-%d: %d" % (n, n), {})
    reader.read(b"X-" + b"y" * 16_000 + b": z", {})

    for n in range(2 * MEMO_LINES + 10):
        reader.read(b"X_Invented: %d" % n, {})

    assert max(map(len, (reader._plain, reader._memo, reader._names))) <= MEMO_LINES
    assert max(map(len, reader._names)) <= MEMO_LINE_BYTES
    late = reader.read(b"X-Late: 1", {})
    assert reader.plain(b"X-Late: 1") == late.line
    assert late.meaning == PLAIN


def test_the_memo_of_requests_and_that_of_answers_are_apart():
    assert REQUEST_FIELDS.read(b"X_Odd: 1", {}).meaning != FieldReader(meaning_in_answer).read(b"X_Odd: 1", {}).meaning

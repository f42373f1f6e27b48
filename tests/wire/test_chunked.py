"""The chunked coding: strict, exact about where a body ends, and the same however the bytes are cut."""

from __future__ import annotations

import contextlib
import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.wire.chunked import (
    FORBIDDEN_TRAILERS,
    OVERHEAD_BYTES,
    TRAILER_BYTES,
    BadChunk,
    ChunkedDecoder,
    chunk,
)

ALL = 1 << 60  # lines of one feed


def decoded(*pieces: bytes, of_request: bool = True, lines: int = ALL) -> tuple[bytes, bool, bytes]:
    """Return (body, done, rest) of what comes in `pieces`, read with at most so many lines at a time."""
    decoder, body = ChunkedDecoder(of_request), b""
    for at, piece in enumerate(pieces):
        body += b"".join(decoder.feed(piece, lines))
        while decoder.stopped:
            body += b"".join(decoder.feed(b"", lines))
        if decoder.done:
            return body, True, decoder.rest + b"".join(pieces[at + 1 :])
    return body, False, b""


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


GOOD = {
    b"0\r\n\r\n": b"",
    b"5\r\nhello\r\n0\r\n\r\n": b"hello",
    b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n": b"hello!",
    b"A\r\n0123456789\r\n0\r\n\r\n": b"0123456789",
    b"a\r\n0123456789\r\n000\r\n\r\n": b"0123456789",
    b"0000000000000005\r\nhello\r\n0\r\n\r\n": b"hello",
    b"5;a=b\r\nhello\r\n0\r\n\r\n": b"hello",
    b'5;a;b=c;d="e\\"; f"\r\nhello\r\n0;last\r\n\r\n': b"hello",
    b"5 ;a=b\r\nhello\r\n0\r\n\r\n": b"hello",
    b"5; a = b\r\nhello\r\n0\r\n\r\n": b"hello",
    b"2\r\n\r\n\r\n0\r\n\r\n": b"\r\n",
    b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Empty:\r\n\r\n": b"hello",
    b"7\r\n0\r\n\r\nGE\r\n0\r\n\r\n": b"0\r\n\r\nGE",
}


@pytest.mark.parametrize("data", GOOD)
def test_a_body_and_what_stands_behind_it(data):
    assert decoded(data) == (GOOD[data], True, b"")
    assert decoded(data + b"GET / HTTP/1.1\r\n") == (GOOD[data], True, b"GET / HTTP/1.1\r\n")
    for size in (1, 2, 3, 5):
        assert decoded(*cut(data + b"NEXT", size)) == (GOOD[data], True, b"NEXT")
    assert all(not decoded(data[:at])[1] for at in range(len(data)))


BAD = {
    "no size": b"\r\nhello\r\n",
    "hexadecimal prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "minus": b"-5\r\nhello\r\n0\r\n\r\n",
    "underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "leading space": b" 5\r\nhello\r\n0\r\n\r\n",
    "leading tab": b"\t5\r\nhello\r\n0\r\n\r\n",
    "space behind the size": b"5 \r\nhello\r\n0\r\n\r\n",
    "tab behind the size": b"5\t\r\nhello\r\n0\r\n\r\n",
    "no hexadecimal digit": b"g\r\nhello\r\n0\r\n\r\n",
    "digit of another script": b"\xd9\xa5\r\nhello\r\n0\r\n\r\n",
    "larger than 2^64": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "2^63": b"8000000000000000\r\nhello\r\n0\r\n\r\n",
    "seventeen digits": b"00000000000000005\r\nhello\r\n0\r\n\r\n",
    "LF behind the size": b"5\nhello\r\n0\r\n\r\n",
    "CR behind the size": b"5\rhello\r\n0\r\n\r\n",
    "LF in an extension": b"5;a\nhello\r\n0\r\n\r\n",
    "LF in an extension that goes on": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "CR in an extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "NUL in an extension": b"5;a=\x00\r\nhello\r\n0\r\n\r\n",
    "extension without a name": b"5;\r\nhello\r\n0\r\n\r\n",
    "extension that is no token": b"5;a b\r\nhello\r\n0\r\n\r\n",
    "quoted extension that does not end": b'5;a="b\r\nhello\r\n0\r\n\r\n',
    "comma for a semicolon": b"5,a\r\nhello\r\n0\r\n\r\n",
    "LF behind the data": b"5\r\nhello\n0\r\n\r\n",
    "CR behind the data": b"5\r\nhello\r0\r\n\r\n",
    "nothing behind the data": b"5\r\nhello0\r\n\r\n",
    "two bytes too many": b"5\r\nhello!!\r\n0\r\n\r\n",
    "one byte too many": b"5\r\nhello!\r\n0\r\n\r\n",
    "last chunk ended by LF": b"5\r\nhello\r\n0\n\n",
    "empty line is LF": b"5\r\nhello\r\n0\r\n\n",
    "trailer that is no field": b"0\r\nX\r\n\r\n",
    "trailer with a space before the colon": b"0\r\nX : 1\r\n\r\n",
    "trailer without a name": b"0\r\n: 1\r\n\r\n",
    "folded trailer": b"0\r\nX: 1\r\n 2\r\n\r\n",
    "NUL in a trailer": b"0\r\nX: a\x00\r\n\r\n",
    "CR in a trailer": b"0\r\nX: a\rb\r\n\r\n",
    "LF in a trailer": b"0\r\nX: a\nb\r\n\r\n",
    "trailer ended by LF": b"0\r\nX: a\n\r\n",
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_what_breaks_the_coding_however_it_is_cut(case, size):
    for of_request in (True, False):
        with pytest.raises(BadChunk):
            body, done, _ = decoded(*cut(BAD[case], size), of_request=of_request)
            raise AssertionError(f"taken for {body!r}, done: {done}")


@pytest.mark.parametrize("name", sorted(FORBIDDEN_TRAILERS))
def test_a_trailer_that_would_frame_or_route_is_refused_in_requests_and_dropped_in_answers(name):
    data = b"5\r\nhello\r\n0\r\n" + name.title() + b": x\r\n\r\n"

    with pytest.raises(BadChunk):
        decoded(data)
    assert decoded(data, of_request=False) == (b"hello", True, b"")


@pytest.mark.parametrize(
    "name", [b"content-length", b"host", b"transfer-encoding", b"te", b"authorization", b"cookie", b"x-forwarded-for"]
)
def test_what_no_trailer_may_be(name):
    assert name in FORBIDDEN_TRAILERS


def test_extensions_may_be_an_eighth_of_a_large_body():
    """As of a sender that signs each chunk of 64 KiB, however many there are."""
    signed = b"10000;chunk-signature=" + b"a" * 64 + b"\r\n" + b"x" * 65_536 + b"\r\n"
    body, done, _ = decoded(signed * 100 + b"0;chunk-signature=" + b"a" * 64 + b"\r\n\r\n")
    assert (len(body), done) == (6_553_600, True)
    eighth = b"8;" + b"a" * 7 + b"\r\n" + b"x" * 8 + b"\r\n"  # eight times as much as that
    with pytest.raises(BadChunk):
        decoded(eighth * (OVERHEAD_BYTES // 7 + 1))


def test_extensions_and_trailers_are_bounded_over_the_whole_body():
    with pytest.raises(BadChunk):
        decoded(b"5;" + b"a" * 65_536 + b"\r\nhello\r\n0\r\n\r\n")
    with pytest.raises(BadChunk):
        decoded(*cut(b"5;" + b"a" * 65_536, 1000))
    with pytest.raises(BadChunk):
        decoded((b"1;" + b"a" * 99 + b"\r\nx\r\n") * (OVERHEAD_BYTES // 100 + 1))
    with pytest.raises(BadChunk):
        decoded(b"0\r\n" + (b"X: " + b"a" * 97 + b"\r\n") * (TRAILER_BYTES // 100 + 1))
    with pytest.raises(BadChunk):
        decoded(*cut(b"0\r\nX: " + b"a" * TRAILER_BYTES, 1000))


@pytest.mark.parametrize(
    "line",
    [b";a" * 2040, b"; a" + b" " * 4000 + b"!", b';a="' + b"\\a" * 2000, b";a=" + b" " * 4000 + b"(", b";" * 4000],
)
def test_no_chunk_line_takes_longer_to_read_than_to_send(line):
    started_s = time.perf_counter()
    for _ in range(20):
        with pytest.raises(BadChunk):
            decoded(b"5" + line + b"\x00\r\n")
    assert time.perf_counter() - started_s < 1.0


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.binary(max_size=20))
def test_what_was_encoded_is_decoded_to_the_same(blocks, behind):
    data = b"".join(b"".join(chunk([block], False)) for block in blocks) + b"".join(chunk([], True)) + behind

    assert decoded(data) == (b"".join(blocks), True, behind)
    assert decoded(b"".join(chunk(blocks, True)) + behind) == (b"".join(blocks), True, behind)


def test_encoding_never_writes_an_empty_chunk_but_the_last():
    assert chunk([], False) == [] and chunk([b"", b""], False) == []
    assert b"".join(chunk([b"", b"ab", b""], False)) == b"2\r\nab\r\n"
    assert b"".join(chunk([b""], True)) == b"0\r\n\r\n"
    assert b"".join(chunk([b"a" * 10, b"b" * 16], True)) == b"1a\r\n" + b"a" * 10 + b"b" * 16 + b"\r\n0\r\n\r\n"


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Return something like a chunked body: right, or broken in a few places."""
    extensions = st.sampled_from((b"", b"", b";a", b";a=b", b' ; a="\\""', b" ", b";"))
    data = b""
    for block in draw(st.lists(st.binary(min_size=1, max_size=12), max_size=4)):
        data += b"%x%b\r\n%b\r\n" % (len(block), draw(extensions), block)
    data += b"0\r\n" + draw(st.sampled_from((b"", b"X: y\r\n", b"Host: y\r\n", b"X\r\n"))) + b"\r\n"
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.sampled_from((b"", b"\r", b"\n", b"\r\n", b"0", b"f", b" "))) + data[at + 1 :]
    return data + draw(st.binary(max_size=8))


def outcome(pieces: list[bytes], lines: int = ALL) -> tuple[bytes, bool, bytes] | None:
    try:
        return decoded(*pieces, lines=lines)
    except BadChunk:
        return None


@settings(max_examples=600, deadline=None)
@given(bodies(), st.lists(st.integers(0, 80), max_size=12), st.integers(1, 4))
def test_any_cut_and_any_bound_give_the_same_body_and_never_more_than_came(data, places, lines):
    edges = sorted({0, len(data), *(place for place in places if place < len(data))})
    pieces = [data[start:end] for start, end in itertools.pairwise(edges)]
    whole, parts = outcome([data]), outcome(pieces, lines)

    if whole is not None and whole[1]:
        assert parts == whole  # complete: the end is at the same place
        assert len(whole[0]) + len(whole[2]) < len(data)
    elif whole is None:
        assert parts is None or not parts[1]
    else:
        assert parts is None or parts[:2] == whole[:2]


@given(st.binary(max_size=60))
def test_no_empty_block_is_ever_handed_on(data):
    with contextlib.suppress(BadChunk):
        assert all(ChunkedDecoder(of_request=True).feed(data, ALL))


def test_a_trailer_full_of_spaces_is_refused_at_once():
    """A value pattern that backtracks took 4 s for 16 KB: work per byte must not grow with the length."""
    for spaces in (8_000, 2_000_000):
        with pytest.raises(BadChunk):
            ChunkedDecoder(of_request=True).feed(b"0\r\nx:" + b" " * spaces + b"\x01\r\n\r\n", ALL)


def test_it_reads_no_more_lines_at_a_time_than_it_may():
    decoder = ChunkedDecoder(of_request=True)
    blocks = decoder.feed(b"1\r\nx\r\n" * 50 + b"0\r\n\r\nGET", 40)
    assert (blocks, decoder.stopped, decoder.done) == ([b"x"] * 20, True, False)
    assert (decoder.feed(b"", 40), decoder.stopped) == ([b"x"] * 20, True)
    assert decoder.feed(b" /", 22) == [b"x"] * 10
    assert (decoder.stopped, decoder.done, decoder.rest) == (False, True, b"GET /")


def test_a_bound_that_is_just_enough_stops_nothing():
    decoder = ChunkedDecoder(of_request=True)
    assert (decoder.feed(b"1\r\nx\r\n" * 20, 40), decoder.stopped) == ([b"x"] * 20, False)
    assert (decoder.feed(b"A0000\r\n" + b"y" * 70_000, 1), decoder.stopped) == ([b"y" * 70_000], False)

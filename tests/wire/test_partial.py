"""Heads that come in pieces: the same outcome as in one, and no waiting for what can be no head any more."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.limits import WireLimits
from proxy.core.messages import RequestHead
from proxy.wire.heads import Refused, read_request
from proxy.wire.partial import PartialHead, too_long
from tests.wire.test_heads import REFUSED, REQUESTS, mutated

LIMITS = WireLimits(head_bytes=2000, target_bytes=300)
GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"


def gathered(*pieces: bytes, limits: WireLimits = LIMITS) -> bytes:
    """Return what there is once a head is complete, or nothing."""
    partial = PartialHead(pieces[0], limits)
    for piece in pieces[1:]:
        whole = partial.add(piece)
        if whole:
            return whole
    return b""


@pytest.mark.parametrize("size", [1, 2, 3, 7, 20])
def test_a_head_is_given_back_whole_with_what_stands_behind_it(size):
    data = GET + b"\x00 anything \n"
    pieces = [data[at : at + size] for at in range(0, len(data), size)]

    assert gathered(*pieces).startswith(GET)
    assert gathered(GET[:-1], GET[-1:] + b"\x00\n") == GET + b"\x00\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00", 400),
        (b"SSH-2.0-OpenSSH_9.2\r\n", 400),
        (b"GET /\r\n", 400),
        (b"GET / HTTP/1.1\n", 400),
        (b"GET / HTTP/2.0\r\n", 505),
        (b"FOO / HTTP/1.1\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: a\n", 400),
        (b"\nGET", 400),
        (b" GET", 400),
        (b"G" * 65, 400),
        (b"GET / HTTP/1.1\r\nX: \x00", 400),
    ],
)
def test_what_can_be_no_head_any_more_is_refused_before_it_ends(data, status):
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        with pytest.raises(Refused) as refused:
            gathered(*pieces)
        assert refused.value.status == status


def test_a_head_never_grows_beyond_its_limits():
    with pytest.raises(Refused) as refused:
        gathered(b"GET /" + b"y" * 1000)
    assert refused.value.status == 414
    with pytest.raises(Refused) as refused:
        gathered(GET[:-2], *[b"X: y\r\n"] * 1000)
    assert refused.value.status == 431
    assert too_long(b"GET /" + b"y" * 400 + b" HTTP/1.1\r\n", LIMITS).status == 414
    assert too_long(b"GET / HTTP/1.1\r\n", LIMITS).status == 431


def test_half_an_empty_line_is_looked_at_again():
    assert gathered(b"\r", b"\n" + GET) == b"\r\n" + GET
    assert gathered(b"\r", b"\nGE") == b"\r\nGE"
    assert gathered(b"\r", b"X") == b"\rX"
    with pytest.raises(Refused):
        PartialHead(b"\rX", LIMITS)


def outcome(head: bytes, pieces: list[bytes]) -> tuple[bytes, bytes, list[bytes], int] | None:
    """Return what the client's connection would make of a head that comes in pieces, or None if it is refused."""
    try:
        request: RequestHead = read_request(gathered(*pieces) if len(pieces) > 1 else head, WireLimits())
    except Refused:
        return None
    return request.method, request.target, request.fields, request.length


@settings(max_examples=800, deadline=None)
@given(mutated(REQUESTS) | st.sampled_from([head for head, _ in REFUSED.values()]), st.lists(st.integers(1, 80)))
def test_any_cut_gives_the_same_outcome(head, places):
    if head[:1] == b"\r" or head.find(b"\r\n\r\n") != len(head) - 4:
        return  # empty lines before a head are the connection's business
    edges = sorted({0, len(head), *(place for place in places if place < len(head))})
    pieces = [head[start:end] for start, end in itertools.pairwise(edges)]

    assert outcome(head, pieces) == outcome(head, [head])

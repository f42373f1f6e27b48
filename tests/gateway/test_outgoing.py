"""Heads as they are written: values in, bytes out."""

from __future__ import annotations

import ipaddress

import pytest

from proxy.core.messages import UNKNOWN_LENGTH, RequestHead, Saw, field
from proxy.gateway.outgoing import (
    SideManner,
    client_address,
    is_trusted,
    own_location,
    replace_field,
    request_message,
    without_validators,
)

SIDE = SideManner(b"legacy.test:81")
LINES = b"host: a\r\nvia: 1.1 banyan\r\n"
NETWORKS = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))


def head(method: bytes = b"GET", *fields: tuple[bytes, bytes], saw: int = 0) -> RequestHead:
    flat = [part for name, value in fields for part in field(name, value)]
    request = RequestHead(method, b"/a?b=%20", flat, host=b"a")
    request.saw = saw
    return request


@pytest.mark.parametrize(
    ("method", "length", "framing"),
    [
        (b"GET", 0, b"\r\n"),
        (b"DELETE", 0, b"\r\n"),
        (b"POST", 0, b"content-length: 0\r\n\r\n"),
        (b"PUT", 5, b"content-length: 5\r\n\r\n"),
        (b"GET", 5, b"content-length: 5\r\n\r\n"),
        (b"PATCH", UNKNOWN_LENGTH, b"transfer-encoding: chunked\r\n\r\n"),
    ],
)
def test_the_body_is_framed_anew(method, length, framing):
    message = request_message(head(method), LINES, SIDE, False, length, [])

    assert message == method + b" /a?b=%20 HTTP/1.1\r\n" + LINES + framing


def test_fields_and_body_follow_in_order():
    message = request_message(head(b"PUT", (b"x-a", b"1"), (b"x-b", b"\xff")), LINES, SIDE, False, 4, [b"ab", b"cd"])

    assert message == b"PUT /a?b=%20 HTTP/1.1\r\nx-a: 1\r\nx-b: \xff\r\n" + LINES + b"content-length: 4\r\n\r\nabcd"


def test_a_request_without_host_gets_the_side_s():
    request = head()
    request.host = b""

    assert b"\r\nhost: legacy.test:81\r\n" in request_message(request, b"", SIDE, False, 0, [])


def test_a_side_s_own_fields_replace_the_client_s():
    side = SideManner(b"a", b"x-key: ours\r\n", frozenset((b"x-key",)))
    message = request_message(head(b"GET", (b"x-key", b"theirs"), (b"x-a", b"1")), LINES, side, False, 0, [])

    assert b"theirs" not in message and b"x-key: ours\r\n" in message and b"x-a: 1\r\n" in message


@pytest.mark.parametrize(("with_if_range", "range_stays"), [(False, True), (True, False)])
def test_conditional_fields_go_and_a_range_with_its_if_range(with_if_range, range_stays):
    fields = [(b"if-none-match", b'"1"'), (b"range", b"bytes=0-1"), (b"accept", b"*/*")]
    fields += [(b"if-range", b'"1"')] if with_if_range else []
    message = request_message(head(b"GET", *fields, saw=Saw.VALIDATOR), LINES, SIDE, True, 0, [])

    assert b"if-" not in message and b"accept: */*" in message
    assert (b"range: bytes=0-1" in message) is range_stays


def test_an_answer_loses_etag_and_last_modified():
    flat = [part for name in (b"etag", b"x", b"last-modified") for part in field(name, b"1")]

    assert without_validators(flat) == list(field(b"x", b"1"))


@pytest.mark.parametrize(
    ("value", "becomes"),
    [
        (b"http://legacy.test:81/users/7?a#b", b"https://shop.test/users/7?a#b"),
        (b"HTTP://Legacy.test:81", b"https://shop.test"),
        (b"http://legacy.test:8100/x", b"http://legacy.test:8100/x"),
        (b"http://legacy.test:81.evil.test/x", b"http://legacy.test:81.evil.test/x"),
        (b"/users/7", b"/users/7"),
        (b"https://elsewhere.test/", b"https://elsewhere.test/"),
    ],
)
def test_a_location_of_a_side_becomes_the_client_s(value, becomes):
    changed = own_location(list(field(b"location", value)), (b"legacy.test:81",), b"https://shop.test")

    assert changed == list(field(b"location", becomes))


@pytest.mark.parametrize(
    ("address", "trusted"),
    [(b"10.1.2.3", True), (b"11.1.2.3", False), (b"::ffff:10.1.2.3", True), (b"fd00::1%eth0", True), (b"junk", False)],
)
def test_a_peer_is_trusted_by_its_network(address, trusted):
    assert is_trusted(address, NETWORKS) is trusted


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        ([b"1.2.3.4"], b"1.2.3.4"),
        ([b"6.6.6.6, 1.2.3.4, 10.0.0.9"], b"1.2.3.4"),
        ([b"6.6.6.6", b"1.2.3.4 , 10.0.0.9"], b"1.2.3.4"),
        ([b"10.0.0.1, 10.0.0.2"], b"10.0.0.1"),
        ([], b"10.0.0.7"),
        ([b" , "], b"10.0.0.7"),
    ],
)
def test_the_client_is_the_last_of_the_chain_that_is_no_proxy_of_ours(chain, client):
    assert client_address(chain, b"10.0.0.7", NETWORKS) == client


def test_a_replaced_field_stands_once():
    flat = [*field(b"max-forwards", b"3"), *field(b"x", b"1"), *field(b"max-forwards", b"9")]

    assert replace_field(flat, b"max-forwards", b"2") == [*field(b"x", b"1"), *field(b"max-forwards", b"2")]

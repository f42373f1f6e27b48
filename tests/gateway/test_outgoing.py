"""Heads as Banyan writes them: what is added, what is taken out, whose word counts."""

from __future__ import annotations

import ipaddress
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy.core.messages import UNKNOWN_LENGTH, RequestHead, Saw, field
from proxy.gateway.outgoing import (
    Manner,
    SideManner,
    client_address,
    forwarded_lines,
    is_trusted,
    own_location,
    replace_field,
    request_message,
    trusted_lines,
    without_validators,
)

SIDE = SideManner((b"legacy:9001",))
NETWORKS = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))


def client(address: bytes = b"1.2.3.4") -> Any:
    return cast(Any, SimpleNamespace(address=address, forwarded=b"", forwarded_host=b"", scheme=b"http"))


def head(method: bytes = b"GET", target: bytes = b"/a?b", *fields: bytes, host: bytes = b"a") -> RequestHead:
    return RequestHead(method, target, b"".join(fields), host=host)


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        (b"10.1.2.3", True),
        (b"11.1.2.3", False),
        (b"::ffff:10.1.2.3", True),
        (b"fd00::1", True),
        (b"fe80::1%eth0", False),
        (b"fd00::1%eth0", True),
        (b"", False),
        (b"unknown", False),
        (b"10.1.2.3:80", False),
        (b"\xff", False),
    ],
)
def test_which_peers_are_trusted(address, trusted):
    assert is_trusted(address, NETWORKS) is trusted
    assert not is_trusted(address, ())


@pytest.mark.parametrize(
    ("chain", "client_"),
    [
        ([], b"10.0.0.1"),
        ([b"1.2.3.4"], b"1.2.3.4"),
        ([b"6.6.6.6, 1.2.3.4"], b"1.2.3.4"),
        ([b"6.6.6.6, 1.2.3.4, 10.0.0.2"], b"1.2.3.4"),
        ([b"6.6.6.6", b"1.2.3.4 ,10.0.0.2,"], b"1.2.3.4"),
        ([b"10.0.0.3, 10.0.0.2"], b"10.0.0.3"),
        ([b" , "], b"10.0.0.1"),
    ],
)
def test_the_client_is_the_last_one_that_no_trusted_proxy_is(chain, client_):
    assert client_address(chain, b"10.0.0.1", NETWORKS) == client_


def test_the_lines_of_a_connection_are_joined_once_for_each_host():
    peer, manner = client(), Manner()
    lines = forwarded_lines(peer, b"a", manner)
    assert lines == (
        b"host: a\r\nvia: 1.1 banyan\r\nx-forwarded-for: 1.2.3.4\r\nx-forwarded-proto: http\r\nx-forwarded-host: a\r\n"
        b"x-request-id: banyan-"
    )
    assert forwarded_lines(peer, b"a", manner) is lines
    assert forwarded_lines(peer, b"b", manner) == lines.replace(b" a\r\n", b" b\r\n")
    assert forwarded_lines(peer, b"a", manner) == lines
    assert b"host" not in forwarded_lines(peer, b"", manner)


def test_what_a_trusted_proxy_says_is_kept_and_added_to():
    request = head()
    request.forwarded = (
        b"x-forwarded-for: 6.6.6.6\r\nx-forwarded-proto: https\r\nx-forwarded-host: shop.test\r\n"
        b"x-forwarded-for: 1.2.3.4\r\nx-request-id: abc\r\nforwarded: for=6.6.6.6\r\n"
    )

    assert trusted_lines(request, client(b"10.0.0.1"), Manner()) == (
        b"host: a\r\nvia: 1.1 banyan\r\nx-forwarded-for: 6.6.6.6, 1.2.3.4, 10.0.0.1\r\nx-forwarded-proto: https\r\n"
        b"x-forwarded-host: shop.test\r\nx-request-id: abc\r\nforwarded: for=6.6.6.6\r\n"
    )


@pytest.mark.parametrize(
    ("method", "length", "body", "end"),
    [
        (b"GET", 0, [], b"\r\n"),
        (b"DELETE", 0, [], b"\r\n"),
        (b"POST", 0, [], b"content-length: 0\r\n\r\n"),
        (b"PUT", 0, [], b"content-length: 0\r\n\r\n"),
        (b"PATCH", 0, [], b"content-length: 0\r\n\r\n"),
        (b"GET", 5, [b"he", b"llo"], b"content-length: 5\r\n\r\nhello"),
        (b"PUT", 70_000, [], b"content-length: 70000\r\n\r\n"),
        (b"POST", UNKNOWN_LENGTH, [], b"transfer-encoding: chunked\r\n\r\n"),
    ],
)
def test_how_a_request_is_framed(method, length, body, end):
    message = request_message(head(method, b"/a?b", field(b"x", b"y")), b"host: a\r\n", SIDE, False, length, body)

    assert message == method + b" /a?b HTTP/1.1\r\nx: y\r\nhost: a\r\n" + end


def test_a_request_without_host_gets_that_of_the_side():
    message = request_message(head(host=b""), b"via: 1.1 banyan\r\n", SIDE, False, 0, [])
    assert message == b"GET /a?b HTTP/1.1\r\nvia: 1.1 banyan\r\nhost: legacy:9001\r\n\r\n"


def test_fields_of_the_settings_replace_the_client_s():
    side = SideManner(
        (b"legacy:9001",), b"authorization: ours\r\nx-new: 1\r\n", frozenset((b"authorization", b"x-new"))
    )
    request = head(b"GET", b"/", field(b"authorization", b"theirs"), field(b"x", b"y"))

    assert request_message(request, b"host: a\r\n", side, False, 0, []) == (
        b"GET / HTTP/1.1\r\nx: y\r\nhost: a\r\nauthorization: ours\r\nx-new: 1\r\n\r\n"
    )


def test_an_upgrade_is_asked_for_again():
    request = head()
    request.upgrade = b"websocket"
    message = request_message(request, b"", SIDE, False, 0, [])
    assert message.endswith(b"connection: upgrade\r\nupgrade: websocket\r\n\r\n")


@pytest.mark.parametrize(
    ("names", "left"),
    [
        ((b"if-none-match", b"range", b"x"), [b"range", b"x"]),
        ((b"if-match", b"if-modified-since", b"if-unmodified-since"), []),
        ((b"if-range", b"range", b"x"), [b"x"]),
    ],
)
def test_conditions_are_taken_out_for_a_side_that_does_not_own_the_validators(names, left):
    request = head(b"GET", b"/", *[field(name, b"1") for name in names])
    request.saw = Saw.VALIDATOR
    expected = b"".join(b"%b: 1\r\n" % name for name in left)

    assert request_message(request, b"", SIDE, True, 0, []) == b"GET / HTTP/1.1\r\n" + expected + b"\r\n"
    assert request_message(request, b"", SIDE, False, 0, []).count(b": 1\r\n") == len(names)
    assert request.fields == b"".join(field(name, b"1") for name in names)


def test_validators_are_taken_out_of_an_answer():
    fields = field(b"etag", b"1") + field(b"x", b"y") + field(b"last-modified", b"z")
    assert without_validators(fields) == field(b"x", b"y")


@pytest.mark.parametrize(
    ("location", "seen"),
    [
        (b"http://legacy:9001/x?y", b"https://shop.test/x?y"),
        (b"HTTP://Legacy:9001", b"https://shop.test"),
        (b"http://modern:9002?x", b"https://shop.test?x"),
        (b"http://legacy:90011/x", b"http://legacy:90011/x"),
        (b"http://legacy:9001.evil/x", b"http://legacy:9001.evil/x"),
        (b"https://legacy:9001/x", b"https://legacy:9001/x"),
        (b"https://secure/x", b"https://shop.test/x"),
        (b"https://secure:443/x", b"https://shop.test/x"),
        (b"https://secure:444/x", b"https://secure:444/x"),
        (b"http://secure/x", b"http://secure/x"),
        (b"/x", b"/x"),
        (b"//legacy:9001/x", b"//legacy:9001/x"),
        (b"", b""),
    ],
)
def test_a_location_that_names_a_side_names_us(location, seen):
    fields = field(b"location", location) + field(b"x", location) + field(b"content-location", location)
    sides = (SIDE, SideManner((b"modern:9002",)), SideManner((b"secure",), scheme=b"https"))
    changed = own_location(fields, tuple(origin for side in sides for origin in side.origins), b"https://shop.test")

    assert changed == field(b"location", seen) + field(b"x", location) + field(b"content-location", seen)


def test_replacing_a_field_leaves_exactly_one():
    fields = field(b"a", b"1") + field(b"b", b"2") + field(b"a", b"3")
    assert replace_field(fields, b"a", b"4") == field(b"b", b"2") + field(b"a", b"4")

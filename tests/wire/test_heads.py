"""Heads: what is taken, what is refused and with which status; and that no reading is laxer than the grammar."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.core.limits import WireLimits
from proxy.core.messages import UNKNOWN_LENGTH, AnswerHead, RequestHead, Saw, SawAnswer, pairs_of
from proxy.wire.heads import METHODS, AnswerReader, BadAnswer, Refused, RequestReader, read_answer, read_request
from tests.wire import grammar

LIMITS = WireLimits()
LINE = b"GET / HTTP/1.1\r\n"
HOST = b"Host: a\r\n"


def request_of(*fields: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a") -> bytes:
    return b"\r\n".join([line, *([host] if host else []), *fields, b"", b""])


def answer_of(*fields: bytes, line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([line, *fields, b"", b""])


def status_of(head: bytes, limits: WireLimits = LIMITS) -> int:
    try:
        read_request(head, limits)
    except Refused as refused:
        assert str(refused) and refused.key
        return refused.status
    return 0


def test_a_request_as_it_is_read():
    head = request_of(
        b"ACCEPT:*/*", b"X-Empty:", b"X-Padded: \t a b \t", b"Content-Length: 007", b"X-\xc3: no".replace(b"\xc3", b"y")
    )
    request = read_request(head.replace(b"GET / ", b"PUT /a/b?c=%20&d ", 1), LIMITS)

    assert (request.method, request.target, request.path, request.host) == (b"PUT", b"/a/b?c=%20&d", b"/a/b", b"a")
    assert pairs_of(request.fields) == [(b"accept", b"*/*"), (b"x-empty", b""), (b"x-padded", b"a b"), (b"x-y", b"no")]
    assert (request.length, request.minor, request.keep_alive, request.upgrade, request.saw) == (7, 1, True, b"", 0)


REFUSED = {
    # the request line (RFC 9112 section 3)
    "no version": (b"GET /\r\nHost: a\r\n\r\n", 400),
    "HTTP/0.9": (request_of(line=b"GET / HTTP/0.9"), 400),
    "HTTP/1.2": (request_of(line=b"GET / HTTP/1.2"), 505),
    "HTTP/2.0": (request_of(line=b"GET / HTTP/2.0"), 505),
    "HTTP/1.10": (request_of(line=b"GET / HTTP/1.10"), 400),
    "http/1.1 in lower case": (request_of(line=b"GET / http/1.1"), 400),
    "another protocol": (request_of(line=b"GET / ICE/1.0"), 400),
    "RTSP": (request_of(line=b"PLAY / RTSP/1.0"), 400),
    "h2 preface": (b"PRI * HTTP/2.0\r\n\r\n", 505),
    "two spaces before the target": (request_of(line=b"GET  / HTTP/1.1"), 400),
    "two spaces behind the target": (request_of(line=b"GET /  HTTP/1.1"), 400),
    "space behind the version": (request_of(line=b"GET / HTTP/1.1 "), 400),
    "tab for a space": (request_of(line=b"GET\t/ HTTP/1.1"), 400),
    "space before the method": (request_of(line=b" GET / HTTP/1.1"), 400),
    "LF before the request line": (b"\n" + request_of(), 400),
    "CR before the request line": (b"\r" + request_of(), 400),
    "space in the target": (request_of(line=b"GET /a b HTTP/1.1"), 400),
    "control character in the target": (request_of(line=b"GET /a\x01 HTTP/1.1"), 400),
    "NUL in the target": (request_of(line=b"GET /a\x00 HTTP/1.1"), 400),
    "DEL in the target": (request_of(line=b"GET /a\x7f HTTP/1.1"), 400),
    "tab in the target": (request_of(line=b"GET /a\tb HTTP/1.1"), 400),
    "8-bit character in the path": (request_of(line=b"GET /\xc3\xa4 HTTP/1.1"), 400),
    "8-bit character in the query": (request_of(line=b"GET /?\xc3\xa4 HTTP/1.1"), 400),
    "fragment": (request_of(line=b"GET /a#b HTTP/1.1"), 400),
    "fragment in a query": (request_of(line=b"GET /a?b#c HTTP/1.1"), 400),
    "asterisk for GET": (request_of(line=b"GET * HTTP/1.1"), 400),
    "relative target": (request_of(line=b"GET foo HTTP/1.1"), 400),
    "opaque target": (request_of(line=b"GET http:http://vhost/admin HTTP/1.1"), 400),
    "ftp target": (request_of(line=b"GET ftp://a/ HTTP/1.1"), 400),
    "authority form": (request_of(line=b"GET a:80 HTTP/1.1"), 400),
    "absolute form with another host": (request_of(line=b"GET http://b/ HTTP/1.1"), 400),
    "absolute form with another port": (request_of(line=b"GET http://a:81/ HTTP/1.1"), 400),
    "absolute form with user": (request_of(line=b"GET http://u@a/ HTTP/1.1"), 400),
    "absolute form with user in both": (request_of(line=b"GET http://u@a/ HTTP/1.1", host=b"Host: u@a"), 400),
    "absolute form without host": (request_of(line=b"GET http:///x HTTP/1.1", host=b"Host: "), 400),
    # methods (RFC 9110 section 9)
    "CONNECT": (request_of(line=b"CONNECT a:80 HTTP/1.1"), 501),
    "CONNECT to a path": (request_of(line=b"CONNECT / HTTP/1.1"), 501),
    "TRACE": (request_of(b"Cookie: x", line=b"TRACE / HTTP/1.1"), 405),
    "unknown method": (request_of(line=b"FOO / HTTP/1.1"), 501),
    "longer than a known method": (request_of(line=b"GETX / HTTP/1.1"), 501),
    "method in lower case": (request_of(line=b"get / HTTP/1.1"), 501),
    "no token for a method": (request_of(line=b"GE(T / HTTP/1.1"), 400),
    "method of another protocol": (request_of(line=b"DESCRIBE / HTTP/1.1"), 501),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    # lines (RFC 9112 sections 2.2 and 5)
    "LF behind the request line": (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    "LF behind a field": (b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
    "LF LF inside": (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\n\nhello\r\n\r\n", 400),
    "LF as an empty line": (b"GET / HTTP/1.1\r\nHost: a\r\n\nX: y\r\n\r\n", 400),
    "CR as an empty line": (b"GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n", 400),
    "CR in a value": (request_of(b"X: a\rb"), 400),
    "CR CR LF": (request_of(b"X: a\r"), 400),
    "NUL in a value": (request_of(b"X: a\x00b"), 400),
    "0x01 in a value": (request_of(b"X: a\x01b"), 400),
    "DEL in a value": (request_of(b"X: a\x7fb"), 400),
    "VT in a value": (request_of(b"X: a\x0bb"), 400),
    "folded line": (request_of(b"X: a\r\n b"), 400),
    "folded line with a tab": (request_of(b"X: a\r\n\tb"), 400),
    "folded empty value": (request_of(b"X:\r\n b"), 400),
    "space before the colon": (request_of(b"X : a"), 400),
    "tab before the colon": (request_of(b"X\t: a"), 400),
    "space before the first field": (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    "space before the first of two": (b"GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n", 400),
    "no colon": (request_of(b"X"), 400),
    "no name": (request_of(b": a"), 400),
    "bracket in a name": (request_of(b"X(A): a"), 400),
    "space in a name": (request_of(b"X A: a"), 400),
    "at sign in a name": (request_of(b"X@: a"), 400),
    "8-bit name": (request_of(b"X\xc3\xa4: a"), 400),
    "quoted name": (request_of(b'"X": a'), 400),
    # Host (RFC 9112 section 3.2)
    "no Host": (request_of(host=b""), 400),
    "no field at all": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (request_of(b"Host: b"), 400),
    "two equal Hosts": (request_of(b"host: a"), 400),
    "two Hosts in HTTP/1.0": (request_of(b"Host: b", line=b"GET / HTTP/1.0"), 400),
    "empty Host": (request_of(host=b"Host:"), 400),
    "empty Host in HTTP/1.0": (request_of(host=b"Host: ", line=b"GET / HTTP/1.0"), 400),
    "path in Host": (request_of(host=b"Host: a/b"), 400),
    "user in Host": (request_of(host=b"Host: u@b"), 400),
    "bad port in Host": (request_of(host=b"Host: a:99999"), 400),
    "two names in Host": (request_of(host=b"Host: a, b"), 400),
    "list in Host": (request_of(host=b"Host: a,b"), 400),
    # framing (RFC 9112 section 6)
    "length and chunked": (request_of(b"Content-Length: 5", b"Transfer-Encoding: chunked"), 400),
    "chunked and length": (request_of(b"Transfer-Encoding: chunked", b"Content-Length: 5"), 400),
    "length and identity": (request_of(b"Content-Length: 5", b"Transfer-Encoding: identity"), 400),
    "chunked in HTTP/1.0": (request_of(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0"), 400),
    "two lengths": (request_of(b"Content-Length: 5", b"Content-Length: 6"), 400),
    "two equal lengths": (request_of(b"Content-Length: 5", b"Content-Length: 5"), 400),
    "coding unknown": (request_of(b"Transfer-Encoding: xchunked"), 400),
    "identity": (request_of(b"Transfer-Encoding: identity"), 400),
    "chunked not last": (request_of(b"Transfer-Encoding: chunked, gzip"), 400),
    "chunked twice": (request_of(b"Transfer-Encoding: chunked, chunked"), 400),
    "chunked and nothing": (request_of(b"Transfer-Encoding: chunked,"), 400),
    "nothing and chunked": (request_of(b"Transfer-Encoding: ,chunked"), 400),
    "empty coding": (request_of(b"Transfer-Encoding:"), 400),
    "quoted chunked": (request_of(b'Transfer-Encoding: "chunked"'), 400),
    "chunked with parameter": (request_of(b"Transfer-Encoding: chunked;a=b"), 400),
    "gzip, chunked": (request_of(b"Transfer-Encoding: gzip, chunked"), 501),
    "codings in two fields": (request_of(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"), 400),
    "codings in two fields, chunked last": (request_of(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"), 400),
    "VT before chunked": (request_of(b"Transfer-Encoding: \x0bchunked"), 400),
    "FF behind chunked": (request_of(b"Transfer-Encoding: chunked\x0c"), 400),
    "NUL behind chunked": (request_of(b"Transfer-Encoding: chunked\x00"), 400),
    "space before the colon of a coding": (request_of(b"Transfer-Encoding : chunked"), 400),
    "folded coding": (request_of(b"Transfer-Encoding:\r\n chunked"), 400),
    # Connection, Upgrade, Expect (RFC 9110 sections 7.6.1, 7.8, 10.1.1)
    "Connection names Authorization": (request_of(b"Connection: Authorization"), 400),
    "Connection names Cookie": (request_of(b"Connection: close, cookie"), 400),
    "Connection names X-Forwarded-For": (request_of(b"Connection: X-Forwarded-For"), 400),
    "Connection names X-Forwarded-Anything": (request_of(b"Connection: X-Forwarded-User"), 400),
    "Connection names Content-Length": (request_of(b"Connection: Content-Length", b"Content-Length: 5"), 400),
    "Connection names Transfer-Encoding": (request_of(b"Connection: Transfer-Encoding"), 400),
    "Connection names Host": (request_of(b"Connection: Host"), 400),
    "Connection names what is ours": (request_of(b"Connection: X-Banyan-Anything"), 400),
    "second Connection names Cookie": (request_of(b"Connection: close", b"Connection: cookie"), 400),
    "Upgrade with a length": (request_of(b"Connection: upgrade", b"Upgrade: websocket", b"Content-Length: 5"), 400),
    "Upgrade and chunked": (
        request_of(b"Connection: upgrade", b"Upgrade: websocket", b"Transfer-Encoding: chunked"),
        400,
    ),
    "unknown expectation": (request_of(b"Expect: 200-ok"), 417),
    "two expectations": (request_of(b"Expect: 100-continue, x"), 417),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_and_how(case):
    head, status = REFUSED[case]
    assert status_of(head) == status


@pytest.mark.parametrize(
    "value", [b"+5", b"-5", b"0x5", b"5 0", b"", b"5,", b"5, 5", b"5;", b"0_5", b"9" * 20, b"\xb2"]
)
def test_a_length_that_is_no_number_of_bytes(value):
    assert status_of(request_of(b"Content-Length: " + value)) == 400
    with pytest.raises(BadAnswer):
        read_answer(answer_of(b"Content-Length: " + value), LIMITS)


@pytest.mark.parametrize("value", [b"chunked", b"Chunked", b"CHUNKED", b" chunked\t"])
def test_chunked_is_the_one_coding_that_is_served(value):
    assert read_request(request_of(b"Transfer-Encoding:" + value), LIMITS).length == UNKNOWN_LENGTH


@pytest.mark.parametrize("method", sorted(METHODS - {b"CONNECT", b"TRACE"}))
def test_any_method_may_have_a_body(method):
    request = read_request(request_of(b"Content-Length: 5", line=method + b" / HTTP/1.1"), LIMITS)

    assert (request.method, request.length) == (method, 5)


@pytest.mark.parametrize(
    ("line", "target", "path"),
    [
        (b"GET http://a/x?y HTTP/1.1", b"/x?y", b"/x"),
        (b"GET HTTP://A HTTP/1.1", b"/", b"/"),
        (b"GET https://a?q HTTP/1.1", b"/?q", b"/"),
        (b"OPTIONS http://a HTTP/1.1", b"*", b"*"),
        (b"OPTIONS http://a/ HTTP/1.1", b"/", b"/"),
        (b"OPTIONS * HTTP/1.1", b"*", b"*"),
        (b"GET //evil.test/x HTTP/1.1", b"//evil.test/x", b"//evil.test/x"),
        (b"GET /a\\..\\b HTTP/1.1", b"/a\\..\\b", b"/a\\..\\b"),
        (b"GET /a%zz?%zz;=&& HTTP/1.1", b"/a%zz?%zz;=&&", b"/a%zz"),
    ],
)
def test_a_target_is_forwarded_as_it_came_without_its_authority(line, target, path):
    request = read_request(request_of(line=line), LIMITS)

    assert (request.target, request.path, request.host) == (target, path, b"a")


def test_http_1_0_needs_no_host_and_may_have_it_in_the_target():
    plain = read_request(b"GET / HTTP/1.0\r\n\r\n", LIMITS)
    assert (plain.minor, plain.host, plain.keep_alive) == (0, b"", False)

    absolute = read_request(b"GET http://b:81/x HTTP/1.0\r\n\r\n", LIMITS)
    assert (absolute.target, absolute.host) == (b"/x", b"b:81")
    assert status_of(b"GET http://u@b/x HTTP/1.0\r\n\r\n") == 400


@pytest.mark.parametrize(
    ("version", "connection", "stays"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"keep-alive", True),
        (b"1.1", b"Close", False),
        (b"1.1", b"keep-alive, close", False),
        (b"1.1", b"x, close", False),
        (b"1.0", b"", False),
        (b"1.0", b"Keep-Alive", True),
        (b"1.0", b"keep-alive, close", False),
    ],
)
def test_how_long_a_connection_is_meant_to_stay(version, connection, stays):
    head = request_of(b"Connection: " + connection, line=b"GET / HTTP/" + version)
    assert read_request(head, LIMITS).keep_alive is stays


def test_what_lives_for_one_hop_is_gone_and_what_connection_names_too():
    request = read_request(
        request_of(
            b"X-Mine: 1", b"Connection: X-Mine, keep-alive", b"Keep-Alive: 5", b"TE: trailers", b"Trailer: x",
            b"Proxy-Connection: x", b"Proxy-Authorization: x", b"X-Banyan-Side: x", b"X_Odd: 1", b"X-Even: 2",
            b"Connection: X-More", b"X-More: 3",
        ),
        LIMITS,
    )  # fmt: skip

    assert pairs_of(request.fields) == [(b"x-even", b"2")]
    assert request.saw == Saw.ODD


def test_what_only_a_trusted_peer_may_say_is_kept_apart():
    request = read_request(request_of(b"X-Forwarded-For: 1.2.3.4", b"Forwarded: for=x", b"X-Request-Id: i"), LIMITS)

    assert request.fields == b""
    assert pairs_of(request.forwarded) == [
        (b"x-forwarded-for", b"1.2.3.4"),
        (b"forwarded", b"for=x"),
        (b"x-request-id", b"i"),
    ]
    assert request.saw == Saw.FORWARDED


@pytest.mark.parametrize("name", [b"X-Original-URL", b"x-rewrite-url"])
def test_another_target_than_the_request_lines_is_kept_apart_likewise_also_when_it_comes_again(name):
    reader = RequestReader(LIMITS)
    for _ in range(2):
        request = reader.read(request_of(name + b": /admin"))

        assert (request.fields, request.saw) == (b"", Saw.REROUTE)
        assert pairs_of(request.forwarded) == [(name.lower(), b"/admin")]


@pytest.mark.parametrize(
    ("upgrade", "asked"),
    [
        (b"websocket", b"websocket"),
        (b"WebSocket", b"websocket"),
        (b"h2c", b""),
        (b"websocket, h2c", b"websocket"),
        (b"H2C-16, HTTP/2.0, foo/1", b"foo/1"),
        (b"", b""),
    ],
)
def test_which_protocol_is_asked_for(upgrade, asked):
    head = request_of(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: " + upgrade, b"HTTP2-Settings: AA")
    request = read_request(head, LIMITS)

    assert (request.upgrade, request.fields) == (asked, b"")


@pytest.mark.parametrize(
    "head",
    [
        request_of(b"Upgrade: websocket"),
        request_of(b"Connection: Upgrade"),
        request_of(b"Connection: Upgrade", b"Upgrade: websocket", line=b"GET / HTTP/1.0"),
    ],
)
def test_an_upgrade_takes_both_fields_and_http_1_1(head):
    assert read_request(head, LIMITS).upgrade == b""


def test_an_expectation_is_met_here_and_ignored_from_http_1_0():
    assert read_request(request_of(b"Expect: 100-Continue", b"Content-Length: 1"), LIMITS).expects_continue
    old = request_of(b"Expect: 100-continue", b"Content-Length: 1", line=b"PUT / HTTP/1.0")
    assert not read_request(old, LIMITS).expects_continue


def test_limits_of_a_head():
    limits = WireLimits(head_bytes=4096, line_bytes=100, head_fields=5, target_bytes=200)

    assert status_of(request_of(*[b"X: y"] * 4), limits) == 0
    assert status_of(request_of(*[b"X: y"] * 5), limits) == 431
    assert status_of(request_of(b"X: " + b"y" * 97), limits) == 0
    assert status_of(request_of(b"X: " + b"y" * 98), limits) == 431
    assert status_of(request_of(line=b"GET /" + b"y" * 199 + b" HTTP/1.1"), limits) == 0
    assert status_of(request_of(line=b"GET /" + b"y" * 200 + b" HTTP/1.1"), limits) == 414


# Answers


def test_an_answer_as_it_is_read():
    answer = read_answer(answer_of(b"ETag: x", b"Location: /", b"X-Padded:  a ", b"Content-Length: 5"), LIMITS)

    assert (answer.status, answer.length, answer.minor, answer.keep_alive) == (200, 5, 1, True)
    assert pairs_of(answer.fields) == [(b"etag", b"x"), (b"location", b"/"), (b"x-padded", b"a")]
    assert answer.saw == SawAnswer.VALIDATOR | SawAnswer.LOCATION


BAD_ANSWERS = {
    "not HTTP": b"what is this?\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "HTTP/2": answer_of(line=b"HTTP/2.0 200 OK"),
    "HTTP/1.2": answer_of(line=b"HTTP/1.2 200 OK"),
    "HTTP/0.9": answer_of(line=b"HTTP/0.9 200 OK"),
    "ICY": answer_of(line=b"ICY 200 OK"),
    "lower case": answer_of(line=b"http/1.1 200 OK"),
    "two digits": answer_of(line=b"HTTP/1.1 20 OK"),
    "four digits": answer_of(line=b"HTTP/1.1 2000 OK"),
    "099": answer_of(line=b"HTTP/1.1 099 OK"),
    "600": answer_of(line=b"HTTP/1.1 600 OK"),
    "negative": answer_of(line=b"HTTP/1.1 -20 OK"),
    "two spaces": answer_of(line=b"HTTP/1.1  200 OK"),
    "no space behind the code": answer_of(line=b"HTTP/1.1 200OK"),
    "NUL in the reason": answer_of(line=b"HTTP/1.1 200 O\x00K"),
    "CR in the reason": answer_of(line=b"HTTP/1.1 200 O\rK"),
    "leading empty line": b"\r\n" + answer_of(),
    "length and chunked": answer_of(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    "chunked and length": answer_of(b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    "two lengths": answer_of(b"Content-Length: 5", b"Content-Length: 6"),
    "two equal lengths": answer_of(b"Content-Length: 5", b"Content-Length: 5"),
    "gzip": answer_of(b"Transfer-Encoding: gzip"),
    "gzip, chunked": answer_of(b"Transfer-Encoding: gzip, chunked"),
    "identity": answer_of(b"Transfer-Encoding: identity"),
    "chunked, gzip": answer_of(b"Transfer-Encoding: chunked, gzip"),
    "chunked twice": answer_of(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "chunked in HTTP/1.0": answer_of(b"Transfer-Encoding: chunked", line=b"HTTP/1.0 200 OK"),
    "Connection names the length": answer_of(b"Connection: content-length", b"Content-Length: 5"),
    "NUL in a value": answer_of(b"X: a\x00b"),
    "CR in a value": answer_of(b"X: a\rSet-Cookie: b"),
    "LF in a value": answer_of(b"X: a\nSet-Cookie: b"),
    "LF as an empty line": answer_of(b"\nX: y"),
    "folded line": answer_of(b"X: a\r\n b"),
    "space before the colon": answer_of(b"X : a"),
    "no colon": answer_of(b"X"),
    "no name": answer_of(b": a"),
    "101 fields": answer_of(*[b"X: y"] * 101),
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_an_answer_that_must_not_be_passed_on(case):
    with pytest.raises(BadAnswer):
        read_answer(BAD_ANSWERS[case], LIMITS)


@pytest.mark.parametrize("line", [b"HTTP/1.1 200 OK", b"HTTP/1.1 200 ", b"HTTP/1.1 200", b"HTTP/1.1 200 \xc3\xa4 !"])
def test_a_reason_may_be_anything_or_nothing(line):
    assert read_answer(answer_of(line=line), LIMITS).status == 200


def test_what_an_answer_says_of_its_connection():
    assert read_answer(answer_of(b"Connection: Keep-Alive"), LIMITS).keep_alive
    assert not read_answer(answer_of(b"Connection: keep-alive, Close"), LIMITS).keep_alive
    assert not read_answer(answer_of(line=b"HTTP/1.0 200 OK"), LIMITS).keep_alive
    named = read_answer(answer_of(b"X-Inner: 1", b"Connection: X-Inner", b"Keep-Alive: 5", b"X-Outer: 2"), LIMITS)
    assert pairs_of(named.fields) == [(b"x-outer", b"2")]


def test_two_upgrades_in_one_answer_are_no_protocol_that_was_asked_for():
    head = answer_of(b"Upgrade: web", b"Upgrade: socket2", line=b"HTTP/1.1 101 X")
    assert read_answer(head, LIMITS).upgrade not in (b"web", b"socket2")


# Grammar against grammar

REQUESTS = [
    request_of(b"X: y"),
    request_of(b"Content-Length: 5", line=b"POST /a?b HTTP/1.1"),
    request_of(b"Transfer-Encoding: chunked", b"Connection: close", line=b"PUT /x HTTP/1.1"),
    request_of(b"Connection: upgrade", b"Upgrade: websocket"),
    request_of(b"Expect: 100-continue", b"X-Forwarded-For: 1.2.3.4", line=b"PATCH http://a/x HTTP/1.1"),
    b"GET / HTTP/1.0\r\n\r\n",
]
ANSWERS = [
    answer_of(b"Content-Length: 5", b"X: y"),
    answer_of(b"Transfer-Encoding: chunked", b"Connection: close"),
    answer_of(b"Connection: upgrade", b"Upgrade: websocket", line=b"HTTP/1.1 101 Switching"),
    answer_of(line=b"HTTP/1.0 204 No"),
]
PIECES = [
    b"\r", b"\n", b"\r\n", b"\n\n", b"\r\r\n", b"\0", b"\t", b" ", b":", b",", b"\x0b", b"\x7f", b"\x80", b"\xff", b"_",
    b"5", b"+", b"-", b"0x", b"chunked", b"gzip", b"Host: b\r\n", b"Content-Length: 3\r\n", b"HTTP/1.1", b"HTTP/1.0",
    b"Transfer-Encoding: chunked\r\n", b"Content-Length:", b"\r\n ", b"\r\n\t", b"GET ", b"/", b"*", b"#", b"?", b"http://",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """Return a head in which a few bytes were put in, taken out, doubled or changed."""
    head = draw(st.sampled_from(seeds))[:-4]
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(head)))
        width = draw(st.sampled_from((0, 0, 1, 1, 4)))
        head = head[:at] + draw(st.sampled_from(PIECES) | st.binary(max_size=2)) + head[at + width :]
    return (head + b"\r\n\r\n").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


@settings(max_examples=1500, deadline=None)
@given(mutated(REQUESTS))
@example(b"GET / HTTP/1.1\r\nHost: a\r\n\nX: y\r\n\r\n")
def test_a_request_that_is_taken_is_well_formed_and_means_the_same_to_a_stricter_reader(head):
    try:
        request = read_request(head, LIMITS)
    except Refused:
        return
    other = grammar.read(head)
    assert other is not None
    method, target, minor = other.first
    assert (request.method, request.minor) == (method, int(minor))
    assert target.lower().startswith((b"http://", b"https://")) or request.target == target
    assert request.length == grammar.length_of(other, request.minor)
    assert len(other.values(b"host")) == 1 or not request.minor
    passed = pairs_of(request.fields)
    assert [each for each in other.fields if each in passed] == passed
    assert not {name for name, _ in passed} & {b"host", b"content-length", b"transfer-encoding", b"connection"}


@settings(max_examples=1500, deadline=None)
@given(mutated(ANSWERS))
def test_an_answer_that_is_taken_is_well_formed_and_means_the_same_to_a_stricter_reader(head):
    try:
        answer = read_answer(head, LIMITS)
    except BadAnswer:
        return
    other = grammar.read(head, answer=True)
    assert other is not None
    assert answer.status == int(other.first[1])
    length = grammar.length_of(other, answer.minor)
    assert length is not None
    chunked = bool(answer.saw & SawAnswer.CHUNKED)
    assert chunked == (length == -1)
    assert chunked or not other.values(b"content-length") or answer.length == length
    passed = pairs_of(answer.fields)
    assert [each for each in other.fields if each in passed] == passed


# What a connection remembers of its last head changes nothing.


def told(read: Callable[[bytes], RequestHead | AnswerHead], head: bytes) -> object:
    try:
        found = read(head)
    except (Refused, BadAnswer) as exc:
        return type(exc), str(exc)
    return {name: getattr(found, name) for name in type(found).__slots__}


@settings(max_examples=600, deadline=None)
@given(st.lists(mutated(REQUESTS) | st.sampled_from(REQUESTS), min_size=2, max_size=5), st.data())
def test_a_reader_of_requests_reads_each_as_if_it_were_the_first(heads, data):
    reader = RequestReader(LIMITS)
    for head in [*heads, *heads[::-1]]:
        line, _, fields = data.draw(st.sampled_from(heads)).partition(b"\r\n")
        own_line, _, own_fields = head.partition(b"\r\n")
        for each in (head, head, line + b"\r\n" + own_fields, own_line + b"\r\n" + fields):
            assert told(reader.read, each) == told(lambda raw: read_request(raw, LIMITS), each)


@settings(max_examples=300, deadline=None)
@given(st.lists(mutated(ANSWERS) | st.sampled_from(ANSWERS), min_size=2, max_size=5))
def test_a_reader_of_answers_reads_each_as_if_it_were_the_first(heads):
    reader = AnswerReader(LIMITS)
    for head in [*heads, *heads[::-1]]:
        for _ in range(2):
            assert told(reader.read, head) == told(lambda raw: read_answer(raw, LIMITS), head)


def test_what_the_gateway_makes_of_a_request_does_not_stay_for_the_next_one():
    reader, head = RequestReader(LIMITS), request_of(b"Max-Forwards: 3", line=b"OPTIONS / HTTP/1.1")
    first = reader.read(head)
    first.fields, first.host, first.saw, first.peer = b"max-forwards: 2\r\n", b"b", 8, b"1.2.3.4"

    again = reader.read(head)
    assert (again.fields, again.host, again.saw, again.peer) == (b"max-forwards: 3\r\n", b"a", 0, b"")

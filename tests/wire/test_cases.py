"""
Requests, case by case: hostile and unlucky bytes, what the client gets, what the side sees, and what becomes of both.

Tables A to E of the cases that a gateway must get right, through the real gateway between raw sockets. Each request
comes once in one piece and once byte by byte: the outcome is the same.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from proxy.core.limits import WireLimits
from proxy.core.rules import Side
from tests import pki
from tests.peers import RawClient, answering, ok
from tests.rig import USERS, Rig, running
from tests.waiting import until
from tests.wire import grammar

LEGACY_ONLY = {**USERS, "weight": 0.0}
GOOD = b"GET /api/users/good HTTP/1.1\r\nHost: a\r\n\r\n"
WAYS = pytest.mark.parametrize("way", ["whole", "byte by byte"])


def post(*fields: bytes, body: bytes = b"", method: bytes = b"POST", target: bytes = b"/api/users") -> bytes:
    return b"\r\n".join([method + b" " + target + b" HTTP/1.1", b"Host: a", *fields, b"", body])


def get(*fields: bytes, target: bytes = b"/api/users/1", method: bytes = b"GET") -> bytes:
    return post(*fields, method=method, target=target)


def chunks(body: bytes, *fields: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", *fields, body=body)


async def send(client: RawClient, data: bytes, way: str) -> None:
    """Send `data`; a peer that has heard enough may close meanwhile."""
    pieces = [data] if way == "whole" or len(data) > 2000 else [data[at : at + 1] for at in range(len(data))]
    with suppress(ConnectionError):
        await client.send(*pieces)


def seen_by(side: object) -> tuple[list[grammar.Request], bytes]:
    """Return the whole requests that a side received, and what was left of others."""
    requests: list[grammar.Request] = []
    behind = b""
    for received in side.raw:  # type: ignore[attr-defined]
        whole, rest = grammar.requests(bytes(received))
        requests += whole
        behind += rest
    return requests, behind


async def goes_on(rig: Rig, client: RawClient) -> None:
    """The connection carries another request, and its side's pool too."""
    await client.send(GOOD)
    answer = await client.answer()
    assert (answer.status, answer.body) == (200, b"ok")


# What is refused before any side is asked

REFUSED = {
    # A. framing
    "1 length, then chunked": (post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
    "1 chunked, then length": (post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"), 400),
    "1 length 0 and chunked": (post(b"Content-Length: 0", b"Transfer-Encoding: Chunked", body=b"0\r\n\r\n"), 400),
    "1 for a GET": (get(b"Content-Length: 5", b"Transfer-Encoding: chunked"), 400),
    "2 chunked in 1.0": (
        b"POST /api/users HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "2 chunked in 1.0 that asks to stay": (
        b"POST /api/users HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "3 two lengths": (post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello!"), 400),
    "3 two lengths in one": (post(b"Content-Length: 5, 6", body=b"hello!"), 400),
    "4 two equal lengths": (post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"), 400),
    "5 two equal lengths in one": (post(b"Content-Length: 5, 5", body=b"hello"), 400),
    **{
        f"6 length {value!r}": (post(b"Content-Length: " + value, body=b"hello"), 400)
        for value in (b"+5", b"-5", b"0x5", b"5 0", b"", b"9" * 20, b"5\x0b", b"0_5", b"5.0", b"five", b"\xef\xbc\x95")
    },
    "8 unknown coding": (chunks(b"0\r\n\r\n").replace(b"chunked", b"xchunked"), 400),
    "8 chunked not last": (chunks(b"0\r\n\r\n").replace(b"chunked", b"chunked, gzip"), 400),
    "8 chunked twice": (chunks(b"0\r\n\r\n").replace(b"chunked", b"chunked, chunked"), 400),
    "8 identity": (chunks(b"0\r\n\r\n").replace(b"chunked", b"identity"), 400),
    "9 gzip, chunked": (chunks(b"0\r\n\r\n").replace(b"chunked", b"gzip, chunked"), 501),
    "10 two codings": (chunks(b"0\r\n\r\n", b"Transfer-Encoding: identity"), 400),
    "10 two equal codings": (chunks(b"0\r\n\r\n", b"Transfer-Encoding: chunked"), 400),
    "11 VT": (chunks(b"0\r\n\r\n").replace(b" chunked", b"\x0bchunked"), 400),
    "11 FF": (chunks(b"0\r\n\r\n").replace(b"chunked\r\n", b"chunked\x0c\r\n"), 400),
    "11 NUL": (chunks(b"0\r\n\r\n").replace(b"chunked\r\n", b"chunked\x00\r\n"), 400),
    "12 space before the colon": (chunks(b"0\r\n\r\n").replace(b"Encoding:", b"Encoding :"), 400),
    "12 tab before the colon": (chunks(b"0\r\n\r\n").replace(b"Encoding:", b"Encoding\t:"), 400),
    "13 folded": (chunks(b"0\r\n\r\n").replace(b": chunked", b":\r\n chunked"), 400),
    # C. lines
    "29 LF only": (b"GET /api/users HTTP/1.1\nHost: a\n\n", 400),
    "29 LF behind one field": (b"GET /api/users HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
    "30 CR in a value": (get(b"X: a\rb"), 400),
    "30 CR hides a field": (get(b"X: a\rContent-Length: 5"), 400),
    "31 NUL": (get(b"X: a\x00b"), 400),
    "32 0x01": (get(b"X: a\x01b"), 400),
    "32 DEL": (get(b"X: a\x7fb"), 400),
    "33 folded": (get(b"X: a\r\n b"), 400),
    "33 folded by a tab": (get(b"X: a\r\n\tb"), 400),
    "34 space before the colon": (get(b"X : a"), 400),
    "35 space before the first field": (b"GET /api/users HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    "36 no colon": (get(b"X"), 400),
    "36 no name": (get(b": a"), 400),
    "36 bracket": (get(b"X(A): a"), 400),
    "39 a field of 100 KB": (get(b"X: " + b"y" * 100_000), 431),
    "39 a field of 20 KB": (get(b"X: " + b"y" * 20_000), 431),
    "39 fields of 70 KB": (get(*[b"X: " + b"y" * 1000] * 70), 431),
    "40 500 fields": (get(*[b"X: y"] * 500), 431),
    "40 100 fields and Host": (get(*[b"X: y"] * 100), 431),
    # D. Host, target, method, version
    "41 no Host": (b"GET /api/users HTTP/1.1\r\n\r\n", 400),
    "42 two Hosts": (get(b"Host: b"), 400),
    "42 two equal Hosts": (get(b"Host: a"), 400),
    **{
        f"43 Host {host!r}": (get().replace(b"Host: a", b"Host: " + host), 400)
        for host in (b"a/b", b"u@b", b"a:99999", b"a:x", b"a, b", b"a b", b"[::1", b"a#b", b"a?b")
    },
    "44 empty Host": (get().replace(b"Host: a", b"Host:"), 400),
    "45 another authority": (get(target=b"http://b/api/users"), 400),
    "45 another authority with user": (get(target=b"http://a@b/api/users"), 400),
    "46 GET *": (get(target=b"*"), 400),
    "47 CONNECT": (get(method=b"CONNECT", target=b"a:80"), 501),
    "48 TRACE": (get(b"Cookie: secret", method=b"TRACE"), 405),
    "48 TRACE, Max-Forwards": (get(b"Max-Forwards: 0", method=b"TRACE"), 405),
    "50 FOO": (get(method=b"FOO"), 501),
    "50 get": (get(method=b"get"), 501),
    "51 GE(T": (get(method=b"GE(T"), 400),
    "52 HTTP/1.2": (get().replace(b"HTTP/1.1", b"HTTP/1.2"), 505),
    "53 HTTP/2.0": (get().replace(b"HTTP/1.1", b"HTTP/2.0"), 505),
    "53 h2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "54 HTTP/0.9": (b"GET /api/users\r\n", 400),
    "54 HTTP/0.9 by name": (get().replace(b"HTTP/1.1", b"HTTP/0.9"), 400),
    "55 space in the target": (get(target=b"/api users"), 400),
    "55 tab in the target": (get(target=b"/api\tusers"), 400),
    "55 CTL in the target": (get(target=b"/api\x01users"), 400),
    "56 fragment": (get(target=b"/api/users#x"), 400),
    "65 8-bit": (get(target=b"/api/\xc3\xa4"), 400),
    "66 a target of 70 KB": (get(target=b"/" + b"x" * 70_000), 414),
    "66 a target of 17 KB": (get(target=b"/" + b"x" * 17_000), 414),
    "113 opaque": (get(target=b"http:http://vhost/admin"), 400),
    "113 relative": (get(target=b"foo"), 400),
    # E. Connection, expectations, upgrades
    **{
        f"68 Connection: {name.decode()}": (get(b"Connection: " + name), 400)
        for name in (b"Authorization", b"Cookie", b"X-Forwarded-For", b"close, via", b"X-Request-Id", b"Host")
    },
    "69 Connection: Content-Length": (post(b"Connection: Content-Length", b"Content-Length: 5", body=b"hello"), 400),
    "69 Connection: Transfer-Encoding": (chunks(b"0\r\n\r\n", b"Connection: transfer-encoding"), 400),
    "72 unknown expectation": (get(b"Expect: 200-ok"), 417),
    "76 Upgrade with a length": (
        get(b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Length: 5") + b"hello",
        400,
    ),
    "76 Upgrade and chunked": (chunks(b"0\r\n\r\n", b"Connection: Upgrade", b"Upgrade: websocket"), 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
}


@WAYS
@pytest.mark.parametrize("case", REFUSED)
async def test_refused_and_no_side_hears_of_it(case, way):
    request, status = REFUSED[case]
    async with running(LEGACY_ONLY) as rig:
        client = await rig.connect()
        await send(client, request, way)
        answer = await client.answer()

        assert (answer.status, answer.value(b"connection")) == (status, b"close")
        assert answer.value(b"content-type") == b"application/problem+json"
        await send(client, GOOD, "whole")
        assert await client.rest() == b""  # exactly one answer, and the end
        assert rig.legacy.raw == [] and rig.modern.raw == []


# B. Chunked bodies that break off: the side may have seen the beginning, never an end

BROKEN_BODIES = {
    "18 LF in an extension": b"5;a\nhello\r\n0\r\n\r\n",
    "18 LF ends an extension": b"5;a\n\r\nhello\r\n0\r\n\r\n",
    "19 an extension of 64 KB": b"5;" + b"a" * 65_536 + b"\r\nhello\r\n0\r\n\r\n",
    "19 many extensions": (b"1;" + b"a" * 500 + b"\r\nx\r\n") * 10 + b"0\r\n\r\n",
    "20 size beyond 2^64": b"1" + b"0" * 16 + b"\r\nhello\r\n0\r\n\r\n",
    "20 size that wraps to 5": b"1" + b"0" * 15 + b"5\r\nhello\r\n0\r\n\r\n",
    **{
        f"21 size {size!r}": size + b"\r\nhello\r\n0\r\n\r\n"
        for size in (b"0x5", b"+5", b"-5", b"0_5", b" 5", b"", b"g")
    },
    "22 space behind the size": b"5 \r\nhello\r\n0\r\n\r\n",
    "23 LF behind the size": b"5\nhello\r\n0\r\n\r\n",
    "24 LF behind the data": b"5\r\nhello\n0\r\n\r\n",
    "25 7 bytes in a chunk of 5": b"5\r\nhello!!\r\n0\r\n\r\n",
    "26 last chunk ended by LF": b"5\r\nhello\r\n0\n\n",
    "28 trailer Content-Length": b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
    "28 trailer Host": b"5\r\nhello\r\n0\r\nHost: b\r\n\r\n",
    "28 trailer Transfer-Encoding": b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "28 trailer TE": b"5\r\nhello\r\n0\r\nTE: x\r\n\r\n",
    "28 trailer Authorization": b"5\r\nhello\r\n0\r\nAuthorization: x\r\n\r\n",
    "28 trailer that is no field": b"5\r\nhello\r\n0\r\nX\r\n\r\n",
}  # fmt: skip


OVERSIZED = {  # where 10 bytes are the limit
    "by its length": post(b"Content-Length: 11", body=b"0123456789a"),
    "by its length, asked for before it is sent": post(b"Content-Length: 11", b"Expect: 100-continue"),
    "in one chunk": post(b"Transfer-Encoding: chunked", body=b"b\r\n"),
    "in several chunks": post(b"Transfer-Encoding: chunked", body=b"9\r\n012345678\r\n2\r\n"),
}
FITTING = (
    post(b"Content-Length: 10", body=b"0123456789"),
    post(b"Transfer-Encoding: chunked", body=b"5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"),
)


@WAYS
@pytest.mark.parametrize("case", OVERSIZED)
async def test_a_body_beyond_the_limit_is_413_and_no_side_takes_it_for_a_whole_one(case, way):
    async with running(LEGACY_ONLY, limits=WireLimits(body_bytes=10)) as rig:
        client = await rig.connect()
        for fits in FITTING:
            await send(client, fits, way)
            assert (await client.answer()).status == 200
        await send(client, OVERSIZED[case], way)
        answer = await client.answer()
        assert (answer.status, answer.value(b"connection")) == (413, b"close")
        assert await client.rest() == b""
        assert dict(rig.gateway.records.refused.items()) == {"body_bytes": 1}
        assert [request.body for request in seen_by(rig.legacy)[0]] == [b"0123456789"] * 2


@WAYS
@pytest.mark.parametrize("case", BROKEN_BODIES)
async def test_a_body_that_breaks_the_coding_is_refused_and_torn_for_the_side(case, way):
    async with running(LEGACY_ONLY) as rig:
        client = await rig.connect()
        await send(client, chunks(BROKEN_BODIES[case]), way)
        answer = await client.answer()

        assert (answer.status, answer.value(b"connection")) == (400, b"close")
        await send(client, GOOD, "whole")
        assert await client.rest() == b""
        await until(lambda: rig.legacy.open_now == 0 and rig.pools[Side.LEGACY].connections == 0)
        assert seen_by(rig.legacy)[0] == []


# What is forwarded, and exactly how

BODY = {
    "7 length 005": (post(b"Content-Length: 005", body=b"hello"), b"content-length: 5\r\n\r\nhello"),
    "14 Transfer_Encoding and length": (
        post(b"Transfer_Encoding: chunked", b"Content-Length: 5", body=b"hello"),
        b"content-length: 5\r\n\r\nhello",
    ),
    "15 GET with a body": (get(b"Content-Length: 5") + b"hello", b"content-length: 5\r\n\r\nhello"),
    "15 DELETE with a body": (
        get(b"Content-Length: 5", method=b"DELETE") + b"hello",
        b"content-length: 5\r\n\r\nhello",
    ),
    "15 OPTIONS with a body": (
        get(b"Content-Length: 5", method=b"OPTIONS") + b"GET /",
        b"content-length: 5\r\n\r\nGET /",
    ),
    "POST without a body": (post(), b"content-length: 0\r\n\r\n"),
    "POST of length 0": (post(b"Content-Length: 0"), b"content-length: 0\r\n\r\n"),
    "GET": (get(), b"\r\n"),
    "37 UTF-8 in a value": (get(b"X: \xc3\xa4\xff"), b"\r\n"),
    "38 X_A": (get(b"X_A: 1"), b"\r\n"),
    "67 Connection: X-Foo": (get(b"Connection: keep-alive, X-Foo", b"X-Foo: 1"), b"\r\n"),
    "70 hop-by-hop": (
        get(
            b"Keep-Alive: timeout=5", b"Proxy-Connection: keep-alive", b"TE: trailers, deflate", b"Trailer: X",
            b"Proxy-Authorization: Basic x", b"Connection: TE",
        ),
        b"\r\n",
    ),
    "71 Expect": (get(b"Expect: 100-continue"), b"\r\n"),
    "73 forwarded": (get(b"X-Forwarded-For: 9.9.9.9", b"Forwarded: for=9", b"X-Forwarded-Host: evil"), b"\r\n"),
    "74 h2c": (get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AA"), b"\r\n"),
    "client-sent fields of ours": (get(b"X-Banyan-Side: modern", b"X-Banyan-Force: modern;guess"), b"\r\n"),
    "45 absolute form": (get(target=b"http://A/api/users/1?x"), b"\r\n"),
    "OPTIONS *": (get(method=b"OPTIONS", target=b"*"), b"\r\n"),
    "114 a query that is none": (get(target=b"/api/users/1?a;b&%zz&&="), b"\r\n"),
}  # fmt: skip


@WAYS
@pytest.mark.parametrize("case", BODY)
async def test_forwarded_anew_byte_for_byte_and_both_connections_go_on(case, way):
    request, end = BODY[case]
    method, target, _ = request.split(b" ", 2)
    target = target.removeprefix(b"http://A")
    passed = b"x: \xc3\xa4\xff\r\n" if case.startswith("37") else b""
    async with running(LEGACY_ONLY) as rig:
        client = await rig.connect()
        await send(client, request, way)
        assert (await client.answer(head_only=method == b"HEAD")).status == 200
        received = bytes(rig.legacy.raw[0])
        await goes_on(rig, client)

        assert received == (
            b"%b %b HTTP/1.1\r\n%bhost: a\r\nvia: 1.1 banyan\r\nx-forwarded-for: 127.0.0.1\r\n"
            b"x-forwarded-proto: %b\r\nx-forwarded-host: a\r\nx-request-id: banyan-1\r\n"
            % (method, target, passed, pki.switch.scheme)
            + end
        )
        requests, behind = seen_by(rig.legacy)
        assert [each.target for each in requests] == [target, b"/api/users/good"] and behind == b""


CHUNKED = {
    "17 extension": (b"5;a=b\r\nhello\r\n0\r\n\r\n", b"hello"),
    "17 quoted extension": (b'5;a="b;\\"c"\r\nhello\r\n0;z\r\n\r\n', b"hello"),
    "27 trailer": (b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", b"hello"),
    "a request inside": (b"%x\r\n%b\r\n0\r\n\r\n" % (len(GOOD), GOOD), GOOD),
    "a last chunk inside": (b"7\r\n0\r\n\r\nXY\r\n0\r\n\r\n", b"0\r\n\r\nXY"),
    "nothing": (b"0\r\n\r\n", b""),
    "leading zeros": (b"0005\r\nhello\r\n000\r\n\r\n", b"hello"),
}


@WAYS
@pytest.mark.parametrize("case", CHUNKED)
async def test_a_chunked_body_is_framed_anew_without_extensions_and_trailers(case, way):
    data, body = CHUNKED[case]
    async with running(LEGACY_ONLY) as rig:
        client = await rig.connect()
        await send(client, chunks(data, b"Trailer: X-Sum"), way)
        assert (await client.answer()).status == 200
        await goes_on(rig, client)
        requests, behind = seen_by(rig.legacy)

        assert [each.body for each in requests] == [body, b""] and behind == b""
        assert requests[0].values(b"transfer-encoding") == [b"chunked"]
        assert requests[0].values(b"trailer") == [] and requests[0].values(b"x-sum") == []


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"DELETE", b"PUT", b"PATCH"])
async def test_a_chunked_body_of_any_method(method):
    async with running(LEGACY_ONLY) as rig:
        rig.legacy.script = answering(b"HTTP/1.1 204 No Content\r\n\r\n")
        client = await rig.connect()
        await client.send(chunks(b"5\r\nhello\r\n0\r\n\r\n").replace(b"POST", method, 1))
        assert (await client.answer()).status == 204
        rig.legacy.script = answering(ok())
        await goes_on(rig, client)
        assert [each.body for each in seen_by(rig.legacy)[0]] == [b"hello", b""]


async def test_16_two_pipelined_requests_and_two_answers_in_order():
    async with running(LEGACY_ONLY) as rig:
        client = await rig.connect()
        await client.send(get(target=b"/api/users/1") + get(target=b"/api/users/2"))
        assert [(await client.answer()).status for _ in range(2)] == [200, 200]
        assert [each.target for each in seen_by(rig.legacy)[0]] == [b"/api/users/1", b"/api/users/2"]


# Paths that can be read in more than one way (design section 6: to legacy, raw; or refused)

AMBIGUOUS = [
    b"/api/x/../users/1", b"/api/./users/1", b"/api/%2e%2e/api/users/1", b"/api/%252e%252e/users", b"/api/users%2f1",
    b"/api/users/%5c1", b"/api/users/%00", b"/api/users/%25", b"/api/users\\1", b"/a\\..\\b", b"//api/users/1",
    b"//evil.test/x", b"/api//users/1", b"/api/..;/users/1", b"/api/users/a%zzb", b"/api/users/%", b"/api/users/1/..",
]  # fmt: skip


@pytest.mark.parametrize("path", AMBIGUOUS)
async def test_57_to_64_an_ambiguous_path_goes_to_legacy_raw_and_is_never_modern_s(path):
    async with running() as rig:
        client = await rig.connect()
        await client.send(get(target=path + b"?q=1"))
        answer = await client.answer()
        await client.send(post(target=path, body=b"hello").replace(b"Host: a", b"Host: a\r\nContent-Length: 5"))

        assert (answer.status, answer.value(b"x-banyan-side")) == (200, b"legacy")
        assert (await client.answer()).status == 200
        assert [each.target for each in seen_by(rig.legacy)[0]] == [path + b"?q=1", path]
        assert rig.modern.raw == []


@pytest.mark.parametrize("path", AMBIGUOUS)
async def test_57_to_64_or_it_is_refused_where_the_settings_say_so(path):
    async with running(ambiguous_paths="refuse") as rig:
        client = await rig.connect()
        await client.send(get(target=path))
        answer = await client.answer()

        assert answer.status == 400
        assert rig.modern.raw == [] and rig.legacy.raw == []


async def test_49_options_with_max_forwards_0_ends_here():
    async with running(LEGACY_ONLY) as rig:
        client = await rig.connect()
        await client.send(get(b"Max-Forwards: 0", method=b"OPTIONS"))
        assert (await client.answer()).status == 204
        assert rig.legacy.raw == []
        await client.send(get(b"Max-Forwards: 3", method=b"OPTIONS"))
        assert (await client.answer()).status == 200
        assert seen_by(rig.legacy)[0][0].values(b"max-forwards") == [b"2"]


@pytest.mark.parametrize("length", [b"Content-Length: 5", b"Content-Length: 70000", b"Transfer-Encoding: chunked"])
async def test_71_whoever_waits_for_100_gets_it_and_the_side_never_sees_the_expectation(length):
    body = b"x" * int(length.split()[1]) if b"Length" in length else b"5\r\nhello\r\n0\r\n\r\n"
    async with running(LEGACY_ONLY) as rig:
        client = await rig.connect()
        await client.send(post(b"Expect: 100-continue", length))
        assert (await client.answer()).raw == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(body)
        assert (await client.answer()).status == 200
        await goes_on(rig, client)
        assert seen_by(rig.legacy)[0][0].values(b"expect") == []


async def test_71_nobody_is_asked_to_go_on_with_what_is_refused():
    async with running(LEGACY_ONLY, ambiguous_paths="refuse") as rig:
        client = await rig.connect()
        await client.send(post(b"Expect: 100-continue", b"Content-Length: 5", target=b"/api//users"))
        answer = await client.answer()
        assert (answer.status, answer.value(b"connection")) == (400, b"close")
        await client.send(b"hello" + GOOD)
        assert await client.rest() == b"" and rig.legacy.raw == []


async def test_75_a_tunnel_only_after_the_side_switched_to_what_was_asked_for():
    ask = get(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: x")
    switch = b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: %b\r\n\r\n"
    async with running(LEGACY_ONLY) as rig:
        for answered, status in ((switch % b"websocket", 101), (switch % b"h2c", 502), (ok(), 200)):
            rig.legacy.script = answering(answered)
            client = await rig.connect()
            await client.send(ask)
            await until(lambda: rig.legacy.raw and bytes(rig.legacy.raw[-1]).endswith(b"\r\n\r\n"))
            assert (await client.answer()).status == status
            client.close()
        rig.legacy.script = answering(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
        client = await rig.connect()
        await client.send(ask + GOOD)
        assert (await client.answer()).status == 403
        rig.legacy.script = answering(ok())
        assert (await client.answer()).status == 200  # what stood behind is a request, and not a tunnel's bytes
        await until(lambda: not seen_by(rig.legacy)[1])


async def test_115_a_host_is_forwarded_as_it_came():
    async with running(LEGACY_ONLY) as rig:
        client = await rig.connect()
        for host in (b"SHOP.test", b"shop.test:8080", b"[::1]:80", b"shop.test."):
            await client.send(get().replace(b"Host: a", b"Host: " + host))
            assert (await client.answer()).status == 200
        hosts = [each.values(b"host") for each in seen_by(rig.legacy)[0]]
        assert hosts == [[b"SHOP.test"], [b"shop.test:8080"], [b"[::1]:80"], [b"shop.test."]]


async def test_refusals_of_many_at_once_cost_no_good_client_its_answer():
    async with running(LEGACY_ONLY) as rig:
        good = await rig.connect()

        async def hostile(request: bytes) -> int:
            client = await rig.connect()
            await send(client, request, "whole")
            return (await client.answer()).status

        answers = asyncio.gather(*(hostile(request) for request, _ in REFUSED.values()))
        for _ in range(50):
            await goes_on(rig, good)
        assert await answers == [status for _, status in REFUSED.values()]

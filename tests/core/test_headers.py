"""Header rules: what each field means to a proxy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.headers import (
    CONNECTION,
    EXPECT,
    FORCE,
    FORWARDED,
    HOP,
    HOST,
    LENGTH,
    NEVER_BY_CONNECTION,
    ODD,
    PLAIN,
    REROUTE,
    TRANSFER,
    UPGRADE,
    is_host,
    is_secret,
    loops,
    meaning_in_answer,
    meaning_in_request,
    tokens,
)
from proxy.core.messages import Saw, SawAnswer

REQUEST = {
    b"Host": HOST, b"Content-Length": LENGTH, b"Transfer-Encoding": TRANSFER, b"Connection": CONNECTION,
    b"Upgrade": UPGRADE, b"Expect": EXPECT, b"X-Banyan-Force": FORCE,
    b"X-Forwarded-For": FORWARDED, b"X-Forwarded-Host": FORWARDED, b"X-Forwarded-Proto": FORWARDED,
    b"X-Forwarded-Port": FORWARDED, b"X-Forwarded-Server": FORWARDED, b"X-Forwarded-Prefix": FORWARDED,
    b"Forwarded": FORWARDED, b"X-Request-Id": FORWARDED, b"X-Original-URL": REROUTE, b"X-Rewrite-URL": REROUTE,
    b"Keep-Alive": HOP, b"TE": HOP, b"Trailer": HOP, b"HTTP2-Settings": HOP, b"Proxy-Connection": HOP,
    b"Proxy-Authorization": HOP, b"X-Banyan-Side": HOP, b"X-Banyan-Plan": HOP,
    b"X_Forwarded_For": ODD, b"Transfer_Encoding": ODD, b"_": ODD,
    b"Via": Saw.VIA, b"Range": Saw.RANGE, b"If-Match": Saw.VALIDATOR, b"If-None-Match": Saw.VALIDATOR,
    b"If-Modified-Since": Saw.VALIDATOR, b"If-Unmodified-Since": Saw.VALIDATOR, b"If-Range": Saw.VALIDATOR,
    b"X-HTTP-Method-Override": Saw.OVERRIDE, b"X-HTTP-Method": Saw.OVERRIDE, b"X-Method-Override": Saw.OVERRIDE,
    b"Accept": PLAIN, b"traceparent": PLAIN, b"Cookie": PLAIN, b"Authorization": PLAIN,
}  # fmt: skip
ANSWER = {
    b"Content-Length": LENGTH, b"Transfer-Encoding": TRANSFER, b"Connection": CONNECTION, b"Upgrade": UPGRADE,
    b"Keep-Alive": HOP, b"Trailer": HOP, b"TE": HOP, b"Proxy-Connection": HOP, b"X-Banyan-Side": HOP,
    b"ETag": SawAnswer.VALIDATOR, b"Last-Modified": SawAnswer.VALIDATOR, b"Location": SawAnswer.LOCATION,
    b"Content-Location": SawAnswer.LOCATION, b"Proxy-Status": PLAIN, b"Proxy-Authenticate": PLAIN,
    b"Set-Cookie": PLAIN, b"X_Odd": PLAIN,
}  # fmt: skip


@pytest.mark.parametrize("name", REQUEST)
def test_what_a_request_field_means(name):
    assert meaning_in_request(name.lower()) == REQUEST[name]


@pytest.mark.parametrize("name", ANSWER)
def test_what_an_answer_field_means(name):
    assert meaning_in_answer(name.lower()) == ANSWER[name]


@pytest.mark.parametrize("name", [b"authorization", b"cookie", b"set-cookie", b"proxy-authorization", b"x-api-key"])
def test_what_is_kept_nowhere(name):
    assert is_secret(name)
    assert not is_secret(b"accept")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"close", [b"close"]),
        (b" Close ,, Keep-Alive\t, x-A ", [b"close", b"keep-alive", b"x-a"]),
        (b"", []),
        (b",", []),
    ],
)
def test_lists_are_read_in_lower_case_without_empty_members(value, expected):
    assert tokens(value) == expected


@pytest.mark.parametrize(
    "name",
    [
        b"host", b"content-length", b"transfer-encoding", b"authorization", b"cookie", b"x-forwarded-for", b"via",
        b"forwarded", b"x-request-id", b"expect", b"range", b"if-match", b"traceparent", b"x-real-ip", b"max-forwards",
        b"x-http-method-override", b"x-banyan-force", b"content-type",
    ],
)  # fmt: skip
def test_connection_never_takes_away_what_lives_end_to_end_or_is_ours(name):
    assert name in NEVER_BY_CONNECTION


@pytest.mark.parametrize("name", [b"upgrade", b"keep-alive", b"close", b"http2-settings", b"te", b"x-mine"])
def test_connection_may_name_what_lives_for_one_hop(name):
    assert name not in NEVER_BY_CONNECTION


GOOD_HOSTS = [
    b"a", b"shop.test", b"SHOP.test:8080", b"a:", b"a:0", b"a:65535", b"1.2.3.4", b"[::1]", b"[fe80::1]:80", b"x" * 255,
    b"%41b", b"a-b_c~d.e",
]  # fmt: skip
BAD_HOSTS = [
    b"", b" ", b"a b", b"a/b", b"/a", b"u@b", b"u:p@b", b"a:65536", b"a:123456", b"a:x", b"a:-1", b"a:+1", b"a, b",
    b"a,b", b"[::1", b"::1", b"[::1]x", b"[::1]:x", b"[g::]", b"a#", b"a?b", b"a\\b", b"a%4", b"a%zz", b"\xc3\xa4",
    b"a\x00", b"a\n", b"x" * 256, b"a:80:80", b":80",
]  # fmt: skip


@pytest.mark.parametrize("host", GOOD_HOSTS)
def test_a_host_that_may_be_forwarded(host):
    assert is_host(host)


@pytest.mark.parametrize("host", BAD_HOSTS)
def test_a_host_that_may_not(host):
    assert not is_host(host)


@given(st.binary(max_size=40))
def test_no_host_holds_what_would_end_a_line_or_an_authority(value):
    if is_host(value):
        assert not set(value) & set(b"\r\n\x00 \t/\\?#@,")


@pytest.mark.parametrize(
    ("via", "found"),
    [
        ([b"1.1 banyan"], True),
        ([b"1.0 first, 1.1 BANYAN (comment)"], True),
        ([b"1.1 first", b"HTTP/1.1 banyan"], True),
        ([b"1.1 banyan2, 1.1 my.banyan"], False),
        ([b"banyan"], False),
        ([b""], False),
        ([], False),
    ],
)
def test_our_own_name_in_via_is_a_loop(via, found):
    assert loops(via, b"banyan") is found


def test_a_loop_is_seen_whatever_the_case_of_our_own_name():
    assert loops([b"1.1 Sidecar"], b"SideCar")


@pytest.mark.parametrize(
    "name", [b"x-forwarded-user", b"x-forwarded-client-cert", b"client-cert", b"client-cert-chain"]
)
def test_every_field_that_a_proxy_forwards_by_is_believed_from_trusted_peers_only(name):
    assert meaning_in_request(name) == FORWARDED


def test_a_field_that_cgi_reads_as_a_proxy_of_its_own_is_dropped():
    """CVE-2016-5385: `Proxy` becomes the variable HTTP_PROXY."""
    assert meaning_in_request(b"proxy") == HOP

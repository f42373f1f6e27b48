"""Addresses and words of the settings: what is right comes back as it was, what is wrong is said."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy import addresses
from proxy.addresses import host_port, is_loopback


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("[::1]:80", ("::1", 80)),
        ("[fe80::1%eth0]:80", ("fe80::1%eth0", 80)),
        ("localhost:0", ("localhost", 0)),
        ("my_app-1.internal:65535", ("my_app-1.internal", 65535)),
    ],
)
def test_host_and_port(text, parts):
    assert host_port(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "8080", "a:b", "a:65536", "a:-1", "a:٣", "a b:1", "é:1", "1.2.3:80"),
        *("::1:80", "[::1:80", "[1.2.3.4]:80"),
    ],
)
def test_what_is_no_address_to_listen_on_says_what_would_be(text):
    with pytest.raises(ValueError, match="should"):
        host_port(text)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("localhost", True), ("LOCALHOST", True),
        ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("localhost.example", False), ("banyan", False),
    ],
)  # fmt: skip
def test_only_loopback_is_safe_from_others(host, loopback):
    assert is_loopback(host) is loopback


CHECKS: list[tuple[Callable[[str], str], list[str], list[str]]] = [
    (addresses.checked_listen, ["0.0.0.0:80"], [":80"]),
    (
        addresses.checked_side_url,
        ["http://a", "http://[::1]:9", "https://a", "https://[::1]:9"],
        ["a", "ftp://a", "https://a/b", "https://a:0", "http://a/b", "http://a?", "http://\ta", "http://a\n"],
    ),
    (
        addresses.checked_server_name,
        ["app", "app.example.net", "10.0.0.1", "::1"],
        ["", ".app", "a b", "app:443", "é", "fe80::1%eth0"],
    ),
    (addresses.checked_side_path, ["/", "/healthz?deep=1"], ["", "healthz", "/a b", "/é", "/a#b", "/a\r\n"]),
    (
        addresses.checked_field_name,
        ["x-a", "Authorization"],
        ["", "a b", "a:", "Host", "content-length", "X-Banyan-Side", "é"],
    ),
    (addresses.checked_field_value, ["", "Bearer a.b", "a\tb"], [" a", "a ", "a\r\nb", "é", "\x00"]),
    (addresses.checked_network, ["10.0.0.0/8", "::1", "10.1.2.3"], ["", "10.0.0.1/8", "ten", "10.0.0.0/33"]),
    (
        addresses.checked_store,
        ["embedded", "redis://h:1/0", "unix:///s"],
        ["", "Embedded", "http://h", "redis+cluster://h", "redis://"],
    ),
    (addresses.checked_namespace, ["banyan", "{banyan}", "a:b"], ["", "a b", "a*", "é", "a\n"]),
    (addresses.checked_via, ["banyan", "edge-1", "gw:8080"], ["", "a b", "a,b", "é"]),
]


@pytest.mark.parametrize(("check", "right"), [(check, text) for check, right, _ in CHECKS for text in right])
def test_what_is_right_comes_back_as_it_was(check, right):
    assert check(right) == right


@pytest.mark.parametrize(("check", "wrong"), [(check, text) for check, _, wrong in CHECKS for text in wrong])
def test_what_is_wrong_is_refused(check, wrong):
    with pytest.raises(ValueError):
        check(wrong)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([check for check, _, _ in CHECKS]), st.text(max_size=30) | st.text("htp:/@.[]#?%1a\n ", max_size=20)
)
def test_nothing_but_a_sentence_comes_out_of_a_check(check, text):
    try:
        assert check(text) in (text, text.rstrip("/"))
    except ValueError as exc:
        assert str(exc)


def test_a_slash_behind_a_side_means_nothing():
    assert addresses.checked_side_url("http://a:1/") == "http://a:1"


def test_the_password_of_a_store_is_never_shown():
    with pytest.raises(ValueError) as refused:
        addresses.checked_store("rediss+sentinel://ana:hunter2@h")

    assert "hunter2" not in str(refused.value)

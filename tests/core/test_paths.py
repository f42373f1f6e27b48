from __future__ import annotations

import gc
import re
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.paths import TANGLED, is_plain, is_tangled, normal_form, readings

CLEAR = [
    (b"/", b"/"),
    (b"/api/users/42", b"/api/users/42"),
    (b"/api/users/", b"/api/users/"),  # another path than without the slash
    (b"/a.b/c..d", b"/a.b/c..d"),
    (b"/.well-known/x", b"/.well-known/x"),
    (b"/...", b"/..."),
    (b"/%41%62c", b"/Abc"),
    (b"/a%2Eb", b"/a.b"),
    (b"/%7euser", b"/~user"),
    (b"/a%2db%5f", b"/a-b_"),
    (b"/caf%c3%a9", b"/caf%C3%A9"),  # digits of an escape are the same in either case
    (b"/caf%C3%A9", b"/caf%C3%A9"),
    (b"/a%20b", b"/a%20b"),
    (b"/a%3Fb%23", b"/a%3Fb%23"),
    (b"/users;v=1", b"/users;v=1"),
    (b"/users%3bv=1", b"/users%3Bv=1"),
    (b"*", b"*"),
    (b"/a@b:c$d&e+f,g=h!i*j'k(l)m", b"/a@b:c$d&e+f,g=h!i*j'k(l)m"),
]

AMBIGUOUS = [
    (b"/pub/../admin", b"/admin"),
    (b"/pub/./admin", b"/pub/admin"),
    (b"/pub/..", b"/"),
    (b"/pub/.", b"/pub/"),
    (b"/../../etc", b"/etc"),
    (b"/pub/%2e%2e/admin", b"/admin"),
    (b"/pub/%2E./admin", b"/admin"),
    (b"/pub/.%2e/admin", b"/admin"),
    (b"/pub/%2e/admin", b"/pub/admin"),
    (b"/api%2Fusers", b"/api%2Fusers"),
    (b"/api%2fusers", b"/api%2Fusers"),
    (b"/api%5Cusers", b"/api%5Cusers"),
    (b"/api%5cusers", b"/api%5Cusers"),
    (b"/a%00b", b"/a%00b"),
    (b"/%252e%252e/admin", b"/%252e%252e/admin"),  # one decode only
    (b"/a%25", b"/a%25"),
    (b"//admin//x", b"/admin/x"),
    (b"//evil.test/x", b"/evil.test/x"),
    (b"/a//", b"/a/"),
    (b"/a\\..\\b", b"/a\\..\\b"),
    (b"/pub/..;/admin", b"/pub/..;/admin"),
    (b"/pub/..;x=1/admin", b"/pub/..;x=1/admin"),
    (b"/pub/.;/admin", b"/pub/.;/admin"),
    (b"/pub/..%3b/admin", b"/pub/..%3B/admin"),
    (b"/pub/%2e%2e;/admin", b"/pub/..;/admin"),
    (b"/a%zzb", b"/a%zzb"),
    (b"/a%4", b"/a%4"),
    (b"/a%", b"/a%"),
    (b"/%%41", b"/%A"),
    (b"api/users", b"/api/users"),
    (b"", b"/"),
]


@pytest.mark.parametrize(("raw", "normal"), CLEAR)
def test_a_path_with_one_reading_is_not_ambiguous(raw, normal):
    assert normal_form(raw) == (normal, False)


@pytest.mark.parametrize(("raw", "normal"), AMBIGUOUS)
def test_a_path_with_two_readings_is_ambiguous(raw, normal):
    assert normal_form(raw) == (normal, True)


@given(st.binary(max_size=40).map(lambda tail: b"/" + tail))
def test_a_plain_path_is_its_own_normal_form_also_the_slow_way(path):
    slow, ambiguous = normal_form(b"/x/." + path)  # the detour over a dot segment keeps the fast test from seeing it
    if is_plain(path):
        assert ambiguous
        assert slow == b"/x" + path
        assert normal_form(path) == (path, False)


@given(st.lists(st.sampled_from([b"/", b".", b"..", b"a", b"%2e", b"%2F", b"%41", b"%25", b"%", b"\\", b";", b"%3b"])))
def test_a_normal_form_starts_with_a_slash_and_has_neither_dots_nor_double_slashes(parts):
    normal, ambiguous = normal_form(b"/" + b"".join(parts))

    assert normal.startswith(b"/")
    assert b"//" not in normal
    assert not {b".", b".."} & set(normal.split(b"/"))
    if not ambiguous:
        assert normal_form(normal) == (normal, False)


@pytest.mark.parametrize(
    ("raw", "reading"),
    [
        (b"/api%2Fusers%2F42", b"/api/users/42"),
        (b"/api\\users", b"/api/users"),
        (b"/pub/..;/api/users", b"/api/users"),
        (b"/%2561pi/users", b"/api/users"),
        (b"/%252e%252e/api/users", b"/api/users"),
        (b"/api/users/../x", b"/api/users/../x"),  # as a prefix match reads it
        (b"/api//users", b"/api/users"),
        (b"/api/users%zz", b"/api/users%zz"),
    ],
)
def test_readings_have_what_an_application_may_make_of_a_path(raw, reading):
    found = readings(raw)

    assert reading in found
    assert found[0] == normal_form(raw)[0]
    assert len(set(found)) == len(found)


def calls_of(function: Callable[[bytes], object], path: bytes) -> int:
    """Count the calls, of Python and of C, that a function makes for a path."""
    count = 0

    def tell(frame: object, event: str, arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    gc.disable()  # what it calls would count
    sys.setprofile(tell)
    try:
        function(path)
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


@pytest.mark.parametrize("function", [normal_form, readings])
@pytest.mark.parametrize(
    "piece", [b"%41", b"%2e", b"%c3", b"%25", b"%252e", b"%", b"%z", b"a%41", b"/a", b"/;", b"\\", b"//", b".a%"]
)
def test_no_path_costs_a_call_for_each_of_its_pieces(function, piece):
    few, many = b"/" + piece * 10, b"/" + piece * 5000
    assert calls_of(function, many) <= calls_of(function, few)


@given(st.lists(st.sampled_from([b"/", b"a", b"%", b"4", b"1", b"%2", b"%2f", b"%C3", b"%e9", b"%7E", b"%00", b"\0"])))
def test_escapes_are_decoded_as_one_by_one(parts):
    path = b"/.x" + b"".join(parts)  # the dot keeps the fast test from seeing it

    def decode(escape: re.Match[bytes]) -> bytes:
        byte = bytes((int(escape[1], 16),))
        return byte if byte.isalnum() or byte in b"-._~" else escape[0].upper()

    expected = re.sub(rb"//+", b"/", re.sub(rb"%([0-9A-Fa-f]{2})", decode, path))
    assert normal_form(path)[0] == expected


@pytest.mark.parametrize("piece", [b"%2F", b"%25", b"%00", b"%5c", b"%"])
def test_a_tangle_of_escapes_is_ambiguous_and_stays_raw(piece):
    path = b"/api" + piece * TANGLED
    assert not is_tangled(path)
    path += piece
    assert is_tangled(path)
    assert normal_form(path) == (path, True)


def test_many_escapes_that_everybody_reads_alike_are_no_tangle():
    assert normal_form(b"/" + b"%41" * 5000) == (b"/" + b"A" * 5000, False)
    assert normal_form(b"/" + b"%e6%97%a5" * 1500) == (b"/" + b"%E6%97%A5" * 1500, False)

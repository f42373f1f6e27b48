from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.assign import (
    BUCKETS,
    COOKIES_LIMIT,
    PER_REQUEST,
    bucket_of,
    bucket_of_roll,
    is_moved,
    source_of,
    sticky_value,
)
from proxy.core.messages import RequestHead, field


def head(*fields: tuple[str, str], peer: str = "10.0.0.1") -> RequestHead:
    flat = b"".join(field(name.encode(), value.encode()) for name, value in fields)
    return RequestHead(b"GET", b"/", flat, peer=peer.encode())


def token(claims: object) -> str:
    parts = ({"alg": "none"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + ".sig"


def read(source: str, request: RequestHead, entity: bytes = b"") -> bytes | None:
    return sticky_value((source_of(source),), request, entity)[0]


@pytest.mark.parametrize(
    ("value", "cohort", "bucket"),
    [(b"user-42", b"users", 4488), (b"user-42", b"journey", 7944), (b"", b"users", 7486), (b"7", b"users", 9300)],
)
def test_bucket_is_the_same_in_every_release(value, cohort, bucket):
    """Golden values: changing them would move live callers to the other side."""
    assert bucket_of(value, cohort) == bucket


@given(st.binary(max_size=30), st.integers(0, BUCKETS), st.integers(0, BUCKETS))
def test_raising_the_weight_moves_nobody_back(value, one, other):
    bucket = bucket_of(value, b"users")

    assert 0 <= bucket < BUCKETS
    assert not is_moved(bucket, min(one, other)) or is_moved(bucket, max(one, other))


def test_nobody_is_moved_at_0_and_everybody_at_100_percent():
    assert not any(is_moved(bucket, 0) for bucket in range(BUCKETS))
    assert all(is_moved(bucket, BUCKETS) for bucket in range(BUCKETS))


@pytest.mark.parametrize("weight_bp", [100, 500, 2_500, 5_000, 9_000])
def test_a_weight_moves_its_share_of_callers(weight_bp):
    moved = sum(is_moved(bucket_of(b"user-%d" % number, b"users"), weight_bp) for number in range(20_000))

    assert moved / 20_000 == pytest.approx(weight_bp / BUCKETS, abs=0.01)


def test_cohorts_are_independent():
    callers = [b"user-%d" % number for number in range(20_000)]
    in_both = sum(bucket_of(each, b"users") < 2_500 and bucket_of(each, b"orders") < 2_500 for each in callers)

    assert in_both / 20_000 == pytest.approx(0.25 * 0.25, abs=0.01)


@given(st.integers(0, 10**12))
def test_any_run_of_rolls_gives_each_bucket_once(start):
    assert sorted(bucket_of_roll(start + step) for step in range(BUCKETS)) == list(range(BUCKETS))


def test_a_short_run_of_rolls_is_even_too():
    moved = [is_moved(bucket_of_roll(roll), 2_500) for roll in range(100)]

    assert 24 <= sum(moved) <= 26


@pytest.mark.parametrize(
    ("source", "request_head", "value"),
    [
        ("header:x-user-id", head(("x-user-id", "7")), b"7"),
        ("header:X-User-Id", head(("x-user-id", "7")), b"7"),
        ("header:x-user-id", head(("x-user-id", "7"), ("x-user-id", "8")), b"7"),
        ("header:x-user-id", head(("accept", "x-user-id")), None),
        ("cookie:session", head(("cookie", "a=1; session=abc=; b=2")), b"abc="),
        ("cookie:session", head(("cookie", "a=1"), ("cookie", "session=abc")), b"abc"),
        ("cookie:session", head(("cookie", "xsession=abc; Session=abc")), None),
        ("cookie:session", head(), None),
        ("client", head(peer="10.1.2.3"), b"10.1.2.3"),
        ("client", head(peer=""), None),
    ],
)
def test_a_sticky_value_is_read_from_its_source(source, request_head, value):
    assert (read(source, request_head) or None) == value


@pytest.mark.parametrize(
    ("authorization", "value"),
    [
        (f"Bearer {token({'sub': 'ana'})}", b"ana"),
        (f"bearer {token({'sub': 'ana'})}", b"ana"),
        (f"Bearer {token({'sub': 42})}", b"42"),
        (f"Bearer {token({'sub': 'café?>'})}", "café?>".encode()),
        (f"Bearer {token({'sub': True})}", None),
        (f"Bearer {token({'sub': ['ana']})}", None),
        (f"Bearer {token({'name': 'ana'})}", None),
        (f"Bearer {token(['sub'])}", None),
        (f"Bearer {token({'sub': 'x' * 9_000})}", None),  # bounded: nobody makes us parse megabytes
        (f"Basic {token({'sub': 'ana'})}", None),
        ("Bearer a.b", None),
        ("Bearer ..", None),
        ("Bearer a.!!!!.c", None),
        ("Bearer", None),
        ("", None),
    ],
)
def test_a_claim_is_read_and_never_verified(authorization, value):
    assert read("jwt:sub", head(("authorization", authorization))) == value


def test_the_entity_is_a_source_of_its_own():
    assert read("entity", head(), b"42") == b"42"
    assert not read("entity", head())


def test_only_so_many_cookies_are_looked_at_over_all_fields():
    half = COOKIES_LIMIT // 2
    for before, found in ((COOKIES_LIMIT - 1, b"abc"), (COOKIES_LIMIT, None), (60_000, None)):
        assert read("cookie:session", head(("cookie", "a=1;" * before + "session=abc"))) == found
    for before, found in ((half - 1, b"abc"), (half, None), (2 * half, None)):
        fields = ("cookie", "a=1;" * (half - 1) + "b=2"), ("cookie", ";" * before + "session=abc")
        assert read("cookie:session", head(*fields)) == found


def test_the_first_source_that_is_present_decides():
    sources = tuple(map(source_of, ("header:x-user-id", "cookie:session", "entity", "client")))

    assert sticky_value(sources, head(("x-user-id", "7"), ("cookie", "session=s")), b"42") == (b"7", 0)
    assert sticky_value(sources, head(("cookie", "session=s")), b"42") == (b"s", 1)
    assert sticky_value(sources, head(("x-user-id", ""), ("cookie", "session=")), b"42") == (b"42", 2)
    assert sticky_value(sources, head(), b"") == (b"10.0.0.1", 3)
    assert sticky_value(sources[:2], head(), b"") == (None, PER_REQUEST)
    assert sticky_value((), head(), b"") == (None, PER_REQUEST)


@pytest.mark.parametrize("name", ["", "header:", "header", "host", "ip", "client:x", "jwt:"])
def test_an_unknown_source_is_refused(name):
    with pytest.raises(ValueError, match="should be header:NAME"):
        source_of(name)

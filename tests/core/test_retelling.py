"""What is told of a request: enough to ask again, and no secret."""

from __future__ import annotations

import pytest

from proxy.core.messages import field
from proxy.core.retelling import needed_fields, shown_path, shown_query

UUID = "0b4f9c1e-8a52-4d2e-9f62-0123456789ab"


@pytest.mark.parametrize(
    ("route", "target", "shown"),
    [
        ("GET /api/users/{id}", "/api/users/42?page=2", "/api/users/42"),
        ("/api/users/{id}", f"/api/users/{UUID}", f"/api/users/{UUID}"),
        ("/api/users/{id}/form", "/api/users/12345678901234567890/form", "/api/users/{id}/form"),
        ("/api/configuration/{key}", "/api/configuration/dark-mode", "/api/configuration/dark-mode"),
        ("/api/configuration/{key}", "/api/configuration/maxUsers", "/api/configuration/maxUsers"),
        ("/api/configuration/{key}", "/api/configuration/en", "/api/configuration/en"),
        ("/api/configuration/{key}", "/api/configuration/user7", "/api/configuration/{key}"),
        ("/reset/{token}", "/reset/tok_51HqXtYbZ", "/reset/{token}"),
        ("/reset/{token}", "/reset/eyJhbGciOiJIUzI1NiJ9.e30.abc", "/reset/{token}"),
        ("/reset/{token}", "/reset/deadbeefdeadbeefdead", "/reset/{token}"),
        ("/reset/{token}", "/reset/kJhGfDsAqWeRtYu", "/reset/{token}"),
        ("/reset/{token}", "/reset/qzjxkvbnwpqrstmd", "/reset/{token}"),
        ("/reset/{token}", "/reset/ana%40example.com", "/reset/{token}"),
        ("/reset/{token}", "/reset/" + "word-" * 9 + "word", "/reset/{token}"),
        ("/files/{path...}", "/files/a/b/c", "/files/a/b/c"),
        ("/files/{path...}", "/files/a/s3cr3t/c", "/files/{path}"),
        ("/files/{path...}", "/files/" + "word/" * 200, "/files/{path}"),
        ("/a%20b/{id}", "/a%20b/1", "/a%20b/1"),
        ("/api//users", "/api//users", "/api/users"),
        ("/{a}/{b}", "/1", "/1/{b}"),
    ],
)
def test_a_path_is_shown_as_far_as_it_is_harmless(route, target, shown):
    if "//" in route:
        route = route.replace("//", "/")

    assert shown_path(route, target.encode()) == shown


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", ()),
        ("page=2&limit=-10", ("page=2", "limit=-10")),
        ("active=true&sort=desc", ("active=true", "sort=desc")),
        ("q=ana&id=12345", ("q={q}", "id={id}")),
        ("filter[status]=open&user.name=x", ("filter[status]={filter[status]}", "user.name={user.name}")),
        ("pin=9761&otp=12&Page=3", ("pin={pin}", "otp={otp}", "Page=3")),
        ("filter%5Bstatus%5D=1", ("filter[status]={filter[status]}",)),
        ("tok_51HqXtYbZ=1&eyJhbGci0iJI=x", ("*={*}", "*={*}")),
        ("flag&&x=", ("flag", "x={x}")),
        ("n=%31", ("n={n}",)),
        ("&".join(f"page={n}" for n in range(50)), tuple(f"page={n}" for n in range(20))),
    ],
)
def test_of_a_query_only_what_pages_and_sorts_is_shown(query, shown):
    assert shown_query(b"/x" + (b"?" + query.encode() if query else b"")) == shown


def test_of_header_fields_only_names_are_told_and_only_words():
    fields = b"".join(
        field(name, b"s3cr3t")
        for name in (
            b"authorization", b"cookie", b"accept", b"accept-language", b"x-user-id", b"user-agent", b"accept-encoding",
            b"sec-fetch-mode", b"if-none-match", b"x-tok-51hqxtybz", b"x-user-id", b"traceparent", b"x-api-key",
        )
    )  # fmt: skip

    assert needed_fields(fields) == ("authorization", "cookie", "accept", "accept-language", "x-user-id", "x-api-key")
    assert needed_fields(b"") == ()

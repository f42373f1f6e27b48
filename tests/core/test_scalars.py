from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core import scalars


def fault(check: Callable[..., object], value: object) -> str:
    with pytest.raises(ValueError) as refused:
        check(value)
    return str(refused.value)


@given(st.integers(0, 10_000))
def test_every_step_of_a_hundredth_percent_is_taken_and_becomes_a_whole_number(steps):
    percent = scalars.checked_percent(steps / 100)

    assert percent == steps / 100
    assert scalars.weight_bp(percent) == steps


@given(st.integers(0, 99_999).filter(lambda steps: steps % 10))
def test_finer_steps_are_refused(steps):
    assert fault(scalars.checked_percent, steps / 1000).startswith("should be 0 to 100 in steps of 0.01, is ")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (140, "should be 0 to 100, is 140"),
        (-1, "should be 0 to 100, is -1"),
        (100.01, "should be 0 to 100, is 100.01"),
        (12.345, "should be 0 to 100 in steps of 0.01, is 12.345"),
        (math.nan, "should be 0 to 100, is nan"),
        (math.inf, "should be 0 to 100, is inf"),
        (10**400, "should be 0 to 100, is 100000000000000000000000000000000000000000000000000000000000…"),
        (True, "should be 0 to 100, is true"),
        (None, "should be 0 to 100, is null"),
        ("25", "should be 0 to 100, is `25`; leave out the quotes"),
        ("25%", "should be 0 to 100, is `25%`"),
        ([25], "should be 0 to 100, is a list"),
    ],
)
def test_what_is_no_percentage_is_refused(value, said):
    assert fault(scalars.checked_percent, value)[:60] == said[:60]


@pytest.mark.parametrize("name", ["users", "a", "team-chat", "v2_users", "a" * 63])
def test_names_of_components(name):
    assert scalars.checked_name(name) == name


@pytest.mark.parametrize("name", ["", "Users", "2users", "a b", "a.b", "{a}", "a" * 64, "a:b", "users\n"])
def test_names_that_would_break_keys_and_labels_are_refused(name):
    assert fault(scalars.checked_name, name).startswith("should be a name of small letters")


@pytest.mark.parametrize("name", ["all", "unclaimed", "list", "show", "close"])
def test_names_with_a_meaning_of_their_own_are_refused(name):
    assert fault(scalars.checked_name, name) == f"`{name}` is a word of its own, no component can be called so"


@pytest.mark.parametrize(
    ("key", "split"),
    [
        ("/api", (None, "/api")),
        ("GET /api", ("GET", "/api")),
        ("GET  /api", ("GET", "/api")),
        ("PROPFIND /api/{id}", ("PROPFIND", "/api/{id}")),
    ],
)
def test_a_route_key_is_a_method_and_a_template(key, split):
    assert scalars.checked_route(key) == key
    assert scalars.split_route(key) == split


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("GTE /api", "not with `GTE`; did you mean `GET`?"),
        ("get /api", "not with `get`; did you mean `GET`?"),
        ("TRACE /api", "not with `TRACE`"),
        ("CONNECT /api", "not with `CONNECT`"),
    ],
)
def test_a_method_that_cannot_be_meant_is_refused(key, said):
    methods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
    assert fault(scalars.checked_route, key) == f"should begin with a method ({methods}) and a space, {said}"


@pytest.mark.parametrize("key", ["api", "", "/a/{id", "/a/x{id}", "/a/{id...}/b", "/a/{id}/{id}", "/a?b=1", "/a/../b"])
def test_a_template_that_would_never_match_is_refused(key):
    assert fault(scalars.checked_route, key)


@pytest.mark.parametrize("source", ["{id}", "{_x9}", "body:$.id", "body:$.a[0]", "body:$"])
def test_where_an_entity_key_may_be(source):
    assert scalars.checked_entity(source) == source


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("id", "should be a parameter of the path like `{id}`, or `body:$.id`; is `id`"),
        ("{more...}", "should be a parameter of the path like `{id}`, or `body:$.id`; is `{more...}`"),
        ("body:id", "after `body:`: should be a JSONPath that begins with $, is `id`; did you mean `$.id`?"),
        ("body:$.a[*]", "after `body:`: should name one place (names and indexes only), is `$.a[*]`"),
    ],
)
def test_where_an_entity_key_cannot_be(source, said):
    assert fault(scalars.checked_entity, source) == said


@pytest.mark.parametrize(
    ("source", "normal"),
    [
        ("header:x-user-id", "header:x-user-id"),
        ("header:X-User-ID", "header:x-user-id"),
        ("jwt:sub", "jwt:sub"),
        ("jwt:https://example.org/id", "jwt:https://example.org/id"),
        ("cookie:Session", "cookie:Session"),
        ("entity", "entity"),
        ("client", "client"),
    ],
)
def test_sticky_sources(source, normal):
    assert scalars.checked_sticky(source) == normal


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("heder:x", "should be header:NAME, jwt:CLAIM, cookie:NAME, entity or client; is `heder:x`"),
        ("ip", "should be header:NAME, jwt:CLAIM, cookie:NAME, entity or client; is `ip`"),
        ("header", "should be `header:` and a name, is `header`"),
        ("header:a b", "should be `header:` and a name, is `header:a b`"),
        ("cookie:", "should be `cookie:` and a name, is `cookie:`"),
        ("jwt:", "should be `jwt:` and a name, is `jwt:`"),
        ("client:x", "should be `client` alone, is `client:x`"),
    ],
)
def test_words_that_are_no_sticky_source(source, said):
    assert fault(scalars.checked_sticky, source).removesuffix("; did you mean `header`?") == said


def test_the_name_of_a_field_is_kept_in_lower_case():
    assert scalars.checked_field("X-Tenant") == "x-tenant"
    assert fault(scalars.checked_field, "x tenant") == "should be the name of a header field, is `x tenant`"


@pytest.mark.parametrize("cause", ["connect", "timeout", "reset", "5xx", 400, 503, 599])
def test_what_a_fallback_may_be_on(cause):
    assert scalars.checked_failure(cause) == cause


@pytest.mark.parametrize(
    ("cause", "hint"),
    [("conect", "; did you mean `connect`?"), ("503", "; leave out the quotes"), (200, ""), (600, ""), (True, "")],
)
def test_what_a_fallback_cannot_be_on(cause, hint):
    said = fault(scalars.checked_failure, cause)

    assert said.startswith("should be connect, timeout, reset or 5xx, or a code from 400 to 599; is ")
    assert said.endswith(hint)


def test_any_jsonpath_may_name_many_places_where_many_are_meant():
    assert scalars.checked_jsonpath("$.items[*].id") == "$.items[*].id"
    assert fault(scalars.checked_jsonpath, "items").startswith("should be a JSONPath that begins with $")


def test_the_key_of_a_created_entity_is_in_the_body_or_in_location():
    assert scalars.checked_created_key("location") == "location"
    assert scalars.checked_created_key("$.id") == "$.id"
    assert fault(scalars.checked_created_key, "$.a[*]").startswith("should name one place")


def test_an_entity_is_read_by_a_method_and_a_path():
    assert scalars.checked_request_line("GET /api/{id}") == "GET /api/{id}"
    assert fault(scalars.checked_request_line, "/api/{id}").startswith("should be a method, one space and a path")

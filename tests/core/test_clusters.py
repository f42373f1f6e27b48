"""Mismatches as clusters: one bug is one cluster from whatever it is seen, and no example holds what nobody may see."""

from __future__ import annotations

import gzip
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.clusters import MOST_EXAMPLE_BYTES, Fingerprint, catch_all, fingerprint_of, is_id, sightings, written
from proxy.core.compare import Answer
from proxy.core.messages import field
from proxy.core.rules import Side
from tests.core.pairs import JSON, answer, pair

HTML = field(b"content-type", b"text/html")


def seen(first: Any, second: Any, **values: Any) -> list[tuple[str, str, str]]:
    return [(each.of.kind, each.of.path, each.of.shape) for each in sightings(pair(first, second, **values))]


@pytest.mark.parametrize(
    ("first", "second", "clusters"),
    [
        ({"a": 1}, {"a": 2}, [("value", "$.a", "number≠number")]),
        ({"a": 1}, {"a": "1"}, [("type", "$.a", "number≠text")]),
        ({"a": None}, {"a": "x"}, [("type", "$.a", "null≠text")]),
        ({"a": 1, "b": 1}, {"a": 1}, [("missing", "$.b", "number≠nothing")]),
        ({}, {"a": []}, [("extra", "$.a", "nothing≠array")]),
        ({"a": [1, 2]}, {"a": [2, 1]}, [("order", "$.a", "array")]),
        ({"a": [1]}, {"a": [1, 2]}, [("length", "$.a", "array")]),
        ([{"a": 1}, {"a": 2}], [{"a": 3}, {"a": 4}], [("value", "$[*].a", "number≠number")]),
        ([1, 2], [3, ""], [("value", "$[*]", "number≠number"), ("type", "$[*]", "number≠text")]),
        ({"1": 1, "2": 1}, {"1": 2, "2": 2}, [("value", "$.*", "number≠number")]),
        (answer({}, 200), answer({}, 500), [("status", "status", "200≠500")]),
        (answer(b"<html>", 200), answer({}, 200), [("type", "$", "bytes≠object")]),
        (answer({}), answer({}, fields=HTML), [("header", "content-type", "text≠text")]),
        ({"a": 1}, {"a": 1}, []),
    ],
)  # fmt: skip
def test_what_makes_a_cluster(first, second, clusters):
    assert seen(first, second) == clusters


def test_ids_are_the_same_in_every_release():
    """Golden value: another one would make every cluster a new one."""
    (found,) = sightings(pair({"a": 1}, {"a": 2}))

    assert found.id == Fingerprint("users", "GET /api/users/{id}", "$.a", "value", "number≠number").id == "14e5fa3aad"
    assert is_id(found.id)
    assert is_id(catch_all("users").id)
    assert catch_all("users").id != catch_all("billing").id
    assert not any(map(is_id, ("", "show", "14E5FA3AAD", "14e5fa3aa", "14e5fa3aadd")))


def test_one_bug_is_one_cluster_whoever_answered_and_whatever_the_entity():
    ids = {
        each.id
        for target, entity in ((b"/api/users/1", b"1"), (b"/api/users/2?page=3", b"2"))
        for each in sightings(pair({"a": 1}, {"a": 2}, target=target, entity=entity))
    }

    assert len(ids) == 1
    one, other = (sightings(pair({"a": 1}, {"a": 2}, entity=entity))[0].entity for entity in (b"1", b"2"))
    assert one != other


def test_an_example_says_what_a_reproduction_needs():
    fields = field(b"authorization", b"Bearer s3cr3t") + field(b"user-agent", b"curl")
    first = {"id": 1, "items": [{"at": "2026-01-01T00:00:00Z"}, {"at": "2026-01-01T00:00:00Z"}], "name": "x"}
    second = {"id": 1, "items": [{"at": "2026-01-01T02:00:00Z"}, {"at": "2026-01-01T02:00:00Z"}], "name": "y"}
    at, _ = sightings(pair(first, second, target=b"/api/users/42?page=2&q=ana", request_fields=fields))

    assert at.example == {
        "at": "2026-01-01T10:00:00.000Z",
        "route": "GET /api/users/{id}",
        "method": "GET",
        "request_path": "/api/users/42",
        "query": ["page=2", "q={q}"],
        "fields": ["authorization"],
        "sides": ["legacy", "modern"],
        "statuses": [200, 200],
        "version": 7,
        "kind": "value",
        "path": "$.items[*].at",
        "steps": ["items", None, "at"],
        "places": 2,
        "shapes": ["instant in UTC, to seconds", "instant in UTC, to seconds"],
        "hints": ["2 h apart"],
        "others": [["value", "$.name"]],
        "more_others": 0,
        "around": {
            "path": "$.items[*]",
            "rows": (("at", "instant in UTC, to seconds", "instant in UTC, to seconds", True),),
            "more": 0,
        },
    }


def test_a_sighting_without_an_example_is_of_the_same_cluster():
    each = pair({"a": 1, "b": 1}, {"a": 2})

    assert sightings(each, examples=False) == tuple(replace(one, example={}) for one in sightings(each))
    (first, _) = each.comparison.differences
    assert fingerprint_of("users", "GET /api/users/{id}", first) == sightings(each)[0].of


def test_the_primary_is_first_also_after_the_cutover():
    (found,) = sightings(pair({"a": 1}, {"a": 2}, primary=Side.MODERN))

    assert found.example["sides"] == ["modern", "legacy"]


def test_an_order_has_a_hint_and_a_status_its_codes():
    assert sightings(pair({"a": [1, 2]}, {"a": [2, 1]}))[0].example["hints"] == [
        "the same items in another order: `unordered`"
    ]
    (found,) = sightings(pair(answer({}, 200), answer({}, 404)))
    assert (found.example["shapes"], found.example["hints"]) == (["200", "404"], [])
    assert "around" not in found.example


def test_bodies_with_a_coding_are_read():
    fields = JSON + field(b"content-encoding", b"gzip")
    first, second = (Answer(200, fields, gzip.compress(orjson.dumps({"a": n, "b": "x"}))) for n in (1, 2))

    (found,) = sightings(pair(first, second))

    assert [row[0] for row in found.example["around"]["rows"]] == ["a", "b"]


def test_numbers_that_one_side_writes_longer_are_read_alike():
    (found,) = sightings(pair(answer(b'{"a": 1.00000000000000000001}'), answer({"a": 1.5})))

    assert found.example["shapes"] == ["number of 1 digit and 20 decimals", "number of 1 digit and 1 decimal"]


@pytest.mark.parametrize(
    ("reveal", "values"),
    [
        ((), None),
        (("$.other",), None),
        (("$.user.name",), ['"Ana"', '"Bob"']),
        (("$.user",), ['"Ana"', '"Bob"']),
        (("$..name",), ['"Ana"', '"Bob"']),
        (("$.user.name.first",), None),
        (("$.user[?@ == 'Ana']",), ['"Ana"', '"Bob"']),
    ],
)
def test_values_are_shown_where_the_rules_reveal_them(reveal, values):
    (found,) = sightings(pair({"user": {"name": "Ana"}}, {"user": {"name": "Bob"}}, reveal=reveal))

    assert found.example.get("revealed") == values


def test_where_a_path_cannot_be_followed_nothing_is_revealed():
    deep: Any = 1
    for _ in range(150):
        deep = {"a": deep}

    found = sightings(pair({"deep": deep, "b": 1}, {"deep": deep, "b": 2}, reveal=("$.b", "$..a[?@ == 1]")))
    assert [each.example.get("revealed") for each in found] == [None]


def test_revealed_values_are_cut_and_an_absent_one_is_none():
    (found,) = sightings(pair({"a": "x" * 500}, {}, reveal=("$.a",)))

    text, nothing = found.example["revealed"]
    assert (len(text), nothing) == (200, None)
    first, second = (answer(b'{"list": [1, %d]}' % number) for number in (2**70, 2**71))
    (found,) = sightings(pair(first, second, reveal=("$.list[-1]",)))
    assert found.example["revealed"] == [str(2**70), str(2**71)]


@pytest.mark.parametrize(
    ("method", "shown"), [(b"GET", "GET"), (b"REPORT", "REPORT"), (b"SECRETTOKEN", "*"), (b"HEAD", "HEAD")]
)
def test_a_method_that_nobody_named_is_not_shown(method, shown):
    (found,) = sightings(pair({"a": 1}, {"a": 2}, method=method, route="REPORT /api/users/{id}"))

    assert found.example["method"] == shown


def test_an_example_is_cut_to_its_size_and_what_matters_stays():
    first = {f"member{chr(97 + n // 26)}{chr(97 + n % 26)}{'Long' * 8}": "x" * n for n in range(90)}
    second = {name: f"{value}y" for name, value in first.items()}
    path = "/".join(["quite-a-long-word"] * 20)
    found = sightings(
        pair(first, second, target=f"/{path}?{'&'.join(f'parameter{chr(97 + n)}=12' for n in range(20))}".encode(),
             route="/{rest...}", reveal=("$.*",))
    )  # fmt: skip

    for each in found:
        text = written(each.example)
        assert 0 < len(text) <= MOST_EXAMPLE_BYTES
        said = orjson.loads(text)
        assert (said["kind"], said["path"], len(said["shapes"])) == ("value", each.of.path, 2)
        assert any(row[3] for row in said["around"]["rows"])
    assert written({}) == b""


def test_whatever_is_too_long_to_be_cut_is_no_example():
    (found,) = sightings(pair({"a": 1}, {"a": 2}))

    assert written({**found.example, "request_path": "x" * 5000}) == b""


_SECRET = "tok_51HqXtYbZkR9"
_NAMES = st.text(max_size=5) | st.just(_SECRET)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
    | st.just(_SECRET),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(_NAMES, below, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(_VALUES, _VALUES, st.sampled_from([b"/api/users/", b"/api/users/1?q=", b"/api/users/1?"]))
def test_no_secret_stands_in_an_example(first, second, target):
    fields = field(b"authorization", _SECRET.encode()) + field(_SECRET.lower().encode(), b"1")
    found = sightings(
        pair(first, second, target=target + _SECRET.encode(), request_fields=fields, entity=_SECRET.encode())
    )

    for each in found:
        assert _SECRET not in repr(replace(each, entity=0))
        assert _SECRET.lower() not in written(each.example).decode().lower()


_CODINGS = st.sampled_from([b"", b"gzip", b"br", b"nothing"])


@given(st.binary(max_size=40) | st.sampled_from([b"{", b'{"a":1,"a":2}', b"[" * 300]), _CODINGS, st.binary(max_size=30))
def test_whatever_the_sides_and_clients_send_there_is_an_example(body, coding, target):
    fields = field(b"content-encoding", coding) if coding else b""
    odd = Answer(200, fields, body)
    rest = target.replace(b"\r", b"").replace(b"\n", b"")

    for found in (
        sightings(pair(odd, {"a": 1}, target=rest, request_fields=field(b"x", rest), entity=rest)),
        sightings(pair({"a": 1}, Answer(500, fields, body), target=b"/api/users/" + rest, reveal=("$",))),
    ):
        for each in found:
            assert written(each.example)
            assert orjson.loads(written(each.example))["request_path"].startswith("/")

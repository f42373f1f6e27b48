"""Rules of comparison that are allowed and probably not meant."""

from __future__ import annotations

import pytest

from proxy.core.comparechecks import compare_doubts
from proxy.core.model import Component
from proxy.core.problems import dotted

NOON = 1_801_440_000 - 43_200  # 2027-01-31T12:00:00Z


def doubts(compare, routes=None, now_s=NOON):
    component = Component.model_validate({"component": "users", "compare": compare, "routes": routes or {}})
    return [f"{dotted(where)}: {what}" for where, what in compare_doubts(component, now_s)]


@pytest.mark.parametrize(
    "compare",
    [
        {},
        {"ignore": ["$.a", "$.b"], "tolerance": {"$.c": 1}},
        {"tolerance": {"$.a": 1}, "equal_if": {"$.a": "null-is-missing"}},  # either will do
        {"ignore": [{"path": "$.a", "until": "2027-01-31"}]},
        {"ignore": [{"path": "$.a", "until": "2027-01-31T12:00:01Z"}]},
    ],
)
def test_what_is_usual_raises_no_doubt(compare):
    assert doubts(compare) == []


@pytest.mark.parametrize(
    ("rules", "where"),
    [
        ({"ignore": ["$.b", {"path": "$.a", "until": "2027-01-30"}]}, "ignore.1"),
        ({"unordered": {"$.a": {"until": "2027-01-30"}}}, "unordered.$.a"),
        ({"tolerance": {"$.a": {"absolute": 1, "until": "2027-01-30"}}}, "tolerance.$.a"),
        ({"equal_if": {"$.a": {"as": "case", "until": "2027-01-30"}}}, "equal_if.$.a"),
    ],
)
def test_every_rule_that_has_ended_is_named_where_it_stands(rules, where):
    what = f"`{where.split('.')[0]} $.a` has ended (2027-01-30): take it out, or give it more time"

    assert doubts(rules) == [f"compare.{where}: {what}"]
    assert doubts({}, {"/a": {"compare": rules}}) == [f"routes./a.compare.{where}: {what}"]


def test_the_instant_itself_is_the_end():
    assert doubts({"ignore": [{"path": "$.a", "until": "2027-01-31T13:00:00+01:00"}]}) != []


@pytest.mark.parametrize(
    "rule", [{"unordered": {"$.a": None}}, {"tolerance": {"$.a": 1}}, {"equal_if": {"$.a": "case"}}]
)
def test_what_is_ignored_anyway_needs_no_other_rule(rule):
    said = f"{next(iter(rule))}.$.a: `{next(iter(rule))} $.a` has no effect: what stands there is ignored"

    assert doubts({"ignore": ["$.a"], **rule}) == [f"compare.{said}"]
    assert doubts({"ignore": ["$.a"]}, {"/a": {"compare": rule}}) == [f"routes./a.compare.{said}"]
    assert doubts({"ignore": ["$.a"]}, {"/a": {"compare": {**rule, "ignore": []}}}) == []  # the route has its own
    assert doubts({"ignore": [{"path": "$.a", "until": "2020-01-01"}], **rule})[1:] == []  # and what has ended is none


def test_what_stands_twice_is_named():
    said = {"ignore": ["$.a", {"path": "$.a"}], "headers": ["x-a", "X-A"], "reveal": ["$.b", "$.b"]}

    assert doubts(said) == [
        "compare.ignore.1: `$.a` stands here twice",
        "compare.headers.1: `x-a` stands here twice",
        "compare.reveal.1: `$.b` stands here twice",
    ]

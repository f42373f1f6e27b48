"""Rules of comparison, compiled: which of them name a place, and in which order."""

from __future__ import annotations

import pytest

from proxy.core.comparerules import CompareRules, How
from proxy.core.model import Compare


def test_each_rule_is_found_at_its_place():
    made = CompareRules(
        Compare.model_validate(
            {
                "ignore": ["$.a", "$..at"],
                "unordered": {"$.items": "$.id", "$.tags": None},
                "tolerance": {"$.score": 0.5},
                "equal_if": {"$.made": "same-instant"},
            }
        )
    )
    root = made.root({}, {})
    assert [each.text for each in root.step("a").values] == ["ignore $.a"]
    assert [each.text for each in root.step("x").step("at").values] == ["ignore $..at"]
    assert [(each.how, each.argument) for each in root.step("items").values] == [(How.UNORDERED, ("id",))]
    assert [(each.how, each.argument) for each in root.step("tags").values] == [(How.UNORDERED, None)]
    assert [each.argument for each in root.step("made").values] == ["same-instant"]
    assert [tuple(map(str, each.argument)) for each in root.step("score").values] == [("0.5", "0")]


def test_a_filter_leads_where_either_document_says():
    made = CompareRules(Compare(ignore=("$.a[?@.x].v",)))
    root = made.root({"a": [{"v": 1}, {"x": 1, "v": 2}]}, {"a": [{"x": 1, "v": 1}]})
    items = root.step("a")
    assert [[each.text for each in items.item(index, 3).step("v").values] for index in range(3)] == [
        ["ignore $.a[?@.x].v"], ["ignore $.a[?@.x].v"], [],
    ]  # fmt: skip


def test_without_rules_there_is_nothing_to_ask():
    assert CompareRules().root({}, {}).is_empty


ENDING = {
    "ignore": ["$.a", {"path": "$.b", "until": "1970-01-01T00:01:40Z"}],
    "unordered": {"$.c": {"by": "$.id", "until": "1970-01-01T00:03:20Z"}},
    "tolerance": {"$.d": {"absolute": 1, "until": "1970-01-01"}},
}


@pytest.mark.parametrize(
    ("now_s", "expired", "next_expiry_s"),
    [
        (99.9, (), 100),
        (100, ("ignore $.b",), 200),
        (200, ("ignore $.b", "unordered $.c"), 86_400),
        (86_400, ("ignore $.b", "unordered $.c", "tolerance $.d"), None),
    ],
)
def test_a_rule_whose_time_has_passed_does_not_work(now_s, expired, next_expiry_s):
    made = CompareRules(Compare.model_validate(ENDING), now_s)
    root = made.root({}, {})
    working = {each.text for name in "abcd" for each in root.step(name).values}

    assert (made.expired, made.next_expiry_s) == (expired, next_expiry_s)
    assert working == {"ignore $.a", "ignore $.b", "unordered $.c", "tolerance $.d"} - {*expired}


def test_without_an_end_no_rule_ends():
    made = CompareRules(Compare.model_validate({"ignore": ["$.a"]}), now_s=2**40)

    assert (made.expired, made.next_expiry_s) == ((), None)


def test_a_tolerance_is_an_amount_and_a_share():
    made = CompareRules(Compare.model_validate({"tolerance": {"$.a": "1%", "$.b": {"absolute": 2, "relative": "5 %"}}}))
    found = [[tuple(map(float, each.argument)) for each in made.root().step(name).values] for name in "ab"]

    assert found == [[(0, 0.01)], [(2, 0.05)]]


def test_what_is_compared_beside_the_body():
    made = CompareRules(Compare(headers=("Content-Type", "Location"), status="class"))

    assert (made.headers, made.by_class) == ((b"content-type", b"location"), True)
    assert (CompareRules().headers, CompareRules().by_class) == ((b"content-type",), False)


def test_what_may_be_shown_is_found_at_its_place():
    made = CompareRules(Compare(reveal=("$.kind", "$.items[?@.open].name")))
    root = made.revealed({"items": [{"name": "a"}, {"open": 1, "name": "b"}]})

    assert made.reveal == ("$.kind", "$.items[?@.open].name")
    assert root.step("kind").values
    assert not root.step("id").values
    assert [bool(root.step("items").item(index, 2).step("name").values) for index in range(2)] == [False, True]

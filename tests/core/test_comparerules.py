"""Rules of comparison, compiled: which of them name a place, and in which order."""

from __future__ import annotations

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

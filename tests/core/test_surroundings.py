"""What stands around a difference: shapes, side by side, and no name that may be data."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core.comparerules import CompareRules
from proxy.core.documents import ABSENT, compare_documents
from proxy.core.model import Compare
from proxy.core.surroundings import MOST_MEMBERS, OTHERS, UNKNOWN, Surroundings, surroundings, value_at


def around(first: Any, second: Any, which: int = 0, **rules: Any) -> Surroundings | None:
    found = compare_documents(first, second, CompareRules(Compare.model_validate(rules))).differences
    return surroundings(first, second, found[which], found)


def test_members_stand_side_by_side_in_the_order_of_the_first():
    found = around({"id": 1, "name": "Ana", "age": 3}, {"name": "ana", "id": 1, "nick": "A"})

    assert found == Surroundings(
        "$",
        (
            ("id", "integer of 1 digit", "integer of 1 digit", False),
            ("name", "text of 3 characters", "text of 3 characters", True),
            ("age", "integer of 1 digit", "nothing", True),
            ("nick", "nothing", "text of 1 character", True),
        ),
    )


@pytest.mark.parametrize(
    ("first", "second", "path", "row"),
    [
        ({"a": {"b": [1]}}, {"a": {"b": [1, 2]}}, "$.a", ("b", "array of 1 item", "array of 2 items", True)),
        ({"a": [{"c": 1}]}, {"a": [{"c": 2}]}, "$.a[*]", ("c", "integer of 1 digit", "integer of 1 digit", True)),
        ({"a": [1, 2]}, {"a": [1, 3]}, "$", ("a", "array of 2 items", "array of 2 items", True)),
        ({"a": {"b": 1}}, {"a": 1}, "$", ("a", "object of 1 member", "integer of 1 digit", True)),
    ],
)
def test_the_nearest_object_is_shown(first, second, path, row):
    found = around(first, second)

    assert found is not None
    assert (found.path, found.rows) == (path, (row,))


@pytest.mark.parametrize(("first", "second"), [([1, 2], [1, 3]), ([1], [1, 2]), (1, 2), ([[1]], [[2]])])
def test_where_there_is_no_object_there_is_nothing(first, second):
    assert around(first, second) is None


def test_names_that_may_be_data_are_counted():
    found = around({"tok_51HqXtYbZ": 1, "1234": 1, "id": 1}, {"tok_51HqXtYbZ": 2, "id": 1})

    assert found is not None
    assert found.rows == (
        ("id", "integer of 1 digit", "integer of 1 digit", False),
        (OTHERS, "2 more (names may be data)", "1 more (names may be data)", True),
    )


def test_many_members_are_cut_and_the_one_that_differs_stays():
    first = {f"member{chr(97 + n // 26)}{chr(97 + n % 26)}": n for n in range(100)}
    found = around({**first, "last": 1}, {**first, "last": 2})

    assert found is not None
    assert (len(found.rows), found.more) == (MOST_MEMBERS, 101 - MOST_MEMBERS)
    assert found.rows[-1] == ("last", "integer of 1 digit", "integer of 1 digit", True)


def test_of_a_list_in_another_order_the_second_item_is_not_guessed():
    found = around(
        {"items": [{"id": 1, "v": "a"}, {"id": 2, "v": "b"}]},
        {"items": [{"id": 2, "v": "b"}, {"id": 1, "v": "x"}]},
        unordered={"$.items": "$.id"},
    )

    assert found is not None
    assert found.rows[1] == ("v", "text of 1 character", UNKNOWN, True)


def test_an_item_that_is_missing_from_a_list_shows_the_object_with_the_list():
    found = around({"a": 1, "items": [1, 2]}, {"a": 1, "items": [2]}, unordered={"$.items": None})

    assert found is not None
    assert found.rows[1] == ("items", "array of 2 items", "array of 1 item", True)


def test_places_lead_to_values():
    document = {"a": [{"b": None}]}

    assert value_at(document, ("a", 0, "b")) is None
    assert value_at(document, ("a", 1)) is ABSENT
    assert value_at(document, ("a", "b")) is ABSENT
    assert value_at(1, (0,)) is ABSENT

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.demo.entities import COMPONENTS, Invalid, checked, instant, number_of, patched, rank, stamped
from proxy.demo.seed import everything

NOW = "2025-01-01T00:00:00.000Z"
EVENT = {"name": "demo", "user": "ana", "at": NOW}


def event(**fields):
    return checked("analytics", stamped({**EVENT, **fields}, "1", NOW, None))


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_checked_entity_is_already_in_its_canonical_form(component):
    for document in everything()[component]:
        assert checked(component, document) == document
        assert list(checked(component, document)) == list(document)


@pytest.mark.parametrize(
    ("given_text", "canonical"),
    [
        ("2024-03-01T09:30:00Z", "2024-03-01T09:30:00.000Z"),
        ("2024-03-01t11:30:00.1239+02:00", "2024-03-01T09:30:00.123Z"),
        ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
    ],
)
def test_times_have_one_spelling(given_text, canonical):
    assert event(at=given_text)["at"] == canonical


def test_the_spelling_of_a_moment_is_utc_with_milliseconds():
    assert instant(datetime(2024, 3, 1, 9, 30, 0, 1999, tzinfo=UTC)) == "2024-03-01T09:30:00.001Z"


@pytest.mark.parametrize(
    "value", [float("inf"), float("nan"), True, "1", None, [1]], ids=["inf", "nan", "bool", "text", "null", "list"]
)
def test_a_number_is_a_finite_number(value):
    with pytest.raises(Invalid) as refused:
        event(value=value)

    assert list(refused.value.problems) == ["value"]


def test_minus_zero_and_integers_become_what_any_database_keeps():
    assert [str(event(value=value)["value"]) for value in (-0.0, 3)] == ["0.0", "3.0"]


def test_derived_fields_are_taken_back_without_being_believed():
    sent = {"title": "Hello", "unread": 99, "message_count": "many", "last_message_at": None}

    assert "unread" not in checked("conversations", stamped(sent, "1", NOW, None))


def test_a_patch_merges_objects_removes_what_is_null_and_replaces_lists():
    before = {"id": "1", "created_at": NOW, "updated_at": NOW, "roles": ["a", "b"], "settings": {"x": "1", "y": "2"}}

    after = patched(before, {"roles": ["c"], "settings": {"x": None, "z": "3"}}, "2025-02-02T00:00:00.000Z")

    assert after == {
        **before,
        "updated_at": "2025-02-02T00:00:00.000Z",
        "roles": ["c"],
        "settings": {"y": "2", "z": "3"},
    }
    assert before["settings"] == {"x": "1", "y": "2"}


def test_a_patch_cannot_name_another_entity_nor_be_nested_for_ever():
    deep: dict = {}
    for _ in range(50):
        deep = {"a": deep}

    for patch in ({"id": "2"}, deep):
        with pytest.raises(Invalid):
            patched({"id": "1"}, patch, NOW)


def test_times_that_are_given_are_kept_and_others_are_set():
    before = {"created_at": "2020-01-01T00:00:00.000Z"}

    assert stamped({}, "7", NOW, before) == {"id": "7", "created_at": before["created_at"], "updated_at": NOW}
    assert stamped({"updated_at": "then"}, "7", NOW, None) == {"id": "7", "created_at": NOW, "updated_at": "then"}


@given(st.lists(st.integers(1, 10**18 - 1), min_size=2, max_size=6))
def test_numbers_are_ranked_by_size(numbers):
    assert sorted(map(str, numbers), key=rank) == [str(number) for number in sorted(numbers)]


@pytest.mark.parametrize(
    ("entity_id", "number"), [("42", 42), ("007", 0), ("0", 0), ("x1", 0), ("٣", 0), ("9" * 19, 0)]
)
def test_only_plain_numbers_count(entity_id, number):
    assert number_of(entity_id) == number


def test_words_come_after_numbers_in_the_order_of_their_bytes():
    assert sorted(["b", "10", "B", "9", "007", "a"], key=rank) == ["9", "10", "007", "B", "a", "b"]

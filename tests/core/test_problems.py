from __future__ import annotations

import math

import pytest
from pydantic import Field, ValidationError

from proxy.core.errors import Position, Problem
from proxy.core.frozen import Frozen, Items
from proxy.core.model import Component
from proxy.core.problems import (
    KEY,
    Alarm,
    did_you_mean,
    either,
    first_alarms,
    first_of,
    in_brief,
    known_keys,
    place,
    problems_of,
    shown,
    suggestion,
)


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("phaze", ["phase", "pin"], "phase"),
        ("user", ["users", "configuration"], "users"),
        ("lgacy", ["legacy", "modern"], "legacy"),
        ("LEGACY", ["legacy", "modern"], "legacy"),
        ("budget-pct", ["on", "budget_pct"], "budget_pct"),
        ("gte", ["GET", "POST"], "GET"),
        ("zebra", ["phase", "pin"], None),
        ("", ["phase"], None),
        ("phase", [], None),
    ],
)
def test_a_slip_is_recognised_and_a_stranger_is_not(word, known, meant):
    assert did_you_mean(word, known) == meant


def test_a_suggestion_is_put_behind_a_sentence_or_left_out():
    assert suggestion("phaze", ["phase"]) == "; did you mean `phase`?"
    assert suggestion("zebra", ["phase"]) == ""


def test_words_are_joined_as_people_say_them():
    assert either(["off"]) == "off"
    assert either(["off", "shadow", "canary"]) == "off, shadow or canary"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (140, "140"),
        (140.0, "140"),
        (12.345, "12.345"),
        (math.nan, "nan"),
        (True, "true"),
        (None, "null"),
        ("25", "`25`"),
        (" ", "empty"),
        ([1], "a list"),
        ({}, "a mapping"),
        ("x" * 61, f"`{'x' * 59}…`"),
    ],
)
def test_a_value_is_shown_as_it_stands_in_a_file(value, text):
    assert shown(value) == text


def test_a_missing_place_is_that_of_the_nearest_parent_and_then_of_the_file():
    places = {("breaker",): Position("a.yaml", 3, 10)}

    assert place(places, ("breaker", "open_s"), "a.yaml") == Position("a.yaml", 3, 10)
    assert place(places, ("pin", 0, "side"), "a.yaml") == Position("a.yaml")
    assert place({(): Position("a.yaml", 1, 1)}, ("pin",), "a.yaml") == Position("a.yaml", 1, 1)


def refused(values, positions=None, model=Component):
    with pytest.raises(ValidationError) as error:
        model.model_validate(values)
    return problems_of(error.value, positions or {}, "users.yaml", model)


def test_problems_stand_in_the_order_of_the_file_each_at_its_key_or_value():
    places = {
        (): Position("users.yaml", 1, 1),
        ("component",): Position("users.yaml", 1, 12),
        ("weight",): Position("users.yaml", 2, 9),
        ("weight", KEY): Position("users.yaml", 2, 1),
        ("phaze",): Position("users.yaml", 3, 8),
        ("phaze", KEY): Position("users.yaml", 3, 1),
    }

    problems = refused({"component": "users", "phaze": "canary", "weight": 140}, places)

    assert [str(problem) for problem in problems] == [
        "users.yaml:2:9: weight: should be 0 to 100, is 140",
        "users.yaml:3:1: phaze: unknown key; did you mean `phase`?",
    ]


def test_a_wrong_key_of_a_mapping_is_reported_at_the_key():
    places = {("routes", "api", KEY): Position("users.yaml", 3, 3), ("routes", "api"): Position("users.yaml", 3, 8)}

    (problem,) = refused({"component": "users", "routes": {"api": {}}}, places)

    assert problem.at == Position("users.yaml", 3, 3)
    assert problem.where == "routes.api"


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"kind": "entiti"}, "kind: should be plain, readonly or entity, is `entiti`; did you mean `entity`?"),
        ({"kind": 3}, "kind: should be plain, readonly or entity, is 3"),
        ({"after": "users"}, "after: should be a list, is `users`"),
        ({"after": [1]}, "after.0: should be text (quote it), is 1"),
        ({"breaker": {"window_s": "3"}}, "breaker.window_s: should be a number, is `3`"),
        ({"breaker": {"window_s": 301}}, "breaker.window_s: should be at most 300, is 301"),
        ({"breaker": {"window_s": 0}}, "breaker.window_s: should be more than 0, is 0"),
        ({"breaker": {"open_s": math.inf}}, "breaker.open_s: should be a finite number, is inf"),
        ({"breaker": {"min_requests": 1.5}}, "breaker.min_requests: should be a whole number, is 1.5"),
        ({"breaker": {"min_requests": 0}}, "breaker.min_requests: should be at least 1, is 0"),
        ({"breaker": {"observe_only": "on"}}, "breaker.observe_only: should be true or false, is `on`"),
        ({"breaker": None}, "breaker: should be a mapping, is null"),
        ({"breaker": [1]}, "breaker: should be a mapping, is a list"),
        ({"routes": []}, "routes: should be a mapping, is a list"),
        ({"cohort": ""}, "cohort: should be some text, is empty"),
        ({"cohort": "x" * 201}, f"cohort: should be at most 200 characters, is `{'x' * 59}…`"),
        (
            {"pin": [{"header": "x-t", "in": [], "side": "legacy"}]},
            "pin.0.in: should be a list of at least 1, has 0",
        ),
        ({"pin": [{"header": "x-t", "in": ["a"]}]}, "pin.0.side: is missing"),
        ({"routes": {"/a": {"kind": "reed"}}}, "routes./a.kind: should be read, is `reed`; did you mean `read`?"),
        ({"routes": {"/a": {"fallback": {"onn": []}}}}, "routes./a.fallback.onn: unknown key; did you mean `on`?"),
        ({"zebra": 1}, "zebra: unknown key"),
    ],
)
def test_each_fault_is_worded_with_what_would_be_right(values, problem):
    (found,) = refused({"component": "users", **values})

    assert str(found) == f"users.yaml: {problem}"


def test_without_the_model_an_unknown_key_is_still_reported():
    with pytest.raises(ValidationError) as error:
        Component.model_validate({"component": "users", "phaze": 1})

    assert problems_of(error.value, {}, "users.yaml") == (Problem(Position("users.yaml"), "phaze", "unknown key"),)


class Inner(Frozen):
    """A model with an alias."""

    values: int = Field(default=0, alias="in")


class Outer(Frozen):
    """A model with all that a path can lead through."""

    one: Inner | None = None
    many: Items[Inner] = ()
    named: dict[str, Inner] = Field(default_factory=dict)


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ((), {"one", "many", "named"}),
        (("one",), {"in"}),
        (("many", 0), {"in"}),
        (("named", "any"), {"in"}),
        (("nowhere",), set()),
        (("one", "in"), set()),
    ],
)
def test_the_keys_that_may_stand_somewhere_are_those_of_the_model_there(path, keys):
    assert known_keys(Outer, path) == keys


def test_a_word_that_nobody_types_is_not_compared():
    """It comes from a store where anybody may write, and comparing costs the square of its length."""
    assert did_you_mean("phase" * 30, ["phase" * 29]) is None


def _many(count: int, what: str = "is wrong") -> list[Problem]:
    return [Problem(Position("redis:rules"), f"components.c{number}", what) for number in range(count)]


@pytest.mark.parametrize(
    ("count", "last"),
    [(3, "components.c2: is wrong"), (6, "… and 1 more"), (200, "… and 195 more"), (3_002, "… and 2,997 more")],
)
def test_what_is_wrong_with_a_document_is_told_in_one_short_text(count, last):
    lines = in_brief(first_of(_many(count))).split("\n")

    assert lines[0] == "redis:rules: components.c0: is wrong"
    assert len(lines) == min(count, 6)
    assert lines[-1].endswith(last)


def test_one_short_text_is_short_whatever_the_problems_say():
    assert len(in_brief(_many(5_000, "x" * 100_000))) < 1_000
    assert in_brief([]) == ""
    assert in_brief([Problem(Position("f"), "", "and 3 more problems")]) == "… and 3 more"


def test_of_very_many_alarms_the_first_are_told_each_in_short():
    alarms = [Alarm("k", "x" * 5_000, "y" * 5_000)] * 3_047

    told = first_alarms(alarms)
    assert told[0] == Alarm("k", "x" * 999 + "…", "y" * 99 + "…")
    assert (len(told), told[-1]) == (51, Alarm("more_alarms", "… and 2,997 more"))
    assert first_alarms(alarms[:1]) == (told[0],)

from __future__ import annotations

import pytest

from proxy.core.answerer import Standing, plain, reads_of, writes_of
from proxy.core.plan import Situation, plan
from proxy.core.rules import Side, parse_component
from tests.core.planning import head, table


def component(**values):
    return parse_component({"component": "users", "routes": {"/api/users": {}}, **values}, file="users.yaml")


@pytest.mark.parametrize(
    ("values", "standing", "reads"),
    [
        ({"weight": 25}, Standing(), ("both", 25, "weight")),
        ({"weight": 100}, Standing(store_lost=True), ("legacy", 0, "store_lost")),
        ({"weight": 100}, Standing(Side.MODERN, store_lost=True), ("legacy", 0, "store_lost")),
        ({}, Standing(store_lost=True), ("legacy", 0, "phase")),
        ({"weight": 100}, Standing(Side.LEGACY), ("legacy", 0, "emergency")),
        ({"weight": 100}, Standing(unfollowed=True), ("unknown", None, "unfollowed")),
        ({"weight": 100}, Standing(Side.LEGACY, unfollowed=True), ("unknown", None, "unfollowed")),
    ],
)
def test_who_answers_the_reads(values, standing, reads):
    shown = reads_of(component(**values), standing)

    assert (shown["side"], shown["modern"], shown["reason"]) == reads


@pytest.mark.parametrize(
    ("kind", "standing", "writes"),
    [
        ("entity", Standing(), "legacy"),
        ("entity", Standing(store_lost=True), "refused"),
        ("plain", Standing(store_lost=True), "legacy"),
        ("plain", Standing(unfollowed=True), "unknown"),
    ],
)
def test_who_takes_the_writes(kind, standing, writes):
    assert writes_of(component(kind=kind), standing) == writes


@pytest.mark.parametrize("weight", [0, 100])
@pytest.mark.parametrize("emergency", [None, Side.LEGACY])
@pytest.mark.parametrize("store_lost", [False, True])
def test_it_says_what_the_plan_does(weight, emergency, store_lost):
    one = component(weight=weight)
    situation = Situation(emergency=emergency, store_lost=store_lost)

    planned = plan(table(one), head("GET", "/api/users"), [situation]).plan

    assert reads_of(one, Standing(emergency, store_lost=store_lost))["side"] == planned.side


def test_numbers_are_shown_as_people_write_them():
    assert [repr(plain(number)) for number in (25.0, 12.5, 0.0)] == ["25", "12.5", "0"]

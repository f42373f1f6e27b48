"""Breakers of a replica: what they make of the situations that plans are made from, and whom they tell."""

from __future__ import annotations

import pytest

from proxy.core.breaker import ERROR, FINE, TRANSPORT, Cause, State
from proxy.core.plan import CALM
from proxy.core.rules import Side
from proxy.core.stats import Counters
from proxy.gateway.breakers import Breakers, Trip
from tests.core.planning import component, table

USERS = component("users", weight=50.0, breaker={"consecutive": 3, "min_requests": 5, "open_s": 5.0})
NEWS = component("news", weight=50.0)


@pytest.fixture
def trips() -> list[Trip]:
    return []


@pytest.fixture
def breakers(trips: list[Trip]) -> Breakers:
    made = Breakers(trips.append)
    made.follow(table(USERS, NEWS), {}, store_lost=False)
    return made


def fail(breakers: Breakers, times: int, now: float = 100.0) -> None:
    for _ in range(times):
        if breakers.breakers["users", Side.MODERN].record(now, 0.01, TRANSPORT):
            breakers.changed("users", Side.MODERN)


def test_when_all_is_well_the_situation_is_the_calm_one_itself(breakers):
    assert [each is CALM for each in breakers.situations] == [True, True]


def test_emergencies_and_a_lost_store_are_part_of_it(breakers):
    breakers.follow(table(USERS, NEWS), {"news": Side.LEGACY}, store_lost=True)
    names = [each.name for each in table(USERS, NEWS).components]
    situations = dict(zip(names, breakers.situations, strict=True))

    assert (situations["news"].emergency, situations["users"].emergency) == (Side.LEGACY, None)
    assert situations["users"].store_lost and situations["news"].store_lost


def test_an_open_breaker_is_in_its_own_component_s_situation_only_and_told_once(breakers, trips):
    fail(breakers, 3)
    names = [each.name for each in table(USERS, NEWS).components]
    situations = dict(zip(names, breakers.situations, strict=True))

    assert situations["users"].open_breakers == {Side.MODERN}
    assert situations["news"] is CALM
    assert trips == [Trip("users", Side.MODERN, State.OPEN, Cause.CONSECUTIVE)]


def test_a_side_that_is_down_is_in_all_situations_until_it_is_up(breakers, trips):
    breakers.side_is(Side.MODERN, down=True)
    assert [each.down for each in breakers.situations] == [{Side.MODERN}] * 2
    breakers.follow(table(USERS, NEWS), {}, store_lost=False)
    assert [each.down for each in breakers.situations] == [{Side.MODERN}] * 2

    breakers.side_is(Side.MODERN, down=False)
    assert all(each is CALM for each in breakers.situations)
    assert trips == []


def test_time_half_opens_it_and_good_answers_close_it(breakers, trips):
    fail(breakers, 3)
    breakers.tick(104.9)
    assert len(trips) == 1
    breakers.tick(105.1)
    assert trips[-1].state is State.HALF_OPEN
    breaker = breakers.breakers["users", Side.MODERN]
    for _ in range(3):
        if breaker.admit(105.2):
            breakers.admitted()
    assert breakers.situations != (CALM, CALM)  # enough probes are out
    for _ in range(3):
        if breaker.record(105.3, 0.01, FINE):
            breakers.changed("users", Side.MODERN)
    assert trips[-1].state is State.CLOSED
    assert all(each is CALM for each in breakers.situations)


def test_new_rules_keep_what_was_counted_and_what_is_open(breakers):
    fail(breakers, 3)
    before = breakers.breakers["users", Side.MODERN]
    breakers.follow(table(USERS, NEWS, component("more", weight=1.0)), {}, store_lost=False)

    assert breakers.breakers["users", Side.MODERN] is before and before.state is State.OPEN
    assert len(breakers.situations) == 3
    breakers.follow(table(NEWS), {}, store_lost=False)
    assert breakers.situations == (CALM,)
    assert breakers.breakers["users", Side.MODERN].state is State.OPEN


def test_observe_only_avoids_nothing(trips):
    breakers = Breakers(trips.append)
    breakers.follow(
        table(component("users", weight=50.0, breaker={"consecutive": 3, "observe_only": True})), {}, store_lost=False
    )
    fail(breakers, 3)
    assert breakers.situations == (CALM,)
    assert trips[0].state is State.OPEN


def test_requests_that_nobody_claims_have_no_breaker_and_no_budget(breakers):
    assert breakers.of(None, Side.MODERN) is None and breakers.budget_of(None) is None
    assert breakers.of("users", Side.MODERN) is breakers.breakers["users", Side.MODERN]
    spent: Counters[str] = Counters("other")
    breakers.spend(None, Side.MODERN, spent)
    assert list(spent.items()) == []


def test_a_spent_budget_opens_the_breaker_of_the_side_that_failed(breakers, trips):
    spent: Counters[str] = Counters("other")
    for _ in range(5):
        breakers.spend("users", Side.MODERN, spent)

    assert list(spent.items()) == [("users", 5)]
    assert trips == [Trip("users", Side.MODERN, State.OPEN, Cause.BUDGET)]
    breakers.spend("users", Side.MODERN, spent)
    assert len(trips) == 1


def test_errors_and_what_opens_it_are_told_apart(breakers, trips):
    breaker = breakers.breakers["users", Side.LEGACY]
    for _ in range(5):
        if breaker.record(100.0, 0.01, ERROR):
            breakers.changed("users", Side.LEGACY)
    assert trips == [Trip("users", Side.LEGACY, State.OPEN, Cause.ERRORS)]


def test_without_rules_there_is_nothing_to_see(trips):
    breakers = Breakers(trips.append)
    breakers.admitted()
    breakers.tick(1.0)
    assert breakers.situations == ()

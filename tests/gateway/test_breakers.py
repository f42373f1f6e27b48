"""The breakers of a replica: they outlive rule sets, and what they spare becomes the situation of the next plans."""

from __future__ import annotations

from time import perf_counter

from proxy.core.breaker import TRANSPORT, Cause, State
from proxy.core.plan import CALM
from proxy.core.rules import Side
from proxy.core.stats import Counters
from proxy.gateway.breakers import Breakers, Trip
from tests.rig import USERS, table_of

SHOP = {"component": "shop", "weight": 5.0, "routes": {"/api/shop": {}}}


def breakers_of(*components: dict) -> tuple[Breakers, list[Trip]]:
    told: list[Trip] = []
    breakers = Breakers(told.append)
    breakers.follow(table_of(*components), {}, store_lost=False)
    return breakers, told


def test_while_all_is_well_every_situation_is_the_calm_one_itself():
    breakers, _ = breakers_of(USERS, SHOP)

    assert all(situation is CALM for situation in breakers.situations)


def test_an_emergency_and_a_lost_store_become_situations_by_component():
    breakers, _ = breakers_of(USERS, SHOP)
    table = table_of(USERS, SHOP)
    breakers.follow(table, {"shop": Side.LEGACY}, store_lost=False)
    assert [each.emergency for each in breakers.situations] == [None, Side.LEGACY]

    breakers.follow(table, {}, store_lost=True)
    assert [each.store_lost for each in breakers.situations] == [True, True]


def test_a_breaker_that_opens_is_told_and_survives_new_rules():
    breakers, told = breakers_of(USERS)
    now = perf_counter()
    breaker = breakers.of("users", Side.MODERN)
    while not breaker.record(now, 0.01, TRANSPORT):
        pass
    breakers.changed("users", Side.MODERN)

    assert told == [Trip("users", Side.MODERN, State.OPEN, Cause.CONSECUTIVE)]
    breakers.follow(table_of({**USERS, "weight": 50.0}, version=2), {}, store_lost=False)
    assert breakers.situations[0].open_breakers == {Side.MODERN}


def test_time_half_opens_a_breaker_and_it_is_told():
    breakers, told = breakers_of(USERS)
    breaker = breakers.of("users", Side.MODERN)
    breaker.trip(100.0)
    breakers.changed("users", Side.MODERN)
    breakers.tick(104.9)
    assert breakers.situations[0].open_breakers == {Side.MODERN}

    breakers.tick(105.1)
    assert breakers.situations[0] is CALM
    assert [trip.state for trip in told] == [State.OPEN, State.HALF_OPEN]


def test_a_spent_budget_opens_the_breaker_of_the_side_that_failed_at_once():
    rules = {**USERS, "breaker": {"min_requests": 3}, "fallback": {"budget_pct": 1.0}}
    breakers, told = breakers_of(rules)
    spent: Counters[str] = Counters("other")
    for _ in range(3):
        breakers.spend("users", Side.MODERN, spent)

    assert spent.items() == [("users", 3)]
    assert told == [Trip("users", Side.MODERN, State.OPEN, Cause.BUDGET)]
    assert breakers.of("users", Side.LEGACY).state is State.CLOSED


def test_requests_that_no_component_claims_have_no_breaker_and_no_budget():
    breakers, told = breakers_of(USERS)
    spent: Counters[str] = Counters("other")
    breakers.spend(None, Side.LEGACY, spent)

    assert breakers.of(None, Side.LEGACY) is None and breakers.budget_of(None) is None
    assert spent.items() == [] and told == []

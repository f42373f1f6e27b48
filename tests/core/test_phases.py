from __future__ import annotations

import pytest

from proxy.core import checks
from proxy.core.phases import STANDINGS, WAY, RequestKind, eligible, going_back, outlook, raises_alarm
from proxy.core.rules import ComponentKind, Phase, Side
from tests.core.planning import component, rule_set

L, M = Side.LEGACY, Side.MODERN


@pytest.mark.parametrize(
    ("phase", "reads", "primary"),
    [
        ("off", (L,), L),
        ("backfill", (L,), L),
        ("shadow", (L,), L),
        ("canary", (L, M), L),
        ("cutover", (M, L), M),
        ("retired", (M,), M),
    ],
)
def test_the_phase_says_who_may_answer_and_who_owns_the_writes(phase, reads, primary):
    kind = ComponentKind.ENTITY

    assert eligible(kind, Phase(phase), RequestKind.READ) == reads
    assert eligible(kind, Phase(phase), RequestKind.WRITE) == (primary,)
    assert eligible(kind, Phase(phase), RequestKind.TUNNEL) == (primary,)


def test_every_phase_has_its_row_and_the_primary_comes_first():
    assert set(STANDINGS) == set(Phase)
    assert all(standing.reads[0] is standing.primary for standing in STANDINGS.values())


@pytest.mark.parametrize("kind", [ComponentKind.PLAIN, ComponentKind.READONLY])
def test_what_is_never_copied_goes_past_backfill_and_cutover(kind):
    assert WAY[kind] == (Phase.OFF, Phase.SHADOW, Phase.CANARY, Phase.RETIRED)
    for phase in (Phase.BACKFILL, Phase.CUTOVER):
        for request in RequestKind:
            assert eligible(kind, phase, request) == (L,)


def test_only_a_write_to_a_readonly_component_raises_an_alarm():
    alarming = [(kind, request) for kind in ComponentKind for request in RequestKind if raises_alarm(kind, request)]

    assert alarming == [(ComponentKind.READONLY, RequestKind.WRITE)]


@pytest.mark.parametrize(
    ("values", "verb"),
    [
        ({}, "banyan weight users 1"),
        ({"weight": 1}, "banyan weight users 5"),
        ({"weight": 30}, "banyan weight users 50"),
        ({"weight": 99.99}, "banyan weight users 100"),
        ({"weight": 100}, "banyan phase users retired"),
        ({"phase": "off"}, "banyan phase users shadow"),
        ({"phase": "shadow"}, "banyan phase users canary"),
        ({"phase": "canary"}, "banyan weight users 1"),
        ({"phase": "retired"}, ""),
        ({"kind": "entity", "phase": "off"}, "banyan phase users backfill"),
        ({"kind": "entity", "phase": "canary", "weight": 100}, "banyan phase users cutover"),
        ({"kind": "entity", "phase": "cutover", "weight": 100}, "banyan phase users retired"),
    ],
)
def test_the_next_step_is_one_verb(values, verb):
    ahead = outlook(rule_set(component(**values)), "users")

    assert ahead.verb == verb
    assert bool(ahead.next_step) == bool(verb)


def test_nothing_blocks_a_step_that_would_be_published():
    assert outlook(rule_set(component(weight=5)), "users").blocked == ()


def test_a_step_is_blocked_by_the_component_that_must_go_first():
    rules = rule_set(component("users", weight=1), component("orders", weight=1, after=["users"]))

    (why,) = outlook(rules, "orders").blocked

    assert why.startswith("users should be at least as far first")


def test_a_step_is_blocked_by_what_is_not_built_yet():
    (why,) = outlook(rule_set(component(weight=100)), "users").blocked

    assert why.startswith("`retired` is not built yet for a component with routes that may write")


def test_readonly_components_retire():
    assert outlook(rule_set(component(weight=100, kind="readonly")), "users").blocked == ()


@pytest.mark.parametrize(
    ("values", "cost"),
    [
        ({}, "nothing to take back"),
        ({"phase": "shadow"}, "free: legacy answers everything"),
        ({"weight": 5}, "free: reads go back at once and legacy has every write"),
        ({"kind": "entity", "phase": "cutover"}, "a swap back"),
        ({"kind": "entity", "phase": "retired"}, "not free"),
        ({"kind": "readonly", "phase": "retired"}, "reads go back at once, if legacy still runs"),
    ],
)
def test_going_back_has_its_price(values, cost):
    assert going_back(component(**values)).startswith(cost)


def test_the_next_step_of_one_component_does_not_ask_about_all_others(monkeypatch):
    """`status` asks for each component: with a check of all in each it would take the square of them."""
    looked_at = []
    fits = checks._routes_fit
    monkeypatch.setattr(checks, "_routes_fit", lambda each: looked_at.append(each.component) or fits(each))
    many = rule_set(*(component(f"c{number}", weight=5) for number in range(50)))
    outlook(many, "c7")

    assert set(looked_at) == {"c7"}

from __future__ import annotations

import pytest

from proxy.core.decision import PlanDefaults, Reason
from proxy.core.errors import Failure
from proxy.core.phases import RequestKind
from proxy.core.rules import Phase, Side, Timeouts
from proxy.core.table import RouteRules, Table, compile_table, label_of
from tests.core.planning import component, rule_set, table

L, M = Side.LEGACY, Side.MODERN
READ, WRITE = RequestKind.READ, RequestKind.WRITE


def route(found: Table, path: str, method: str = "GET") -> RouteRules:
    match = found.find(method.encode(), path.encode())
    assert match is not None
    return match[0]


def weighted(found: Table, path: str, side: Side, fallback: Side | None = None):
    return route(found, path).plan(READ, Reason.WEIGHT, side, fallback)


def test_without_rules_everything_is_unclaimed():
    empty = compile_table(None)

    assert (empty.version, empty.epoch, empty.components) == (0, "", ())
    assert empty.find(b"GET", b"/api/users") is None
    assert empty.unclaimed(READ).label == b"v0;unclaimed"


def test_components_keep_the_order_of_the_rule_set():
    found = table(component("users", weight=5), component("orders", phase="shadow"))

    assert [(each.index, each.name, each.phase, each.weight_bp) for each in found.components] == [
        (0, "users", Phase.CANARY, 500),
        (1, "orders", Phase.SHADOW, 0),
    ]
    assert found.by_name["orders"] is found.components[1]
    assert (found.version, found.epoch) == (41, "e1")


def test_routes_of_all_components_are_in_one_trie():
    found = table(component("users"), component("orders"))

    assert route(found, "/api/orders/1").component.name == "orders"
    assert route(found, "/api/users").key == "/api/users"


@pytest.mark.parametrize(("own", "effective"), [(None, 2_500), (10, 1_000), (0, 0), (80, 2_500)])
def test_a_route_can_only_lower_the_weight(own, effective):
    found = table(component(weight=25, routes={"/r": {"weight": own}}))

    assert route(found, "/r").weight_bp == effective


def test_deadlines_are_those_of_the_route_then_the_component_then_the_side():
    found = table(
        component(weight=25, timeouts={"head_s": 20}, routes={"/slow": {"timeouts": {"head_s": 60}}, "/r": {}}),
        legacy=Timeouts(idle_s=7),
        modern=Timeouts(idle_s=9, head_s=5),
    )
    slow, usual = weighted(found, "/slow", M, L), weighted(found, "/r", L)

    assert slow.deadlines == Timeouts(idle_s=9, head_s=60)
    assert slow.fallback_deadlines == Timeouts(idle_s=7, head_s=60)
    assert usual.deadlines == usual.fallback_deadlines == Timeouts(idle_s=7, head_s=20)


def test_what_makes_a_read_fall_back_is_the_routes_word_first():
    found = table(component(weight=25, routes={"/a": {}, "/b": {"fallback": {"on": ["reset", 404]}}}))
    usual, own = weighted(found, "/a", M, L).fallback_on, weighted(found, "/b", M, L).fallback_on

    assert usual.failures == set(Failure)
    assert usual.statuses[503] and not usual.statuses[404]
    assert own.failures == {Failure.RESET}
    assert own.statuses[404] and not own.statuses[503]
    assert not any(weighted(found, "/a", L).fallback_on.statuses)  # nobody could stand in


@pytest.mark.parametrize(
    ("phase", "side", "fallback", "strips", "fallback_strips"),
    [
        ("canary", L, None, False, False),
        ("canary", M, L, True, False),
        ("canary", L, M, False, True),
        ("cutover", M, L, False, True),
        ("cutover", L, M, True, False),
    ],
)
def test_validators_belong_to_the_write_primary(phase, side, fallback, strips, fallback_strips):
    rules = component(kind="entity", phase=phase, weight=50)
    found = weighted(table(rules), "/api/users", side, fallback)
    shared = weighted(table(rules, validators="pass"), "/api/users", side, fallback)

    assert (found.strip_validators, found.fallback_strips) == (strips, fallback_strips)
    assert (shared.strip_validators, shared.fallback_strips) == (False, False)


@pytest.mark.parametrize(
    ("phase", "path", "side", "fallback", "confirms"),
    [
        ("canary", "/u/1", M, L, True),
        ("canary", "/u", M, L, False),  # no entity
        ("canary", "/u/1", M, None, False),  # nobody may be asked
        ("canary", "/u/1", L, M, False),
        ("cutover", "/u/1", M, L, False),
    ],
)
def test_a_404_of_an_entity_from_modern_is_confirmed_in_canary(phase, path, side, fallback, confirms):
    found = table(component(kind="entity", phase=phase, weight=50, routes={"/u": {}, "/u/{id}": {"entity": "{id}"}}))

    assert weighted(found, path, side, fallback).confirm_missing is confirms


def test_a_plan_is_made_once():
    found = route(table(component(weight=5)), "/api/users")

    assert found.plan(READ, Reason.WEIGHT, L) is found.plan(READ, Reason.WEIGHT, L)
    assert found.plan(READ, Reason.WEIGHT, L) is not found.plan(READ, Reason.WEIGHT, M, L)


def test_calm_reads_of_a_route_are_prepared_with_one_plan_or_two():
    found = table(
        component("users", weight=5, routes={"/u": {}, "/form": {"follow": "writes"}}),
        component("orders", phase="shadow"),
    )
    for path in ("/u", "/form", "/api/orders"):
        route(found, path).prepare()
    legacy, modern = route(found, "/u").by_weight

    assert route(found, "/u").calm is None
    assert (legacy.side, legacy.fallback, modern.side, modern.fallback) == (L, None, M, L)
    assert (route(found, "/form").calm.reason, route(found, "/form").by_weight) == ("follows_writes", None)
    assert (route(found, "/api/orders").calm.reason, route(found, "/api/orders").by_weight) == ("phase", None)


def test_a_key_in_the_body_is_asked_for_where_it_places_the_read():
    routes = {"POST /rpc": {"kind": "read", "entity": "body:$.id"}, "/u/{id}": {"entity": "{id}"}}
    sticky = table(component(weight=50, sticky=["entity"], routes=routes))
    other = table(component(weight=50, routes=routes))

    assert route(sticky, "/rpc", "POST").plan(READ, Reason.WEIGHT, L).needs_entity
    assert not route(sticky, "/u/1").plan(READ, Reason.WEIGHT, L).needs_entity
    assert not route(other, "/rpc", "POST").plan(READ, Reason.WEIGHT, L).needs_entity


def test_only_a_write_to_a_readonly_component_is_an_alarm():
    found = route(table(component(kind="readonly", weight=5)), "/api/users")

    assert found.plan(WRITE, Reason.WRITE_PRIMARY, L).alarm
    assert not found.plan(READ, Reason.WEIGHT, L).alarm


def test_unclaimed_plans_have_the_deadlines_of_legacy():
    found = compile_table(None, PlanDefaults(legacy=Timeouts(head_s=4)))

    assert found.unclaimed(READ).deadlines.head_s == 4
    assert found.unclaimed(READ) is found.unclaimed(READ)


def test_the_label_is_what_the_header_begins_with():
    assert label_of(41, Reason.FOLLOWS_WRITES) == b"v41;follows_writes"


def test_a_table_of_many_components_finds_each_of_their_routes():
    names = [f"c{number}" for number in range(200)]
    found = compile_table(rule_set(*(component(name) for name in names)))

    assert [route(found, f"/api/{name}/7").component.name for name in names] == names

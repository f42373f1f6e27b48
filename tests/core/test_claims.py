from __future__ import annotations

from proxy.core.claims import busiest, claims_of
from proxy.core.rules import parse_component


def test_a_claim_has_the_weight_that_counts_for_it():
    routes = {"GET /api/users/{id}": {"entity": "{id}", "weight": 80}, "POST /api/users": {}, "/x": {"weight": 1.5}}
    users = parse_component({"component": "users", "weight": 25, "routes": routes}, file="users.yaml")

    first, second, third = claims_of({"users": users})

    assert first == {
        "component": "users",
        "route": "GET /api/users/{id}",
        "method": "GET",
        "path": "/api/users/{id}",
        "writes": False,
        "entity": "{id}",
        "follow": None,
        "phase": "canary",
        "weight": 25,
    }
    assert (second["method"], second["writes"], second["weight"]) == ("POST", True, 25)
    assert (third["method"], third["weight"]) == ("any", 1.5)


def test_without_components_there_are_no_claims():
    assert claims_of({}) == []


def test_what_replicas_counted_is_added_up_and_garbage_left_out():
    counted = [("/a", 3), ["/b", 2], ("/b", 4), ("/c",), (1, 2), ("/d", "many"), "xy"]

    assert busiest(counted) == [{"path": "/b", "requests": 6}, {"path": "/a", "requests": 3}]
    assert busiest(counted, 1) == [{"path": "/b", "requests": 6}]

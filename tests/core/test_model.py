from __future__ import annotations

import pytest
from pydantic import ValidationError

from proxy.core.model import (
    HASHES_KEPT,
    Component,
    ComponentKind,
    Fallback,
    FallbackOverride,
    Phase,
    Pin,
    Route,
    Side,
    Timeouts,
    TimeoutsOverride,
    may_write,
    overlay,
    record_of,
)


def component(**values):
    return Component.model_validate({"component": "users", **values})


def test_each_side_has_the_other():
    assert [side.other for side in Side] == [Side.MODERN, Side.LEGACY]


def test_phases_are_ordered_by_rank():
    assert [phase.rank for phase in Phase] == [0, 1, 2, 3, 4, 5]
    assert sorted(Phase, key=lambda phase: phase.rank) == list(Phase)


def test_all_that_a_newcomer_writes_is_enough():
    users = component(routes={"/api/users": {}, "/api/users/{id}": None})

    assert users.kind is ComponentKind.PLAIN
    assert users.phase is None
    assert users.effective_phase is Phase.OFF
    assert users.cohort == "users"
    assert users.sticky == ("header:x-user-id", "client")
    assert users.routes == {"/api/users": Route(), "/api/users/{id}": Route()}
    assert users.fallback == Fallback(on=("connect", "timeout", "reset", "5xx"), budget_pct=20)


@pytest.mark.parametrize(
    ("values", "phase"),
    [
        ({}, Phase.OFF),
        ({"weight": 0.01}, Phase.CANARY),
        ({"weight": 100}, Phase.CANARY),
        ({"phase": "shadow", "weight": 25}, Phase.SHADOW),
        ({"phase": "canary"}, Phase.CANARY),
        ({"phase": "retired"}, Phase.RETIRED),
    ],
)
def test_without_a_phase_of_its_own_a_component_follows_its_weight(values, phase):
    assert component(**values).effective_phase is phase


def test_the_weight_is_a_whole_number_of_hundredths_inside():
    assert component(weight=12.34).weight_bp == 1234


def test_a_cohort_of_its_own_stays_and_an_absent_one_is_the_name():
    assert component(cohort="journey").cohort == "journey"
    assert component(cohort=None).cohort == "users"


def test_a_pin_names_its_values_with_a_word_that_python_keeps_for_itself():
    (pin,) = component(pin=[{"header": "X-Tenant", "in": ["acme"], "side": "modern"}]).pin

    assert pin == Pin.model_validate({"header": "x-tenant", "in": ("acme",), "side": Side.MODERN})
    assert pin.values == ("acme",)


@pytest.mark.parametrize(
    ("key", "route", "writes"),
    [
        ("/a", {}, True),
        ("GET /a", {}, False),
        ("HEAD /a", {}, False),
        ("OPTIONS /a", {}, False),
        ("POST /a", {}, True),
        ("POST /a", {"kind": "read"}, False),
        ("/a", {"kind": "read"}, False),
    ],
)
def test_a_route_may_write_unless_its_method_or_its_kind_says_otherwise(key, route, writes):
    assert may_write(key, Route.model_validate(route)) is writes
    assert component(routes={key: route}).write_routes == ((key,) if writes else ())


def test_a_readonly_component_has_no_write_routes():
    assert component(kind="readonly", routes={"POST /a": {}}).write_routes == ()


def test_nothing_can_be_changed_in_place():
    with pytest.raises(ValidationError):
        component().weight = 5


def test_a_changed_component_is_checked_like_a_file():
    users = component(weight=5, routes={"/a": {"weight": 3}}, pin=[{"header": "x", "in": ["a"], "side": "legacy"}])

    assert users.changed(weight=30, phase="canary") == component(
        weight=30, phase="canary", routes={"/a": {"weight": 3}}, pin=[{"header": "x", "in": ["a"], "side": "legacy"}]
    )
    with pytest.raises(ValidationError):
        users.changed(weight=140)


def test_deadlines_of_a_route_win_over_component_side_and_defaults():
    side = TimeoutsOverride(head_s=9, connect_s=2)
    of_component = TimeoutsOverride(head_s=7, idle_s=5)
    of_route = TimeoutsOverride(head_s=0.5)

    assert overlay(Timeouts(), side, of_component, of_route) == Timeouts(connect_s=2, head_s=0.5, idle_s=5)
    assert overlay(Timeouts(), None, TimeoutsOverride(), None) == Timeouts()


def test_an_override_says_something_even_when_it_says_zero_false_or_an_empty_list():
    full = Fallback(on=("5xx",), budget_pct=20, to_modern=True)

    assert overlay(full, FallbackOverride(on=(), budget_pct=0, to_modern=False)) == Fallback(
        on=(), budget_pct=0, to_modern=False
    )


def test_a_file_record_remembers_the_last_hashes_each_once_the_newest_last():
    record = record_of("x", {})
    for number in range(40):
        record = record_of(f"h{number}", {"weight": number}, record.hashes)

    assert record.hash == "h39"
    assert record.values == {"weight": 39}
    assert record.hashes == tuple(f"h{number}" for number in range(40 - HASHES_KEPT, 40))
    assert record_of("h38", {}, record.hashes).hashes[-2:] == ("h39", "h38")


def test_the_schema_for_editors_needs_the_name_alone_and_knows_the_limits():
    schema = Component.model_json_schema()

    assert schema["required"] == ["component"]
    assert schema["properties"]["weight"] == {
        "default": 0.0, "maximum": 100, "minimum": 0, "title": "Weight", "type": "number",
    }  # fmt: skip
    assert schema["additionalProperties"] is False

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.changes import (
    BadWish,
    Drift,
    Unknown,
    accept,
    check_followed,
    drift_of,
    phase_of,
    rollback,
    set_phase,
    set_weight,
    side_of,
    undo,
)
from proxy.core.errors import ConfigError, NotAllowed
from proxy.core.merge import Edit
from proxy.core.phases import RequestKind, eligible
from proxy.core.rules import Origin, Phase, Side, parse_component
from tests.core.filed import component, file, rule_set


def test_a_weight_is_one_changed_field():
    draft = set_weight(rule_set(component(weight=5)), "users", 25)

    assert draft.rules.components["users"].weight == 25
    assert draft.edits == {"users": (Edit(("weight",), 5, 25),)}
    assert draft.sentences() == ("users.weight: 5 → 25",)
    assert draft.is_change


def test_a_weight_that_is_live_already_is_nothing_to_publish():
    draft = set_weight(rule_set(component(weight=25)), "users", 25)

    assert not draft.is_change
    assert draft.rules.components["users"].weight == 25


@pytest.mark.parametrize(
    ("weight", "what"),
    [
        (140, "weight should be 0 to 100, is 140"),
        (-1, "weight should be 0 to 100, is -1"),
        (12.345, "weight should be 0 to 100 in steps of 0.01, is 12.345"),
        (float("nan"), "weight should be 0 to 100, is nan"),
        (float("inf"), "weight should be 0 to 100, is inf"),
        (True, "weight should be 0 to 100, is true"),
        ("25", "weight should be 0 to 100, is `25`; leave out the quotes"),
        (None, "weight should be 0 to 100, is null"),
    ],
)
def test_a_weight_that_makes_no_sense_is_refused(weight, what):
    with pytest.raises(BadWish) as refused:
        set_weight(rule_set(component()), "users", weight)

    assert str(refused.value) == what


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("user", "no component is called 'user'; did you mean `users`?"),
        ("billing", "no component is called 'billing'; there are conversations, users"),
    ],
)
def test_an_unknown_component_is_refused_with_a_suggestion(name, what):
    rules = rule_set(component(), component("conversations"))

    for wish in (
        lambda: set_weight(rules, name, 5),
        lambda: set_phase(rules, name, None),
        lambda: rollback(rules, name),
    ):
        with pytest.raises(Unknown) as refused:
            wish()
        assert str(refused.value) == what


def test_without_components_there_is_none_to_suggest():
    with pytest.raises(Unknown, match="there are no components yet"):
        set_weight(rule_set(), "users", 5)


def test_a_component_waits_for_those_it_comes_after_but_only_on_its_way_forward():
    rules = rule_set(component(weight=5), component("configuration", after=["users"], weight=5))

    with pytest.raises(NotAllowed, match="users should be at least as far first"):
        set_weight(rules, "configuration", 25)
    assert set_weight(rules, "configuration", 1).is_change
    assert set_weight(rules, "users", 0).is_change


def test_a_phase_that_is_not_built_yet_is_refused_as_such():
    with pytest.raises(ConfigError, match="not built yet"):
        set_phase(rule_set(component(kind="entity")), "users", Phase.CUTOVER)


def test_what_was_wrong_before_is_not_held_against_a_change():
    published = component().model_copy(update={"shadow": 10.0})

    assert set_weight(rule_set(published, component("conversations")), "conversations", 5).is_change


def test_only_what_a_change_brings_up_is_warned_of():
    writes = parse_component({"component": "users", "routes": {"/api/users": {}}}, file="users.yaml")

    first = set_weight(rule_set(writes), "users", 5)
    second = set_weight(first.rules, "users", 25)

    assert len(first.warnings) == 1
    assert "writes stay on legacy" in first.warnings[0]
    assert second.warnings == ()


def test_a_weight_that_has_no_effect_is_warned_of():
    draft = set_weight(rule_set(component(phase="shadow")), "users", 5)

    assert "has no effect in phase shadow" in draft.warnings[0]


def test_files_alone_means_no_change_by_verb():
    rules = rule_set(component(weight=5))

    for wish in (
        lambda: set_weight(rules, "users", 25, "emergency_only"),
        lambda: set_phase(rules, "users", Phase.OFF, "emergency_only"),
        lambda: rollback(rules, "users", "emergency_only"),
        lambda: undo(rules, {"users": component()}, "emergency_only"),
    ):
        with pytest.raises(NotAllowed, match="emergency_only"):
            wish()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"weight": 50}, (0, None)),
        ({"weight": 50, "phase": "canary"}, (0, Phase.CANARY)),
        ({"weight": 50, "phase": "shadow"}, (0, Phase.SHADOW)),
        ({"weight": 50, "phase": "retired"}, (0, Phase.CANARY)),
        ({"weight": 50, "kind": "entity"}, (0, Phase.CANARY)),
        ({"weight": 0, "kind": "entity"}, (0, None)),
    ],
)
def test_a_rollback_takes_the_weight_and_leaves_what_keeps_the_sides_equal(before, after):
    taken = rollback(rule_set(component(**before)), "users").rules.components["users"]

    assert (taken.weight, taken.phase) == after


@given(
    kind=st.sampled_from(["plain", "readonly", "entity"]),
    phase=st.sampled_from([None, "off", "shadow", "canary", "retired"]),
    weight=st.integers(0, 10_000),
)
def test_after_a_rollback_legacy_may_answer_every_read_and_a_second_one_changes_nothing(kind, phase, weight):
    rules = rule_set(component(kind=kind, phase=phase, weight=weight / 100))

    draft = rollback(rules, "users")

    taken = draft.rules.components["users"]
    assert taken.weight == 0
    assert Side.LEGACY in eligible(taken.kind, taken.effective_phase, RequestKind.READ)
    assert {edit.field for edits in draft.edits.values() for edit in edits} <= {"weight", "phase"}
    assert not rollback(draft.rules, "users").is_change


@given(weights=st.lists(st.integers(0, 10_000), min_size=1, max_size=5))
def test_weights_set_one_after_another_leave_the_last_and_undo_themselves(weights):
    rules = first = rule_set(component(weight=1))
    for weight in weights:
        rules = set_weight(rules, "users", weight / 100).rules

    assert rules.components["users"].weight_bp == weights[-1]
    assert undo(rules, first.components).rules.components == first.components


def test_a_rollback_of_what_is_off_is_nothing_to_publish():
    assert not rollback(rule_set(component()), "users").is_change


def test_a_rollback_never_waits_for_another_component():
    rules = rule_set(component(after=["configuration"], weight=50), component("configuration"))

    assert rollback(rules, "users").is_change


def test_a_rollback_tells_of_callers_that_stay_on_modern():
    pinned = component(weight=50, phase="canary", pin=[{"header": "x-tenant", "in": ["acme"], "side": "modern"}])

    assert "pinned to modern by x-tenant" in rollback(rule_set(pinned), "users").warnings[0]


def test_a_swap_of_the_write_primary_is_not_built():
    cutover = component(kind="entity").model_copy(update={"phase": Phase.CUTOVER})

    with pytest.raises(NotAllowed, match="not built yet"):
        rollback(rule_set(cutover), "users")


def test_undo_is_checked_like_every_change():
    rules = rule_set(component(weight=5), component("configuration", after=["users"]))

    assert undo(rules, {**rules.components, "users": component(weight=1)}).is_change
    with pytest.raises(NotAllowed):
        undo(rules, {**rules.components, "configuration": component("configuration", after=["users"], weight=50)})


def test_accept_names_what_is_superseded():
    draft = accept(rule_set(component(), accepts=("e0",)), ["e1", "e2", "e2", ""])

    assert draft.rules.accepts == ("e0", "e2")
    assert draft.is_change


@pytest.mark.parametrize("held", [[], ["e1"], ["", "e1"], ["e0"]])
def test_without_another_epoch_there_is_nothing_to_accept(held):
    with pytest.raises(NotAllowed):
        accept(rule_set(component(), accepts=("e0",)), held)


def test_drift_goes_from_live_to_file():
    live = rule_set(component(weight=50), component("conversations"))

    assert drift_of(live, {"users": file(weight=5), "analytics": file("analytics")}) == (
        Drift("users", "both", (Edit(("weight",), 50, 5),)),
        Drift("conversations", "live"),
        Drift("analytics", "file"),
    )
    assert drift_of(live, {"users": file(weight=50), "conversations": file("conversations")}) == ()


def test_drift_says_whose_the_live_value_is():
    bob = Origin(who="bob", why="errors", at="2026-01-02T00:00:00Z", version=41)
    live = rule_set(component(weight=0, sticky=["client"]), origins={"users": {"weight": bob, "owner": bob}})

    (drift,) = drift_of(live, {"users": file(weight=50, sticky=["header:x-user-id", "client"])})

    assert dict(drift.origins) == {"weight": bob}
    assert set(drift.sentences()) == {
        "users.weight: live 0 (by bob, 2026-01-02T00:00:00Z), file 50",
        "users.sticky: live [client], file [header:x-user-id, client]",
    }


def test_drift_of_a_route_that_is_not_there_is_said():
    (drift,) = drift_of(rule_set(component()), {"users": file(routes={"GET /api/users": {}, "GET /api/more": {}})})

    assert drift.sentences() == ("users.routes.GET /api/more: live nothing, file {}",)


@pytest.mark.parametrize(("word", "phase"), [("canary", Phase.CANARY), (" OFF ", Phase.OFF), ("auto", None)])
def test_a_phase_is_a_word(word, phase):
    assert phase_of(word) is phase


def test_a_phase_that_is_none_is_refused_with_a_suggestion():
    with pytest.raises(BadWish, match="did you mean `canary`"):
        phase_of("canry")


@pytest.mark.parametrize(("word", "side"), [("legacy", Side.LEGACY), ("Modern", Side.MODERN), ("off", None)])
def test_an_emergency_is_a_side_or_off(word, side):
    assert side_of(word) is side


def test_a_side_that_is_none_is_refused_with_a_suggestion():
    with pytest.raises(BadWish, match="is 'lgacy'; did you mean `legacy`"):
        side_of("lgacy")


@pytest.mark.parametrize("held", [{}, {"a": "e1"}, {"a": ""}, {"a": "e0", "b": "e1"}])
def test_a_change_is_followed_by_replicas_of_its_epoch_or_of_a_superseded_one(held):
    assert check_followed(rule_set(component(), accepts=("e0",)), held) == ()


@pytest.mark.parametrize("held", [{"a": "e2"}, {"a": "e2", "b": ""}, {"a": "e2", "b": "e3"}])
def test_a_change_that_no_replica_would_follow_is_refused(held):
    with pytest.raises(NotAllowed, match=r"a.* rules of another epoch.*`banyan rules accept`"):
        check_followed(rule_set(component()), held)


def test_replicas_that_would_not_follow_beside_others_are_named():
    (warning,) = check_followed(rule_set(component()), {"a": "e1", "b": "e2"})

    assert warning.startswith("b keeps rules of another epoch than the published ones and will not follow")

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.merge import (
    ABSENT,
    Drift,
    Edit,
    Publish,
    Remove,
    Same,
    Seed,
    apply_edits,
    differences,
    edits,
    leaves,
    merged,
    on_file,
    origins_after,
    values_of,
    with_defaults,
)
from proxy.core.model import Origin, RuleSet, record_of
from proxy.core.rules import parse_component


def component(**values):
    return parse_component({"component": "users", "routes": {"/a": {}}, **values}, file="users.yaml")


def test_fields_are_told_by_path_because_templates_contain_dots():
    values = {
        "weight": 25,
        "sticky": ["client"],
        "breaker": {"open_s": 5, "empty": {}},
        "routes": {"/v1.0/a": None, "/b": {"weight": 0, "fallback": {"on": []}}},
    }

    assert leaves(values) == {
        ("weight",): 25,
        ("sticky",): ["client"],
        ("breaker", "open_s"): 5,
        ("breaker", "empty"): {},
        ("routes", "/v1.0/a"): {},
        ("routes", "/b"): {},
        ("routes", "/b", "weight"): 0,
        ("routes", "/b", "fallback", "on"): [],
    }


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ({"weight": 5}, {"weight": 5}, []),
        ({"weight": 5}, {"weight": 5.0}, []),
        ({"weight": 1}, {"weight": True}, ["weight: 1 → true"]),
        ({"weight": 5}, {"weight": 25}, ["weight: 5 → 25"]),
        ({}, {"weight": 25}, ["weight: nothing → 25"]),
        ({"weight": 25}, {}, ["weight: 25 → nothing"]),
        ({"sticky": ["a", "b"]}, {"sticky": ["a"]}, ["sticky: [a, b] → [a]"]),
        ({"routes": {"/a": {}}}, {"routes": {"/a": None}}, []),
        ({"routes": {"/a": {}}}, {"routes": {"/a": {"weight": 1}}}, ["routes./a.weight: nothing → 1"]),
        (
            {"routes": {"/a": {"weight": 1}}},
            {"routes": {"/b": {}}},
            ["routes./b: nothing → a mapping", "routes./a: a mapping → nothing", "routes./a.weight: 1 → nothing"],
        ),
        ({"owner": None}, {"owner": "ana"}, ["owner: null → ana"]),
        # a rule of `compare` is one field, short or long
        (
            {"compare": {"tolerance": {"$.a": 1}}},
            {"compare": {"tolerance": {"$.a": {"absolute": 1, "until": "2027-01-31"}}}},
            ["compare.tolerance.$.a: 1 → {absolute: 1, until: 2027-01-31}"],
        ),
        (
            {"routes": {"/a": {"compare": {"unordered": {"$.a": {"by": "$.id", "why": "x"}}}}}},
            {"routes": {"/a": {"compare": {"unordered": {"$.a": None}}}}},
            ["routes./a.compare.unordered.$.a: {by: $.id, why: x} → null"],
        ),
        (
            {"compare": {"ignore": ["$.a"]}},
            {"compare": {"ignore": ["$.a", {"path": "$.b", "why": "x"}]}},
            ["compare.ignore: [$.a] → [$.a, {path: $.b, why: x}]"],
        ),
    ],
)
def test_edits_are_the_fields_that_differ(old, new, found):
    assert [str(edit) for edit in edits(old, new)] == found


def test_an_edit_knows_its_field_and_both_values():
    (edit,) = edits({"routes": {"/v1.0": {"weight": 1}}}, {"routes": {"/v1.0": {"weight": 2}}})

    assert edit == Edit(("routes", "/v1.0", "weight"), 1, 2)
    assert edit.field == "routes./v1.0.weight"


@pytest.mark.parametrize(
    ("live", "old", "new", "result"),
    [
        # a live weight survives the edit of another field
        ({"weight": 50}, {"weight": 25}, {"weight": 25, "owner": "x"}, {"weight": 50, "owner": "x"}),
        # an edited weight wins over a live one
        ({"weight": 50}, {"weight": 25}, {"weight": 30}, {"weight": 30}),
        # a field that is taken out goes back to its default, whatever was live
        ({"weight": 50, "owner": "x"}, {"weight": 25}, {}, {"owner": "x"}),
        # a list is one field
        ({"sticky": ["a", "b", "c"]}, {"sticky": ["a"]}, {"sticky": ["d"]}, {"sticky": ["d"]}),
        # a rule of `compare` is one field, whatever its live form is
        (
            {"compare": {"tolerance": {"$.a": {"absolute": 2, "why": "live"}, "$.b": 3}}},
            {"compare": {"tolerance": {"$.a": 1}}},
            {"compare": {"tolerance": {"$.a": {"relative": "1%"}}}},
            {"compare": {"tolerance": {"$.a": {"relative": "1%"}, "$.b": 3}}},
        ),
        # a route that comes, and one that goes with all that is in it
        (
            {"routes": {"/a": {"weight": 5}, "/b": {"timeouts": {"head_s": 1}}}},
            {"routes": {"/a": {}, "/b": {}}},
            {"routes": {"/a": {}, "/c": {}}},
            {"routes": {"/a": {"weight": 5}, "/c": {}}},
        ),
        # a mapping that loses its last field goes, a route stays
        (
            {"routes": {"/a": {"list": {"items": "$", "key": "$.id"}}}},
            {"routes": {"/a": {"list": {"items": "$", "key": "$.id"}}}},
            {"routes": {"/a": {}}},
            {"routes": {"/a": {}}},
        ),
        # an empty mapping in the file says nothing about what is in the live one
        ({"breaker": {"open_s": 9}}, {"breaker": {}}, {}, {"breaker": {"open_s": 9}}),
        ({"breaker": {"open_s": 9}}, {}, {"breaker": {}}, {"breaker": {"open_s": 9}}),
        (
            {"breaker": {"open_s": 9}},
            {"breaker": {}},
            {"breaker": {"slow_ms": 7}},
            {"breaker": {"open_s": 9, "slow_ms": 7}},
        ),
        # null where the file now has a mapping, and the other way round
        (
            {"timeouts": None},
            {"timeouts": None},
            {"timeouts": {"head_s": 1}},
            {"timeouts": {"head_s": 1}},
        ),
        ({"timeouts": {"head_s": 1}}, {"timeouts": {"head_s": 1}}, {"timeouts": None}, {"timeouts": None}),
        # taking out what is not there
        ({}, {"breaker": {"open_s": 5}}, {}, {}),
        ({"breaker": None}, {"breaker": {"open_s": 5}}, {}, {"breaker": None}),
    ],
)
def test_edits_are_laid_over_what_is_live(live, old, new, result):
    assert apply_edits(live, edits(old, new)) == result


KEYS = st.sampled_from(["a", "b", "routes", "/x", "/y.z"])
SCALARS = st.sampled_from([None, True, False, 0, 1, 2, "u", "v", [], [0], [1, 2]])
VALUES = SCALARS | st.dictionaries(KEYS, SCALARS | st.dictionaries(KEYS, SCALARS, max_size=2), max_size=3)
ROUTE = st.none() | st.dictionaries(KEYS, VALUES, max_size=2)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={"a": VALUES, "b": VALUES, "c": VALUES, "routes": st.dictionaries(KEYS, ROUTE, max_size=3)},
)


@given(DOCUMENTS, DOCUMENTS)
def test_the_edits_from_one_state_to_another_make_the_other(old, new):
    assert leaves(apply_edits(old, edits(old, new))) == leaves(new)


@given(DOCUMENTS)
def test_a_state_has_no_edits_against_itself(values):
    assert edits(values, copy.deepcopy(values)) == ()


@given(DOCUMENTS, DOCUMENTS, DOCUMENTS)
def test_what_nobody_edited_survives(live, old, new):
    changes = edits(old, new)
    touched = {edit.path for edit in changes}
    result = leaves(apply_edits(live, changes))

    for path, value in leaves(live).items():
        related = any(path[: len(each)] == each or each[: len(path)] == path for each in touched)
        assert related or result[path] == value


@given(DOCUMENTS, DOCUMENTS, DOCUMENTS)
def test_every_edit_is_in_force_once_and_for_all_and_nothing_that_came_in_is_touched(live, old, new):
    before = copy.deepcopy((live, old, new))
    changes = edits(old, new)
    once = apply_edits(live, changes)
    result = leaves(once)

    assert all(result[edit.path] == edit.new for edit in changes if edit.new is not ABSENT and edit.new != {})
    assert apply_edits(once, changes) == once
    assert (live, old, new) == before


def test_values_stand_over_defaults_field_by_field():
    defaults = {"sticky": ["client"], "breaker": {"open_s": 9, "slow_ms": 7}, "timeouts": {"head_s": 1}}
    values = {"component": "users", "sticky": [], "breaker": {"open_s": 5}, "timeouts": None}

    assert with_defaults(defaults, values) == {
        "component": "users",
        "sticky": [],
        "breaker": {"open_s": 5, "slow_ms": 7},
        "timeouts": None,
    }


def test_a_rule_of_comparison_over_a_default_is_not_joined_with_it():
    defaults = {"compare": {"tolerance": {"$.a": {"absolute": 1, "why": "x"}, "$.b": 2}}}
    values = {"compare": {"tolerance": {"$.a": {"relative": "1%"}}}}

    assert with_defaults(defaults, values) == {"compare": {"tolerance": {"$.a": {"relative": "1%"}, "$.b": 2}}}


@given(DOCUMENTS, DOCUMENTS)
def test_defaults_never_win(defaults, values):
    result = leaves(with_defaults(defaults, values))

    assert all(result[path] == value for path, value in leaves(values).items() if value != {})


def test_the_values_of_a_component_are_what_a_file_would_say():
    assert values_of(component(weight=25, sticky=["client"], routes={"/a": {}, "/b": {"weight": 5}})) == {
        "component": "users",
        "weight": 25,
        "sticky": ["client"],
        "routes": {"/a": {}, "/b": {"weight": 5}},
    }
    assert values_of(component(cohort="journey"))["cohort"] == "journey"


@pytest.mark.parametrize(
    "values", [{}, {"weight": 12.5}, {"cohort": "x", "routes": {"/a": {"timeouts": {"head_s": 1}}}}]
)
def test_the_values_of_a_component_make_the_same_component(values):
    users = component(**values)

    assert parse_component(values_of(users), file="x.yaml") == users


X = {"component": "users", "weight": 25, "routes": {"/a": {}}}
Y = {**X, "weight": 25, "owner": "team"}
RECORD = record_of("x", X, ("w", "v"))
LIVE = component(weight=50)
FROM_ELSEWHERE = "the file was edited from a state that is not what is live; `banyan rules push` publishes the edit"


def decide(live=RECORD, live_component=LIVE, *, was="x", now="y", values=Y, starting=False):
    return on_file(live, live_component, was=was, now=now, values=values, starting=starting)


OWNER = Edit(("owner",), ABSENT, "team")


@pytest.mark.parametrize(
    ("case", "decision"),
    [
        # a running replica sees an edit of the live file
        ({}, Publish((OWNER,))),
        # another replica was first
        ({"now": "x", "was": "w", "values": X}, Same()),
        ({"now": "x", "was": "x", "values": X}, Same()),
        ({"now": "x", "was": None, "values": X, "starting": True}, Same()),
        # an edit back to a known state, seen by a running replica, is an edit
        ({"now": "w"}, Publish((OWNER,))),
        # the same state found at the start takes nothing back
        (
            {"was": None, "now": "w", "starting": True},
            "the file is in a state that was live before; it takes nothing back",
        ),
        # an unknown state at the start is new
        ({"was": None, "starting": True}, Publish((OWNER,))),
        # a late replica whose old file is edited, or catches up step by step
        ({"was": "w"}, FROM_ELSEWHERE),
        ({"was": "w", "now": "v"}, FROM_ELSEWHERE),
        ({"was": None}, FROM_ELSEWHERE),
        # nothing was ever published of this component
        ({"live": None, "live_component": None, "was": None}, Seed()),
        ({"live": None, "live_component": None, "was": None, "starting": True}, Seed()),
        ({"live": None, "live_component": None, "was": "x", "now": None, "values": None}, Same()),
        # live, but never taken from a file: what the file says is laid over it
        (
            {"live": None, "was": None, "values": {"component": "users", "weight": 5}, "starting": True},
            Publish(
                (Edit(("component",), ABSENT, "users"), Edit(("weight",), ABSENT, 5)),
                (Edit(("weight",), 50, 5),),
            ),
        ),
        # the file goes away
        ({"now": None, "values": None}, Remove()),
        ({"now": None, "values": None, "was": "w"}, FROM_ELSEWHERE),
        ({"now": None, "values": None, "was": None, "starting": True}, "the component is live and has no file here"),
        # the component was removed since; an old file revives nothing, a new one does
        ({"live_component": None, "now": None, "values": None}, Same()),
        (
            {"live_component": None, "was": None, "now": "x", "values": X, "starting": True},
            "the file is in a state that was live before; it takes nothing back",
        ),
        ({"live_component": None, "now": "x"}, FROM_ELSEWHERE),
        (
            {"live_component": None, "was": None, "now": "x", "values": {"weight": 1}},
            Publish((Edit(("weight",), ABSENT, 1),)),
        ),
        (
            {"live_component": None, "was": None, "values": {"weight": 1}, "starting": True},
            Publish((Edit(("weight",), ABSENT, 1),)),
        ),
    ],
)
def test_what_a_changed_file_means(case, decision):
    expected = Drift(decision) if isinstance(decision, str) else decision

    assert decide(**case) == expected


def test_an_edit_of_compare_or_anything_else_never_resets_a_live_weight():
    decision = decide(values={**X, "fallback": {"budget_pct": 5}})

    assert isinstance(decision, Publish)
    after = parse_component(merged(LIVE, decision.edits), file="users.yaml")
    assert after.weight == 50
    assert after.fallback.budget_pct == 5
    assert decision.replaced == ()


def test_an_edited_weight_wins_over_a_live_one_and_names_what_it_replaced():
    decision = decide(values={**X, "weight": 60})

    assert decision == Publish((Edit(("weight",), 25, 60),), (Edit(("weight",), 50, 60),))
    assert str(decision.replaced[0]) == "weight: 50 → 60"
    assert merged(LIVE, decision.edits)["weight"] == 60


@pytest.mark.parametrize(
    ("live", "file", "edited", "replaced"),
    [
        (50, {"weight": 25}, {"weight": 50}, []),
        (25, {"weight": 25}, {"weight": 60}, []),
        (0, {"weight": 0}, {"weight": 60}, []),
        (0, {"weight": 25}, {"weight": 60}, ["weight: 0 → 60"]),
        (50, {}, {"weight": 60}, ["weight: 50 → 60"]),
        (50, {"weight": 25}, {}, ["weight: 50 → nothing"]),
        (0, {"weight": 25}, {}, []),
    ],
)
def test_only_a_live_value_that_was_not_the_files_own_is_replaced(live, file, edited, replaced):
    base = {"component": "users", "routes": {"/a": {}}}
    record = record_of("x", {**base, **file})

    decision = on_file(record, component(weight=live), was="x", now="y", values={**base, **edited}, starting=False)

    assert isinstance(decision, Publish)
    assert [str(edit) for edit in decision.replaced] == replaced


def test_a_late_replica_takes_nothing_back_whatever_it_does():
    """Files go W → X → Y and live is at Y; a pod that starts with W and catches up only ever reports, or agrees."""
    states = {"w": {"weight": 1}, "x": {"weight": 5}, "y": {"weight": 9}}
    live = record_of("y", states["y"], ("w", "x"))

    def look(was, now, *, starting=False):
        return on_file(live, component(weight=9), was=was, now=now, values=states[now], starting=starting)

    assert isinstance(look(None, "w", starting=True), Drift)
    assert isinstance(look("w", "x"), Drift)
    assert look("x", "y") == Same()


def test_merged_values_of_nothing_are_the_edits_alone():
    assert merged(None, edits({}, X)) == X


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({}, {}, []),
        ({"weight": 50}, {"weight": 25}, ["weight: 50 → 25"]),
        ({"weight": 50}, {}, ["weight: 50 → 0"]),
        ({}, {"breaker": {"open_s": 9}}, ["breaker.open_s: 5 → 9"]),
        ({"phase": "canary"}, {}, ["phase: canary → null"]),
        ({"cohort": "x"}, {}, ["cohort: x → users"]),
        ({"routes": {"/a": {"weight": 1}}}, {}, ["routes./a.weight: 1 → null"]),
        (
            {"routes": {"/a": {}, "/b": {"list": {"items": "$", "key": "$.id"}}}},
            {"routes": {"/a": {}, "/b": {}}},
            ["routes./b.list.items: $ → nothing", "routes./b.list.key: $.id → nothing"],
        ),
        ({}, {"routes": {"/a": {}, "/b": {}}}, ["routes./b: nothing → a mapping"]),
    ],
)
def test_differences_count_a_default_as_if_it_were_written_down(before, after, found):
    assert [str(edit) for edit in differences(component(**before), component(**after))] == found


def test_differences_against_nothing_are_all_that_is_not_default():
    assert [edit.field for edit in differences(None, component(weight=5))] == ["component", "weight", "routes./a"]
    assert [edit.new for edit in differences(component(weight=5), None)] == [ABSENT] * 3


@given(st.integers(0, 100), st.integers(0, 100), st.booleans(), st.booleans())
def test_pulling_the_differences_makes_the_file_say_what_is_live(file_weight, live_weight, file_has_b, live_has_b):
    routes = {"/a": {"timeouts": {"head_s": 1}}}
    file = component(weight=file_weight, routes={**routes, **({"/b": {"weight": 1}} if file_has_b else {})})
    live = component(weight=live_weight, routes={"/a": {}, **({"/b": {}} if live_has_b else {})})

    pulled = apply_edits(values_of(file), differences(file, live))

    assert parse_component(pulled, file="users.yaml") == live


def origin(version, who="ana"):
    return Origin(who=who, at=f"t{version}", version=version, why="because")


def published(version, origins, **values):
    return RuleSet(
        epoch="e", version=version, who="", why="", at="", components={"users": component(**values)}, origins=origins
    )


def test_the_first_publication_gives_every_value_that_is_not_default_its_origin():
    assert origins_after(None, {"users": component(weight=5)}, origin(1)) == {"users": {"weight": origin(1)}}


def test_a_changed_value_gets_a_new_origin_and_the_others_keep_theirs():
    before = published(1, {"users": {"weight": origin(1), "owner": origin(1, "bob")}}, weight=5, owner="x")

    after = origins_after(before, {"users": component(weight=9, owner="x")}, origin(2))

    assert after == {"users": {"weight": origin(2), "owner": origin(1, "bob")}}


def test_a_value_that_was_set_back_to_its_default_still_says_by_whom():
    before = published(1, {"users": {"weight": origin(1)}}, weight=5)

    assert origins_after(before, {"users": component(weight=0)}, origin(2)) == {"users": {"weight": origin(2)}}


def test_a_value_that_is_gone_has_no_origin():
    before = published(1, {"users": {"routes./b.weight": origin(1)}}, routes={"/a": {}, "/b": {"weight": 5}})

    assert origins_after(before, {"users": component()}, origin(2)) == {"users": {}}
    assert origins_after(before, {}, origin(2)) == {}

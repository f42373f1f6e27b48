from __future__ import annotations

import pytest

from proxy.core.checks import (
    check_change,
    check_components,
    component_problems,
    not_built_problems,
    removal_problems,
    warnings_of,
)
from proxy.core.errors import Position
from proxy.core.model import Component, RuleSet
from proxy.core.problems import KEY


def component(name="users", **values):
    return Component.model_validate({"component": name, "routes": {f"GET /api/{name}": {}}, **values})


def named(*components):
    return {each.component: each for each in components}


def rule_set(*components):
    return RuleSet(epoch="e", version=1, who="", why="", at="", components=named(*components))


def said(problems):
    return [str(problem) for problem in problems]


@pytest.mark.parametrize("kind", ["plain", "readonly"])
@pytest.mark.parametrize("phase", ["backfill", "cutover"])
def test_only_entity_components_are_copied(kind, phase):
    assert said(component_problems(component(kind=kind, phase=phase), {}, "users.yaml")) == [
        f"users.yaml: phase: should be off, shadow, canary or retired for a component of kind {kind}, is `{phase}`; "
        "only `kind: entity` is copied"
    ]


@pytest.mark.parametrize("phase", ["off", "shadow", "canary", "retired"])
def test_plain_components_go_straight(phase):
    assert component_problems(component(phase=phase), {}, "users.yaml") == ()


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (
            {"routes": {"/a/{id}/{n}": {"entity": "{key}"}}},
            "routes./a/{id}/{n}.entity: should name a parameter of the path, is `{key}`; the path has `{id}` or `{n}`",
        ),
        (
            {"routes": {"/a": {"entity": "{id}"}}},
            "routes./a.entity: should name a parameter of the path, is `{id}`; the path has no parameter",
        ),
        ({"sticky": ["header:X", "header:x"]}, "sticky.1: `header:x` stands here twice"),
        ({"after": ["users"]}, "after.0: a component cannot wait for itself"),
    ],
)
def test_what_does_not_fit_inside_a_component(values, problem):
    assert said(component_problems(component(**values), {}, "users.yaml")) == [f"users.yaml: {problem}"]


@pytest.mark.parametrize("entity", ["{id}", "body:$.id"])
def test_an_entity_key_that_can_be_found_is_fine(entity):
    assert component_problems(component(routes={"/a/{id}": {"entity": entity}}), {}, "users.yaml") == ()


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (
            {"kind": "entity", "phase": "backfill"},
            "phase: `backfill` is not built yet: writes do not reach both sides so far",
        ),
        (
            {"kind": "entity", "phase": "cutover"},
            "phase: `cutover` is not built yet: writes do not reach both sides so far",
        ),
        (
            {"phase": "retired", "routes": {"/a": {}, "GET /b": {}}},
            "phase: `retired` is not built yet for a component with routes that may write (`/a`); "
            "if it has no writes, say `kind: readonly`, or give the routes a method",
        ),
    ],
)
def test_what_is_not_built_yet_is_refused(values, problem):
    users = component(**values)

    assert said(not_built_problems(users, {}, "users.yaml")) == [f"users.yaml: {problem}"]
    assert said(check_components(named(users))) == [f"users: {problem}"]


@pytest.mark.parametrize(
    "values",
    [
        {
            "shadow": 25,
            "compare": {"ignore": ["$.a"]},
            "routes": {"/a": {"shadow": 100, "compare": {"status": "class"}}},
        },
        {"routes": {"/a": {"compare": {"ignore": [], "unordered": {}}}}},
        {"phase": "shadow"},
        {"kind": "entity", "phase": "canary", "weight": 5},
        {"phase": "retired", "routes": {"GET /a": {}, "POST /rpc": {"kind": "read"}}},
        {"kind": "readonly", "phase": "retired", "routes": {"/a": {}}},
        {
            "owner": "team",
            "entity": {"read": "GET /a/{id}"},
            "routes": {"/a": {"list": {"items": "$", "key": "$.id"}, "affects": ["users"], "follow": "writes"}},
        },
    ],
)
def test_what_is_built_or_only_describes_is_taken(values):
    assert check_components(named(component(**values))) == ()


def test_a_component_that_another_names_must_exist():
    chats = component("chats", after=["user"], routes={"/c": {"affects": ["nobody", "chats"]}})

    assert said(check_components(named(component(), chats))) == [
        "chats: after.0: no component is called `user`; did you mean `users`?",
        "chats: routes./c.affects.0: no component is called `nobody`",
    ]


@pytest.mark.parametrize(
    ("after", "circles"),
    [
        ({"a": [], "b": ["a"], "c": ["a", "b"]}, []),
        ({"a": ["b"], "b": ["a"], "c": ["a"]}, ["a: after: goes in a circle: a → b → a"]),
        ({"c": ["a"], "b": ["c"], "a": ["b"]}, ["a: after: goes in a circle: a → b → c → a"]),
        (
            {"a": ["b"], "b": ["a"], "c": ["d"], "d": ["c", "a"]},
            ["a: after: goes in a circle: a → b → a", "c: after: goes in a circle: c → d → c"],
        ),
    ],
)
def test_a_circle_of_components_that_wait_for_each_other_is_told_once(after, circles):
    components = named(*(component(name, after=names) for name, names in after.items()))

    assert said(check_components(components)) == circles


def test_a_long_circle_is_told_in_a_short_sentence():
    names = [f"c{number:03}" for number in range(500)]
    components = named(*(component(name, after=[names[at - 1]]) for at, name in enumerate(names)))

    assert said(check_components(components)) == [
        "c000: after: goes in a circle: c000 → c499 → c498 → c497 → c496 → … 495 more → c000"
    ]


def test_what_was_meant_is_looked_for_a_few_times_only(monkeypatch):
    """Comparing a name with all others is what takes long: the fourth unknown name is no slip any more."""
    looked_for = []
    monkeypatch.setattr("proxy.core.checks.suggestion", lambda word, known: looked_for.append(word) or "; hint")
    components = named(*(component(f"c{number}", after=[f"d{number}"]) for number in range(50)))
    problems = said(check_components(components))

    assert len(problems) == 50
    assert len(looked_for) == 3
    assert [each.endswith("; hint") for each in problems].count(True) == 3


def test_a_rule_set_has_a_bounded_number_of_components(monkeypatch):
    monkeypatch.setattr("proxy.core.checks.MOST_COMPONENTS", 2)

    assert said(check_components(named(component("a"), component("b")))) == []
    assert said(check_components(named(component("a"), component("b"), component("c"), component("d")))) == [
        "c: is one component too many: a rule set has at most 2",
        "d: is one component too many: a rule set has at most 2",
    ]


def test_a_rule_set_has_a_bounded_number_of_routes(monkeypatch):
    monkeypatch.setattr("proxy.core.checks.MOST_ROUTES", 3)
    two, one = {"/a": {}, "/b": {}}, {"/c": {}}

    assert said(check_components(named(component("a", routes=two), component("b", routes=one)))) == []
    assert said(check_components(named(component("a", routes=two), component("b", routes={**one, "/d": {}})))) == [
        "b: routes: makes it 4 routes: a rule set has at most 3"
    ]


def test_clashing_routes_are_told_with_both_places():
    users = component(routes={"/api/{id}": {}})
    people = component("people", routes={"/api/{key}": {}, "GET /api/{key}": {}})
    positions = {
        "users": {("routes", "/api/{id}", KEY): Position("users.yaml", 4, 3)},
        "people": {("routes", "/api/{key}", KEY): Position("people.yaml", 7, 3)},
    }

    assert said(check_components(named(users, people), positions)) == [
        "people.yaml:7:3: routes./api/{key}: cannot be told apart from `/api/{id}` of users (users.yaml:4:3)"
    ]


def test_problems_of_many_files_come_in_the_order_of_the_files():
    positions = {
        "a": {("sticky", 1): Position("a.yaml", 9, 9)},
        "b": {("sticky", 1): Position("b.yaml", 1, 9), ("after", 0): Position("b.yaml", 3, 9)},
    }
    twice = ["client", "client"]
    components = named(component("b", sticky=twice, after=["x"]), component("a", sticky=twice))

    assert [str(each.at) for each in check_components(components, positions)] == [
        "a.yaml:9:9",
        "b.yaml:1:9",
        "b.yaml:3:9",
    ]


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        ({"routes": {}}, "users: claims no route, so it gets no request"),
        ({"phase": "off", "weight": 5}, "users: weight: has no effect in phase off; it counts from canary on"),
        ({"phase": "shadow", "weight": 5}, "users: weight: has no effect in phase shadow; it counts from canary on"),
        (
            {"weight": 5, "routes": {"/a": {}, "/b": {}, "/c": {}, "PUT /d": {}, "GET /e": {}}},
            "users: weight: writes stay on legacy (`/a`, `/b`, `/c` and 1 more): modern must get its data another way",
        ),
        (
            {"phase": "canary", "routes": {"POST /a": {}}},
            "users: phase: writes stay on legacy (`POST /a`): modern must get its data another way",
        ),
        (
            {"weight": 5, "routes": {"GET /a": {"weight": 7.5}}},
            "users: routes.GET /a.weight: 7.5 has no effect while the component's weight is 5: the smaller counts",
        ),
        (
            {"kind": "readonly", "routes": {"GET /a": {}, "POST /b": {}}},
            "users: routes.POST /b: is a write in a component of kind readonly: "
            "it will go to legacy and raise an alarm",
        ),
        (
            {"shadow": 10.01},
            "users: shadow: has no effect in phase off; reads are shadowed from phase shadow to cutover",
        ),
        (
            {"phase": "retired", "shadow": 50},
            "users: shadow: has no effect in phase retired; reads are shadowed from phase shadow to cutover",
        ),
        (
            {"compare": {"ignore": ["$.a"], "tolerance": {"$.a": 1}}},
            "users: compare.tolerance.$.a: `tolerance $.a` has no effect: what stands there is ignored",
        ),
        (
            {"sticky": ["client", "header:x"]},
            "users: sticky.1: is never asked: every request has a client, which stands before it",
        ),
    ],
)
def test_what_is_allowed_and_probably_not_meant_is_a_warning_and_no_problem(values, warning):
    users = named(component(**values))

    assert said(warnings_of(users)) == [warning]
    assert check_components(users) == ()


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"weight": 5},
        {"weight": 5, "routes": {"GET /a": {"weight": 5}, "GET /b": {"weight": 0}}},
        {"kind": "readonly", "weight": 5, "routes": {"/a": {}}},
        {"phase": "off", "routes": {"/a": {}}},
        {"sticky": []},
        {"shadow": 10},
        {"shadow": 50, "phase": "shadow"},
        {"shadow": 50, "weight": 1},
        {"compare": {"ignore": [{"path": "$.a", "until": "2027-01-31"}], "tolerance": {"$.b": 1}}},
    ],
)
def test_what_is_usual_warns_of_nothing(values):
    assert warnings_of(named(component(**values))) == ()


def test_a_rule_that_has_ended_is_a_warning_from_then_on():
    users = named(component(compare={"ignore": [{"path": "$.a", "until": "1970-01-01"}]}))
    positions = {"users": {("compare", "ignore", 0): Position("users.yaml", 3, 5)}}

    assert warnings_of(users, positions, now_s=86_399.5) == ()
    assert [str(each) for each in warnings_of(users, positions, now_s=86_400)] == [
        "users.yaml:3:5: compare.ignore.0: `ignore $.a` has ended (1970-01-01): take it out, or give it more time"
    ]


def change(before, after, **how):
    return said(check_change(rule_set(*before), named(*after), **{"verb": True, **how}))


WAITS = {"after": ["users"]}


@pytest.mark.parametrize(
    ("users", "was", "goal", "refused"),
    [
        (
            {},
            {},
            {"weight": 5},
            "weight: users should be at least as far first: it is at off, this would be canary 5 %",
        ),
        (
            {"weight": 4.99},
            {},
            {"weight": 5},
            "weight: users should be at least as far first: it is at canary 4.99 %, this would be canary 5 %",
        ),
        ({"weight": 5}, {}, {"weight": 5}, None),
        ({"weight": 1}, {}, {"phase": "shadow"}, None),
        (
            {"phase": "shadow"},
            {},
            {"phase": "canary"},
            "phase: users should be at least as far first: it is at shadow, this would be canary 0 %",
        ),
        ({"phase": "retired"}, {"weight": 100}, {"phase": "retired"}, None),
        ({}, {"weight": 50}, {"weight": 50, "owner": "x"}, None),
        ({}, {"weight": 50}, {"weight": 25}, None),
        ({}, {"phase": "canary", "weight": 50}, {"phase": "off"}, None),
    ],
)
def test_a_component_waits_for_others_on_its_way_forward_and_never_on_its_way_back(users, was, goal, refused):
    problems = change(
        [component(**users), component("chats", **WAITS, **was)],
        [component(**users), component("chats", **WAITS, **goal)],
    )

    assert problems == ([] if refused is None else [f"chats: {refused}"])


def test_several_components_may_move_in_one_change():
    assert (
        change([component(), component("chats", **WAITS)], [component(weight=9), component("chats", weight=9, **WAITS)])
        == []
    )


def test_a_component_that_stays_never_waits():
    chats = component("chats", weight=50, **WAITS)

    assert change([component(weight=50), chats], [component(weight=10), chats]) == []


def test_a_first_publication_keeps_the_order_too():
    after = named(component(), component("chats", weight=5, **WAITS))

    assert said(check_change(None, after, verb=False)) == [
        "chats: weight: users should be at least as far first: it is at off, this would be canary 5 %"
    ]


@pytest.mark.parametrize(
    ("was", "goal", "verb", "refused"),
    [
        ({"kind": "entity"}, {"kind": "entity", "phase": "canary"}, False, "canary"),
        ({"kind": "entity"}, {"kind": "entity", "weight": 5}, False, None),  # none of its own: it follows the weight
        ({"kind": "entity", "phase": "off"}, {"kind": "entity", "weight": 5}, False, "canary"),
        ({"kind": "entity", "weight": 5}, {"kind": "plain", "phase": "shadow"}, False, "shadow"),
        ({"kind": "entity"}, {"kind": "entity", "phase": "canary"}, True, None),
        ({"kind": "entity", "phase": "canary"}, {"kind": "entity", "phase": "canary", "weight": 5}, False, None),
        ({"kind": "entity"}, {"kind": "entity", "phase": "off"}, False, None),
        ({}, {"phase": "canary"}, False, None),
    ],
)
def test_the_phase_of_a_published_entity_component_changes_by_verb_only(was, goal, verb, refused):
    problems = change([component(**was)], [component(**goal)], verb=verb)

    before = component(**was).effective_phase
    verb_line = f"banyan phase users {refused}"
    why = f"users: phase: goes from {before} to {refused} by verb only, as it moves writes: `{verb_line}`"
    assert problems == ([why] if refused else [])


def test_a_new_entity_component_may_come_with_a_phase():
    assert change([], [component(kind="entity", phase="canary")], verb=False) == []


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ({}, None),
        ({"phase": "off", "weight": 5}, None),
        ({"phase": "retired"}, None),
        ({"phase": "shadow"}, "shadow"),
        ({"weight": 0.01}, "canary"),
    ],
)
def test_a_component_is_removed_only_when_it_is_off_or_retired(values, refused):
    why = f"users: is in {refused}: a component can be removed only when it is off or retired"

    assert change([component(**values)], []) == ([why] if refused else [])


@pytest.mark.parametrize(
    ("verb", "live_changes", "refused"), [(True, "all", 0), (True, "emergency_only", 1), (False, "emergency_only", 0)]
)
def test_live_changes_can_be_switched_off(verb, live_changes, refused):
    before, after = [component(), component("chats")], [component(weight=5), component("chats")]

    assert (
        change(before, after, verb=verb, live_changes=live_changes)
        == ["users: live changes are switched off (live_changes: emergency_only); edit the rule file"] * refused
    )


@pytest.mark.parametrize(
    ("values", "removable"),
    [({}, True), ({"phase": "retired"}, True), ({"weight": 1}, False), ({"phase": "shadow"}, False)],
)
def test_only_what_is_off_or_retired_can_be_removed(values, removable):
    assert (removal_problems(component(**values)) == ()) is removable

"""What a side's differences from itself are proposed to be: rules that explain them, and a text to paste."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy import yamlfile
from proxy.core import noise
from proxy.core.comparerules import CompareRules, How
from proxy.core.documents import ABSENT, Kind, compare_documents
from proxy.core.evidence import Evidence
from proxy.core.merge import with_defaults
from proxy.core.model import Component, overlay
from proxy.core.noise import NEAR, Disagreement, Proposal, forms_of, name_of, proposals, suggestion_yaml
from proxy.core.rules import parse_component

FIRST_S, LAST_S = 1_795_132_800, 1_795_564_800  # 2026-11-20 and -25, 00:00Z
ONE, ALL = "GET /api/users/{id}", "GET /api/users"


def row(path="$.a", kind=Kind.VALUE, route=ONE, count=41, compared=44, **forms) -> Disagreement:
    named = {name.replace("_", "-"): number for name, number in forms.items()}
    return Disagreement(route, path, kind, count, compared, FIRST_S, LAST_S, named)


def users(**values) -> Component:
    return Component.model_validate({"component": "users", "routes": {ONE: {}, ALL: {}}, **values})


def pasted(component: Component, text: str) -> Component:
    """Return the component with a suggestion put into its file."""
    document = yamlfile.parse(text, "users.yaml")
    assert document.problems == ()
    return parse_component(with_defaults(component.model_dump(by_alias=True), document.values or {}), file="users.yaml")


@pytest.mark.parametrize(
    ("first", "second", "forms"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", ("same-instant",)),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", ()),
        ("1.0", 1, ("same-number",)),
        (1.0, 1.0000001, (NEAR,)),
        (1.0, 1.00001, ()),
        ("Ana", "ana", ("case",)),
        ("https://a/x", "https://b/x", ("url-path",)),
        ("0188e0c0-0000-7000-8000-000000000000", "0188E0C0-0000-7000-8000-000000000000", ("case", "uuid")),
        (None, ABSENT, ("null-is-missing",)),
        (ABSENT, None, ("null-is-missing",)),
        (1, ABSENT, ()),
        (None, 1, ()),
    ],
)
def test_ways_in_which_two_values_mean_the_same(first, second, forms):
    assert forms_of(first, second) == forms


@pytest.mark.parametrize(
    ("rows", "how", "argument"),
    [
        ([row(kind=Kind.ORDER)], How.UNORDERED, None),
        ([row(same_instant=41)], How.EQUAL_IF, "same-instant"),
        ([row(same_instant=40)], How.IGNORE, None),  # one of them was really another instant
        ([row(uuid=41, case=41)], How.EQUAL_IF, "uuid"),  # the narrower one
        ([row(near=41)], How.TOLERANCE, "0.0001%"),
        ([row(same_number=41, near=41)], How.EQUAL_IF, "same-number"),
        ([row(kind=Kind.MISSING, null_is_missing=41)], How.EQUAL_IF, "null-is-missing"),
        ([row(kind=Kind.TYPE, same_number=41), row(same_number=41)], How.EQUAL_IF, "same-number"),
        ([row(kind=Kind.MISSING, null_is_missing=41), row(same_instant=41)], How.IGNORE, None),
        ([row()], How.IGNORE, None),
        ([row(kind=Kind.LENGTH)], How.IGNORE, None),
        ([row(kind=Kind.LENGTH), row(kind=Kind.ORDER)], How.IGNORE, None),
        ([row(kind=Kind.EXTRA)], How.IGNORE, None),
        ([row("$")], None, None),
        ([row("$", kind=Kind.ORDER)], How.UNORDERED, None),
        ([row("status", kind=Kind.STATUS)], None, None),
        ([row("content-type", kind=Kind.HEADER)], None, None),
    ],
)
def test_the_narrowest_rule_that_explains_all_is_proposed(rows, how, argument):
    (found,) = proposals(rows)

    assert (found.how, found.argument, bool(found.remark)) == (how, argument, how is None)


def test_a_proposal_says_how_often_and_since_when():
    (found,) = proposals([row()])

    assert found == Proposal((ONE,), "$.a", How.IGNORE, None, 41, 44, FIRST_S, LAST_S)
    assert found.rule == {"why": "differed from itself in 41 of 44 reads since 2026-11-20"}


def test_what_was_seen_once_or_twice_may_have_been_a_write():
    assert proposals([row(count=2)]) == ()
    assert len(proposals([row(count=2)], least=1)) == 1
    assert len(proposals([row(count=2), row(count=1, kind=Kind.TYPE)])) == 1


def test_what_lies_below_an_ignored_place_needs_no_rule():
    rows = [row("$.a", kind=Kind.LENGTH), row("$.a[*].b"), row("$.a.c"), row("$.ab"), row("$.a.c", route=ALL)]
    found = proposals(rows)

    assert [(each.path, each.routes) for each in found] == [("$.a", (ONE,)), ("$.a.c", (ALL,)), ("$.ab", (ONE,))]


def test_one_rule_is_enough_for_what_differs_alike_in_several_routes():
    found = proposals([row(), row(route=ALL, count=9, compared=10), row("$.b"), row("$.b", Kind.ORDER, ALL)])

    assert [(each.path, each.routes, each.count, each.compared) for each in found] == [
        ("$.a", (ALL, ONE), 50, 54),
        ("$.b", (ONE,), 41, 44),
        ("$.b", (ALL,), 41, 44),
    ]


def test_the_text_to_paste():
    component = users(compare={"ignore": ["$.updated_at"], "tolerance": {"$.score": 0.5}})
    rows = [
        row("$.generated_at"), row("$.generated_at", route=ALL), row("$.items[*].at", route=ALL, same_instant=41),
        row("$.items", Kind.ORDER, ALL), row("$.sum", near=41), row("status", Kind.STATUS, count=3),
    ]  # fmt: skip

    assert suggestion_yaml(component, proposals(rows)) == (
        "# users: to be put in place of the same keys in its rule file\n"
        "compare:\n"
        "  ignore:\n"
        "    - $.updated_at\n"
        "    # $.generated_at in GET /api/users, GET /api/users/{id}: 82 of 88 reads, "
        "2026-11-20T00:00Z to 2026-11-25T00:00Z\n"
        '    - {path: $.generated_at, why: "differed from itself in 82 of 88 reads since 2026-11-20"}\n'
        "routes:\n"
        "  GET /api/users:\n"
        "    compare:\n"
        "      unordered:\n"
        "        # $.items in GET /api/users: 41 of 44 reads, 2026-11-20T00:00Z to 2026-11-25T00:00Z\n"
        '        $.items: {why: "differed from itself in 41 of 44 reads since 2026-11-20"}\n'
        "      equal_if:\n"
        "        # $.items[*].at in GET /api/users: 41 of 44 reads, 2026-11-20T00:00Z to 2026-11-25T00:00Z\n"
        '        "$.items[*].at": {as: same-instant, why: "differed from itself in 41 of 44 reads since 2026-11-20"}\n'
        "  GET /api/users/{id}:\n"
        "    compare:\n"
        "      tolerance:\n"
        "        $.score: 0.5\n"
        "        # $.sum in GET /api/users/{id}: 41 of 44 reads, 2026-11-20T00:00Z to 2026-11-25T00:00Z\n"
        '        $.sum: {relative: 0.0001%, why: "differed from itself in 41 of 44 reads since 2026-11-20"}\n'
        "# status in GET /api/users/{id}: 3 of 44 reads, 2026-11-20T00:00Z to 2026-11-25T00:00Z: "
        "no rule helps; `shadow: 0` leaves this route alone\n"
    )


def test_what_the_rules_say_already_is_not_proposed_again():
    assert suggestion_yaml(users(compare={"ignore": ["$.a"]}), proposals([row(), row(route=ALL)])) == ""
    assert suggestion_yaml(users(), ()) == ""
    assert suggestion_yaml(users(), proposals([row(route="GET /gone")])) == ""


def test_a_route_keeps_the_rules_that_its_component_has():
    component = users(compare={"ignore": [{"path": "$.x", "until": "2027-01-31"}], "unordered": {"$.r": None}})
    after = pasted(component, suggestion_yaml(component, proposals([row(), row("$.b"), row("$.b", route=ALL)])))
    route = overlay(after.compare, after.routes[ONE].compare)

    assert [each.path for each in after.compare.ignore] == ["$.x", "$.b"]
    assert [(each.path, each.until) for each in route.ignore] == [("$.x", "2027-01-31"), ("$.b", None), ("$.a", None)]
    assert route.unordered == component.compare.unordered
    assert after.routes[ALL].compare is None


NAMES = st.sampled_from(["a", "at", "b c", "é", "\u2028"])
NAMES |= st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
LEAVES = st.integers(-5, 5) | st.sampled_from(
    [1.5, "x", "X", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", None, True]
)
VALUES = st.recursive(LEAVES, lambda below: st.lists(below, max_size=3) | st.dictionaries(NAMES, below, max_size=3))
DOCUMENTS = st.dictionaries(NAMES, VALUES, min_size=1, max_size=4)


def disagreements(first: Any, second: Any, rules: CompareRules, route: str) -> list[Disagreement]:
    return [
        Disagreement(
            route, each.path, each.kind, 3, 3, FIRST_S, LAST_S, dict.fromkeys(forms_of(each.first, each.second), 3)
        )
        for each in compare_documents(first, second, rules).differences
    ]


@settings(max_examples=60, deadline=None)
@given(DOCUMENTS, DOCUMENTS, st.booleans())
def test_the_rules_that_are_proposed_explain_what_they_were_made_of(first, second, everywhere):
    component = users()
    routes = [ONE, ALL] if everywhere else [ONE]
    rows = [each for route in routes for each in disagreements(first, second, CompareRules(), route)]

    after = pasted(component, suggestion_yaml(component, proposals(_summed(rows))))

    rules = CompareRules(overlay(after.compare, after.routes[ONE].compare))
    left = {each.path for each in compare_documents(first, second, rules).differences}
    assert left <= {each.path for each in proposals(_summed(rows)) if each.how is None}


def _summed(rows: list[Disagreement]) -> list[Disagreement]:
    """Return rows as they are counted: one for each route, path and kind."""
    keyed = sorted(rows, key=lambda each: (each.route, each.path, each.kind))
    found = []
    for key, group in groupby(keyed, key=lambda each: (each.route, each.path, each.kind)):
        same = list(group)
        forms: Counter[str] = Counter()
        for each in same:
            forms.update(each.forms)
        count = sum(each.count for each in same)
        found.append(Disagreement(*key, count, count, FIRST_S, LAST_S, forms))
    return found


def test_what_was_counted_is_read_back_by_place_and_form():
    reasons = {"compared": 44, "value $.at": 41, "value $.at as same-instant": 40, "order $.items": 3, "other": 2}
    found = noise.disagreements({"/u": Evidence({}, reasons, since="1970-01-01T00:01:00Z")}, 90.0)

    assert found == [
        Disagreement("/u", "$.at", Kind.VALUE, 41, 44, 60.0, 90.0, {"same-instant": 40}),
        Disagreement("/u", "$.items", Kind.ORDER, 3, 44, 60.0, 90.0, {}),
    ]
    assert name_of(Kind.VALUE, "$.at") == "value $.at"

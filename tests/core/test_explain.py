from __future__ import annotations

import json

import pytest

from proxy.core.explain import explain
from proxy.core.plan import CALM, Situation, plan
from proxy.core.rules import Side
from proxy.core.table import compile_table
from tests.core.planning import component, head, table

L, M = Side.LEGACY, Side.MODERN
TABLE = table(
    component(
        weight=50,
        pin=[{"header": "x-tenant", "in": ["acme"], "side": "modern"}],
        routes={"/u": {}, "/u/{id}": {"entity": "{id}"}, "/form": {"follow": "writes"}, "/low": {"weight": 1}},
    ),
    component("orders", kind="readonly", phase="shadow"),
    component("gone", kind="readonly", phase="retired"),
    component("docs", kind="entity", phase="cutover", weight=100),
)
READ = head("GET", "/u/42", x_user_id="user-42")  # bucket 4488: modern at 50 %
PER_REQUEST = table(component(weight=50, sticky=[]))
TO_MODERN = table(component(weight=0, phase="canary", fallback={"to_modern": True}))

CASES = {
    "weight": (
        TABLE, READ, CALM, None,
        "legacy and modern: users is in canary",
        "modern: bucket 4488 of 10000 < 5000, as the weight is 50 %; placed by header:x-user-id in the cohort users",
        "closed for modern: it answers; legacy stands in if it fails",
    ),
    "weight lowered by the route": (
        TABLE, head("GET", "/low", x_user_id="user-42"), CALM, None,
        "legacy and modern: users is in canary",
        "legacy: bucket 4488 of 10000 ≥ 100, as the weight is 1 %, lowered by the route; "
        "placed by header:x-user-id in the cohort users",
        "closed for legacy: it answers; nobody stands in",
    ),
    "per request": (
        PER_REQUEST, head("GET", "/api/users"), CALM, None,
        "legacy and modern: users is in canary",
        "modern: bucket 0 of 10000 < 5000, as the weight is 50 %; "
        "placed for this request alone, as no sticky value is present",
        "closed for modern: it answers; legacy stands in if it fails",
    ),
    "emergency": (
        TABLE, READ, Situation(L), M,
        "legacy and modern: users is in canary",
        "legacy: an emergency sends all reads of users there",
        "not asked: the emergency bars modern",
    ),
    "forced": (
        TABLE, READ, Situation(None, frozenset((M,))), M,
        "legacy and modern: users is in canary",
        "modern: forced by X-Banyan-Force",
        "the breaker of modern is open, but the choice stands: a forced read is never moved; "
        "legacy stands in if it fails",
    ),
    "pin": (
        TABLE, head("GET", "/u", x_tenant="acme"), CALM, None,
        "legacy and modern: users is in canary",
        "modern: pinned by the header x-tenant",
        "closed for modern: it answers; legacy stands in if it fails",
    ),
    "breaker": (
        TABLE, READ, Situation(None, frozenset((M,))), None,
        "legacy and modern: users is in canary",
        "modern: bucket 4488 of 10000 < 5000, as the weight is 50 %; placed by header:x-user-id in the cohort users",
        "moved to legacy: the breaker of modern is open; nobody stands in",
    ),
    "down": (
        TABLE, READ, Situation(down=frozenset((M,))), None,
        "legacy and modern: users is in canary",
        "modern: bucket 4488 of 10000 < 5000, as the weight is 50 %; placed by header:x-user-id in the cohort users",
        "moved to legacy: modern has no healthy instance; nobody stands in",
    ),
    "down, and forced": (
        TABLE, READ, Situation(down=frozenset((M,))), M,
        "legacy and modern: users is in canary",
        "modern: forced by X-Banyan-Force",
        "modern has no healthy instance, but the choice stands: a forced read is never moved; "
        "legacy stands in if it fails",
    ),
    "both breakers": (
        TABLE, READ, Situation(None, frozenset((L, M))), None,
        "legacy and modern: users is in canary",
        "modern: bucket 4488 of 10000 < 5000, as the weight is 50 %; placed by header:x-user-id in the cohort users",
        "the breaker of modern is open, but the choice stands: the other side is to be avoided, too; "
        "legacy stands in if it fails",
    ),
    "modern may not stand in": (
        TABLE, head("GET", "/low", x_user_id="user-42"), Situation(None, frozenset((L,))), None,
        "legacy and modern: users is in canary",
        "legacy: bucket 4488 of 10000 ≥ 100, as the weight is 1 %, lowered by the route; "
        "placed by header:x-user-id in the cohort users",
        "the breaker of legacy is open, but the choice stands: modern stands in for legacy only where the rules say "
        "`fallback: {to_modern: true}`; nobody stands in",
    ),
    "modern may stand in": (
        TO_MODERN, head("GET", "/api/users", x_user_id="user-42"), Situation(None, frozenset((L,))), None,
        "legacy and modern: users is in canary",
        "legacy: bucket 4488 of 10000 ≥ 0, as the weight is 0 %; placed by header:x-user-id in the cohort users",
        "moved to modern: the breaker of legacy is open; legacy stands in if it fails",
    ),
    "phase": (
        TABLE, head("GET", "/api/orders"), CALM, M,
        "legacy only: orders is in shadow",
        "legacy, as no other side is eligible",
        "not asked: no other side could stand in",
    ),
    "follows the writes": (
        TABLE, head("GET", "/form"), CALM, None,
        "legacy only: the route follows the writes, and legacy is the write primary",
        "legacy, as no other side is eligible",
        "not asked: no other side could stand in",
    ),
    "marked": (
        TABLE, READ, Situation(dirty=True), None,
        "legacy only: the entity has a mark, so the other side may be behind",
        "legacy, as no other side is eligible",
        "not asked: no other side could stand in",
    ),
    "pinned session": (
        TABLE, head("GET", "/u"), Situation(pinned_session=True), None,
        "legacy only: the session wrote lately, so its lists stay on the write primary",
        "legacy, as no other side is eligible",
        "not asked: no other side could stand in",
    ),
    "store lost": (
        TABLE, READ, Situation(store_lost=True), None,
        "legacy only: the published rules were not read yet, and legacy is the write primary",
        "legacy, as no other side is eligible",
        "not asked: no other side could stand in",
    ),
    "lists in cutover": (
        TABLE, head("GET", "/api/docs"), Situation(L), None,
        "modern only: in cutover lists stay on the write primary while an emergency holds",
        "modern, as no other side is eligible",
        "not asked: no other side could stand in",
    ),
    "write": (
        TABLE, head("POST", "/u"), CALM, None,
        "legacy only: it is the write primary of users in canary",
        "legacy: a write follows the phase, never the weight",
        "not asked: no other side could stand in",
    ),
    "write to readonly": (
        TABLE, head("POST", "/api/orders"), CALM, None,
        "legacy only: it is the write primary of orders in shadow",
        "legacy: a write follows the phase, never the weight; "
        "an alarm is raised, because the component should have no writes",
        "not asked: no other side could stand in",
    ),
    "tunnel": (
        TABLE, head("GET", "/u", upgrade="websocket"), CALM, None,
        "legacy only: it is the write primary of users in canary",
        "legacy: an upgrade follows the phase, never the weight",
        "not asked: no other side could stand in",
    ),
    "unclaimed": (
        TABLE, head("GET", "/other"), CALM, None,
        "legacy only: no component claims this request",
        "legacy",
        "not asked: no other side could stand in",
    ),
    "ambiguous": (
        TABLE, head("GET", "/x/../u"), CALM, None,
        "legacy only: the path can be read in more than one way",
        "legacy",
        "not asked: no other side could stand in",
    ),
    "refused": (
        TABLE, head("GET", "/x/../api/gone"), CALM, None,
        "none: the path can be read in more than one way; send it in its normal form",
        "refused with 400",
        "not asked: no side gets it",
    ),
    "write not safe": (
        TABLE, head("POST", "/api/docs"), Situation(store_lost=True), None,
        "none: writes wait until the rule store was read once",
        "refused with 503",
        "not asked: no side gets it",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_three_plain_sentences_explain_each_plan(name):
    found, request, situation, forced, *texts = CASES[name]
    situations = [situation] * len(found.components)
    explained = explain(found, request, situations, forced)

    assert [(step.name, step.text) for step in explained.steps] == list(
        zip(("eligible", "choice", "breaker"), texts, strict=True)
    )
    assert explained.planned.plan is plan(found, request, situations, forced).plan


def test_an_explanation_is_a_document_with_the_fields_of_the_plan():
    document = explain(TABLE, head("GET", "/u/caf%c3%a9", x_user_id="user-42")).document()

    assert json.loads(json.dumps(document)) == document
    assert {key: document[key] for key in ("version", "component", "route", "side", "reason", "bucket", "entity")} == {
        "version": 41, "component": "users", "route": "/u/{id}", "side": "modern", "reason": "weight",
        "bucket": 4488, "entity": "café",
    }  # fmt: skip
    assert (document["method"], document["path"], document["normal_path"]) == ("GET", "/u/caf%c3%a9", "/u/caf%C3%A9")
    assert [step["name"] for step in document["steps"]] == ["eligible", "choice", "breaker"]


def test_where_no_bucket_was_looked_at_none_is_shown():
    assert explain(compile_table(None), head("GET", "/u")).document()["bucket"] is None

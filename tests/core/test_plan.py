from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.assign import bucket_of
from proxy.core.messages import Saw
from proxy.core.plan import CALM, NO_BUCKET, PER_REQUEST, Planned, Situation, compile_table, plan, shed
from proxy.core.rules import ComponentKind, Phase, Side
from proxy.core.table import RECENT, RECENT_BYTES, Table
from tests.core.planning import component, head, table

L, M = Side.LEGACY, Side.MODERN
BOTH = frozenset((L, M))
WEIGHT = 50  # % in these tests
MOVED = next(f"u{n}" for n in range(99) if bucket_of(b"u%d" % n, b"users") < 5_000)  # a caller whom it moves
STAYS = next(f"u{n}" for n in range(99) if bucket_of(b"u%d" % n, b"users") >= 5_000)


def decided(found: Planned) -> tuple[str, str, str | None]:
    """Return (side, reason, fallback)."""
    return found.plan.side, found.plan.reason, found.plan.fallback


def ask(found: Table, request, situation: Situation = CALM, forced: Side | None = None, roll: int = 0) -> Planned:
    return plan(found, request, [situation] * len(found.components), forced, roll)


# Section 5 of the design once more, as plainly as it can be said


def naive_eligible(kind: str, phase: str) -> list[Side]:
    if kind != "entity" and phase in ("backfill", "cutover"):
        return [L]
    return {"canary": [L, M], "cutover": [M, L], "retired": [M]}.get(phase, [L])


def naive_read(kind, phase, facts) -> tuple[Side, str, Side | None]:
    eligible = naive_eligible(kind, phase)
    primary = eligible[0]
    is_list = not facts["entity"]
    if facts["follow"]:
        return primary, "follows_writes", None
    if len(eligible) == 1:
        return primary, "phase", None
    if facts["store_lost"]:
        return primary, "store_lost", None
    if facts["dirty"]:
        return primary, "marked", None
    if is_list and facts["pinned_session"]:
        return primary, "pinned_session", None
    if facts["emergency"]:
        if phase == "cutover" and is_list:
            return primary, "phase", None
        return facts["emergency"], "emergency", None
    by_weight = M if facts["moved"] else L
    side = facts["forced"] or facts["pin"] or by_weight
    reason = "forced" if facts["forced"] else "pin" if facts["pin"] else "weight"
    other = L if side is M else M
    closed_elsewhere = side in facts["open"] and other not in facts["open"]
    if reason != "forced" and closed_elsewhere and (other is L or facts["to_modern"]):
        side, other, reason = other, side, "breaker"
    return side, reason, other if other is L or facts["to_modern"] else None


READ_FACTS = {
    "emergency": (None, L, M),
    "forced": (None, L, M),
    "pin": (None, L, M),
    "moved": (True, False),
    "open": (frozenset(), {L}, {M}, BOTH),
    "store_lost": (False, True),
    "dirty": (False, True),
    "pinned_session": (False, True),
    "entity": (False, True),
    "follow": (False, True),
    "to_modern": (False, True),
}


def tables_of(kind: str, phase: str, path: str) -> dict[tuple[bool, bool, bool], Table]:
    made = {}
    for entity, follow, to_modern in product((False, True), repeat=3):
        route = {"entity": "{id}" if entity else None, "follow": "writes" if follow else None}
        made[entity, follow, to_modern] = table(
            component(
                kind=kind,
                phase=phase,
                weight=WEIGHT,
                pin=[{"header": "x-pin", "in": [side.value], "side": side.value} for side in Side],
                fallback={"to_modern": to_modern},
                routes={path: route},
            )
        )
    return made


@pytest.mark.parametrize("phase", [str(phase) for phase in Phase])
@pytest.mark.parametrize("kind", [str(kind) for kind in ComponentKind])
def test_every_read_in_every_situation_is_planned_as_the_rules_say(kind, phase):
    tables = tables_of(kind, phase, "/u/{id}")
    heads = {
        (pin, moved): head("GET", "/u/42", x_user_id=MOVED if moved else STAYS, **({"x_pin": pin} if pin else {}))
        for pin in (None, L, M)
        for moved in (True, False)
    }
    wrong = []
    for values in product(*READ_FACTS.values()):
        facts = dict(zip(READ_FACTS, values, strict=True))
        situation = Situation(
            facts["emergency"], frozenset(facts["open"]), facts["store_lost"], facts["dirty"], facts["pinned_session"]
        )
        is_down = replace(situation, open_breakers=frozenset(facts["open"]) - {M}, down=frozenset(facts["open"]) & {M})
        for each in (situation, is_down):
            found = plan(
                tables[facts["entity"], facts["follow"], facts["to_modern"]],
                heads[facts["pin"], facts["moved"]],
                [CALM if each == CALM else each],
                facts["forced"],
            )
            if decided(found) != naive_read(kind, phase, facts) or found.plan.refusal is not None:
                wrong.append((facts, each, decided(found), naive_read(kind, phase, facts)))

    assert wrong == []


OTHER_FACTS = {
    "request": ("write", "override", "tunnel"),
    "emergency": (None, L, M),
    "forced": (None, L, M),
    "moved": (True, False),
    "open": (frozenset(), {L}, {M}, BOTH),
    "store_lost": (False, True),
    "dirty": (False, True),
    "pinned_session": (False, True),
}


@pytest.mark.parametrize("phase", [str(phase) for phase in Phase])
@pytest.mark.parametrize("kind", [str(kind) for kind in ComponentKind])
def test_only_the_phase_moves_writes_and_tunnels(kind, phase):
    found = table(component(kind=kind, phase=phase, weight=WEIGHT, fallback={"to_modern": True}))
    primary = naive_eligible(kind, phase)[0]
    for values in product(*OTHER_FACTS.values()):
        facts = dict(zip(OTHER_FACTS, values, strict=True))
        request = head("POST" if facts["request"] == "write" else "GET", "/api/users/42", x_user_id=MOVED)
        request.upgrade = b"websocket" if facts["request"] == "tunnel" else b""
        request.saw = Saw.OVERRIDE if facts["request"] == "override" else 0
        situation = Situation(
            facts["emergency"], frozenset(facts["open"]), facts["store_lost"], facts["dirty"], facts["pinned_session"]
        )
        made = ask(found, request, situation, facts["forced"]).plan
        is_tunnel = facts["request"] == "tunnel"
        refused = facts["store_lost"] and kind == "entity" and not is_tunnel
        reason = "tunnel" if is_tunnel else "store_lost" if refused else "write_primary"

        assert (made.side, made.primary, made.fallback, made.reason) == (primary, primary, None, reason), facts
        assert (made.refusal is not None) == refused
        assert made.kind == ("tunnel" if is_tunnel else "write")
        assert made.alarm == (kind == "readonly" and not is_tunnel)


@pytest.mark.parametrize("setting", ["legacy", "refuse"])
@pytest.mark.parametrize("phase", [str(phase) for phase in Phase])
@pytest.mark.parametrize("kind", [str(kind) for kind in ComponentKind])
def test_an_ambiguous_path_goes_to_legacy_alone_or_is_refused(kind, phase, setting):
    found = table(component(kind=kind, phase=phase, weight=100), ambiguous_paths=setting)
    strict = setting == "refuse" or phase in ("cutover", "retired")
    situations = (CALM, Situation(store_lost=True), Situation(M, frozenset((L,)), False, True, True))
    for method, situation in product(("GET", "POST"), situations):
        made = ask(found, head(method, "/api//users/42", x_user_id=MOVED), situation, M).plan
        unsafe = not strict and method == "POST" and situation.store_lost and kind == "entity"

        assert (made.side, made.fallback) == (made.primary if unsafe else L, None)
        assert made.reason == ("store_lost" if unsafe else "ambiguous")
        assert (made.refusal and made.refusal.status) == (400 if strict else 503 if unsafe else None)
        assert made.ambiguous is not unsafe


def plan_overloaded(found: Table, *asked) -> Planned:
    planned = plan(found, *asked)
    shed(found, planned)
    return planned


@pytest.mark.parametrize(
    ("method", "more", "status"),
    [
        ("GET", {}, 503),
        ("HEAD", {}, 503),
        ("OPTIONS", {}, 503),
        ("POST", {}, None),
        ("GET", {"upgrade": "websocket"}, None),
    ],
)
@pytest.mark.parametrize("path", ["/api/users/1", "/nobody's", "/api/users/../users"])
def test_an_overloaded_process_takes_writes_and_tunnels_only(method, more, status, path):
    found = table(component(weight=WEIGHT))
    asked = head(method, path, x_user_id=MOVED, **more)
    calm, loaded = plan(found, asked, [CALM]), plan_overloaded(found, asked, [CALM])

    assert (loaded.plan.refusal and loaded.plan.refusal.status) == status
    assert (loaded.plan.side, loaded.plan.reason, loaded.bucket) == (calm.plan.side, calm.plan.reason, calm.bucket)
    assert plan_overloaded(found, asked, [CALM]).plan is loaded.plan
    assert calm.plan.refusal is None and plan(found, asked, [CALM]).plan is calm.plan


def test_what_is_refused_anyway_stays_refused_as_it_was():
    strict = table(component(weight=WEIGHT), ambiguous_paths="refuse")
    assert plan_overloaded(strict, head("GET", "/api/users/../users"), [CALM]).plan.refusal.status == 400


# One golden case per reason

CANARY = table(component(weight=WEIGHT), component("orders", phase="shadow"))
FOLLOWS = table(component(weight=WEIGHT, routes={"/form": {"follow": "writes"}, "/u/{id}": {"entity": "{id}"}}))
MODERN_OPEN, WROTE = Situation(open_breakers=frozenset((M,))), Situation(pinned_session=True)
DOWN, LEGACY_TOO = frozenset((M,)), frozenset((L,))
MODERN_DOWN = Situation(down=DOWN)
PINNED = table(component(weight=0, phase="canary", pin=[{"header": "x-tenant", "in": ["acme"], "side": "modern"}]))


@pytest.mark.parametrize(
    ("found", "request_head", "situation", "forced", "expected"),
    [
        (CANARY, head("GET", "/other"), CALM, None, (L, "unclaimed", None)),
        (CANARY, head("GET", "/api/orders"), CALM, M, (L, "phase", None)),
        (CANARY, head("GET", "/api/users/1", x_user_id=MOVED), CALM, None, (M, "weight", L)),
        (CANARY, head("GET", "/api/users/1", x_user_id=STAYS), CALM, None, (L, "weight", None)),
        (CANARY, head("GET", "/api/users/1", x_user_id=MOVED), Situation(L), M, (L, "emergency", None)),
        (CANARY, head("GET", "/api/users/1", x_user_id=STAYS), Situation(M), L, (M, "emergency", None)),
        (CANARY, head("GET", "/api/users/1", x_user_id=STAYS), CALM, M, (M, "forced", L)),
        (PINNED, head("GET", "/api/users", x_tenant="acme"), CALM, None, (M, "pin", L)),
        (PINNED, head("GET", "/api/users", x_tenant="other"), CALM, None, (L, "weight", None)),
        (FOLLOWS, head("GET", "/form", x_user_id=MOVED), CALM, M, (L, "follows_writes", None)),
        (FOLLOWS, head("GET", "/u/1", x_user_id=MOVED), Situation(dirty=True), M, (L, "marked", None)),
        (FOLLOWS, head("GET", "/u/1", x_user_id=MOVED), WROTE, None, (M, "weight", L)),
        (CANARY, head("GET", "/api/users", x_user_id=MOVED), WROTE, M, (L, "pinned_session", None)),
        (CANARY, head("GET", "/api/users", x_user_id=MOVED), MODERN_OPEN, None, (L, "breaker", None)),
        (CANARY, head("GET", "/api/users", x_user_id=MOVED), Situation(None, BOTH), None, (M, "weight", L)),
        (CANARY, head("GET", "/api/users", x_user_id=MOVED), MODERN_DOWN, None, (L, "breaker", None)),
        (CANARY, head("GET", "/api/users", x_user_id=STAYS), MODERN_DOWN, None, (L, "weight", None)),
        (CANARY, head("GET", "/api/users", x_user_id=STAYS), MODERN_DOWN, M, (M, "forced", L)),
        (CANARY, head("GET", "/api/users", x_user_id=MOVED), Situation(None, DOWN, down=LEGACY_TOO), None,
         (M, "weight", L)),
        (CANARY, head("PATCH", "/api/users/1"), Situation(down=LEGACY_TOO), None, (L, "write_primary", None)),
        (CANARY, head("GET", "/api/users", x_user_id=MOVED), Situation(store_lost=True), M, (L, "store_lost", None)),
        (CANARY, head("GET", "/api/users/../users", x_user_id=MOVED), CALM, None, (L, "ambiguous", None)),
        (CANARY, head("GET", "/other/../x"), CALM, None, (L, "ambiguous", None)),
        (CANARY, head("PATCH", "/api/users/1", x_user_id=MOVED), CALM, M, (L, "write_primary", None)),
        (CANARY, head("GET", "/api/users", upgrade="websocket", x_user_id=MOVED), CALM, M, (L, "tunnel", None)),
    ],
)  # fmt: skip
def test_each_reason_has_its_case(found, request_head, situation, forced, expected):
    assert decided(ask(found, request_head, situation, forced)) == expected


@pytest.mark.parametrize(
    ("method", "values", "kind"),
    [
        ("GET", {}, "read"),
        ("HEAD", {}, "read"),
        ("OPTIONS", {}, "read"),
        ("POST", {}, "write"),
        ("FOO", {}, "write"),
        ("get", {}, "write"),  # methods are case-sensitive (RFC 9110 section 9.1)
        ("GET", {"saw": Saw.OVERRIDE}, "write"),
        ("GET", {"saw": Saw.VALIDATOR | Saw.RANGE}, "read"),
        ("GET", {"upgrade": "websocket"}, "tunnel"),
        ("GET", {"upgrade": "websocket", "saw": Saw.OVERRIDE}, "tunnel"),
    ],
)
@pytest.mark.parametrize("path", ["/api/users", "/unclaimed"])
def test_the_kind_of_a_request(path, method, values, kind):
    assert ask(CANARY, head(method, path, **values)).plan.kind == kind


def test_a_route_may_declare_a_post_to_be_a_read_but_an_override_is_a_write():
    found = table(component(weight=100, routes={"POST /rpc/Get": {"kind": "read"}}))

    assert ask(found, head("POST", "/rpc/Get")).plan.kind == "read"
    assert ask(found, head("POST", "/rpc/Get", saw=Saw.OVERRIDE)).plan.kind == "write"


def test_the_path_is_matched_in_its_normal_form():
    found = ask(CANARY, head("GET", "/api/%75sers/caf%c3%a9", x_user_id=MOVED))

    assert (found.plan.route, found.params, found.plan.reason) == ("/api/users/{id}", (b"caf%C3%A9",), "weight")


@pytest.mark.parametrize("path", ["/api%2Fusers", "/api\\users", "/x/..;/api/users", "/%252e/api//users"])
def test_no_reading_of_a_path_reaches_legacy_for_a_component_that_left_it(path):
    found = table(component(kind="readonly", phase="retired"))

    assert ask(found, head("GET", path)).plan.refusal.status == 400
    assert ask(found, head("GET", "/y/../x")).plan.refusal is None


def test_the_strict_reading_of_an_ambiguous_path_counts():
    found = table(component("pub", routes={"/pub/{rest...}": {}}), component("users", kind="readonly", phase="retired"))

    made = ask(found, head("GET", "/pub/..%2Fapi%2Fusers")).plan

    assert (made.component, made.reason, made.refusal.status) == ("users", "ambiguous", 400)


@pytest.mark.parametrize("piece", ["%2F", "%25", "%", "%2e%2e/", "../"])
def test_an_ambiguous_path_too_tangled_to_be_read_is_refused_whatever_it_matches(piece):
    found = table(component(kind="entity", weight=5))
    for method in ("GET", "POST"):
        made = ask(found, head(method, "/api/users/" + piece * 1200)).plan
        assert (made.component, made.reason, made.refusal.status) == (None, "ambiguous", 400)
        assert ask(found, head(method, "/api/users/" + piece * 100)).plan.refusal is None


def test_writes_that_are_not_safe_may_be_repeated_later():
    found = table(component(kind="entity", weight=5))
    refusal = ask(found, head("POST", "/api/users"), Situation(store_lost=True)).plan.refusal

    assert (refusal.status, refusal.retry_after_s) == (503, 5)


# Buckets and sticky sources


def test_the_same_caller_gets_the_same_side_on_every_replica_and_version():
    one, other = (table(component(weight=WEIGHT), version=version) for version in (1, 9))
    for number in range(200):
        request = head("GET", "/api/users", x_user_id=f"user-{number}")
        first, second = ask(one, request), ask(other, request)

        assert (first.bucket, first.plan.side) == (second.bucket, second.plan.side)
        assert first.bucket == bucket_of(b"user-%d" % number, b"users")


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.text("abc123", min_size=1, max_size=6))
def test_raising_the_weight_moves_nobody_back(one, other, user):
    low, high = (table(component(phase="canary", weight=bp / 100)) for bp in sorted((one, other)))
    request = head("GET", "/api/users", x_user_id=user)

    assert ask(low, request).plan.side is L or ask(high, request).plan.side is M


def test_components_of_one_cohort_move_the_same_callers_and_others_do_not():
    found = table(
        *(component(name, weight=WEIGHT, cohort=cohort) for name, cohort in (("a", "j"), ("b", "j"), ("c", "k")))
    )
    sides = [
        tuple(ask(found, head("GET", f"/api/{name}", x_user_id=str(user))).plan.side for name in "abc")
        for user in range(100)
    ]

    assert all(a is b for a, b, _ in sides)
    assert any(a is not c for a, _, c in sides)


def test_a_route_lowers_the_weight_over_the_same_bucket():
    found = table(component(weight=50, routes={"/u": {}, "/export": {"weight": 10}, "/never": {"weight": 0}}))
    for user in range(200):
        usual, lowered, never = (
            ask(found, head("GET", path, x_user_id=str(user))) for path in ("/u", "/export", "/never")
        )

        assert usual.bucket == lowered.bucket == never.bucket
        assert lowered.plan.side is (M if usual.bucket < 1_000 else L)
        assert never.plan.side is L


@pytest.mark.parametrize(
    ("fields", "value", "sticky"),
    [
        ({"x_user_id": "7", "cookie": "session=s"}, b"7", 0),
        ({"cookie": "session=s"}, b"s", 1),
        ({}, b"42", 2),
    ],
)
def test_the_first_sticky_source_that_is_present_decides(fields, value, sticky):
    sources = ["header:x-user-id", "cookie:session", "entity", "client"]
    found = ask(
        table(component(weight=50, sticky=sources, routes={"/u/{id}": {"entity": "{id}"}})),
        head("GET", "/u/42", **fields),
    )

    assert (found.bucket, found.sticky) == (bucket_of(value, b"users"), sticky)


def test_the_client_decides_for_those_without_a_name():
    found = ask(CANARY, head("GET", "/api/users", peer="10.9.8.7"))

    assert (found.bucket, found.sticky) == (bucket_of(b"10.9.8.7", b"users"), 1)


@pytest.mark.parametrize("sources", [[], ["header:x-user-id"]])
def test_without_a_sticky_value_each_request_is_placed_by_itself(sources):
    found = table(component(weight=25, sticky=sources))
    request = head("GET", "/api/users")
    made = [ask(found, request, roll=roll) for roll in range(10_000)]

    assert sum(each.plan.side is M for each in made) == 2_500
    assert {each.sticky for each in made} == {PER_REQUEST}
    assert len({each.bucket for each in made}) == 10_000


def test_a_key_in_the_body_places_the_read_in_a_second_call():
    routes = {"POST /rpc": {"kind": "read", "entity": "body:$.id"}, "/u/{id}": {"entity": "{id}"}}
    found = table(component(weight=50, sticky=["entity"], routes=routes))
    request = head("POST", "/rpc")
    first = ask(found, request)
    second = plan(found, request, [CALM], None, 0, first.plan.entity.of_body(b'{"id": "42"}'))

    assert first.plan.needs_entity
    assert second.bucket == ask(found, head("GET", "/u/42")).bucket == bucket_of(b"42", b"users")


def test_a_bucket_is_told_only_where_it_was_looked_at():
    assert ask(CANARY, head("GET", "/api/users")).bucket != NO_BUCKET
    for request, situation in (
        (head("POST", "/api/users"), CALM),
        (head("GET", "/api/orders"), CALM),
        (head("GET", "/other"), CALM),
        (head("GET", "/api/users"), Situation(emergency=L)),
    ):
        assert ask(CANARY, request, situation).bucket == NO_BUCKET


# Plans are shared


def test_requests_of_one_outcome_share_one_plan():
    first, second = (ask(CANARY, head("GET", f"/api/users/{n}", x_user_id=MOVED)) for n in (1, 2))

    assert first.plan is second.plan
    assert (first.params, second.params) == ((b"1",), (b"2",))
    assert first.plan.label == b"v41;weight"


def test_an_equal_situation_plans_as_the_calm_one():
    request = head("GET", "/api/users", x_user_id=MOVED)

    assert ask(CANARY, request, Situation()).plan is ask(CANARY, request, CALM).plan


def test_situations_are_those_of_the_component():
    found = table(component("users", weight=100), component("orders", weight=100))
    situations = [CALM, Situation(emergency=L)]

    assert plan(found, head("GET", "/api/users"), situations).plan.side is M
    assert plan(found, head("GET", "/api/orders"), situations).plan.side is L


@pytest.mark.parametrize("setting", ["legacy", "refuse"])
def test_the_server_as_a_whole_is_nobodys_component(setting):
    found = table(component("whole", routes={"ANY /{path...}": {}}, weight=100), ambiguous_paths=setting)

    assert decided(plan(found, head("OPTIONS", "*"), [CALM])) == (L, "unclaimed", None)


def test_without_rules_everything_goes_to_legacy():
    empty = compile_table(None)

    assert decided(plan(empty, head("GET", "/api/users"), [])) == (L, "unclaimed", None)
    assert decided(plan(empty, head("POST", "/a//b"), [])) == (L, "ambiguous", None)


# Paths that come again


def test_a_path_that_comes_again_is_planned_as_the_first_time_be_it_raw_or_not():
    found = table(component(weight=WEIGHT, routes={"/u/{id}": {"entity": "{id}"}, "POST /u/{id}": {"kind": "read"}}))
    for path in ("/u/1", "/u/%61", "/u/.well", "/u/1", "/u/%61", "/u/1"):
        first = ask(found, head("GET", path, x_user_id=MOVED))
        again = ask(found, head("GET", path, x_user_id=MOVED))
        assert (again.plan, again.params) == (first.plan, first.params)
    assert ask(found, head("GET", "/u/%61")).params == (b"a",)
    assert set(found.recent) == {b"/u/1", b"/u/%61", b"/u/.well"}

    assert ask(found, head("POST", "/u/1")).plan.route == "POST /u/{id}"
    assert ask(found, head("GET", "/u/1")).plan.route == "/u/{id}"
    assert ask(found, head("GET", "/u/x/../1")).plan.ambiguous
    assert ask(found, head("GET", "/u/x/../1")).plan.ambiguous
    assert ask(found, head("GET", "/none")).plan.component is None
    assert b"/u/x/../1" not in found.recent and b"/none" not in found.recent


def test_no_more_paths_are_kept_than_a_table_has_room_for():
    found = table(component(weight=WEIGHT))
    for number in range(RECENT + 10):
        ask(found, head("GET", f"/api/users/{number}"))
    assert len(found.recent) <= RECENT
    ask(found, head("GET", "/api/users/" + "x" * RECENT_BYTES))
    assert max(map(len, found.recent)) <= RECENT_BYTES


def test_the_client_decides_where_the_header_is_absent_and_it_is_the_second_source():
    first = table(component(weight=WEIGHT, sticky=["header:x-user-id", "client"]))
    later = table(component(weight=WEIGHT, sticky=["header:x-user-id", "header:x-none", "client"]))
    for peer in ("10.0.0.1", "10.0.0.2", "::1"):
        asked = head("GET", "/api/users", peer=peer)
        assert ask(first, asked).bucket == ask(later, asked).bucket
        assert (ask(first, asked).sticky, ask(later, asked).sticky) == (1, 2)


# Shadows


def shadow_of(situation: Situation = CALM, path: str = "/api/users/1", method: str = "GET", **values) -> Side | None:
    asked = head(method, path, x_user_id="1")
    return plan(table(component(**{"shadow": 10, **values})), asked, [situation]).plan.shadow


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"phase": "off"}, None),
        ({"phase": "shadow"}, M),
        ({"phase": "canary", "weight": 0}, M),
        ({"phase": "canary", "weight": 100}, L),
        ({"phase": "retired", "kind": "readonly"}, None),
        ({"phase": "cutover", "kind": "entity", "weight": 100}, L),
        ({"phase": "backfill", "kind": "entity"}, None),
        ({"phase": "shadow", "shadow": 0}, None),
    ],
)
def test_the_side_that_does_not_answer_is_the_shadow_where_the_phase_compares(values, expected):
    assert shadow_of(**values) is expected


@pytest.mark.parametrize(
    ("emergency", "values", "expected"),
    [
        (L, {"phase": "shadow"}, None),  # modern is barred
        (M, {"phase": "shadow"}, M),  # heeded from canary on: legacy answers, and nobody bars modern
        (L, {"phase": "canary", "weight": 100}, None),
        (M, {"phase": "canary", "weight": 0}, None),
    ],
)
def test_an_emergency_stops_the_shadows_of_the_side_that_it_bars(emergency, values, expected):
    assert shadow_of(Situation(emergency=emergency), **values) is expected


@pytest.mark.parametrize(
    "situation", [Situation(open_breakers=frozenset([M])), Situation(down=frozenset([M])), Situation(store_lost=True)]
)
def test_a_side_that_is_spared_gets_no_shadows(situation):
    assert shadow_of(situation, phase="shadow") is None
    assert shadow_of(Situation(open_breakers=frozenset([L])), phase="shadow") is M


@pytest.mark.parametrize(
    ("path", "method", "routes"),
    [
        ("/api/users/1", "POST", {"/api/users/{id}": {}}),
        ("/api//users/1", "GET", {"/api/users/{id}": {}}),  # ambiguous
        ("/form", "GET", {"/form": {"follow": "writes"}}),
        ("/export", "GET", {"/export": {"shadow": 0}}),
    ],
)
def test_writes_ambiguous_paths_and_what_one_side_owns_have_no_shadow(path, method, routes):
    assert shadow_of(path=path, method=method, phase="canary", weight=50, routes=routes) is None


@pytest.mark.parametrize(
    ("values", "watched"),
    [
        ({"phase": "shadow", "shadow": 10}, (1_000, 100)),
        ({"phase": "shadow", "shadow": 10, "noise": {"sample": 0}}, (1_000, 0)),
        ({"phase": "shadow", "shadow": 0, "noise": {"sample": 5}}, (0, 500)),
        ({"phase": "off", "noise": {"sample": 5}}, (0, 500)),
    ],
)
def test_a_plan_says_how_many_reads_are_looked_at(values, watched):
    found = plan(table(component(**values)), head("GET", "/api/users/1"), [CALM]).plan.watch

    assert found is not None
    assert (found.shadow_bp, found.noise_bp) == watched


def test_where_nothing_is_looked_at_the_plan_says_nothing_of_it():
    assert plan(table(component(phase="off")), head("GET", "/api/users/1"), [CALM]).plan.watch is None
    assert plan(table(component(phase="shadow", shadow=0)), head("GET", "/api/users"), [CALM]).plan.watch is None

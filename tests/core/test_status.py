from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.core.brief import told
from proxy.core.emergency import read_emergency
from proxy.core.evidence import Evidence, Outcome
from proxy.core.problems import Alarm
from proxy.core.rules import FileRecord, Origin, RuleSet, Side, parse_component
from proxy.core.status import (
    Facts,
    RefusedFile,
    down_everywhere,
    drift_facts,
    heartbeat_facts,
    open_breakers,
    status_document,
)

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z
ANA = Origin(who="ana", at="2025-12-31T23:48:00Z", version=41, why="canary looks good")
FILES = Origin(who="files", at="2025-12-31T20:00:00Z", version=7, why="seed")


def component(name: str = "users", **values: Any):
    return parse_component({"component": name, "routes": {f"GET /api/{name}": {}}, **values}, file=f"{name}.yaml")


def rule_set(*components: Any, **more: Any) -> RuleSet:
    by_name = {each.component: each for each in components}
    facts = {"epoch": "e1", "version": 41, "who": "ana", "why": "canary looks good", "at": "2025-12-31T23:48:00Z"}
    return RuleSet(**facts, components=by_name, **more)


def replica(name: str = "a", **more: Any) -> dict[str, Any]:
    facts = heartbeat_facts(connected=True)
    return {"id": name, "version": 41, "epoch": "e1", "refusals": (), "breakers": (), "facts": facts, **more}


def document(rules: RuleSet | None, **more: Any) -> dict[str, Any]:
    found = status_document(Facts(rules, at_s=NOW, **{"replicas": [replica()], **more}))
    return orjson.loads(orjson.dumps(found))


def test_a_value_is_shown_with_who_set_it_when_and_what_the_file_says():
    values = {"component": "users", "routes": {"GET /api/users": {}}, "weight": 25}
    rules = rule_set(
        component(weight=50),
        origins={"users": {"weight": ANA, "routes.GET /api/users": FILES}},
        files={"users": FileRecord(hash="h", values=values, hashes=("h",))},
    )

    shown = document(rules)["components"]["users"]

    assert shown["values"]["weight"] == {
        "value": 50,
        "who": "ana",
        "at": "2025-12-31T23:48:00Z",
        "version": 41,
        "why": "canary looks good",
        "file": 25,
        "said": "50 (ana, 12 min ago; file says 25)",
    }
    assert shown["values"]["phase"] == {"value": None, "said": "nothing"}
    assert shown["changed"]["fields"] == ["weight"]
    assert shown["changed"]["who"] == "ana"


def test_all_is_well_when_nothing_is_wrong():
    shown = document(rule_set(component(weight=50)))

    assert (shown["version"], shown["epoch"], shown["degraded"], shown["because"]) == (41, "e1", False, [])
    assert shown["replicas"][0]["current"] is True


@pytest.mark.parametrize(
    ("values", "keys", "reads"),
    [
        ({}, {}, ("legacy", 100, 0, "phase")),
        ({"weight": 25}, {}, ("both", 75, 25, "weight")),
        ({"weight": 12.34}, {}, ("both", 87.66, 12.34, "weight")),
        ({"weight": 100}, {}, ("modern", 0, 100, "weight")),
        ({"weight": 0, "phase": "canary"}, {}, ("legacy", 100, 0, "weight")),
        ({"weight": 50, "phase": "shadow"}, {}, ("legacy", 100, 0, "phase")),
        ({"weight": 50, "phase": "retired"}, {}, ("modern", 0, 100, "phase")),
        ({"weight": 50}, {"users": "legacy"}, ("legacy", 100, 0, "emergency")),
        ({"weight": 50}, {"users": "Modern "}, ("modern", 0, 100, "emergency")),
        ({"weight": 50}, {"all": "legacy"}, ("legacy", 100, 0, "emergency")),
        ({"weight": 50}, {"all": "modern", "users": "legacy"}, ("legacy", 100, 0, "emergency")),
        ({"weight": 50}, {"users": "lgacy"}, ("legacy", 100, 0, "emergency")),
        ({}, {"users": "modern"}, ("legacy", 100, 0, "phase")),
    ],
)
def test_who_answers_and_why(values, keys, reads):
    emergencies = {name: read_emergency(value) for name, value in keys.items()}

    shown = document(rule_set(component(**values)), emergencies=emergencies)["components"]["users"]["reads"]

    assert (shown["side"], shown["legacy"], shown["modern"], shown["reason"]) == reads


def test_rules_that_no_replica_follows_claim_nothing():
    shown = document(rule_set(component(weight=50)), replicas=[replica("a", epoch="e2", version=10)])

    users = shown["components"]["users"]
    assert (users["reads"]["side"], users["reads"]["modern"], users["writes"]) == ("unknown", None, "unknown")
    assert users["next"]["blocked"] == ["no replica follows these rules until `banyan rules accept`"]
    assert users["going_back"] == "no replica follows these rules until `banyan rules accept`"
    assert "replica a applies version 10" in shown["because"]


@pytest.mark.parametrize(
    "replicas",
    [
        [],
        [replica("a", epoch="")],
        [replica("a", epoch="files", source="files")],  # it takes what is published once it reads the store
        [replica("a", epoch="e2"), replica("b")],
    ],
)
def test_rules_that_a_replica_follows_or_will_follow_are_told(replicas):
    shown = document(rule_set(component(weight=50)), replicas=replicas)

    assert shown["components"]["users"]["reads"]["side"] == "both"


def test_a_replica_that_never_read_the_store_says_who_answers_meanwhile():
    shown = document(rule_set(component(weight=100, kind="entity")), store_lost=True)["components"]["users"]

    assert (shown["reads"]["side"], shown["reads"]["reason"], shown["writes"]) == ("legacy", "store_lost", "refused")


def test_an_emergency_is_shown_with_the_time_it_has_left():
    shown = document(rule_set(component(weight=5)), emergencies={"users": read_emergency("legacy", 90_000)})

    assert shown["emergencies"]["users"] == {
        "key": "emergency:users",
        "side": "legacy",
        "raw": "legacy",
        "ends_in_s": 90.0,
    }
    assert shown["components"]["users"]["emergency"]["heeded"] is True


def test_an_emergency_for_nobody_is_an_alarm_with_a_suggestion():
    shown = document(rule_set(component()), emergencies={"user": read_emergency("legacy")})

    assert shown["degraded"]
    assert "did you mean `users`?" in shown["alarms"][0]["why"]


def test_refused_files_are_shown_with_place_and_component():
    problem = "users.yaml:2:9: weight: should be 0 to 100, is 140"
    refused = heartbeat_facts(connected=True, refused=[RefusedFile("users", "users.yaml", problem)])

    shown = document(rule_set(component()), replicas=[replica("a", facts=refused), replica("b", facts=refused)])

    assert shown["refused"] == [
        {"component": "users", "file": "users.yaml", "problem": problem, "replicas": ["a", "b"]}
    ]
    assert shown["components"]["users"]["refused"] == shown["refused"]
    assert shown["because"] == [problem]


def test_an_alarm_of_many_replicas_is_shown_once():
    facts = heartbeat_facts(connected=True, alarms=[Alarm("ruleset_regressed", "the store went back")])

    shown = document(rule_set(component()), replicas=[replica("a", facts=facts), replica("b", facts=facts)])

    assert shown["alarms"] == [
        {"kind": "ruleset_regressed", "why": "the store went back", "component": None, "replicas": ["a", "b"]}
    ]


def test_a_sticky_value_that_makes_most_of_the_reads_is_warned_of():
    facts = heartbeat_facts(connected=True, skew={"users": 0.34, "analytics": 0.1})

    shown = document(rule_set(component(), component("analytics")), replicas=[replica(facts=facts)])

    assert shown["components"]["users"]["skew"] == 0.34
    assert shown["components"]["analytics"]["skew"] is None
    assert shown["because"] == ["users: one sticky value makes 34% of its reads in a replica; its weight means little"]


def test_open_breakers_are_shown_at_their_component():
    shown = document(rule_set(component()), replicas=[replica(breakers=("users/modern", "other/legacy"))])

    assert shown["components"]["users"]["breakers"] == [{"replica": "a", "side": "modern"}]


@pytest.mark.parametrize(
    ("more", "because"),
    [
        ({"replicas": []}, "no replica is running"),
        ({"replicas": [replica(version=40)]}, "replica a applies version 40"),
        ({"replicas": [replica(facts=heartbeat_facts(connected=False))]}, "replica a does not reach the store"),
        ({"replicas": [replica(refusals=("the store's rules are refused",))]}, "the store's rules are refused"),
        ({"fault": "the store is away"}, "the store is away"),
    ],
)
def test_what_is_not_as_it_should_be_is_said(more, because):
    shown = document(rule_set(component()), **more)

    assert shown["degraded"]
    assert because in shown["because"]


def test_without_rules_there_is_a_document_all_the_same():
    shown = document(None)

    assert (shown["version"], shown["epoch"], shown["components"]) == (0, "", {})
    assert "no rules were ever published: everything goes to legacy" in shown["because"]


def test_what_another_build_puts_into_its_heartbeat_does_no_harm():
    strange = [replica(facts=facts) for facts in (None, [], {"alarms": 3, "skew": [], "refused_files": ["x"]})]

    assert document(rule_set(component()), replicas=strange)["alarms"] == []


def test_the_next_step_and_what_blocks_it():
    rules = rule_set(component(weight=5), component("configuration", after=["users"], weight=5))

    shown = document(rules)["components"]

    assert shown["users"]["next"]["verb"] == "banyan weight users 25"
    assert shown["users"]["next"]["blocked"] == []
    assert "users should be at least as far first" in shown["configuration"]["next"]["blocked"][0]
    assert shown["users"]["going_back"].startswith("free")


@pytest.mark.parametrize(
    ("more", "blocked"),
    [
        ({"emergencies": {"users": read_emergency("legacy")}}, ["an emergency sends all reads to legacy"]),
        ({"replicas": [replica(breakers=("users/modern",))]}, ["the breaker of modern is open in a"]),
        ({"replicas": [replica(breakers=("users/legacy",))]}, []),
        (
            {"replicas": [replica(facts=heartbeat_facts(connected=True, down=[Side.MODERN]))]},
            ["modern has no healthy instance for a"],
        ),
        ({"replicas": [replica(facts=heartbeat_facts(connected=True, down=[Side.LEGACY]))]}, []),
        ({"replicas": [replica(facts={"connected": True, "down": "modern"})]}, []),
        ({"replicas": [replica(breakers=("billing/modern",))]}, []),
    ],
)
def test_nobody_is_told_to_raise_a_weight_while_modern_is_spared(more, blocked):
    ahead = document(rule_set(component(weight=5)), **more)["components"]["users"]["next"]

    assert (ahead["verb"], ahead["blocked"]) == ("banyan weight users 25", blocked)


def test_a_file_that_only_drifts_is_shown_with_its_replica_and_degrades_nothing():
    facts = heartbeat_facts(connected=True) | drift_facts([("users", "users.yaml", "the file is old")])
    shown = document(rule_set(component(weight=5)), replicas=[replica(facts=facts)])

    assert shown["components"]["users"]["drifts"] == [{"replica": "a", "file": "users.yaml", "why": "the file is old"}]
    assert shown["degraded"] is False


def test_which_replicas_have_a_breaker_open_is_told_by_side():
    replicas = [replica("a", breakers=("users/modern", "users/sideways")), replica("b", breakers=("users/modern",))]

    assert open_breakers("users", replicas) == {Side.MODERN: ("a", "b")}


def test_a_side_is_down_everywhere_only_if_every_replica_says_so():
    modern = replica("a", facts=heartbeat_facts(connected=True, down=[Side.MODERN]))
    both = replica("b", facts=heartbeat_facts(connected=True, down=Side))

    assert down_everywhere([modern, both]) == {Side.MODERN}
    assert down_everywhere([modern, replica("c")]) == frozenset()
    assert down_everywhere([]) == frozenset()


def test_an_emergency_file_of_one_replica_is_shown_at_its_component():
    facts = heartbeat_facts(connected=True, sides={"users": Side.LEGACY})
    rules = rule_set(component(weight=50), component("analytics"))

    shown = document(rules, replicas=[replica("a", facts=facts), replica("b")])
    by_store = document(rules, replicas=[replica("a", facts=facts)], emergencies={"users": read_emergency("legacy")})

    assert shown["components"]["users"]["own_emergencies"] == [{"replica": "a", "side": "legacy"}]
    assert shown["components"]["analytics"]["own_emergencies"] == []
    assert by_store["components"]["users"]["own_emergencies"] == []


@pytest.mark.parametrize(
    ("sides", "reads"),
    [
        (["legacy"], "legacy"),
        (["legacy", "legacy"], "legacy"),
        (["legacy", None], "both"),
        (["legacy", "modern"], "both"),
    ],
)
def test_an_emergency_file_that_every_replica_has_says_who_answers(sides, reads):
    facts = [heartbeat_facts(connected=True, sides={"users": side} if side else {}) for side in sides]
    replicas = [replica(str(number), facts=each) for number, each in enumerate(facts)]

    assert document(rule_set(component(weight=50)), replicas=replicas)["components"]["users"]["reads"]["side"] == reads


def test_a_drift_of_a_component_that_is_not_live_is_told_too():
    facts = heartbeat_facts(connected=True) | drift_facts([("conf", "conf.yaml", "removed"), ("users", None, "old")])

    shown = document(rule_set(component()), replicas=[replica("a", facts=facts)])

    assert shown["drifts"] == [{"replica": "a", "component": "conf", "file": "conf.yaml", "why": "removed"}]
    assert shown["components"]["users"]["drifts"] == [{"replica": "a", "file": None, "why": "old"}]


def test_a_replica_that_says_nonsense_does_not_hide_the_others():
    odd = {"alarms": [{"kind": ["a"], "why": {"b": 1}, "component": []}], "refused_files": [{"file": {}}]}

    found = document(rule_set(component()), replicas=[replica("odd", facts=odd), replica("fine")])

    assert [each["id"] for each in found["replicas"]] == ["odd", "fine"]
    assert found["alarms"][0]["kind"] == "['a']"


def test_whatever_the_replicas_and_the_store_say_the_document_stays_short():
    alarms = [Alarm("k", f"{number}" + "x" * 5_000, "users") for number in range(3_000)]
    refused = [RefusedFile("users", "users.yaml", f"{number}" + "y" * 5_000) for number in range(3_000)]
    facts = heartbeat_facts(connected=True, alarms=alarms, refused=refused)
    facts |= drift_facts((f"gone{number}", "f.yaml", "z" * 5_000) for number in range(3_000))
    assert [len(facts[name]) for name in ("alarms", "refused_files", "drifts")] == [51, 51, 51]
    assert facts["refused_files"][-1] == {"component": "", "file": "", "problem": "… and 2,950 more"}
    assert len(orjson.dumps(facts)) < 200_000

    keys = {f"x{number}" + "k" * 5_000: read_emergency(b"v" * 5_000) for number in range(3_000)}
    keys["users"] = read_emergency(b"legacy")
    said = told(f"{number}" + "r" * 5_000 for number in range(3_000))
    shown = document(rule_set(component()), emergencies=keys, replicas=[replica(refusals=said, facts=facts)])
    assert len(orjson.dumps(shown)) < 1_000_000
    assert shown["emergencies"]["users"]["side"] == "legacy"
    assert len(shown["because"]) == 201 and shown["because"][-1].endswith(" more")


def test_many_replicas_that_say_different_things_do_not_make_the_document_long():
    replicas = [
        replica(f"r{number}", facts=heartbeat_facts(connected=True, alarms=[Alarm("k", f"trouble {number}")]))
        for number in range(900)
    ]
    shown = document(rule_set(component()), replicas=replicas)

    assert len(shown["alarms"]) == len(shown["because"]) == 201
    assert shown["alarms"][-1] == {"kind": "", "why": "… and 700 more", "component": "", "replicas": []}


# Comparison


def test_what_was_compared_is_shown_at_its_component():
    matched = Evidence({Outcome.MATCHED: 5_000}, entities=2_995, since="2026-01-01T00:00:00Z", why="rules")
    shown = document(rule_set(component(), component("orders")), evidence={"users": {"/u": matched}})

    compared = shown["components"]["users"]["compared"]
    assert (compared["matched"], compared["since"], compared["because"]) == (5_000, "2026-01-01T00:00:00Z", "rules")
    assert compared["said"].startswith("fewer than 0.10 % differ")
    assert shown["components"]["orders"]["compared"] is None


def test_a_comparator_that_misses_what_was_planted_makes_its_component_red():
    swallowed = Evidence({}, {"test:swallowed": 1, "swallowed:ignore $..*": 1})
    shown = document(rule_set(component()), replicas=[replica()], evidence={"users": {"/u": swallowed}})

    assert shown["degraded"]
    assert (
        "users: differences planted to test the comparator are not found: `ignore $..*` is too wide" in shown["because"]
    )

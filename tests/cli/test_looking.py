from __future__ import annotations

import json

import pytest

from proxy.core.rules import Side
from proxy.core.status import RefusedFile, drift_facts, heartbeat_facts
from tests.cli.place import USERS


def test_status_needs_no_gateway(place):
    place.say("weight", "users", "50", "--who", "ana", "--why", "looks good")

    said = place.say("status", "-o", "json")

    assert said.code == 0
    assert {"version", "epoch", "degraded", "components", "replicas"} <= set(said.data)
    weight = said.data["components"]["users"]["values"]["weight"]
    assert (weight["value"], weight["who"], weight["file"]) == (50, "ana", 5)


def test_status_as_a_table_says_who_set_what_and_what_the_file_says(place):
    place.say("weight", "users", "50", "--who", "ana", "--why", "looks good")
    place.beat("a", version=2, epoch=place.say("status", "-o", "json").data["epoch"])

    said = place.say("status")

    assert said.code == 0
    assert "(ana, 0 s ago; file says 5)" in said.out or "s ago; file says 5)" in said.out
    assert "banyan weight users 100" in said.out
    assert said.out.rstrip().endswith("all is well")
    assert "\x1b" not in said.out


def test_status_shows_refused_files_and_emergencies(place):
    refused = RefusedFile("users", "users.yaml", "users.yaml:2:9: weight: should be 0 to 100, is 140")
    place.beat("a", facts=heartbeat_facts(connected=True, refused=[refused]))
    place.redis.set("banyan:emergency:user", "legacy")

    said = place.say("status")

    assert "users.yaml:2:9: weight: should be 0 to 100, is 140" in said.out
    assert "did you mean `users`?" in said.out
    assert said.out.rstrip().endswith("degraded")
    assert place.say("status", "-o", "json").data["refused"][0]["component"] == "users"


def test_status_says_what_a_key_means_and_what_it_says(place):
    place.beat("a", version=1, epoch=place.say("status", "-o", "json").data["epoch"], breakers=("users/modern",))
    assert place.say("status").out.rstrip().endswith("a breaker is open")

    place.redis.set("banyan:emergency:users", " LEGACY ")
    said = place.say("status")

    assert "users: emergency: legacy, as the key says ` LEGACY `, until `DEL` of emergency:users" in said.out
    assert said.out.rstrip().endswith("an emergency is in force")


def test_status_shows_files_that_only_drift(place):
    drift = drift_facts([("users", "users.yaml", "the file is old")])
    place.beat("a", version=1, epoch=place.say("status", "-o", "json").data["epoch"], facts=drift)

    said = place.say("status")

    assert "users: drift in a: the file is old (`banyan rules diff` there)" in said.out
    assert said.out.rstrip().endswith("a rule file is not what is live: see drift")


def test_a_replica_ahead_of_an_unreadable_store_is_not_called_behind(place):
    place.beat("a", version=4, epoch="e")
    place.redis.set("banyan:rules", "{half")

    assert "4 (not the store's)" in place.say("status").out


def test_explain_knows_of_breakers_that_are_open_everywhere_and_tells_of_others(place):
    place.say("weight", "users", "100")
    place.beat("a", breakers=("users/modern",))
    asked = ("explain", "GET", "/api/users/42", "-o", "json")

    assert (place.say(*asked).data["side"], place.say(*asked).data["reason"]) == ("legacy", "breaker")

    place.beat("b")
    said = place.say(*asked)
    assert (said.data["side"], said.data["reason"]) == ("modern", "weight")
    assert "the breaker of modern is open in a, not in every replica" in said.err


def test_explain_knows_of_a_side_that_is_down_everywhere(place):
    place.say("weight", "users", "100")
    down = heartbeat_facts(connected=True, down=[Side.MODERN])
    place.beat("a", facts=down)
    asked = ("explain", "GET", "/api/users/42", "-o", "json")

    said = place.say(*asked)
    assert (said.data["side"], said.data["reason"]) == ("legacy", "breaker")
    assert "modern has no healthy instance" in said.data["steps"][2]["text"]

    place.beat("b", facts=heartbeat_facts(connected=True))
    assert place.say(*asked).data["side"] == "modern"


def test_status_as_yaml(place):
    assert place.say("status", "-o", "yaml").out.startswith("version: 1\nepoch: ")


def test_status_of_a_store_that_does_not_answer_ends_with_5(bare):
    said = bare.say("status")

    assert (said.code, said.out) == (5, "")
    assert "out of reach" in said.err


def test_status_of_garbage_says_so(place):
    place.redis.set("banyan:rules", "{half")

    said = place.say("status", "-o", "json")

    assert (said.code, said.data["degraded"]) == (0, True)
    assert "refused" in said.data["because"][0]


def test_explain_is_about_what_is_live(place):
    place.say("weight", "users", "100")

    said = place.say("explain", "GET", "/api/users/42", "-H", "x-user-id: 7", "-o", "json")

    assert said.code == 0
    assert (said.data["version"], said.data["side"], said.data["reason"]) == (2, "modern", "weight")
    assert [step["name"] for step in said.data["steps"]] == ["eligible", "choice", "breaker"]
    assert isinstance(said.data["bucket"], int)


def test_explain_heeds_an_emergency(place):
    place.say("weight", "users", "100")
    place.say("emergency", "users", "legacy", "--why", "x")

    said = place.say("explain", "GET", "/api/users/42")

    assert said.out.startswith("GET /api/users/42 → legacy (emergency)\n")


def test_explain_from_files_needs_neither_store_nor_gateway(bare):
    said = bare.say("explain", "--rules", "rules", "GET", "/api/users/42", "-H", "x-user-id: 7", "-o", "json")

    assert (said.code, said.err) == (0, "")
    assert (said.data["component"], said.data["route"]) == ("users", "GET /api/users/{id}")


def test_explain_falls_back_to_the_files_and_says_so(bare):
    said = bare.say("explain", "GET", "/api/users/42", "-o", "json")

    assert said.code == 0
    assert said.data["component"] == "users"
    assert "out of reach" in said.err
    assert "rule files" in said.err


def test_explain_of_an_empty_store_falls_back_too(empty):
    said = empty.say("explain", "GET", "/api/users/42", "-o", "json")

    assert said.data["component"] == "users"
    assert "no rules yet" in said.err


@pytest.mark.parametrize(
    "words", [("GET", "users"), ("G T", "/"), ("GET", "/", "-H", "nocolon"), ("GET", "/a\r\nb"), ("GET",)]
)
def test_explain_of_no_request_is_a_usage_error(bare, words):
    assert bare.say("explain", "--rules", "rules", *words).code == 2


def test_explain_by_bad_files_ends_with_4(bare):
    bare.write("rules/users.yaml", USERS.replace("weight: 5", "weight: 140"))

    said = bare.say("explain", "--rules", "rules", "GET", "/")
    assert said.code == 4
    assert "should be 0 to 100, is 140" in said.err


def test_a_forced_side_takes_the_secret_of_the_settings(bare):
    bare.configure(force_secret="s3cret")
    words = ("explain", "--rules", "rules", "GET", "/api/users/42", "-o", "json", "-H")

    assert bare.say(*words, "x-banyan-force: modern;s3cret").data["reason"] == "forced"
    assert bare.say(*words, "x-banyan-force: modern;wrong").data["reason"] == "weight"


def test_routes_lists_claims_and_what_replicas_counted_as_unclaimed(place):
    for replica in ("a", "b"):
        place.beat(replica, facts=heartbeat_facts(connected=True, unclaimed=[("/static/js", 3), (f"/{replica}", 1)]))

    said = place.say("routes", "-o", "json")

    assert [each["route"] for each in said.data["routes"] if each["component"] == "users"] == [
        "GET /api/users",
        "GET /api/users/{id}",
    ]
    assert said.data["unclaimed"][0] == {"path": "/static/js", "requests": 6}
    assert "/static/js" in place.say("routes").out


def test_routes_of_files(bare):
    said = bare.say("routes", "--rules", "rules")

    assert said.code == 0
    assert "/api/configuration/{key}" in said.out


@pytest.mark.parametrize(("what", "key"), [("settings", "listen"), ("rules", "weight")])
def test_schema_is_one_for_editors(bare, what, key):
    said = bare.say("schema", what)

    assert said.code == 0
    assert key in json.loads(said.out)["properties"]


def test_schema_of_anything_else_is_a_usage_error(bare):
    assert bare.say("schema", "gates").code == 2


def test_no_folder_and_no_settings_are_fine_for_a_look(bare):
    (bare.folder / "config.yaml").unlink()

    assert bare.say("explain", "--rules", "rules", "GET", "/").code == 0


def test_status_claims_nothing_that_no_replica_does(place):
    place.beat("one", epoch="another", version=10, source="store")

    said = place.say("status")

    assert said.code == 0
    assert "unknown (unfollowed)" in said.out
    assert "blocked: no replica follows these rules until `banyan rules accept`" in said.out


def test_status_shows_a_file_whose_component_is_not_live(place):
    epoch = place.say("status", "-o", "json").data["epoch"]
    drift = {"component": "conf", "file": "conf.yaml", "why": "the component was removed"}
    place.beat("one", epoch=epoch, version=1, source="store", facts={"drifts": [drift]})

    said = place.say("status")

    assert "conf: drift in one: the component was removed" in said.out
    assert "all is well" not in said.out


def test_status_advises_no_verb_that_would_be_refused(place):
    assert "banyan weight users 25" in place.say("status").out
    place.configure(live_changes="emergency_only")

    said = place.say("status").out

    assert "banyan weight" not in said
    assert "give modern a larger share of the reads: 25 %, by its rule file" in said

"""`banyan mismatches` as it is typed: listed, followed, shown and closed; and no secret on the terminal."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.core.pairs import answer, pair
from tests.store.secretive import secretive, traces_of_it
from tests.store.seen import put_pairs

BANYAN = Path(sys.executable).with_name("banyan")
NAMES = {
    *("id", "component", "route", "path", "kind", "shape", "count", "entities", "first_seen", "last_seen", "status"),
    *("reopened", "closed_by", "closed_why", "closed_at"),
}


@pytest.fixture
def seen(place):
    """A place with a cluster of `users`, seen twice, and one of `configuration`."""
    first, second = {"id": 1, "at": "2026-01-01T00:00:00Z"}, {"id": 1, "at": "2026-01-01T02:00:00Z"}
    put_pairs(
        place.store,
        pair(first, second, entity=b"1"),
        pair(first, second, entity=b"2"),
        pair(
            answer({}, 200), answer({}, 404), component="configuration", route="GET /api/configuration/{key}",
            target=b"/api/configuration/theme", at_s=1_767_261_700.0,
        ),
    )  # fmt: skip
    return place


def ids(place: Any, *words: str) -> list[str]:
    return [each["id"] for each in place.say("mismatches", *words, "-o", "json").data]


def test_the_list_has_every_field_and_the_newest_first(seen):
    said = seen.say("mismatches", "-o", "json")

    assert said.code == 0
    status, value = said.data
    assert set(status) == NAMES
    assert (status["component"], status["kind"], status["shape"]) == ("configuration", "status", "200≠404")
    assert (value["path"], value["kind"], value["count"], value["entities"]) == ("$.at", "value", 2, 2)
    assert (value["route"], value["status"], value["reopened"]) == ("GET /api/users/{id}", "open", 0)
    assert value["first_seen"] == value["last_seen"] == "2026-01-01T10:00:00.000Z"


def test_a_component_may_stand_where_a_verb_does(seen):
    users = ids(seen, "users")

    assert len(users) == 1
    assert ids(seen, "list", "users") == users
    assert ids(seen, "-c", "config.yaml", "users") == users
    assert set(ids(seen)) > set(users)
    assert json.loads(seen.say("-o", "json", "mismatches", "users").out)[0]["id"] == users[0]


def test_the_list_as_a_table_and_as_yaml(seen):
    said = seen.say("mismatches", "users")
    lines = said.out.splitlines()
    assert (said.code, len(lines)) == (0, 2)
    assert lines[0].split()[:4] == ["id", "component", "route", "path"]
    assert "$.at" in lines[1] and "text≠text" in lines[1] and "open" in lines[1]
    assert "\x1b" not in said.out

    assert seen.say("mismatches", "users", "-o", "yaml").out.startswith("- id: ")


def test_no_mismatches_is_talk_and_an_empty_list(place):
    assert (place.say("mismatches").out, place.say("mismatches").err) == ("", "no mismatches\n")
    assert place.say("mismatches", "users", "-o", "json").data == []


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("mismatches", "user"), 2, "no component is called 'user'; did you mean `users`?"),
        (("mismatches", "show"), 2, "ID"),
        (("mismatches", "show", "zzz"), 3, "no mismatch has the id 'zzz'; `banyan mismatches` lists"),
        (("mismatches", "close", "zzz"), 2, "needs a reason: --why"),
        (("mismatches", "close", "zzz", "--why", "x"), 3, "no mismatch has the id 'zzz'"),
        (("mismatches", "show", "zzz", "--as", "wget"), 2, "curl"),
        (("mismatches", "users", "configuration"), 2, "configuration"),
        (("mismatches", "--follow", "-o", "yaml"), 2, "--follow prints a table"),
    ],
)
def test_what_is_typed_wrong_is_said(seen, words, code, says):
    said = seen.say(*words)

    assert (said.code, said.out) == (code, "")
    assert says in said.err


def test_without_a_store_it_is_out_of_reach(bare):
    for words in (("mismatches",), ("mismatches", "show", "x"), ("mismatches", "close", "x", "--why", "y")):
        assert bare.say(*words).code == 5


def test_help_names_the_verbs(capsys, bare):
    out = bare.say("mismatches", "--help").out

    assert {"list", "show", "close"} <= {line.split()[0] for line in out.splitlines() if line.strip()}
    assert "--follow" in bare.say("mismatches", "list", "--help").out


def test_one_is_shown_side_by_side_with_its_hints(seen):
    said = seen.say("mismatches", "show", ids(seen, "users")[0])

    assert said.code == 0
    assert "users GET /api/users/{id}: value text≠text at $.at" in said.out
    assert "seen 2 times of 2 entities" in said.out
    assert "GET /api/users/42?page=2" in said.out
    assert "with the header fields accept" in said.out
    assert "hint: 2 h apart" in said.out
    rows = [line.split() for line in said.out.splitlines()]
    assert ["legacy", "modern"] in rows
    assert ["status", "200", "200"] in rows
    assert any(row[:2] == ["≠", "$.at"] for row in rows)
    assert any(row[:2] == ["≠", "at"] for row in rows)
    assert any(row[:2] == ["id", "integer"] for row in rows), "what is equal has no mark"
    assert "\x1b" not in said.out


def test_one_as_json_has_its_examples(seen):
    id = ids(seen, "users")[0]

    said = seen.say("mismatches", "show", id, "--as", "json").data
    assert set(said) == NAMES | {"examples"}
    assert [each["request_path"] for each in said["examples"]] == ["/api/users/42"] * 2
    assert said == seen.say("mismatches", "show", id, "-o", "json").data


def test_values_are_shown_only_where_the_rules_reveal_them(place):
    put_pairs(place.store, pair({"role": "admin", "name": "Ana"}, {"role": "user", "name": "Bob"}, reveal=("$.role",)))

    out = "".join(place.say("mismatches", "show", id).out for id in ids(place))
    assert '"admin"' in out and '"user"' in out
    assert "Ana" not in out and "Bob" not in out


def test_what_is_closed_says_why_and_by_whom(seen):
    id = ids(seen, "users")[0]

    said = seen.say("mismatches", "close", id, "--why", "fixed in 1.2", "--who", "ana", "-o", "json")
    assert (said.code, said.data["status"], said.data["closed_by"], said.data["closed_why"]) == (
        0, "closed", "ana", "fixed in 1.2",
    )  # fmt: skip
    assert "closed by ana" in seen.say("mismatches", "show", id).out
    again = seen.say("mismatches", "close", id, "--why", "x")
    assert (again.code, again.err) == (0, f"{id} was closed before, by ana: fixed in 1.2\n")

    put_pairs(seen.store, pair({"id": 1, "at": "2026-01-01T00:00:00Z"}, {"id": 1, "at": "2026-01-01T02:00:00Z"}))
    (found,) = seen.say("mismatches", "users", "-o", "json").data
    assert (found["status"], found["reopened"], found["count"]) == ("open", 1, 3)
    assert "open, reopened 1 time" in seen.say("mismatches", "users").out


def test_what_others_write_into_the_store_does_not_steer_the_terminal(seen):
    id = ids(seen, "users")[0]
    key = f"banyan:{{users}}:mismatches:{id}"
    evil = "\x1b]0;owned\x07\u202e"
    seen.redis.hset(key, mapping={"path": evil, "route": evil, "kind": evil, "shape": evil, "closed_why": evil})
    odd = {name: [evil] for name in ("query", "fields", "hints", "statuses", "shapes", "sides")}
    example = {
        **odd,
        "request_path": evil,
        "method": evil,
        "others": [[evil, evil], 1],
        "around": {"rows": [1, [evil] * 4]},
    }
    seen.redis.lpush(f"{key}:examples", json.dumps(example), json.dumps({"around": 1, "query": 1, "steps": 1}))

    for words in (
        ("mismatches", "users"),
        ("mismatches", "users", "-o", "json"),
        ("mismatches", "users", "-o", "yaml"),
        *(("mismatches", "show", id, *more) for more in ((), ("-o", "json"), ("--as", "curl"), ("--as", "pytest"))),
    ):
        said = seen.say(*words)
        assert said.code == 0, said.err
        assert not {"\x1b", "\x07", "\u202e"} & set(said.out + said.err)


def test_no_secret_reaches_the_terminal(place):
    put_pairs(place.store, *secretive())
    found = ids(place, "users")
    assert len(found) > 5

    said = [place.say("mismatches"), place.say("mismatches", "-o", "yaml")]
    for id in found:
        said += [place.say("mismatches", "show", id, *more) for more in ((), ("--as", "curl"), ("--as", "pytest"))]
        said.append(place.say("mismatches", "show", id, "--as", "json"))
    said.append(place.say("mismatches", "close", found[0], "--why", "x"))
    assert all(each.code == 0 for each in said)
    assert traces_of_it("".join(each.out + each.err for each in said)) == []


def test_following_prints_what_is_new_and_what_changes(seen):
    """The whole way: a process of its own, whose lines come as things happen."""
    id = ids(seen, "users")[0]
    words = [BANYAN, "mismatches", "users", "--follow", "-o", "json"]
    process = subprocess.Popen(words, cwd=seen.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert json.loads(process.stdout.readline())["count"] == 2
        put_pairs(seen.store, pair({"b": 1}, {}, at_s=time.time()))
        new = json.loads(process.stdout.readline())
        assert (new["path"], new["kind"]) == ("$.b", "missing")
        seen.say("mismatches", "close", id, "--why", "fixed")
        closed = json.loads(process.stdout.readline())
        assert (closed["id"], closed["status"]) == (id, "closed")
    finally:
        process.terminate()
        process.communicate(timeout=20)

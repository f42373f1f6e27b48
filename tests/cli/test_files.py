from __future__ import annotations

import re

import pytest

from tests.cli.place import USERS


def test_the_first_push_publishes_all_files(empty):
    said = empty.say("rules", "push", "--why", "start", "-o", "json")

    assert (said.code, said.data["version"], said.data["changed"]) == (0, 1, True)
    assert empty.say("rules", "push").out == "nothing to change (version 1)\n"


def test_a_push_publishes_what_was_edited_and_leaves_live_values(place):
    place.say("weight", "users", "50")
    place.write("rules/users.yaml", USERS + "owner: team-a\n")

    assert place.say("rules", "push").out == "users.owner: null → team-a\nversion 3\n"


COMPARE = """\
compare:
  ignore:
    - $.updated_at   # a trigger writes it
    - {path: $.etag, until: 2999-01-31}
  tolerance: {$.score: 0.001}
"""


def test_rules_of_comparison_go_there_and_back(place):
    place.write("rules/users.yaml", USERS + COMPARE)
    assert place.say("rules", "push").out == (
        "users.compare.ignore: [] → [$.updated_at, {path: $.etag, until: 2999-01-31}]\n"
        "users.compare.tolerance.$.score: nothing → 0.001\n"
        "version 2\n"
    )
    live = COMPARE.replace("2999", "3999").replace("0.001", "{relative: 1%, why: rounded}") + "shadow: 50\n"
    place.write("rules/users.yaml", USERS + live)
    assert place.say("rules", "push").code == 0
    place.write("rules/users.yaml", USERS + COMPARE)

    said = place.say("rules", "diff").out
    assert "{path: $.etag, until: 3999-01-31}" in said
    assert "{relative: 1%, why: rounded}" in said
    assert place.say("rules", "pull", "--write").code == 0
    assert (place.folder / "rules/users.yaml").read_text() == USERS + live
    assert place.say("rules", "diff", "-o", "json").data == []


def test_a_push_that_changes_nothing_says_where_live_values_are_others(place):
    place.say("rollback", "users", "--why", "errors", "--who", "bob")

    said = place.say("rules", "push")

    assert (said.code, said.out) == (0, "nothing to change (version 2)\n")
    assert re.fullmatch(
        r"users\.weight: live 0 \(by bob, 20[0-9TZ:.-]+\), file 5: not edited here; "
        r"`rules pull --write` or `rules push --take files`\n",
        said.err,
    )


def test_a_push_has_in_its_data_what_differs_after_it(place):
    place.say("rollback", "users", "--why", "errors", "--who", "bob")

    said = place.say("rules", "push", "-o", "json")

    (drift,) = said.data["drifts"]
    assert [drift] == place.say("rules", "diff", "-o", "json").data
    (field,) = drift["fields"]
    assert (field["field"], field["live"], field["file"], field["who"]) == ("weight", 0, 5, "bob")
    assert field["at"].startswith("20")
    assert "drifts:" in place.say("rules", "push", "-o", "yaml").out
    assert place.say("rules", "push", "--take", "files", "-o", "json").data["drifts"] == []


def test_a_push_without_a_drift_says_nothing_more(place):
    said = place.say("rules", "push")

    assert (said.out, said.err) == ("nothing to change (version 1)\n", "")


def test_a_push_of_files_that_count_whole_replaces_live_values(place):
    place.say("weight", "users", "50")

    assert place.say("rules", "push", "--take", "files").out == "users.weight: 50 → 5\nversion 3\n"
    assert place.say("rules", "push", "--take", "live").code == 2


def test_a_push_with_one_bad_file_publishes_nothing_and_names_every_problem(place):
    place.write(
        "rules/users.yaml",
        USERS.replace("weight: 5 ", "weight: 140").replace("component: users", "component: users\nphaze: off"),
    )
    place.write("rules/configuration.yaml", "component: configuration\nweight: 12.345\n")

    said = place.say("rules", "push")

    assert said.code == 4
    assert "users.yaml:3:9: weight: should be 0 to 100, is 140" in said.err
    assert "users.yaml:2:1: phaze: unknown key; did you mean `phase`?" in said.err
    assert "configuration.yaml:2:9: weight: should be 0 to 100 in steps of 0.01, is 12.345" in said.err
    assert len(place.say("rules", "history", "-o", "json").data) == 1


def test_a_push_of_files_from_before_is_refused(place):
    place.write("rules/users.yaml", USERS.replace("weight: 5 ", "weight: 9 "))
    place.say("rules", "push", "--who", "ana")
    place.write("rules/users.yaml", USERS)

    said = place.say("rules", "push")

    assert (said.code, said.out) == (3, "")
    assert "the files here would take back: users.weight: 9 → 5 (now by ana, 20" in said.err
    assert "--take files" in said.err
    assert "pull --write" in said.err


def test_a_push_from_an_older_folder_names_what_it_would_take_back_and_whose_it_is(place):
    place.write("rules/users.yaml", USERS.replace("weight: 5 ", "weight: 70 "))
    assert place.say("rules", "push", "--who", "ana@r1").code == 0
    place.write("rules/users.yaml", USERS + "owner: me\n")  # as the other folder has it

    said = place.say("rules", "push")

    assert (said.code, said.out) == (3, "")
    assert "users.weight: 70 → 5 (now by ana@r1, " in said.err
    assert place.say("rules", "push", "--take", "files").out == (
        "users.owner: null → me\nusers.weight: 70 → 5\nversion 3\n"
    )


def test_a_push_removes_a_component_that_is_off_and_has_no_file_and_nothing_else(place):
    place.say("weight", "users", "50")
    (place.folder / "rules/configuration.yaml").unlink()

    assert place.say("rules", "push").code == 0

    document = place.say("status", "-o", "json").data
    assert {name: each["weight"] for name, each in document["components"].items()} == {"users": 50}


def test_a_push_without_the_file_of_a_component_on_its_way_is_refused(place):
    (place.folder / "rules/users.yaml").unlink()
    place.write("rules/configuration.yaml", "component: configuration\nowner: team-a\n")

    said = place.say("rules", "push")

    assert (said.code, said.out) == (3, "")
    assert "users has no file here and is in canary" in said.err
    assert place.say("status", "-o", "json").data["version"] == 1


def test_a_push_made_for_another_version_is_a_conflict(place):
    place.write("rules/users.yaml", USERS + "owner: team-a\n")

    assert place.say("rules", "push", "--expect", "7").code == 6


def test_diff_shows_live_and_file_and_whose_the_live_value_is(place):
    place.say("weight", "users", "50", "--who", "ana")

    said = place.say("rules", "diff", "-o", "json")
    at = place.say("rules", "history", "-o", "json").data[0]["at"]

    assert said.data == [
        {
            "component": "users",
            "where": "both",
            "file": "users.yaml",
            "fields": [{"field": "weight", "live": 50, "file": 5, "who": "ana", "at": at}],
        }
    ]
    assert [line.split() for line in place.say("rules", "diff").out.splitlines()][1] == ["users", "weight", "50", "5"]


def test_without_a_difference_there_is_nothing_to_show(place):
    said = place.say("rules", "diff")

    assert (said.code, said.out, said.err) == (0, "", "the files say what is live\n")


def test_a_component_on_one_side_alone_is_shown(place):
    place.write("rules/analytics.yaml", "component: analytics\nroutes: {GET /api/analytics: {}}\n")
    (place.folder / "rules/configuration.yaml").unlink()

    found = {each["component"]: each["where"] for each in place.say("rules", "diff", "-o", "json").data}

    assert found == {"configuration": "live", "analytics": "file"}
    assert "no file" in place.say("rules", "diff").out


def test_pull_says_what_it_would_write_and_writes_when_told(place):
    place.say("weight", "users", "50")
    (place.folder / "rules/configuration.yaml").unlink()

    said = place.say("rules", "pull")
    assert "weight: 5 → 50" in said.out
    assert "--write" in said.err
    assert (place.folder / "rules/users.yaml").read_text() == USERS

    assert place.say("rules", "pull", "--write").code == 0
    assert (place.folder / "rules/users.yaml").read_text() == USERS.replace("weight: 5   #", "weight: 50  #")
    assert "after" in (place.folder / "rules/configuration.yaml").read_text()
    assert place.say("rules", "diff").out == ""
    assert place.say("rules", "pull").err == "the files say what is live\n"


def test_pull_leaves_a_file_that_nothing_live_belongs_to(place):
    place.write("rules/analytics.yaml", "component: analytics\nroutes: {GET /api/analytics: {}}\n")

    said = place.say("rules", "pull", "--write")

    assert said.code == 0
    assert "analytics.yaml only" in said.err


def test_history_is_shown_newest_first(place):
    place.say("weight", "users", "6", "--why", "one")
    place.say("weight", "users", "7", "--why", "two")

    table = place.say("rules", "history", "-n", "2").out.splitlines()

    assert [line.split()[0] for line in table] == ["version", "3", "2"]
    assert table[1].endswith("users.weight: 6 → 7")


def test_undo_takes_the_last_change_back_or_the_one_named(place):
    place.say("weight", "users", "6")
    place.say("rules", "undo")
    assert place.say("rules", "diff").out == ""

    place.say("weight", "users", "8")
    assert place.say("rules", "undo", "99").code == 3
    assert place.say("rules", "undo", "2").code == 3
    assert place.say("rules", "undo", "4", "--why", "no").out.startswith("users.weight: 8 → 5\n")


def test_accept_has_nothing_to_do_while_all_hold_the_same(place):
    assert place.say("rules", "accept").code == 3
    place.beat("a", epoch="another", version=9)

    assert place.say("rules", "accept", "--why", "rebuilt").code == 0


@pytest.mark.parametrize("words", [("push",), ("pull",), ("diff",), ("history",), ("undo",), ("accept",)])
def test_a_store_that_does_not_answer_ends_with_5(bare, words):
    assert bare.say("rules", *words).code == 5


@pytest.mark.parametrize("words", [("push",), ("pull",), ("diff",)])
def test_a_folder_that_is_not_there_ends_with_4(place, words):
    place.configure(rules="nowhere")

    said = place.say("rules", *words)

    assert said.code == 4
    assert "nowhere" in said.err

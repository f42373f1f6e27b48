from __future__ import annotations

import getpass

import pytest


def test_a_weight_is_published_and_said(place):
    said = place.say("weight", "users", "25", "--why", "canary looks good")

    assert (said.code, said.out) == (0, "users.weight: 5 → 25\nversion 2\n")
    last = place.say("rules", "history", "-o", "json").data[0]
    assert (last["version"], last["why"]) == (2, "canary looks good")
    assert last["who"].startswith(f"{getpass.getuser()}@")


def test_without_a_reason_it_is_what_was_typed_and_who_may_be_said(place):
    place.say("weight", "users", "25", "--who", "ana")

    last = place.say("rules", "history", "-o", "json").data[0]
    assert (last["who"], last["why"]) == ("ana", "banyan weight users 25")


def test_what_is_so_already_changes_nothing(place):
    said = place.say("weight", "users", "5", "-o", "json")

    assert (said.code, said.data) == (0, {"version": 1, "changed": False, "what": [], "warnings": []})


def test_the_form_may_stand_before_the_verb(place):
    assert place.say("-o", "yaml", "weight", "users", "6").out == (
        'version: 2\nchanged: true\nwhat:\n  - "users.weight: 5 → 6"\nwarnings: []\n'
    )


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("weight", "users", "140"), 2, "weight should be 0 to 100, is 140"),
        (("weight", "users", "12.345"), 2, "weight should be 0 to 100 in steps of 0.01, is 12.345"),
        (("weight", "users", "NaN"), 2, "weight should be 0 to 100, is NaN"),
        (("weight", "users", "inf"), 2, "weight should be 0 to 100, is inf"),
        (("weight", "users", "half"), 2, "is 'half'"),
        (("weight", "user", "25"), 2, "no component is called 'user'; did you mean `users`?"),
        (("weight", "users"), 2, "PCT"),
        (("weight", "users", "25", "--expect", "7"), 6, "at version 1 by now, not 7"),
        (("weight", "users", "25", "--expect", "x"), 2, "expect"),
        (("weight", "configuration", "25"), 3, "users should be at least as far first"),
        (("phase", "users", "canry"), 2, "did you mean `canary`?"),
        (("phase", "users", "cutover"), 4, "should be off, shadow, canary or retired"),
        (("phase", "user", "canary"), 2, "did you mean `users`?"),
        (("rollback", "users"), 2, "needs a reason"),
        (("rollback", "users", "--why", "  "), 2, "needs a reason"),
        (("rollback", "user", "--why", "x"), 2, "did you mean `users`?"),
        (("emergency", "users", "legacy"), 2, "needs a reason"),
        (("emergency", "user", "legacy", "--why", "x"), 2, "did you mean `users`?"),
        (("emergency", "users", "lgacy", "--why", "x"), 2, "did you mean `legacy`?"),
        (("emergency", "users", "legacy", "--why", "x", "--for", "10"), 2, "like 90s, 10m or 2h"),
        (("emergency", "users", "legacy", "--why", "x", "--for", "0s"), 2, "more than 0s"),
    ],
)
def test_what_makes_no_sense_or_is_not_allowed_changes_nothing(place, words, code, says):
    said = place.say(*words)

    assert (said.code, said.out) == (code, "")
    assert says in said.err
    assert place.redis.keys("banyan:emergency:*") == []
    assert len(place.say("rules", "history", "-o", "json").data) == 1


def test_a_phase_and_none_of_its_own(place):
    assert place.say("phase", "users", "shadow").out == "users.phase: null → shadow\nversion 2\n"
    assert place.say("phase", "users", "auto").out == "users.phase: shadow → null\nversion 3\n"


def test_a_doubtful_change_is_made_and_warned_of(place):
    said = place.say("phase", "users", "shadow")

    assert said.code == 0
    assert said.err == "warning: users: weight: has no effect in phase shadow; it counts from canary on\n"


def test_a_rollback_takes_the_component_back(place):
    said = place.say("rollback", "users", "--why", "errors")

    assert (said.code, said.out) == (0, "users.weight: 5 → 0\nversion 2\n")


def test_an_emergency_is_a_plain_word_in_the_store_and_ends_with_off(place):
    said = place.say("emergency", "users", "legacy", "--why", "errors", "--for", "10m")
    assert said.code == 0
    assert place.redis.get("banyan:emergency:users") == "legacy"
    assert 590 < place.redis.ttl("banyan:emergency:users") <= 600

    said = place.say("emergency", "users", "off")
    assert (said.code, said.out) == (0, "emergency:users: legacy → nothing\nversion 1\n")
    assert not place.redis.exists("banyan:emergency:users")
    assert place.say("emergency", "users", "off").out == "nothing to change (version 1)\n"


def test_an_emergency_for_all(place):
    assert place.say("emergency", "all", "legacy", "--why", "fire").code == 0
    assert place.redis.get("banyan:emergency:all") == "legacy"
    assert place.redis.ttl("banyan:emergency:all") == -1


def test_an_emergency_works_while_the_rules_are_garbage(place):
    place.redis.set("banyan:rules", "{half")

    said = place.say("emergency", "users", "legacy", "--why", "fire")
    assert (said.code, place.redis.get("banyan:emergency:users")) == (0, "legacy")
    assert "not known" in said.err
    assert place.say("weight", "users", "25").code == 5


def test_files_alone_means_no_change_but_emergencies(place):
    place.configure(live_changes="emergency_only")

    said = place.say("weight", "users", "25")
    assert said.code == 3
    assert "emergency_only" in said.err
    assert place.say("emergency", "users", "legacy", "--why", "fire").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("weight", "users", "25"),
        ("phase", "users", "canary"),
        ("rollback", "users", "--why", "x"),
        ("emergency", "users", "legacy", "--why", "x"),
        ("emergency", "users", "off"),
    ],
)
def test_a_store_that_does_not_answer_ends_with_5(bare, words):
    said = bare.say(*words)

    assert (said.code, said.out) == (5, "")
    assert "the store unix:///tmp/there-is-no-store-here is out of reach" in said.err
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("more", "hint"),
    [
        ({"emergency_file": "e.yaml"}, "`emergency_file` still works: write `users: legacy` into "),
        ({}, "an `emergency_file` needs no store, but the settings name none"),
    ],
)
def test_an_emergency_that_the_store_does_not_take_says_what_needs_no_store(bare, more, hint):
    bare.configure(**more)

    assert f"; {hint}" in bare.say("emergency", "users", "legacy", "--why", "x").err
    assert "emergency_file" not in bare.say("emergency", "users", "off").err


def test_a_store_without_rules_is_a_condition_not_met(empty):
    said = empty.say("weight", "users", "25")

    assert said.code == 3
    assert "banyan rules push" in said.err


FOREIGN = {"epoch": "another", "version": 10, "source": "store"}


@pytest.mark.parametrize(
    "words",
    [
        ("weight", "users", "25"),
        ("weight", "users", "6"),  # not even "nothing to change": it is not so where traffic is
        ("phase", "users", "shadow"),
        ("rollback", "users", "--why", "errors"),
        ("rules", "push", "--take", "files"),
        ("rules", "undo"),
    ],
)
def test_a_change_that_no_replica_would_follow_is_refused(place, words):
    place.say("weight", "users", "6")
    place.beat("one", **FOREIGN)

    said = place.say(*words)

    assert (said.code, said.out) == (3, "")
    assert "no replica would follow: one keeps rules of another epoch" in said.err
    assert "`banyan rules accept`" in said.err


def test_once_the_rules_are_accepted_a_rollback_is_made(place):
    place.beat("one", **FOREIGN)
    assert place.say("rules", "accept").code == 0

    assert place.say("rollback", "users", "--why", "errors").out == "users.weight: 5 → 0\nversion 3\n"


def test_a_change_that_some_replica_would_not_follow_is_made_and_warned_of(place):
    epoch = place.say("status", "-o", "json").data["epoch"]
    place.beat("one", **FOREIGN)
    place.beat("two", epoch=epoch, version=1, source="store")

    said = place.say("rollback", "users", "--why", "errors")

    assert said.code == 0
    assert said.err.startswith("warning: one keeps rules of another epoch")


def test_an_emergency_is_set_whatever_replicas_hold(place):
    place.beat("one", **FOREIGN)

    assert place.say("emergency", "users", "legacy", "--why", "errors").code == 0


def test_the_end_of_an_emergency_that_there_is_none_of_suggests_the_one_that_was_meant(place):
    place.say("emergency", "users", "legacy", "--why", "errors")

    said = place.say("emergency", "user", "off")

    assert (said.code, said.out) == (2, "")
    assert "no component is called 'user'; did you mean `users`?" in said.err
    assert place.redis.get("banyan:emergency:users") == "legacy"


def test_what_holds_when_an_emergency_has_ended_is_said(place):
    place.say("emergency", "all", "legacy", "--why", "fire")
    place.say("emergency", "users", "legacy", "--why", "fire")

    said = place.say("emergency", "users", "off")
    assert (said.code, said.out) == (0, "emergency:users: legacy → nothing\nversion 1\n")
    assert said.err == ("warning: users still goes to legacy by emergency:all; `banyan emergency all off` ends that\n")
    assert "still goes to legacy by emergency:all" in place.say("emergency", "users", "off").err

    place.say("emergency", "users", "legacy", "--why", "fire")
    assert place.say("emergency", "all", "off").err == "warning: users still goes to legacy by emergency:users\n"
    assert place.say("emergency", "users", "off").err == ""


def test_the_end_of_an_emergency_is_not_seen_by_replicas_of_another_epoch(place):
    place.beat("one", **FOREIGN)
    place.say("emergency", "users", "legacy", "--why", "fire")

    assert "one: holds rules of another epoch and keeps its emergencies" in place.say("emergency", "users", "off").err

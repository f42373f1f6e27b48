"""Files published by hand: what was edited, and what would take back what came after."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core.errors import ConfigError, NotAllowed
from proxy.core.merge import ABSENT, Edit
from proxy.core.push import push
from proxy.core.rules import Origin, RuleSet
from tests.core.filed import component, file, record, rule_set


def test_push_publishes_what_was_edited_and_leaves_live_values():
    before = file(weight=5, hash="h1")
    live = rule_set(component(weight=50), files={"users": record(before.values, "h1")})

    draft = push(live, {"users": file(weight=5, owner="team-a")})

    assert draft.sentences() == ("users.owner: null → team-a",)
    assert draft.rules.components["users"].weight == 50
    assert draft.rules.files["users"].hash == "h2"
    assert draft.rules.files["users"].hashes == ("h1", "h2")


def test_push_of_a_new_file_adds_a_component():
    draft = push(rule_set(), {"users": file(weight=5)})

    assert draft.rules.components == {"users": component(weight=5)}


def test_push_of_what_is_live_is_nothing_to_publish():
    states = {"users": file(weight=5, hash="h1")}
    live = rule_set(component(weight=50), files={"users": record(states["users"].values, "h1")})

    assert not push(live, states).is_change


def test_push_of_an_edit_that_is_live_already_still_remembers_the_file():
    live = rule_set(component(weight=50), files={"users": record(file(weight=5).values, "h1")})

    draft = push(live, {"users": file(weight=50)})

    assert draft.edits == {}
    assert draft.is_change
    assert draft.rules.files["users"].hash == "h2"


def test_push_of_files_from_before_is_refused_unless_it_is_meant():
    ana = Origin(who="ana", why="", at="2026-01-01T00:00:00Z", version=40)
    live = rule_set(
        component(weight=50, owner="team-a"),
        files={"users": record(file(weight=50, owner="team-a").values, "h2", "h1")},
        origins={"users": {"weight": ana}},
    )
    old = {"users": file(weight=5, hash="h1")}

    with pytest.raises(NotAllowed) as refused:
        push(live, old)
    assert str(refused.value) == (
        "the files here would take back: users.weight: 50 → 5 (now by ana, 2026-01-01T00:00:00Z); "
        "users.owner: team-a → null; if these files are older than that, `rules pull --write` brings it up to date, "
        "`rules push --take files` publishes it as it is"
    )
    assert set(push(live, old, take_files=True).sentences()) == {"users.weight: 50 → 5", "users.owner: team-a → null"}


def test_push_of_a_file_from_before_that_takes_nothing_back_only_remembers_it():
    live = rule_set(component(weight=5), files={"users": record(file(weight=50).values, "h2", "h1")})

    draft = push(live, {"users": file(weight=5, hash="h1")})

    assert (draft.edits, draft.rules.files["users"].hash) == ({}, "h1")


def test_push_that_takes_files_replaces_live_values():
    live = rule_set(component(weight=50), files={"users": record(file(weight=5).values, "h2")})

    draft = push(live, {"users": file(weight=5)}, take_files=True)

    assert draft.sentences() == ("users.weight: 50 → 5",)


@pytest.mark.parametrize("values", [{}, {"phase": "retired"}, {"weight": 40, "phase": "off"}])
def test_push_removes_a_component_without_a_file_and_leaves_live_values(values):
    live = rule_set(component(weight=50), component("conversations", **values), files={"users": record({}, "h2")})

    removed = push(live, {"users": file()})

    assert set(removed.rules.components) == {"users"}
    assert removed.rules.components["users"].weight == 50
    assert removed.rules.files["conversations"].hash == ""
    assert set(removed.edits) == {"conversations"}


def test_removing_what_is_retired_gives_its_requests_to_legacy_and_is_warned_of():
    live = rule_set(component(), component("conversations", phase="retired"), files={"users": record({}, "h2")})

    assert push(live, {"users": file()}).warnings == ("conversations: legacy answers its requests again",)


def test_push_removes_nothing_that_is_on_its_way():
    live = rule_set(component(weight=5), component("conversations"))

    with pytest.raises(NotAllowed, match=r"users has no file here and is in canary.*only when it is off or retired"):
        push(live, {"conversations": file("conversations")})
    with pytest.raises(ConfigError, match="can be removed only when it is off or retired"):
        push(live, {}, take_files=True)


def test_push_of_an_empty_folder_removes_nothing_unless_it_is_meant():
    live = rule_set(component())

    with pytest.raises(NotAllowed, match="no rule files here"):
        push(live, {})
    assert push(live, {}, take_files=True).rules.components == {}


def test_push_is_all_or_nothing():
    live = rule_set(component(), component("configuration", after=["users"]))

    with pytest.raises(ConfigError):
        push(live, {"users": file(owner="a"), "configuration": file("configuration", after=["users"], weight=5)})


def test_the_phase_of_an_entity_component_is_not_pushed():
    live = rule_set(component(kind="entity"), files={"users": record(file(kind="entity").values, "h1")})

    with pytest.raises(ConfigError, match="by verb only"):
        push(live, {"users": file(kind="entity", phase="canary")})


R1 = Origin(who="file:users.yaml@r1", why="", at="2026-01-01T00:00:00Z", version=40)


def edited_elsewhere(**values: Any) -> RuleSet:
    """Return rules whose file was last taken from another folder than the one that is pushed."""
    origins = {"users": dict.fromkeys(values, R1)}
    return rule_set(component(**values), files={"users": record(file(**values).values, "h9")}, origins=origins)


@pytest.mark.parametrize(
    ("live", "past", "mine", "says"),
    [
        (
            {"weight": 70},
            [Edit(("weight",), 20, 70)],
            {"weight": 20, "owner": "me"},
            "users.weight: 70 → 20 (now by file:users.yaml@r1, 2026-01-01T00:00:00Z)",
        ),
        (
            {"weight": 90},
            [Edit(("weight",), 70, 90), Edit(("weight",), 20, 70)],
            {"weight": 20},
            "users.weight: 90 → 20",
        ),
        ({"owner": "team"}, [Edit(("owner",), None, "team")], {"weight": 5}, "users.owner: team → null"),
    ],
)
def test_push_of_a_value_from_before_is_refused_and_says_whose_is_taken_back(live, past, mine, says):
    rules, files = edited_elsewhere(**live), {"users": file(**mine)}

    with pytest.raises(NotAllowed) as refused:
        push(rules, files, [("users", edit) for edit in past])

    assert says in str(refused.value)
    assert "--take files" in str(refused.value)
    assert push(rules, files, [("users", edit) for edit in past], take_files=True).is_change


@pytest.mark.parametrize(
    ("component_name", "edit"),
    [
        ("users", Edit(("weight",), 5, 70)),  # another value
        ("users", Edit(("shadow",), 20, 0)),  # another field
        ("analytics", Edit(("weight",), 20, 70)),
        ("users", Edit(("weight",), ABSENT, 70)),
    ],
)
def test_push_of_a_value_that_the_field_never_had_is_an_edit(component_name, edit):
    draft = push(edited_elsewhere(weight=70), {"users": file(weight=20)}, [(component_name, edit)])

    assert draft.sentences() == ("users.weight: 70 → 20",)


def test_push_leaves_a_value_alone_that_was_changed_live_whatever_it_was_before():
    live = rule_set(component(weight=50), files={"users": record(file(weight=5).values, "h1")})

    draft = push(live, {"users": file(weight=5, owner="me")}, [("users", Edit(("weight",), 5, 50))])

    assert draft.sentences() == ("users.owner: null → me",)

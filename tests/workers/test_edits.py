"""What a folder of rule files means for the rules in force: what is published, what is refused, what only drifts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.core.errors import Position, Problem
from proxy.core.model import RuleSet, record_of
from proxy.core.rules import parse_component
from proxy.rulefiles import Frozen, RuleFile, RuleFolder, hash_of
from proxy.workers.edits import FileDrift, Intake, Memory, listed, rules_of, take_in


def file(name: str, **values: Any) -> RuleFile:
    """Return a rule file as if it had been read, its one place being the file as a whole."""
    said = {"component": name, **values}
    rules = parse_component(said, file=f"{name}.yaml")
    places = {(): Position(f"{name}.yaml", 1, 1)}
    return RuleFile(name, f"{name}.yaml", Path(f"{name}.yaml"), hash_of(said), said, rules, places)


def folder(*files: RuleFile) -> RuleFolder:
    return RuleFolder(Path("rules"), {each.component: each for each in files})


def live(*files: RuleFile, version: int = 7, **changed: dict[str, Any]) -> RuleSet:
    """Return published rules as these files made them, but for what was changed since."""
    components = {each.component: each.rules for each in files}
    components |= {name: components[name].changed(**values) for name, values in changed.items()}
    return RuleSet(
        epoch="e", version=version, who="w", why="y", at="t", components=components,
        files={each.component: record_of(each.hash, dict(each.values)) for each in files},
    )  # fmt: skip


def seen(*files: RuleFile) -> Memory:
    """Return the memory of a replica that has been running with these files."""
    states = {each.component: each.hash for each in files}
    return Memory(states, states)


def starting(*files: RuleFile) -> Memory:
    return Memory().found(folder(*files))


def weights(intake: Intake) -> dict[str, float]:
    assert intake.rules is not None
    return {name: component.weight for name, component in intake.rules.components.items()}


def reasons(intake: Intake) -> dict[str, list[str]]:
    return {name: [str(each) for each in frozen.problems] for name, frozen in intake.refused.items()}


USERS = file("users", weight=25, routes={"/api/users": {}})
USERS_60 = file("users", weight=60, routes={"/api/users": {}})
ANALYTICS = file("analytics", routes={"/api/analytics": {}})


# Seeding.


def test_an_empty_store_is_seeded_with_every_file():
    intake = take_in(None, folder(USERS, ANALYTICS), starting(USERS, ANALYTICS))

    assert intake.rules is not None
    assert (intake.rules.seed, intake.expect) == (True, 0)
    assert intake.rules.components == {"users": USERS.rules, "analytics": ANALYTICS.rules}
    assert intake.rules.files["users"] == record_of(USERS.hash, dict(USERS.values))
    assert intake.why == "seeded from users.yaml,analytics.yaml"
    assert intake.published == {"users": USERS.hash, "analytics": ANALYTICS.hash}


def test_an_empty_folder_seeds_nothing():
    assert take_in(None, folder(), Memory()) == Intake()


def test_a_seed_leaves_out_what_does_not_fit():
    clash = file("people", routes={"/api/users": {}})

    intake = take_in(None, folder(USERS, clash, ANALYTICS), starting())

    assert set(weights(intake)) == {"users", "analytics"}
    assert "cannot be told apart from `/api/users` of users" in reasons(intake)["people"][0]


def test_rules_of_files_alone_are_a_seed():
    rules = rules_of(folder(USERS, file("people", routes={"/api/users": {}})), epoch="files", who="w", why="y", at="t")

    assert (rules.seed, rules.epoch, rules.version, set(rules.components)) == (True, "files", 1, {"users"})
    assert rules_of(folder(), epoch="files", who="w", why="y", at="t").components == {}


# Starting: an unknown state is an edit, a known one takes nothing back.


def test_nothing_is_done_about_files_that_are_live():
    intake = take_in(live(USERS), folder(USERS), starting(USERS))

    assert (intake.rules, intake.drifts, intake.settled) == (None, (), {"users": USERS.hash})


def test_a_file_that_was_edited_while_no_replica_ran_is_published_at_the_start():
    intake = take_in(live(USERS), folder(USERS_60), starting(USERS_60))

    assert weights(intake) == {"users": 60}
    assert intake.expect == 7
    assert intake.why == "users.yaml: weight: 25 → 60"
    assert intake.rules is not None
    assert intake.rules.files["users"].hashes == (USERS.hash, USERS_60.hash)


def test_a_late_replica_with_old_files_takes_nothing_back():
    rules = live(USERS_60)
    rules = rules.model_copy(update={"files": {"users": record_of(USERS_60.hash, {}, (USERS.hash,))}})

    intake = take_in(rules, folder(USERS), starting(USERS))

    assert intake.rules is None
    assert intake.drifts == (
        FileDrift(
            "users", "users.yaml", "the file is in a state that was live before; it takes nothing back", USERS.hash
        ),
    )
    again = take_in(rules, folder(USERS), Memory().dealt_with(intake.settled))
    assert again.rules is None
    assert again.drifts == (
        FileDrift("users", "users.yaml", "the file is in a state that was live before", USERS.hash),
    )
    assert {each.what for each in again.drifts} == {each.what for each in intake.drifts}  # told once


def test_a_new_file_is_published_beside_what_is_live():
    intake = take_in(live(USERS), folder(USERS, ANALYTICS), seen(USERS))

    assert weights(intake) == {"users": 25, "analytics": 0}
    assert intake.why == "analytics.yaml is new"
    assert (intake.published, intake.settled) == ({"analytics": ANALYTICS.hash}, {"users": USERS.hash})


def test_an_edit_made_before_the_store_could_be_asked_is_an_edit():
    """Back to a state that was live before: at a start it would only be shown."""
    rules = live(USERS_60)
    rules = rules.model_copy(update={"files": {"users": record_of(USERS_60.hash, {"weight": 60}, (USERS.hash,))}})
    memory = starting(USERS_60).found(folder(USERS))

    assert weights(take_in(rules, folder(USERS), memory)) == {"users": 25}


# Running: the step from one state to the next is what counts.


def test_an_edit_back_is_an_edit():
    rules = live(USERS_60)
    rules = rules.model_copy(
        update={"files": {"users": record_of(USERS_60.hash, dict(USERS_60.values), (USERS.hash,))}}
    )

    assert weights(take_in(rules, folder(USERS), seen(USERS_60))) == {"users": 25}


def test_an_edit_of_another_field_leaves_a_live_value_alone():
    now = file("users", weight=25, owner="ana", routes={"/api/users": {}})

    intake = take_in(live(USERS, users={"weight": 40}), folder(now), seen(USERS))

    assert weights(intake) == {"users": 40}
    assert intake.rules is not None
    assert intake.rules.components["users"].owner == "ana"
    assert intake.replaced == ()


def test_an_edited_value_wins_over_a_live_one_and_says_so():
    intake = take_in(live(USERS, users={"weight": 40}), folder(USERS_60), seen(USERS))

    assert weights(intake) == {"users": 60}
    assert intake.replaced == ("users.weight: 40 → 60",)


def test_an_edit_from_a_state_that_is_not_live_is_only_shown():
    other = file("users", weight=99, routes={"/api/users": {}})

    intake = take_in(live(USERS_60), folder(other), seen(USERS))

    assert intake.rules is None
    assert [drift.why for drift in intake.drifts] == [
        "the file was edited from a state that is not what is live; `banyan rules push` publishes the edit"
    ]
    assert intake.settled == {"users": other.hash}
    again = take_in(live(USERS_60), folder(other), seen(USERS).dealt_with(intake.settled))
    assert [drift.why for drift in again.drifts] == [
        "the file is in another state than the one that is live; `banyan rules push` publishes what was edited"
    ]
    once_more = take_in(live(USERS_60), folder(file("users", weight=98, routes={"/api/users": {}})), seen(other))
    assert not {each.what for each in once_more.drifts} & {each.what for each in again.drifts}  # told again


def test_a_drifted_file_that_was_brought_up_to_date_counts_from_then_on():
    """What `rules pull --write` leaves behind: another file than the one that was taken last, with the same rules."""
    pulled = file("users", weight=40, routes={"/api/users": {}})
    published = live(USERS_60, users={"weight": 40})

    intake = take_in(published, folder(pulled), seen(USERS))

    assert (weights(intake), intake.drifts) == ({"users": 40}, ())
    assert intake.why == "users.yaml was brought up to date with what is live"
    assert intake.rules.files["users"].hashes == (USERS_60.hash, pulled.hash)

    edited = file("users", weight=45, routes={"/api/users": {}})
    assert weights(take_in(intake.rules, folder(edited), seen(pulled))) == {"users": 45}


def test_a_late_replica_whose_old_file_happens_to_say_what_is_live_changes_nothing():
    published = live(USERS_60, users={"weight": 25})
    record = record_of(USERS_60.hash, dict(USERS_60.values), (USERS.hash,))
    published = published.model_copy(update={"files": {"users": record}})

    intake = take_in(published, folder(USERS), starting(USERS))

    assert intake.rules is None
    assert [drift.component for drift in intake.drifts] == ["users"]


def test_what_another_replica_published_is_settled():
    intake = take_in(live(USERS_60), folder(USERS_60), seen(USERS))

    assert (intake.rules, intake.drifts, intake.settled) == (None, (), {"users": USERS_60.hash})


def test_a_file_that_is_gone_removes_nothing():
    intake = take_in(live(USERS, ANALYTICS), folder(USERS), seen(USERS, ANALYTICS))

    assert intake.rules is None
    assert [(each.component, each.file) for each in intake.drifts] == [("analytics", None)]


def test_several_edits_are_one_publication():
    now = folder(USERS_60, file("analytics", owner="bob"))

    intake = take_in(live(USERS, ANALYTICS), now, seen(USERS, ANALYTICS))

    assert intake.files == ("users.yaml", "analytics.yaml")
    assert intake.why == (
        "users.yaml: weight: 25 → 60; analytics.yaml: owner: nothing → bob, routes./api/analytics: a mapping → nothing"
    )


def test_many_edits_are_told_in_few_words():
    now = file("users", weight=1, owner="a", cohort="b", phase="canary", sticky=["client"], routes={"/api/users": {}})

    why = take_in(live(USERS), folder(now), seen(USERS)).why

    assert why == "users.yaml: weight: 25 → 1, owner: nothing → a, cohort: nothing → b and 2 more"
    assert listed(tuple("abcdef")) == "a,b,c,d,+2"


# What does not fit.


def test_an_edit_that_does_not_fit_stops_nobody_else():
    clash = file("analytics", routes={"/api/users": {}})

    intake = take_in(live(USERS, ANALYTICS), folder(USERS_60, clash), seen(USERS, ANALYTICS))

    assert weights(intake) == {"users": 60, "analytics": 0}
    assert set(intake.refused) == {"analytics"}
    assert intake.published == {"users": USERS_60.hash}


def test_a_route_may_move_from_one_file_to_another():
    users = file("users", weight=25, routes={"/api/users": {}, "/api/people": {}})
    now = folder(USERS, file("analytics", routes={"/api/analytics": {}, "/api/people": {}}))

    intake = take_in(live(users, ANALYTICS), now, seen(users, ANALYTICS))

    assert intake.refused == {}
    assert intake.rules is not None
    assert "/api/people" in intake.rules.components["analytics"].routes


def test_routes_that_are_swapped_fit_together_though_a_third_file_is_wrong():
    a, b, c = (file(name, routes={f"/{name}": {}}) for name in "abc")
    now = folder(file("a", routes={"/b": {}}), file("b", routes={"/a": {}}), file("c", after=["nobody"], routes={}))

    intake = take_in(live(a, b, c), now, seen(a, b, c))

    assert set(intake.published) == {"a", "b"}
    assert set(intake.refused) == {"c"}


def test_a_component_may_not_overtake_the_one_before_it():
    after = file("analytics", after=["users"], routes={"/api/analytics": {}})
    faster = file("analytics", after=["users"], weight=50, routes={"/api/analytics": {}})

    alone = take_in(live(USERS, after), folder(USERS, faster), seen(USERS, after))
    together = take_in(live(USERS, after), folder(USERS_60, faster), seen(USERS, after))

    assert reasons(alone) == {
        "analytics": [
            "analytics.yaml:1:1: weight: users should be at least as far first: it is at canary 25 %, "
            "this would be canary 50 %"
        ]
    }
    assert weights(together) == {"users": 60, "analytics": 50}


def test_what_was_refused_is_tried_again_when_the_rules_changed():
    after = file("analytics", after=["users"], routes={"/api/analytics": {}})
    faster = file("analytics", after=["users"], weight=50, routes={"/api/analytics": {}})
    memory = seen(USERS, after)
    memory = memory.dealt_with(take_in(live(USERS, after), folder(USERS, faster), memory).settled)

    intake = take_in(live(USERS, after, users={"weight": 70}), folder(USERS, faster), memory)

    assert weights(intake) == {"users": 70, "analytics": 50}


def test_the_phase_of_a_published_entity_changes_by_verb_only():
    routes = {"/api/users/{id}": {"entity": "{id}"}}
    was, now = (file("users", kind="entity", phase=phase, routes=routes) for phase in ("off", "canary"))

    (problem,) = reasons(take_in(live(was), folder(now), seen(was)))["users"]

    assert "by verb only" in problem


def test_an_edit_that_makes_no_rules_of_the_live_values_is_refused():
    """The file is right by itself, but the component was retired live, which one that may write cannot be."""
    was, now = (file("users", kind=kind, routes={"/api/users": {}}) for kind in ("readonly", "plain"))

    intake = take_in(live(was, users={"phase": "retired"}), folder(now), seen(was))

    assert intake.rules is None
    assert "`retired` is not built yet for a component with routes that may write" in reasons(intake)["users"][0]


def test_what_was_wrong_before_is_not_held_against_an_edit():
    lost = live(USERS, file("analytics", after=["gone"], routes={}), version=3)

    assert weights(take_in(lost, folder(USERS_60), seen(USERS)))["users"] == 60


@pytest.mark.parametrize("first", ["a", "b"])
def test_of_two_new_files_that_clash_one_is_taken(first):
    names = (first, "b" if first == "a" else "a")

    intake = take_in(None, folder(*(file(name, routes={"/x": {}}) for name in names)), Memory())

    assert len(intake.published) == len(intake.refused) == 1


def test_a_component_that_was_removed_stays_removed():
    rules = live(USERS).model_copy(update={"components": {}, "files": {"users": record_of("", {}, (USERS.hash,))}})

    intake = take_in(rules, folder(USERS), starting(USERS))

    assert intake.rules is None
    assert [drift.component for drift in intake.drifts] == ["users"]
    assert "was removed" in intake.drifts[0].why


REMOVED = live(USERS).model_copy(update={"components": {}, "files": {"users": record_of("", {}, (USERS.hash,))}})


@pytest.mark.parametrize("back", [USERS, USERS_60])
def test_a_file_that_went_with_its_component_and_is_put_back_is_new(back):
    memory = starting(USERS).dealt_with({"users": USERS.hash}).found(folder()).found(folder(back))

    intake = take_in(REMOVED, folder(back), memory)

    assert weights(intake) == {"users": back.rules.weight}
    after = memory.dealt_with(intake.published)
    assert take_in(REMOVED, folder(back), after).rules is None  # once: removed again, it stays so


@pytest.mark.parametrize(
    "away", [RuleFolder(Path("rules"), fault=Problem(Position("rules"), "", "away")), folder(USERS), None]
)
def test_a_file_that_only_could_not_be_read_for_a_while_is_not_put_back(away):
    broken = RuleFolder(Path("rules"), frozen={"users": Frozen("users", "users.yaml", ())})
    memory = starting(USERS).dealt_with({"users": USERS.hash}).found(away or broken).found(folder(USERS))

    assert take_in(REMOVED, folder(USERS), memory).rules is None


def test_a_file_that_is_put_back_while_its_component_is_live_is_a_state_as_any_other():
    memory = starting(USERS).dealt_with({"users": USERS.hash}).found(folder()).found(folder(USERS))

    assert take_in(live(USERS, users={"weight": 50}), folder(USERS), memory).rules is None
    assert weights(take_in(live(USERS), folder(USERS_60), memory)) == {"users": 60}

from __future__ import annotations

import pytest

from proxy.core.adopt import (
    Adopt,
    Condition,
    Missing,
    Refusal,
    Refused,
    Value,
    WriteBack,
    accepting,
    condition_of,
    decide,
    decide_emergencies,
    next_version,
    strangers,
)
from proxy.core.emergency import Emergency, read_emergency
from proxy.core.model import RuleSet, Side


def rules(version=7, epoch="ours", **values):
    return RuleSet(epoch=epoch, version=version, **{"who": "ana", "why": "", "at": "2026-01-02T00:00:00Z", **values})


def seed(epoch="ours", day=2):
    return rules(1, epoch, seed=True, at=f"2026-01-0{day}T00:00:00Z")


def summary(decision):
    """Kind of decision, version that comes into force (or None), kind of alarm (or None)."""
    comes = (decision.rule_set.epoch, decision.rule_set.version) if isinstance(decision, Adopt) else None
    return type(decision).__name__, comes, decision.alarm.kind if decision.alarm else None


GARBAGE = Refused(Refusal.UNREADABLE, "redis:rules is not JSON")
POISON = Refused(Refusal.INVALID, "weight: should be 0 to 100, is 300")
NEWER = Refused(Refusal.NEWER, "schema 2.0")


@pytest.mark.parametrize(
    ("held", "read", "expected"),
    [
        # nothing is held: the store's word counts, whatever it is
        (None, Missing(), ("Keep", None, None)),
        (None, Value(rules()), ("Adopt", ("ours", 7), None)),
        (None, Value(seed()), ("Adopt", ("ours", 1), None)),
        (None, GARBAGE, ("Keep", None, "ruleset_unreadable")),
        (None, POISON, ("Keep", None, "ruleset_invalid")),
        (None, NEWER, ("Keep", None, "ruleset_newer")),
        # the usual
        (rules(), Value(rules()), ("Keep", None, None)),
        (rules(), Value(rules(8)), ("Adopt", ("ours", 8), None)),
        (rules(), Value(rules(80)), ("Adopt", ("ours", 80), None)),
        (seed(), Value(rules(2)), ("Adopt", ("ours", 2), None)),
        # a lower version of the same epoch is never applied
        (rules(), Value(rules(6)), ("WriteBack", None, "ruleset_regressed")),
        (rules(2), Value(seed()), ("WriteBack", None, "ruleset_regressed")),
        # a version that no publication led to is forged: adopted, it would leave no room for the next one
        (rules(), Value(rules(2**48)), ("Adopt", ("ours", 2**48), None)),
        (rules(), Value(rules(2**48 + 1)), ("WriteBack", None, "ruleset_invalid")),
        (rules(2**48), Value(rules(2**48 + 1)), ("Adopt", ("ours", 2**48 + 1), None)),
        (rules(2**49), Value(rules(2**49 + 2**32 + 1)), ("WriteBack", None, "ruleset_invalid")),
        (rules(), Value(rules(2**53, "theirs", accepts=("ours",))), ("WriteBack", None, "ruleset_invalid")),
        (None, Value(rules(2**52)), ("Adopt", ("ours", 2**52), None)),
        (None, Value(rules(2**52 + 1)), ("Keep", None, "ruleset_invalid")),
        # the same version with other contents: everybody follows the store, and it is said
        (rules(), Value(rules(who="bob")), ("Adopt", ("ours", 7), "ruleset_diverged")),
        # missing is not empty
        (rules(), Missing(), ("WriteBack", None, "ruleset_missing")),
        (seed(), Missing(), ("WriteBack", None, "ruleset_missing")),
        # garbage is overwritten, what a newer build wrote never is
        (rules(), GARBAGE, ("WriteBack", None, "ruleset_unreadable")),
        (rules(), POISON, ("WriteBack", None, "ruleset_invalid")),
        (rules(), NEWER, ("Keep", None, "ruleset_newer")),
        # a foreign epoch waits for an operator, higher or lower
        (rules(), Value(rules(9, "theirs")), ("Keep", None, "ruleset_foreign")),
        (rules(), Value(rules(1, "theirs")), ("Keep", None, "ruleset_foreign")),
        # … until it was accepted, for exactly those who hold what it supersedes
        (rules(), Value(rules(1, "theirs", accepts=("ours",))), ("Adopt", ("theirs", 1), None)),
        (rules(), Value(rules(9, "theirs", accepts=("others",))), ("Keep", None, "ruleset_foreign")),
        # a seed yields to a held set
        (rules(), Value(seed("theirs")), ("WriteBack", None, "ruleset_seeded_over")),
        (seed(), Value(rules(1, "theirs")), ("Adopt", ("theirs", 1), None)),
        # of two seeds the older one stays, so that all agree
        (seed("ours", 2), Value(seed("theirs", 3)), ("WriteBack", None, "ruleset_seeded_over")),
        (seed("ours", 3), Value(seed("theirs", 2)), ("Adopt", ("theirs", 1), None)),
        (seed("a", 2), Value(seed("b", 2)), ("WriteBack", None, "ruleset_seeded_over")),
        (seed("b", 2), Value(seed("a", 2)), ("Adopt", ("a", 1), None)),
        (seed(), Value(seed("theirs", 3).model_copy(update={"accepts": ("ours",)})), ("Adopt", ("theirs", 1), None)),
    ],
)
def test_what_is_done_about_one_read_of_the_store(held, read, expected):
    assert summary(decide(held, read)) == expected


def test_two_replicas_with_a_seed_each_agree_which_one_stays():
    one, other = seed("a", 3), seed("b", 2)

    assert isinstance(decide(one, Value(other)), Adopt)
    assert isinstance(decide(other, Value(one)), WriteBack)


@pytest.mark.parametrize(
    ("same_run", "how"),
    [(True, "somebody deleted the rules"), (False, "the store came back without the rules")],
)
def test_the_run_of_the_server_tells_a_restart_from_a_deletion(same_run, how):
    decision = decide(rules(), Missing(), same_run=same_run)

    assert isinstance(decision, WriteBack)
    assert decision.alarm.why == f"{how}; version 7 is written back"


@pytest.mark.parametrize(
    ("held", "read", "why"),
    [
        (rules(), Value(rules(6)), "the store went back from 7 to 6; 7 is written back"),
        (rules(), GARBAGE, "the store's rules are refused, version 7 is written back: redis:rules is not JSON"),
        (None, GARBAGE, "the store's rules are refused: redis:rules is not JSON"),
        (rules(), NEWER, "the store's rules are for a newer build and not followed: schema 2.0"),
        (
            rules(),
            Value(rules(9, "theirs", who="bob")),
            "the store holds rules of another epoch (theirs, version 9, by bob); version 7 of ours stays in force "
            "until `banyan rules accept`",
        ),
    ],
)
def test_an_alarm_says_what_happened_and_what_is_in_force(held, read, why):
    assert decide(held, read).alarm.why == why


@pytest.mark.parametrize(
    ("held", "read", "condition"),
    [
        (None, Missing(), Condition.WHOLE),
        (None, GARBAGE, Condition.WHOLE),
        (None, Value(rules()), Condition.WHOLE),
        (rules(), Value(rules()), Condition.WHOLE),
        (rules(), Value(rules(8)), Condition.WHOLE),
        (rules(), NEWER, Condition.WHOLE),
        (rules(), Missing(), Condition.LOST),
        (rules(), GARBAGE, Condition.LOST),
        (rules(), POISON, Condition.LOST),
        (rules(), Value(rules(6)), Condition.LOST),
        (rules(), Value(seed("theirs")), Condition.LOST),
        (rules(), Value(rules(9, "theirs")), Condition.FOREIGN),
        (rules(), Value(rules(9, "theirs", accepts=("ours",))), Condition.WHOLE),
    ],
)
def test_the_condition_of_the_store_as_a_whole(held, read, condition):
    assert condition_of(decide(held, read)) is condition


LEGACY = read_emergency("legacy")
MODERN = read_emergency("modern")


@pytest.mark.parametrize(
    ("condition", "same_run", "held", "found", "in_force", "restore"),
    [
        # somebody set one, changed one, ended one
        (Condition.WHOLE, True, {}, {"users": LEGACY}, {"users": LEGACY}, {}),
        (Condition.WHOLE, True, {"users": LEGACY}, {"users": MODERN}, {"users": MODERN}, {}),
        (Condition.WHOLE, True, {"users": LEGACY}, {}, {}, {}),
        # the server came back with the right rules and older keys: nobody ended anything
        (Condition.WHOLE, False, {"users": LEGACY}, {}, {"users": LEGACY}, {"users": LEGACY}),
        (Condition.WHOLE, False, {"users": LEGACY}, {"users": MODERN}, {"users": MODERN}, {}),
        # the store was wiped, went back, or is full of garbage
        (Condition.LOST, True, {"users": LEGACY}, {}, {"users": LEGACY}, {"users": LEGACY}),
        (Condition.LOST, False, {"users": LEGACY}, {}, {"users": LEGACY}, {"users": LEGACY}),
        (
            Condition.LOST,
            True,
            {"users": LEGACY, "all": LEGACY},
            {"users": MODERN, "chats": MODERN},
            {"users": MODERN, "chats": MODERN, "all": LEGACY},
            {"all": LEGACY},
        ),
        # it belongs to somebody else: nothing is given up, and nothing is written there
        (Condition.FOREIGN, True, {"users": LEGACY}, {"all": MODERN}, {"users": LEGACY, "all": MODERN}, {}),
        (Condition.FOREIGN, False, {"users": LEGACY}, {}, {"users": LEGACY}, {}),
    ],
)
def test_an_emergency_ends_when_somebody_ends_it_and_not_when_the_store_forgets_it(
    condition, same_run, held, found, in_force, restore
):
    decided = decide_emergencies(held, found, condition, same_run=same_run)

    assert decided.in_force == in_force
    assert decided.restore == restore


def test_an_emergency_goes_back_with_the_time_that_remains():
    held = {"users": Emergency(Side.LEGACY, "legacy", 1_200)}

    assert decide_emergencies(held, {}, Condition.LOST, same_run=True).restore == held


@pytest.mark.parametrize(("held", "version"), [([], 1), ([1], 2), ([7, 41, 40], 42)])
def test_the_next_version_exceeds_every_one_that_is_held(held, version):
    assert next_version(held) == version


def test_accepting_names_the_epochs_that_are_superseded_each_once():
    theirs = rules(3, "theirs", seed=True, accepts=("older",))

    accepted = accepting(theirs, ["ours", "theirs", "older", "ours"])

    assert accepted.accepts == ("older", "ours")
    assert not accepted.seed
    assert isinstance(decide(rules(), Value(accepted)), Adopt)


def test_strangers_are_replicas_that_keep_rules_of_an_epoch_that_is_not_superseded():
    published = rules(3, "theirs", accepts=("older",))

    assert strangers(published, {"a": "theirs", "b": "ours", "c": "", "d": "older"}) == ("b",)

"""What is held: every look, lifetime and file as values in, state and what goes back as values out."""

from __future__ import annotations

from proxy.core.adopt import Missing, Read, Refusal, Refused, Value
from proxy.core.emergency import Emergency, read_emergency
from proxy.core.problems import Alarm
from proxy.core.rules import RuleSet, Side
from proxy.store.holding import Holding, Restore, Source, State
from proxy.store.view import Found, Look
from tests.store.documents import rules

LEGACY = Emergency(Side.LEGACY, "legacy")


def look(read: Read | RuleSet, run: str = "run1", **emergencies: Emergency) -> Look:
    judged = Value(read) if isinstance(read, RuleSet) else read
    return Look(run, "master", Found(f"token of {judged}", judged), emergencies)


def kinds(state: State) -> list[str]:
    return [alarm.kind for alarm in state.alarms]


def test_at_first_nothing_is_held():
    assert Holding().state(0) == State()


def test_the_first_look_brings_rules_and_emergencies_into_force():
    holding = Holding()

    assert holding.take(look(rules(3), users=LEGACY), now=10) is None
    assert holding.state(10) == State(
        held=rules(3),
        source=Source.STORE,
        emergencies={"users": LEGACY},
        sides={"users": Side.LEGACY},
        connected=True,
        read_once=True,
        read_at=10,
    )


def test_files_count_only_while_there_is_nothing_better():
    holding = Holding()
    holding.offer_files(rules(1, "files"))
    assert (holding.state(0).source, holding.held, holding.components) == (Source.FILES, None, ("users",))
    holding.take(look(Missing()), 1)
    assert (holding.state(1).source, holding.state(1).read_once) == (Source.FILES, True)

    holding.take(look(rules(3)), 2)
    assert (holding.state(2).held, holding.state(2).source) == (rules(3), Source.STORE)


def test_a_snapshot_beats_files_and_the_store_beats_the_snapshot():
    holding = Holding()
    holding.restore(rules(3), {"users": LEGACY}, 0)
    holding.offer_files(rules(1, "files"))
    state = holding.state(0)
    assert (state.held, state.source, state.sides) == (rules(3), Source.SNAPSHOT, {"users": Side.LEGACY})

    holding.take(look(rules(4)), 1)
    assert (holding.state(1).held, holding.state(1).source, holding.state(1).sides) == (rules(4), Source.STORE, {})


def test_a_snapshot_that_the_store_confirms_came_from_the_store():
    holding = Holding()
    holding.restore(rules(3), {}, 0)
    holding.take(look(rules(3)), 1)

    assert holding.state(1).source is Source.STORE


def test_a_wiped_store_gets_everything_back():
    holding = Holding()
    holding.take(look(rules(3), users=LEGACY, all=read_emergency("modern", 10_000)), 0)
    wiped = look(Missing())

    back = holding.take(wiped, 4)
    assert back == Restore(
        wiped.found, rules(3), {"users": LEGACY, "all": Emergency(Side.MODERN, "modern", 6_000)}, "run1"
    )
    assert holding.state(4).held == rules(3)
    assert holding.state(4).sides == {"users": Side.LEGACY}
    assert kinds(holding.state(4)) == ["ruleset_missing"]

    assert holding.take(look(rules(3), users=LEGACY), 5) is None
    assert kinds(holding.state(5)) == []


def test_garbage_and_older_versions_are_written_over_and_a_newer_schema_is_not():
    for read, kind in (
        (Refused(Refusal.UNREADABLE, "no JSON"), "ruleset_unreadable"),
        (rules(2), "ruleset_regressed"),
        (rules(1, "e2", seed=True), "ruleset_seeded_over"),
    ):
        holding = Holding()
        holding.take(look(rules(3), users=LEGACY), 0)
        back = holding.take(look(read), 1)
        assert back is not None
        assert (back.rule_set, dict(back.emergencies), kinds(holding.state(1))) == (rules(3), {"users": LEGACY}, [kind])

    holding = Holding()
    holding.take(look(rules(3)), 0)
    assert holding.take(look(Refused(Refusal.NEWER, "2.0")), 1) is None
    assert (holding.state(1).held, kinds(holding.state(1))) == (rules(3), ["ruleset_newer"])


def test_an_emergency_ends_by_del_in_a_store_that_is_whole():
    holding = Holding()
    holding.take(look(rules(3), users=LEGACY), 0)

    assert holding.take(look(rules(3)), 1) is None
    assert holding.state(1).sides == {}


def test_an_emergency_that_a_restart_lost_goes_back_until_it_is_there_again():
    holding = Holding()
    holding.take(look(rules(3), users=LEGACY), 0)
    restarted = look(rules(3), run="run2")

    for now in (1, 2, 3):
        assert holding.take(restarted, now) == Restore(restarted.found, None, {"users": LEGACY}, "run2")
        assert holding.state(now).sides == {"users": Side.LEGACY}
    assert holding.take(look(rules(3), run="run2", users=LEGACY), 4) is None
    assert holding.take(look(rules(3), run="run2"), 5) is None
    assert holding.state(5).sides == {}


def test_once_it_went_back_an_end_is_an_end_again_even_before_the_next_look():
    holding = Holding()
    holding.take(look(rules(3), users=LEGACY), 0)
    back = holding.take(look(rules(3), run="run2"), 1)
    assert back is not None
    holding.restored(back)

    assert holding.take(look(rules(3), run="run2"), 2) is None
    assert holding.state(2).sides == {}


def test_a_lifetime_runs_out_by_our_own_clock():
    holding = Holding()
    holding.take(look(rules(3), users=read_emergency("legacy", 5_000), all=LEGACY), 100)
    assert holding.next_end == 105
    holding.away("refused")
    assert not holding.expire(104.9)
    assert holding.remaining(104)["users"].pttl_ms == 1_000
    assert holding.state(105).emergencies == {"all": LEGACY}

    assert holding.expire(105)
    assert (holding.next_end, holding.expire(106)) == (None, False)


def test_a_lifetime_that_a_wiped_store_forgot_runs_on():
    holding = Holding()
    holding.take(look(rules(3), users=read_emergency("legacy", 5_000)), 100)
    for now in (101, 102, 103):
        holding.take(look(Missing()), now)

    assert holding.next_end == 105
    assert holding.expire(105)
    assert holding.take(look(Missing()), 106) == Restore(look(Missing()).found, rules(3), {}, "run1")


def test_a_lifetime_that_was_lengthened_or_taken_off_counts_anew():
    holding = Holding()
    holding.take(look(rules(3), users=read_emergency("legacy", 5_000)), 100)
    holding.take(look(rules(3), users=read_emergency("legacy", 60_000)), 101)
    assert holding.next_end == 161
    holding.take(look(rules(3), users=LEGACY), 102)
    assert holding.next_end is None


def test_a_store_that_is_away_changes_nothing_but_the_alarm():
    holding = Holding()
    holding.take(look(rules(3), users=LEGACY), 0)
    before = holding.state(1)
    holding.away("refused")

    after = holding.state(1)
    assert after.plans_like(before)
    assert (after.connected, after.alarms) == (False, (Alarm("store_away", "refused"),))


def test_the_emergency_file_counts_where_the_store_says_nothing():
    holding = Holding()
    holding.take(look(rules(3, users=5, chat=5), users=Emergency(Side.MODERN, "modern")), 0)
    holding.emergency_file({"users": LEGACY, "chat": LEGACY, "typo": LEGACY})

    assert holding.state(0).sides == {"users": Side.MODERN, "chat": Side.LEGACY}
    assert kinds(holding.state(0)) == ["emergency_unknown_component"]


def test_each_topic_has_one_alarm():
    holding = Holding()
    holding.alarm("snapshot", Alarm("a", "1"))
    holding.alarm("snapshot", Alarm("b", "2"))
    holding.alarm("push", Alarm("c", "3"))
    assert kinds(holding.state(0)) == ["b", "c"]
    holding.alarm("snapshot", None)
    assert kinds(holding.state(0)) == ["c"]


def test_a_snapshot_is_due_for_what_would_read_back_differently():
    holding = Holding()
    empty = holding.memory
    holding.take(look(rules(3), users=read_emergency("legacy", 5_000)), 0)
    assert holding.differs(empty)
    saved = holding.memory

    holding.take(look(holding.held or Missing(), users=read_emergency("legacy", 4_003)), 1)  # measured anew
    assert not holding.differs(saved)
    for change in (
        look(rules(4), users=read_emergency("legacy", 3_000)),
        look(rules(4), users=read_emergency("modern", 3_000)),
        look(rules(4), users=read_emergency("modern", 60_000)),
        look(rules(4), users=read_emergency("modern")),
        look(rules(4)),
    ):
        holding.take(change, 2)
        assert holding.differs(saved)
        saved = holding.memory

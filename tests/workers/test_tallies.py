"""Tallies: what is counted as a whole, and what is new."""

from __future__ import annotations

from proxy.core.evidence import SWALLOWED_BY, TEST_SWALLOWED, Basis, Outcome
from proxy.workers import tallies
from proxy.workers.tallies import Tallies, Tally


def test_an_outcome_is_counted_by_itself_and_by_its_reason():
    tally = Tally("users", "/u")
    tally.add(Outcome.SKIPPED, "range")
    tally.add(Outcome.SKIPPED, "stream")
    tally.note("ignored $.at")

    assert tally.total == {"skipped": 2, "skipped:range": 1, "skipped:stream": 1, "ignored $.at": 1}


def test_what_is_new_is_taken_once_and_the_whole_stays():
    tally = Tally("users", "/u")
    tally.add(Outcome.MATCHED, "", b"1")
    news = tally.take_news()

    assert (news.counts, len(news.entities), len(news.differing)) == ({"matched": 1}, 1, 0)
    assert not tally.take_news()
    assert tally.total == {"matched": 1}


def test_an_entity_of_a_mismatch_is_counted_twice():
    tally = Tally("users", "/u")
    tally.add(Outcome.MATCHED, "", b"1")
    tally.add(Outcome.MISMATCHED, "", b"2")
    news = tally.take_news()

    assert (len(news.entities), len(news.differing)) == (2, 1)


def test_what_rests_on_other_rules_is_not_sent_for_the_new_ones():
    tally = Tally("users", "/u")
    tally.rest_on(Basis("a", "shadow", version=1))
    tally.add(Outcome.MATCHED)
    tally.rest_on(Basis("a", "shadow", version=2))
    assert tally.news.counts == {"matched": 1}

    tally.rest_on(Basis("b", "shadow", version=3))
    assert not tally.news
    assert tally.total == {"matched": 1}


def test_an_entity_that_comes_again_is_one():
    tally = Tally("users", "/u")
    for _ in range(3):
        tally.add(Outcome.MATCHED, "", b"1")

    assert len(tally.news.entities) == 1


def test_an_outcome_is_never_lost_however_many_reasons_there_were_before(monkeypatch):
    monkeypatch.setattr(tallies, "MOST_REASONS", 3)
    tally = Tally("users", "/u")
    for number in range(5):
        tally.note(f"explained:ignore $.{number}")
    tally.add(Outcome.MISMATCHED, "known")
    tally.match(b"1")

    assert (tally.total["mismatched"], tally.total["matched"]) == (1, 1)
    assert (tally.news.counts["mismatched"], tally.news.counts["matched"]) == (1, 1)


def test_reasons_and_entities_are_bounded(monkeypatch):
    monkeypatch.setattr(tallies, "MOST_REASONS", 3)
    monkeypatch.setattr(tallies, "MOST_ENTITIES", 2)
    tally = Tally("users", "/u")
    for number in range(5):
        tally.add(Outcome.MATCHED, "", b"%d" % number)
        tally.note(f"rule {number}")

    assert tally.total == {"matched": 5, "rule 0": 1, "rule 1": 1, "other": 3}
    assert len(tally.news.entities) == 2


def test_no_reason_takes_the_place_of_an_outcome_or_of_a_test(monkeypatch):
    monkeypatch.setattr(tallies, "MOST_REASONS", 3)
    tally = Tally("users", "/u")
    for number in range(5):
        tally.note(f"explained:rule {number}")
    tally.add(Outcome.MISMATCHED, "", b"1")
    tally.note(TEST_SWALLOWED)
    tally.note(f"{SWALLOWED_BY}ignore $")

    assert (tally.total[Outcome.MISMATCHED], tally.news.counts[Outcome.MISMATCHED]) == (1, 1)
    assert tally.total[TEST_SWALLOWED] == tally.news.counts[TEST_SWALLOWED] == 1
    assert tally.news.counts[f"{SWALLOWED_BY}other"] == 1


def test_the_tally_of_a_route_is_one_and_the_same():
    found = Tallies()

    assert found.of("users", "/u") is found.of("users", "/u")
    assert [each.route for each in found] == ["/u"]

"""Evidence: what is counted, what it proves, and how several parts make a whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.confidence import upper_bound
from proxy.core.evidence import Evidence, Outcome, together


def seen(matched: int = 0, mismatched: int = 0, entities: int = 0, differing: int = 0, **more: object) -> Evidence:
    counts = {Outcome.MATCHED: matched, Outcome.MISMATCHED: mismatched}
    return Evidence(counts, entities=entities, differing=differing, **more)


def test_nothing_compared_proves_nothing():
    assert Evidence().bound == 1.0


@pytest.mark.parametrize(("entities", "below"), [(2_995, 0.001), (29_956, 0.0001)])
def test_none_of_so_many_distinct_entities_is_below(entities, below):
    assert seen(matched=10 * entities, entities=entities).bound < below
    assert seen(matched=10 * entities, entities=entities - 1).bound >= below


def test_one_entity_that_comes_again_and_again_proves_as_much_as_once():
    assert seen(matched=1_000_000, entities=1).bound == upper_bound(0, 1)


def test_an_estimate_of_more_entities_than_comparisons_is_not_believed():
    assert seen(matched=100, entities=103).bound == upper_bound(0, 100)


def test_a_mismatch_counts_even_if_its_entity_was_not_counted():
    assert seen(matched=99, mismatched=1, entities=100).bound == upper_bound(1, 100)


def test_the_bound_is_never_below_what_was_seen():
    assert seen(matched=0, mismatched=5, entities=3, differing=5).bound == 1.0


def test_noise_and_what_is_inconclusive_or_apart_prove_nothing():
    vague = {Outcome.NOISE: 50, Outcome.INCONCLUSIVE: 40, Outcome.APART: 30, Outcome.DROPPED: 20, Outcome.FAILED: 10}
    found = Evidence(vague, entities=100)

    assert (found.compared, found.conclusive, found.bound) == (120, 0, 1.0)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=5))
def test_the_parts_make_the_whole(parts):
    whole = together(seen(matched=one, mismatched=other, entities=one + other, differing=other) for one, other in parts)

    assert whole.compared == sum(one + other for one, other in parts)
    assert whole.counts.get(Outcome.MISMATCHED, 0) == sum(other for _, other in parts)
    assert whole.differing == sum(other for _, other in parts)


def test_a_whole_is_as_old_as_its_youngest_part():
    old, young = seen(since="2026-01-01T00:00:00Z", why="first"), seen(since="2026-02-01T00:00:00Z", why="rules")

    assert (together([young, old]).since, together([old, young]).why) == ("2026-02-01T00:00:00Z", "rules")

"""What comparison says of a component: in words, never better than it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.compared import compared_document, percent, swallowing, worded
from proxy.core.evidence import Evidence, Outcome


def evidence(matched: int = 0, mismatched: int = 0, entities: int = 0, **reasons: int) -> Evidence:
    counts = {Outcome.MATCHED: matched, Outcome.MISMATCHED: mismatched, Outcome.SKIPPED: 2}
    return Evidence(counts, {name.replace("_", ":", 1): count for name, count in reasons.items()}, entities, mismatched)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Evidence(), "nothing is known yet"),
        (evidence(1, 0, 1), "fewer than 95 % differ, at 95 %: 0 of 1 comparisons of 1 entities differ"),
        (
            evidence(5_000, 0, 2_995),
            "fewer than 0.10 % differ, at 95 %: 0 of 5,000 comparisons of 2,995 entities differ",
        ),
        (
            evidence(2_999, 1, 3_000),
            "fewer than 0.16 % differ, at 95 %: 1 of 3,000 comparisons of 3,000 entities differ",
        ),
        (evidence(0, 2, 2), "2 of 2 comparisons of 2 entities differ: that says nothing yet"),
    ],
)
def test_what_is_known_is_a_bound_and_what_it_rests_on(found, said):
    assert worded(found) == said


@pytest.mark.parametrize(
    ("share", "text"), [(0.001, "0.10 %"), (0.0009999, "0.10 %"), (0.00158, "0.16 %"), (0.95, "95 %"), (0.0, "0 %")]
)
def test_a_share_has_two_digits_that_count(share, text):
    assert percent(share) == text


@given(st.floats(1e-9, 1))
def test_a_share_is_never_rounded_down(share):
    assert float(percent(share).removesuffix(" %")) >= share * 100 * (1 - 1e-9)


def test_the_document_has_every_outcome_and_each_route():
    found = compared_document({"/b": evidence(3, 1, 4), "/a": evidence(1, 0, 1, skipped_range=2)})

    assert found is not None
    assert (found["matched"], found["mismatched"], found["skipped"], found["compared"]) == (4, 1, 4, 5)
    assert list(found["routes"]) == ["/a", "/b"]
    assert found["routes"]["/a"]["reasons"] == {"skipped:range": 2}
    assert {outcome.value for outcome in Outcome} <= set(found)


def test_a_component_that_was_never_compared_has_none():
    assert compared_document({}) is None


def test_a_rule_that_swallows_is_named_and_tests_are_no_reasons():
    swallowed = Evidence({}, {"test:found": 3, "test:swallowed": 1, "swallowed:ignore $..*": 1})
    found = compared_document({"/a": swallowed})

    assert found is not None
    assert found["self_test"] == {"planted": 4, "found": 3, "swallowed_by": ["ignore $..*"]}
    assert found["reasons"] == {}
    said = "differences planted to test the comparator are not found: `ignore $..*` is too wide"
    assert swallowing({"/a": swallowed, "/b": evidence(1)}) == said
    assert swallowing({"/b": evidence(1)}) == ""

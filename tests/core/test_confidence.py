"""The bound on differing answers: against values of scipy.stats.beta.ppf (1.17.1), and what must hold for all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from proxy.core.confidence import at_most, upper_bound


@pytest.mark.parametrize(
    ("mismatched", "compared", "bound"),
    [
        (0, 0, 1.0),
        (0, 1, 0.95),
        (0, 2995, 0.000999744420901142),
        (0, 29956, 9.999941531978722e-05),
        (1, 1000, 0.004734993575499777),
        (3, 10, 0.6066242161054123),
        (9, 10, 0.9948838031081763),
        (10, 10, 1.0),
        (50, 1000, 0.06286340351237973),
        (999, 1000, 0.999948708021091),
        (12345, 1000000, 0.012528172364617746),
        (500000, 1000000, 0.5008229260505229),
        (1, 10**9, 4.743864490591013e-09),
    ],
)
def test_the_bound_is_that_of_scipy(mismatched, compared, bound):
    assert upper_bound(mismatched, compared) == pytest.approx(bound, rel=1e-6)


def test_the_numbers_that_everybody_quotes():
    assert upper_bound(0, 2995) < 0.001 < upper_bound(0, 2994)
    assert upper_bound(0, 29956) < 0.0001 < upper_bound(0, 29955)


@pytest.mark.parametrize(("mismatched", "compared"), [(-1, 3), (4, 3)])
def test_what_cannot_be_is_refused(mismatched, compared):
    with pytest.raises(ValueError, match="cannot have differed"):
        upper_bound(mismatched, compared)


counts = st.integers(1, 10**6).flatmap(lambda compared: st.tuples(st.integers(0, compared), st.just(compared)))


@given(counts)
def test_more_mismatches_raise_it_more_comparisons_lower_it_and_it_is_above_what_was_seen(found):
    mismatched, compared = found
    bound = upper_bound(mismatched, compared)
    assert mismatched / compared <= bound <= 1
    assert upper_bound(mismatched, compared + 1) <= bound * (1 + 1e-9)
    if mismatched < compared:
        assert upper_bound(mismatched + 1, compared) >= bound * (1 - 1e-9)
        assert upper_bound(mismatched, compared, 0.99) >= bound * (1 - 1e-9)


@given(counts)
def test_at_the_bound_so_few_would_be_seen_once_in_twenty_times(found):
    mismatched, compared = found
    if mismatched < compared:
        assert at_most(mismatched, compared, upper_bound(mismatched, compared)) == pytest.approx(0.05, rel=1e-3)


@given(counts)
def test_the_bound_is_that_of_scipy_for_all_counts(found):
    mismatched, compared = found
    expected = 1.0 if mismatched == compared else beta.ppf(0.95, mismatched + 1, compared - mismatched)
    assert upper_bound(mismatched, compared) == pytest.approx(float(expected), rel=1e-6)

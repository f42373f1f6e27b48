from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.restarts import CALM_S, FIRST_S, MOST_S, failures_after, hopeless, pause_s


@pytest.mark.parametrize(
    ("failures", "lived_s", "after"),
    [(0, 0.1, 1), (1, 0.1, 2), (7, CALM_S - 0.1, 8), (7, CALM_S, 1), (0, 3600.0, 1)],
)
def test_failures_are_counted_until_one_lived_in_peace(failures, lived_s, after):
    assert failures_after(failures, lived_s) == after


@pytest.mark.parametrize(
    ("failures", "longest_s"), [(1, FIRST_S), (2, 2 * FIRST_S), (4, 8 * FIRST_S), (7, MOST_S), (10_000, MOST_S)]
)
def test_pauses_double_up_to_a_limit(failures, longest_s):
    assert pause_s(failures, 1.0) == pytest.approx(longest_s)
    assert pause_s(failures, 0.0) == 0.0


@given(failures=st.integers(1, 100), chance=st.floats(0, 1))
def test_jitter_is_full_and_bounded(failures, chance):
    assert 0 <= pause_s(failures, chance) <= MOST_S
    assert pause_s(failures, chance) == pytest.approx(chance * pause_s(failures, 1.0))


@pytest.mark.parametrize(
    ("status", "served", "code"),
    [
        (1, False, 1),
        (4, False, 4),
        (5, False, 5),
        (0, False, None),
        (2, False, None),
        (-9, False, None),
        (1, True, None),
        (4, True, None),
        (5, True, None),
        (-11, True, None),
    ],
)
def test_only_a_start_that_can_never_work_ends_all(status, served, code):
    assert hopeless(status, served) == code

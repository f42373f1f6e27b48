"""When a process counts as overloaded, and when no more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.overload import TURNS, Overload


def states(lags: list[float], limit_s: float = 1.0) -> list[bool]:
    overload = Overload(limit_s)
    found = []
    for lag_s in lags:
        before = overload.is_on
        assert overload.turned(lag_s) is (overload.is_on is not before)
        found.append(overload.is_on)
    return found


@pytest.mark.parametrize(
    ("lags", "expected"),
    [
        ([9, 0, 9, 0, 9, 9, 0], "......."),  # pauses, not a queue
        ([1.1, 1.1, 1.1], "..#"),
        ([1.0, 1.0, 1.0, 1.0], "...."),
        ([2, 2, 2, 0.6, 0.6, 0.5, 0.6], "..###.."),  # once over, it takes three again
        ([2, 2, 2, 0.7, 2, 0.1, 2, 2, 2], "..###...#"),
    ],
)
def test_three_late_turns_in_a_row_begin_it_and_one_that_is_not_half_as_late_ends_it(lags, expected):
    assert "".join(".#"[state] for state in states(lags)) == expected


def test_zero_is_never():
    assert not any(states([1000.0] * 10, limit_s=0))


@given(st.lists(st.floats(min_value=0, max_value=5)))
def test_it_is_never_on_without_as_many_late_turns_before_it(lags):
    for at, state in enumerate(states(lags)):
        if state:
            calm = max((i for i, lag_s in enumerate(lags[: at + 1]) if lag_s <= 0.5), default=-1)
            assert any(all(lag_s > 1 for lag_s in lags[i : i + TURNS]) for i in range(calm + 1, at - TURNS + 2))

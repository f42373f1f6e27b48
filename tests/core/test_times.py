"""Times as people say them."""

from __future__ import annotations

import pytest

from proxy.core.times import ago, seconds_of


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-3, "0 s"), (0, "0 s"), (89, "89 s"), (720, "12 min"), (7200, "2 h"), (129_000, "36 h"), (500_000, "6 d")],
)
def test_lengths_of_time_are_said_as_people_do(seconds, said):
    assert ago(seconds) == said


def test_times_are_read_or_left():
    assert seconds_of("2026-01-01T00:00:00Z") == 1_767_225_600
    assert seconds_of("yesterday") is None

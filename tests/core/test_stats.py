from __future__ import annotations

from math import ceil, inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.stats import BOUNDS, LE, QUANTILE_ERROR, Busiest, Counters, Histogram, first_segments

LATENCIES = st.lists(st.floats(BOUNDS[0], BOUNDS[-1]), min_size=1, max_size=200)


def histogram(latencies: list[float]) -> Histogram:
    made = Histogram()
    for latency in latencies:
        made.add(latency)
    return made


@given(LATENCIES, st.floats(0, 1))
def test_a_quantile_is_as_near_as_promised(latencies, share):
    exact = sorted(latencies)[max(1, ceil(share * len(latencies))) - 1]

    assert histogram(latencies).quantile(share) == pytest.approx(exact, rel=QUANTILE_ERROR)


@given(st.lists(st.one_of(st.floats(0, 200), st.sampled_from(LE)), max_size=200))
def test_cumulative_buckets_are_exact(latencies):
    """Prometheus: `le` is inclusive, and the bucket of infinity has them all."""
    expected = [(bound, sum(latency <= bound for latency in latencies)) for bound in (*LE, inf)]

    assert histogram(latencies).cumulative() == expected


@given(LATENCIES, LATENCIES)
def test_merged_histograms_are_one(first, second):
    merged = histogram(first)
    merged.merge(histogram(second))

    assert merged.counts == histogram([*first, *second]).counts
    assert merged.sum_s == pytest.approx(sum(first) + sum(second))
    assert merged.count == len(first) + len(second)


def test_a_window_is_what_came_after_a_copy():
    growing = histogram([0.01, 0.02])
    before = growing.copy()
    growing.add(5.0)
    window = growing.since(before)

    assert (window.count, window.quantile(0.5)) == (1, pytest.approx(5.0, rel=QUANTILE_ERROR))
    assert before.count == 2


@pytest.mark.parametrize(("latency", "shown"), [(0.0, BOUNDS[0]), (1e-9, BOUNDS[0]), (500.0, BOUNDS[-1])])
def test_beyond_the_bounds_the_nearest_one_is_shown(latency, shown):
    assert histogram([latency]).quantile(0.5) == shown


def test_nothing_counted_has_no_quantile():
    assert Histogram().quantile(0.99) is None
    assert Histogram().cumulative()[-1] == (inf, 0)


def test_bounds_ascend_and_have_the_usual_ones_of_prometheus():
    assert list(BOUNDS) == sorted(set(BOUNDS))
    assert set(LE) <= set(BOUNDS)


def test_counters_keep_one_cell_per_label():
    counters: Counters[tuple[str, str]] = Counters(("other", "other"))
    cell = counters.cell(("users", "read"))
    cell[0] += 2
    counters.add(("users", "write"))
    counters.add(("users", "read"), 3)

    assert list(counters.items()) == [(("users", "read"), 5), (("users", "write"), 1)]


def test_counters_never_grow_beyond_their_limit():
    counters: Counters[str] = Counters("other", limit=3)
    for number in range(100):
        counters.add(f"label-{number}")

    assert dict(counters.items()) == {"label-0": 1, "label-1": 1, "label-2": 1, "other": 97}


@given(st.lists(st.integers(0, 30), max_size=300))
def test_the_busiest_are_found_in_bounded_space(keys):
    busiest: Busiest[int] = Busiest(limit=8)
    for key in keys:
        busiest.add(key)
    exact = {key: keys.count(key) for key in set(keys)}
    found = dict(busiest.top(8))

    assert len(found) <= 8
    assert busiest.total == len(keys)
    assert {key for key, count in exact.items() if count > len(keys) / 8} <= set(found)
    for key, count in found.items():
        assert exact[key] <= count <= exact[key] + len(keys) / 8


def test_the_share_of_the_busiest_key_shows_skew():
    busiest: Busiest[bytes] = Busiest()
    for key in (b"a", b"b", b"a", b"c"):
        busiest.add(key)

    assert busiest.share() == 0.5
    assert busiest.top(1) == [(b"a", 2)]
    busiest.clear()
    assert (busiest.share(), busiest.total, busiest.top(3)) == (0.0, 0, [])


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (b"/api/users/42", b"/api/users"),
        (b"/api", b"/api"),
        (b"/", b"/"),
        (b"/" + b"x" * 500, b"/" + b"x" * 127),
    ],
)
def test_unclaimed_requests_are_counted_by_their_first_segments(path, shown):
    assert first_segments(path) == shown

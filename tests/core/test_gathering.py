from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.gathering import GAUGES, Family, counted, family, merged


def counter(value: float, **labels: str) -> Family:
    return Family("banyan_requests", "counter", "Requests", (("banyan_requests_total", labels, value),))


def gauge(name: str, value: float) -> Family:
    return Family(name, "gauge", "A gauge", ((name, {}, value),))


def value_of(families: list[Family], name: str, **labels: str) -> float:
    (found,) = [
        value for each in families for sample, given, value in each.samples if (sample, dict(given)) == (name, labels)
    ]
    return found


def test_counters_are_summed_by_their_labels():
    one = [Family("n", "counter", "", (("n_total", {"a": "1"}, 2.0), ("n_total", {"a": "2"}, 5.0)))]
    other = [Family("n", "counter", "", (("n_total", {"a": "2"}, 1.0), ("n_total", {"a": "3"}, 7.0)))]
    (found,) = merged([one, other])

    assert found.samples == (("n_total", {"a": "1"}, 2.0), ("n_total", {"a": "2"}, 6.0), ("n_total", {"a": "3"}, 7.0))


def test_the_samples_of_a_histogram_stay_behind_one_another():
    def histogram(*labels: str) -> Family:
        samples = [
            sample
            for label in labels
            for sample in (
                ("h_bucket", {"c": label, "le": "1.0"}, 1.0),
                ("h_bucket", {"c": label, "le": "+Inf"}, 2.0),
                ("h_count", {"c": label}, 2.0),
                ("h_sum", {"c": label}, 1.5),
            )
        ]
        return Family("h", "histogram", "", tuple(samples))

    (found,) = merged([[histogram("x", "y")], [histogram("z", "y")]])

    assert [labels["c"] for _, labels, _ in found.samples] == ["x"] * 4 + ["y"] * 4 + ["z"] * 4
    assert [value for _, labels, value in found.samples if labels["c"] == "y"] == [2.0, 4.0, 4.0, 3.0]


@pytest.mark.parametrize(
    ("name", "together"),
    [
        ("banyan_connections", 7),
        ("banyan_ready", 3),
        ("banyan_rule_version", 3),
        ("banyan_rules_age_seconds", 4),
        ("banyan_breaker_open", 4),
        ("process_resident_memory_bytes", 7),
        ("a_gauge_of_the_future", 4),
    ],
)
def test_a_gauge_is_joined_by_what_it_means(name, together):
    assert value_of(merged([[gauge(name, 3)], [gauge(name, 4)]]), name) == together


def test_of_those_that_leave_only_what_there_is_in_sum_counts():
    serving = [gauge("banyan_ready", 1), gauge("banyan_connections", 2), counter(10)]
    leaving = [gauge("banyan_ready", 0), gauge("banyan_connections", 3), counter(5)]
    found = merged([serving], [leaving])

    assert value_of(found, "banyan_ready") == 1
    assert value_of(found, "banyan_connections") == 5
    assert value_of(found, "banyan_requests_total") == 15


def test_of_those_that_ended_only_what_they_counted_remains():
    ended = [gauge("banyan_connections", 3), gauge("banyan_emergency", 1), counter(5)]
    found = merged([[gauge("banyan_connections", 2), counter(10)]], [], [ended])

    assert [each.name for each in found] == ["banyan_connections", "banyan_requests"]
    assert value_of(found, "banyan_connections") == 2
    assert value_of(found, "banyan_requests_total") == 15
    assert [each.name for each in counted(ended)] == ["banyan_requests"]


counts = st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 1000), max_size=3), max_size=5)


@given(counts, st.integers(0, 5))
def test_a_sum_does_not_depend_on_who_has_ended(processes, alive):
    each_one = [[counter(value, side=side) for side, value in process.items()] for process in processes]
    living, ended = each_one[:alive], each_one[alive:]

    def totals(families: list[Family]) -> dict[str, float]:
        return {labels["side"]: value for found in families for _, labels, value in found.samples}

    assert totals(merged(living, [], ended)) == totals(merged(each_one))


def test_a_family_survives_json():
    said = counter(3, component="users")
    assert family(orjson.loads(orjson.dumps(said.dumped()))) == said


def test_every_meaning_is_one_of_three():
    assert set(GAUGES.values()) == {min, max, sum}

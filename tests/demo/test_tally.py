from __future__ import annotations

import dataclasses

import pytest

from proxy.demo.asks import Ask
from proxy.demo.tally import Answer, Tally, quantile_ms, readers, share_pct

READ = Ask("ana", "GET", "/api/users/1", "users")
WRITE = Ask("ben", "DELETE", "/api/analytics/1", "analytics", 204)
GOOD = Answer(READ, 10.0, 0.002, 200, "modern", "users")
WRITTEN = Answer(WRITE, 11.0, 0.004, 204, "legacy", "analytics")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({}, ""),
        ({"fallback": "modern;reset"}, ""),
        ({"status": 502}, "status 502 instead of 200"),
        ({"status": 404}, "status 404 instead of 200"),
        ({"status": 0, "failure": "refused"}, "refused"),
        ({"component": "analytics"}, "claims to be of component 'analytics'"),
        ({"side": ""}, "does not say which side answered"),
    ],
)
def test_whatever_a_reader_is_not_owed_is_an_error(change, error):
    assert dataclasses.replace(GOOD, **change).error == error


def test_reads_and_writes_are_counted_apart():
    tally = Tally()
    for answer in (GOOD, WRITTEN, dataclasses.replace(GOOD, side="legacy", fallback="modern;reset")):
        tally.add(answer)
    tally.add(dataclasses.replace(WRITTEN, status=500, side="modern"))

    assert (tally.reads, tally.writes, tally.failed_reads, tally.failed_writes) == (2, 2, 0, 1)
    assert tally.fallbacks == {("users", "modern;reset"): 1}
    assert tally.writes_beside("legacy") == 1
    assert tally.errors == len(tally.first_errors) == 1


def test_answers_are_found_by_when_they_were_asked_for():
    tally = Tally()
    for start_s in (1.0, 2.0, 3.0):
        tally.add(dataclasses.replace(GOOD, started_s=start_s))
    tally.add(WRITTEN)

    assert [answer.started_s for answer in tally.since(2.0)] == [2.0, 3.0]
    assert tally.since(0.0, "analytics") == ()
    assert len(tally.latest()) == 4


def test_shares_and_latencies_of_answers():
    answers = [
        dataclasses.replace(GOOD, side=side, elapsed_s=ms / 1000) for side, ms in zip("aab", (5, 1, 3), strict=True)
    ]

    assert share_pct(answers, "b") == pytest.approx(33.33, abs=0.01)
    assert quantile_ms(answers, 0.5) == 3
    assert quantile_ms(answers, 1.0) == 5
    assert (share_pct([], "b"), quantile_ms([], 0.5)) == (0.0, 0.0)
    assert readers([*answers, WRITTEN], "a") == {"ana"}

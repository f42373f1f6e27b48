"""Which instances may be asked: ejections, their length and their bounds, health checks and their thresholds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.instances import Blame, Change, HealthCheck, OutlierDetection, Roster, Turn, drawn, is_healthy


def roster(count: int = 3, **rules: object) -> Roster:
    return Roster(count, OutlierDetection.model_validate(rules))


def fail(subject: Roster, index: int, times: int, now: float = 0.0) -> Change | None:
    """Let an instance fail so often in a row; return what the last failure made of it."""
    changes = [subject.record(index, False, now) for _ in range(times)]
    assert not any(changes[:-1])
    return changes[-1]


def test_five_failures_in_a_row_eject_an_instance_and_one_good_answer_between_them_does_not():
    subject = roster()
    assert fail(subject, 1, 4) is None
    assert subject.record(1, True, 0) is None
    assert fail(subject, 1, 4) is None

    change = subject.record(1, False, 0)

    assert change is not None
    assert (change.index, change.turn, change.ejected_s) == (1, Turn.EJECTED, 30)
    assert "5 requests in a row" in change.why
    assert (subject.asked, subject.is_down) == ((0, 2), False)
    assert subject.troubles() == [(1, change.why)]


def test_an_instance_that_is_back_is_asked_again_and_fails_anew_from_nothing():
    subject = roster()
    fail(subject, 1, 5)

    assert subject.end(1, 30).turn is Turn.RETURNED
    assert (subject.asked, subject.troubles()) == ((0, 1, 2), [])
    assert fail(subject, 1, 4, now=30) is None


def test_answers_that_were_under_way_when_it_was_ejected_do_not_prolong_it():
    subject = roster()
    fail(subject, 1, 5)

    assert fail(subject, 1, 9) is None
    subject.end(1, 30)
    assert fail(subject, 1, 4, now=30) is None


def test_each_ejection_is_longer_than_the_last_up_to_the_most():
    subject = roster(base_ejection_time_s=30, max_ejection_time_s=100)
    now, lengths = 0.0, []
    for _ in range(5):
        change = fail(subject, 0, 5, now)
        assert change is not None
        lengths.append(change.ejected_s)
        now += change.ejected_s
        subject.end(0, now)

    assert lengths == [30, 60, 90, 100, 100]


def test_calm_time_makes_the_next_ejection_shorter_again():
    subject = roster(interval_s=10)
    now = 0.0
    for expected, calm_s in ((30, 0), (60, 9), (90, 25), (60, 1000), (30, 0)):
        change = fail(subject, 0, 5, now)
        assert change is not None and change.ejected_s == expected
        now += change.ejected_s
        subject.end(0, now)
        now += calm_s


def test_the_base_counts_if_the_most_is_less_than_it():
    change = fail(roster(base_ejection_time_s=60, max_ejection_time_s=10), 0, 5)
    assert change is not None and change.ejected_s == 60


@pytest.mark.parametrize(
    ("count", "percent", "ejected"),
    [(3, 10, 1), (10, 10, 1), (10, 30, 3), (4, 50, 2), (3, 100, 2), (2, 10, 1), (5, 0, 0)],
)
def test_no_more_are_ejected_than_a_share_but_always_one_and_never_the_last(count, percent, ejected):
    subject = roster(count, max_ejection_percent=percent)
    for index in range(count):
        fail(subject, index, 5)

    assert count - len(subject.asked) == ejected
    assert not subject.is_down


def test_whose_failure_it_is():
    assert (roster(1).blame(0), roster(1).blame(None), roster(3).blame(None)) == (Blame.SIDE,) * 3
    subject = roster(3)
    assert subject.blame(1) is Blame.SHARED
    fail(subject, 1, 5)
    assert (subject.blame(1), subject.blame(0)) == (Blame.INSTANCE, Blame.SHARED)
    checked(subject, 2, False)
    assert (subject.blame(0), subject.blame(2)) == (Blame.SIDE, Blame.INSTANCE)
    checked(subject, 0, False)  # only the ejected one is healthy
    assert (subject.blame(0), subject.blame(1)) == (Blame.INSTANCE, Blame.SIDE)


def test_a_side_with_one_instance_ejects_nothing():
    subject = roster(1)
    assert fail(subject, 0, 100) is None
    assert subject.asked == (0,)


def test_zero_ejects_never():
    assert fail(roster(consecutive_5xx=0), 0, 100) is None


def checked(subject: Roster, index: int, *outcomes: bool) -> list[Turn | None]:
    changes = [subject.check(index, passed, "it answers 503") for passed in outcomes]
    return [change.turn if change is not None else None for change in changes]


def test_a_first_check_counts_at_once_and_later_ones_by_their_thresholds():
    subject = Roster(2, checks=HealthCheck(unhealthy_threshold=3, healthy_threshold=2))

    assert checked(subject, 0, False) == [Turn.UNHEALTHY]
    assert subject.asked == (1,)
    assert checked(subject, 0, True, False, True, True) == [None, None, None, Turn.HEALTHY]
    assert checked(subject, 0, False, False, True, False, False, False) == [None] * 5 + [Turn.UNHEALTHY]
    assert checked(subject, 1, True, False, False) == [None] * 3


def test_where_all_are_unhealthy_the_side_is_down_and_all_are_asked():
    subject = Roster(2)
    checked(subject, 0, False)
    assert not subject.is_down
    checked(subject, 1, False)

    assert (subject.is_down, subject.asked) == (True, (0, 1))
    assert [index for index, _ in subject.troubles()] == [0, 1]

    assert checked(subject, 1, True, True)[-1] is Turn.HEALTHY
    assert (subject.is_down, subject.asked) == (False, (1,))


def test_a_side_with_one_instance_is_down_when_its_check_says_so():
    subject = Roster(1)
    checked(subject, 0, False)
    assert (subject.is_down, subject.asked) == (True, (0,))


def test_the_only_one_that_passes_its_checks_is_not_ejected():
    subject = Roster(2)
    checked(subject, 0, False)
    assert fail(subject, 1, 5) is None
    assert subject.asked == (1,)


def test_an_ejected_one_that_also_fails_its_checks_stays_out_when_its_ejection_ends():
    subject = Roster(3)
    fail(subject, 0, 5)
    checked(subject, 0, False)
    assert "health check" in subject.troubles()[0][1]
    subject.end(0, 30)

    assert subject.asked == (1, 2)


def test_where_the_healthy_ones_are_ejected_they_are_asked_all_the_same_and_the_side_is_not_down():
    subject = Roster(2)
    fail(subject, 0, 5)
    checked(subject, 1, False)
    assert (subject.asked, subject.is_down) == ((0,), False)

    checked(subject, 0, False)
    assert (subject.asked, subject.is_down) == ((0, 1), True)
    assert "still" not in subject.troubles()[0][1]
    assert "its health check fails" in subject.end(0, 30).why


def test_a_good_check_does_not_end_an_ejection():
    """What traffic gets says more than what a check gets; Envoy takes it back by default."""
    subject = Roster(3)
    fail(subject, 0, 5)
    checked(subject, 0, True, True, True)

    assert subject.asked == (1, 2)
    assert "ejected" in subject.troubles()[0][1]


@pytest.mark.parametrize(("status", "good"), [(200, True), (204, True), (301, False), (404, False), (500, False)])
def test_a_check_is_passed_with_2xx(status, good):
    assert is_healthy(status) is good


chance = st.floats(min_value=0, max_value=1, exclude_max=True)


@given(st.integers(2, 300), chance, chance)
def test_two_different_ones_are_drawn(among, first, second):
    one, other = drawn(among, first, second)

    assert 0 <= one < among
    assert 0 <= other < among
    assert one != other


def test_every_pair_is_drawn_equally_often():
    pairs = [drawn(4, a / 40 + 0.001, b / 30 + 0.001) for a in range(40) for b in range(30)]
    counts = {pair: pairs.count(pair) for pair in set(pairs)}

    assert len(counts) == 12
    assert set(counts.values()) == {100}


@given(st.integers(1, 6), st.lists(st.tuples(st.integers(0, 5), st.sampled_from(("ok", "bad", "up", "down", "end")))))
def test_somebody_is_always_asked_and_down_means_that_nobody_is_available(count, steps):
    subject = Roster(count, OutlierDetection(consecutive_5xx=2, max_ejection_percent=60))
    for now, (index, step) in enumerate(steps):
        if index >= count:
            continue
        if step == "end":
            if any(each == index and "ejected" in why for each, why in subject.troubles()):
                subject.end(index, now)
        elif step in ("ok", "bad"):
            subject.record(index, step == "ok", now)
        else:
            subject.check(index, step == "up", "")
        out = {index for index, _ in subject.troubles()}
        sick = {index for index, why in subject.troubles() if "health check" in why}
        assert subject.asked
        assert subject.is_down == (len(sick) == count)
        assert set(subject.asked) == set(range(count)) - (
            out if len(out) < count else set() if subject.is_down else sick
        )

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.breaker import ERROR, FINE, PROBES, TRANSPORT, Breaker, Budget, Cause, State
from proxy.core.rules import Breaker as Rules

FAST_S, SLOW_S = 0.01, 2.5


def breaker(**rules: object) -> Breaker:
    return Breaker(Rules.model_validate(rules))


def opened(now: float = 0.0, **rules: object) -> Breaker:
    made = breaker(**rules)
    assert made.trip(now)
    return made


def half_open(**rules: object) -> Breaker:
    made = opened(**rules)
    assert made.tick(5.0)
    assert (made.state, made.avoided) == (State.HALF_OPEN, False)
    return made


def record(subject: Breaker, outcomes: list[tuple[float, int]], now: float = 0.0) -> list[bool]:
    return [subject.record(now, elapsed_s, fault) for elapsed_s, fault in outcomes]


GOOD, BAD, LOST, LATE = (FAST_S, FINE), (FAST_S, ERROR), (FAST_S, TRANSPORT), (SLOW_S, FINE)


@pytest.mark.parametrize(
    ("outcomes", "cause"),
    [
        ([GOOD] * 100, None),
        ([BAD] * 19, None),  # not enough to say anything
        ([BAD] * 20, Cause.ERRORS),
        ([GOOD] * 10 + [BAD] * 9, None),
        ([GOOD] * 10 + [BAD] * 10, Cause.ERRORS),
        ([GOOD] * 11 + [BAD] * 10, None),
        ([LATE] * 19, None),
        ([LATE] * 20, Cause.SLOW),
        ([GOOD] * 11 + [LATE] * 10, None),
        ([GOOD] * 12 + [BAD] * 6 + [LATE] * 6, None),  # each share for itself
        ([LOST] * 4, None),
        ([LOST] * 5, Cause.CONSECUTIVE),  # no volume needed: nobody answers
        ([LOST] * 4 + [GOOD] + [LOST] * 4, None),
        ([LOST] * 4 + [BAD] + [LOST] * 4, None),  # an error is an answer too
        ([LOST] * 4 + [LATE] + [LOST] * 4, None),
    ],
)
def test_a_breaker_opens_by_shares_or_by_consecutive_transport_errors(outcomes, cause):
    subject = breaker()
    changes = record(subject, outcomes)

    assert any(changes) == (cause is not None)
    assert subject.state is (State.OPEN if cause else State.CLOSED)
    assert subject.avoided == (cause is not None)
    assert subject.cause is (cause or Cause.NONE)
    if cause:
        assert changes.index(True) == len(changes) - 1


def test_the_window_forgets():
    subject = breaker(min_requests=10)
    record(subject, [BAD] * 9, now=0.0)
    record(subject, [GOOD] * 9, now=9.5)

    assert subject.shares(9.5) == (18, 0.5, 0.0)
    assert record(subject, [BAD], now=10.5) == [False]  # the nine of the first second are gone
    assert subject.shares(10.5) == (10, 0.1, 0.0)
    assert subject.shares(60.0) == (0, 0.0, 0.0)


def test_shares_count_slow_answers_apart_from_errors():
    subject = breaker()
    record(subject, [GOOD, BAD, LATE, (SLOW_S, TRANSPORT)])

    assert subject.shares(0.0) == (4, 0.5, 0.5)


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=200))
def test_the_window_agrees_with_keeping_every_event(steps):
    """Slots of a tenth: what is younger than 9 s counts, what is older than 10 s does not."""
    subject = breaker(min_requests=10_000, consecutive=10_000)
    now, seen = 1_000.0, []
    for step_s, failed in steps:
        now += step_s
        subject.record(now, FAST_S, ERROR if failed else FINE)
        seen.append((now, failed))
    total, errors, _ = subject.shares(now)
    young = [failed for at, failed in seen if at > now - 9]
    all_that_may = [failed for at, failed in seen if at > now - 10 - 1e-6]

    assert len(young) <= total <= len(all_that_may)
    assert sum(young) <= round(errors * total) <= sum(all_that_may)


def test_after_open_s_a_few_probes_go_through():
    subject = opened(now=0.0)

    assert not subject.tick(4.9)
    assert subject.avoided
    assert subject.tick(5.0)
    assert (subject.state, subject.avoided, subject.since_s) == (State.HALF_OPEN, False, 5.0)
    assert [subject.admit(5.1) for _ in range(PROBES)] == [False] * (PROBES - 1) + [True]
    assert subject.avoided  # enough are out
    assert not subject.admit(5.2)


def test_good_probes_close_it_with_an_empty_window():
    subject = half_open()
    for _ in range(PROBES):
        subject.admit(5.0)

    assert record(subject, [GOOD] * PROBES, now=5.1) == [False] * (PROBES - 1) + [True]
    assert (subject.state, subject.avoided) == (State.CLOSED, False)
    assert subject.shares(5.1) == (0, 0.0, 0.0)
    assert record(subject, [BAD] * 19, now=5.2) == [False] * 19


@pytest.mark.parametrize("outcome", [BAD, LOST, LATE])
def test_one_bad_probe_opens_it_again(outcome):
    subject = half_open()
    subject.admit(5.0)

    assert record(subject, [GOOD, outcome], now=6.0) == [False, True]
    assert (subject.state, subject.avoided, subject.cause, subject.since_s) == (State.OPEN, True, Cause.PROBE, 6.0)
    assert not subject.tick(10.9)
    assert subject.tick(11.0)


def test_probes_that_never_come_back_are_sent_anew():
    subject = half_open()
    for _ in range(PROBES):
        subject.admit(5.0)

    assert not subject.tick(9.9)
    assert subject.tick(10.0)
    assert (subject.state, subject.avoided) == (State.HALF_OPEN, False)


def test_a_half_open_breaker_waits_for_traffic():
    subject = half_open()
    subject.admit(5.0)

    assert not subject.tick(1_000.0)
    assert not subject.avoided


def test_what_comes_back_while_it_is_open_changes_nothing():
    subject = opened()

    assert record(subject, [GOOD] * 50 + [BAD] * 50 + [LOST] * 50, now=1.0) == [False] * 150
    assert (subject.state, subject.since_s) == (State.OPEN, 0.0)
    assert not subject.trip(2.0)


def test_a_closed_breaker_has_neither_probes_nor_a_timer():
    subject = breaker()

    assert not subject.admit(0.0)
    assert not subject.tick(1e9)


def test_observing_only_it_goes_through_all_states_and_spares_nobody():
    subject = breaker(observe_only=True)
    record(subject, [BAD] * 20)
    assert (subject.state, subject.avoided) == (State.OPEN, False)

    assert subject.tick(5.0)
    assert not any(subject.admit(5.0) for _ in range(PROBES))
    assert (subject.state, subject.avoided) == (State.HALF_OPEN, False)

    record(subject, [GOOD] * PROBES, now=5.1)
    assert subject.state is State.CLOSED


def test_new_thresholds_apply_at_once_and_close_nothing():
    subject = opened()
    subject.adjust(Rules(observe_only=True))
    assert (subject.state, subject.avoided) == (State.OPEN, False)

    subject.adjust(Rules(open_s=60.0))
    assert (subject.state, subject.avoided) == (State.OPEN, True)
    assert not subject.tick(59.0)

    counting = breaker()
    record(counting, [BAD] * 15)
    counting.adjust(Rules(min_requests=16))
    assert record(counting, [BAD]) == [True]


def test_another_window_starts_empty():
    subject = breaker()
    record(subject, [BAD] * 15)
    subject.adjust(Rules(window_s=2.0))

    assert subject.shares(0.0) == (0, 0.0, 0.0)
    record(subject, [BAD] * 3, now=0.0)
    assert subject.shares(2.1) == (0, 0.0, 0.0)


def test_zero_percent_means_any_error_once_there_is_volume():
    subject = breaker(error_pct=0)

    assert not any(record(subject, [GOOD] * 100))
    assert record(subject, [BAD]) == [True]


def test_the_budget_is_a_share_of_the_reads():
    budget = Budget(budget_pct=20.0, floor=5)
    for _ in range(100):
        budget.read(0.0)

    assert [budget.spend(0.0) for _ in range(20)] == [False] * 19 + [True]
    assert budget.spend(0.0)  # and stays spent: the read in hand is sent all the same
    assert budget.spent(0.0) == (21, 20.0)


@pytest.mark.parametrize(("pct", "reads"), [(20.0, 0), (20.0, 10), (0.0, 1_000)])
def test_the_budget_is_never_below_its_floor(pct, reads):
    budget = Budget(budget_pct=pct, floor=20)
    for _ in range(reads):
        budget.read(0.0)

    assert [budget.spend(0.0) for _ in range(20)] == [False] * 19 + [True]


def test_the_budget_is_over_ten_seconds():
    budget = Budget(budget_pct=20.0, floor=3)
    assert [budget.spend(0.0) for _ in range(3)] == [False, False, True]

    assert budget.spent(9.5) == (3, 3)
    assert budget.spent(10.5) == (0, 3)
    assert not budget.spend(10.5)


def test_another_budget_applies_at_once():
    budget = Budget(budget_pct=20.0, floor=20)
    budget.spend(0.0)
    budget.adjust(20.0, floor=2)

    assert budget.spend(0.0)


def test_spending_the_budget_opens_the_breaker_at_once():
    """As the gateway puts the two together: each failing read is sent twice, before an error share says anything."""
    budget, subject = Budget(budget_pct=20.0, floor=20), breaker()
    fallen_back = 0
    for _ in range(200):
        budget.read(0.0)
        if not subject.avoided:
            subject.record(0.0, FAST_S, FINE if fallen_back % 2 else ERROR)
            fallen_back += 1
            if budget.spend(0.0):
                subject.trip(0.0)

    assert (fallen_back, subject.state, subject.cause) == (20, State.OPEN, Cause.BUDGET)

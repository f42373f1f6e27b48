"""Shares, floors, caps and back-off: exact by count, stepped in time."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.sampling import WHOLE_BP, BackOff, Cap, Sampler


@given(st.integers(0, WHOLE_BP), st.integers(1, 3_000))
def test_a_share_is_exact_to_the_read(share_bp, reads):
    sampler = Sampler(share_bp)

    taken = sum(sampler.takes(0.0) for _ in range(reads))

    assert abs(taken - reads * share_bp / WHOLE_BP) < 1


@pytest.mark.parametrize("share_bp", [1, 100, WHOLE_BP])
def test_the_first_read_of_a_route_is_taken(share_bp):
    assert Sampler(share_bp).takes(0.0)


def test_nothing_is_taken_of_a_share_of_0_whatever_the_floor():
    sampler = Sampler(0, floor_s=1.0)

    assert not any(sampler.takes(float(at)) for at in range(100))


def test_a_rare_route_is_taken_at_least_once_in_its_floor():
    sampler = Sampler(1, floor_s=60.0)

    assert [at for at in range(0, 600, 20) if sampler.takes(float(at))] == list(range(0, 600, 60))


def test_a_busy_route_is_not_taken_more_often_for_its_floor():
    sampler = Sampler(1_000, floor_s=60.0)

    assert sum(sampler.takes(at * 0.1) for at in range(10_000)) == 1_000


@pytest.mark.parametrize(("replicas", "expected"), [(1, 100), (4, 25)])
def test_a_cap_is_shared_by_the_fleet(replicas, expected):
    cap = Cap(10.0)
    cap.replicas = replicas

    taken = sum(cap.takes(at / 1000) for at in range(10_000))

    assert expected <= taken <= expected + 10 / replicas


def test_a_cap_below_one_a_second_still_lets_some_through():
    cap = Cap(0.1)

    assert [at for at in range(60) if cap.takes(float(at))] == [0, 10, 20, 30, 40, 50]


def test_what_a_cap_did_not_use_is_no_burst_later():
    cap = Cap(10.0)

    cap.takes(0.0)

    assert sum(cap.takes(3_600.0) for _ in range(100)) == 10


def test_without_a_cap_everything_goes():
    assert all(Cap(0.0).takes(0.0) for _ in range(1_000))


def second(back_off: BackOff, elapsed_s: float = 0.01, fine: bool = True, count: int = 10) -> None:
    for _ in range(count):
        back_off.record(elapsed_s, fine)
    back_off.second()


def test_a_side_in_trouble_gets_half_each_second_and_never_nothing():
    back_off = BackOff()

    shares = []
    for _ in range(10):
        second(back_off, fine=False)
        shares.append(back_off.share)

    assert shares[:3] == [0.5, 0.25, 0.125]
    assert shares[-1] == 1 / 64


def test_it_gets_all_back_by_and_by():
    back_off = BackOff()
    second(back_off, fine=False)

    for _ in range(4):
        second(back_off)

    assert back_off.is_well


def test_one_of_a_hundred_that_fails_is_no_trouble():
    back_off = BackOff()
    for at in range(100):
        back_off.record(0.01, at != 50)

    back_off.second()

    assert back_off.is_well


def test_a_side_that_slows_down_is_spared_and_one_that_always_was_slow_is_not():
    back_off, always_slow = BackOff(), BackOff()
    for _ in range(5):
        second(back_off, 0.05)
        second(always_slow, 2.0)

    second(back_off, 0.5)

    assert not back_off.is_well
    assert always_slow.is_well


def test_a_fast_side_is_not_slow_for_being_a_little_less_fast():
    back_off = BackOff()
    second(back_off, 0.001)

    second(back_off, 0.02)

    assert back_off.is_well


def test_a_quiet_second_changes_nothing():
    back_off = BackOff()
    second(back_off, fine=False)

    back_off.second()

    assert back_off.share == 0.5


def test_the_share_is_exact_to_the_read():
    back_off = BackOff()
    second(back_off, fine=False)
    second(back_off, fine=False)

    assert sum(back_off.lets(0.0) for _ in range(400)) == 100


def test_a_side_that_asks_for_time_gets_it():
    back_off = BackOff()

    back_off.wait(10.0)

    assert [back_off.lets(at) for at in (0.0, 9.9, 10.0)] == [False, False, True]
    assert Sampler(0).floor_s == inf


def test_a_side_that_fails_a_read_in_ten_now_and_then_is_not_well():
    back_off = BackOff()
    for _ in range(3):
        for number in range(100):
            back_off.record(0.01, number % 12 > 0)
        back_off.second()

    assert back_off.share == 1.0
    assert not back_off.is_well

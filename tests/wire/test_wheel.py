"""The wheel: deadlines fire once, in time, and whatever happens to the others."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.wheel import A_TURN, HORIZON_TICKS, STALL_S, TICK_S, Timed, Wheel
from tests.rig import Clock
from tests.waiting import until


class Alarm(Timed):
    """Remembers when it fired."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.fired: list[float] = []

    def on_deadline(self) -> None:
        self.fired.append(self.clock.now)


class Rearming(Alarm):
    """Sets itself a new deadline whenever one has passed."""

    def __init__(self, clock: Clock, wheel: Wheel, after_s: float) -> None:
        super().__init__(clock)
        self.wheel = wheel
        self.after_s = after_s

    def on_deadline(self) -> None:
        super().on_deadline()
        self.wheel.arm(self, self.after_s)


class Broken(Alarm):
    """Fails when its time has come."""

    def on_deadline(self) -> None:
        super().on_deadline()
        raise RuntimeError("a fault")


def pass_time(wheel: Wheel, clock: Clock, until_s: float, step_s: float = TICK_S) -> None:
    while clock.now < until_s:
        clock.now = round(clock.now + step_s, 6)
        wheel.turn()


@given(st.floats(0.01, 120), st.sampled_from((0.1, 0.25, 1.0)))
def test_a_deadline_fires_once_not_early_and_at_most_a_tick_late(after_s, step_s):
    clock = Clock()
    wheel = Wheel(clock)
    alarm = Alarm(clock)
    wheel.arm(alarm, after_s)
    pass_time(wheel, clock, 130, step_s)

    assert len(alarm.fired) == 1
    assert after_s - 1e-6 <= alarm.fired[0] <= after_s + step_s + 2 * TICK_S


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(0, 30)), min_size=1, max_size=8))
def test_only_the_last_deadline_counts(moves):
    clock = Clock()
    wheel = Wheel(clock)
    alarm = Alarm(clock)
    for pause_s, after_s in moves:
        alarm.fired.clear()
        wheel.arm(alarm, after_s)
        armed_s = clock.now
        pass_time(wheel, clock, clock.now + pause_s)
    pass_time(wheel, clock, clock.now + 31)

    assert len(alarm.fired) == (after_s > 0)
    assert all(fired >= armed_s + after_s - 1e-6 for fired in alarm.fired)


def test_zero_means_never_and_takes_a_deadline_back():
    clock = Clock()
    wheel = Wheel(clock)
    alarm = Alarm(clock)
    wheel.arm(alarm, 1)
    wheel.arm(alarm, 0)
    pass_time(wheel, clock, 10)
    assert alarm.fired == []

    wheel.arm(alarm, 1)
    alarm.due = 0
    pass_time(wheel, clock, 20)
    assert alarm.fired == []


def test_a_deadline_moved_ahead_fires_then_and_one_moved_back_not_before():
    clock = Clock()
    wheel = Wheel(clock)
    sooner, later = Alarm(clock), Alarm(clock)
    wheel.arm(sooner, 60)
    wheel.arm(sooner, 1)
    wheel.arm(later, 1)
    wheel.arm(later, 60)
    pass_time(wheel, clock, 100)

    assert [round(at) for at in sooner.fired + later.fired] == [1, 60]


def test_what_is_set_from_within_a_late_turn_has_its_full_time():
    clock = Clock()
    wheel = Wheel(clock)
    alarm = Rearming(clock, wheel, 3)
    wheel.arm(alarm, 1)
    clock.now = 60  # ten minutes' worth of ticks in one turn
    wheel.turn()
    assert alarm.fired == [60]

    clock.now = 62
    wheel.turn()
    assert alarm.fired == [60]
    clock.now = 63.3
    wheel.turn()
    assert alarm.fired == [60, 63.3]


def test_one_that_fails_does_not_cost_the_others_their_deadlines():
    clock = Clock()
    wheel = Wheel(clock)
    first, broken, last = Alarm(clock), Broken(clock), Alarm(clock)
    for each in (first, broken, last):
        wheel.arm(each, 1)
    with pytest.raises(RuntimeError):
        pass_time(wheel, clock, 2)
    assert (len(first.fired), len(broken.fired), len(last.fired)) == (1, 1, 1)

    wheel.arm(last, 1)
    pass_time(wheel, clock, 5)
    assert len(last.fired) == 2


def test_what_is_moved_all_the_time_is_held_once_per_horizon():
    clock = Clock()
    wheel = Wheel(clock)
    alarm = Alarm(clock)
    for _ in range(600):
        wheel.arm(alarm, 30)
        wheel.arm(alarm, 3)
        pass_time(wheel, clock, clock.now + TICK_S)

    assert alarm.fired == []
    assert sum(map(len, wheel._slots.values())) <= 2 * HORIZON_TICKS


def test_what_has_no_deadline_any_more_is_let_go_within_the_horizon():
    clock = Clock()
    wheel = Wheel(clock)
    alarm = Alarm(clock)
    wheel.arm(alarm, 3600)
    alarm.due = 0
    pass_time(wheel, clock, HORIZON_TICKS * TICK_S + 1)

    assert wheel._slots == {}


async def test_it_turns_by_itself_until_it_is_stopped():
    wheel = Wheel()
    alarm = Alarm(Clock())
    wheel.start()
    wheel.arm(alarm, 0.05)
    await until(lambda: alarm.fired)
    wheel.stop()
    ticks = wheel.tick
    wheel.stop()
    assert wheel.tick == ticks


async def test_a_loop_that_stood_still_is_late_itself_and_nobody_else():
    """A stopped process hears what came meanwhile before anyone is found late."""
    wheel = Wheel()
    alarm = Alarm(Clock())
    wheel.start()
    await until(lambda: wheel.tick > 1)
    wheel.arm(alarm, STALL_S)
    stands_until_s = time.monotonic() + STALL_S + 0.2
    while time.monotonic() < stands_until_s:
        pass  # the loop stands still: that is what is tested
    await until(lambda: wheel.lag_s > STALL_S)
    assert alarm.fired == []
    await until(lambda: alarm.fired)
    wheel.stop()


async def test_a_fault_in_a_deadline_does_not_stop_the_wheel():
    wheel = Wheel()
    broken = Broken(Clock())
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    wheel.start()
    wheel.arm(broken, 0.05)
    await until(lambda: told)
    tick = wheel.tick
    await until(lambda: wheel.tick > tick)
    wheel.stop()
    assert isinstance(told[0], RuntimeError)


async def test_time_in_which_the_loop_stood_still_is_known_afterwards_and_while_it_lasts():
    wheel = Wheel()
    told: list[float] = []
    wheel.start(told.append)
    await until(lambda: wheel.tick > 1)
    began = time.perf_counter()
    while time.perf_counter() < began + STALL_S + 0.4:
        pass  # the loop stands still: that is what is tested
    ended = time.perf_counter()
    assert STALL_S < wheel.lost_s(began, ended) <= ended - began  # before it could turn again
    assert wheel.lost_s(ended, ended) == 0
    await until(lambda: max(told) > STALL_S)
    lost_s = wheel.lost_s(began, time.perf_counter())
    assert STALL_S < lost_s <= max(told) + 0.001
    middle = (began + ended) / 2
    assert 0 < wheel.lost_s(middle, ended) < wheel.lost_s(began, ended)
    assert wheel.lost_s(time.perf_counter(), time.perf_counter()) == 0
    wheel.stop()
    assert wheel.lost_s(0.0, began) == 0


async def test_thousands_that_are_due_at_once_leave_room_for_everything_else():
    wheel = Wheel()
    clock = Clock()
    alarms = [Alarm(clock) for _ in range(10 * A_TURN)]
    wheel.start()
    for alarm in alarms:
        wheel.arm(alarm, 0.05)
    most, before = 0, 0
    while before < len(alarms):
        await asyncio.sleep(0)
        fired = sum(map(len, (alarm.fired for alarm in alarms)))
        most, before = max(most, fired - before), fired
    wheel.stop()

    assert most <= A_TURN
    assert all(len(alarm.fired) == 1 for alarm in alarms)


async def test_one_that_is_moved_while_it_waits_to_fire_fires_at_its_new_time_only():
    wheel = Wheel()
    clock = Clock()
    moved, dropped = Alarm(clock), Alarm(clock)
    at: list[int] = []

    class First(Alarm):
        def on_deadline(self) -> None:
            at.append(wheel.tick)
            wheel.arm(moved, 0.3)
            dropped.due = 0

    wheel.start()
    for alarm in (First(clock), *(Alarm(clock) for _ in range(A_TURN)), moved, dropped):
        wheel.arm(alarm, 0.05)
    await until(lambda: moved.fired)
    assert wheel.tick >= at[0] + 3
    assert (len(moved.fired), dropped.fired) == (1, [])
    wheel.stop()

"""
The deadlines of a process on one wheel, turned every 100 ms.

Hot: setting a deadline is two attribute writes; `call_later` and its cancel cost 1.3 µs per exchange. What every
exchange sets, its connections set by themselves, as `arm` does, from ticks counted once (`ticks_of`). A deadline fires
up to one tick late, and early only by what the loop lags. The wheel knows connections by `Timed` only.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic, perf_counter

TICK_S = 0.1
HORIZON_TICKS = 50  # what is due later is looked at every 5 s: so a closed connection is not kept until its deadline
A_TURN = 64  # deadlines that fire before the loop sees to everything else
STALL_S = 0.3  # time in which the whole loop stood still for longer than this counts for no deadline


NEVER_TICKS = 1 << 60


def ticks_of(after_s: float) -> int:
    """Return how many ticks from now a deadline is due: whole ones, and what is left of this one; 0 s means never."""
    return int(after_s * 10 + 0.999) + 1 if after_s > 0 else NEVER_TICKS


class Timed:
    """Whatever has a deadline: at most one at a time, moved or dropped as often as one likes."""

    __slots__ = ("due", "slot")

    def __init__(self) -> None:
        self.due = 0  # tick at which it fires; 0: none
        self.slot = 0  # tick under which the wheel holds it; 0: not held

    def on_deadline(self) -> None:
        """Called once when the deadline has passed; a new one may be set from within."""
        raise NotImplementedError


class Wheel:
    """
    Holds what is due, in slots by tick.

    `clock` is only read when the wheel turns, so that tests can step it. `lag_s` is how late the last turn was: the
    event loop's lag.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._started_s = clock()
        self._slots: dict[int, list[Timed]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # while it turns by itself
        self._due: deque[tuple[Timed, int]] = deque()  # with the slot that each was in
        self._is_firing = False
        self._lapses: deque[tuple[float, float]] = deque(maxlen=16)  # when the loop stood still, from and to
        self._turn_due_s = float("inf")
        self.tick = 1
        self.lag_s = 0.0

    def arm(self, timed: Timed, after_s: float) -> None:
        """Let `timed` fire `after_s` from now, instead of any deadline it had; 0 means never."""
        if after_s <= 0:
            timed.due = 0
            return
        due = timed.due = self.tick + ticks_of(after_s)
        slot = timed.slot
        if not slot or due < slot:
            self.hold(timed, due)

    def hold(self, timed: Timed, due: int) -> None:
        """Take `timed` into the slot of its new deadline, because it is in none, or in a later one."""
        slot = timed.slot = min(due, self.tick + HORIZON_TICKS)
        held = self._slots.get(slot)
        if held is None:
            self._slots[slot] = [timed]
        else:
            held.append(timed)

    def turn(self) -> None:
        """Fire all that is due by now."""
        passed, now = self.tick, 1 + int((self._clock() - self._started_s) / TICK_S)
        if now <= passed:
            return
        self.tick = now  # at once: what is set from within must not be late already when several ticks have passed
        for slot in range(passed + 1, now + 1):
            self._due += [(timed, slot) for timed in self._slots.pop(slot, ())]
        if not self._is_firing:
            self._fire()

    def _fire(self) -> None:
        """Fire what is due; in a loop a few at a time, for thousands of clients may have come, and end, at once."""
        loop, self._is_firing = self._loop, False
        error: Exception | None = None
        for _ in range(min(len(self._due), A_TURN) if loop is not None else len(self._due)):
            try:
                self._visit(*self._due.popleft())
            except Exception as exc:  # a fault of one must not cost the others their deadlines
                error = exc
        if self._due and loop is not None:
            self._is_firing = True
            loop.call_soon(self._fire)
        if error is not None:
            raise error

    def _visit(self, timed: Timed, slot: int) -> None:
        if timed.slot != slot:
            return  # moved to an earlier slot meanwhile, and visited there
        timed.slot = 0
        due = timed.due
        if not due:
            return
        if due > self.tick:
            self.hold(timed, due)
            return
        timed.due = 0
        timed.on_deadline()

    def start(self, told: Callable[[float], None] | None = None) -> None:
        """Turn by itself from now on, in the running loop; `told` gets the lag of each turn."""
        loop = self._loop = asyncio.get_running_loop()
        self._turn_due_s = perf_counter()

        def turn() -> None:
            now = perf_counter()
            self.lag_s = max(0.0, now - self._turn_due_s)
            if self.lag_s > STALL_S:  # a stopped process, a frozen machine: what came meanwhile is not heard yet
                self._started_s += self.lag_s
                self._lapses.append((self._turn_due_s, now))
            self._timer = loop.call_later(TICK_S, turn)
            self._turn_due_s = now + TICK_S
            self.turn()
            if told is not None:
                told(self.lag_s)

        turn()

    def lost_s(self, since_s: float, now: float) -> float:
        """Return for how much of the time between two readings of `perf_counter` the whole loop stood still."""
        lost_s = max(0.0, now - max(since_s, self._turn_due_s))  # it may stand still since the last turn
        lost_s = lost_s if lost_s > STALL_S else 0.0
        return lost_s + sum(max(0.0, min(to, now) - max(since_s, begin)) for begin, to in self._lapses)

    def stop(self) -> None:
        """Stop turning; what is held never fires."""
        self._loop = None
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._turn_due_s = float("inf")

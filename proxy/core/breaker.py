"""
When a side has failed too often to be asked: one breaker per component and side, and the budget of fallbacks.

Ground floor, and `record` is hot: state machines that are told the time (monotonic seconds) with every step. They say
what a replica's next plans should avoid; they refuse nothing themselves, and know nothing of requests.
"""

from __future__ import annotations

from enum import StrEnum

from proxy.core.rules import Breaker as BreakerRules

FINE = 0  # an answer, and none that counts as an error
ERROR = 1  # a status that counts as an error
TRANSPORT = 2  # no usable answer: connect, timeout, reset

PROBES = 3  # this many answers in a row, asked for when half-open, close a breaker again
SLOTS = 10  # a window moves on by a tenth: one second with the default of 10 s
BUDGET_WINDOW_S = 10.0


class State(StrEnum):
    """Where a breaker stands; `half_open` lets a few requests through to see whether the side is back."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


_CLOSED = State.CLOSED  # looking a member up costs more than a comparison


class Cause(StrEnum):
    """Why a breaker opened."""

    NONE = "none"  # it never did
    ERRORS = "errors"
    SLOW = "slow"
    CONSECUTIVE = "consecutive"
    BUDGET = "budget"
    PROBE = "probe"  # half-open, and still failing


class _Window:
    """Sums of a few counts over the last SLOTS slots, the current one included."""

    __slots__ = ("_ring", "_slot_s", "edge", "slot")

    def __init__(self, window_s: float, counts: int) -> None:
        self._slot_s = window_s / SLOTS
        self._ring = [[0] * counts for _ in range(SLOTS)]
        self.slot = self._ring[-1]  # what is being counted now
        self.edge = float("-inf")  # when the current slot is over

    def roll(self, now: float) -> None:
        """Move on to the slot that `now` is in; call it when `now` has reached `edge`."""
        if now >= self.edge + SLOTS * self._slot_s:
            self.clear()
            self.edge = now + self._slot_s
            return
        while now >= self.edge:
            self.edge += self._slot_s
            self._ring.append([0] * len(self.slot))
            del self._ring[0]
        self.slot = self._ring[-1]

    def sums(self) -> list[int]:
        return [sum(column) for column in zip(*self._ring, strict=True)]

    def clear(self) -> None:
        for slot in self._ring:
            slot[:] = [0] * len(slot)


class Breaker:
    """
    Says whether one side of one component should be avoided.

    `avoided` is what the next plans are made from. `record`, `admit`, `tick` and `trip` return True when `state` or
    `avoided` changed, and the situation of the component has to be taken anew.
    """

    __slots__ = (
        "_admitted",
        "_good",
        "_rules",
        "_slow_s",
        "_streak",
        "_window",
        "avoided",
        "cause",
        "since_s",
        "state",
    )

    def __init__(self, rules: BreakerRules) -> None:
        self.state = State.CLOSED
        self.avoided = False
        self.cause = Cause.NONE  # of the last opening
        self.since_s = 0.0  # when `state` was entered
        self._streak = 0  # transport errors without an answer in between
        self._admitted = 0  # probes sent since it was half-open
        self._good = 0  # of them answered well
        self._rules = rules
        self._slow_s = rules.slow_ms / 1000
        self._window = _Window(rules.window_s, 3)

    def adjust(self, rules: BreakerRules) -> None:
        """Go on with other thresholds: an open breaker stays open, what was counted stays if the window is the same."""
        if rules.window_s != self._rules.window_s:
            self._window = _Window(rules.window_s, 3)
        self._rules = rules
        self._slow_s = rules.slow_ms / 1000
        self._avoid()

    def record(self, now: float, elapsed_s: float, fault: int = FINE) -> bool:
        """Count one exchange with the side: how long it took, and FINE, ERROR or TRANSPORT."""
        window = self._window
        if now >= window.edge:
            window.roll(now)
        slot = window.slot
        slot[0] += 1
        if fault or elapsed_s > self._slow_s:
            return self._record_bad(now, fault, elapsed_s > self._slow_s)
        self._streak = 0
        return False if self.state is _CLOSED else self._probed(now)

    def admit(self, now: float) -> bool:
        """Count one request that goes to the half-open side; when enough are out, the next ones avoid it."""
        if self.state is not State.HALF_OPEN or self.avoided:
            return False
        self._admitted += 1
        return self._avoid()

    def tick(self, now: float) -> bool:
        """Let time pass: an open breaker becomes half-open; probes that never came back are sent anew."""
        if self.state is State.CLOSED or now < self.since_s + self._rules.open_s:
            return False
        if self.state is State.HALF_OPEN and self._admitted < PROBES:
            return False
        self._enter(State.HALF_OPEN, now)
        return True

    def trip(self, now: float, cause: Cause = Cause.BUDGET) -> bool:
        """Open at once, whatever was counted."""
        if self.state is State.OPEN:
            return False
        self.cause = cause
        self._enter(State.OPEN, now)
        return True

    def shares(self, now: float) -> tuple[int, float, float]:
        """Return (exchanges, share of errors, share of slow ones) in the window, shares from 0 to 1; for `status`."""
        if now >= self._window.edge:
            self._window.roll(now)
        total, errors, slow = self._window.sums()
        return total, errors / max(1, total), slow / max(1, total)

    def _record_bad(self, now: float, fault: int, slow: bool) -> bool:
        slot = self._window.slot
        slot[1] += fault != FINE
        slot[2] += slow
        self._streak = self._streak + 1 if fault == TRANSPORT else 0
        if self.state is State.CLOSED:
            cause = self._cause_to_open()
            return False if cause is Cause.NONE else self.trip(now, cause)
        return self.state is State.HALF_OPEN and self.trip(now, Cause.PROBE)

    def _cause_to_open(self) -> Cause:
        rules = self._rules
        if self._streak >= rules.consecutive:
            return Cause.CONSECUTIVE
        total, errors, slow = self._window.sums()
        limit = total * rules.error_pct / 100
        if total < rules.min_requests:
            return Cause.NONE
        if errors and errors >= limit:
            return Cause.ERRORS
        return Cause.SLOW if slow and slow >= limit else Cause.NONE

    def _probed(self, now: float) -> bool:
        """Count a good answer when not closed; one that was asked for before the breaker opened proves nothing."""
        if self.state is State.OPEN:
            return False
        self._good += 1
        if self._good < PROBES:
            return False
        self._enter(State.CLOSED, now)
        self._window.clear()
        return True

    def _enter(self, state: State, now: float) -> None:
        self.state = state
        self.since_s = now
        self._admitted = self._good = self._streak = 0
        self._avoid()

    def _avoid(self) -> bool:
        before = self.avoided
        out = self.state is State.HALF_OPEN and self._admitted >= PROBES
        self.avoided = (self.state is State.OPEN or out) and not self._rules.observe_only
        return self.avoided != before


class Budget:
    """
    How many reads of one component may be sent twice: a share of its reads over BUDGET_WINDOW_S.

    Never below `floor` (the component's `breaker.min_requests`), so that a quiet component may fall back at all.
    """

    __slots__ = ("_floor", "_share", "_window")

    def __init__(self, budget_pct: float, floor: int) -> None:
        self._window = _Window(BUDGET_WINDOW_S, 2)
        self.adjust(budget_pct, floor)

    def adjust(self, budget_pct: float, floor: int) -> None:
        """Go on with other limits; what was counted stays."""
        self._share = budget_pct / 100
        self._floor = floor

    def read(self, now: float) -> None:
        """Count one read of the component."""
        window = self._window
        if now >= window.edge:
            window.roll(now)
        window.slot[0] += 1

    def spend(self, now: float) -> bool:
        """
        Count one read that is sent a second time, and say whether the budget is spent with it.

        Then the breaker of the side that failed is to be tripped; the read in hand is sent all the same, for no read
        fails because the other side is being spared.
        """
        if now >= self._window.edge:
            self._window.roll(now)
        self._window.slot[1] += 1
        reads, twice = self._window.sums()
        return twice >= max(self._floor, reads * self._share)

    def spent(self, now: float) -> tuple[int, float]:
        """Return (reads sent twice, how many may be) in the window; for `status`."""
        if now >= self._window.edge:
            self._window.roll(now)
        reads, twice = self._window.sums()
        return twice, max(self._floor, reads * self._share)

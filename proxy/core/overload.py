"""
Whether this process has more to do than it gets done, by how late its event loop is.

Ground floor: a state that is told each turn of the wheel. What follows from it is decided by `core.plan`.
"""

from __future__ import annotations

TURNS = 3  # late ones in a row: a pause of the machine or of the collector is over by then, a queue that grows is not


class Overload:
    """`is_on` from the third turn in a row that was later than `limit_s`, until one is less than half as late."""

    __slots__ = ("_late", "_limit_s", "is_on")

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s  # 0: never
        self._late = 0
        self.is_on = False

    def turned(self, lag_s: float) -> bool:
        """Take the lag of one turn, in seconds; return whether `is_on` changed."""
        was_on = self.is_on
        if lag_s > self._limit_s > 0:
            self._late += 1
            self.is_on = was_on or self._late >= TURNS
        else:
            self._late = 0
            self.is_on = was_on and lag_s > self._limit_s / 2
        return self.is_on is not was_on

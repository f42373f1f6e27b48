"""
Which instances of a side may be asked: not those that fail their health checks, nor those that traffic had ejected.

Ground floor: state machines that are told the time (monotonic seconds) and what happened. Names, defaults and the rules
of ejection are Envoy's (outlier detection, health checks) unless a comment says why they are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from proxy.core.frozen import Frozen
from proxy.core.scalars import PositiveSeconds, Seconds


class OutlierDetection(Frozen):
    """When an instance that answers badly is left out for a while; only where a side has several."""

    consecutive_5xx: Annotated[int, Field(ge=0, le=1_000_000)] = 5  # 5xx, or no answer at all; 0: never
    interval_s: PositiveSeconds = 10.0  # without an ejection for this long, the next one is a step shorter again
    base_ejection_time_s: PositiveSeconds = 30.0  # times the ejections before it
    max_ejection_time_s: PositiveSeconds = 300.0
    max_ejection_percent: Annotated[int, Field(ge=0, le=100)] = 10  # of the instances; but always one; 0: none


class HealthCheck(Frozen):
    """How often each instance is asked for its `health` path, and what its answers mean."""

    interval_s: Seconds = 0.0  # 0: never
    timeout_s: PositiveSeconds = 1.0
    unhealthy_threshold: Annotated[int, Field(ge=1, le=1_000)] = 3  # failures in a row
    healthy_threshold: Annotated[int, Field(ge=1, le=1_000)] = 2


def is_healthy(status: int) -> bool:
    """Say whether the status of an answer to a health check is a good one (Envoy takes 200 alone)."""
    return 200 <= status < 300


class Turn(StrEnum):
    """What became of an instance."""

    EJECTED = "ejected"  # by traffic
    RETURNED = "returned"  # from an ejection that is over
    UNHEALTHY = "unhealthy"  # by checks
    HEALTHY = "healthy"


class Blame(StrEnum):
    """Whose failure it is that a request to an instance failed."""

    SIDE = "side"  # it has no other instance that could be asked
    SHARED = "shared"  # it has, and who is to blame will show
    INSTANCE = "instance"  # its own: it is left out already


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one instance, and why: a sentence without its subject."""

    index: int
    turn: Turn
    why: str
    ejected_s: float = 0.0  # for how long


class _Instance:
    """What is known of one instance."""

    __slots__ = (
        "_checked", "_ejections", "_returned_s", "_streak", "ejected", "healthy", "why_ejected", "why_unhealthy",
    )  # fmt: skip

    def __init__(self) -> None:
        self.healthy = True  # until a check says otherwise: a first failure counts as all of them
        self.ejected = False
        self.why_unhealthy = self.why_ejected = ""
        self._checked = False
        self._streak = 0  # checks in a row that speak against the present verdict
        self._ejections = 0
        self._returned_s = 0.0

    @property
    def available(self) -> bool:
        return self.healthy and not self.ejected

    @property
    def why(self) -> str:
        """Why it may not be asked."""
        return self.why_ejected if self.healthy else self.why_unhealthy

    def check(self, passed: bool, rules: HealthCheck) -> bool:
        """Take the outcome of one check; return whether the verdict changed."""
        first, self._checked = not self._checked, True
        if passed is self.healthy:
            self._streak = 0
            return False
        self._streak += 1
        threshold = rules.healthy_threshold if passed else rules.unhealthy_threshold
        if self._streak < threshold and not first:
            return False
        self._streak = 0
        self.healthy = passed
        return True

    def eject(self, now: float, rules: OutlierDetection) -> float:
        """Leave it out; return for how many seconds."""
        calm = int((now - self._returned_s) / rules.interval_s)
        self._ejections = max(0, self._ejections - calm) + 1
        self.ejected = True
        longest = max(rules.max_ejection_time_s, rules.base_ejection_time_s)
        return min(rules.base_ejection_time_s * self._ejections, longest)

    def take_back(self, now: float) -> None:
        self.ejected = False
        self._returned_s = now


class Roster:
    """
    The instances of one side, by index.

    `asked`: those that may be asked; where none is left those that are only ejected, and where no checks are passed at
    all (`is_down`, and plans avoid the side) all of them: what must go to this side has nowhere else to go. Whoever
    ejects has to see to it that `end` is called in time.
    """

    def __init__(self, count: int, outliers: OutlierDetection | None = None, checks: HealthCheck | None = None) -> None:
        self._outliers = outliers or OutlierDetection()
        self._checks = checks or HealthCheck()
        self._instances = [_Instance() for _ in range(count)]
        self._failing = [0] * count  # answers in a row that were 5xx, or none
        self.asked: tuple[int, ...] = tuple(range(count))
        self.is_down = False

    def record(self, index: int, fine: bool, now: float) -> Change | None:
        """Take the outcome of one request to an instance: an answer below 500, or anything worse."""
        if fine:
            self._failing[index] = 0
            return None
        self._failing[index] += 1
        limit = self._outliers.consecutive_5xx
        if not limit or self._failing[index] < limit or not self._may_eject(index):
            return None
        self._failing[index] = 0
        instance = self._instances[index]
        ejected_s = instance.eject(now, self._outliers)
        instance.why_ejected = f"ejected for {ejected_s:g} s: {limit} requests in a row got a 5xx, or no answer"
        return self._changed(Change(index, Turn.EJECTED, instance.why_ejected, ejected_s))

    def end(self, index: int, now: float) -> Change:
        """An ejection is over."""
        self._failing[index] = 0
        self._instances[index].take_back(now)
        still = "" if self._instances[index].healthy else f", and {self._instances[index].why_unhealthy}"
        return self._changed(Change(index, Turn.RETURNED, f"its ejection is over{still}"))

    def check(self, index: int, passed: bool, says: str) -> Change | None:
        """Take the outcome of one health check; `says` is what came back."""
        instance = self._instances[index]
        if not instance.check(passed, self._checks):
            return None
        if passed:
            return self._changed(Change(index, Turn.HEALTHY, f"its health check is fine: {says}"))
        instance.why_unhealthy = f"its health check fails: {says}"
        return self._changed(Change(index, Turn.UNHEALTHY, instance.why_unhealthy))

    def blame(self, index: int | None) -> Blame:
        """Say whose failure it is that a request to this instance failed; None if it got to none."""
        if index is None or self.asked == (index,):
            return Blame.SIDE
        if index not in self.asked:
            return Blame.INSTANCE
        return Blame.SHARED

    def troubles(self) -> Sequence[tuple[int, str]]:
        """Return the instances that may not be asked, and why."""
        return [(index, each.why) for index, each in enumerate(self._instances) if not each.available]

    def _may_eject(self, index: int) -> bool:
        """Never the last one: what is wrong with a whole side is for breakers to say (Envoy leaves this to a panic)."""
        available = [each.available for each in self._instances]
        if not available[index] or sum(available) == 1:
            return False
        ejected = sum(each.ejected for each in self._instances)
        most = self._outliers.max_ejection_percent * len(available)
        return most > 0 and (not ejected or (ejected + 1) * 100 <= most)

    def _changed(self, change: Change) -> Change:
        available = tuple(index for index, each in enumerate(self._instances) if each.available)
        healthy = tuple(index for index, each in enumerate(self._instances) if each.healthy)
        self.is_down = not healthy
        self.asked = available or healthy or tuple(range(len(self._instances)))
        return change


def drawn(among: int, first: float, second: float) -> tuple[int, int]:
    """Return two different numbers below `among` (2 or more); `first` and `second` are chance, from 0 to below 1."""
    one = int(first * among)
    return one, (one + 1 + int(second * (among - 1))) % among

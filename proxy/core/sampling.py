"""
How many reads are also asked of another side: a share exact to the read, a floor for rare routes, caps, back-off.

Ground floor. Counters instead of dice: of any run of n reads a share of p takes n·p, give or take one. Time comes in as
seconds of any clock that does not go back.
"""

from __future__ import annotations

from math import inf

WHOLE_BP = 10_000
_LEAST = 1 / 64
_ALMOST_1 = 1 - 1e-9  # what adds up to one, after rounding
_MOST_OWED_S = 1.0  # of a cap: what was not used is kept for a second, so that a burst is no peak


class Sampler:
    """Takes a share of the reads of one route, and at least one every `floor_s`."""

    __slots__ = ("_due_s", "_owed_bp", "floor_s", "share_bp")

    def __init__(self, share_bp: int, floor_s: float = inf) -> None:
        self.share_bp = share_bp
        self.floor_s = floor_s
        self._owed_bp = WHOLE_BP - share_bp if share_bp else 0  # the first read of a route is taken
        self._due_s = inf

    def of(self, share_bp: int, floor_s: float) -> Sampler:
        """Return a sampler of this share and floor; this one if the share is its own, so that its count goes on."""
        if share_bp != self.share_bp:
            return Sampler(share_bp, floor_s)
        self.floor_s = floor_s
        return self

    def takes(self, now_s: float) -> bool:
        """Say whether this read is taken; each read of the route is to be asked about, once."""
        self._owed_bp += self.share_bp
        if self._owed_bp >= WHOLE_BP:
            self._owed_bp -= WHOLE_BP
        elif not self.share_bp or now_s < self._due_s:
            return False
        self._due_s = now_s + self.floor_s
        return True


class Cap:
    """At most `per_s` a second, of which `replicas` processes have an equal part each; 0: no cap."""

    __slots__ = ("_left", "_seen_s", "per_s", "replicas")

    def __init__(self, per_s: float) -> None:
        self.per_s = per_s
        self.replicas = 1
        self._left = 1.0
        self._seen_s = -inf

    def takes(self, now_s: float) -> bool:
        """Say whether one more may go now, and count it if so."""
        if not self.per_s:
            return True
        share = self.per_s / self.replicas
        if now_s > self._seen_s:
            passed_s = min(now_s - self._seen_s, _MOST_OWED_S / min(share, 1.0))
            self._left = min(self._left + passed_s * share, max(1.0, share * _MOST_OWED_S))
            self._seen_s = now_s
        if self._left < _ALMOST_1:
            return False
        self._left -= 1
        return True


class BackOff:
    """
    How much of the shadow load a side gets that has trouble: all of it, then half, a quarter, down to a 64th.

    Judged once a second by what came of the shadows of that second: a tenth that failed or declined, or a mean that is
    `SLOWER` times what it is used to be, halves the share; a second without gives a quarter of it back.
    """

    SLOWER = 3.0
    TROUBLED = 0.1
    WELL = 20
    _USED = 0.05  # weight of a new second in what is usual
    _NEGLIGIBLE_S = 0.05  # faster than this no side is slow

    __slots__ = ("_asked", "_owed", "_sum_s", "_troubled", "_until_s", "share", "trouble", "usual_s")

    def __init__(self) -> None:
        self.share = 1.0
        self.usual_s = 0.0
        self.trouble = 0.0  # the share of shadows that failed or were declined, of late
        self._asked = 0
        self._troubled = 0
        self._sum_s = 0.0
        self._owed = 0.0
        self._until_s = -inf

    @property
    def is_well(self) -> bool:
        """Whether the side gets all that is meant for it, and fails no more than a read in `WELL`."""
        return self.share >= 1.0 and self.trouble < 1 / self.WELL

    def lets(self, now_s: float) -> bool:
        """Say whether this shadow goes to the side."""
        if now_s < self._until_s:
            return False
        if self.share >= 1.0:
            return True
        self._owed += self.share
        if self._owed < 1:
            return False
        self._owed -= 1
        return True

    def record(self, elapsed_s: float, fine: bool) -> None:
        """Take what came of one shadow."""
        self._asked += 1
        self._troubled += not fine
        self._sum_s += elapsed_s

    def wait(self, until_s: float) -> None:
        """Send nothing until then: the side said so (Retry-After)."""
        self._until_s = max(self._until_s, until_s)

    def second(self) -> None:
        """Judge the second that has passed."""
        asked, troubled = self._asked, self._troubled
        if asked:
            mean_s = self._sum_s / asked
            self.trouble += (troubled / asked - self.trouble) * (self._USED if self.usual_s else 1.0)
            slow = mean_s > max(self._NEGLIGIBLE_S, self.SLOWER * self.usual_s) and self.usual_s > 0
            if troubled >= self.TROUBLED * asked or slow:
                self.share = max(_LEAST, self.share / 2)
            else:
                self.share = min(1.0, self.share * 1.25)
                self.usual_s += (mean_s - self.usual_s) * (self._USED if self.usual_s else 1.0)
        self._asked = self._troubled = 0
        self._sum_s = 0.0

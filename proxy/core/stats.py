"""
Counting: latencies in log buckets, counters by label, and the busiest of many, all of bounded size.

Ground floor and hot: plain lists of ints; turned into Prometheus families only when somebody asks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterable, Sequence
from math import ceil, inf, sqrt
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

# Upper bounds in seconds: the R20 series of preferred numbers (ISO 3), 10 µs to 90 s. It has the usual 1, 2.5 and 5 of
# Prometheus among its members, so that cumulative buckets are exact, and no step above 14.3 %.
_R20 = ("1.00", "1.12", "1.25", "1.40", "1.60", "1.80", "2.00", "2.24", "2.50", "2.80",
        "3.15", "3.55", "4.00", "4.50", "5.00", "5.60", "6.30", "7.10", "8.00", "9.00")  # fmt: skip
BOUNDS = tuple(float(f"{step}e{decade}") for decade in range(-5, 2) for step in _R20)
QUANTILE_ERROR = 0.07  # relative, within BOUNDS: half a step
LE = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0)  # all in BOUNDS


class Histogram:
    """Latencies in seconds: `counts[i]` had BOUNDS[i-1] < elapsed_s <= BOUNDS[i], the last one all that is slower."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum_s = 0.0

    def add(self, elapsed_s: float) -> None:
        """Count one latency."""
        self.counts[bisect_left(BOUNDS, elapsed_s)] += 1
        self.sum_s += elapsed_s

    @property
    def count(self) -> int:
        """All that were counted."""
        return sum(self.counts)

    def merge(self, other: Histogram) -> None:
        """Add what `other` counted, as if both had been one."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.sum_s += other.sum_s

    def since(self, earlier: Histogram) -> Histogram:
        """Return what was counted after `earlier`, a copy of this one, was taken."""
        window = Histogram()
        window.counts = [now - then for now, then in zip(self.counts, earlier.counts, strict=True)]
        window.sum_s = self.sum_s - earlier.sum_s
        return window

    def copy(self) -> Histogram:
        """Return a histogram that does not change with this one."""
        copy = Histogram()
        copy.merge(self)
        return copy

    def quantile(self, share: float) -> float | None:
        """
        Return the latency in seconds that `share` (0 to 1) of all stay below or meet, or None when nothing was counted.

        Nearest rank; within QUANTILE_ERROR between the smallest and the largest bound, the nearest of the two beyond.
        """
        rank = max(1, ceil(share * self.count))
        below = 0
        for at, count in enumerate(self.counts):
            below += count
            if below >= rank:
                return _middle(at)
        return None

    def cumulative(self, bounds: Sequence[float] = LE) -> list[tuple[float, int]]:
        """Return (upper bound, count up to it) for `bounds`, ascending members of BOUNDS, and at last for infinity."""
        found = []
        below = start = 0
        for bound in bounds:
            end = bisect_left(BOUNDS, bound) + 1
            below += sum(self.counts[start:end])
            start = end
            found.append((bound, below))
        return [*found, (inf, below + sum(self.counts[start:]))]


def _middle(at: int) -> float:
    if at == 0:
        return BOUNDS[0]
    if at == len(BOUNDS):
        return BOUNDS[-1]
    return sqrt(BOUNDS[at - 1] * BOUNDS[at])


class Counters(Generic[K]):
    """
    Counts per label values; never more than `limit` of them, so that no client can grow it: the rest counts as `other`.

    On the hot path keep the cell: `cell[0] += 1`.
    """

    __slots__ = ("_cells", "_limit", "_other")

    def __init__(self, other: K, limit: int = 10_000) -> None:
        self._cells: dict[K, list[int]] = {}
        self._other = other
        self._limit = limit

    def cell(self, labels: K) -> list[int]:
        """Return the one-item list that counts `labels`; the same one each time."""
        cell = self._cells.get(labels)
        if cell is None:
            if len(self._cells) >= self._limit:
                labels = self._other
            cell = self._cells.setdefault(labels, [0])
        return cell

    def add(self, labels: K, count: int = 1) -> None:
        """Count `labels` once more, or `count` times."""
        self.cell(labels)[0] += count

    def items(self) -> Iterable[tuple[K, int]]:
        """Return (labels, count) of all, in the order of their first count."""
        return [(labels, cell[0]) for labels, cell in self._cells.items()]


class Busiest(Generic[K]):
    """
    The most frequent of an endless stream of keys, in `limit` places (Metwally et al. 2005, Space-Saving).

    A count is never too low, and at most `total / limit` too high; each key above that share is among the places.
    """

    __slots__ = ("_counts", "_limit", "total")

    def __init__(self, limit: int = 64) -> None:
        self._counts: dict[K, int] = {}
        self._limit = limit
        self.total = 0

    def add(self, key: K) -> None:
        """Count `key` once more; the least frequent one gives way when there is no place left."""
        counts = self._counts
        self.total += 1
        if key in counts:
            counts[key] += 1
        elif len(counts) < self._limit:
            counts[key] = 1
        else:
            least = min(counts, key=counts.__getitem__)
            counts[key] = counts.pop(least) + 1

    def top(self, count: int) -> list[tuple[K, int]]:
        """Return the `count` busiest keys with their counts, busiest first."""
        return sorted(self._counts.items(), key=lambda item: -item[1])[:count]

    def share(self) -> float:
        """Return the share (0 to 1) of the busiest key, at most `1 / limit` too high; 0 when nothing was counted."""
        return max(self._counts.values(), default=0) / self.total if self.total else 0.0

    def clear(self) -> None:
        """Start a new window."""
        self._counts.clear()
        self.total = 0


def first_segments(path: bytes, count: int = 2) -> bytes:
    """Return the first segments of a path, by which unclaimed requests are counted: `/api/users/42` → `/api/users`."""
    return b"/".join(path.split(b"/", count + 1)[: count + 1])[:_SEGMENTS_LIMIT_BYTES]


_SEGMENTS_LIMIT_BYTES = 128

"""
What this process has counted of the reads it compared, by route: for metrics as a whole, for the store what is new.

Hot where reads are shadowed: an equal pair is one addition and one hash in a set. Bounded in all that traffic names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from xxhash import xxh3_64_intdigest

from proxy.core.evidence import SWALLOWED_BY, TEST_FOUND, TEST_SWALLOWED, Basis, Outcome

MOST_ENTITIES = 20_000  # of a route between two batches: beyond it they are fewer than they are, and the bound higher
MOST_REASONS = 100
_MATCHED, _EXPLAINED = Outcome.MATCHED.value, Outcome.EXPLAINED.value
_ALWAYS = frozenset((*Outcome, TEST_FOUND, TEST_SWALLOWED))  # what is never counted as another one
_OTHER_RULE = f"{SWALLOWED_BY}other"  # it still turns the component red


@dataclass(slots=True)
class News:
    """What was counted since the last batch; `entities` and `differing` are hashes."""

    counts: dict[str, int] = field(default_factory=dict)
    entities: set[int] = field(default_factory=set)
    differing: set[int] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.counts)


class Tally:
    """The counts of one route; `total` has them since the start, by outcome and by `outcome:reason`."""

    __slots__ = ("basis", "component", "news", "route", "total")

    def __init__(self, component: str, route: str) -> None:
        self.component = component
        self.route = route
        self.basis = Basis()  # what the news rest on
        self.total: dict[str, int] = {}
        self.news = News()

    def add(self, outcome: Outcome, reason: str = "", entity: bytes = b"") -> None:
        """Count one read; `entity` where the outcome says something of it."""
        self._count(outcome.value)
        if reason:
            self._count(f"{outcome}:{reason}")
        if entity and len(self.news.entities) < MOST_ENTITIES:
            number = xxh3_64_intdigest(entity)
            self.news.entities.add(number)
            if outcome is Outcome.MISMATCHED:
                self.news.differing.add(number)

    def match(self, entity: bytes, by_rules: tuple[str, ...] = ()) -> None:
        """Count a read whose answers were equal, or are by some rules."""
        total, news = self.total, self.news
        counts = news.counts
        name = _EXPLAINED if by_rules else _MATCHED
        total[name] = total.get(name, 0) + 1
        counts[name] = counts.get(name, 0) + 1
        for rule in by_rules:
            self._count(f"{name}:{rule}")
        if len(news.entities) < MOST_ENTITIES:
            news.entities.add(xxh3_64_intdigest(entity))

    def note(self, what: str) -> None:
        """Count something beside the outcomes: a rule that explained a difference, a strange body."""
        self._count(what)

    def rest_on(self, basis: Basis) -> None:
        """Count from now on for another basis; what is new and rests on the one before is lost."""
        if replace(basis, version=self.basis.version) != self.basis:
            self.news = News()
        self.basis = basis

    def take_news(self) -> News:
        """Return what is new, and begin anew."""
        news, self.news = self.news, News()
        return news

    def _count(self, name: str) -> None:
        total = self.total
        if name not in total and len(total) >= MOST_REASONS and name not in _ALWAYS:
            name = _OTHER_RULE if name.startswith(SWALLOWED_BY) else "other"
        total[name] = total.get(name, 0) + 1
        counts = self.news.counts
        counts[name] = counts.get(name, 0) + 1


class Tallies:
    """The tallies of all routes that are watched."""

    def __init__(self) -> None:
        self._tallies: dict[tuple[str, str], Tally] = {}

    def of(self, component: str, route: str) -> Tally:
        """Return the tally of a route; it outlives rule sets."""
        tally = self._tallies.get((component, route))
        if tally is None:
            tally = self._tallies[component, route] = Tally(component, route)
        return tally

    def __iter__(self) -> Iterator[Tally]:
        return iter(self._tallies.values())

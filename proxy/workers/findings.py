"""
What was found behind the answers: mismatches, and in what a side differs from itself.

Of a message nothing is kept beyond the moment but what `core.clusters` makes of it. What was found often enough is
only sampled: it is counted without a second look, so that one bug on a busy route does not use up all re-reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import time
from typing import Protocol

from proxy.core.clusters import MOST_EXAMPLES, Pair, Sighting, sightings
from proxy.core.compare import Comparison, Difference
from proxy.core.evidence import Outcome
from proxy.core.noise import AS, COMPARED, forms_of, name_of
from proxy.core.sandwich import Verdict, beside
from proxy.workers.aside import Aside
from proxy.workers.asked import Pairing, is_short
from proxy.workers.sandwich import Settled

SAMPLED = 20  # of so many differences that are known one is looked at again
NOISE_SEEN, NOISE_SHARE = 20, 0.9  # from when on a place is known to be noise
MOST_KNOWN = 5_000  # clusters


class Sink(Protocol):
    """Where sightings go, and which clusters people have closed."""

    closed: frozenset[str]

    def add(self, component: str, sightings: Iterable[Sighting]) -> None: ...


class Findings:
    """Takes what was found out."""

    def __init__(self, settled: Settled, sink: Sink, aside: Aside, clock: Callable[[], float] = time) -> None:
        self._settled = settled
        self._aside = aside
        self._sink = sink
        self._clock = clock
        self._examples: dict[str, int] = {}  # of each cluster, that were sent from here
        self._known = 0

    async def mismatch(self, pairing: Pairing, verdict: Verdict) -> None:
        """Take a mismatch: the answers of the second look, and in what they differ beside noise."""
        assert pairing.comparison is not None
        pair = self._pair(pairing, Comparison(verdict.differences, cut=pairing.comparison.cut))
        short = is_short(pairing.looker.route.rules, pair.first, pair.second)
        found = sightings(pair) if short else await self._aside.do(sightings, pair)
        self._count(found)
        self._sink.add(pair.component, found)

    def seen_open(self, ids: frozenset[str]) -> None:
        """Take which clusters are there and open: of those that were closed, or lost, examples are kept anew."""
        self._examples = {id: count for id, count in self._examples.items() if id in ids}

    def noise(self, pairing: Pairing, verdict: Verdict) -> None:
        """Take in what the primary differed from itself while a difference was looked at."""
        self._differed(pairing, verdict.noise)

    def noisy(self, pairing: Pairing) -> None:
        """Take a read that one side was asked twice; nothing is learned where somebody may have written meanwhile."""
        comparison = pairing.comparison
        if comparison is not None and comparison.is_readable and self._is_settled(pairing):
            self._differed(pairing, comparison.differences)

    def is_known(self, pairing: Pairing) -> bool:
        """
        Count a difference without a second look, if all of it is noise or mismatches that were found often before.

        Never where it may be a write on its way; now and then it is looked at all the same.
        """
        comparison = pairing.comparison
        assert comparison is not None
        noisy = [Difference(each.kind, each.path, (), None, None) for each in self._noise_of(pairing, comparison)]
        left = beside(comparison.differences, noisy)
        found = sightings(self._pair(pairing, Comparison(left)), examples=False) if left else ()
        if not all(self._has_enough(each.id) for each in found) or comparison.cut or not self._is_settled(pairing):
            return False
        self._known += 1
        if self._known % SAMPLED == 0:
            return False
        tally, looker = pairing.looker.route.tally, pairing.looker
        if found:
            tally.add(Outcome.MISMATCHED, "known", looker.entity_of(pairing.copy))
            self._sink.add(looker.plan.component or "", found)
        else:
            tally.add(Outcome.NOISE, "known")
        return True

    def _has_enough(self, id: str) -> bool:
        return self._examples.get(id, 0) >= MOST_EXAMPLES and id not in self._sink.closed

    def _count(self, found: Iterable[Sighting]) -> None:
        for each in found:
            if each.id not in self._examples and len(self._examples) >= MOST_KNOWN:
                self._examples.clear()
            self._examples[each.id] = self._examples.get(each.id, 0) + 1

    def _is_settled(self, pairing: Pairing) -> bool:
        looker = pairing.looker
        return self._settled.is_settled(looker.plan.component or "", looker.key_of(pairing.copy), pairing.since_s)

    def _noise_of(self, pairing: Pairing, comparison: Comparison) -> list[Difference]:
        """Return the differences in places in which the primary nearly always differs from itself."""
        total = pairing.looker.route.self_tally.total
        least = max(NOISE_SEEN, NOISE_SHARE * total.get(COMPARED, 0))
        return [each for each in comparison.differences if total.get(name_of(each.kind, each.path), 0) >= least]

    def _differed(self, pairing: Pairing, differences: Iterable[Difference]) -> None:
        tally = pairing.looker.route.self_tally
        tally.note(COMPARED)
        for name, forms in _places(differences).items():
            tally.note(name)
            for form in forms:
                tally.note(f"{name}{AS}{form}")

    def _pair(self, pairing: Pairing, comparison: Comparison) -> Pair:
        looker, request = pairing.looker, pairing.copy.request
        plan = looker.plan
        assert plan.component is not None
        return Pair(
            plan.component,
            plan.route,
            request.method,
            request.target,
            request.fields,
            looker.entity_of(pairing.copy),
            plan.primary,
            pairing.first,
            pairing.second,
            comparison,
            plan.version,
            self._clock(),
            looker.route.rules.reveal,
        )


def _places(differences: Iterable[Difference]) -> dict[str, set[str]]:
    """Return the places in which something differs, each once, and the ways in which all of it means the same there."""
    found: dict[str, set[str]] = {}
    for each in differences:
        name = name_of(each.kind, each.path)
        forms = set(forms_of(each.first, each.second))
        found[name] = found[name] & forms if name in found else forms
    return found

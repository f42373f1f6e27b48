"""
May an entity still be on its way from one side to the other? Writes that passed this replica say so, for a while.

One question (`is_settled`), so that whoever knows more than the clock can answer it one day. Bounded: where it loses
count it takes more for unsettled than is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from time import perf_counter

MOST_ENTITIES = 10_000  # of a component, that were written to lately
UNKNOWN_S = 30.0  # so much longer may a write still be done that nobody waits for any more


@dataclass(slots=True)
class _Writes:
    """The writes of one entity, of a collection, or of a whole component."""

    under_way: int = 0
    ended_s: float = -inf

    def is_over(self, since_s: float) -> bool:
        return not self.under_way and self.ended_s < since_s


@dataclass(slots=True)
class _Component:
    all: _Writes = field(default_factory=_Writes)
    unnamed: _Writes = field(default_factory=_Writes)  # writes of which nobody knows what they touch
    named: dict[bytes, _Writes] = field(default_factory=dict)


class Settling:
    """What was written to lately, by component and entity; an entity of b"" is one that nobody knows."""

    def __init__(self, settle_s: float = 2.0, clock: Callable[[], float] = perf_counter) -> None:
        self.settle_s = settle_s
        self._clock = clock
        self._components: dict[str, _Component] = {}

    def began(self, component: str, entity: bytes) -> None:
        """A write is about to be sent."""
        known = self._components.setdefault(component, _Component())
        known.all.under_way += 1
        if entity and entity not in known.named and len(known.named) >= MOST_ENTITIES:
            self._forget(known)
        writes = known.named.setdefault(entity, _Writes()) if entity else known.unnamed
        writes.under_way += 1

    def ended(self, component: str, entity: bytes, unknown: bool = False) -> None:
        """A write that began has ended; `unknown`: without an answer, so that its side may still be about to do it."""
        known = self._components[component]
        ended_s = self._clock() + UNKNOWN_S if unknown else self._clock()
        for writes in (known.all, known.named[entity] if entity else known.unnamed):
            writes.under_way -= 1
            writes.ended_s = max(writes.ended_s, ended_s)

    def is_settled(self, component: str, entity: bytes, since_s: float) -> bool:
        """Say whether nobody wrote to an entity from `settle_s` before `since_s` until now; b"": to any of them."""
        known = self._components.get(component)
        if known is None:
            return True
        since_s -= self.settle_s
        if not entity:
            return known.all.is_over(since_s)
        named = known.named.get(entity)
        return known.unnamed.is_over(since_s) and (named is None or named.is_over(since_s))

    def _forget(self, known: _Component) -> None:
        """Make room: of all that is not under way only the last end is kept, as that of an entity nobody knows."""
        over = [writes.ended_s for writes in known.named.values() if not writes.under_way]
        known.unnamed.ended_s = max(known.unnamed.ended_s, *over, -inf)
        known.named = {entity: writes for entity, writes in known.named.items() if writes.under_way}

"""
Sightings on their way to the store: kept while it is away, up to a bound, and counted once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from proxy.core.clusters import Sighting
from proxy.core.errors import StoreError
from proxy.store.events import Events
from proxy.store.mismatches import Batch, MismatchStore

EVERY_S = 1.0
MOST_PAUSE_S = 10.0
MOST_KEPT = 2_000  # of a component; the oldest give way
A_BATCH = 200
REFRESH_EVERY = 10  # rounds: what people close is noticed so soon


class _Component:
    """What waits of one component; `unsure` was sent, and nobody knows whether it came."""

    def __init__(self) -> None:
        self.waiting: deque[Sighting] = deque(maxlen=MOST_KEPT)
        self.unsure: Batch | None = None
        self.number = 0


class Sightings:
    """Takes sightings and sends them, as `replica`; `closed` has the clusters that people closed, as last read."""

    def __init__(self, store: MismatchStore, events: Events, replica: str) -> None:
        self._store = store
        self._events = events
        self._replica = replica
        self._components: dict[str, _Component] = {}
        self.closed: frozenset[str] = frozenset()
        self.on_open: Callable[[frozenset[str]], None] | None = None  # told which are open, at times
        self.lost = 0

    def add(self, component: str, sightings: Iterable[Sighting]) -> None:
        """Keep some for the next batch."""
        known = self._components.setdefault(component, _Component())
        for each in sightings:
            self.lost += len(known.waiting) == MOST_KEPT
            known.waiting.append(each)

    async def run(self) -> None:
        """Send, for as long as this runs; more slowly while the store is away."""
        pause_s, rounds = EVERY_S, 0
        while True:
            await asyncio.sleep(pause_s)
            rounds += 1
            try:
                await self.send()
                if rounds % REFRESH_EVERY == 0:
                    await self.refresh()
                pause_s = EVERY_S
            except StoreError:
                pause_s = min(MOST_PAUSE_S, pause_s * 2)

    async def send(self) -> None:
        """Send what waits; raises StoreError, and keeps the rest."""
        for name, known in list(self._components.items()):
            while known.unsure is not None or known.waiting:
                if known.unsure is None:
                    some = [known.waiting.popleft() for _ in range(min(A_BATCH, len(known.waiting)))]
                    known.number += 1
                    known.unsure = Batch(name, self._replica, known.number, some)
                told = await self._store.record(known.unsure)
                known.unsure = None
                for event in told:
                    self._events.logged(event)

    async def refresh(self) -> None:
        """Read which clusters are closed; raises StoreError."""
        found = await self._store.read(tuple(self._components))
        self.closed = frozenset(each.id for each in found if each.status == "closed")
        if self.on_open is not None:
            self.on_open(frozenset(each.id for each in found if each.status != "closed"))

"""
What was counted goes to the store, each second; what the store does not take is kept and sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import time

from proxy.core.errors import StoreError
from proxy.store.events import Events, stamp
from proxy.store.evidence import AGAIN, OLD, Batch, EvidenceStore
from proxy.workers.tallies import Tallies, Tally

EVERY_S = 1.0
MOST_PAUSE_S = 10.0


class Deliveries:
    """Sends the news of all tallies, as `replica`; `epoch` says which rules' versions are counted."""

    def __init__(
        self,
        tallies: Tallies,
        store: EvidenceStore,
        events: Events,
        replica: str,
        epoch: Callable[[], str],
        clock: Callable[[], float] = time,
    ) -> None:
        self._tallies = tallies
        self._store = store
        self._events = events
        self._replica = replica
        self._epoch = epoch
        self._clock = clock
        self._number = 0
        self._unsure: dict[Tally, Batch] = {}  # sent, and nobody knows whether they came: only the same ones may follow

    async def run(self) -> None:
        """Send, for as long as this runs; more slowly while the store is away."""
        pause_s = EVERY_S
        while True:
            await asyncio.sleep(pause_s)
            try:
                await self.send()
                pause_s = EVERY_S
            except StoreError:
                pause_s = min(MOST_PAUSE_S, pause_s * 2)

    async def send(self) -> None:
        """Send what is new of every route; raises StoreError, and keeps the rest."""
        for tally in list(self._tallies):
            batch = self._unsure.get(tally) or self._batch(tally)
            while batch is not None:
                self._unsure[tally] = batch
                result = await self._store.add(batch)
                del self._unsure[tally]
                self._tell(batch, result)
                batch = self._batch(tally)

    def _batch(self, tally: Tally) -> Batch | None:
        if not tally.news:
            return None
        news = tally.take_news()
        self._number += 1
        return Batch(
            tally.component,
            tally.route,
            self._replica,
            self._number,
            stamp(self._clock()),
            self._epoch(),
            tally.basis,
            news.counts,
            news.entities,
            news.differing,
        )

    def _tell(self, batch: Batch, result: str) -> None:
        if result not in ("", AGAIN, OLD):
            why = f"evidence of {batch.route} starts anew: {result}"
            self._events.append("evidence_reset", batch.component, why=why, route=batch.route)

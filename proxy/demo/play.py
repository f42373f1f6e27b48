"""What every scene of the story has at hand: the stage, the traffic that goes on over it, and who tells it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from proxy.demo.names import READERS
from proxy.demo.stage import Stage
from proxy.demo.tally import Answer, readers
from proxy.demo.telling import Teller, met
from proxy.demo.traffic import Traffic

IN_FORCE_S = 5.0
PANEL_S = 15.0


@dataclass(frozen=True, slots=True)
class Play:
    stage: Stage
    traffic: Traffic
    teller: Teller

    def now(self) -> float:
        """Return the time by which answers are dated."""
        return self.traffic.clock()

    async def collect(self, component: str, start_s: float, enough: Callable[[Sequence[Answer]], bool]) -> list[Answer]:
        """Return the reads of a component ("" for all) sent since `start_s`, once there are enough, or in the end."""
        since = self.traffic.tally.since
        await met(lambda: enough(since(start_s, component)), PANEL_S)
        return list(since(start_s, component))

    async def panel(self, component: str, start_s: float) -> list[Answer]:
        """Return the reads of a component sent since `start_s`, when every reader was answered at least once."""
        everyone = frozenset(READERS)
        return await self.collect(
            component, start_s, lambda found: readers(found, "legacy") | readers(found, "modern") == everyone
        )

    async def weight_in_force(self, component: str, weight_pct: float) -> float | None:
        """Wait until the gateway works by a weight; return after how many seconds, None if it does not come to that."""

        async def there() -> bool:
            return await self.stage.metric("banyan_weight_percent", component=component) == weight_pct

        return await met(there, IN_FORCE_S)

    @asynccontextmanager
    async def burst(self, component: str, users: Sequence[str], readers: int = 4) -> AsyncIterator[None]:
        """Have some more readers of one component for a while, each as fast as it is answered."""
        stop = asyncio.Event()
        reading = asyncio.create_task(self.traffic.burst(component, users, readers, stop))
        try:
            yield
            stop.set()
            await reading
        finally:
            reading.cancel()

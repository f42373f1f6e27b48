"""Mismatches put into a store from outside of any event loop, as the workers of a replica do it."""

from __future__ import annotations

import asyncio
from itertools import count

from proxy.core.clusters import Pair, sightings
from proxy.store.link import Link
from proxy.store.mismatches import Batch, MismatchStore

_numbers = count(1)


def put_pairs(url: str, *pairs: Pair) -> None:
    """Record what `pairs` show."""

    async def record() -> None:
        link = Link(url)
        for each in pairs:
            await MismatchStore(link).record(Batch(each.component, "test", next(_numbers), sightings(each)))
        await link.close()

    asyncio.run(record())

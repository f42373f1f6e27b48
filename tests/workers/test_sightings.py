"""Sightings reach the store once, whatever becomes of a batch on its way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
import structlog

from proxy.core.clusters import Fingerprint, Sighting
from proxy.core.errors import StoreError
from proxy.store.events import Event, Events
from proxy.store.link import Link
from proxy.store.mismatches import Batch, MismatchStore
from proxy.workers import sightings
from proxy.workers.sightings import Sightings
from tests.store.servers import Server, binaries


class Lossy(MismatchStore):
    """A store whose answers, or whose requests, get lost when told to."""

    lose_answer = lose_request = False

    async def record(self, batch: Batch) -> tuple[Event, ...]:
        if self.lose_request:
            raise StoreError("the store is away")
        events = await super().record(batch)
        if self.lose_answer:
            raise StoreError("no answer came")
        return events


@pytest.fixture
async def link() -> AsyncIterator[Link]:
    server = Server(sorted(binaries().items())[0][1])
    await server.start()
    link = Link(server.url)
    yield link
    await link.close()
    await server.close()


@pytest.fixture
def make(link: Link) -> Callable[[], tuple[Sightings, Lossy]]:
    def made() -> tuple[Sightings, Lossy]:
        store = Lossy(link)
        return Sightings(store, Events(link, structlog.get_logger()), "one"), store

    return made


def seen(path: str = "$.unread", entity: int = 1) -> Sighting:
    return Sighting(Fingerprint("users", "/u/{id}", path, "value", "number≠number"), entity, 100.0, {"at": "x"})


async def test_sightings_are_sent_once(make):
    found, store = make()
    found.add("users", [seen(), seen("$.new")])

    await found.send()
    await found.send()

    assert sorted((each.path, each.count) for each in await store.read(["users"])) == [("$.new", 1), ("$.unread", 1)]


@pytest.mark.parametrize("fault", ["lose_answer", "lose_request"])
async def test_a_batch_of_which_nobody_knows_whether_it_came_counts_once(make, fault):
    found, store = make()
    found.add("users", [seen()])
    setattr(store, fault, True)
    with pytest.raises(StoreError):
        await found.send()
    found.add("users", [seen(entity=2)])

    setattr(store, fault, False)
    await found.send()

    (cluster,) = await store.read(["users"])
    assert (cluster.count, cluster.entities) == (2, 2)


async def test_many_go_in_several_batches(make):
    found, store = make()
    found.add("users", (seen(entity=number) for number in range(sightings.A_BATCH * 2 + 1)))

    await found.send()

    (cluster,) = await store.read(["users"])
    assert cluster.count == sightings.A_BATCH * 2 + 1


async def test_while_the_store_is_away_the_oldest_give_way(make, monkeypatch):
    monkeypatch.setattr(sightings, "MOST_KEPT", 3)
    found, _ = make()

    found.add("users", (seen(entity=number) for number in range(5)))

    assert found.lost == 2


async def test_what_people_close_is_noticed(make):
    found, store = make()
    found.add("users", [seen()])
    await found.send()
    (cluster,) = await store.read(["users"])
    await store.close(cluster, who="ana", why="mended")

    await found.refresh()

    assert found.closed == {cluster.id}

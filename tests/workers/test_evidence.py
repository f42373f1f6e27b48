"""What was counted reaches the store once, whatever becomes of a batch on its way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
import structlog

from proxy.core.errors import StoreError
from proxy.core.evidence import Basis, Outcome
from proxy.store.events import Events
from proxy.store.evidence import Batch, EvidenceStore
from proxy.store.link import Link
from proxy.workers.evidence import Deliveries
from proxy.workers.tallies import Tallies
from tests.store.servers import Server, binaries


class Lossy(EvidenceStore):
    """A store whose answers, or whose requests, get lost when told to."""

    lose_answer = lose_request = False

    async def add(self, batch: Batch) -> str:
        if self.lose_request:
            raise StoreError("the store is away")
        result = await super().add(batch)
        if self.lose_answer:
            raise StoreError("no answer came")
        return result


@pytest.fixture
async def link() -> AsyncIterator[Link]:
    server = Server(sorted(binaries().items())[0][1])
    await server.start()
    link = Link(server.url)
    yield link
    await link.close()
    await server.close()


Made = tuple[Tallies, Lossy, Deliveries, Events]


@pytest.fixture
def make(link: Link) -> Callable[[], Made]:
    def made() -> Made:
        tallies, store = Tallies(), Lossy(link)
        events = Events(link, structlog.get_logger())
        return tallies, store, Deliveries(tallies, store, events, "one", lambda: "e1"), events

    return made


async def matched(store: EvidenceStore) -> int:
    found = (await EvidenceStore.read(store, "users")).get("/u")
    return 0 if found is None else found.counts.get(Outcome.MATCHED, 0)


async def test_news_are_sent_once(make):
    tallies, store, deliveries, _ = make()
    tallies.of("users", "/u").add(Outcome.MATCHED, "", b"1")

    await deliveries.send()
    await deliveries.send()

    assert await matched(store) == 1


@pytest.mark.parametrize("fault", ["lose_answer", "lose_request"])
async def test_a_batch_of_which_nobody_knows_whether_it_came_counts_once(make, fault):
    tallies, store, deliveries, _ = make()
    tally = tallies.of("users", "/u")
    tally.add(Outcome.MATCHED, "", b"1")
    setattr(store, fault, True)
    with pytest.raises(StoreError):
        await deliveries.send()
    tally.add(Outcome.MATCHED, "", b"2")

    setattr(store, fault, False)
    await deliveries.send()

    assert await matched(store) == 2


async def test_that_evidence_starts_anew_is_told(make):
    tallies, _, deliveries, events = make()
    tally = tallies.of("users", "/u")
    for version, rules in ((1, "a"), (2, "b")):
        tally.rest_on(Basis(rules, "shadow", version=version))
        tally.add(Outcome.MATCHED)
        await deliveries.send()
    await events.flush()

    (event,) = await events.tail()
    assert (event.kind, event.component, event.why) == ("evidence_reset", "users", "evidence of /u starts anew: rules")

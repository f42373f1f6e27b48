"""Evidence of several replicas in the real servers: added once, started anew for a reason, and never in the way."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from proxy.core.errors import StoreError
from proxy.core.evidence import Basis, Evidence, Outcome
from proxy.store.evidence import AGAIN, OLD, Batch, EvidenceStore
from proxy.store.link import Link

BASIS = Basis(rules="a1", phase="shadow", version=5)
ROUTE = "GET /api/users/{id}"


def batch(number: int = 1, replica: str = "one", basis: Basis = BASIS, **values: Any) -> Batch:
    counts = values.pop("counts", {"matched": 3, "skipped": 1, "skipped:range": 1})
    return Batch(
        "users", ROUTE, replica, number, "2026-11-25T10:00:00Z", values.pop("epoch", "e1"), basis, counts, **values
    )


@pytest.fixture
def store(link: Link) -> EvidenceStore:
    return EvidenceStore(link)


async def of(store: EvidenceStore) -> Evidence:
    return (await store.read("users"))[ROUTE]


async def test_what_replicas_counted_is_added_up(store):
    assert await store.add(batch(entities=[1, 2, 3])) == ""
    assert await store.add(batch(replica="two", entities=[3, 4], counts={"matched": 2})) == ""

    found = await of(store)
    assert found.counts == {Outcome.MATCHED: 5, Outcome.SKIPPED: 1}
    assert found.reasons == {"skipped:range": 1}
    assert (found.entities, found.differing) == (4, 0)
    assert (found.since, found.why) == ("2026-11-25T10:00:00Z", "first comparison")


async def test_a_batch_that_is_sent_again_counts_once(store):
    await store.add(batch(1))

    assert await store.add(batch(1)) == AGAIN
    assert await store.add(batch(2, counts={"matched": 1})) == ""
    assert await store.add(batch(1)) == AGAIN
    assert (await of(store)).counts[Outcome.MATCHED] == 4


async def test_routes_of_one_replica_have_batches_of_their_own(store):
    await store.add(batch(1))

    assert await store.add(replace(batch(1), route="/api/users")) == ""
    assert sorted(await store.read("users")) == ["/api/users", ROUTE]


@pytest.mark.parametrize(
    ("basis", "why"),
    [
        (replace(BASIS, rules="b2", version=6), "rules"),
        (replace(BASIS, phase="canary", version=6), "phase: shadow → canary"),
        (replace(BASIS, modern="2"), "version of modern: 1 → 2"),
        (replace(BASIS, legacy="9"), "version of legacy: 8 → 9"),
    ],
)
async def test_evidence_starts_anew_for_a_reason(store, basis, why):
    await store.add(batch(1, basis=replace(BASIS, legacy="8", modern="1"), entities=[1], differing=[1]))
    later = replace(batch(2, basis=basis, counts={"matched": 1}, entities=[7, 8]), at="2026-11-26T00:00:00Z")

    assert await store.add(later) == why
    found = await of(store)
    assert (found.counts, found.entities, found.differing) == ({Outcome.MATCHED: 1}, 2, 0)
    assert (found.since, found.why) == ("2026-11-26T00:00:00Z", why)


async def test_another_weight_is_no_reason(store):
    await store.add(batch(1))

    assert await store.add(batch(2, basis=replace(BASIS, version=9))) == ""


async def test_a_version_that_a_side_does_not_say_is_no_reason(store):
    await store.add(batch(1, basis=replace(BASIS, modern="1")))

    assert await store.add(batch(2)) == ""
    assert await store.add(batch(3, basis=replace(BASIS, modern="1"))) == ""
    assert await store.add(batch(4, basis=replace(BASIS, modern="2"))) == "version of modern: 1 → 2"


async def test_a_replica_that_is_behind_takes_nothing_back(store):
    await store.add(batch(1, basis=replace(BASIS, rules="b2", version=6)))

    assert await store.add(batch(1, "two")) == OLD
    assert (await of(store)).counts[Outcome.MATCHED] == 3


async def test_versions_of_another_epoch_are_not_compared(store):
    await store.add(batch(1, basis=replace(BASIS, version=60)))

    assert await store.add(batch(2, basis=replace(BASIS, rules="b2", version=1), epoch="e2")) == "rules"


async def test_many_entities_go_in_one_batch(store):
    await store.add(batch(entities=range(20_000)))

    assert abs((await of(store)).entities - 20_000) < 20_000 * 0.03


async def test_names_are_bounded(store, link):
    for number in range(5):
        await store.add(batch(number + 1, counts={f"explained:rule {number} {each}": 1 for each in range(100)}))

    await store.add(batch(9, counts={"mismatched": 2}))
    assert await link.call("HLEN", "banyan:{users}:evidence:of:" + ROUTE) <= 202
    assert (await of(store)).reasons["other"] > 0
    assert (await of(store)).counts[Outcome.MISMATCHED] == 2


async def test_no_name_takes_the_place_of_an_outcome(store):
    await store.add(batch(counts={f"explained:rule {each}": 1 for each in range(300)}))
    await store.add(batch(2, counts={"mismatched": 1, "test:swallowed": 1, "swallowed:ignore $": 1}))

    found = await of(store)
    assert (found.counts[Outcome.MISMATCHED], found.swallowed_by) == (1, ("other",))


@pytest.mark.parametrize("kind", ["string", "list", "hash"])
async def test_whatever_somebody_wrote_there_is_replaced(store, link, kind):
    set_it = {"string": ("SET", "x"), "list": ("RPUSH", "x"), "hash": ("HSET", "since", "x")}[kind]
    names = [
        "evidence",
        *(f"evidence:of:{ROUTE}{rest}" for rest in ("", ":entities", ":differing")),
        f"evidence:took:one:{ROUTE}",
    ]
    for name in names:
        await link.call(set_it[0], f"banyan:{{users}}:{name}", *set_it[1:])

    await store.read("users")
    await store.add(batch(entities=[1, 2]))
    await store.add(batch(2, entities=[3]))

    found = await of(store)
    assert found.counts[Outcome.MATCHED] >= 3
    assert found.entities >= 1


@pytest.mark.parametrize("count", ["many", "²", "٣", "-1", "1.5", "9" * 30])
async def test_counts_that_somebody_wrote_are_no_counts(store, link, count):
    await store.add(batch())
    await link.call("HSET", f"banyan:{{users}}:evidence:of:{ROUTE}", "n:matched", count)

    assert (await of(store)).counts[Outcome.MATCHED] == 0
    assert await store.add(batch(2)) == ""


async def test_keys_end_some_day(store, link):
    await store.add(batch(entities=[1], differing=[1]))

    names = await link.names("banyan:{users}:")
    assert len(names) == 5
    assert all([await link.call("TTL", name) > 0 for name in names])


async def test_a_component_that_was_never_compared_has_no_evidence(store):
    assert await store.read("nobody") == {}


async def test_a_store_that_is_away_is_told(server, store):
    await server.close()

    with pytest.raises(StoreError):
        await store.add(batch())
    with pytest.raises(StoreError):
        await store.read("users")


async def test_batches_at_once_lose_nothing(store):
    await asyncio.gather(*(store.add(batch(1, f"replica-{number}", entities=[number])) for number in range(12)))

    found = await of(store)
    assert (found.counts[Outcome.MATCHED], found.entities) == (36, 12)

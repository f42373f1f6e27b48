from __future__ import annotations

import pytest

from proxy.core.changes import Unknown
from proxy.core.clusters import NoSuchCluster, sightings
from proxy.core.errors import StoreError
from proxy.store.emergencies import Emergencies
from proxy.store.fleet import Fleet
from proxy.store.link import Link
from proxy.store.mismatches import Batch, MismatchStore
from proxy.store.rules import RuleStore
from proxy.workers.changes import By, Changes
from proxy.workers.clusters import Clusters, document_of
from tests.core.pairs import pair
from tests.store.servers import Server, binaries
from tests.workers.test_changes import file


@pytest.fixture
async def server():
    server = Server(binaries()["valkey"])
    await server.start()
    yield server
    await server.close()


@pytest.fixture
async def clusters(server):
    """Two clusters of `users`, and one of `billing`, which has no rules."""
    link = Link(server.url)
    rules, store = RuleStore(link), MismatchStore(link)
    await Changes(rules, Emergencies(link), Fleet(link)).push({"users": file(weight=5)}, By("files", "seed"))
    await store.record(Batch("users", "one", 1, sightings(pair({"a": 1, "b": 1}, {"a": 2, "b": 2}))))
    await store.record(Batch("billing", "one", 1, sightings(pair({"a": 1}, {"a": 2}, component="billing"))))
    yield Clusters(rules, store)
    await link.close()


async def test_clusters_are_those_of_the_components_there_are(clusters):
    assert {(each.component, each.path) for each in await clusters.of()} == {("users", "$.a"), ("users", "$.b")}
    assert [each.component for each in await clusters.of("billing")] == ["billing"], "who asks by name gets it"


async def test_a_component_that_is_none_is_named(clusters):
    with pytest.raises(Unknown, match="no component is called 'user'; did you mean `users`"):
        await clusters.of("user")


async def test_one_has_examples_and_can_be_closed(clusters):
    (first, _) = await clusters.of("users")
    found = await clusters.one(first.id)
    assert found == first
    assert [each["kind"] for each in await clusters.examples(found)] == ["value"]
    assert document_of(found)["id"] == first.id

    done = await clusters.close(first.id, "ana", "fixed")
    assert (done.changed, done.cluster.status, done.cluster.closed_by) == (True, "closed", "ana")
    assert not (await clusters.close(first.id, "bob", "again")).changed


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("zzz", "no mismatch has the id 'zzz'; `banyan mismatches` lists"),
        ("{first:.5}", "did you mean `{first}`"),
        ("0{first:.9}", "did you mean `{first}`"),
    ],
)
async def test_an_id_that_is_none_gets_the_one_that_was_meant(clusters, word, says):
    first = (await clusters.of("users"))[0].id
    if word.startswith("0"):
        word = first[:4] + ("0" if first[4] != "0" else "1") + first[5:]

    with pytest.raises(NoSuchCluster) as refused:
        await clusters.one(word.format(first=first))
    assert says.format(first=first) in str(refused.value)


async def test_a_store_that_is_away_is_told(server, clusters):
    await server.close()

    for wish in (
        clusters.of(),
        clusters.of("users"),
        clusters.one("0123456789"),
        clusters.close("0123456789", "a", "b"),
    ):
        with pytest.raises(StoreError):
            await wish

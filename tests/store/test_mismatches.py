"""Clusters of mismatches in the real servers: counted once, reopened, bounded, and without a secret."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from proxy.core.clusters import MOST_CLUSTERS, MOST_EXAMPLES, Fingerprint, Sighting, catch_all, sightings
from proxy.core.errors import StoreError
from proxy.store.events import Event
from proxy.store.link import Link
from proxy.store.mismatches import KEPT_S, Batch, MismatchStore
from tests.core.pairs import AT_S, pair
from tests.store.secretive import dumped, secretive, traces_of_it
from tests.store.servers import Server

ROUTE = "GET /api/users/{id}"


def of(path: str = "$.name", component: str = "users", shape: str = "text≠text") -> Fingerprint:
    return Fingerprint(component, ROUTE, path, "value", shape)


def sighting(path: str = "$.name", entity: int = 1, at_s: float = AT_S, **example: Any) -> Sighting:
    return Sighting(of(path), entity, at_s, {"shapes": ["text", "text"], **example})


def batch(*found: Sighting, number: int = 1, replica: str = "one") -> Batch:
    return Batch("users", replica, number, found)


def kinds(events: Iterable[Event]) -> list[tuple[str, Any]]:
    return [(each.kind, each.facts["id"]) for each in events]


@pytest.fixture
async def link(server: Server, make_link: Callable[..., Link]) -> Link:
    """A patient one: what is tested here are no deadlines."""
    return make_link(server.url, connect_s=20.0, read_s=20.0)


@pytest.fixture
def store(link: Link) -> MismatchStore:
    return MismatchStore(link)


async def told(link: Link) -> list[dict[str, str]]:
    """Return the events of the stream, the oldest first."""
    return (await link.last("events", 1000))[::-1]


async def test_what_replicas_saw_is_one_cluster(store):
    await store.record(batch(sighting(entity=1), sighting(entity=2, at_s=AT_S + 5)))
    await store.record(batch(sighting(entity=2, at_s=AT_S + 60), sighting("$.age", at_s=AT_S + 90), replica="two"))

    age, name = await store.read(["users"])
    assert (name.id, name.component, name.route) == (of().id, "users", ROUTE)
    assert (name.path, name.kind, name.shape) == ("$.name", "value", "text≠text")
    assert (name.count, name.entities, name.status, name.reopened) == (3, 2, "open", 0)
    assert (name.first_seen, name.last_seen) == ("2026-01-01T10:00:00.000Z", "2026-01-01T10:01:00.000Z")
    assert (age.path, age.count) == ("$.age", 1)


async def test_a_replica_that_is_late_moves_only_the_beginning(store):
    await store.record(batch(sighting(at_s=AT_S)))
    await store.record(batch(sighting(at_s=AT_S - 60), replica="two"))

    (found,) = await store.read(["users"])
    assert (found.first_seen, found.last_seen) == ("2026-01-01T09:59:00.000Z", "2026-01-01T10:00:00.000Z")


async def test_a_batch_that_is_sent_again_counts_once(store, link):
    first = batch(sighting(), number=4)
    assert kinds(await store.record(first)) == [("mismatch_found", of().id)]

    assert await store.record(first) == ()
    assert await store.record(batch(sighting(), number=3)) == ()
    assert await store.record(batch(sighting(), number=5)) == ()
    assert [each.count for each in await store.read(["users"])] == [2]
    assert len(await told(link)) == 1


async def test_a_cluster_is_told_when_it_is_found(store, link):
    events = await store.record(batch(sighting(), sighting(), sighting("$.age")))

    assert kinds(events) == [("mismatch_found", of().id), ("mismatch_found", of("$.age").id)]
    first, second = await told(link)
    assert (first["kind"], first["component"], first["who"]) == ("mismatch_found", "users", "one")
    assert first["mark"] == events[0].mark
    assert '"path":"$.age"' in second["facts"]


async def test_what_was_closed_opens_when_it_is_seen_again(store, link):
    await store.record(batch(sighting()))
    (found,) = await store.read(["users"])

    assert await store.close(found, who="ana", why="fixed in 1.2")
    (closed,) = await store.read(["users"])
    assert (closed.status, closed.closed_by, closed.closed_why) == ("closed", "ana", "fixed in 1.2")
    assert closed.closed_at
    assert not await store.close(closed, who="bob", why="again")

    assert kinds(await store.record(batch(sighting(), sighting(), number=2))) == [("mismatch_reopened", found.id)]
    (again,) = await store.read(["users"])
    assert (again.status, again.count, again.reopened, again.closed_why) == ("open", 3, 1, "fixed in 1.2")
    assert [each["kind"] for each in await told(link)] == ["mismatch_found", "mismatch_closed", "mismatch_reopened"]
    assert (await told(link))[1]["why"] == "fixed in 1.2"


async def test_what_is_not_there_cannot_be_closed(store):
    await store.record(batch(sighting()))
    (found,) = await store.read(["users"])

    assert not await store.close(replace(found, id="0123456789"), who="ana", why="x")


async def test_one_is_found_by_its_id_whichever_component_has_it(store):
    names = [f"component-{number}" for number in range(120)]
    await store.record(batch(sighting()))

    found = await store.find(of().id, [*names, "users"])
    assert found is not None
    assert (found.id, found.component) == (of().id, "users")
    assert await store.find(of().id, names) is None
    assert await store.find("0123456789", ["users"]) is None
    assert await store.find("took:one", ["users"]) is None
    assert await store.find("x", []) is None


async def test_examples_are_the_newest_and_bounded(store, link):
    for number in range(MOST_EXAMPLES + 5):
        await store.record(batch(sighting(number=number), number=number + 1))
    await store.record(batch(replace(sighting(), example={}), number=99))

    (found,) = await store.read(["users"])
    examples = await store.examples(found)
    assert [each["number"] for each in examples] == list(range(MOST_EXAMPLES + 4, 4, -1))
    assert found.count == MOST_EXAMPLES + 6
    assert await link.call("LLEN", f"banyan:{{users}}:mismatches:{found.id}:examples") == MOST_EXAMPLES


async def test_clusters_are_bounded_and_the_rest_is_counted_together(store, link):
    many = [sighting(f"$.path{number}", entity=number) for number in range(MOST_CLUSTERS + 10)]
    events = await store.record(batch(*many))

    found = await store.read(["users"])
    assert len(found) == MOST_CLUSTERS + 1
    (other,) = [each for each in found if each.kind == "other"]
    assert (other.id, other.path, other.count, other.entities) == (catch_all("users").id, "", 10, 10)
    assert kinds(events)[-1] == ("mismatch_found", other.id)
    assert len(events) == MOST_CLUSTERS + 1
    assert len(await store.examples(other)) == 10

    assert await store.record(batch(many[0], many[-1], number=2)) == ()
    assert {each.count for each in await store.read(["users"]) if each.kind == "other"} == {11}


async def test_what_was_closed_gives_way_to_what_is_new(store, link):
    many = [sighting(f"$.path{number}") for number in range(MOST_CLUSTERS)]
    await store.record(batch(*many))
    for path in ("$.path5", "$.path3"):
        (one,) = [each for each in await store.read(["users"]) if each.path == path]
        await store.close(one, who="ana", why="fixed")
    await link.call("ZADD", "banyan:{users}:mismatches", "XX", "1000000001", of("$.path3").id)
    await link.call("ZADD", "banyan:{users}:mismatches", "XX", str(2**31), of("$.path5").id)

    await store.record(batch(sighting("$.path5"), sighting("$.new"), sighting("$.more"), number=2))

    paths = {each.path for each in await store.read(["users"])}
    assert len(paths) == MOST_CLUSTERS + 1
    assert {"$.path5", "$.new"} <= paths, "what was opened anew in the same batch stays"
    assert not {"$.path3", "$.more"} & paths
    assert not await link.call("EXISTS", *(f"banyan:{{users}}:mismatches:{of('$.path3').id}{rest}" for rest in _RESTS))


_RESTS = ("", ":examples", ":entities")


async def test_everything_ends_a_week_after_it_was_seen(store, link):
    await store.record(batch(sighting()))

    names = await link.names("banyan:{users}:mismatches")
    assert len(names) == 5
    lives = {name: await link.call("TTL", name) for name in names}
    took = lives.pop("banyan:{users}:mismatches:took:one")
    assert 0 < took <= 3600
    assert all(KEPT_S - 60 < life <= KEPT_S for life in lives.values())


async def test_what_was_not_seen_for_a_week_makes_room(store, link):
    await store.record(batch(sighting("$.old"), sighting("$.new")))
    await link.call("ZADD", "banyan:{users}:mismatches", "1000000000", of("$.old").id)

    await store.record(batch(sighting("$.new"), number=2))

    assert [each.path for each in await store.read(["users"])] == ["$.new"]
    assert not [name for name in await link.names("banyan:{users}:") if of("$.old").id in name]


@pytest.mark.parametrize("kind", ["string", "list", "hash", "set", "zset"])
async def test_whatever_somebody_wrote_there_is_replaced(store, link, kind):
    set_it = {
        "string": ("SET", "x"), "list": ("RPUSH", "x"), "hash": ("HSET", "count", "x"), "set": ("SADD", "x"),
        "zset": ("ZADD", "inf", "x"),
    }[kind]  # fmt: skip
    names = [f"{{users}}:mismatches{rest}" for rest in ("", ":took:one", *(f":{of().id}{rest}" for rest in _RESTS))]
    for name in (*names, "events"):
        await link.call(set_it[0], f"banyan:{name}", *set_it[1:])

    assert await store.read(["users"]) == []
    events = await store.record(batch(sighting(), sighting(entity=2)))

    assert kinds(events) == [("mismatch_found", of().id)]
    (found,) = await store.read(["users"])
    assert (found.count, found.status) == (2, "open")
    assert found.entities in (1, 2)
    assert len(await store.examples(found)) == 2
    assert [each["kind"] for each in await told(link)] == ["mismatch_found"]
    assert await store.close(found, who="ana", why="x")


async def test_fields_that_somebody_wrote_make_no_sense_and_do_no_harm(store, link):
    await store.record(batch(sighting()))
    key = f"banyan:{{users}}:mismatches:{of().id}"
    await link.call("HSET", key, "count", "many", "reopened", "-", "status", "\x1b[31m", "path", "\x1b[2J")
    await link.call("LPUSH", f"{key}:examples", "no JSON", "[1]")
    await link.call("ZADD", "banyan:{users}:mismatches", "5", "no id", "6", "took:one")

    (found,) = await store.read(["users"])
    assert (found.count, found.reopened, found.status, found.path) == (1, 0, "open", "\x1b[2J")
    assert len(await store.examples(found)) == 1
    await link.call("DEL", f"{key}:examples")
    await link.call("SET", f"{key}:examples", "x")
    assert await store.examples(found) == []
    await store.record(batch(sighting(), number=2))
    assert [(each.count, each.path, each.reopened) for each in await store.read(["users"])] == [(1, "$.name", 1)]


async def test_entries_of_others_take_no_room(store, link):
    for number in range(MOST_CLUSTERS):
        await link.call("ZADD", "banyan:{users}:mismatches", str(2**31 - number), f"{number:010x}")

    await store.record(batch(sighting()))

    assert [each.path for each in await store.read(["users"])] == ["$.name"]


async def test_a_store_that_is_away_is_told(server, store):
    await store.record(batch(sighting()))
    (found,) = await store.read(["users"])
    await server.close()

    for wish in (
        store.record(batch(sighting(), number=2)),
        store.read(["users"]),
        store.find(of().id, ["users"]),
        store.examples(found),
        store.close(found, who="ana", why="x"),
    ):
        with pytest.raises(StoreError):
            await wish


async def test_batches_at_once_lose_nothing(store):
    await asyncio.gather(
        *(store.record(batch(sighting(entity=number), replica=f"replica-{number}")) for number in range(12))
    )

    (found,) = await store.read(["users"])
    assert (found.count, found.entities) == (12, 12)


def _with_bugs(number: int) -> Any:
    """Return what the two sides say of one entity; modern has a dozen bugs, each of which shows in many places."""
    items = [{"sku": f"s{item}", "at": "2026-01-01T10:00:00Z", "price": 1.5 + item} for item in range(3)]
    first = {
        "id": number, "name": f"Ana {number}", "tags": ["b", "a"], "items": items, "nick": None,
        "score": 0.5, "flags": {"active": True}, "by_key": {f"{number}00": {"n": 1}}, "roles": ["x"], "old": 1,
    }  # fmt: skip
    second = {
        "id": str(number), "name": f"ANA {number}", "tags": ["a", "b"], "nick": "",
        "items": [{"sku": each["sku"], "at": "2026-01-01T12:00:00Z", "price": 1} for each in items],
        "score": 0.5 + 1e-9, "flags": {"active": 1}, "by_key": {f"{number}00": {"n": 2}}, "roles": [], "fresh": 1,
    }  # fmt: skip
    return first, second


async def test_ten_thousand_differences_of_twelve_bugs_are_twelve_clusters(store):
    """Ten that change something, one member that is lost (`old`) and one that is new (`fresh`)."""
    seen = 0
    for number in range(1, 64):
        found: list[Sighting] = []
        for entity in range(10):
            first, second = _with_bugs(number * 10 + entity)
            each = pair(first, second, entity=b"%d" % (number * 10 + entity))
            seen += len(each.comparison.differences)
            found += sightings(each)
        await store.record(batch(*found, number=number))

    assert seen >= 10_000
    clusters = await store.read(["users"])
    assert sorted((each.kind, each.path) for each in clusters) == _BUGS
    assert len(_BUGS) == 12
    assert {each.count for each in clusters} == {630}
    assert all(abs(each.entities - 630) < 30 for each in clusters)


_BUGS = sorted(
    [
        ("type", "$.id"), ("value", "$.name"), ("order", "$.tags"), ("value", "$.items[*].at"),
        ("value", "$.items[*].price"), ("type", "$.nick"), ("value", "$.score"), ("type", "$.flags.active"),
        ("value", "$.by_key.*.n"), ("length", "$.roles"), ("missing", "$.old"), ("extra", "$.fresh"),
    ]
)  # fmt: skip


async def used_bytes(link: Link) -> int:
    """Return what the keys of mismatches take, as the server counts it."""
    return sum([await link.call("MEMORY", "USAGE", name, "SAMPLES", "0") for name in await link.names("banyan:")])


async def test_a_hundred_thousand_fingerprints_take_less_than_a_megabyte(store, link):
    """Some side makes member names up: examples as they are in practice, each of them of a cluster of its own."""
    (like,) = sightings(pair({"id": 1, "name": "Ana", "age": 3}, {"id": 1, "name": "Bob", "age": 3}))
    for number in range(200):
        found = [replace(like, of=of(f"$.made.up{number}x{each}"), entity=number * 500 + each) for each in range(500)]
        await store.record(batch(*found, number=number + 1))

    clusters = await store.read(["users"])
    assert len(clusters) == MOST_CLUSTERS + 1
    assert sum(each.count for each in clusters) == 100_000
    assert await used_bytes(link) < 1_000_000


async def test_at_worst_a_component_takes_twenty_five_megabytes(store, link):
    """All clusters with all their examples, each as long as may be, and with very many entities."""
    paths = [f"$.path{number}" for number in range(MOST_CLUSTERS + 1)]
    for number in range(MOST_EXAMPLES + 2):
        for begin in range(0, len(paths), 67):
            found = [sighting(path, text="x" * 4_000) for path in paths[begin : begin + 67]]
            await store.record(batch(*found, number=number * 1_000 + begin + 1))
    for each in await store.read(["users"]):
        await link.call("PFADD", f"banyan:{{users}}:mismatches:{each.id}:entities", *range(3_000))

    assert await used_bytes(link) < 25_000_000


async def test_no_secret_of_a_message_reaches_the_store(store, server):
    for number, each in enumerate(secretive()):
        found = sightings(each)
        assert found
        await store.record(batch(*found, number=number + 1))

    dump = await dumped(server.redis)
    assert "$.profile" in dump, "there is something to search in"
    assert traces_of_it(dump) == []

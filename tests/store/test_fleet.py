"""The fleet: who beats is there, who stops is gone, whatever else stands under the names."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from proxy.store.fleet import MOST_REPLICAS, Fleet, Heartbeat
from proxy.store.link import Link
from tests.store.servers import Server
from tests.waiting import until

FULL = Heartbeat(
    id="r1",
    host="h",
    pid=7,
    parent="h-6-abcd",
    build="0.1.0",
    started="s",
    at="t",
    version=41,
    epoch="e",
    source="store",
    lag_s=0.5,
    emergencies={"users": "legacy"},
    refusals=("users.yaml:2:9: weight",),
    breakers=("users/modern",),
    facts={"connected": True},
)


async def test_a_heartbeat_is_read_as_it_was_sent(server: Server, link: Link):
    await Fleet(link).beat(FULL)

    assert await Fleet(link).replicas() == (FULL,)
    assert 0 < await server.redis.ttl("banyan:replica:r1") <= 10


async def test_replicas_are_sorted_and_leave(link: Link):
    fleet = Fleet(link)
    assert await fleet.replicas() == ()
    for name in ("b", "a", "c"):
        await fleet.beat(Heartbeat(name))
    await fleet.leave("b")

    assert [each.id for each in await fleet.replicas()] == ["a", "c"]


async def test_only_replicas_of_ours_are_counted_and_the_others_are_named(server: Server, link: Link):
    await server.redis.set("banyan:replica:x", "no json")
    await server.redis.set("banyan:replica:y", "[1]")
    await server.redis.lpush("banyan:replica:z", "1")
    await server.redis.set("banyan:replica:new", '{"id": "other", "version": 3, "what_is_this": 1, "refusals": ["a"]}')
    await server.redis.set("banyan:replica:odd", '{"version": 4, "facts": {"alarms": ["a", "b"]}}')
    found = await Fleet(link).roll_call()

    replicas = (Heartbeat("new", version=3, refusals=("a",)), Heartbeat("odd", version=4))
    assert found.replicas == await Fleet(link).replicas() == replicas
    assert found.faults == (
        "replica:odd is understood in part: facts.alarms.0 should be a mapping, is `a`",
        "replica:x is no heartbeat: is not JSON",
        "replica:y is no heartbeat: should be a mapping, is a list",
        "replica:z is no heartbeat: is a list, should be a string",
    )


async def test_a_value_that_is_longer_than_any_heartbeat_is_not_fetched(server: Server, link: Link):
    await server.redis.set("banyan:replica:big", b'{"host": "' + b"x" * 50_000_000 + b'"}')
    await Fleet(link).beat(FULL)
    before = (await server.redis.info("stats"))["total_net_output_bytes"]
    found = await Fleet(link).roll_call()
    after = (await server.redis.info("stats"))["total_net_output_bytes"]

    assert found.replicas == (FULL,)
    assert found.faults == ("replica:big is no heartbeat: has 50,000,012 bytes, more than any heartbeat",)
    assert after - before < 100_000


async def test_of_very_many_keys_the_first_are_read_and_the_others_counted(server: Server, link: Link):
    await server.redis.mset({f"banyan:replica:{n:05}": b"null" for n in range(MOST_REPLICAS + 500)})
    await server.redis.set("banyan:replica:00000", b"{}")
    found = await Fleet(link).roll_call()

    assert found.replicas == (Heartbeat("00000"),)
    assert found.faults[0] == "of the keys of replicas the first 1,000 are read, 500 are not"
    assert len(found.faults) == 51 and all(len(each) < 100 for each in found.faults)


async def test_a_replica_with_too_much_to_say_is_heard_all_the_same(link: Link):
    talkative = replace(
        FULL,
        refusals=("\x1b" * 1_000,) * 51,
        facts={"connected": True, "sides": {"users": "legacy"}, "alarms": [{"kind": "k", "why": "w" * 300_000}]},
    )
    await Fleet(link).beat(talkative)

    (found,) = await Fleet(link).replicas()
    assert (found.version, found.epoch, found.breakers) == (41, "e", ("users/modern",))
    assert found.facts == {"connected": True, "sides": {"users": "legacy"}}
    assert found.refusals == ("this replica has more to say than a heartbeat holds; its log has it",)


async def test_the_highest_version_of_an_epoch(link: Link):
    fleet = Fleet(link)
    assert await fleet.highest("e") == 0
    for name, version, epoch in (("a", 3, "e"), ("b", 5, "e"), ("c", 9, "other")):
        await fleet.beat(Heartbeat(name, version=version, epoch=epoch))

    assert await fleet.highest("e") == 5


async def test_it_beats_at_once_when_poked(link: Link):
    fleet, version = Fleet(link, beat_s=600), 1
    beating = asyncio.create_task(fleet.run(lambda: Heartbeat("r1", version=version)))

    async def applied() -> bool:
        return await fleet.highest("") == version

    await until(applied)
    version = 2
    fleet.poke()
    await until(applied)
    beating.cancel()


async def test_it_goes_on_beating_when_the_store_comes_back(server: Server, link: Link):
    fleet = Fleet(link, beat_s=0.05)
    beating = asyncio.create_task(fleet.run(lambda: Heartbeat("r1")))
    await until(fleet.replicas)
    server.kill()
    await server.start()

    await until(fleet.replicas, 20)
    beating.cancel()


@pytest.mark.parametrize(
    "said",
    [
        b'{"facts": ' + b'{"a": ' * 900 + b"1" + b"}" * 901,
        b'{"version": 99999999999999999999999}',
        b'{"version": 1e400}',
        b'{"version": -1}',
    ],
)
async def test_what_could_not_be_shown_is_no_heartbeat(server: Server, link: Link, said: bytes):
    await server.redis.set("banyan:replica:odd", said)

    assert await Fleet(link).replicas() == ()

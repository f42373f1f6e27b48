"""Fail static: whatever happens to the store, what is held stays in force, and the store is whole again soon."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.core.adopt import accepting
from proxy.core.emergency import read_emergency
from proxy.core.errors import NotAllowed, StoreError
from proxy.core.rules import RuleSet, Side, dump_rule_set
from proxy.store.embedded import EmbeddedServer
from proxy.store.emergencies import Emergencies
from proxy.store.holding import Source
from proxy.store.link import Link
from proxy.store.rules import RuleStore
from proxy.store.snapshot import Snapshot
from tests.store.documents import reweighted, rules
from tests.store.replicas import Replica
from tests.store.servers import Server, free_port
from tests.waiting import until

MINUTE_MS = 60_000


@pytest.fixture
async def replica(server: Server, make_replica: Callable[..., Replica]) -> Replica:
    """A replica that holds version 3 and follows by push."""
    await server.redis.set("banyan:rules", dump_rule_set(rules(3, users=5, chat=5)))
    made = make_replica(server.url, poll_s=0.3)
    await made.start()
    await until(lambda: made.state.pushed)
    assert made.version == 3
    return made


async def stored(server: Server) -> RuleSet | None:
    """What the store holds, by a connection of its own; None also for garbage."""
    link = Link(server.url)
    try:
        return (await RuleStore(link).load()).rule_set
    finally:
        await link.close()


async def whole(server: Server, replica: Replica) -> bool:
    """Say whether the store holds what the replica holds, emergencies included."""
    if await stored(server) != replica.state.held:
        return False
    found = [await server.redis.get(f"banyan:emergency:{name}") for name in replica.state.emergencies]
    return found == [each.raw for each in replica.state.emergencies.values()]


def unmoved(replica: Replica) -> bool:
    """Say whether every plan since the first one was made under the same rules and the same emergencies."""
    assert len({state.held.version for state in replica.seen if state.held is not None}) == 1
    sides = [dict(state.sides) for state in replica.seen]
    return all(each == sides[-1] for each in sides[sides.index(sides[-1]) :])


async def in_emergency(server: Server, replica: Replica) -> None:
    await server.redis.set("banyan:emergency:users", "legacy", px=MINUTE_MS)
    await server.redis.set("banyan:emergency:chat", "modern")
    await until(lambda: replica.state.sides == {"users": Side.LEGACY, "chat": Side.MODERN})


async def test_a_killed_store_that_comes_back_with_its_data_is_followed_again(make_server, make_replica):
    server = make_server("--appendonly", "yes", "--appendfsync", "always")
    await server.start()
    await server.redis.set("banyan:rules", dump_rule_set(rules(3, users=5, chat=5)))
    replica = make_replica(server.url)
    await replica.start()
    await in_emergency(server, replica)
    told = len(replica.seen)

    server.kill()
    await until(lambda: not replica.state.connected)
    assert "store_away" in replica.alarms()
    assert replica.follower.age_s is not None
    await server.start()
    await until(lambda: replica.state.connected and replica.state.pushed, 20)

    assert len(replica.seen) == told
    assert replica.alarms() == []
    await server.redis.delete("banyan:emergency:chat")
    await until(lambda: replica.state.sides == {"users": Side.LEGACY})


async def test_a_killed_store_that_comes_back_empty_gets_rules_and_emergencies_back(server: Server, replica: Replica):
    await in_emergency(server, replica)
    server.kill()
    await until(lambda: not replica.state.connected)
    await server.start()
    began = time.monotonic()

    await until(lambda: whole(server, replica), 20)
    print(f"whole again {time.monotonic() - began:.1f} s after its return")
    assert 0 < await server.redis.pttl("banyan:emergency:users") <= MINUTE_MS
    assert await server.redis.pttl("banyan:emergency:chat") == -1
    assert unmoved(replica)
    await until(lambda: replica.alarms() == [])


async def test_an_emergency_that_a_restart_lost_beside_the_right_rules_goes_back(server: Server, replica: Replica):
    await server.redis.save()
    await in_emergency(server, replica)
    server.kill()
    await until(lambda: not replica.state.connected)
    await server.start()
    assert await stored(server) == replica.state.held

    await until(lambda: "written_back" in replica.lines.kinds(), 20)
    assert await whole(server, replica)
    assert unmoved(replica)
    await Emergencies(replica.link).clear("chat", who="ana", why="over")  # and now an end is an end
    await until(lambda: replica.state.sides == {"users": Side.LEGACY})


@pytest.mark.parametrize("how", ["stop", "pause"])
async def test_a_store_that_hangs_is_noticed_and_followed_again(server: Server, replica: Replica, how: str):
    if how == "stop":
        server.hang()
    else:
        await server.redis.client_pause(3_000, all=True)
    await until(lambda: not replica.state.connected, 20)
    assert replica.version == 3
    if how == "stop":
        server.go_on()
    await until(lambda: replica.state.connected, 20)

    await server.redis.set("banyan:emergency:users", "legacy")
    await until(lambda: replica.state.sides == {"users": Side.LEGACY})
    assert replica.versions == [3]


@pytest.mark.parametrize("emergency", [False, True])
async def test_a_flushed_store_gets_everything_back(server: Server, replica: Replica, emergency: bool):
    if emergency:
        await in_emergency(server, replica)
    await server.redis.flushall()

    await until(lambda: "written_back" in replica.lines.kinds(), 20)
    assert await whole(server, replica)
    assert unmoved(replica)
    assert "ruleset_missing" in replica.lines.kinds()
    await until(lambda: replica.alarms() == [])

    await server.redis.delete("banyan:emergency:users", "banyan:emergency:chat")
    await until(lambda: replica.state.sides == {})


GARBAGE = {
    "half": b"{half",
    "null": b"null",
    "bytes": bytes(range(256)),
    "invalid": dump_rule_set(rules(9, users=5)).replace(b'"weight":5', b'"weight":300'),
    "large": b"x" * 50_000_000,
    "older": dump_rule_set(rules(2, users=99)),
    "another seed": dump_rule_set(rules(1, "e2", seed=True, users=99)),
}


@pytest.mark.parametrize("raw", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_and_older_rules_are_refused_and_written_over(server: Server, replica: Replica, raw: bytes):
    await in_emergency(server, replica)
    await server.redis.set("banyan:rules", raw)

    await until(lambda: "written_back" in replica.lines.kinds(), 20)
    assert await whole(server, replica)
    assert unmoved(replica)
    await until(lambda: replica.alarms() == [])


async def test_rules_of_the_wrong_type_are_written_over(server: Server, replica: Replica):
    async with server.redis.pipeline() as at_once:
        await at_once.delete("banyan:rules").lpush("banyan:rules", "x").execute()

    await until(lambda: whole(server, replica), 20)
    assert replica.versions == [3]


async def test_a_newer_schema_is_neither_followed_nor_overwritten(server: Server, replica: Replica):
    newer = dump_rule_set(rules(9)).replace(b'"schema":"1.0"', b'"schema":"2.0"')
    await server.redis.set("banyan:rules", newer)
    await until(lambda: replica.alarms() == ["ruleset_newer"])

    await server.redis.set("banyan:emergency:users", "legacy")
    await until(lambda: replica.state.sides == {"users": Side.LEGACY})
    assert await server.redis.execute_command("GET", "banyan:rules") == newer.decode()
    assert (replica.version, replica.lines.kinds().count("ruleset_newer")) == (3, 1)


async def test_a_store_that_went_back_is_brought_forward_and_the_next_version_is_new(server: Server, replica: Replica):
    old = await server.redis.execute_command("GET", "banyan:rules")
    third = await stored(server)
    assert third is not None
    fourth = await RuleStore(replica.link).publish(reweighted(third, users=50), expect=3, who="ana", why="")
    await until(lambda: replica.version == 4)
    await server.redis.set("banyan:rules", old)

    async def forward() -> bool:
        return await stored(server) == fourth

    await until(forward, 20)
    fifth = await RuleStore(replica.link).publish(reweighted(fourth, users=51), expect=4, who="ana", why="")
    await until(lambda: replica.version == 5)
    assert (fifth.version, replica.versions) == (5, [3, 4, 5])
    assert "ruleset_regressed" in replica.lines.kinds()


async def test_another_migration_is_not_followed_until_it_is_accepted(server: Server, replica: Replica):
    foreign = rules(40, "e9", users=99)
    await server.redis.set("banyan:rules", dump_rule_set(foreign))
    await until(lambda: replica.alarms() == ["ruleset_foreign"])
    assert (replica.version, await stored(server)) == (3, foreign)

    await RuleStore(replica.link).change(lambda current: accepting(current, ["e1"]), who="ana", why="rebuilt")
    await until(lambda: replica.version == 41)
    assert replica.alarms() == []


async def test_a_read_only_store_is_followed_and_never_in_the_way(make_server, make_replica):
    master, standby = make_server(port=free_port()), make_server(port=free_port())
    for each in (master, standby):
        await each.start()
    await standby.redis.set("banyan:rules", dump_rule_set(rules(3, users=5)))
    replica = make_replica(standby.url)
    await replica.start()
    await standby.redis.set("banyan:emergency:users", "legacy")
    await until(lambda: replica.state.sides == {"users": Side.LEGACY})

    await standby.redis.replicaof("127.0.0.1", master.port)  # which wipes it
    await until(lambda: "write_back_failed" in replica.alarms(), 30)
    assert (replica.version, replica.state.sides) == (3, {"users": Side.LEGACY})
    with pytest.raises((StoreError, NotAllowed)):
        await RuleStore(replica.link).publish(rules(4), expect=None, who="ana", why="")

    await standby.redis.replicaof("NO", "ONE")
    await until(lambda: whole(standby, replica), 20)
    await until(lambda: replica.alarms() == [])


async def test_a_full_store_is_whole_as_soon_as_there_is_room(server: Server, replica: Replica):
    await in_emergency(server, replica)
    await server.redis.config_set("maxmemory", "1")
    await server.redis.flushall()
    await until(lambda: "write_back_failed" in replica.alarms(), 20)

    await server.redis.config_set("maxmemory", "0")
    await until(lambda: whole(server, replica), 20)
    assert unmoved(replica)


async def test_an_emergency_key_of_the_wrong_type_counts_as_legacy(server: Server, replica: Replica):
    await server.redis.lpush("banyan:emergency:users", "modern")

    await until(lambda: replica.state.sides == {"users": Side.LEGACY})
    assert replica.alarms() == ["emergency_unreadable"]


async def test_a_cold_start_without_the_store_serves_from_the_snapshot(server: Server, make_replica, tmp_path: Path):
    server.kill()
    Snapshot(tmp_path).save(rules(3, users=5), {"users": read_emergency("legacy", MINUTE_MS)}, time.time())
    replica = make_replica(server.url, tmp_path)
    await replica.start()
    assert (replica.version, replica.state.source, replica.state.sides) == (3, Source.SNAPSHOT, {"users": Side.LEGACY})
    assert not replica.state.read_once

    await server.start()
    await until(lambda: replica.state.read_once, 20)
    await until(lambda: whole(server, replica), 20)
    assert (replica.version, replica.state.sides) == (3, {"users": Side.LEGACY})
    await until(lambda: replica.state.source is Source.STORE)


async def test_a_cold_start_without_anything_has_only_the_files(server: Server, make_replica, tmp_path: Path):
    server.kill()
    (tmp_path / "snapshot-00000001.json").write_bytes(b"banyan-snapshot-1 0000\n{}")
    replica = make_replica(server.url, tmp_path)
    await replica.start()
    assert (replica.state.source, replica.version) == (Source.NONE, 0)
    assert replica.lines.kinds()[0] == "snapshot_passed_over"
    replica.follower.offer_files(rules(1, "files", users=5))
    assert (replica.state.source, replica.state.read_once) == (Source.FILES, False)

    await server.start()
    await until(lambda: replica.state.read_once, 20)
    seed = rules(1, "e5", seed=True, users=5)
    await RuleStore(replica.link).publish(seed, expect=0, who="files", why="seed")
    await until(lambda: replica.state.source is Source.STORE)


async def test_of_several_replicas_the_highest_version_wins(server: Server, make_replica, tmp_path: Path):
    """An emptied store, and replicas that had come to different versions: all end at the highest, none goes back."""
    replicas = []
    server.kill()
    for version in (3, 5, 4):
        folder = tmp_path / str(version)
        Snapshot(folder).save(rules(version, users=version), {}, time.time())
        replicas.append(make_replica(server.url, folder, name=f"r{version}"))
        await replicas[-1].start()
    await server.start()

    await until(lambda: all(each.version == 5 for each in replicas), 30)
    await until(lambda: whole(server, replicas[0]), 20)
    for each in replicas:
        assert each.versions == sorted(each.versions)


async def test_many_replicas_do_not_fight_over_a_flushed_store(server: Server, make_replica):
    await server.redis.set("banyan:rules", dump_rule_set(rules(3, users=5)))
    replicas = [make_replica(server.url, heal_s=1.0, name=f"r{n}") for n in range(8)]
    for each in replicas:
        await each.start()
    await server.redis.set("banyan:emergency:users", "legacy")
    await until(lambda: all(each.state.sides for each in replicas))
    await server.redis.flushall()

    await until(lambda: all(each.alarms() == [] and "alarm_over" in each.lines.kinds() for each in replicas), 30)
    assert sum(each.lines.kinds().count("written_back") for each in replicas) == 1
    assert await whole(server, replicas[0])


async def test_a_verb_on_an_emptied_store_does_not_start_a_new_history(server: Server, link: Link):
    with pytest.raises(NotAllowed, match="has no rules"):
        await RuleStore(link).change(lambda current: current, who="ana", why="")


async def test_a_disk_that_takes_no_snapshot_is_an_alarm_and_nothing_else(server: Server, make_replica, tmp_path: Path):
    (tmp_path / "data").write_text("a file where the folder should be")
    await server.redis.set("banyan:rules", dump_rule_set(rules(3, users=5)))
    replica = make_replica(server.url, tmp_path / "data")
    await replica.start()
    await until(lambda: replica.alarms() == ["snapshot_failed"])
    await server.redis.set("banyan:emergency:users", "legacy")
    await until(lambda: replica.state.sides == {"users": Side.LEGACY})

    (tmp_path / "data").unlink()
    await server.redis.set("banyan:emergency:users", "modern")
    await until(lambda: replica.alarms() == [])
    assert Snapshot(tmp_path / "data").load(time.time()).emergencies.keys() == {"users"}


async def test_the_embedded_server_is_a_store_like_any_other(binary: Path, make_replica, tmp_path: Path):
    data_dir = tmp_path / ("long" * 30)
    embedded = EmbeddedServer(data_dir, binary)
    await embedded.start()
    try:
        replica = make_replica(embedded.url, data_dir)
        await replica.start()
        seed = rules(1, "e1", seed=True, users=5)
        await RuleStore(replica.link).publish(seed, expect=0, who="files", why="seed")
        await until(lambda: replica.version == 1)
        await Emergencies(replica.link).set("users", Side.LEGACY, who="ana", why="", for_s=600)
        await until(lambda: replica.state.sides == {"users": Side.LEGACY})

        await embedded.stop()
        await until(lambda: not replica.state.connected)
        await embedded.start()
        await until(lambda: replica.state.connected, 20)
        assert (replica.version, replica.state.sides) == (1, {"users": Side.LEGACY})
    finally:
        await embedded.stop()

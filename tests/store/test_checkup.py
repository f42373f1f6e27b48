"""The check-up: what could surprise later is said before it does."""

from __future__ import annotations

import pytest

from proxy.store.checkup import AWAY, Finding, Grade, examine, judged
from proxy.store.link import Link
from tests.store.servers import Server, free_port


def grades(findings: tuple[Finding, ...]) -> dict[str, Grade]:
    return {each.topic: each.grade for each in findings}


async def test_a_good_store_is_fine(server: Server, link: Link):
    await server.redis.config_set("appendonly", "yes")

    found = await examine(link)
    assert set(grades(found).values()) == {Grade.OK}, found
    assert set(grades(found)) == {"server", "role", "memory", "persistence", "writes", "push", "clock"}
    assert await server.redis.dbsize() == 0


async def test_a_store_that_evicts_and_forgets_is_a_warning(server: Server, link: Link):
    await server.redis.config_set("maxmemory", "100mb")
    await server.redis.config_set("maxmemory-policy", "allkeys-lru")

    found = await examine(link)
    assert grades(found)["memory"] is Grade.WARNING
    assert "set it to noeviction" in next(each.what for each in found if each.topic == "memory")
    assert grades(found)["persistence"] is Grade.WARNING


async def test_a_full_store_is_a_fault(server: Server, link: Link):
    await server.redis.config_set("maxmemory", "1")

    found = grades(await examine(link))
    assert (found["memory"], found["writes"]) == (Grade.WARNING, Grade.FAULT)


async def test_a_store_that_does_not_tell_is_a_warning(server: Server, make_link):
    await server.redis.execute_command("ACL", "SETUSER", "ana", "on", ">pw", "~*", "&*", "+@all", "-client|tracking")
    found = await examine(make_link(server.url.replace("unix://", "unix://ana:pw@")))

    assert grades(found)["push"] is Grade.WARNING


async def test_a_read_only_replica_is_a_fault(make_server, make_link):
    master = make_server(port=free_port())
    await master.start()
    replica = make_server("--replicaof", "127.0.0.1", str(master.port), port=free_port())
    await replica.start()

    found = grades(await examine(make_link(replica.url)))
    assert (found["role"], found["writes"]) == (Grade.FAULT, Grade.FAULT)


async def test_a_store_that_is_away_is_one_finding(make_link):
    (found,) = await examine(make_link("unix:///tmp/bn-nothing"))
    assert (found.grade, found.topic) == (Grade.FAULT, AWAY)


@pytest.mark.parametrize(
    ("facts", "topic", "grade", "what"),
    [
        ({"role": "slave", "master_host": "h", "master_port": "1"}, "role", Grade.FAULT, "replica of h:1"),
        ({"evicted_keys": "3", "maxmemory_policy": "allkeys-lru"}, "memory", Grade.FAULT, "evicted 3 keys"),
        ({"maxmemory": "100", "used_memory": "95"}, "memory", Grade.WARNING, "uses 95% of maxmemory"),
        ({"aof_last_write_status": "err", "aof_enabled": "1"}, "persistence", Grade.FAULT, "could not save"),
        ({"aof_enabled": "1"}, "persistence", Grade.OK, "every write is kept"),
    ],
)
def test_what_info_says_is_judged(facts, topic, grade, what):
    found = next(each for each in judged(facts) if each.topic == topic)
    assert (found.grade, what in found.what) == (grade, True)

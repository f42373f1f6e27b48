"""Emergency keys: set, read and ended, with an event each, whatever stands there already."""

from __future__ import annotations

import pytest

from proxy.core.emergency import Emergency
from proxy.core.errors import StoreError
from proxy.core.rules import Side
from proxy.store.emergencies import Emergencies
from proxy.store.events import Events
from proxy.store.link import Link
from tests.store.logs import Lines
from tests.store.servers import Server
from tests.waiting import until


@pytest.fixture
def emergencies(link: Link) -> Emergencies:
    return Emergencies(link, clock=lambda: 0.0)


async def test_an_emergency_is_a_plain_word_with_an_event(server: Server, link: Link, emergencies: Emergencies):
    assert await emergencies.set("users", Side.LEGACY, who="ana", why="errors") is None
    assert await server.redis.get("banyan:emergency:users") == "legacy"
    assert await emergencies.set("users", Side.MODERN, who="bo", why="", for_s=60) == "legacy"
    assert 0 < await server.redis.pttl("banyan:emergency:users") <= 60_000
    assert await emergencies.clear("users", who="ana", why="over") == "modern"
    assert await server.redis.exists("banyan:emergency:users") == 0

    events = await Events(link, Lines()).tail()
    assert [(each.kind, each.component, each.who, each.why) for each in events] == [
        ("emergency_set", "users", "ana", "errors"),
        ("emergency_set", "users", "bo", ""),
        ("emergency_ended", "users", "ana", "over"),
    ]
    assert [each.facts for each in events] == [{"to": "legacy"}, {"to": "modern", "for_s": 60.0}, {}]


async def test_a_lifetime_ends_it(server: Server, emergencies: Emergencies):
    await emergencies.set("users", Side.LEGACY, who="ana", why="", for_s=0.0001)

    async def over() -> bool:
        return not await emergencies.read()

    await until(over)


async def test_everything_that_people_wrote_is_read(server: Server, emergencies: Emergencies):
    await server.redis.set("banyan:emergency:users", " Legacy\n", px=60_000)
    await server.redis.set("banyan:emergency:user", "lgacy")
    await server.redis.lpush("banyan:emergency:chat", "legacy")
    await server.redis.set("banyan:emergency:long", "x" * 5_000)
    await server.redis.set("other:emergency:users", "legacy")

    found = await emergencies.read()
    assert found["users"].side is Side.LEGACY
    assert 50_000 < (found["users"].pttl_ms or 0) <= 60_000
    assert found["user"] == Emergency(None, "lgacy")
    assert found["chat"] == Emergency(None, "(list)")
    assert found["long"] == Emergency(None, "x" * 256)
    assert len(found) == 4


async def test_one_is_found_among_many_other_keys(server: Server, emergencies: Emergencies):
    await server.redis.mset({f"other:{n}": "1" for n in range(20_000)})
    await server.redis.set("banyan:emergency:typo", "legacy")

    assert list(await emergencies.read()) == ["typo"]


async def test_a_wrongly_typed_key_is_replaced(server: Server, link: Link, emergencies: Emergencies):
    await server.redis.lpush("banyan:emergency:users", "x")
    await server.redis.set("banyan:events", "x")

    assert await emergencies.set("users", Side.LEGACY, who="ana", why="") == "(list)"
    assert await server.redis.get("banyan:emergency:users") == "legacy"
    assert await server.redis.xlen("banyan:events") == 1


async def test_a_store_that_refuses_changes_nothing(server: Server, emergencies: Emergencies):
    await server.redis.config_set("maxmemory", "1")
    with pytest.raises(StoreError, match="refuses"):
        await emergencies.set("users", Side.LEGACY, who="ana", why="")
    assert await emergencies.read() == {}

"""Following a good store: pushes, the poll behind them, lifetimes by our own clock, many replicas at once."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

from proxy.core.emergency import read_emergency
from proxy.core.rules import RuleSet, Side, dump_rule_set
from proxy.store.follower import jittered
from proxy.store.holding import Source
from proxy.store.link import Link
from proxy.store.rules import RuleStore
from tests.store.documents import reweighted, rules
from tests.store.replicas import Replica
from tests.store.servers import Server
from tests.waiting import until

HOUR = 3_600.0


async def publish(link: Link, **weights: float) -> RuleSet:
    """Publish weights over whatever is there; the first time as a seed."""
    store = RuleStore(link)
    if (await store.load()).rule_set is None:
        return await store.publish(rules(seed=True, **weights), expect=0, who="files", why="seed")
    return await store.change(lambda current: reweighted(current, **weights), who="ana", why="")


async def test_the_first_look_is_done_before_it_runs(server: Server, link: Link, make_replica):
    await publish(link, users=5)
    replica = make_replica(server.url)

    state = await replica.follower.begin()
    assert (state.source, state.connected, state.read_once, replica.version) == (Source.STORE, True, True, 1)
    assert replica.seen == [state]


async def test_raw_changes_are_applied_by_push_alone(server: Server, link: Link, make_replica):
    """With a poll each hour it is the push that brings them; how fast is printed, not asserted."""
    await publish(link, users=5)
    replica = make_replica(server.url, poll_s=HOUR)
    await replica.start()
    await until(lambda: replica.state.pushed)

    took_ms = []
    for _ in range(20):
        began = time.perf_counter()
        await server.redis.set("banyan:emergency:users", "legacy")
        await until(lambda: replica.state.sides == {"users": Side.LEGACY}, every_s=0)
        took_ms.append((time.perf_counter() - began) * 1000)
        await server.redis.delete("banyan:emergency:users")
        await until(lambda: replica.state.sides == {}, every_s=0)
    print(f"push: median {sorted(took_ms)[10]:.1f} ms, worst {max(took_ms):.1f} ms")

    await server.redis.set("banyan:emergency:all", "legacy")
    await until(lambda: replica.state.sides == {"users": Side.LEGACY})
    await server.redis.delete("banyan:emergency:all")
    await until(lambda: replica.state.sides == {})
    await publish(link, users=50)
    await until(lambda: replica.version == 2)
    await server.redis.flushall()
    await until(lambda: replica.lines.kinds().count("written_back") == 1)
    assert (await RuleStore(link).load()).rule_set == replica.state.held


async def test_without_a_push_the_poll_finds_it(server: Server, link: Link, make_replica):
    await publish(link, users=5)
    await server.redis.execute_command("ACL", "SETUSER", "ana", "on", ">pw", "~*", "&*", "+@all", "-client|tracking")
    replica = make_replica(server.url.replace("unix://", "unix://ana:pw@"), poll_s=0.2)
    await replica.start()
    await until(lambda: "push_refused" in replica.alarms())
    assert not replica.state.pushed

    await server.redis.set("banyan:emergency:users", "legacy")
    await until(lambda: replica.state.sides == {"users": Side.LEGACY})
    await publish(link, users=50)
    await until(lambda: replica.version == 2)


async def test_a_killed_push_connection_comes_back_and_nothing_is_missed_meanwhile(
    server: Server, link: Link, make_replica
):
    await publish(link, users=5)
    replica = make_replica(server.url, poll_s=HOUR)
    await replica.start()

    for side in (Side.LEGACY, Side.MODERN, Side.LEGACY):
        await until(lambda: replica.state.pushed)
        tracking = [each["id"] for each in await server.redis.client_list() if "t" in each["flags"]]
        for each in tracking:
            await server.redis.client_kill_filter(_id=each)
        await server.redis.set("banyan:emergency:users", side)
        await until(lambda side=side: replica.state.sides == {"users": side}, 20)


async def test_a_lifetime_ends_on_time_while_the_store_is_away(server: Server, link: Link, make_replica):
    await publish(link, users=5)
    await server.redis.set("banyan:emergency:users", "legacy", px=1_500)
    replica = make_replica(server.url)
    await replica.start()
    assert replica.state.sides == {"users": Side.LEGACY}
    assert 0 < (replica.follower.remaining()["users"].pttl_ms or 0) <= 1_500
    server.kill()

    await until(lambda: replica.state.sides == {})
    assert replica.seen[-1].sides == {}


async def test_a_typo_is_an_alarm_with_a_suggestion_and_goes_with_the_key(server: Server, link: Link, make_replica):
    await publish(link, users=5)
    replica = make_replica(server.url, poll_s=HOUR)
    await replica.start()
    await until(lambda: replica.state.pushed)

    await server.redis.set("banyan:emergency:user", "legacy")
    await until(lambda: replica.alarms() == ["emergency_unknown_component"])
    assert "did you mean `users`?" in replica.state.alarms[0].why
    assert replica.state.sides == {}
    await server.redis.delete("banyan:emergency:user")
    await until(lambda: replica.alarms() == [])

    await server.redis.set("banyan:emergency:users", "lgacy")
    await until(lambda: replica.alarms() == ["emergency_unreadable"])
    assert replica.state.sides == {"users": Side.LEGACY}
    assert replica.lines.kinds() == ["emergency_unknown_component", "alarm_over", "emergency_unreadable"]


async def test_a_new_component_is_followed_at_once(server: Server, link: Link, make_replica):
    first = await publish(link, users=5)
    replica = make_replica(server.url)
    await replica.start()
    await server.redis.set("banyan:emergency:chat", "legacy")
    wider = first.model_copy(update={"components": rules(users=5, chat=5).components})
    await RuleStore(link).publish(wider, expect=1, who="ana", why="")

    await until(lambda: replica.state.sides == {"chat": Side.LEGACY})


async def test_files_and_the_emergency_file_are_told_of_too(server: Server, make_replica):
    replica = make_replica(server.url)
    await replica.start()
    replica.follower.offer_files(rules(1, "files", users=5))
    replica.follower.emergency_file({"users": read_emergency("legacy")})

    assert (replica.state.source, replica.state.sides) == (Source.FILES, {"users": Side.LEGACY})
    assert [state.sides for state in replica.seen[-2:]] == [{}, {"users": Side.LEGACY}]


async def test_a_poke_looks_at_once(server: Server, link: Link, make_replica):
    await server.redis.execute_command("ACL", "SETUSER", "ana", "on", ">pw", "~*", "&*", "+@all", "-client|tracking")
    replica = make_replica(server.url.replace("unix://", "unix://ana:pw@"), poll_s=HOUR)
    await replica.start()
    await until(lambda: "push_refused" in replica.alarms())
    await publish(link, users=5)
    replica.follower.poke()

    await until(lambda: replica.version == 1)


async def test_who_is_told_may_fail_and_following_goes_on(server: Server, link: Link, make_replica):
    replica = make_replica(server.url)

    def fail(state: object) -> None:
        replica.seen.append(state)
        raise KeyError("a bug of somebody else")

    replica.follower._on_change = fail
    await replica.start()
    await publish(link, users=5)
    await until(lambda: replica.version == 1)
    await publish(link, users=6)
    await until(lambda: replica.version == 2)
    assert "on_change_failed" in replica.lines.kinds()


async def test_a_hundred_publishers_and_five_replicas_agree(server: Server, make_replica: Callable[..., Replica]):
    replicas = [make_replica(server.url, name=f"r{n}") for n in range(5)]
    await publish(replicas[0].link, **{f"c{n}": 0.0 for n in range(5)})
    for replica in replicas:
        await replica.start()

    async def lane(number: int) -> None:
        for at in range(25):
            await publish(replicas[number].link, **{f"c{random.randrange(5)}": at + number / 10 + 0.5})

    await asyncio.gather(*(lane(number) for number in range(4)))
    await until(lambda: all(replica.version == 101 for replica in replicas), 30)
    for replica in replicas:
        assert replica.versions == sorted(set(replica.versions))
        assert replica.state.held == replicas[0].state.held
        assert replica.alarms() == []


async def test_a_change_is_remembered_on_disk(server: Server, link: Link, make_replica, tmp_path: Path):
    await publish(link, users=5)
    replica = make_replica(server.url, tmp_path)
    await replica.start()
    await server.redis.set("banyan:emergency:users", "legacy")
    await until(lambda: replica.state.sides)
    await until(lambda: len(list(tmp_path.glob("snapshot-*"))) >= 2)
    server.kill()
    await until(lambda: not replica.state.connected)

    other = make_replica(server.url, tmp_path)
    state = await other.follower.begin()
    assert (state.held, state.source, state.connected) == (replica.state.held, Source.SNAPSHOT, False)
    assert state.sides == {"users": Side.LEGACY}
    assert not state.read_once


async def test_behind_sentinels_the_master_is_found_followed_and_found_again(
    make_server, make_link, make_replica, sentinel
):
    master, standby = make_server(), make_server()
    watcher = await sentinel(master, standby)
    url = f"redis+sentinel://127.0.0.1:{watcher.port}/rules/0"
    link = make_link(url)
    await publish(link, users=5)
    replica = make_replica(url)
    await replica.start()
    await until(lambda: replica.version == 1 and replica.state.pushed, 20)
    await master.redis.set("banyan:emergency:users", "legacy")
    await until(lambda: replica.state.sides == {"users": Side.LEGACY})

    async def copied() -> bool:
        return bool(await standby.redis.exists("banyan:emergency:users"))

    await until(copied, 20)
    master.kill()

    async def published() -> bool:
        try:
            return (await publish(link, users=50)).version > 1
        except Exception:
            return False

    await until(published, 30, every_s=0.1)
    await until(lambda: replica.version > 1, 20)
    assert replica.state.sides == {"users": Side.LEGACY}


def test_pauses_grow_with_jitter_and_stay_short_enough_to_be_whole_within_five_seconds():
    assert max(jittered(1) for _ in range(200)) <= 0.1
    assert max(jittered(3) for _ in range(200)) <= 0.4
    assert 1 < max(jittered(50) for _ in range(500)) <= 2


async def test_a_document_by_another_hand_is_applied_like_a_publication(server: Server, make_replica):
    replica = make_replica(server.url)
    await replica.start()
    await server.redis.set("banyan:rules", dump_rule_set(rules(7, users=33)))

    await until(lambda: replica.version == 7)


async def test_rules_are_made_ready_once_and_beside_the_loop_before_they_come_into_force(
    server: Server, link: Link, make_replica
):
    made_ready = []

    def prepare(rule_set: RuleSet) -> None:
        made_ready.append(
            (rule_set.version, threading.current_thread() is not threading.main_thread(), replica.version)
        )

    replica = make_replica(server.url, poll_s=0.05, prepare=prepare)
    await publish(link, users=5)
    await replica.start()
    await publish(link, users=25)
    await until(lambda: replica.version == 2)
    for _ in range(3):  # more looks at the same rules
        read_at = replica.state.read_at
        await until(lambda read_at=read_at: replica.state.read_at != read_at)

    assert made_ready == [(1, True, 0), (2, True, 1)]


async def test_rules_that_cannot_be_made_ready_are_followed_all_the_same(server: Server, link: Link, make_replica):
    def prepare(rule_set: RuleSet) -> None:
        raise RecursionError

    replica = make_replica(server.url, prepare=prepare)
    await publish(link, users=5)
    await replica.start()

    await until(lambda: replica.version == 1)


async def test_a_flood_of_keys_is_a_bounded_number_of_lines(server: Server, link: Link, make_replica):
    await publish(link, users=5)
    replica = make_replica(server.url, poll_s=HOUR)
    await replica.start()
    await until(lambda: replica.state.pushed)
    await server.redis.mset({f"banyan:emergency:x{number}": "legacy" for number in range(5_000)})
    await server.redis.set("banyan:emergency:users", "legacy")

    await until(lambda: replica.state.sides == {"users": Side.LEGACY})
    for _ in range(5):
        seen = replica.follower.state.read_at
        replica.follower.poke()
        await until(lambda seen=seen: replica.follower.state.read_at != seen)
    assert len(replica.state.alarms) <= 52
    assert len(replica.lines.kinds()) <= 52

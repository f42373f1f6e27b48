"""What one replica says of itself, and when it knows too little to be trusted with writes."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial

import orjson
import pytest
import structlog

from proxy.config import load_settings
from proxy.core.breaker import Cause, State
from proxy.core.emergency import read_emergency
from proxy.core.errors import Position, Problem
from proxy.core.limits import PoolLimits, WireLimits
from proxy.core.plan import CALM
from proxy.core.problems import Alarm
from proxy.core.rules import Component, RuleSet, Side
from proxy.core.table import compile_table
from proxy.gateway.breakers import Trip
from proxy.gateway.gateway import Gateway
from proxy.gateway.outgoing import Manner, SideManner
from proxy.replica import Replica, new_replica_id, plan_defaults
from proxy.store.events import Events
from proxy.store.fleet import Fleet
from proxy.store.follower import Follower
from proxy.store.holding import Holding, Source
from proxy.store.holding import State as StoreState
from proxy.store.link import Link
from proxy.store.rules import RuleStore
from proxy.wire.instances import Place
from proxy.wire.pool import Pool
from proxy.wire.wheel import Wheel
from proxy.workers.files import FileFollower, FilesState, FrozenFile
from tests.rig import USERS, table_of
from tests.store.logs import Lines


def rules(version: int = 1) -> RuleSet:
    users = Component.model_validate(USERS)
    return RuleSet(
        schema="1.0", epoch="e", version=version, who="test", why="test", at="2026-01-01T00:00:00Z",
        components={"users": users},
    )  # fmt: skip


def replica_of(tmp_path, **env: str) -> Replica:
    """Put a replica together around a store that is never asked."""
    settings = load_settings(None, {"BANYAN_RULES": str(tmp_path / "rules"), **env})
    link = Link("unix:///tmp/bn-nobody-listens-here")
    log = structlog.get_logger()
    replica = Replica(settings, "1.2.3", new_replica_id(), Events(link, log), Fleet(link))
    table = compile_table(None, plan_defaults(settings))
    sides = {side: SideManner((b"127.0.0.1",)) for side in Side}
    replica.gateway = Gateway(table, {}, sides, Manner(access_log=False), replica.tripped)
    replica.follower = Follower(link, replica.events, log, on_change=replica.follow)
    replica.files = FileFollower(settings.rules, RuleStore(link), replica.events)
    return replica


async def test_a_state_of_the_store_becomes_table_and_situations_in_one_step(tmp_path):
    replica = replica_of(tmp_path)
    replica.follow(StoreState(held=rules(7), source=Source.STORE, read_once=True, sides={"users": Side.LEGACY}))

    assert replica.table.version == 7
    assert [situation.emergency for situation in replica.situations] == [Side.LEGACY]
    assert [situation.store_lost for situation in replica.situations] == [False]


async def test_the_table_is_compiled_once_for_a_rule_set(tmp_path):
    replica = replica_of(tmp_path)
    state = StoreState(held=rules(), source=Source.STORE, read_once=True)
    replica.follow(state)
    table = replica.table
    replica.follow(StoreState(held=state.held, source=Source.STORE, read_once=True, sides={"users": Side.MODERN}))

    assert replica.table is table


async def test_a_table_that_was_prepared_is_taken_and_not_made_again(tmp_path, monkeypatch):
    replica = replica_of(tmp_path)
    compiled = []
    monkeypatch.setattr("proxy.replica.compile_table", lambda *args: compiled.append(args[0]) or compile_table(*args))
    ready, other = rules(7), rules(8)
    replica.prepare(ready)
    replica.follow(StoreState(held=ready, source=Source.STORE, read_once=True))
    assert (replica.table.version, compiled) == (7, [ready])

    replica.prepare(rules(9))  # refused in the meantime: another set comes into force
    replica.follow(StoreState(held=other, source=Source.STORE, read_once=True))
    assert (replica.table.version, compiled[2:]) == (8, [other])


async def test_the_log_says_from_when_on_which_rules_and_emergencies_are_in_force(tmp_path):
    """Also for an emergency that somebody set with `redis-cli`: nothing else would tell of it later."""
    replica, lines = replica_of(tmp_path), Lines()
    replica.events = Events(Link("unix:///tmp/bn-nobody-listens-here"), lines)
    calm = StoreState(held=rules(7), source=Source.STORE, read_once=True)
    for sides in ({}, {"users": Side.LEGACY}, {"users": Side.LEGACY}, {"users": Side.MODERN}, {}):
        replica.follow(replace(calm, sides=sides))

    told = [(kind, facts["component"], facts.get("to", facts.get("version"))) for kind, facts in lines.lines]
    assert told == [
        ("rules_applied", None, 7),
        ("emergency_heeded", "users", "legacy"),
        ("emergency_heeded", "users", "modern"),
        ("emergency_over", "users", "modern"),
    ]


async def test_an_emergency_is_heeded_under_rules_that_cannot_be_compiled(tmp_path, monkeypatch):
    replica = replica_of(tmp_path)
    replica.follow(StoreState(held=rules(7), source=Source.STORE, read_once=True))

    def fails(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr("proxy.replica.compile_table", fails)
    with pytest.raises(RecursionError):
        replica.follow(StoreState(held=rules(8), source=Source.STORE, read_once=True, sides={"users": Side.LEGACY}))

    assert replica.table.version == 7
    assert [situation.emergency for situation in replica.situations] == [Side.LEGACY]


async def test_rules_from_files_alone_count_as_a_lost_store_unless_they_are_trusted(tmp_path):
    state = StoreState(held=rules(), source=Source.FILES)
    careful, trusting = replica_of(tmp_path), replica_of(tmp_path, BANYAN_COLD_START="trust-files")
    for replica in (careful, trusting):
        replica.follow(state)

    assert careful.situations[0].store_lost
    assert not trusting.situations[0].store_lost


async def test_a_snapshot_is_good_enough_and_so_is_a_store_that_was_read_once(tmp_path):
    replica = replica_of(tmp_path)
    for state in (
        StoreState(held=rules(), source=Source.SNAPSHOT),
        StoreState(held=rules(), source=Source.FILES, read_once=True),
    ):
        replica.follow(state)
        assert not replica.situations[0].store_lost


async def test_a_breaker_that_opens_is_counted_and_told(tmp_path):
    replica = replica_of(tmp_path)
    for state in (State.OPEN, State.HALF_OPEN, State.CLOSED):
        replica.tripped(Trip("users", Side.MODERN, state, Cause.ERRORS))

    assert replica.trips.items() == [(("users", "modern", "errors"), 1)]
    assert replica.events.waiting == 3


async def test_an_alarm_is_an_event_at_most_once_a_minute(tmp_path):
    replica = replica_of(tmp_path)
    for now, waiting in ((0.0, 0), (1.0, 1), (2.0, 1), (61.5, 2), (200.0, 2)):
        if 0.0 < now < 3.0:
            replica.records.alarms.add(("users", "write_to_readonly"))
        replica.report_alarms(now)
        assert replica.events.waiting == waiting


async def test_the_heartbeat_names_version_skew_and_open_breakers(tmp_path):
    replica = replica_of(tmp_path)
    replica.gateway.follow(table_of(USERS), {}, store_lost=False)
    replica.gateway.breakers.breakers["users", Side.MODERN].trip(1.0)
    for number in range(300):
        replica.records.sample("users", 7 if number % 2 else number)
    beat = replica.heartbeat()

    assert (beat.id, beat.build, beat.version, beat.source) == (replica.id, "1.2.3", 0, "none")
    assert beat.breakers == ("users/modern",)
    assert 0.4 < beat.facts["skew"]["users"] < 0.6


async def test_what_a_replica_says_of_itself_stays_short_whatever_the_store_holds(tmp_path):
    replica = replica_of(tmp_path)
    replica.gateway.follow(table_of(USERS), {}, store_lost=False)
    keys = {f"x{number}" + "k" * 400: read_emergency(b"v" * 250) for number in range(2_000)}
    holding = Holding()
    holding.alarm("store", Alarm("ruleset_invalid", "w" * 1_000_000))
    holding.restore(rules(), keys, 0.0)
    replica.follower._state = holding.state(0.0)
    assert all(len(alarm.why) <= 1_000 for alarm in replica.follower.state.alarms)
    file = FrozenFile("users", "users.yaml", (Problem(Position("users.yaml", 2, 9), "weight", "y" * 5_000),) * 900, "s")
    replica.files._state = FilesState(frozen=(file,))

    assert len(replica.troubles()) == 51 and sum(map(len, replica.troubles())) < 52_000
    assert len(orjson.dumps(asdict(replica.heartbeat()))) < 200_000


async def test_an_instance_that_is_left_out_is_told_and_a_side_without_any_is_down_for_the_plans(tmp_path):
    replica = replica_of(tmp_path)
    replica.gateway.follow(table_of(USERS), {}, store_lost=False)
    places = [Place("10.0.0.1", 80), Place("10.0.0.2", 80)]
    tell = partial(replica.instance_changed, Side.MODERN)
    pool = Pool("modern", places, Wheel(), WireLimits(), PoolLimits(), tell=tell)
    replica.gateway.pools = {Side.MODERN: pool}
    first, second = pool.instances

    pool.check(first, False, "it answers 503")
    assert replica.troubles() == ("modern: 10.0.0.1:80: its health check fails: it answers 503",)
    assert replica.instances == {(Side.MODERN, "10.0.0.1:80"): (False, 0), (Side.MODERN, "10.0.0.2:80"): (True, 0)}
    assert (replica.situations[0].down, replica.heartbeat().facts["down"]) == (frozenset(), [])

    pool.check(second, False, "it answers 503")
    assert replica.troubles()[0] == "modern: no instance is healthy"
    assert (replica.situations[0].down, replica.heartbeat().facts["down"]) == ({Side.MODERN}, ["modern"])

    for _ in range(2):
        pool.check(second, True, "it answers 200")
    assert replica.situations[0] is CALM
    assert dict(replica.turns.items()) == {("modern", "unhealthy"): 2, ("modern", "healthy"): 1}
    assert replica.events.waiting == 5  # three about instances, two about the side


async def test_a_process_whose_loop_is_late_again_and_again_refuses_reads_and_tells_of_it(tmp_path):
    replica = replica_of(tmp_path)
    replica.wheel = Wheel()
    for _ in range(3):
        assert replica.troubles() == ()
        replica.turned(1.5)
    assert "reads get 503" in replica.troubles()[0]
    replica.turned(0.0)
    assert (replica.troubles(), replica.events.waiting) == ((), 2)

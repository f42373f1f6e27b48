"""Replicas with rule files of their own on one real store: edits travel, nothing is taken back, nothing is lost."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import structlog

from proxy.core.model import RuleSet
from proxy.rulefiles import read_folder
from proxy.store.emergencies import Emergencies
from proxy.store.events import Event, Events, happened
from proxy.store.fleet import Fleet
from proxy.store.link import Link
from proxy.store.rules import RuleStore
from proxy.store.view import Found
from proxy.workers.changes import By, Changes
from proxy.workers.files import FileFollower, FilesState, Hooks
from tests.store.servers import Server, binaries
from tests.waiting import until

USERS = "component: users\nweight: {weight}\n{more}routes:\n  /api/users: {{}}\n"
ANALYTICS = "component: analytics\nafter: [users]\nroutes:\n  /api/analytics: {}\n"


def users(weight: float = 5, more: str = "") -> str:
    return USERS.format(weight=weight, more=more)


class CountingStore(RuleStore):
    """A rule store that counts how often it was looked at."""

    looks = 0

    async def load(self) -> Found:
        self.looks += 1
        return await super().load()


class Replica:
    """One replica's folder and follower on a store; what it was told is kept."""

    def __init__(self, folder: Path, url: str, name: str) -> None:
        self.folder = folder
        self.link = Link(url)
        self.store = CountingStore(self.link)
        self.events = Events(self.link, structlog.get_logger("banyan"))
        self.held: RuleSet | None = None
        self.told: list[FilesState] = []
        self.published = 0
        self.reload = asyncio.Event()
        hooks = Hooks(lambda: self.held, self.told.append, self._publishes)
        self.files = FileFollower(folder, self.store, self.events, hooks=hooks, reload=self.reload, host=name)
        self._task: asyncio.Task[None] | None = None

    def _publishes(self) -> None:
        self.published += 1

    @property
    def state(self) -> FilesState:
        return self.files.state

    def write(self, **files: str) -> None:
        for stem, text in files.items():
            temporary = self.folder / f".{stem}.tmp"
            temporary.write_text(text)
            os.replace(temporary, self.folder / f"{stem}.yaml")

    def start(self) -> None:
        self._task = asyncio.create_task(self.files.run())

    async def settled(self) -> FilesState:
        """Wait until the folder, as it is now, was looked at and dealt with."""
        for _ in range(2):  # the second look begins when all of the first is done
            looks = self.store.looks
            self.reload.set()
            await until(lambda looks=looks: self.store.looks > looks)
        return self.state

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.link.close()


MakeReplica = Callable[..., Replica]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server(binaries()["valkey"], "--appendonly", "yes")
    await made.start()
    yield made
    await made.close()


@pytest.fixture
async def make_replica(server: Server, tmp_path: Path) -> AsyncIterator[MakeReplica]:
    made: list[Replica] = []

    def make(name: str = "a", *, start: bool = True, **files: str) -> Replica:
        folder = tmp_path / f"{name}{len(made)}"
        folder.mkdir()
        made.append(Replica(folder, server.url, name))
        made[-1].write(**files)
        if start:
            made[-1].start()
        return made[-1]

    yield make
    for each in made:
        await each.close()


class Store:
    """The store as an operator sees it."""

    def __init__(self, server: Server) -> None:
        self.link = Link(server.url)
        self.rules = RuleStore(self.link)
        self.events = Events(self.link, structlog.get_logger("banyan"))
        self.changes = Changes(self.rules, Emergencies(self.link), Fleet(self.link))

    async def live(self) -> RuleSet | None:
        return (await self.rules.load()).rule_set

    async def weight(self, name: str = "users") -> float | None:
        live = await self.live()
        return live.components[name].weight if live is not None and name in live.components else None

    async def until_weight(self, weight: float, name: str = "users", within_s: float = 10) -> None:
        async def reached() -> bool:
            return await self.weight(name) == weight

        await until(reached, within_s)

    async def events_of(self, replica: Replica, kind: str) -> list[Event]:
        await replica.events.flush()
        return [event for event in await self.events.tail(50) if event.kind == kind]


@pytest.fixture
async def store(server: Server) -> AsyncIterator[Store]:
    made = Store(server)
    yield made
    await made.link.close()


# Seeding and starting.


async def test_an_empty_store_is_seeded(make_replica: MakeReplica, store: Store):
    make_replica("a", users=users(5), analytics=ANALYTICS)
    await store.until_weight(5)

    live = await store.live()
    assert live is not None
    assert (live.seed, live.version, live.who) == (True, 1, "file:analytics.yaml,users.yaml@a")
    assert live.why == "seeded from analytics.yaml,users.yaml"
    assert set(live.components) == {"users", "analytics"}


async def test_two_replicas_seed_once(make_replica: MakeReplica, store: Store):
    replicas = [make_replica(name, users=users(5)) for name in "abc"]
    await store.until_weight(5)
    for replica in replicas:
        await until(lambda replica=replica: replica.state.rules is not None and not replica.state.waiting)

    live = await store.live()
    assert live is not None
    assert live.version == 1
    assert sum(replica.published for replica in replicas) == 1


async def test_a_wrong_file_does_not_keep_the_others_from_being_seeded(make_replica: MakeReplica, store: Store):
    replica = make_replica("a", users=users(5), broken="component: broken\nweight: 140\n")
    await store.until_weight(5)

    live = await store.live()
    assert live is not None
    assert set(live.components) == {"users"}
    replica.write(broken="component: broken\nweight: 3\n")
    await store.until_weight(3, "broken")


async def test_a_replica_that_holds_rules_does_not_seed_a_wiped_store(
    make_replica: MakeReplica, store: Store, server: Server
):
    replica = make_replica("a", users=users(5))
    await store.until_weight(5)
    replica.held = await store.live()
    await server.redis.flushall()

    replica.write(users=users(9))
    await until(lambda: replica.state.waiting == "the store lost its rules; they are written back first")
    assert await store.live() is None

    assert replica.held is not None
    event = happened(0, "ruleset_restored", None, "test", "it was wiped")
    await store.rules.write_back(await store.rules.load(), replica.held, {}, event)
    await store.until_weight(9)


async def test_a_late_replica_with_old_files_takes_nothing_back(make_replica: MakeReplica, store: Store):
    first = make_replica("a", users=users(5))
    await store.until_weight(5)
    first.write(users=users(60))
    await store.until_weight(60)

    late = make_replica("late", users=users(5))
    await until(lambda: late.state.drifts)

    assert [drift.why for drift in late.state.drifts] == [
        "the file is in a state that was live before; it takes nothing back"
    ]
    assert await store.weight() == 60
    assert [event.component for event in await store.events_of(late, "file_drift")] == ["users"]
    for edited in (6, 0):  # from a state that is not live: told each time, so that nobody takes it for published
        before = late.state.drifts
        late.write(users=users(edited))
        await until(lambda before=before: late.state.drifts != before)
    assert await store.weight() == 60
    assert len(await store.events_of(late, "file_drift")) == 3


async def test_files_that_were_edited_while_nobody_ran_are_published(make_replica: MakeReplica, store: Store):
    first = make_replica("a", users=users(5))
    await store.until_weight(5)
    await first.close()

    make_replica("b", users=users(7))
    await store.until_weight(7)


# Edits.


async def test_an_edit_is_live_within_a_second_and_says_whose_it_is(make_replica: MakeReplica, store: Store):
    replica = make_replica("a", users=users(5))
    await store.until_weight(5)
    for weight in (10, 20, 60):
        began = time.monotonic()
        replica.write(users=users(weight))
        await store.until_weight(weight)
        assert time.monotonic() - began < 1

    live = await store.live()
    assert live is not None
    assert (live.version, live.who, live.why) == (4, "file:users.yaml@a", "users.yaml: weight: 20 → 60")
    assert live.origins["users"]["weight"].who == "file:users.yaml@a"


async def test_a_live_weight_survives_an_edit_of_another_field(make_replica: MakeReplica, store: Store):
    replica = make_replica("a", users=users(5))
    await store.until_weight(5)
    await store.changes.weight("users", 50, By("ana", "looks good"))

    replica.write(users=users(5, "owner: team\n"))

    async def owned() -> bool:
        live = await store.live()
        return live is not None and live.components["users"].owner == "team"

    await until(owned)
    assert await store.weight() == 50


async def test_an_edited_weight_wins_over_a_live_one_and_the_event_names_it(make_replica: MakeReplica, store: Store):
    replica = make_replica("a", users=users(5))
    await store.until_weight(5)
    await store.changes.weight("users", 50, By("ana", "looks good"))

    replica.write(users=users(25))
    await store.until_weight(25)

    event = (await store.events_of(replica, "rules_published"))[-1]
    assert event.facts["replaced"] == ["users.weight: 50 → 25"]


async def test_a_comment_is_no_edit(make_replica: MakeReplica, store: Store):
    replica = make_replica("a", users=users(5))
    await store.until_weight(5)
    replica.write(users="# a comment\n" + users(5).replace("weight: 5", "weight:   5.0  # percent"))
    await replica.settled()
    replica.write(analytics=ANALYTICS)
    await store.until_weight(0, "analytics")

    live = await store.live()
    assert live is not None
    assert live.version == 2


async def test_an_edit_back_is_an_edit(make_replica: MakeReplica, store: Store):
    replica = make_replica("a", users=users(5))
    await store.until_weight(5)
    replica.write(users=users(60))
    await store.until_weight(60)
    replica.write(users=users(5))
    await store.until_weight(5)


async def test_an_edit_of_the_defaults_reaches_every_component(make_replica: MakeReplica, store: Store):
    replica = make_replica("a", users=users(5), analytics=ANALYTICS)
    await store.until_weight(5)
    replica.write(_defaults="breaker: {open_s: 9}\n")

    async def reached() -> bool:
        live = await store.live()
        return live is not None and all(each.breaker.open_s == 9 for each in live.components.values())

    await until(reached)


async def test_a_renamed_file_is_no_edit(make_replica: MakeReplica, store: Store):
    replica = make_replica("a", users=users(5))
    await store.until_weight(5)
    os.rename(replica.folder / "users.yaml", replica.folder / "people.yaml")
    await replica.settled()
    replica.write(people=users(9))
    await store.until_weight(9)

    live = await store.live()
    assert live is not None
    assert (live.version, live.who) == (2, "file:people.yaml@a")


async def test_a_file_that_goes_takes_its_component_with_it_by_verb_only(make_replica: MakeReplica, store: Store):
    replica = make_replica("a", users=users(5), analytics=ANALYTICS)
    await store.until_weight(5)
    os.unlink(replica.folder / "analytics.yaml")
    await until(lambda: replica.state.drifts)

    assert [(drift.component, drift.file) for drift in replica.state.drifts] == [("analytics", None)]
    assert await store.weight("analytics") == 0


async def test_a_component_goes_by_a_push_and_comes_back_with_its_file(make_replica: MakeReplica, store: Store):
    replica = make_replica("a", users=users(5), analytics=ANALYTICS)
    await store.until_weight(5)
    await replica.settled()
    os.unlink(replica.folder / "analytics.yaml")
    await until(lambda: replica.state.drifts)
    await store.changes.push(read_folder(replica.folder).files, By("ana"))
    assert await store.weight("analytics") is None
    await replica.settled()

    replica.write(analytics=ANALYTICS)

    await store.until_weight(0, "analytics")


async def test_a_hand_over_between_replicas_with_different_folders(make_replica: MakeReplica, store: Store):
    """A rolling update: the mounts change one after the other, and each edit is published once."""
    a, b = make_replica("a", users=users(5)), make_replica("b", users=users(5))
    await store.until_weight(5)
    await until(lambda: not a.state.waiting and not b.state.waiting and b.state.rules)
    for weight in (10, 20, 30):
        a.write(users=users(weight))
        await store.until_weight(weight)
        b.write(users=users(weight))
        await b.settled()

    b.write(users=users(40))
    await store.until_weight(40)
    live = await store.live()
    assert live is not None
    assert live.version == 5
    assert (await b.settled()).drifts == ()
    assert [drift.component for drift in (await a.settled()).drifts] == ["users"]


async def test_both_see_the_same_edit_and_one_publishes_it(make_replica: MakeReplica, store: Store):
    replicas = [make_replica(name, users=users(5)) for name in "ab"]
    await store.until_weight(5)
    for replica in replicas:
        await replica.settled()
    for replica in replicas:
        replica.write(users=users(60))
    await store.until_weight(60)
    for replica in replicas:
        await replica.settled()

    live = await store.live()
    assert live is not None
    assert live.version == 2
    assert [replica.state.drifts for replica in replicas] == [(), ()]


async def test_edits_of_several_replicas_at_once_are_all_published(make_replica: MakeReplica, store: Store):
    """Each has a component of its own, so that every one of them meets conflicts."""
    names = [f"c{number}" for number in range(6)]
    replicas = {name: make_replica(name, **{name: f"component: {name}\nweight: 0\n"}) for name in names}
    for name in names:
        await store.until_weight(0, name)
    for name, replica in replicas.items():
        replica.write(**{name: f"component: {name}\nweight: 7\n"})
    for name in names:
        await store.until_weight(7, name)


# What is wrong freezes its own component.


async def test_an_invalid_edit_freezes_its_own_component_only(make_replica: MakeReplica, store: Store):
    replica = make_replica("a", users=users(5), analytics=ANALYTICS)
    await store.until_weight(5)
    replica.write(users=users(140), analytics=ANALYTICS + "owner: bob\n")
    await until(lambda: replica.state.frozen)

    (frozen,) = replica.state.frozen
    assert (frozen.component, frozen.file) == ("users", "users.yaml")
    assert [str(each) for each in frozen.problems] == ["users.yaml:2:9: weight: should be 0 to 100, is 140"]
    assert frozen.since.endswith("Z")
    assert [each.problem for each in replica.state.refused] == [str(frozen.problems[0])]

    async def owned() -> bool:
        live = await store.live()
        return live is not None and live.components["analytics"].owner == "bob"

    await until(owned)
    assert await store.weight() == 5
    (event,) = await store.events_of(replica, "file_refused")
    assert (event.component, event.why) == ("users", "users.yaml:2:9: weight: should be 0 to 100, is 140")


async def test_a_file_that_is_right_again_is_an_edit_from_what_it_was(make_replica: MakeReplica, store: Store):
    replica = make_replica("a", users=users(5))
    await store.until_weight(5)
    replica.write(users="component: users\nweight: [")
    await until(lambda: replica.state.frozen)
    since = replica.state.frozen[0].since
    replica.write(users=users(140))
    await until(lambda: replica.state.frozen and "140" in str(replica.state.frozen[0].problems))
    assert replica.state.frozen[0].since == since

    replica.write(users=users(8))
    await store.until_weight(8)
    await until(lambda: not replica.state.frozen)
    assert len(await store.events_of(replica, "file_accepted")) == 1


async def test_wrong_defaults_freeze_all(make_replica: MakeReplica, store: Store):
    replica = make_replica("a", users=users(5), analytics=ANALYTICS)
    await store.until_weight(5)
    replica.write(_defaults="weigth: 5\n", users=users(50))
    await until(lambda: len(replica.state.frozen) == 2)
    assert await store.weight() == 5

    replica.write(_defaults="# nothing\n")
    await store.until_weight(50)


async def test_an_edit_that_waits_for_another_component_follows_it(make_replica: MakeReplica, store: Store):
    replica = make_replica("a", users=users(5), analytics=ANALYTICS)
    await store.until_weight(5)
    replica.write(analytics=ANALYTICS + "weight: 50\n")
    await until(lambda: replica.state.frozen)
    assert "users should be at least as far first" in str(replica.state.frozen[0].problems[0])

    await store.changes.weight("users", 60, By("ana", "good"))
    replica.files.poke()
    await store.until_weight(50, "analytics")
    await until(lambda: not replica.state.frozen)


async def test_a_folder_that_goes_takes_nothing_with_it(make_replica: MakeReplica, store: Store):
    replica = make_replica("a", users=users(5))
    await store.until_weight(5)
    os.rename(replica.folder, replica.folder.with_name("gone"))
    replica.reload.set()
    await until(lambda: replica.state.problems)

    assert "cannot be read" in str(replica.state.problems[0])
    assert await store.weight() == 5
    os.rename(replica.folder.with_name("gone"), replica.folder)
    replica.write(users=users(6))
    replica.reload.set()
    await store.until_weight(6)


async def test_a_folder_that_is_missing_is_told_once_and_so_is_its_return(make_replica: MakeReplica, store: Store):
    replica = make_replica("a", start=False, users=users(5))
    os.rename(replica.folder, replica.folder.with_name("gone"))
    replica.start()
    for _ in range(2):
        await replica.settled()

    assert (
        replica.state.fault == f"{replica.folder}: the folder of rule files cannot be read: No such file or directory"
    )
    assert replica.state.drifts == ()
    (event,) = await store.events_of(replica, "rules_folder_unreadable")
    assert event.why == replica.state.fault

    os.rename(replica.folder.with_name("gone"), replica.folder)
    replica.reload.set()
    await store.until_weight(5)
    await until(lambda: not replica.state.fault)
    assert len(await store.events_of(replica, "rules_folder_readable")) == 1


# The store is away.


async def test_an_edit_made_while_the_store_is_away_is_published_when_it_returns(
    make_replica: MakeReplica, store: Store, server: Server
):
    replica = make_replica("a", users=users(5))
    await store.until_weight(5)
    server.kill()
    replica.write(users=users(30))
    await until(lambda: replica.state.waiting)
    replica.write(users=users(60, "owner: ana\n"))
    await replica.settled()
    await server.start()

    await store.until_weight(60)
    live = await store.live()
    assert live is not None
    assert live.why == "users.yaml: weight: 5 → 60, owner: nothing → ana"
    await until(lambda: not replica.state.waiting)


async def test_what_another_replica_published_meanwhile_is_not_published_again(
    make_replica: MakeReplica, store: Store, server: Server
):
    a, b = make_replica("a", users=users(5)), make_replica("b", users=users(5))
    await store.until_weight(5)
    await a.settled()
    await b.settled()
    server.hang()
    a.write(users=users(60))
    b.write(users=users(60))
    await until(lambda: a.state.waiting and b.state.waiting)
    server.go_on()

    await store.until_weight(60)
    await until(lambda: not a.state.waiting and not b.state.waiting)
    live = await store.live()
    assert live is not None
    assert live.version == 2


async def test_files_are_known_though_the_store_never_answered(make_replica: MakeReplica, server: Server):
    server.kill()
    replica = make_replica("a", users=users(5), broken="x: [")
    await until(lambda: replica.state.waiting and replica.state.rules)

    assert replica.state.rules is not None
    assert set(replica.state.rules.components) == {"users"}
    assert [frozen.component for frozen in replica.state.frozen] == ["broken"]


@pytest.mark.parametrize(
    ("document", "waiting"),
    [
        ("{half", "the store holds no rules that could be changed: banyan:rules is not JSON"),
        ('{"schema": "9.0"}', "the store holds no rules that could be changed: banyan:rules has schema 9.0"),
    ],
)
async def test_a_store_that_holds_something_else_is_left_alone(
    make_replica: MakeReplica, server: Server, document: str, waiting: str
):
    await server.redis.set("banyan:rules", document)
    replica = make_replica("a", users=users(5))
    await until(lambda: replica.state.waiting.startswith(waiting))

    assert await server.redis.get("banyan:rules") == document


async def test_rules_of_another_epoch_are_not_changed(make_replica: MakeReplica, store: Store, server: Server):
    replica = make_replica("a", users=users(5))
    await store.until_weight(5)
    live = await store.live()
    assert live is not None
    replica.held = live.model_copy(update={"epoch": "ours"})
    replica.write(users=users(60))
    await until(lambda: "another epoch" in replica.state.waiting)
    assert await store.weight() == 5

    replica.held = live.model_copy(update={"version": 9})
    await until(lambda: "the store went back to version 1" in replica.state.waiting)
    replica.held = live
    await store.until_weight(60)


async def test_a_read_only_store_is_waited_for(make_replica: MakeReplica, store: Store, server: Server):
    replica = make_replica("a", users=users(5))
    await store.until_weight(5)
    await server.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    replica.write(users=users(60))
    await until(lambda: replica.state.waiting)
    await server.redis.execute_command("REPLICAOF", "NO", "ONE")
    await store.until_weight(60)


async def test_every_new_state_is_told(make_replica: MakeReplica, store: Store):
    replica = make_replica("a", users=users(5))
    await store.until_weight(5)
    await replica.settled()

    assert replica.told[-1] == replica.state
    assert all(one != other for one, other in zip(replica.told, replica.told[1:], strict=False))

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from proxy.core.changes import Unknown
from proxy.core.errors import ConfigError, Conflict, NotAllowed, StoreError
from proxy.core.rules import Component, Phase, Side, parse_component
from proxy.store.emergencies import Emergencies
from proxy.store.fleet import Fleet, Heartbeat
from proxy.store.link import Link
from proxy.store.rules import RuleStore
from proxy.workers.changes import By, Changes
from tests.store.servers import Server, binaries

ANA = By("ana", "canary looks good")


@dataclass(frozen=True)
class File:
    values: dict[str, Any]
    hash: str = "h1"
    positions: dict[Any, Any] = field(default_factory=dict)

    @property
    def rules(self) -> Component:
        return parse_component(self.values, file="file")


def file(name: str = "users", hash: str = "h1", **values: Any) -> File:
    return File({"component": name, "routes": {f"GET /api/{name}": {}}, **values}, hash)


@dataclass
class Desk:
    server: Server
    link: Link
    rules: RuleStore
    emergencies: Emergencies
    fleet: Fleet
    changes: Changes


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    server = Server(binaries()["valkey"])
    await server.start()
    link = Link(server.url)
    parts = RuleStore(link), Emergencies(link), Fleet(link)
    yield Desk(server, link, *parts, Changes(*parts))
    await link.close()
    await server.close()


async def seed(desk: Desk, *files: File) -> None:
    states = {each.values["component"]: each for each in files or (file(weight=5),)}
    await desk.changes.push(states, By("files", "seed"))


async def test_a_push_says_what_it_leaves_as_others_have_set_it(desk):
    assert (await desk.changes.push({"users": file(weight=50)}, ANA)).drifts == ()
    await desk.changes.rollback("users", By("bob", "errors"))

    same = await desk.changes.push({"users": file(weight=50)}, ANA)
    more = await desk.changes.push({"users": file(weight=50, owner="team-a", hash="h2")}, ANA)
    whole = await desk.changes.push({"users": file(weight=50, owner="team-a", hash="h2")}, ANA, take_files=True)

    assert (same.version, same.changed, more.version, more.changed) == (2, False, 3, True)
    for done in (same, more):
        assert [(each.component, [str(edit) for edit in each.edits]) for each in done.drifts] == [
            ("users", ["weight: 0 → 50"])
        ]
        assert done.drifts[0].origins["weight"].who == "bob"
    assert (whole.changed, whole.drifts) == (True, ())


async def test_the_first_push_seeds_the_store(desk):
    done = await desk.changes.push({"users": file(weight=5)}, By("ana", "start"))

    held = (await desk.rules.load()).rule_set
    assert (done.version, done.changed) == (1, True)
    assert (held.seed, held.components["users"].weight, held.files["users"].hash) == (True, 5, "h1")
    assert len(held.epoch) == 16


async def test_a_weight_is_published_with_who_and_why(desk):
    await seed(desk)

    done = await desk.changes.weight("users", 25, ANA)

    held = (await desk.rules.load()).rule_set
    assert (done.version, done.changed, done.what) == (2, True, ("users.weight: 5 → 25",))
    assert (held.version, held.who, held.why, held.components["users"].weight) == (2, "ana", "canary looks good", 25)
    assert held.origins["users"]["weight"].who == "ana"
    assert not held.seed


async def test_what_is_so_already_publishes_nothing(desk):
    await seed(desk)

    done = await desk.changes.weight("users", 5, ANA)

    assert (done.version, done.changed) == (1, False)
    assert len(await desk.rules.history()) == 1


async def test_a_change_made_for_another_version_is_a_conflict(desk):
    await seed(desk)
    await desk.changes.weight("users", 10, ANA)

    with pytest.raises(Conflict) as refused:
        await desk.changes.weight("users", 25, By("ben", "", expect=1))

    assert (refused.value.expected, refused.value.actual) == (1, 2)
    assert (await desk.rules.load()).rule_set.components["users"].weight == 10


async def test_somebody_else_publishing_in_between_costs_a_second_try_only(desk):
    await seed(desk, file(weight=5), file("conversations"))

    class Meddled(RuleStore):
        meddled = 0

        async def publish(self, rule_set, *, expect, who, why, above=0, **facts):
            if not self.meddled:
                self.meddled = 1
                await desk.changes.weight("conversations", 1, By("ben"))
            return await super().publish(rule_set, expect=expect, who=who, why=why, above=above, **facts)

    changes = Changes(Meddled(desk.link), desk.emergencies, desk.fleet)
    done = await changes.weight("users", 25, ANA)

    held = (await desk.rules.load()).rule_set
    assert done.version == 3
    assert {name: each.weight for name, each in held.components.items()} == {"users": 25, "conversations": 1}


async def test_phase_and_rollback(desk):
    await seed(desk, file(weight=50))

    await desk.changes.phase("users", Phase.CANARY, ANA)
    done = await desk.changes.rollback("users", By("ana", "errors"))

    users = (await desk.rules.load()).rule_set.components["users"]
    assert done.changed
    assert (users.weight, users.phase) == (0, Phase.CANARY)


async def test_undo_takes_back_the_last_change_or_the_one_named(desk):
    await seed(desk, file(weight=5), file("conversations"))
    await desk.changes.weight("users", 25, ANA)
    await desk.changes.weight("conversations", 1, ANA)

    named = await desk.changes.undo(2, By("ana", "not that one"))
    last = await desk.changes.undo(None, By("ana", "that one all the same"))

    assert named.what == ("users.weight: 25 → 5",)
    assert last.what == ("users.weight: 5 → 25",)
    with pytest.raises(NotAllowed):
        await desk.changes.undo(99, ANA)


async def test_accept_has_replicas_of_another_epoch_follow(desk):
    await seed(desk)
    with pytest.raises(NotAllowed, match="nothing to accept"):
        await desk.changes.accept(ANA)
    await desk.fleet.beat(Heartbeat("a", epoch="another", version=7))

    done = await desk.changes.accept(ANA)

    assert done.changed
    assert (await desk.rules.load()).rule_set.accepts == ("another",)


async def test_an_emergency_is_a_plain_word_in_the_store(desk):
    await seed(desk, file(weight=5))

    done = await desk.changes.emergency("users", Side.LEGACY, By("ana", "errors"), for_s=60)
    assert await desk.server.redis.get("banyan:emergency:users") == "legacy"
    assert 55 < await desk.server.redis.ttl("banyan:emergency:users") <= 60
    assert (done.changed, done.what) == (True, ("emergency:users: nothing → legacy for 60 s",))

    lifted = await desk.changes.emergency("users", None, By("ana"))
    assert await desk.server.redis.exists("banyan:emergency:users") == 0
    assert lifted.what == ("emergency:users: legacy → nothing",)
    assert not (await desk.changes.emergency("users", None, By("ana"))).changed


async def test_an_emergency_for_all_and_one_that_has_nothing_to_move(desk):
    await seed(desk, file())

    assert (await desk.changes.emergency("all", Side.LEGACY, ANA)).changed
    done = await desk.changes.emergency("users", Side.MODERN, ANA)

    assert "is ignored" in done.warnings[0]


async def test_an_emergency_for_nobody_is_refused_with_a_suggestion(desk):
    await seed(desk)

    with pytest.raises(Unknown, match="did you mean `users`"):
        await desk.changes.emergency("user", Side.LEGACY, ANA)

    assert await desk.server.redis.keys("banyan:emergency:*") == []


async def test_an_emergency_can_be_lifted_whatever_it_is_called(desk):
    await seed(desk)
    await desk.server.redis.set("banyan:emergency:user", "legacy")

    assert (await desk.changes.emergency("user", None, ANA)).changed


async def test_an_emergency_needs_no_readable_rules(desk):
    await desk.server.redis.set("banyan:rules", "garbage")

    done = await desk.changes.emergency("users", Side.LEGACY, ANA)

    assert (done.version, done.changed) == (0, True)
    assert "not known" in done.warnings[0]


async def test_rules_that_cannot_be_read_are_changed_by_nobody(desk):
    with pytest.raises(NotAllowed, match="no rules yet"):
        await desk.changes.weight("users", 5, ANA)

    await desk.server.redis.set("banyan:rules", "garbage")
    with pytest.raises(StoreError):
        await desk.changes.weight("users", 5, ANA)


async def test_a_push_is_all_or_nothing(desk):
    await seed(desk, file(weight=5))

    with pytest.raises(ConfigError):
        await desk.changes.push({"users": file(hash="h2", weight=9), "b": file("b", after=["nobody"])}, ANA)

    assert (await desk.rules.load()).rule_set.version == 1


async def test_a_store_that_is_away_takes_nothing(desk):
    await seed(desk)
    desk.server.kill()

    for wish in (desk.changes.weight("users", 25, ANA), desk.changes.emergency("users", Side.LEGACY, ANA)):
        with pytest.raises(StoreError):
            await wish

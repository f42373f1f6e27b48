"""Publishing: one compare-and-set of document, history and event, whoever else publishes and whatever is there."""

from __future__ import annotations

import asyncio
import random

import pytest

from proxy.core.adopt import Missing, Refusal, Refused, Value
from proxy.core.emergency import read_emergency
from proxy.core.errors import ConfigError, Conflict, NotAllowed, StoreError
from proxy.core.rules import RuleSet, dump_rule_set
from proxy.store.events import Events, happened
from proxy.store.fleet import Fleet, Heartbeat
from proxy.store.link import Link
from proxy.store.rules import RuleStore
from tests.store.documents import reweighted, rules
from tests.store.logs import Lines
from tests.store.servers import Server


@pytest.fixture
def store(link: Link) -> RuleStore:
    return RuleStore(link, clock=lambda: 1_700_000_000.0)


async def seed(store: RuleStore, rule_set: RuleSet | None = None) -> RuleSet:
    made = rule_set or rules(seed=True, users=5, chat=0)
    return await store.publish(made, expect=0, who="files", why="seed")


async def test_a_publication_is_document_history_and_event(server: Server, link: Link, store: RuleStore):
    first = await seed(store)
    second = await store.publish(reweighted(first, users=25), expect=1, who="ana", why="go", by="hand")

    assert (await store.load()).read == Value(second)
    assert (first.version, first.seed, second.version, second.seed) == (1, True, 2, False)
    assert (second.who, second.why, second.at) == ("ana", "go", "2023-11-14T22:13:20.000Z")
    assert second.origins["users"]["weight"].model_dump() == {
        "who": "ana",
        "at": second.at,
        "version": 2,
        "why": "go",
    }
    history = await store.history()
    assert [(each.version, each.who) for each in history] == [(2, "ana"), (1, "files")]
    assert [str(change) for change in history[0].changes] == ["users.weight: 5 → 25"]
    event = (await Events(link, Lines()).tail())[-1]
    assert (event.kind, event.who, event.why) == ("rules_published", "ana", "go")
    assert event.facts == {"version": 2, "changes": ["users.weight: 5 → 25"], "by": "hand"}


async def test_a_stale_publication_changes_nothing(server: Server, store: RuleStore):
    first = await seed(store)
    await store.publish(reweighted(first, users=25), expect=1, who="ana", why="")
    before = await server.redis.dump("banyan:rules")

    with pytest.raises(Conflict) as refused:
        await store.publish(reweighted(first, users=50), expect=1, who="bo", why="")
    assert (refused.value.expected, refused.value.actual) == (1, 2)
    assert await server.redis.dump("banyan:rules") == before
    assert len(await store.history()) == 2


async def test_only_a_seed_goes_into_an_empty_store(store: RuleStore):
    assert (await store.load()).read == Missing()
    with pytest.raises(NotAllowed, match="has no rules"):
        await store.publish(rules(), expect=None, who="ana", why="")
    with pytest.raises(Conflict):
        await store.publish(rules(), expect=3, who="ana", why="")
    await seed(store)
    with pytest.raises(Conflict):
        await seed(store)


async def test_a_publication_over_another_epoch_is_refused(store: RuleStore):
    await seed(store)
    with pytest.raises(NotAllowed, match="another epoch"):
        await store.publish(rules(1, "e2"), expect=1, who="ana", why="")


async def test_the_next_version_exceeds_what_the_publisher_holds(store: RuleStore):
    first = await seed(store)
    assert (await store.publish(first, expect=1, who="ana", why="", above=41)).version == 42


async def test_over_a_store_that_went_back_nothing_is_published(link: Link, store: RuleStore):
    first = await seed(store)
    await Fleet(link).beat(Heartbeat("other", version=9, epoch="another"))
    await Fleet(link).beat(Heartbeat("r1", version=7, epoch=first.epoch))

    with pytest.raises(NotAllowed, match="went back to version 1, while replicas hold 7"):
        await store.publish(first, expect=1, who="ana", why="")


@pytest.mark.parametrize(("held", "forged"), [(1, 2**48 + 1), (1, 2**53), (0, 2**52 + 1), (0, 2**53)])
async def test_over_a_version_that_no_replica_follows_nothing_is_published(
    server, link, store: RuleStore, held, forged
):
    """It would be said to be done, and every replica would go on as before."""
    first = await seed(store)
    await server.redis.set("banyan:rules", dump_rule_set(first.model_copy(update={"version": forged})))
    if held:
        await Fleet(link).beat(Heartbeat("r1", version=held, epoch=first.epoch))

    with pytest.raises(NotAllowed, match=f"version {forged}, which no publication led to"):
        await store.publish(reweighted(first, users=25), expect=forged, who="ana", why="")
    assert len(await store.history()) == 1


async def test_what_is_published_is_read_first_as_replicas_will_read_it(server: Server, store: RuleStore):
    first = await seed(store)
    wrong = first.components["users"].model_copy(update={"weight": 300.0})
    before = await server.redis.dump("banyan:rules")

    with pytest.raises(ConfigError, match=r"components\.users\.weight: should be 0 to 100, is 300"):
        await store.publish(first.model_copy(update={"components": {"users": wrong}}), expect=1, who="ana", why="")
    assert await server.redis.dump("banyan:rules") == before
    assert len(await store.history()) == 1


async def test_a_change_is_made_again_over_what_others_published_meanwhile(store: RuleStore):
    first = await seed(store)
    seen: list[int] = []
    inner = RuleStore(store._link)

    async def publish_meanwhile() -> None:
        await inner.publish(reweighted(first, chat=9), expect=1, who="bo", why="")

    def made(current: RuleSet) -> RuleSet:
        seen.append(current.version)
        return reweighted(current, users=25)

    racing = asyncio.gather(store.change(made, who="ana", why=""), publish_meanwhile(), return_exceptions=True)
    done = [each for each in await racing if isinstance(each, RuleSet)]
    final = (await store.load()).rule_set
    assert final is not None
    assert final.components["users"].weight == 25
    assert done[-1].version == final.version or final.components["chat"].weight == 9


async def test_a_change_that_is_refused_publishes_nothing(store: RuleStore):
    await seed(store)

    def refuse(current: RuleSet) -> RuleSet:
        raise NotAllowed("not now")

    with pytest.raises(NotAllowed, match="not now"):
        await store.change(refuse, who="ana", why="")
    with pytest.raises(Conflict):
        await store.change(lambda current: current, expect=9, who="ana", why="")
    assert len(await store.history()) == 1


async def test_the_last_publication_is_taken_back(store: RuleStore):
    first = await seed(store)
    second = await store.publish(reweighted(first, users=25), expect=1, who="ana", why="")

    assert await store.taken_back(second) == first.components
    third = await store.publish(reweighted(second, chat=9), expect=2, who="ana", why="")
    assert (await store.taken_back(third, 2))["users"].weight == 5
    last = "nothing of version 77 that could be taken back; `rules undo 3` takes back the last change"
    with pytest.raises(NotAllowed, match=last):
        await store.taken_back(third, 77)


async def test_where_a_publication_changed_nothing_the_last_that_did_is_named(store: RuleStore):
    second = await store.publish(reweighted(await seed(store), users=25), expect=1, who="ana", why="")
    same = await store.publish(second, expect=2, who="files", why="the files only")

    with pytest.raises(NotAllowed, match=r"nothing of version 3 that .*; `rules undo 2` takes back the last change"):
        await store.taken_back(same)


async def test_where_only_the_first_publication_changed_anything_no_version_is_named(store: RuleStore):
    same = await store.publish(await seed(store), expect=1, who="files", why="the files only")

    with pytest.raises(NotAllowed) as refused:
        await store.taken_back(same)
    assert str(refused.value) == "the history has nothing of version 2 that could be taken back"


async def test_where_the_history_is_gone_no_version_is_named(link: Link, store: RuleStore):
    first = await seed(store)
    await link.call("DEL", link.key("rules:history"))

    with pytest.raises(NotAllowed) as refused:
        await store.taken_back(first)
    assert str(refused.value) == "the history has nothing of version 1 that could be taken back"


async def test_a_hundred_publishers_at_once_lose_nothing(server: Server, make_link):
    links = [make_link(server.url) for _ in range(4)]
    await seed(RuleStore(links[0]), rules(seed=True, **{f"c{n}": 0 for n in range(4)}))

    async def publish(lane: int) -> None:
        for number in range(lane, 100, 4):
            weights = {f"c{random.randrange(4)}": number + 0.5}
            await RuleStore(links[lane]).change(
                lambda current, weights=weights: reweighted(current, **weights), who=f"p{number}", why=""
            )

    await asyncio.gather(*(publish(lane) for lane in range(4)))
    history = await RuleStore(links[0]).history(200)
    assert [each.version for each in history] == list(range(101, 0, -1))
    assert len({each.who for each in history}) == 101


@pytest.mark.parametrize("key", ["rules:history", "events"])
async def test_a_wrongly_typed_stream_does_not_stop_a_publication(server: Server, link: Link, store: RuleStore, key):
    first = await seed(store)
    await server.redis.set(f"banyan:{key}", "what is this")

    assert await store.history() == [] if key == "rules:history" else await Events(link, Lines()).tail() == []
    await store.publish(reweighted(first, users=25), expect=1, who="ana", why="")
    assert await server.redis.xlen(f"banyan:{key}") == 1


GARBAGE = [
    (b"{half", Refusal.UNREADABLE, "is not JSON"),
    (b"[1]", Refusal.UNREADABLE, "should be a JSON object"),
    (b"\xff\xfe", Refusal.UNREADABLE, "is not JSON"),
    (b"[" * 100_000, Refusal.UNREADABLE, "is not JSON"),
    (b'{"schema": "2.0"}', Refusal.NEWER, "has schema 2.0"),
    (b'{"schema": "1.0"}', Refusal.INVALID, "epoch"),
    (
        dump_rule_set(rules()).replace(b'"weight":5', b'"weight":300'),
        Refusal.INVALID,
        "weight: should be 0 to 100, is 300",
    ),
    (dump_rule_set(rules()).replace(b'"weight":5', b'"weight":5,"wieght":1'), Refusal.INVALID, "wieght"),
]


@pytest.mark.parametrize(("raw", "refusal", "why"), GARBAGE)
async def test_what_is_no_rule_set_is_refused_whole_and_not_published_over(server, store, raw, refusal, why):
    await server.redis.set("banyan:rules", raw)

    found = await store.load()
    assert isinstance(found.read, Refused)
    assert found.read.refusal is refusal
    assert why in found.read.why
    with pytest.raises(StoreError, match="no rules that this build can change"):
        await store.publish(rules(), expect=None, who="ana", why="")


async def test_a_huge_value_is_refused_without_being_fetched(server: Server, store: RuleStore):
    await server.redis.set("banyan:rules", b"x" * 50_000_000)
    out_before = (await server.redis.info("stats"))["total_net_output_bytes"]

    found = await store.load()
    assert isinstance(found.read, Refused)
    assert "has 50000000 bytes" in found.read.why
    assert (await server.redis.info("stats"))["total_net_output_bytes"] - out_before < 1_000_000


async def test_a_list_in_place_of_the_rules_is_refused(server: Server, store: RuleStore):
    await server.redis.lpush("banyan:rules", "x")

    read = (await store.load()).read
    assert isinstance(read, Refused)
    assert (read.refusal, "is a list, should be a string" in read.why) == (Refusal.UNREADABLE, True)


async def test_a_full_server_refuses_the_publication_and_nothing_is_half_done(server: Server, store: RuleStore):
    first = await seed(store)
    await server.redis.config_set("maxmemory", "1")

    with pytest.raises(StoreError, match="refuses"):
        await store.publish(reweighted(first, users=25), expect=1, who="ana", why="")
    await server.redis.config_set("maxmemory", "0")
    assert (await store.load()).rule_set == first
    assert len(await store.history()) == 1


async def test_a_rule_set_that_replicas_would_refuse_for_its_size_is_not_published(store: RuleStore):
    first = await seed(store)
    huge = first.model_copy(update={"why": "", "accepts": ("x" * 9_000_000,)})

    with pytest.raises(NotAllowed, match="more than the"):
        await store.publish(huge, expect=1, who="ana", why="")


async def test_what_goes_back_goes_only_where_it_was_judged(server: Server, link: Link, store: RuleStore):
    first = await seed(store)
    empty = (await store.load(), await server.redis.flushall(), await store.load())[2]
    event = happened(0, "written_back", None, "r1", "")
    lost = {"users": read_emergency("legacy", 60_000), "all": read_emergency("modern")}
    await server.redis.set("banyan:emergency:all", "legacy")

    assert await store.write_back(empty, first, lost, event)
    assert (await store.load()).rule_set == first
    assert 50_000 < await server.redis.pttl("banyan:emergency:users") <= 60_000
    assert await server.redis.get("banyan:emergency:all") == "legacy"  # it was there by then

    assert not await store.write_back(empty, rules(99), {}, event)
    assert (await store.load()).rule_set == first

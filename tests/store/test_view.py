"""Looks: all of one moment, nothing sent twice, every emergency found."""

from __future__ import annotations

import asyncio
import threading

import orjson
import pytest

from proxy.core.adopt import Missing, Read, Refusal, Refused, Value
from proxy.core.emergency import Emergency
from proxy.core.errors import StoreError
from proxy.core.rules import Side, dump_rule_set
from proxy.store.link import Link
from proxy.store.view import View, judged
from tests.store.documents import rules
from tests.store.servers import Server
from tests.waiting import until


async def test_a_look_has_rules_and_emergencies_and_who_answered(server: Server, link: Link):
    await server.redis.set("banyan:rules", dump_rule_set(rules(3)))
    await server.redis.set("banyan:emergency:users", "legacy")

    look = await View(link).look()
    assert look.found.rule_set == rules(3)
    assert look.emergencies == {"users": Emergency(Side.LEGACY, "legacy")}
    assert look.run_id == await link.run_id()
    assert look.role == "master"


async def test_an_empty_store_is_missing(link: Link):
    look = await View(link).look(["users"])
    assert (look.found.read, look.found.rule_set, look.emergencies) == (Missing(), None, {})


async def test_rules_that_are_known_are_neither_sent_nor_read_again(server: Server, link: Link):
    await server.redis.set("banyan:rules", dump_rule_set(rules(3, **{f"c{n}": 1 for n in range(100)})))
    view = View(link)
    first = (await view.look()).found
    before = (await server.redis.info("stats"))["total_net_output_bytes"]

    assert all([(await view.look()).found is first for _ in range(20)])
    assert (await server.redis.info("stats"))["total_net_output_bytes"] - before < 30_000
    assert await view.rules() is first

    await server.redis.set("banyan:rules", dump_rule_set(rules(4)))
    assert (await view.look()).found.rule_set == rules(4)


class Overtaken(Link):
    """A link whose next answer is handed on only when `arrive` is set: another connection is read first."""

    held: asyncio.Event | None = None

    async def run(self, *args: object, **options: object) -> object:
        answer = await super().run(*args, **options)  # type: ignore[arg-type]
        arrive, self.held = self.held, None
        if arrive is not None:
            await arrive.wait()
        return answer


async def test_an_answer_that_is_overtaken_by_a_newer_one_is_still_the_rules_that_it_names(server: Server):
    await server.redis.set("banyan:rules", dump_rule_set(rules(3)))
    link = Overtaken(server.url)
    view = View(link)
    await view.rules()
    link.held = arrive = asyncio.Event()
    overtaken = asyncio.create_task(view.rules())
    await until(lambda: link.held is None)
    await server.redis.set("banyan:rules", dump_rule_set(rules(4)))
    await until_version(view, 4)
    arrive.set()

    assert (await overtaken).rule_set == rules(3)
    assert (await view.rules()).rule_set == rules(4)
    await link.close()


async def until_version(view: View, version: int) -> None:
    async def there() -> bool:
        found = (await view.rules()).rule_set
        return found is not None and found.version == version

    await until(there)


async def test_while_a_document_is_read_the_loop_goes_on(server: Server, link: Link, monkeypatch):
    """Whoever can write to the store must not be able to hold up requests with a document that takes long."""
    went_on = threading.Event()

    def slow(token: str, document: bytes | None, source: str) -> Read:
        assert went_on.wait(30), "nothing else ran while the document was read"
        return judged(token, document, source)

    monkeypatch.setattr("proxy.store.view.judged", slow)
    await server.redis.set("banyan:rules", dump_rule_set(rules(3)))
    looking = asyncio.create_task(View(link).look())
    asyncio.get_running_loop().call_later(0.1, went_on.set)

    assert (await looking).found.rule_set == rules(3)


async def test_a_mistyped_emergency_is_found_in_a_store_full_of_other_keys(server: Server, link: Link):
    await server.redis.mset({f"other:{n}": "1" for n in range(5_000)})
    await server.redis.set("banyan:emergency:user", "legacy")
    view = View(link)
    looks = [await view.look(["users"]) for _ in range(10)]

    found = ["user" in look.emergencies for look in looks]
    assert found == sorted(found)  # once found, it stays
    assert found[-1]
    await server.redis.delete("banyan:emergency:user")
    assert (await view.look()).emergencies == {}


async def test_a_pushed_name_is_looked_at_next_even_if_it_came_during_a_look(server: Server, link: Link):
    await server.redis.mset({f"other:{n}": "1" for n in range(5_000)})
    view = View(link)
    await server.redis.set("banyan:emergency:pushed", "legacy")
    looking = asyncio.create_task(view.look())
    await asyncio.sleep(0)
    view.expect(["pushed"])
    await looking

    assert "pushed" in (await view.look()).emergencies


async def test_a_failed_look_forgets_no_name(server: Server, link: Link):
    await server.redis.mset({f"other:{n}": "1" for n in range(5_000)})
    await server.redis.set("banyan:emergency:typo", "legacy")
    view = View(link)
    view.expect(["typo"])
    await link.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")
    server.hang()
    with pytest.raises(StoreError):
        await view.look()
    server.go_on()

    assert "typo" in (await view.look()).emergencies


async def test_names_are_bounded(server: Server, link: Link):
    await server.redis.mset({f"banyan:emergency:{n}": "legacy" for n in range(1_500)})
    view = View(link)
    for _ in range(5):
        assert len((await view.look(["users"])).emergencies) <= 2_100


def test_garbage_is_never_more_than_a_refusal():
    deep = b'{"schema":"1.0","epoch":' + b"[" * 900 + b"]" * 900 + b"}"
    for raw in (b"", b"{", b"null", b'"x"', deep, b'{"schema": 1}', b'{"schema": "x"}', b'{"schema": true}'):
        assert isinstance(judged("sha:1", raw, "banyan:rules"), Refused)
    assert judged("type:list", None, "k") == Refused(Refusal.UNREADABLE, "k is a list, should be a string")
    assert isinstance(judged("sha:1", dump_rule_set(rules()), "k"), Value)


async def test_a_name_that_no_component_can_have_is_passed_over(server: Server, link: Link):
    await server.redis.set("banyan:emergency:" + "a" * 100_000, "legacy")
    await server.redis.set("banyan:emergency:user", "legacy")

    assert list((await View(link).look()).emergencies) == ["user"]


def test_a_document_with_any_number_of_problems_is_refused_in_one_short_text():
    bad = {f"c{number}": {"component": "X!" * 5_000, "routes": {"bad" * 5_000: 1}} for number in range(900)}
    document = orjson.loads(dump_rule_set(rules())) | {"components": bad}
    said = judged("sha:1", orjson.dumps(document), "banyan:rules")

    assert isinstance(said, Refused) and said.refusal is Refusal.INVALID
    assert len(said.why) < 1_000 and said.why.endswith(" more")
    newer = orjson.loads(dump_rule_set(rules())) | {"schema": "9." + "9" * 100_000}
    said = judged("sha:1", orjson.dumps(newer), "banyan:rules")
    assert isinstance(said, Refused) and len(said.why) <= 800


async def test_of_very_many_emergencies_the_same_ones_are_looked_at_each_time(server: Server, link: Link):
    await server.redis.mset({f"banyan:emergency:{n}": "legacy" for n in range(5_000)})
    view = View(link)
    first = list((await view.look(["users"])).emergencies)
    for n in range(4):
        looking = asyncio.create_task(view.look(["users"]))
        await asyncio.sleep(0)
        view.expect(str(number) for number in range(5_000 - n * 900, 4_000 - n * 900, -1))
        assert list((await looking).emergencies)[:500] == first[:500]

from __future__ import annotations

import pytest
import structlog

from proxy.core.errors import StoreError
from proxy.core.evidence import Basis
from proxy.core.rules import Side
from proxy.core.status import status_document
from proxy.store.emergencies import Emergencies
from proxy.store.events import Events
from proxy.store.evidence import Batch, EvidenceStore
from proxy.store.fleet import Fleet, Heartbeat
from proxy.store.link import Link
from proxy.store.rules import RuleStore
from proxy.workers.changes import By, Changes
from proxy.workers.status import Reader
from tests.store.servers import Server, binaries
from tests.workers.test_changes import file


@pytest.fixture
async def server():
    server = Server(binaries()["valkey"])
    await server.start()
    yield server
    await server.close()


@pytest.fixture
async def link(server):
    link = Link(server.url)
    yield link
    await link.close()


def reader_of(link: Link) -> Reader:
    events = Events(link, structlog.get_logger("banyan"), clock=lambda: 100.0)
    return Reader(RuleStore(link), Emergencies(link), Fleet(link), events, EvidenceStore(link), clock=lambda: 100.0)


async def test_status_needs_nothing_but_the_store(link):
    changes = Changes(RuleStore(link), Emergencies(link), Fleet(link))
    await changes.push({"users": file(weight=5)}, By("files", "seed"))
    await changes.weight("users", 25, By("ana", "looks good"))
    await changes.emergency("users", Side.LEGACY, By("ana", "errors"), for_s=60)
    await Fleet(link).beat(Heartbeat("a", version=2, breakers=("users/modern",)))

    facts = await reader_of(link).facts()

    assert facts.at_s == 100.0
    shown = status_document(facts)
    users = shown["components"]["users"]
    assert (shown["version"], users["weight"], users["reads"]["reason"]) == (2, 25, "emergency")
    assert users["values"]["weight"]["file"] == 5
    assert users["breakers"] == [{"replica": "a", "side": "modern"}]
    assert [each.version for each in await reader_of(link).history(10)] == [2, 1]
    assert [each.kind for each in await reader_of(link).events(10)] == [
        "rules_published",
        "rules_published",
        "emergency_set",
    ]


async def test_an_empty_store_and_one_full_of_garbage_have_a_status(server, link):
    assert (await reader_of(link).facts()).rules is None

    await server.redis.set("banyan:rules", "{half")
    facts = await reader_of(link).facts()

    assert facts.rules is None
    assert "refused" in facts.fault


async def test_without_the_store_there_are_no_facts(server, link):
    server.kill()

    with pytest.raises(StoreError):
        await reader_of(link).facts()


async def test_what_stands_in_the_place_of_a_replica_is_one_sentence_and_never_its_content(server, link):
    await server.redis.set("banyan:replica:r1", '{"refusals": [null], "facts": {"alarms": "ab"}}')
    await server.redis.set("banyan:replica:r2", '{"facts": {"alarms": ["a", {"kind": "k"}]}}')
    await server.redis.set("banyan:replica:r3", b"x" * 5_000_000)

    shown = status_document(await reader_of(link).facts())
    assert [each["id"] for each in shown["replicas"]] == ["r2"]
    assert shown["because"] == [
        "no rules were ever published: everything goes to legacy",
        "replica:r1 is no heartbeat: refusals.0 should be text (quote it), is null",
        "replica:r2 is understood in part: facts.alarms.0 should be a mapping, is `a`",
        "replica:r3 is no heartbeat: has 5,000,000 bytes, more than any heartbeat",
    ]


async def test_what_was_compared_is_read_of_the_components_that_are(link):
    changes = Changes(RuleStore(link), Emergencies(link), Fleet(link))
    await changes.push({"users": file(weight=5)}, By("files", "seed"))
    for name in ("users", "nobody"):
        batch = Batch(name, "/u", "one", 1, "2026-01-01T00:00:00Z", "e", Basis("a", "canary"), {"matched": 3})
        await EvidenceStore(link).add(batch)

    facts = await reader_of(link).facts()

    assert {name: list(routes) for name, routes in facts.evidence.items()} == {"users": ["/u"]}
    assert status_document(facts)["components"]["users"]["compared"]["matched"] == 3

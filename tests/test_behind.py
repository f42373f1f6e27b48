"""What goes on behind the answers of real replicas: shadow reads, evidence in the store, metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from proxy.core.evidence import Outcome
from proxy.store.evidence import EvidenceStore
from proxy.store.link import Link
from tests.peers import Side, answering, asked, ok
from tests.replicas import USERS, Replica, scrape
from tests.store.servers import Server, binaries
from tests.waiting import until

SHADOWED = {**USERS, "phase": "shadow", "weight": 0, "shadow": 100, "noise": {"sample": 0}}
JSON = b"Content-Type: application/json\r\n"


def get(number: int) -> bytes:
    return b"GET /api/users/%d HTTP/1.1\r\nHost: a\r\nX-User-Id: u%d\r\n\r\n" % (number, number)


@asynccontextmanager
async def house(replicas: int = 1, **rules: Any) -> AsyncIterator[tuple[list[Replica], Side, Side, Link]]:
    """Run replicas with one component of which every read is shadowed."""
    found = binaries()
    server = Server(found.get("redis", found["valkey"]))
    legacy, modern = Side(), Side()
    started: list[Replica] = []
    await server.start()
    link = Link(server.url)
    try:
        await legacy.start()
        await modern.start()
        for _ in range(replicas):
            replica = Replica(server.url, legacy.port, modern.port)
            replica.settings["sides"]["modern"]["version_header"] = "x-app-version"
            replica.rules({**SHADOWED, **rules})
            started.append(replica)
            await replica.start()
        yield started, legacy, modern, link
    finally:
        for replica in started:
            await replica.close()
        await link.close()
        await legacy.stop()
        await modern.stop()
        await server.close()


async def test_what_replicas_compared_is_evidence_in_the_store():
    async with house(2) as (replicas, _, modern, link):
        store = EvidenceStore(link)
        for number in range(20):
            assert (await asked(replicas[number % 2].port, get(number))).status == 200

        async def matched() -> int:
            found = await store.read("users")
            return sum(each.counts.get(Outcome.MATCHED, 0) for each in found.values())

        await until(lambda: _is(matched, 20))
        evidence = (await store.read("users"))["/api/users/{id}"]
        assert (evidence.entities, evidence.differing, evidence.compared) == (20, 0, 20)
        assert all(each.value(b"x-banyan-role") == b"shadow" for each in modern.seen)
        for replica in replicas:
            name = 'banyan_shadow_reads_total{component="users",outcome="matched",route="/api/users/{id}"}'
            assert (await scrape(replica.probes))[name] == 10

        modern.script = answering(ok(b'{"id":2}', JSON))
        await asked(replicas[0].port, get(7))

        async def mismatched() -> int:
            found = await store.read("users")
            return sum(each.counts.get(Outcome.MISMATCHED, 0) for each in found.values())

        await until(lambda: _is(mismatched, 1))


async def test_evidence_starts_anew_when_a_side_has_another_version():
    async with house() as ((replica,), _, modern, link):
        store = EvidenceStore(link)
        modern.script = answering(ok(extra=b"X-App-Version: 1\r\n"))

        async def is_known() -> bool:
            await asked(replica.port, get(1))
            return await link.call("HGET", link.key("{users}:evidence:of:/api/users/{id}"), "modern") == b"1"

        await until(is_known)
        modern.script = answering(ok(extra=b"X-App-Version: 2\r\n"))

        async def why() -> str:
            found = await store.read("users")
            return next(iter(found.values())).why if found else ""

        async def is_told() -> bool:
            await asked(replica.port, get(1))
            return await why() == "version of modern: 1 → 2"

        await until(is_told, 20)
        events = [line for line in replica.log if line["event"] == "evidence_reset"]
        assert [line["why"] for line in events] == ["evidence of /api/users/{id} starts anew: version of modern: 1 → 2"]


async def _is(count: Any, expected: int) -> bool:
    return await count() == expected

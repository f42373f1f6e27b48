"""Several instances of a side, end to end: one that dies under load, health checks, and a side that is down."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.peers import Answer, Exchange, RawClient, Side, asked
from tests.replicas import USERS, Replica, fetch, scrape
from tests.store.servers import Server, binaries
from tests.waiting import until

CHECKS = {"interval_s": 0.1, "timeout_s": 1, "unhealthy_threshold": 2, "healthy_threshold": 2}
PUT = b"PUT /api/users/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"


def get(number: int) -> bytes:
    return b"GET /api/users/%d HTTP/1.1\r\nHost: a\r\nX-User-Id: u%d\r\n\r\n" % (number, number)


@asynccontextmanager
async def house(modern: int, **settings: Any) -> AsyncIterator[tuple[Replica, Side, list[Side]]]:
    """Run one replica whose modern side has so many instances; all reads go there."""
    found = binaries()
    server = Server(found.get("redis", found["valkey"]))
    legacy, instances = Side(), [Side() for _ in range(modern)]
    replica: Replica | None = None
    try:
        await server.start()
        for side in (legacy, *instances):
            await side.start()
        urls = [f"http://127.0.0.1:{side.port}" for side in instances]
        sides = {"legacy": {"url": f"http://127.0.0.1:{legacy.port}"}, "modern": {"urls": urls, **settings}}
        replica = Replica(server.url, 0, 0, sides=sides)
        replica.rules({**USERS, "weight": 100})
        await replica.start()
        yield replica, legacy, instances
    finally:
        if replica is not None:
            await replica.close()
        for side in (legacy, *instances):
            await side.stop()
        await server.close()


async def answered_by(port: int, times: int) -> Counter[bytes]:
    """Ask so often, four at a time; count who answered, and how."""

    async def work(mine: range) -> list[Answer]:
        client = await RawClient.connect(port)
        answers = []
        for number in mine:
            await client.send(get(number))
            answers.append(await client.answer())
        client.close()
        return answers

    parts = await asyncio.gather(*(work(range(at, times, 4)) for at in range(4)))
    return Counter(
        b"%d %b" % (each.status, each.value(b"x-banyan-side") or b"-") for answers in parts for each in answers
    )


async def test_an_instance_that_dies_under_load_costs_no_read_and_is_left_out():
    async with house(3) as (replica, _, instances):
        assert await answered_by(replica.port, 120) == {b"200 modern": 120}
        assert all(side.seen for side in instances)

        load = asyncio.ensure_future(answered_by(replica.port, 2_000))
        await until(lambda: sum(len(side.seen) for side in instances) > 400)
        await instances[0].stop()
        assert set(await load) <= {b"200 modern", b"200 legacy"}  # a torn answer is replaced by the other side's

        at = f"127.0.0.1:{instances[0].port}"

        async def is_left_out() -> bool:
            await answered_by(replica.port, 20)
            found = await scrape(replica.probes)
            return found[f'banyan_instance_healthy{{instance="{at}",side="modern"}}'] == 0

        await until(is_left_out)
        assert await answered_by(replica.port, 100) == {b"200 modern": 100}
        assert (await scrape(replica.probes))['banyan_instance_changes_total{side="modern",turn="ejected"}'] == 1
        _, status = await fetch(replica.admin, "/api/v1/status")
        assert any(f"modern: {at}: ejected for 30 s" in why for why in status["because"])
        events = [line for line in replica.log if line["event"] == "instance_ejected"]
        assert [(line["side"], line["at"]) for line in events] == [("modern", at)]


async def test_health_checks_take_an_instance_out_before_anybody_asks_it_and_a_side_without_any_is_down():
    sick = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.read_body()
        status = b"503" if sick.is_set() and exchange.line.startswith(b"GET /healthz") else b"200"
        await exchange.send(b"HTTP/1.1 %b X\r\nContent-Length: 2\r\n\r\nok" % status)

    async with house(2, health_check=CHECKS) as (replica, _, instances):
        for side in instances:
            side.script = script
        await until(lambda: all(any(b"/healthz" in each.line for each in side.seen) for side in instances))
        assert await answered_by(replica.port, 40) == {b"200 modern": 40}

        sick.set()

        async def plan_of(request: bytes) -> str:
            answer = await asked(replica.port, request)
            assert answer.status == 200
            return (answer.value(b"x-banyan-plan") or b"").decode().split(";")[1]

        async def is_spared() -> bool:
            return await plan_of(get(1)) == "breaker"

        await until(is_spared)
        assert await answered_by(replica.port, 40) == {b"200 legacy": 40}
        _, status = await fetch(replica.admin, "/api/v1/status")
        assert any("modern: no instance is healthy" in why for why in status["because"])
        assert await plan_of(PUT) == "write_primary"

        sick.clear()

        async def is_back() -> bool:
            return await plan_of(get(1)) == "weight"

        await until(is_back)
        assert [line["event"] for line in replica.log if line["event"] in ("side_down", "side_up")] == [
            "side_down",
            "side_up",
        ]

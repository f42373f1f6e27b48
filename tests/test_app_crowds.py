"""More clients than there is room for, and fewer descriptors than it takes: the whole house, end to end."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.parents import Parent
from tests.peers import RawClient, Side, asked
from tests.replicas import USERS, Replica, scrape
from tests.store.servers import Server, binaries
from tests.waiting import until

GET = b"GET /api/users/42 HTTP/1.1\r\nHost: a\r\n\r\n"
SERVED = {**USERS, "weight": 0}


@asynccontextmanager
async def replica(soft: int, hard: int, processes: int = 1, **settings: Any) -> AsyncIterator[Replica]:
    """A gateway started with these limits of descriptors, before two sides."""
    async with AsyncExitStack() as stack:
        found = binaries()
        server = Server(found.get("redis", found["valkey"]))
        stack.push_async_callback(server.close)
        await server.start()
        sides = Side(), Side()
        for side in sides:
            await side.start()
            stack.push_async_callback(side.stop)
        if processes > 1:
            settings["processes"] = processes
        kind = Parent if processes > 1 else Replica
        started = kind(server.url, *(side.port for side in sides), **settings)
        started.rules(SERVED)
        started.prefix = ("prlimit", f"--nofile={soft}:{hard}")
        stack.push_async_callback(started.close)
        await started.start()
        if isinstance(started, Parent):
            await started.full(processes)
        yield started


def pids_of(started: Replica) -> list[int]:
    """The processes that serve."""
    assert started.process is not None
    return started.children if isinstance(started, Parent) else [started.process.pid]


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def highest_of(pid: int) -> int:
    """The highest descriptor that a process has open."""
    return max(int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir())


def warnings(started: Replica, event: str) -> list[dict[str, Any]]:
    return [line for line in started.log if line.get("event") == event]


async def crowd(port: int, count: int) -> list[RawClient]:
    return await asyncio.gather(*(RawClient.connect(port) for _ in range(count)))


async def refused(started: Replica, reason: str, count: int) -> bool:
    """Whether so many clients, no more, have been turned away: the others stand then."""
    told = (await scrape(started.probes)).get(f'banyan_refused_total{{reason="{reason}"}}', 0)
    assert told <= count
    return told == count


async def standing(clients: list[RawClient]) -> list[RawClient]:
    """Return those of the clients that get an answer."""

    async def served(client: RawClient) -> bool:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await client.send(GET)
            return (await client.answer()).status == 200
        return False

    answers = await asyncio.gather(*map(served, clients))
    return [client for client, answer in zip(clients, answers, strict=True) if answer]


@pytest.mark.parametrize("processes", [1, 2])
async def test_the_limit_of_descriptors_is_raised_to_the_hard_one(processes):
    hard = min(16_384, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    async with replica(256, hard, processes) as started:
        assert [resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in pids_of(started)] == [(hard, hard)] * processes
        assert warnings(started, "few_descriptors") == []


async def test_with_few_descriptors_clients_are_turned_away_and_the_sides_are_still_asked():
    async with replica(100, 256) as started:
        (said,) = warnings(started, "few_descriptors")
        assert (said["level"], said["descriptors"], said["connections"]) == ("warning", 256, 64)

        clients = await crowd(started.port, 100)
        await until(lambda: refused(started, "connections", 36))
        served = await standing(clients)
        assert len(served) == 64
        samples = await scrape(started.probes)
        assert samples["banyan_connections"] == 64
        assert samples['banyan_requests_total{component="users",kind="read",route="/api/users/{id}",side="legacy",status="2xx"}'] == 64  # fmt: skip  # noqa: E501
        (alarm,) = await until(lambda: warnings(started, "connections"))
        assert (alarm["level"], alarm["count"]) == ("warning", 36)

        newcomers = await crowd(started.port, 10)  # now that those who stand are idle
        assert len(await standing(newcomers)) == 10
        for client in (*clients, *newcomers):
            client.close()


async def test_connections_of_one_address():
    async with replica(1024, 16_384, limits={"connections_per_address": 3}) as started:
        clients = await crowd(started.port, 5)
        await until(lambda: refused(started, "connections_per_address", 2))
        assert len(await standing(clients)) == 3
        newcomers = await crowd(started.port, 2)  # now that those who stand are idle
        assert len(await standing(newcomers)) == 2
        clients += newcomers
        for client in clients:
            client.close()


@pytest.mark.parametrize("processes", [1, 2])
async def test_a_process_without_a_descriptor_waits_quietly_and_serves_again_when_it_has_some(processes):
    """It has fewer than it knew of at its start: as when the whole system has none left."""
    async with replica(4096, 16_384, processes) as started:
        pids = pids_of(started)
        for pid in pids:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest_of(pid) + 5, 16_384))
        clients = await crowd(started.port, 60)
        short = await crowd(started.port, 20)
        began, used = time.monotonic(), [cpu_s(pid) for pid in pids]
        await until(lambda: time.monotonic() > began + 1.5)
        spent = [cpu_s(pid) - before for pid, before in zip(pids, used, strict=True)]
        assert max(spent) < 0.7, "woken for nothing, all the time"

        for client in (*clients, *short):
            client.close()
        for pid in pids:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (4096, 16_384))
        for _ in range(20):
            assert (await asked(started.port, GET)).status == 200
        assert warnings(started, "breaker_open") == []

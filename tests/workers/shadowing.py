"""A gateway between two scripted sides, and everything that goes on behind its answers; time may be stepped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import orjson

from proxy.core.limits import PoolLimits, WireLimits
from proxy.core.rules import Side
from proxy.core.sandwich import Verdict
from proxy.gateway.settling import Settling
from proxy.wire.instances import Place
from proxy.wire.pool import Pool
from proxy.workers.aside import Aside
from proxy.workers.asked import Pairing
from proxy.workers.loads import Bounds, Load
from proxy.workers.sandwich import Limits, Sandwiches
from proxy.workers.shadow import Shadows
from proxy.workers.tallies import Tallies
from tests.peers import Exchange, RawClient, Script
from tests.rig import Rig, running
from tests.waiting import until

USERS: Mapping[str, Any] = {
    "component": "users",
    "kind": "entity",
    "phase": "shadow",
    "shadow": 100,
    "noise": {"sample": 0},
    "routes": {"/api/users": {}, "/api/users/{id}": {"entity": "{id}"}},
}
JSON = b"Content-Type: application/json\r\n"


@dataclass
class Ahead:
    """The clock of this machine, and what it is told to be ahead."""

    by_s: float = 0.0

    def __call__(self) -> float:
        return perf_counter() + self.by_s


@dataclass
class Findings:
    """Remembers what was found out."""

    mismatches: list[tuple[Pairing, Verdict]] = field(default_factory=list)
    noises: list[tuple[Pairing, Verdict]] = field(default_factory=list)
    known: bool = False
    noisy_ones: list[Pairing] = field(default_factory=list)

    async def mismatch(self, pairing: Pairing, verdict: Verdict) -> None:
        self.mismatches.append((pairing, verdict))

    def noise(self, pairing: Pairing, verdict: Verdict) -> None:
        self.noises.append((pairing, verdict))

    def noisy(self, pairing: Pairing) -> None:
        self.noisy_ones.append(pairing)

    def is_known(self, pairing: Pairing) -> bool:
        return self.known


@dataclass
class Stage:
    """All of it."""

    rig: Rig
    shadows: Shadows
    sandwiches: Sandwiches
    findings: Findings
    clock: Ahead
    noisy: list[Pairing] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """What was counted, by outcome and by `outcome:reason`, without the comparator's tests of itself."""
        return {name: count for name, count in self.all_counts.items() if not name.startswith(("test:", "swallowed:"))}

    @property
    def all_counts(self) -> dict[str, int]:
        """What was counted, all of it."""
        found: dict[str, int] = {}
        for tally in self.shadows.tallies:
            for name, count in tally.total.items():
                found[name] = found.get(name, 0) + count
        return found

    async def counted(self, **expected: int) -> None:
        """Wait until outcomes were counted so often."""
        await until(lambda: all(self.counts.get(name, 0) >= count for name, count in expected.items()))

    async def get(self, path: str = "/api/users/42", *fields: bytes, method: bytes = b"GET") -> bytes:
        """Have a client read something, and return the body of its answer."""
        client = await RawClient.connect(self.rig.port)
        await client.send(request(path, *fields, method=method))
        answer = await client.answer(head_only=method == b"HEAD")
        client.close()
        return answer.body


def request(path: str, *fields: bytes, method: bytes = b"GET") -> bytes:
    return b"%b %b HTTP/1.1\r\nHost: shop.test\r\n%b\r\n" % (method, path.encode(), b"".join(fields))


def answer(document: Any, status: int = 200, extra: bytes = JSON) -> bytes:
    body = document if isinstance(document, bytes) else orjson.dumps(document)
    return b"HTTP/1.1 %d X\r\n%bContent-Length: %d\r\n\r\n%b" % (status, extra, len(body), body)


def says(*documents: Any, status: int = 200, extra: bytes = JSON) -> Script:
    """Answer with one document after the other, and with the last one from then on."""
    left = list(documents)

    async def script(exchange: Exchange) -> None:
        document = left.pop(0) if len(left) > 1 else left[0]
        await exchange.send(document if isinstance(document, bytes) else answer(document, status, extra))

    return script


@asynccontextmanager
async def shadowing(
    *components: Mapping[str, Any],
    bounds: Bounds | None = None,
    concurrency: int = 32,
    per_s: float = 0.0,
    rereads_per_s: float = 0.0,
    differences: int = 64,
    **options: Any,
) -> AsyncIterator[Stage]:
    """Run a gateway with `components` (default: USERS, each read shadowed)."""
    async with running(*(components or (USERS,)), **options) as rig:
        clock, bounds = Ahead(), bounds or Bounds()
        gateway = rig.gateway
        gateway.settling = Settling(2.0, clock)
        loads = {}
        for side, pool in rig.pools.items():
            places = [replace(each.place) for each in pool.instances]
            own = Pool(f"{side} (shadow)", places, rig.wheel, WireLimits(), PoolLimits(concurrency + 8, 0))
            loads[side] = Load(own, gateway.sides[side], concurrency, per_s)
        shadows = Shadows(loads, bounds, Tallies(), Tallies(), gateway.may_ask_unseen, clock)
        findings = Findings()
        aside = Aside()
        sandwiches = Sandwiches(shadows, gateway.settling, findings, aside, Limits(rereads_per_s, differences))
        stage = Stage(rig, shadows, sandwiches, findings, clock)
        shadows.on_suspect, shadows.on_noise = sandwiches.suspect, stage.noisy.append
        shadows.on_test = sandwiches.test
        gateway.watch = shadows.watcher
        task = asyncio.create_task(sandwiches.run())
        try:
            yield stage
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            aside.close()
            for load in loads.values():
                await load.pool.close()


__all__ = ["JSON", "USERS", "Place", "Side", "Stage", "answer", "request", "says", "shadowing"]

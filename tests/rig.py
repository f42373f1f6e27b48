"""
A rig for gateway tests: the real gateway and wire in this process, between raw clients and two scripted sides.

The rules come in as component mappings; there is no store. Time on the wheel may be stepped by `rig.pass_s`.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from proxy.core.decision import PlanDefaults
from proxy.core.limits import ClientDeadlines, PoolLimits, WireLimits
from proxy.core.rules import Component, RuleSet, Side, Timeouts
from proxy.core.table import compile_table
from proxy.gateway.breakers import Trip
from proxy.gateway.gateway import Gateway
from proxy.gateway.outgoing import Manner, SideManner
from proxy.wire.instances import Place
from proxy.wire.listener import Listener, bound
from proxy.wire.pool import Pool
from proxy.wire.wheel import Wheel
from tests import pki
from tests.peers import RawClient
from tests.peers import Side as Peer

USERS: Mapping[str, Any] = {
    "component": "users",
    "kind": "entity",
    "weight": 100.0,
    "shadow": 0,  # what a test counts at a side is what it sent
    "routes": {"/api/users": {}, "/api/users/{id}": {"entity": "{id}"}},
}


@dataclass
class Clock:
    """Seconds that pass when told to, and by themselves if `runs`."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Rig:
    """Everything of one gateway under test."""

    gateway: Gateway
    listener: Listener
    wheel: Wheel
    clock: Clock
    peers: dict[Side, list[Peer]]
    pools: dict[Side, Pool]
    port: int = 0
    trips: list[Trip] = field(default_factory=list)

    @property
    def legacy(self) -> Peer:
        return self.peers[Side.LEGACY][0]

    @property
    def modern(self) -> Peer:
        return self.peers[Side.MODERN][0]

    def rules(self, *components: Mapping[str, Any], version: int = 1, **defaults: Any) -> None:
        """Put other rules in force."""
        self.gateway.follow(table_of(*components, version=version, **defaults), {}, store_lost=False)

    def emergency(self, **sides: Side) -> None:
        """Put emergencies in force, and end all others."""
        self.gateway.follow(self.gateway.table, sides, store_lost=False)

    def pass_s(self, seconds: float) -> None:
        """Let time pass on the wheel, at once."""
        self.clock.now += seconds
        self.wheel.turn()

    async def connect(self) -> RawClient:
        return await RawClient.connect(self.port)

    def count(self, **labels: str) -> int:
        """Sum the recorded requests that have these labels."""
        names = ("component", "route", "kind", "reason", "side")
        return sum(
            sum(cells)
            for key, cells in self.gateway.records.requests.items()
            if all(key[names.index(name)] == value for name, value in labels.items())
        )


def table_of(*components: Mapping[str, Any], version: int = 1, **defaults: Any) -> Any:
    rules = [Component.model_validate(dict(each)) for each in components]
    rule_set = RuleSet(
        schema="1.0", epoch="e", version=version, who="test", why="test", at="2026-01-01T00:00:00Z",
        components={each.component: each for each in rules},
    )  # fmt: skip
    return compile_table(rule_set, PlanDefaults(**defaults))


def point(pool: Pool, address: tuple[str, int]) -> tuple[str, int]:
    """Let the pool of one instance open its connections to `address` from now on; return where it was before."""
    (instance,) = pool.instances
    before = instance.place
    instance.place = replace(before, host=address[0], port=address[1])
    return before.host, before.port


@asynccontextmanager
async def running(
    *components: Mapping[str, Any],
    manner: Manner | None = None,
    limits: WireLimits | None = None,
    deadlines: ClientDeadlines | None = None,
    timeouts: Timeouts | None = None,
    connections: int = 1024,
    pending: int = 1024,
    instances: int = 1,
    send_buffer_bytes: int = 0,
    **defaults: Any,
) -> AsyncIterator[Rig]:
    """
    Run a gateway with `components` (default: USERS at 100 %) between two sides of so many `instances` each.

    `send_buffer_bytes` is what the kernel may hold of answers to one client; 0 leaves it to the kernel.
    """
    peers = {side: [Peer() for _ in range(instances)] for side in Side}
    for peer in (*peers[Side.LEGACY], *peers[Side.MODERN]):
        await peer.start()
    clock = Clock()
    wheel = Wheel(clock)
    limits = limits or WireLimits()
    trust = pki.trust() if pki.switch.on else None
    own_limits = PoolLimits(connections, pending)
    pools = {
        side: Pool(side.value, [Place("127.0.0.1", peer.port, trust) for peer in found], wheel, limits, own_limits)
        for side, found in peers.items()
    }
    sides = {
        side: SideManner(tuple(str(each.place).encode() for each in pool.instances), scheme=pki.switch.scheme)
        for side, pool in pools.items()
    }
    timeouts = timeouts or Timeouts()
    table = table_of(*(components or (USERS,)), legacy=timeouts, modern=timeouts, **defaults)
    trips: list[Trip] = []
    gateway = Gateway(table, pools, sides, manner or Manner(access_log=False), trips.append)
    gateway.follow(table, {}, store_lost=False)
    tls = pki.own_context if pki.switch.on else None
    listener = Listener(gateway, wheel, limits, deadlines or ClientDeadlines(), tls)
    rig = Rig(gateway, listener, wheel, clock, peers, pools, trips=trips)
    sock = bound("127.0.0.1", 0)
    if send_buffer_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
    rig.port = await listener.start(sock)
    try:
        yield rig
    finally:
        await listener.drain(0)
        for pool in pools.values():
            await pool.close()
        for peer in (*peers[Side.LEGACY], *peers[Side.MODERN]):
            await peer.stop()

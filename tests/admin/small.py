"""A small house for the admin tests: real store, real follower, real counters; no wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer

from proxy.core.breaker import Breaker
from proxy.core.plan import CALM, Situation, Table, compile_table
from proxy.core.rules import Component, Side, parse_component
from proxy.core.stats import Counters
from proxy.core.status import heartbeat_facts
from proxy.gateway.records import Records
from proxy.settings import Settings
from proxy.store.emergencies import Emergencies
from proxy.store.events import Events
from proxy.store.evidence import EvidenceStore
from proxy.store.fleet import Fleet, Heartbeat
from proxy.store.follower import Follower
from proxy.store.holding import State
from proxy.store.link import Link
from proxy.store.mismatches import MismatchStore
from proxy.store.rules import RuleStore
from proxy.workers.changes import By, Changes
from proxy.workers.clusters import Clusters
from proxy.workers.status import Reader
from tests.store.servers import Server, binaries


@dataclass(frozen=True)
class File:
    """A rule file as `push` takes it."""

    values: dict[str, Any]
    hash: str = "h1"
    positions: dict[Any, Any] = field(default_factory=dict)

    @property
    def rules(self) -> Component:
        return parse_component(self.values, file="file")


def file(name: str = "users", **values: Any) -> File:
    return File({"component": name, "routes": {f"GET /api/{name}/{{id}}": {"entity": "{id}"}}, **values})


class SmallHouse:
    """The House of the admin rooms, without a gateway behind it."""

    build = "0.0.test"

    def __init__(self, server: Server, link: Link, settings: Settings) -> None:
        log = structlog.get_logger("banyan.test")
        self.server = server
        self.settings = settings
        self.rules = RuleStore(link)
        self.emergencies = Emergencies(link)
        self.fleet = Fleet(link)
        events = Events(link, log)
        self.follower = Follower(link, events, log, on_change=self.follow)
        self.changes = Changes(self.rules, self.emergencies, self.fleet, settings.live_changes)
        self.reader = Reader(self.rules, self.emergencies, self.fleet, events, EvidenceStore(link))
        self.mismatches = MismatchStore(link)
        self.clusters = Clusters(self.rules, self.mismatches)
        self.records = Records(False)
        self.trips: Counters[tuple[str, str, str]] = Counters(("other", "other", "other"))
        self.breakers: dict[tuple[str, Side], Breaker] = {}
        self.table: Table = compile_table(None)
        self.situations: Sequence[Situation] = ()
        self.connections = 3
        self.loop_lag_s = 0.25
        self.instances = {(Side.LEGACY, "a:1"): (True, 2), (Side.MODERN, "b:2"): (False, 0)}
        self.turns: Counters[tuple[str, str]] = Counters(("other", "other"))
        self.turns.add(("modern", "ejected"))
        self.shadow_outcomes = {("users", "/api/users/{id}"): {"matched": 7, "skipped": 2, "skipped:range": 2}}
        self.shadow_waiting = {Side.LEGACY: 0, Side.MODERN: 3}
        self.shadow_share = {Side.LEGACY: 1.0, Side.MODERN: 0.5}
        self.second_looks = 4
        self.pending_requests = {Side.LEGACY: 0, Side.MODERN: 4}
        self.draining = False

    def follow(self, state: State) -> None:
        self.table = compile_table(state.held)
        self.breakers = {
            (each.name, side): Breaker(each.rules.breaker) for each in self.table.components for side in Side
        }
        self.situations = tuple(
            Situation(emergency=state.sides[each.name]) if each.name in state.sides else CALM
            for each in self.table.components
        )

    @property
    def state(self) -> State:
        return self.follower.state

    @property
    def age_s(self) -> float | None:
        return self.follower.age_s

    def heartbeat(self) -> Heartbeat:
        held = self.state.held
        return Heartbeat(
            "small",
            version=held.version if held else 0,
            epoch=held.epoch if held else "",
            facts=heartbeat_facts(connected=self.state.connected),
        )

    def troubles(self) -> tuple[str, ...]:
        return tuple(alarm.why for alarm in self.state.alarms)

    async def look(self) -> None:
        """Follow the store to where it is now."""
        await self.follower.begin(2.0)

    async def seed(self, *files: File) -> None:
        """Publish these files first of all."""
        states: Mapping[str, File] = {each.values["component"]: each for each in files or (file(weight=25),)}
        await self.changes.push(states, By("files", "seed"))
        await self.look()


@asynccontextmanager
async def small_house(**settings: Any) -> AsyncIterator[SmallHouse]:
    """Run a house on a store of its own."""
    server = Server(binaries()["valkey"])
    await server.start()
    link = Link(server.url)
    try:
        yield SmallHouse(server, link, Settings(store=server.url, **settings))
    finally:
        await link.close()
        await server.close()


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[TestServer]:
    """Serve an application on a port of its own."""
    server = TestServer(app)
    await server.start_server()
    try:
        yield server
    finally:
        await server.close()
        await asyncio.sleep(0)
